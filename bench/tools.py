"""What builds are made with: plain cargo, the floor, kache, and what a user would pick instead, each as its documentation sets it up for
speed. Peers are found on PATH (or where an option says) and never built here."""
import json
import os
import pathlib
import shutil
import subprocess

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def daemons(mark):
    """Processes whose command line or environment has `mark` in it: servers that work beside the build."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if mark.encode() in (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            pass
    return found


def cpu_of(pid):
    """User and system time in seconds, of the process and its dead children."""
    try:
        fields = pathlib.Path("/proc/%d/stat" % pid).read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return sum(int(n) for n in fields[11:15]) / CLOCK_TICKS


class Tool:
    """One way to build. store: its directory, work: the benchmark's."""

    cargo = "cargo"
    wrapper = True		# does it get better from what it has stored?

    def __init__(self, name, work, program=None):
        self.name, self.program = name, program
        self.store = work / ("store-" + name)

    def variables(self):
        return {}

    def wipe(self):
        self.stop()
        shutil.rmtree(self.store, ignore_errors=True)

    def start(self):
        self.store.mkdir(parents=True, exist_ok=True)

    def stop(self):
        pass

    def environment(self):
        env = {k: v for k, v in os.environ.items()
               if not k.startswith(("KACHE_", "SCCACHE_", "MBX_", "CCACHE_", "CARGO_", "RUSTC", "RUSTFLAGS", "MAKE", "MFLAGS")) or
               k in ("CARGO_HOME", "RUSTUP_HOME")}
        env.update(CARGO_TERM_COLOR="never", CARGO_NET_OFFLINE="true", XDG_CONFIG_HOME=str(self.store / "none"))
        env.update(self.variables())
        return env

    def version(self):
        out = subprocess.run([self.program, "--version"], capture_output=True, text=True, check=False).stdout
        return out.split("\n")[0]

    def pids(self):
        return daemons(str(self.store))


class Plain(Tool):
    wrapper = False

    def version(self):
        return subprocess.run(["cargo", "--version"], capture_output=True, text=True, check=True).stdout.strip()


class Kache(Tool):
    def variables(self):
        return {"RUSTC_WRAPPER": self.program, "KACHE_CACHE_DIR": str(self.store)}


class KacheScripts(Kache):
    """With the runs of build scripts answered, too, which is off by default."""

    def variables(self):
        return {**super().variables(), "KACHE_BUILD_SCRIPTS": "1"}


class Floor(Tool):
    """Answers are recorded once, per place and mode."""

    recording = False

    def variables(self):
        return {"RUSTC_WRAPPER": self.program, "FLOOR_RECORD" if self.recording else "FLOOR_REPLAY": str(self.store)}

    def version(self):
        return "bench/floor.c"


class Sccache(Tool):
    """Incremental crates it does not cache, so that is off, as its manual says."""

    def variables(self):
        return {"RUSTC_WRAPPER": self.program, "SCCACHE_DIR": str(self.store), "SCCACHE_SERVER_UDS": str(self.store) + ".sock",
                "SCCACHE_IDLE_TIMEOUT": "0", "SCCACHE_CACHE_SIZE": "50G", "CARGO_INCREMENTAL": "0"}

    def start(self):
        super().start()
        self.stop()		# a second one would take the first one's socket, and the first would stay for ever
        subprocess.run([self.program, "--start-server"], env=self.environment(), capture_output=True, check=False)

    def stop(self):
        if os.path.exists(str(self.store) + ".sock"):
            subprocess.run([self.program, "--stop-server"], env=self.environment(), capture_output=True, check=False)


class RustKache(Tool):
    def variables(self):
        return {"RUSTC_WRAPPER": self.program, "KACHE_CACHE_DIR": str(self.store), "KACHE_SOCKET_PATH": str(self.store) + ".sock",
                "KACHE_AUTO_GC": "false"}

    def stop(self):
        if self.store.exists():
            subprocess.run([self.program, "daemon", "stop"], env=self.environment(), capture_output=True, check=False)


class Mbx(Tool):
    """`mbx build` in the place of `cargo build`: the target directory is a link to one that it manages."""

    def __init__(self, name, work, program):
        super().__init__(name, work, program)
        self.cargo = program

    def variables(self):
        return {"MBX_CACHE_DIR": str(self.store), "MBX_GC_AUTO": "0"}


