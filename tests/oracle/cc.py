#!/usr/bin/env python3
"""Is what kache hands out for C what would have been compiled?

cc.py KACHE [--edits N] [--seed S] [--compiler CC]… [--pauses P] [--moved M] [--results FILE] [--keep]

Makes a small project and edits it at random: headers that change, appear, vanish, become links or come back, in files and whole
directories, with old times and with sizes that stay; precompiled headers; what nobody may read or enter (root gives that right up,
where setpriv is there); data that is embedded; variables; working directories. After each edit a call
that was made before, or a new one of random flags, is made twice, without kache and through it, in the same place. Exit status,
messages and each file that a call leaves anywhere in the project, with its name, kind, mode and content, have to be the same. What
differs between two calls without kache, too, is not counted.

With probability M a call is made in a copy of the project at one of two other paths, which is then a base directory; there the
files are those of kache with an empty store. P is how often it waits until stamps of files can be remembered.

Prints a line per wrong outcome and a summary, which --results appends to a file; exit status 1 if there was one. The same seed does
the same, unless a clock has a say. --keep ends with the first wrong outcome, and leaves everything in place.
"""
import argparse
import json
import os
import random
import shutil
import stat
import subprocess
import sys
import tempfile
import time

EDITS = ["change", "change", "appear", "appear", "vanish", "link", "back", "back", "back", "nothing", "nothing", "touch",
         "same-size", "data", "part", "rsp", "source", "dir-link", "rename-dir", "old-time", "maybe", "copy", "mode", "specs",
         "replace", "deny", "deny", "pch"]
HEADERS = ["h%d.h" % i for i in range(5)]
PLACES = ["src", "one", "two", "one/deep"]
NAMES = ["src", "one", "two", "base", "out", "build", "data.bin", "flags.rsp", "two.rsp", "my.specs", "my.cfg", "ignore.txt", "x.o"]

# Each is a list of words; @OBJ@ is the object's name without its end.
BOTH = [["-O1"], ["-O2"], ["-Os"], ["-g"], ["-g1"], ["-gdwarf-4"], ["-ggdb3"], ["-gsplit-dwarf", "-g"], ["-Wall"],
        ["-Wall", "-Wextra"], ["-Werror"], ["-w"], ["-pedantic"], ["-fPIC"], ["-fno-common"], ["-ffunction-sections"],
        ["-DVALUE=3"], ["-D", "VALUE=4"], ["-UVALUE"], ["-MD"], ["-MMD"], ["-MD", "-MF", "@OBJ@.dep"],
        ["-MMD", "-MP", "-MF", "out/list.d"], ["-MD", "-MT", "target"], ["-MD", "-MQ", "$(x)"], ["-Wp,-MD,@OBJ@.wp.d"],
        ["-Wp,-MMD,out/wp.d"], ["-Ione"], ["-Itwo"], ["-I", "one/deep"], ["-I."], ["-isystem", "one"], ["-isystem", "two"],
        ["-iquote", "two"], ["-idirafter", "one/deep"], ["-Imissing"], ["-Ione/../two"], ["-include", "h1.h"],
        ["-imacros", "h2.h"], ["--coverage"], ["-ftest-coverage"], ["-fprofile-arcs"], ["-fstack-usage"],
        ["-ffile-prefix-map=@TOP@=/x"], ["-fdebug-prefix-map=@TOP@=/y", "-g"], ["-fmacro-prefix-map=one=uno"], ["-fno-ident"],
        ["-march=native"], ["-mavx2"], ["-fsanitize=undefined"], ["-fsanitize=address"], ["-finstrument-functions"],
        ["-fvisibility=hidden"], ["-Wno-error"], ["-fdiagnostics-color=always"], ["-fdiagnostics-color=never"],
        ["-fno-diagnostics-show-caret"], ["-pipe"], ["-fverbose-asm", "-S"], ["-S"], ["-E"], ["-fsyntax-only"], ["-save-temps"],
        ["-save-temps=obj"], ["-v"], ["-H"], ["-MG", "-M"], ["-Wa,--noexecstack"], ["-Wa,-al=@OBJ@.lst"], ["-Wa,-Ione"],
        ["-Wa,--MD,@OBJ@.as.d"], ["@flags.rsp"], ["@two.rsp"], ["-B", "one"], ["-nostdinc"], ["-undef"], ["-trigraphs"],
        ["-fstack-protector-strong"], ["-fcf-protection=none"], ["-flto"], ["-gz"], ["-p"], ["-pg"], ["-fopenmp"], ["-Wl,-z,now"],
        ["-lm"], ["-x", "c"], ["-x", "c++"], ["-fexceptions"], ["-gno-column-info"], ["-frecord-gcc-switches"],
        ["-grecord-gcc-switches", "-g"], ["-fdebug-types-section", "-g"], ["-Winvalid-pch"], ["-DNDEBUG"], ["-DINCBIN"],
        ["-DEMBED_DATE"], ["-DHAS"], ["-DFILE_NAME"], ["-DCOUNTER"], ["-DWARN"], ["-DLINE"], ["-DNEXT"], ["-DMACRO_INCLUDE"]]
