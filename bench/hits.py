"""One hit by itself: the compiler call that cargo makes for a library with 20 sources and 5 dependencies (tests/lib/hit.sh), given to each
wrapper again and again, in turns."""
import os
import pathlib
import shutil
import statistics
import subprocess
import time

CAPTURE = """#!/bin/sh
case " $* " in
*" --crate-name hit "*) env -0 > "$HIT_AT.env"; printf '%s\\0' "$@" > "$HIT_AT.argv" ;;
esac
exec "$HIT_KACHE" "$@"
"""


class Caller:
    """The captured call of one tool, to be made again."""

    def __init__(self, tool, where, wrapper):
        self.tool, self.wrapper = tool, wrapper
        at = str(where) + "/hit"
        self.argv = [wrapper] + pathlib.Path(at + ".argv").read_bytes().decode().split("\0")[:-1]
        self.env = dict(v.split("=", 1) for v in pathlib.Path(at + ".env").read_bytes().decode().split("\0") if "=" in v)
        self.env["RUSTC_WRAPPER"] = wrapper
        self.env.update({k: v for k, v in tool.environment().items() if k.startswith(("FLOOR_", "KACHE_", "SCCACHE_"))})
        self.cwd = str(where)
        self.deps = where / "target/debug/deps"
        self.aside = where / "aside"
        self.aside.mkdir()
        self.times, self.n = [], 0

    def clear(self):
        """Moved away and not removed: a file system takes its time with names that have just been given up."""
        for path in self.deps.glob("*hit-*"):
            self.n += 1
            path.rename(self.aside / ("%d" % self.n))

    def call(self, before=(), keep=True):
        self.clear()
        argv = list(before) + self.argv
        os.chdir(self.cwd)
        null = os.open("/dev/null", os.O_RDWR)
        start = time.perf_counter()
        pid = os.posix_spawnp(argv[0], argv, self.env, file_actions=[(os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)])
        _, status = os.waitpid(pid, 0)
        took = time.perf_counter() - start
        os.close(null)
        if status or not list(self.deps.glob("libhit-*.rlib")):
            raise RuntimeError("%s: the call fails (status %d)" % (self.tool.name, status))
        if keep:
            self.times.append(took)


def count_calls(caller, work):
    """System calls of the client (a server's are its own), by strace; None without it."""
    if not shutil.which("strace"):
        return None
    trace = work / "trace"
    caller.call(["strace", "-f", "-o", str(trace)], keep=False)
    return sum(1 for line in trace.read_text(errors="replace").split("\n") if "(" in line and "resumed" not in line)


def peak_memory(caller, floorw):
    """Of the client, in KiB."""
    caller.clear()
    done = subprocess.run([floorw, "--memory"] + caller.argv, cwd=caller.cwd, env=caller.env, capture_output=True, text=True, check=True)
    return int(done.stdout)


def count_instructions(caller, work):
    """By callgrind, which can't look into every program; None then."""
    out = work / "callgrind"
    if not shutil.which("valgrind"):
        return None
    try:
        caller.call(["valgrind", "--tool=callgrind", "--callgrind-out-file=%s" % out, "--log-file=/dev/null"], keep=False)
    except RuntimeError:
        return None
    for line in out.read_text(errors="replace").split("\n"):
        if line.startswith(("summary:", "totals:")):
            return int(line.split()[1])
    return None


def measure(found, work, times, floorw, script, build, wipe_target):
    """times calls of each. Peers that are no compiler wrapper are left out."""
    callers = []
    home = os.getcwd()
    for tool in found:
        if tool.name in ("plain", "kache-scripts", "mbx", "ccache"):
            continue
        where = work / ("hit-" + tool.name)
        subprocess.run(["sh", "-c", '. "$1"; hit_make "$2"', "sh", str(script), str(where)], check=True)
        capture = where / "capture"
        capture.write_text(CAPTURE)
        capture.chmod(0o755)
        tool.wipe()
        tool.start()
        wrapper = tool.variables()["RUSTC_WRAPPER"]
        environment = tool.environment

        def through(t=tool, w=where, wr=wrapper, c=capture, e=environment):
            return dict(e(), RUSTC_WRAPPER=str(c), HIT_KACHE=wr, HIT_AT=str(w / "hit"), CARGO_INCREMENTAL="0",
                        KACHE_PREFILL="0")	# the call is to be made

        if tool.name == "floor":
            tool.recording = True
        tool.environment = through
        for _ in range(3):
            wipe_target(where)
            build(tool, where, "build", timed=False)
            if tool.name == "floor":
                tool.recording = False
            time.sleep(2.5)
        tool.environment = environment
        callers.append(Caller(tool, where, wrapper))
    for i in range(times + 3):
        for k in range(len(callers)):
            callers[(i + k) % len(callers)].call(keep=i >= 3)
    results = {}
    for caller in callers:
        instructions = count_instructions(caller, work) if caller.tool.name in ("floor", "kache") else None
        results[caller.tool.name] = {
            "us": statistics.median(caller.times) * 1e6, "us_tenth": sorted(caller.times)[len(caller.times) // 10] * 1e6,
            "rss_kib": peak_memory(caller, floorw), "calls": count_calls(caller, work), "instructions": instructions,
        }
    os.chdir(home)
    return results
