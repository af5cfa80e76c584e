"""Single calls of a C compiler as whole processes, through each launcher in turns: hits, and what a miss takes beyond the compile."""
import os
import pathlib
import shutil
import statistics
import subprocess
import time

# Nearly all of the standard library of C++17.
HEADERS = """algorithm any array atomic bitset charconv chrono codecvt complex condition_variable deque exception execution filesystem
forward_list fstream functional future initializer_list iomanip ios iosfwd iostream istream iterator limits list locale map memory
memory_resource mutex new numeric optional ostream queue random ratio regex scoped_allocator set shared_mutex sstream stack stdexcept
streambuf string string_view system_error thread tuple type_traits typeindex typeinfo unordered_map unordered_set utility valarray variant
vector cassert cctype cerrno cfenv cfloat cinttypes climits clocale cmath csetjmp csignal cstdarg cstddef cstdint cstdio cstdlib cstring
ctime cuchar cwchar cwctype""".split()
SMALL = """#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int twice_%d(const char *s) { char *t = malloc(2 * strlen(s) + 1); sprintf(t, "%%s%%s", s, s); puts(t); free(t); return %d; }
"""
BIG = "".join("#include <%s>\n" % h for h in HEADERS) + "int twice_%d(const std::vector<int> &v) { return v.empty() ? %d : 2 * v.front(); }\n"

# name: source, text, compiler and arguments
FILES = {
    "small C": ("x.c", SMALL, ["gcc", "-O2", "-c", "x.c", "-o", "x.o"]),
    "C++": ("x.cc", BIG, ["g++", "-std=c++17", "-O2", "-c", "x.cc", "-o", "x.o"]),
    "C++, -g -MD": ("x.cc", BIG, ["g++", "-std=c++17", "-O2", "-g", "-MD", "-MF", "x.d", "-c", "x.cc", "-o", "x.o"]),
}
OUTPUTS = ("x.o", "x.d")