GCC = [["-fcallgraph-info"], ["-fdump-tree-optimized"], ["-fdump-rtl-expand"], ["-fdump-ipa-cgraph"],
       ["-fopt-info-vec-all=@OBJ@.opt", "-O3"], ["-fopt-info-inline-all", "-O2"], ["-fsave-optimization-record", "-O2"],
       ["-frandom-seed=x"], ["-fno-working-directory"], ["-fworking-directory", "-g"], ["-dA", "-S"], ["-dumpbase", "other"],
       ["-auxbase-strip", "z.o"], ["-aux-info", "@OBJ@.aux"], ["-fdiagnostics-format=json"], ["-fdirectives-only", "-E"],
       ["-specs=my.specs"], ["-fprofile-dir=out", "-fprofile-arcs"], ["-fprofile-use=out", "-O2"], ["-fanalyzer"],
       ["-wrapper", "env"], ["-fcompare-debug"], ["-fmem-report"], ["-fno-canonical-system-headers", "-MD"], ["-fdump-passes"],
       ["-dumpdir", "out/"], ["-gno-record-gcc-switches", "-g"], ["-gas-loc-support", "-g"], ["-Wp,-H"],
       ["-fprofile-abs-path", "--coverage"], ["-fltrans-output-list=x"]]
CLANG = [["-fcolor-diagnostics"], ["-Weverything"], ["-fsave-optimization-record", "-O2"],
         ["-foptimization-record-file=@OBJ@.y", "-O2"], ["-ftime-trace"], ["-MJ", "@OBJ@.json"],
         ["--serialize-diagnostics", "@OBJ@.dia"], ["-fprofile-instr-generate"],
         ["-fcoverage-mapping", "-fprofile-instr-generate"], ["-fdebug-compilation-dir=/z", "-g"],
         ["-ffile-compilation-dir=.", "-g"], ["-emit-llvm"], ["-fno-integrated-as"], ["--config", "my.cfg"],
         ["-fsanitize-ignorelist=ignore.txt", "-fsanitize=address"], ["-fmodules"], ["-fembed-bitcode"],
         ["-gembed-source", "-gdwarf-5"], ["-Xclang", "-ast-dump"], ["-mllvm", "-inline-threshold=5"], ["-fxray-instrument"],
         ["-fstack-size-section"], ["-Rpass=inline", "-O2"], ["-fproc-stat-report=@OBJ@.stat"], ["-gmodules"],
         ["-fprofile-list=ignore.txt", "-fprofile-instr-generate"], ["-fcrash-diagnostics-dir=out"], ["--target=i386-linux-gnu"],
         ["-fdiagnostics-format=msvc"], ["-dD", "-E"], ["-fthinlto-index=x"], ["-stdlib=libstdc++"], ["--sysroot=one"],
         ["-isysroot", "two"], ["-include-pch", "one/h1.h.pch"], ["-Xclang", "-fno-pch-timestamp"]]
VARIABLES = {"CPATH": ["one", "two", ":one", "two:one/deep", ""], "C_INCLUDE_PATH": ["one", "two"],
             "CPLUS_INCLUDE_PATH": ["two", "one/deep"], "LANG": ["de_DE.UTF-8", "C.UTF-8", "C"], "LC_ALL": ["C", "POSIX"],
             "SOURCE_DATE_EPOCH": ["0", "1000000000", "x"], "DEPENDENCIES_OUTPUT": ["out/env.d", "out/env.d target"],
             "SUNPRO_DEPENDENCIES": ["out/sun.d"], "GCC_COLORS": ["error=01;35", ""], "COMPILER_PATH": ["one"],
             "GCC_EXEC_PREFIX": ["one/"], "TERM": ["dumb", "xterm"], "LIBRARY_PATH": ["two"],
             "GCC_EXTRA_DIAGNOSTIC_OUTPUT": ["fixits-v1"], "TMPDIR": ["@TOP@/tmp"],
             "CCC_OVERRIDE_OPTIONS": ["+-DVALUE=9", "#+-DVALUE=8"], "COLLECT_GCC_OPTIONS": ["'-g'"], "CC_PRINT_OPTIONS": ["1"],
             "CC_PRINT_HEADERS": ["1"], "COMPILER_RESTRICT": ["1"]}