class Ccache(Tool):
    """Plain cargo, and C through ccache in depend mode, its fastest."""

    def variables(self):
        return {"CC": self.program + " cc", "CXX": self.program + " c++", "CCACHE_DIR": str(self.store), "CCACHE_DEPEND": "1",
                "CCACHE_SLOPPINESS": "include_file_mtime,include_file_ctime", "CCACHE_NOCOMPRESS": "1", "CCACHE_MAXSIZE": "20G"}


class Launcher:
    """What C is compiled through: `launch` goes before the compiler's name. Rust is compiled plainly."""

    launch = ()

    def variables(self):
        return {}

    def pids(self):
        return daemons(str(self.store)) if self.launch else []

    def ask(self, *words):
        return subprocess.run([self.program] + list(words), env=self.environment(), capture_output=True, text=True, check=True).stdout

    def hits(self):
        """How many there were since the store was made."""
        return 0


class PlainC(Launcher, Plain):
    def version(self):
        return subprocess.run(["cc", "--version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]


class KacheC(Launcher, Tool):
    def __init__(self, name, work, program):
        super().__init__(name, work, program)
        self.launch = (program,)

    def variables(self):
        return {"KACHE_CACHE_DIR": str(self.store)}

    def hits(self):
        return json.loads(self.ask("stats", "--json"))["hits"]


class CcacheC(KacheC):
    """In direct mode, with all that its manual has for speed on one machine: links for objects, nothing compressed, hashes remembered,
    headers known by their times. In ccache-depend without the preprocessor too, wherever a call makes a list of dependencies."""

    def variables(self):
        v = {"CCACHE_DIR": str(self.store), "CCACHE_MAXSIZE": "20G", "CCACHE_NOCOMPRESS": "1", "CCACHE_HARDLINK": "1",
             "CCACHE_INODECACHE": "1", "CCACHE_SLOPPINESS": "include_file_mtime,include_file_ctime,file_stat_matches"}
        if self.name == "ccache-depend":
            v["CCACHE_DEPEND"] = "1"
        return v

    def hits(self):
        counts = dict(line.split("\t") for line in self.ask("--print-stats").split("\n") if line)
        return int(counts["direct_cache_hit"]) + int(counts["preprocessed_cache_hit"])


class SccacheC(KacheC, Sccache):
    def variables(self):
        return {"SCCACHE_DIR": str(self.store), "SCCACHE_SERVER_UDS": str(self.store) + ".sock", "SCCACHE_IDLE_TIMEOUT": "0",
                "SCCACHE_CACHE_SIZE": "50G", "SCCACHE_DIRECT": "true"}

    def hits(self):
        return sum(json.loads(self.ask("--show-stats", "--stats-format", "json"))["stats"]["cache_hits"]["counts"].values())


C_NAMES = ["plain", "kache", "ccache", "ccache-depend", "sccache"]


def find_c(names, build, work):
    """The same for C."""
    found = []
    for name in names:
        cls = {"plain": PlainC, "kache": KacheC, "sccache": SccacheC}.get(name, CcacheC)
        program = str(build / "kache") if name == "kache" else shutil.which(name.split("-")[0])
        if name == "plain":
            found.append(PlainC(name, work))
        elif program:
            found.append(cls(name, work, program))
        else:
            print("bench: %s is not on PATH: left out" % name)
    return found


def rust_kache(ours):
    """The crate of that name from crates.io: a kache on PATH that is not ours."""
    for directory in os.environ.get("PATH", "").split(os.pathsep):
        path = os.path.join(directory, "kache")
        if os.access(path, os.X_OK) and not os.path.samefile(path, ours):
            return path
    return None


def find(names, build, work):
    """The tools of that name that are there; what is missing is said and left out."""
    ours = build / "kache"
    makers = {
        "plain": lambda: Plain("plain", work),
        "floor": lambda: Floor("floor", work, str(build / "bench/floorw")),
        "kache": lambda: Kache("kache", work, str(ours)),
        "kache-scripts": lambda: KacheScripts("kache-scripts", work, str(ours)),
    }
    peers = {"sccache": (Sccache, shutil.which("sccache")), "rust-kache": (RustKache, rust_kache(ours)),
             "mbx": (Mbx, shutil.which("mbx")), "ccache": (Ccache, shutil.which("ccache"))}
    found = []
    for name in names:
        if name in makers:
            found.append(makers[name]())
        elif peers[name][1]:
            found.append(peers[name][0](name, work, peers[name][1]))
        else:
            print("bench: %s is not on PATH: left out" % name)
    return found


NAMES = ["plain", "floor", "kache", "kache-scripts", "sccache", "rust-kache", "mbx", "ccache"]
