#!/usr/bin/env python3
"""Is what kache hands out what would have been compiled?

oracle.py KACHE PROJECT [--edits N] [--seed S] [--clean-every K] [--cargo "build …"]… [--results FILE]

Takes a copy of a cargo project and edits it at random: numbers, strings, lines, comments, functions, files that are not Rust,
modules that move from foo.rs to foo/mod.rs, files and directories that become links and are led elsewhere, flags, times, and back to an
earlier state; with several commands sometimes nothing. After
each edit one of the cargo commands is run three times: through kache with a store that has seen all states so far, through kache with
an empty one, which can only compile, and without kache. Exit status, diagnostics and what tests say have to be the same in all three, every library, program and macro
byte for byte in the first two, and the next cargo command has to find everything fresh. Every K edits the first build begins in an
empty target directory, and every 4 K it takes place in a copy of the project at another path as well.

Prints a line per wrong outcome and a summary, which --results appends to a file; exit status 1 if there was one. The same seed does
the same.
"""
import argparse
import filecmp
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

NOISE = re.compile(r"^ *(Compiling|Checking|Finished|Running|Fresh|Blocking|Dirty|Locking|Updating|Adding|Downloading|Downloaded) "
                   r"|^error: test failed|^ *process didn't exit successfully")
KINDS = ["number", "string", "comment", "function", "warning", "swap", "delete", "touch", "back", "back", "back", "constant",
         "resource", "module", "link"]
FLAGS = ["", "--cfg oracle", "-Copt-level=1", "-Cdebuginfo=1", "-Cdebug-assertions=off", "-Ccodegen-units=1"]
RESOURCES = (".txt", ".md", ".c", ".h", ".S", ".pest", ".json", ".in", ".tera", ".toml.in", ".tt")