C_SOURCE = """#include "h0.h"
#ifdef HAS
# if __has_include("h3.h")
int has = 1;
# else
int has = 0;
# endif
#endif
#ifdef INCBIN
__asm__(".section .rodata,\\"a\\"\\n.incb" "in \\"data.bin\\"\\n.text");
#endif
#ifdef EMBED_DATE
const char *date = __DATE__ __TIME__ __TIMESTAMP__;
#endif
#ifdef FILE_NAME
const char *file = __FILE__;
#endif
#ifdef COUNTER
int counter = __COUNTER__ * 10 + __COUNTER__;
#endif
#ifdef WARN
#warning "said"
static int unused(void) { int x; return x; }
#endif
#ifdef NEXT
#include_next <h4.h>
#endif
#define QUOTE(x) #x
#define STRING(x) QUOTE(x)
#ifdef MACRO_INCLUDE
#include STRING(HEADER_NAME)
#endif
#ifndef VALUE
# define VALUE 1
#endif
#ifdef LINE
# line 100 "elsewhere.c"
#endif
int f%(n)d(int x) { for (int i = 0; i < x; i++) x += i * %(k)d; return x * VALUE + H0; }
"""
ASM_SOURCE = """#include "h0.h"
	.text
	.globl g
g:	mov $%(k)d, %%eax
	ret
	.include "part.inc"
	.section .rodata
	.incbin "data.bin"
"""


def header(rng, i):
    lines = ["#pragma once" if rng.random() < 0.4 else "/* %d */" % rng.randrange(9)]
    for k in range(i + 1, len(HEADERS)):
        if rng.random() < 0.35:
            lines.append('#include %s' % (('"%s"' if rng.random() < 0.7 else "<%s>") % HEADERS[k]))
    if rng.random() < 0.15:
        lines.append("#include <stddef.h>")
    if rng.random() < 0.15:
        lines.append("#ifdef __has_include\n# if __has_include(\"maybe.h\")\n#  include \"maybe.h\"\n# endif\n#endif")
    if rng.random() < 0.2:
        lines.append("static int unused_%d(int a) { return a; }" % i)
    if rng.random() < 0.1:
        lines.append("/* __DATE__ */")
    if rng.random() < 0.03:
        lines.append("#error no")
    lines.append("#undef H%d\n#define H%d %d" % (i, i, rng.randrange(10)))
    lines.append("#ifndef H0\n#define H0 0\n#endif")
    if i == 0:
        lines.append("#define HEADER_NAME h%d.h" % rng.randrange(1, 5))
    return "\n".join(lines) + "\n"


def go_by_modes():
    """What to put before a command, so that modes of files hold it up."""
    words = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    if os.getuid() or not shutil.which("setpriv") or subprocess.run(words + ["true"], stderr=subprocess.DEVNULL, check=False).returncode:
        return []
    return words


