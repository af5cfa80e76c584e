#!/usr/bin/env python3
"""Is a project that is being edited, with incremental compilation on, what it would be without kache?

edited.py KACHE PROJECT [--steps N] [--seed S] [--program NAME] [--results FILE] [--keep]

Makes two repositories of git of a cargo workspace, one for kache and one for plain cargo, and does the same to both at random: numbers
and words in sources and in files that are read, branches and commits, stashes, edits that are taken back, variables, flags, times,
outputs that are removed or written to, and target directories that are. After each step one of several cargo commands is run in
both. Exit status, diagnostics, what tests say and what the program prints have to be the same, and the next call has to find all
fresh.

Prints a line per wrong outcome and a summary, which --results appends to a file; exit status 1 if there was one.
"""
import argparse
import collections
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

COMMANDS = ["build", "build", "build", "build", "check", "test"]
STEPS = ["edit"] * 6 + ["switch"] * 5 + ["branch", "commit", "stash", "undo", "undo", "return", "return", "detach", "variable", "flags", "touch",
         "remove", "write", "clean", "nothing"]
WORDS = ["one", "two", "three"]
# What cargo says of its own work; which of two units with one message has that counted is chance, and so is the order.
NOISE = re.compile(r"^\s*(Compiling|Checking|Finished|Running|Fresh|Doc-tests|Blocking|Removed)\b.*$|; finished in .*$|"
                   r"^warning: .* generated [0-9]+ warning.*$|(?<=thread 'works') \([0-9]+\)", re.M)


class Place:
    """One of the two repositories."""

    def __init__(self, top, name, project, variables):
        self.top, self.dir = top, top / name / "w"
        shutil.copytree(project, self.dir)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("KACHE_", "RUSTC", "GIT_")) and
                    k not in ("CARGO_TARGET_DIR", "RUSTFLAGS", "MAKEFLAGS")}
        self.env.update(CARGO_INCREMENTAL="1", CARGO_NET_OFFLINE="true", CARGO_TERM_COLOR="never", RUST_BACKTRACE="0", GIT_CONFIG_NOSYSTEM="1",
                        GIT_CONFIG_GLOBAL=str(top / "gitconfig"), **variables)
        (self.dir / ".gitignore").write_text("target\n")
        self.call("cargo", "generate-lockfile")
        self.git("init", "-q", ".")
        self.git("add", ".")
        self.git("commit", "-q", "-m", "start")

    def call(self, *words):
        return subprocess.run(words, cwd=self.dir, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False)

    def git(self, *words):
        done = self.call("git", *words)
        if done.returncode:
            raise RuntimeError("git %s: %s" % (" ".join(words), done.stdout))
        return done.stdout

    def plain(self, text):
        return sorted(line for line in NOISE.sub("", text.replace(str(self.dir), "DIR")).split("\n") if line)

    def outputs(self, what):
        """Files in target/debug/deps whose names match: the same ones in both places, but for their hashes."""
        return sorted(p for p in (self.dir / "target/debug/deps").glob(what) if p.is_file())


