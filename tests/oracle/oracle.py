#!/usr/bin/env python3
"""Is what kache hands out what would have been compiled? oracle.py KACHE PROJECT [--edits N] [--seed S] [--clean-every K]

Takes a copy of a cargo project and edits it at random: numbers, strings, lines, comments, functions, whole files, times, and back
to an earlier state. After each edit the project is built twice with the same flags: with a store that has seen all states so
far, and with an empty one, which can only compile. Exit status and diagnostics have to be the same, and every library,
program and macro byte for byte. Every K edits the first build begins in an empty target directory, and once more in a copy
of the project at another path, whose next build has to be compared with one by an empty store there.

Prints a line per wrong outcome and a summary; exit status 1 if there was one. The same seed does the same.
"""
import argparse
import filecmp
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

NOISE = re.compile(r"^ *(Compiling|Checking|Finished|Running|Fresh|Blocking|Dirty|Locking|Updating|Adding|Downloading|Downloaded) ")
KINDS = ["number", "string", "comment", "function", "warning", "swap", "delete", "touch", "back", "back", "back", "constant"]


class Oracle:
    def __init__(self, options):
        self.options = options
        self.random = random.Random(options.seed)
        self.top = tempfile.mkdtemp(prefix="kache-oracle.")
        self.project = os.path.join(self.top, "project")
        shutil.copytree(options.project, self.project, symlinks=True, ignore=shutil.ignore_patterns("target", ".git"))
        self.states = []  # that could be compiled
        self.failed = False
        self.wrong = 0
        self.compared = 0
        self.hits = 0
        self.builds = {True: 0, False: 0}

    def sources(self):
        found = []
        for folder, names, files in os.walk(self.project):
            names.sort()
            found += [os.path.join(folder, f) for f in sorted(files) if f.endswith(".rs")]
        return found

    def remember(self):
        state = {}
        for path in self.sources():
            with open(path, "rb") as f:
                state[path] = f.read()
        self.states.append(state)

    def go_back(self):
        state = self.random.choice(self.states)
        for path, data in state.items():
            with open(path, "rb") as f:
                same = f.read() == data
            if not same:
                with open(path, "wb") as f:
                    f.write(data)

    def edit(self, n):
        """One edit; what it was."""
        # What can't be compiled is worth a look, but not for long.
        kind = "back" if self.failed and self.random.random() < 0.7 else self.random.choice(KINDS)
        path = self.random.choice(self.sources())
        name = "%s %s" % (kind, os.path.relpath(path, self.project))
        if kind == "back":
            self.go_back()
            return kind
        if kind == "touch":
            os.utime(path)
            return name
        with open(path, encoding="utf-8", errors="surrogateescape") as f:
            lines = f.read().split("\n")
        at = self.random.randrange(len(lines))
        if kind == "number":
            places = [i for i, line in enumerate(lines) if re.search(r"\b\d{1,4}\b", line)]
            if places:
                at = self.random.choice(places)
                lines[at] = re.sub(r"\b\d{1,4}\b", lambda m: str(int(m.group()) + 1), lines[at], count=1)
        elif kind == "string":
            places = [i for i, line in enumerate(lines) if re.search(r'"[a-z ]+"', line)]
            if places:
                at = self.random.choice(places)
                lines[at] = re.sub(r'"([a-z ]+)"', r'"\1x"', lines[at], count=1)
        elif kind == "comment":
            lines.insert(at, "// oracle %d" % n)
        elif kind == "function":
            lines.append("#[allow(dead_code)] fn oracle_%d() -> u32 { %d }" % (n, n))
        elif kind == "warning":
            lines.append("fn oracle_unused_%d() { let unused = %d; }" % (n, n))
        elif kind == "constant":
            lines.append("#[allow(dead_code)] pub const ORACLE_%d: &str = \"%d\";" % (n, self.random.randrange(10)))
        elif kind == "swap" and at + 1 < len(lines):
            lines[at], lines[at + 1] = lines[at + 1], lines[at]
        elif kind == "delete":
            del lines[at]
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as f:
            f.write("\n".join(lines))
        return name

    def build(self, where, target, store):
        env = dict(os.environ, RUSTC_WRAPPER=self.options.kache, CARGO_TARGET_DIR=target, KACHE_CACHE_DIR=store, KACHE_DAEMON="off",
                   KACHE_INCREMENTAL="never", CARGO_INCREMENTAL="0", CARGO_TERM_COLOR="never", CARGO_NET_OFFLINE="true")
        for name in ("MAKEFLAGS", "MFLAGS", "CARGO_MAKEFLAGS", "RUSTFLAGS", "KACHE_BACKEND"):
            env.pop(name, None)
        done = subprocess.run(["cargo"] + self.options.cargo.split(), cwd=where, env=env, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace")
        said = sorted(line.replace(target, "TARGET").replace(where, "PROJECT") for line in done.stdout.split("\n")
                      if not NOISE.match(line) and "generated" not in line and "waiting for other jobs" not in line)
        self.builds[done.returncode == 0] += 1
        return done.returncode, said

    def artifacts(self, target):
        found = {}
        for folder, _, files in os.walk(target):
            for f in files:
                if f.endswith((".rlib", ".rmeta", ".so", ".a")) or (os.access(os.path.join(folder, f), os.X_OK) and "." not in f):
                    if "incremental" not in folder:
                        path = os.path.join(folder, f)
                        found[os.path.relpath(path, target)] = path
        return found

    def count_hits(self, store):
        path = os.path.join(store, "events", "current.jsonl")
        hits = 0
        if os.path.exists(path):
            with open(path, errors="replace") as f:
                hits = sum(1 for line in f if json.loads(line).get("result") == "hit")
        return hits

    def compare(self, n, what, where, warm, cold):
        """Builds by the store of before and by an empty one, each in its target directory."""
        store = os.path.join(self.top, "empty")
        shutil.rmtree(store, ignore_errors=True)
        got = self.build(where, warm, os.path.join(self.top, "store"))
        want = self.build(where, cold, store)
        bad = []
        if got[0] != want[0]:
            bad.append("status %d instead of %d" % (got[0], want[0]))
        if got[1] != want[1]:
            bad.append("diagnostics: %s" % [x for x in got[1] + want[1] if (x in got[1]) != (x in want[1])][:3])
        self.failed = want[0] != 0
        if not got[0] and not want[0]:
            a, b = self.artifacts(warm), self.artifacts(cold)
            for name in sorted(set(a) & set(b)):
                self.compared += 1
                if not filecmp.cmp(a[name], b[name], shallow=False):
                    bad.append("bytes of " + name)
            # What an earlier state has left in a directory that is kept is nobody's business.
        for text in bad:
            self.wrong += 1
            print("wrong: edit %d (%s): %s" % (n, what, text), flush=True)

    def run(self):
        warm, cold = os.path.join(self.top, "warm"), os.path.join(self.top, "cold")
        self.compare(0, "none", self.project, warm, cold)
        self.remember()
        for n in range(1, self.options.edits + 1):
            what = self.edit(n)
            if n % self.options.clean_every == 0:
                shutil.rmtree(warm, ignore_errors=True)
            self.compare(n, what, self.project, warm, cold)
            if not self.failed:
                self.remember()
            if len(self.states) > 12:
                del self.states[self.random.randrange(1, len(self.states) - 1)]
            if n % (self.options.clean_every * 4) == 0:
                moved = os.path.join(self.top, "moved")
                shutil.rmtree(moved, ignore_errors=True)
                shutil.copytree(self.project, os.path.join(moved, "p"), symlinks=True)
                self.compare(n, what + ", moved", os.path.join(moved, "p"), os.path.join(moved, "warm"), os.path.join(moved, "cold"))
        print("%s: seed %d, %d edits, %d builds good and %d failed, %d hits, %d artifacts compared, %d wrong" % (
            os.path.basename(os.path.abspath(self.options.project)), self.options.seed, self.options.edits, self.builds[True],
            self.builds[False], self.count_hits(os.path.join(self.top, "store")), self.compared, self.wrong))
        if not self.options.keep:
            shutil.rmtree(self.top, ignore_errors=True)
        return self.wrong != 0


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("kache")
    p.add_argument("project")
    p.add_argument("--edits", type=int, default=50)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--clean-every", type=int, default=5)
    p.add_argument("--cargo", default="build")
    p.add_argument("--keep", action="store_true")
    options = p.parse_args()
    options.kache = os.path.abspath(options.kache)
    return Oracle(options).run()


if __name__ == "__main__":
    sys.exit(main())