class Oracle:
    def __init__(self, options):
        self.options = options
        self.drop = go_by_modes()
        self.random = random.Random(options.seed)
        self.scratch = tempfile.mkdtemp(prefix="kache-oracle.")
        self.top = os.path.join(self.scratch, "p")
        open(os.path.join(self.scratch, "none.toml"), "w").close()
        self.calls = []
        self.states = []
        self.failed = self.wrong = self.unsteady = self.compared = 0
        self.make()

    # ---- the project ----

    def write(self, name, text):
        path = os.path.join(self.top, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.islink(path):
            os.unlink(path)
        with open(path, "w") as f:
            f.write(text)

    def make(self):
        rng = self.random
        for place in PLACES + ["out", "tmp", "build"]:
            os.makedirs(os.path.join(self.top, place), exist_ok=True)
        for n, name in enumerate(["a.c", "b.c", "c.cc", "d.cpp"]):
            self.write("src/" + name, C_SOURCE % {"n": n, "k": rng.randrange(9)})
        self.write("src/s.S", ASM_SOURCE % {"k": 1})
        self.write("part.inc", "\t.byte 1\n")
        self.write("data.bin", "data")
        self.write("flags.rsp", "-DVALUE=7 -Itwo")
        self.write("two.rsp", "@flags.rsp '-DNAME=\"a b\"'")
        self.write("my.specs", "*cc1_options:\n+ -DSPEC=1\n\n")
        self.write("my.cfg", "-DVALUE=6\n")
        self.write("ignore.txt", "fun:f0\n")
        for i, name in enumerate(HEADERS):
            self.write("base/" + name, "#define H%d %d\n#ifndef H0\n#define H0 0\n#endif\n" % (i, i) +
                       ("#define HEADER_NAME h2.h\n" if not i else ""))
            self.write("%s/%s" % (rng.choice(PLACES), name), header(rng, i))
        self.remember()

    def snapshot(self, content=True):
        """All that is there, by name: kind, mode, content or target."""
        found = {}
        for folder, folders, files in os.walk(self.top):
            for name in folders + files:
                path = os.path.join(folder, name)
                key = os.path.relpath(path, self.top)
                st = os.lstat(path)
                if stat.S_ISLNK(st.st_mode):
                    found[key] = ("link", 0, os.readlink(path))
                elif stat.S_ISDIR(st.st_mode):
                    found[key] = ("dir", stat.S_IMODE(st.st_mode), "")
                elif stat.S_ISREG(st.st_mode):
                    with open(path, "rb") as f:
                        found[key] = ("file", stat.S_IMODE(st.st_mode), f.read() if content else b"")
                else:
                    found[key] = ("other", stat.S_IMODE(st.st_mode), "")
        return found

    def remember(self):
        self.states.append({k: v for k, v in self.snapshot().items() if v[0] in ("file", "link")})

    def remove(self, key):
        path = os.path.join(self.top, key)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)

    def put(self, key, what):
        path = os.path.join(self.top, key)
        self.remove(key)
        folder = os.path.dirname(path)
        while folder != self.top and not os.path.isdir(folder):
            if os.path.lexists(folder):
                os.unlink(folder)
            folder = os.path.dirname(folder)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if what[0] == "link":
            os.symlink(what[2], path)
        else:
            with open(path, "wb") as f:
                f.write(what[2])
            os.chmod(path, what[1])

    def go_back(self, state):
        now = {k: v for k, v in self.snapshot().items() if v[0] in ("file", "link")}
        for key in now:
            if key not in state:
                self.remove(key)
        for place in PLACES + ["out", "tmp", "build"]:
            path = os.path.join(self.top, place)
            if os.path.islink(path):
                os.unlink(path)
            os.makedirs(path, exist_ok=True)
            os.chmod(path, 0o755)
        for key, what in state.items():
            if now.get(key) != what:
                self.put(key, what)

    def some_header(self):
        found = [k for k, v in self.snapshot(False).items()
                 if v[0] in ("file", "link") and k.endswith(".h") and not k.startswith("base/")]
        return self.random.choice(sorted(found)) if found else None

    def edit(self):
        rng = self.random
        kind = rng.choice(EDITS)
        path = self.some_header()
        if not path and kind in ("change", "vanish", "touch", "same-size", "old-time", "copy", "link", "mode", "replace"):
            kind = "back"
        if kind == "back":
            self.go_back(rng.choice(self.states))
            return kind
        if kind == "nothing":
            return kind
        full = os.path.join(self.top, path) if path else None
        number = HEADERS.index(os.path.basename(path)) if path and os.path.basename(path) in HEADERS else 4
        if kind == "change":
            self.write(path, header(rng, number))
        elif kind == "appear":
            i = rng.randrange(len(HEADERS))
            path = "%s/%s" % (rng.choice(PLACES), HEADERS[i])
            self.write(path, header(rng, i))
        elif kind == "vanish":
            self.remove(path)
        elif kind == "link":
            i = rng.randrange(len(HEADERS))
            name = "%s/%s" % (rng.choice(PLACES), HEADERS[i])
            if name != path and not os.path.islink(full):
                self.remove(name)
                os.symlink(os.path.relpath(full, os.path.dirname(os.path.join(self.top, name))), os.path.join(self.top, name))
        elif kind == "touch":
            os.utime(full)
        elif kind in ("same-size", "old-time"):
            if not os.path.exists(full):
                return "nothing"
            st = os.stat(full)
            with open(full) as f:
                text = f.read()
            digits = [i for i, c in enumerate(text) if c.isdigit() and i and text[i - 1] == " "]
            if digits:
                at = rng.choice(digits)
                text = text[:at] + str((int(text[at]) + 1) % 10) + text[at + 1:]
            with open(full, "w") as f:
                f.write(text)
            if kind == "old-time":
                os.utime(full, ns=(st.st_atime_ns, st.st_mtime_ns))
        elif kind == "replace":  # as an editor does: a new file under the old name
            self.write("tmp-edit", header(rng, number))
            os.rename(os.path.join(self.top, "tmp-edit"), full)
        elif kind == "data":
            self.write("data.bin", "data%d" % rng.randrange(10))
        elif kind == "part":
            self.write("part.inc", "\t.byte %d\n" % rng.randrange(10))
        elif kind == "rsp":
            self.write("flags.rsp", "-DVALUE=%d -I%s" % (rng.randrange(10), rng.choice(PLACES)))
        elif kind == "specs":
            self.write("my.specs", "*cc1_options:\n+ -DVALUE=%d\n\n" % rng.randrange(10))
            self.write("my.cfg", "-DVALUE=%d\n" % rng.randrange(10))
            self.write("ignore.txt", "fun:f%d\n" % rng.randrange(4))
        elif kind == "source":
            self.write("src/a.c", C_SOURCE % {"n": 0, "k": rng.randrange(9)})
        elif kind == "maybe":
            name = "%s/maybe.h" % rng.choice(PLACES)
            if os.path.lexists(os.path.join(self.top, name)):
                self.remove(name)
            else:
                self.write(name, "#undef H0\n#define H0 %d\n" % rng.randrange(10))
        elif kind == "copy":
            name = "%s/%s" % (rng.choice(PLACES), os.path.basename(path))
            if name != path and os.path.exists(full):
                self.remove(name)
                shutil.copy2(full, os.path.join(self.top, name))
        elif kind == "deny":
            what = os.path.join(self.top, rng.choice(["one", "two", "one/deep"])) if rng.random() < 0.6 or not path else full
            if os.path.exists(what):
                os.chmod(what, 0 if os.stat(what).st_mode & 0o700 else 0o755)
            path = os.path.relpath(what, self.top)
        elif kind == "pch":
            cc, end = rng.choice([("gcc", ".gch"), ("g++", ".gch"), ("clang", ".pch"), ("clang++", ".gch")])
            place, i = rng.choice(PLACES), rng.choice([0, 1])
            path = "%s/%s%s" % (place, HEADERS[i], end)
            self.write("%s/%s" % (place, HEADERS[i]), header(rng, i))
            language = "c++-header" if "++" in cc else "c-header"
            subprocess.run([cc, "-x", language, "%s/%s" % (place, HEADERS[i]), "-o", path, "-idirafter", "base"] +
                           rng.choice([[], [], ["-O2"], ["-g"], ["-Xclang", "-fno-pch-timestamp"] if "clang" in cc else []]),
                           cwd=self.top, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        elif kind == "mode":
            os.chmod(full, rng.choice([0o600, 0o644, 0o444]), follow_symlinks=True) if os.path.exists(full) else None
        elif kind in ("dir-link", "rename-dir"):
            a, b = rng.sample(["one", "two"], 2)
            pa, pb = os.path.join(self.top, a), os.path.join(self.top, b)
            if os.path.islink(pa) or os.path.islink(pb):
                self.go_back(rng.choice(self.states))
                return "back"
            if kind == "rename-dir":
                os.rename(pa, pa + ".x")
                os.rename(pb, pa)
                os.rename(pa + ".x", pb)
                os.makedirs(os.path.join(self.top, "one/deep"), exist_ok=True)
            else:
                shutil.rmtree(pa)
                os.symlink(b, pa)
                os.makedirs(os.path.join(self.top, "one/deep"), exist_ok=True)
        return "%s %s" % (kind, path)

    # ---- calls ----

    def new_call(self):
        rng = self.random
        cc = rng.choice(self.options.compiler)
        source = rng.choice(["src/a.c", "src/a.c", "src/b.c", "src/c.cc", "src/d.cpp", "src/s.S"])
        obj = rng.choice(["out/x.o", "out/y.o", "x.o", "build/x.o", None])
        base = obj[:-2] if obj else "noname"
        pool = BOTH + (CLANG if "clang" in cc else GCC)
        words = []
        for _ in range(rng.choice([0, 1, 2, 2, 3, 4, 6])):
            words += rng.choice(BOTH[:45] if rng.random() < 0.5 else pool)
        if any(w in ("--coverage", "-fprofile-arcs", "-ftest-coverage") for w in words) and "clang" not in cc:
            words += ["-frandom-seed=1"]
        if "-flto" in words and "clang" not in cc:
            words += ["-frandom-seed=1"]
        path = ["-Isrc", "-Ione", "-Itwo", "-Ione/deep"]
        rng.shuffle(path)
        words += path[:rng.choice([0, 1, 2, 3, 4, 4, 4, 4])]
        words = [w.replace("@OBJ@", base) for w in words]
        cwd = rng.choice(["", "", "", "build"])
        args = words + (["-idirafter", "base"] if rng.random() < 0.9 else []) + ["-c", source] + (["-o", obj] if obj else [])
        if cwd:
            args = [self.from_build(w) for w in args]
        env = {}
        for _ in range(rng.choice([0, 0, 0, 1, 2])):
            name = rng.choice(sorted(VARIABLES))
            env[name] = rng.choice(VARIABLES[name])
        return {"cc": cc, "args": args, "cwd": cwd, "env": env}

    def from_build(self, word):
        for start in ("", "-I", "@", "-B"):
            rest = word[len(start):]
            if word.startswith(start) and rest.split("/")[0] in NAMES:
                return start + "../" + rest
        return word

    def vary(self, call):
        """The same call with one word more, or less, or with another variable."""
        rng = self.random
        other = json.loads(json.dumps(call))
        kind = rng.choice(["env", "env", "word", "order"])
        if kind == "env":
            name = rng.choice(sorted(VARIABLES))
            if name in other["env"]:
                del other["env"][name]
            else:
                other["env"][name] = rng.choice(VARIABLES[name])
        elif kind == "word":
            other["args"] = rng.choice([["-DVALUE=5"], ["-Ione"], ["-Itwo"], ["-w"], ["-MD"], ["-g"]]) + other["args"]
        elif len(other["args"]) > 2:
            i = rng.randrange(len(other["args"]) - 1)
            a, b = other["args"][i], other["args"][i + 1]
            if a.startswith("-I") and b.startswith("-I"):
                other["args"][i], other["args"][i + 1] = b, a
        return other

    def run(self, call, store, base=None):
        """Through kache with that store, or without where there is none."""
        env = {k: v for k, v in os.environ.items() if k not in VARIABLES and not k.startswith(("KACHE_", "LC_"))}
        env.update({k: v.replace("@TOP@", self.top) for k, v in call["env"].items()})
        args = [w.replace("@TOP@", self.top) for w in call["args"]]
        if store:
            env.update({"KACHE_CACHE_DIR": os.path.join(self.scratch, store), "KACHE_DAEMON": "off",
                        "KACHE_CONFIG": os.path.join(self.scratch, "none.toml")})
        if store and base:
            env["KACHE_BASE_DIR"] = base
        cwd = os.path.join(self.top, call["cwd"]) if call["cwd"] else self.top
        env["PWD"] = cwd
        done = subprocess.run(self.drop + ([self.options.kache] if store else []) + [call["cc"]] + args, cwd=cwd, env=env,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=120)
        return done.returncode, done.stdout, done.stderr

    def left(self, before):
        """What a call has left: made, changed or removed. The project is as before after that."""
        after = self.snapshot()
        result = {k: v for k, v in after.items() if before.get(k) != v}
        result.update({k: ("gone", 0, "") for k in before if k not in after})
        for key in sorted(result):
            if key not in before and key in after:
                self.remove(key)
        for key in result:
            if key in before and before[key][0] in ("file", "link"):
                self.put(key, before[key])
        return result

    def differ(self, a, b):
        said = []
        if a[0][0] != b[0][0]:
            said.append("exit %d for %d" % (b[0][0], a[0][0]))
        for k, name in ((1, "stdout"), (2, "stderr")):
            if a[0][k] != b[0][k]:
                said.append(name)
        for key in sorted(set(a[1]) | set(b[1])):
            if a[1].get(key) != b[1].get(key):
                x, y = a[1].get(key), b[1].get(key)
                how = "missing" if not y else "unasked" if not x else "mode" if x[1] != y[1] else "content"
                said.append("%s (%s)" % (key, how))
        return said

    def step(self, n):
        rng = self.random
        try:
            what = self.edit()
        except OSError:  # a link that leads nowhere, or in a circle
            what = "nothing"
        if len(self.calls) > 3 and rng.random() < 0.85:
            call = rng.choice(self.calls[-8:])
            if rng.random() < 0.15:
                call = self.vary(call)
                self.calls.append(call)
        else:
            call = self.new_call()
            self.calls.append(call)
        if what != "back" and rng.random() < 0.4:
            self.remember()
        if rng.random() < self.options.pauses:
            time.sleep(2.2)
        # It says what the compiler was called with, to which a base directory adds.
        if rng.random() < self.options.moved and "CC_PRINT_OPTIONS" not in call["env"]:
            home, self.top = self.top, os.path.join(self.scratch, rng.choice(["copies/q", "r"]))
            shutil.rmtree(self.top, ignore_errors=True)
            shutil.copytree(home, self.top, symlinks=True)
            try:
                self.compare(n, what, call, self.top)
            finally:
                self.top = home
        else:
            self.compare(n, what, call, None)

    def right(self, call, base, before):
        """What a call has to say and leave."""
        said, left = self.run(call, None), self.left(before)
        if base:
            shutil.rmtree(os.path.join(self.scratch, "empty"), ignore_errors=True)
            self.run(call, "empty", base)
            left = self.left(before)
        return said, left

    def compare(self, n, what, call, base):
        before = self.snapshot()
        first = self.right(call, base, before)
        cached = self.run(call, "store", base), self.left(before)
        self.compared += 1
        if first[0][0]:  # what can't be compiled is worth a look, but not for long
            self.failed += 1
            if self.random.random() < 0.6:
                self.calls.remove(call)
        said = self.differ(first, cached)
        if not said:
            return
        varies = {s.split(" ")[0] for s in self.differ(first, self.right(call, base, before))}
        if varies:
            self.unsteady += 1
            said = [s for s in said if s.split(" ")[0] not in varies]
        if not said:
            return
        self.wrong += 1
        print("wrong: seed %d, step %d, after %s%s: %s; %s" % (
            self.options.seed, n, what, " in " + os.path.basename(base) if base else "", ", ".join(said), json.dumps(call)),
            flush=True)
        if self.options.keep:
            for k, r in (("plain", first), ("kache", cached)):
                path = os.path.join(self.scratch, "wrong-%d-%s" % (n, k))
                os.makedirs(path)
                for name, data in (("stdout", r[0][1]), ("stderr", r[0][2])):
                    with open(os.path.join(path, name), "wb") as f:
                        f.write(data)
                for key, v in r[1].items():
                    if v[0] == "file":
                        with open(os.path.join(path, key.replace("/", "_")), "wb") as f:
                            f.write(v[2])
            sys.exit(1)

    def hits(self):
        env = dict(os.environ, KACHE_CACHE_DIR=os.path.join(self.scratch, "store"), KACHE_DAEMON="off")
        out = subprocess.run([self.options.kache, "stats", "--json"], env=env, stdout=subprocess.PIPE).stdout
        return json.loads(out)["hits"]


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("kache")
    parser.add_argument("--edits", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--compiler", action="append")
    parser.add_argument("--pauses", type=float, default=0.1)
    parser.add_argument("--moved", type=float, default=0.2)
    parser.add_argument("--results")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    options.compiler = options.compiler or [c for c in ("gcc", "g++", "clang", "clang++") if shutil.which(c)]
    options.kache = os.path.abspath(options.kache)
    oracle = Oracle(options)
    try:
        for n in range(options.edits):
            oracle.step(n)
        hits = oracle.hits()
    finally:
        if options.keep:
            print(oracle.scratch)
        else:
            shutil.rmtree(oracle.scratch, ignore_errors=True)
    line = "C, %s, seed %d: %d calls, %d failed, %d hits, %d differ each time, %d wrong" % (
        "+".join(options.compiler), options.seed, oracle.compared, oracle.failed, hits, oracle.unsteady, oracle.wrong)
    print(line)
    if options.results:
        with open(options.results, "a") as f:
            f.write(line + "\n")
    return 1 if oracle.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
