#!/usr/bin/env python3
"""A storage helper for tests: keeps what it gets in the directory that its URL names (dir:/path).

Attributes that make it misbehave: version=N in its greeting; caps=list of numbers; get, put or remove=what to
answer ("error:message", "noop", "garbage", "hang", "close", "cut"); start=exit, or deaf (does not listen).
Every start adds a line with its process id to the file "starts" in the directory."""
import os
import socket
import struct
import sys
import threading
import time

place = os.environ["CRSH_URL"].split(":", 1)[1]
attributes = {os.environ["CRSH_ATTR_KEY_%d" % i]: os.environ["CRSH_ATTR_VALUE_%d" % i]
              for i in range(int(os.environ["CRSH_NUM_ATTR"]))}
idle = int(os.environ["CRSH_IDLE_TIMEOUT"])
last = [time.monotonic()]
directory = place.split("?")[0]


class Gone(Exception):
    pass


def receive(c, n):
    data = b""
    while len(data) < n:
        more = c.recv(min(n - len(data), 1 << 20))
        if not more:
            raise Gone
        data += more
    return data


def misbehave(c, how):
    if how.startswith("error:"):
        text = how[6:].encode()
        c.sendall(bytes([2, len(text)]) + text)
    elif how == "noop":
        c.sendall(b"\1")
    elif how == "garbage":
        c.sendall(b"\x77 what is this?")
    elif how == "hang":
        time.sleep(1000)
    elif how == "cut":
        c.sendall(b"\0" + struct.pack("=Q", 1000) + b"half of it")
        raise Gone
    else:
        raise Gone


def get(c, path):
    try:
        with open(path, "rb") as f:
            data = f.read()
    except FileNotFoundError:
        return c.sendall(b"\1")
    c.sendall(b"\0" + struct.pack("=Q", len(data)) + data)


def put(c, path, flags, data):
    if not flags & 1 and os.path.exists(path):
        return c.sendall(b"\1")
    temp = "%s.%d" % (path, threading.get_ident())
    with open(temp, "wb") as f:
        f.write(data)
    os.rename(temp, path)
    c.sendall(b"\0")


def remove(c, path):
    try:
        os.unlink(path)
    except FileNotFoundError:
        return c.sendall(b"\1")
    c.sendall(b"\0")


def request(c):
    op = receive(c, 1)[0]
    last[0] = time.monotonic()
    if op == 3:
        c.sendall(b"\0")
        os._exit(0)
    key = receive(c, receive(c, 1)[0])
    path = os.path.join(directory, "objects", key.hex())
    if op == 1:
        flags = receive(c, 1)[0]
        data = receive(c, struct.unpack("=Q", receive(c, 8))[0])
    how = attributes.get({0: "get", 1: "put", 2: "remove"}.get(op, ""))
    if how:
        misbehave(c, how)
    elif op == 0:
        get(c, path)
    elif op == 1:
        put(c, path, flags, data)
    elif op == 2:
        remove(c, path)
    elif op == 5:
        c.sendall(b"\0" + (b"\1" if os.path.exists(path) else b"\0"))
    else:
        raise Gone


def serve(c):
    caps = bytes(int(n) for n in attributes.get("caps", "0").split(",") if n)
    try:
        c.sendall(bytes([int(attributes.get("version", "1")), len(caps)]) + caps)
        while True:
            request(c)
    except (Gone, OSError):
        c.close()


def main():
    os.makedirs(os.path.join(directory, "objects"), exist_ok=True)
    with open(os.path.join(directory, "starts"), "a") as f:
        f.write("%d\n" % os.getpid())
    with open(os.path.join(directory, "settings"), "w") as f:
        f.write("url %s\n" % os.environ["CRSH_URL"])
        f.writelines("attribute %s is %s\n" % pair for pair in attributes.items())
        f.write("descriptors %s\n" % " ".join(sorted(n for n in os.listdir("/proc/self/fd") if int(n) > 3)))
    if attributes.get("start") == "exit":
        sys.exit(1)
    if attributes.get("start") == "deaf":
        time.sleep(3)
        sys.exit(1)
    s = socket.socket(socket.AF_UNIX)
    os.umask(0o077)
    s.bind(os.environ["CRSH_IPC_ENDPOINT"])
    s.listen(100)
    s.settimeout(0.2)
    while not idle or time.monotonic() - last[0] < idle:
        try:
            c, _ = s.accept()
        except socket.timeout:
            continue
        c.settimeout(None)
        last[0] = time.monotonic()
        threading.Thread(target=serve, args=(c,), daemon=True).start()
    os.unlink(os.environ["CRSH_IPC_ENDPOINT"])
    os._exit(0)


main()