class Caller:
    """One file through one tool, in a directory of its own."""

    def __init__(self, tool, where, name, floorw):
        self.tool, self.where, self.floorw = tool, where, floorw
        self.source, self.text, command = FILES[name]
        self.argv = list(tool.launch) + command
        self.env = dict(tool.environment(), LC_ALL="C", PWD=str(where))
        (where / "aside").mkdir(parents=True)
        self.moved = 0
        self.write(0)

    def write(self, number):
        (self.where / self.source).write_text(self.text % (number, number))

    def call(self, before=()):
        """Seconds of wall and of processor, the server's left out. Outputs are moved away before, as after "make clean"; not removed: a file
        system takes its time with names that have just been given up."""
        os.chdir(self.where)
        for name in OUTPUTS:
            if os.path.exists(name):
                self.moved += 1
                os.rename(name, "aside/%d" % self.moved)
        argv = list(before) or [self.floorw, "--time"]
        done = subprocess.run(argv + self.argv, env=self.env, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode or not os.path.exists("x.o"):
            raise RuntimeError("%s: the call fails (status %d)" % (self.tool.name, done.returncode))
        return [] if before else [int(n) / 1e9 for n in done.stdout.split()]


def inputs_of(name, work):
    """The files that the compile reads."""
    source, text, command = FILES[name]
    (work / source).write_text(text % (0, 0))
    words = [command[0]] + [a for a in command if a.startswith("-std")] + ["-M", source]
    listed = subprocess.run(words, cwd=work, capture_output=True, text=True, check=True).stdout
    return [w for w in listed.split() if w != "\\"][1:]


class Floor(Caller):
    """No cache: a program that looks at what the compiler has read, and links what it has made."""

    def __init__(self, plain, work, name):
        super().__init__(plain.tool, work / "hit-floor" / name.replace(" ", ""), name, plain.floorw)
        super().call()
        (self.where / "inputs").write_text("\n".join(inputs_of(name, self.where)))
        self.argv = [self.floorw, "--look", "inputs"]
        for output in OUTPUTS:
            if (self.where / output).exists():
                (self.where / output).rename(self.where / ("made-" + output))
                self.argv += ["made-" + output, output]


def count_calls(caller, work):
    """System calls of one hit, by strace, the server's left out; None without it."""
    if not shutil.which("strace"):
        return None
    trace = work / "trace"
    caller.call(["strace", "-f", "-o", str(trace)])
    return sum(1 for line in trace.read_text(errors="replace").split("\n") if "(" in line and "resumed" not in line)


def count_instructions(caller, work):
    out = work / "callgrind"
    if not shutil.which("valgrind"):
        return None
    for _ in range(3):		# valgrind preloads a library, so that this is another call: stored, looked at, known
        caller.call(["valgrind", "--tool=callgrind", "--callgrind-out-file=%s" % out, "--log-file=/dev/null"])
    for line in out.read_text(errors="replace").split("\n"):
        if line.startswith(("summary:", "totals:")):
            return int(line.split()[1])
    return None


def turns(callers, i):
    return [callers[(i + k) % len(callers)] for k in range(len(callers))]


def spread(times):
    """Median, first and last tenth, in microseconds."""
    times = sorted(times)
    return {"us": statistics.median(times) * 1e6, "us_low": times[len(times) // 10] * 1e6, "us_high": times[-1 - len(times) // 10] * 1e6}


def hits_of(found, work, name, rounds, floorw):
    """One file: `rounds` hits with each tool, and a few plain compiles for comparison."""
    callers = [Caller(t, work / ("hit-" + t.name) / name.replace(" ", ""), name, floorw) for t in found]
    plain = [c for c in callers if not c.tool.launch]
    callers = [c for c in callers if c.tool.launch]
    floors = [Floor(c, work, name) for c in plain]
    for caller in callers:
        caller.call()
    time.sleep(2.5)		# what is younger than two seconds is not remembered
    for _ in range(3):
        for caller in callers:
            caller.call()
    before = {c: c.tool.hits() for c in callers}
    walls, cpus = {c: [] for c in plain + floors + callers}, {c: [] for c in plain + floors + callers}
    for i in range(rounds):
        for caller in turns(floors + callers, i) + (plain if i % 60 == 0 else []):
            wall, cpu = caller.call()
            walls[caller].append(wall)
            cpus[caller].append(cpu)
    results = {}
    for caller in plain + floors + callers:
        if caller in before and caller.tool.hits() - before[caller] != rounds:
            raise RuntimeError("%s: %d hits of %d calls" % (caller.tool.name, caller.tool.hits() - before[caller], rounds))
        ours = caller.tool.name == "kache"
        results["floor" if caller in floors else caller.tool.name] = dict(
            spread(walls[caller]), cpu_us=statistics.mean(cpus[caller]) * 1e6, rounds=len(walls[caller]),
            calls=count_calls(caller, work) if caller not in plain else None, instructions=count_instructions(caller, work) if ours else None)
    return results


def misses_of(found, work, name, rounds, floorw):
    """One file with fresh content in each round. What a tool takes beyond the plain compile is the difference within the round."""
    callers = [Caller(t, work / ("miss-" + t.name) / name.replace(" ", ""), name, floorw) for t in found]
    for caller in callers:
        caller.call()
    walls, cpus = {c.tool.name: [] for c in callers}, {c.tool.name: [] for c in callers}
    for i in range(rounds):
        for caller in turns(callers, i):
            caller.write(i + 1)
            time.sleep(0.05)	# nobody starts a compiler within the tick of the clock in which he saved
            wall, cpu = caller.call()
            walls[caller.tool.name].append(wall)
            cpus[caller.tool.name].append(cpu)
    results = {}
    for caller in callers:
        tool = caller.tool.name
        results[tool] = dict(spread(walls[tool]), cpu_us=statistics.median(cpus[tool]) * 1e6, rounds=rounds)
        if "plain" in walls and caller.tool.launch:
            results[tool]["over"] = spread([a - b for a, b in zip(walls[tool], walls["plain"])])
            results[tool]["over_cpu"] = spread([a - b for a, b in zip(cpus[tool], cpus["plain"])])
    return results


def measure(found, work, part, rounds, names, floorw):
    """{file: {"headers": n, tool: figures}}"""
    home, results = os.getcwd(), {}
    for name in names:
        for tool in found:
            tool.wipe()
            tool.start()
        if part == "c-hit":
            results[name] = hits_of(found, work, name, max(100, 60 * rounds), floorw)
        else:
            results[name] = misses_of(found, work, name, max(5, 6 * rounds) if name == "small C" else max(5, 3 * rounds), floorw)
        results[name] = {"headers": len(inputs_of(name, work)) - 1, "tools": results[name]}
        os.chdir(home)
        for where in work.glob("hit-*" if part == "c-hit" else "miss-*"):
            shutil.rmtree(where)
    return results
