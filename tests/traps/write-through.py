#!/usr/bin/env python3
"""write-through.py STORE TARGET TRACE: did anything write into a file that is a link of a blob?

TRACE is what `strace -f -y` saw of a build. Follows which paths are links of blobs: those of TARGET that have several links before the
build (their list, one per line, is in TRACE.links), those that are linked from the store or into it, and where they are moved to. Prints
every call that would have changed the content, mode or time of one, by its path or by a descriptor, and how many calls were looked at.
Exit status 1 if there was one. Metadata, macros and build scripts may be as new as their place has them, which kache and, in a check,
cargo see to: of those the time alone may be set.
"""
import os
import re
import sys

CALL = re.compile(r"^(?:\d+ +)?(?:[\d.]+ )?(\w+)\((.*)\) += (-?\d+)(?:<(.*?)>)?")
STRING = re.compile(r'(?:(?:AT_FDCWD|\d+)(?:<([^>]*)>)?, )?"((?:[^"\\]|\\.)*)"')
YOUNG = re.compile(r"\.(?:rmeta|so)$|build[-_]script|/\.kache-[^/]*$")
UNFINISHED = re.compile(r"^(\d+ +)(.*) <unfinished \.\.\.>$")
RESUMED = re.compile(r"^(\d+ +)<\.\.\. \w+ resumed>(.*)$")


def lines(path):
    """Calls that another process came between are put together again, in the place of their end."""
    waiting = {}
    with open(path, errors="replace") as f:
        for line in f:
            line = line.rstrip("\n")
            m = UNFINISHED.match(line)
            if m:
                waiting[m.group(1)] = m.group(2)
                continue
            m = RESUMED.match(line)
            if m:
                line = m.group(1) + waiting.pop(m.group(1), "") + m.group(2)
            yield line


def main(store, target, trace):
    with open(trace + ".links") as f:
        links = set(f.read().splitlines())
    blobs = os.path.join(store, "blobs") + "/"
    own = store + "/"
    looked = bad = 0
    followed = len(links)
    for line in lines(trace):
        m = CALL.match(line)
        if not m or m.group(3).startswith("-"):
            continue
        name, args, fd_path = m.group(1), m.group(2), m.group(4)
        looked += 1
        paths = [os.path.normpath(os.path.join(a or "/", b)) for a, b in STRING.findall(args)]
        if name in ("link", "linkat") and len(paths) == 2:
            for a, b in (paths, paths[::-1]):
                if a in links or a.startswith(own):
                    if not b.startswith(own) and b not in links:
                        links.add(b)
                        followed += 1
        elif name in ("rename", "renameat", "renameat2") and len(paths) == 2:
            links.discard(paths[1])
            if paths[0] in links:
                links.discard(paths[0])
                links.add(paths[1])
        elif name in ("unlink", "unlinkat") and paths:
            links.discard(paths[0])
        elif name in ("open", "openat", "creat") and re.search(r"O_WRONLY|O_RDWR|O_TRUNC", args) or name == "creat":
            path = fd_path or (paths[0] if paths else "")
            # A blob is written once, under a temporary name.
            if path in links or path.startswith(blobs):
                print("written: " + line[:300])
                bad += 1
        elif name in ("truncate", "chmod", "chown", "lchown", "fchmodat", "fchownat", "utimensat", "setxattr", "utime", "utimes"):
            path = paths[0] if paths else re.sub(r"^\d+<(.*?)>.*", r"\1", args)
            if path in links and not (name == "utimensat" and YOUNG.search(path)):
                print("changed: " + line[:300])
                bad += 1
        elif name in ("fchmod", "ftruncate", "fallocate", "futimens"):
            if re.sub(r"^\d+<(.*?)>.*", r"\1", args) in links:
                print("changed: " + line[:300])
                bad += 1
    print("%d calls, %d links followed, %d written through" % (looked, followed, bad))
    return bad != 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