class Oracle:
    def __init__(self, options):
        self.options, self.random = options, random.Random(options.seed)
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="kache-edited."))
        (self.top / "gitconfig").write_text("[user]\n\tname = t\n\temail = t@example.com\n[init]\n\tdefaultBranch = b0\n")
        self.store = self.top / "store"
        self.places = [
            Place(self.top, "kache", options.project, {"RUSTC_WRAPPER": options.kache, "KACHE_CACHE_DIR": str(self.store), "KACHE_DAEMON": "off",
                                                       "XDG_CONFIG_HOME": str(self.top / "none")}),
            Place(self.top, "plain", options.project, {}),
        ]
        self.branches, self.wrong, self.taken = ["b0"], 0, []
        first = self.places[0]
        self.files = [f for f in first.git("ls-files").split("\n") if f and not f.endswith((".toml", ".lock", ".gitignore"))]

    def both(self, *words):
        for place in self.places:
            place.git(*words)

    def write(self, name, text):
        for place in self.places:
            (place.dir / name).write_text(text)

    def edit(self):
        """Another number where there is one, else another word or a line more."""
        name = self.random.choice(self.files)
        before = (self.places[0].dir / name).read_text()
        spots = [m for m in re.finditer(r"\b[0-9]+\b", before)]
        if spots:
            m = self.random.choice(spots)
            after = before[:m.start()] + str(self.random.randrange(10)) + before[m.end():]
        elif name.endswith(".rs"):
            after = before + "// %d\n" % self.random.randrange(3)
        else:
            after = self.random.choice(WORDS)
        self.taken.append((name, before, after))
        self.write(name, after)

    def step(self, what):
        r = self.random
        if what == "edit":
            self.edit()
        elif what in ("undo", "return") and self.taken:
            # Back to what the file was before some edit, or after it.
            name, before, after = r.choice(self.taken[-6:])
            self.write(name, before if what == "undo" else after)
        elif what in ("switch", "branch", "detach", "commit"):
            self.both("commit", "-q", "-a", "--allow-empty", "-m", "more")
            if what == "switch":
                self.both("switch", "-q", r.choice(self.branches))
            elif what == "branch":
                self.branches.append("b%d" % len(self.branches))
                self.both("switch", "-q", "-c", self.branches[-1])
            elif what == "detach":
                self.both("switch", "-q", "--detach")
        elif what == "stash":
            self.both("stash", "-q")
        elif what == "touch":
            name = r.choice(self.files)
            for place in self.places:
                os.utime(place.dir / name)
        elif what in ("variable", "flags"):
            name, value = ("MACRO_WORD", r.choice(WORDS)) if what == "variable" else ("RUSTFLAGS", "-Cdebug-assertions=off")
            gone = name in self.places[0].env
            for place in self.places:
                if gone:
                    del place.env[name]
                else:
                    place.env[name] = value
        elif what == "remove":
            pattern = r.choice(["lib*.rlib", "lib*.rmeta", "*.d", "app-*"])
            number = r.random()
            for place in self.places:
                found = place.outputs(pattern)
                if found:
                    found[int(number * len(found))].unlink()
        elif what == "write":
            for place in self.places:
                program = place.dir / "target/debug" / self.options.program
                if program.exists():
                    with open(program, "ab") as f:
                        f.write(b"written to")
        elif what == "clean":
            for place in self.places:
                shutil.rmtree(place.dir / "target", ignore_errors=True)

    def tell(self, number, what, command, text):
        self.wrong += 1
        print("wrong: step %d (%s), cargo %s: %s" % (number, what, command, text), flush=True)

    def compare(self, number, what, command):
        said = []
        # A macro that reads a file by itself tells nobody.
        for place in self.places:
            for name in self.files:
                if name.endswith("main.rs"):
                    os.utime(place.dir / name)
        for place in self.places:
            done = place.call("cargo", command)
            said.append((done.returncode, place.plain(done.stdout)))
        if said[0] != said[1]:
            ours, theirs = (collections.Counter(lines) for _, lines in said)
            self.tell(number, what, command, "status %d, without kache %d; more lines: %r; fewer: %r" % (
                said[0][0], said[1][0], list((ours - theirs).elements()), list((theirs - ours).elements())))
        if said[0][0] or command != "build":
            return
        said = [subprocess.run([place.dir / "target/debug" / self.options.program], capture_output=True, check=False).stdout
                for place in self.places]
        if said[0] != said[1]:
            self.tell(number, what, command, "the program says %r, without kache %r" % tuple(said))
        if b"written to" in (self.places[0].dir / "target/debug" / self.options.program).read_bytes()[-64:]:
            self.tell(number, what, command, "the program that was written to is there again")
        again = self.places[0].call("cargo", command).stdout
        if re.search(r"^\s*(Compiling|Checking)\b", again, re.M):
            self.tell(number, what, command, "not fresh afterwards")

    def run(self):
        for number in range(self.options.steps):
            what = self.random.choice(STEPS) if number else "nothing"
            self.step(what)
            self.compare(number, what, self.random.choice(COMMANDS) if number else "build")
            if self.wrong and self.options.keep:
                break
        counts = {}
        for line in (self.store / "events/current.jsonl").read_text().splitlines():
            event = json.loads(line)
            name = event.get("reason") if event["result"] == "passthrough" else event["result"]
            counts[name] = counts.get(name, 0) + 1
        listed = subprocess.run([self.options.kache, "list", "--json"], env=self.places[0].env, capture_output=True, text=True, check=False).stdout
        return "%s, seed %d: %d steps, %d hits, %d compiled with state, %d states stored, %d wrong" % (
            self.options.project.name, self.options.seed, self.options.steps, counts.get("hit", 0), counts.get("incremental", 0),
            listed.count('"kind":"edited"'), self.wrong)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("kache", type=os.path.abspath)
    parser.add_argument("project", type=lambda name: pathlib.Path(name).resolve())
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--program", default="app")
    parser.add_argument("--results")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    oracle = Oracle(options)
    summary = oracle.run()
    print(summary)
    if options.results:
        with open(options.results, "a", encoding="utf-8") as f:
            f.write(summary + "\n")
    if options.keep:
        print(oracle.top)
    else:
        shutil.rmtree(oracle.top)
    sys.exit(oracle.wrong > 0)


if __name__ == "__main__":
    main()
