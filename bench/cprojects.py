"""Real projects in C and C++ with build systems of their own: sources from packages of crates.io, which carry them, built plainly and through
each launcher. Each project is a function that makes one in an empty directory, configured for the tool, and gives back its commands."""
import os
import pathlib
import shutil
import subprocess
import time

import projects
import tools

JOBS = "-j%d" % (os.cpu_count() or 1)


def package(name, version, part, where):
    """A directory of a crate, copied."""
    fetch = where.parent / ("fetch-" + name)
    if not fetch.exists():
        projects.package(fetch, "fetch", '%s = "=%s"\n' % (name, version), '[lib]\npath = "lib.rs"\n[workspace]')
        projects.write(fetch / "lib.rs", "")
        projects.lock(fetch)
    source = next((projects.CARGO_HOME / "registry" / "src").glob("*/%s-%s*" % (name, version)))
    shutil.copytree(source / part, where, symlinks=True)
    subprocess.run(["chmod", "-R", "u+w", str(where)], check=True)
    return source


def run(command, where, env):
    done = subprocess.run(command, cwd=where, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise RuntimeError("%s in %s:\n%s" % (" ".join(command), where, done.stdout[-2000:]))


def compiler(tool, name):
    return " ".join(tool.launch + (name,))


def zstd(tool, where, env):
    """make, C: zstd's static library, by its own Makefile."""
    package("librocksdb-sys", "6.20.3", "zstd", where)
    return [["make", "-s", JOBS, "-C", "lib", "libzstd.a", "CC=" + compiler(tool, "gcc")]], ["make", "-s", "-C", "lib", "clean"]


def rdkafka(tool, where, env):
    """CMake and ninja, C and C++: librdkafka."""
    package("rdkafka-sys", "4.10.0", "librdkafka", where)
    launchers = ["-DCMAKE_%s_COMPILER_LAUNCHER=%s" % (lang, tool.launch[0]) for lang in ("C", "CXX") if tool.launch]
    off = ["-D%s=OFF" % o for o in ("RDKAFKA_BUILD_EXAMPLES", "RDKAFKA_BUILD_TESTS", "WITH_SSL", "WITH_ZLIB", "WITH_CURL", "WITH_ZSTD", "WITH_SASL")]
    run(["cmake", "-G", "Ninja", "-S", ".", "-B", "out", "-DCMAKE_BUILD_TYPE=RelWithDebInfo"] + off + launchers, where, env)
    return [["ninja", "-C", "out", JOBS]], ["ninja", "-C", "out", "clean"]


def sodium(tool, where, env):
    """autotools with automake and libtool, C: libsodium, static; configured plainly."""
    package("libsodium-sys", "0.2.7", "libsodium", where)
    run(["sh", "./configure", "-q", "--disable-shared", "CC=gcc"], where, env)
    return [["make", "-s", JOBS, "-C", "src/libsodium", "CC=" + compiler(tool, "gcc")]], ["make", "-s", "-C", "src/libsodium", "clean"]


def rocksdb(tool, where, env):
    """cargo and the cc crate, C++: RocksDB below a program of ten lines. With kache the crates in Rust are cached too."""
    projects.package(where, "rocks", 'rocksdb = { version = "0.24", default-features = false }\n', "[workspace]")
    projects.write(where / "src/main.rs", "fn main() { let _ = rocksdb::Options::default(); }\n")
    projects.lock(where)
    return [["cargo", "build", "-q", "--offline"]], ["rm", "-rf", "target"]


PROJECTS = {"zstd": zstd, "rdkafka": rdkafka, "sodium": sodium}
LARGE = {"rocksdb": rocksdb}


class Project:
    """One project through one tool."""

    def __init__(self, tool, where, make):
        self.tool, self.where = tool, where
        self.env = dict(tool.environment(), LC_ALL="C")
        if make is rocksdb and tool.launch:
            self.env.update(CC=compiler(tool, "gcc"), CXX=compiler(tool, "g++"))
        where.parent.mkdir(parents=True, exist_ok=True)
        self.commands, self.clean = make(tool, where, self.env)

    def build(self):
        run(self.clean, self.where, self.env)
        servers = {pid: tools.cpu_of(pid) for pid in self.tool.pids()}
        os.sync()
        before = os.times()
        start = time.monotonic()
        for command in self.commands:
            run(command, self.where, self.env)
        wall = time.monotonic() - start
        after = os.times()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        return {"wall": wall, "cpu": cpu + sum(tools.cpu_of(pid) - servers.get(pid, 0.0) for pid in self.tool.pids())}


def measure(found, work, make, rounds):
    """Everybody once from an empty store, then `rounds` times with everything stored."""
    for tool in found:
        tool.wipe()
        tool.start()
    places = [Project(t, work / "c" / t.name / make.__name__, make) for t in found]
    scenes = {"cold": {}, "warm": {}}
    hits = {}
    for one in places:
        scenes["cold"][one.tool.name] = [one.build()]
    time.sleep(2.5)		# what is younger than two seconds is not remembered
    cached = [p for p in places if p.tool.launch]
    for one in cached:
        before = one.tool.hits()
        one.build()
        hits[one.tool.name] = one.tool.hits() - before
    for i in range(rounds):
        for k in range(len(cached)):
            one = cached[(i + k) % len(cached)]
            scenes["warm"].setdefault(one.tool.name, []).append(one.build())
    shutil.rmtree(work / "c")
    return {"what": make.__doc__, "scenes": scenes, "hits": hits}