class Oracle:
    def __init__(self, options):
        self.options = options
        self.random = random.Random(options.seed)
        self.top = tempfile.mkdtemp(prefix="kache-oracle.")
        self.project = os.path.join(self.top, "project")
        shutil.copytree(options.project, self.project, symlinks=True, ignore=shutil.ignore_patterns("target", ".git"))
        self.commands = options.cargo or ["build"]
        self.flags = ""
        self.states = []  # that could be compiled
        self.failed = False
        self.wrong = 0
        self.compared = 0
        self.builds = {True: 0, False: 0}

    def files(self):
        found = []
        for folder, names, files in os.walk(self.project):
            names.sort()
            found += [os.path.join(folder, f) for f in sorted(files) if not os.path.islink(os.path.join(folder, f))]
        return found

    def sources(self):
        return [path for path in self.files() if path.endswith(".rs")]

    def remember(self):
        state = {}
        for path in self.files():
            with open(path, "rb") as f:
                state[path] = f.read()
        self.states.append(state)

    def go_back(self):
        state = self.random.choice(self.states)
        for path in self.files():
            if path not in state and not path.endswith("Cargo.lock"):
                os.unlink(path)
        for path, data in state.items():
            same = False
            if os.path.exists(path):
                with open(path, "rb") as f:
                    same = f.read() == data
            if not same:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "wb") as f:
                    f.write(data)

    def move_module(self, path):
        """foo.rs to foo/mod.rs, or the other way around."""
        folder, name = os.path.split(path)
        if name == "mod.rs" and not os.path.exists(folder + ".rs"):
            os.rename(path, folder + ".rs")
        elif name not in ("lib.rs", "main.rs", "build.rs", "mod.rs"):
            to = os.path.join(path[:-3], "mod.rs")
            if not os.path.exists(to):
                os.makedirs(path[:-3], exist_ok=True)
                os.rename(path, to)

    def link(self, n):
        """A file or a directory of sources that moves, with a link in its place; or a link that leads to a copy with an edit."""
        links = [os.path.join(folder, name) for folder, names, files in os.walk(self.project) for name in sorted(names + files)
                 if os.path.islink(os.path.join(folder, name))]
        if links and self.random.random() < 0.6:
            path = self.random.choice(links)
            old = os.path.realpath(path)
            new = os.path.join(os.path.dirname(old), "led-%d-%s" % (n, os.path.basename(path)))
            if not os.path.exists(old):
                return
            if os.path.isdir(old):
                shutil.copytree(old, new, symlinks=True)
                sources = [os.path.join(new, f) for f in sorted(os.listdir(new)) if f.endswith(".rs")]
            else:
                shutil.copy(old, new)
                sources = [new] if new.endswith(".rs") else []
            for source in sources[:1]:
                with open(source, "a", encoding="utf-8") as f:
                    f.write("\n#[allow(dead_code)] const LED_%d: u32 = %d;\n" % (n, n))
            os.unlink(path)
        else:
            path = self.random.choice(self.sources())
            if self.random.random() < 0.5 and os.path.dirname(path) != self.project:
                path = os.path.dirname(path)
            new = os.path.join(os.path.dirname(path), "moved-%d-%s" % (n, os.path.basename(path)))
            os.rename(path, new)
        os.symlink(os.path.relpath(new, os.path.dirname(path)), path)

    def edit(self, n):
        """One edit; what it was."""
        # What can't be compiled is worth a look, but not for long.
        kind = "back" if self.failed and self.random.random() < 0.7 else self.random.choice(KINDS)
        # What one command has built, the next one has to find good or stale.
        if len(self.commands) > 1 and not self.failed and self.random.random() < 0.3:
            return "nothing"
        if kind != "back" and self.random.random() < self.options.flags:
            self.flags = self.random.choice(FLAGS)
            return "flags " + self.flags
        found = [path for path in self.files() if path.endswith(RESOURCES)] if kind == "resource" else []
        if kind == "resource" and not found:
            kind = "number"
        path = self.random.choice(found or self.sources())
        name = "%s %s" % (kind, os.path.relpath(path, self.project))
        if kind == "back":
            self.go_back()
            return kind
        if kind == "touch":
            os.utime(path)
            return name
        if kind == "module":
            self.move_module(path)
            return name
        if kind == "link":
            self.link(n)
            return kind
        with open(path, encoding="utf-8", errors="surrogateescape") as f:
            lines = f.read().split("\n")
        at = self.random.randrange(len(lines))
        if kind in ("number", "resource"):
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

    def build(self, command, where, target, store):
        """Through kache, or without where store is None: exit status, what was said, whether something was compiled."""
        env = dict(os.environ, CARGO_TARGET_DIR=target, KACHE_DAEMON="off", KACHE_INCREMENTAL="never", CARGO_INCREMENTAL="0",
                   CARGO_TERM_COLOR="never", CARGO_NET_OFFLINE="true", RUST_BACKTRACE="0", RUST_TEST_THREADS="1")
        for name in ("MAKEFLAGS", "MFLAGS", "CARGO_MAKEFLAGS", "RUSTFLAGS", "KACHE_BACKEND", "RUSTC_WRAPPER"):
            env.pop(name, None)
        if self.flags:
            env["RUSTFLAGS"] = self.flags
        if store:
            env["RUSTC_WRAPPER"] = self.options.kache
            env["KACHE_CACHE_DIR"] = store
        # What else is built, and so said, when something fails would be a matter of timing.
        going = ["--no-fail-fast" if command.startswith("test") else "--keep-going"]
        done = subprocess.run(["cargo"] + shlex.split(command) + going, cwd=where, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace")
        lines = done.stdout.replace(target, "TARGET").replace(where, "PROJECT").split("\n")
        said = sorted(self.plain(line) for line in lines if not NOISE.search(line) and "generated" not in line
                      and "waiting for other jobs" not in line and "could not compile" not in line)
        return done.returncode, said, any(re.match(r" *(Compiling|Checking|Dirty) ", line) for line in lines)

    def plain(self, line):
        line = re.sub(r"finished in [0-9.]+s", "finished", line)
        line = re.sub(r"^(thread '[^']*') \(\d+\)", r"\1", line)
        return re.sub(r"/rustc\w{6}/", "/TEMP/", line)

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

    def differences(self, got, want, name):
        bad = []
        if got[0] != want[0]:
            bad.append("status %d, %s %d" % (got[0], name, want[0]))
        if got[1] != want[1]:
            bad.append("it says, unlike %s: %s" % (name, [x for x in got[1] + want[1] if (x in got[1]) != (x in want[1])][:3]))
        return bad

    def same_bytes(self, warm, cold):
        """How many artifacts there are in both, and what is to be said of those that differ."""
        a, b = self.artifacts(warm), self.artifacts(cold)
        both = sorted(set(a) & set(b))
        return len(both), ["bytes of " + name for name in both if not filecmp.cmp(a[name], b[name], shallow=False)]

    def compare(self, n, what, where, folder, cleaned=False):
        """Builds with the store of before, with an empty one, and without kache, each in its target directory."""
        warm, cold, none = (os.path.join(folder, x) for x in ("warm", "cold", "none"))
        store, empty = os.path.join(self.top, "store"), os.path.join(self.top, "empty")
        command = self.random.choice(self.commands)
        for again in range(2):
            shutil.rmtree(empty, ignore_errors=True)
            got = self.build(command, where, warm, store)
            want = self.build(command, where, cold, empty)
            real = self.build(command, where, none, None)
            bad = self.differences(got, want, "with an empty store") + self.differences(got, real, "without kache")
            same, different = self.same_bytes(warm, cold) if not got[0] and not want[0] else (0, [])
            bad += different
            # What tests say may depend on the moment; what kache does wrong it does again. And a directory that is kept may have
            # what cargo does not know to be old (headers of C code that a build script forgot): then all begin from nothing.
            if not bad or not (cleaned or command.startswith("test")):
                break
            if cleaned:
                for target in (warm, cold, none):
                    shutil.rmtree(target, ignore_errors=True)
        self.compared += same
        self.failed = real[0] != 0
        self.builds[real[0] == 0] += 1
        if not got[0] and not want[0]:
            if self.build(command, where, warm, store)[2] and not self.build(command, where, none, None)[2]:
                bad.append("the next build is not fresh")
        for text in bad:
            self.wrong += 1
            print("wrong: edit %d (%s), cargo %s: %s" % (n, what, command, text), flush=True)

    def drop_commands(self):
        """What can't be done with the project as it came, or not without the network, is of no use."""
        for command in list(self.commands):
            if self.build(command, self.project, os.path.join(self.top, "none"), None)[0] and len(self.commands) > 1:
                self.commands.remove(command)

    def run(self):
        self.drop_commands()
        self.compare(0, "none", self.project, self.top)
        self.remember()
        for n in range(1, self.options.edits + 1):
            what = self.edit(n)
            cleaned = n % self.options.clean_every == 0
            if cleaned:
                shutil.rmtree(os.path.join(self.top, "warm"), ignore_errors=True)
            self.compare(n, what, self.project, self.top, cleaned)
            if not self.failed:
                self.remember()
            if len(self.states) > 12:
                del self.states[self.random.randrange(1, len(self.states) - 1)]
            if n % (self.options.clean_every * 4) == 0:
                moved = os.path.join(self.top, "moved")
                shutil.rmtree(moved, ignore_errors=True)
                shutil.copytree(self.project, os.path.join(moved, "p"), symlinks=True)
                self.compare(n, what + ", moved", os.path.join(moved, "p"), moved)
        summary = "%s: seed %d, %d edits, %s; %d builds good and %d failed, %d hits, %d artifacts compared, %d wrong" % (
            os.path.basename(os.path.abspath(self.options.project)), self.options.seed, self.options.edits,
            ", ".join(self.commands), self.builds[True], self.builds[False], self.count_hits(os.path.join(self.top, "store")),
            self.compared, self.wrong)
        print(summary)
        if self.options.results:
            with open(self.options.results, "a") as f:
                f.write(summary + "\n")
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
    p.add_argument("--cargo", action="append")
    p.add_argument("--flags", type=float, default=0.03)
    p.add_argument("--results")
    p.add_argument("--keep", action="store_true")
    options = p.parse_args()
    options.kache = os.path.abspath(options.kache)
    return Oracle(options).run()


if __name__ == "__main__":
    sys.exit(main())
