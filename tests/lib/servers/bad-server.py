#!/usr/bin/env python3
"""A server of which nothing good comes: bad-server.py MODE PORT LOG; LOG gets a line per connection.

hole        takes connections and says nothing
garbage     answers with noise
reset       takes a request and resets the connection
busy        503 with Retry-After
throttle    429 without
stall       the head of an answer and half of its body
no-put      a web server where nothing is there and nothing may be put
s3-expired  an S3 server for which every session token has expired
s3-nobucket one without buckets
s3-skew     one whose clock is an hour ahead, and which is right else; objects live in memory
"""
import datetime, email.utils, http.server, re, socket, struct, sys, threading, time

mode, port, log = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def note():
    with open(log, "a") as f:
        f.write("x\n")


def raw(c):
    try:
        while c.recv(65536):
            if mode == "garbage":
                c.sendall(b"\x00\xff?!\r\n\r\n<<<" * 10)
            elif mode == "busy":
                c.sendall(b"HTTP/1.1 503 Busy\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n")
            elif mode == "throttle":
                c.sendall(b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n")
            elif mode == "reset":
                c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            elif mode == "stall":
                c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
    except OSError:
        pass
    finally:
        if mode in ("reset", "garbage"):
            c.close()


class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects = {}
    lock = threading.Lock()

    def setup(self):
        note()
        super().setup()

    def log_message(self, *args):
        pass

    def date_time_string(self, timestamp=None):
        return email.utils.formatdate(time.time() + 3600 * (mode == "s3-skew"), usegmt=True)

    def answer(self, status, body=b"", code=None):
        if code:
            body = b"<Error><Code>%s</Code></Error>" % code.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.headers.get("x-amz-content-sha256", "").startswith("STREAMING"):
            return data
        out = b""
        while data:
            size, data = data.split(b"\r\n", 1)
            n = int(size.split(b";")[0], 16)
            out, data = out + data[:n], data[n + 2:]
        return out

    def late(self):
        t = datetime.datetime.strptime(self.headers.get("x-amz-date", "19700101T000000Z"), "%Y%m%dT%H%M%SZ")
        return abs(t.replace(tzinfo=datetime.timezone.utc).timestamp() - time.time() - 3600) > 900

    def do(self):
        data = self.body()
        path = self.path.split("?")[0]
        if mode == "no-put":
            return self.answer(403 if self.command in ("PUT", "POST") else 404)
        if mode == "s3-expired":
            return self.answer(403, code="ExpiredToken")
        if mode == "s3-nobucket":
            return self.answer(404, code="NoSuchBucket")
        if self.late():
            return self.answer(403, code="RequestTimeTooSkewed")
        with self.lock:
            if self.command == "PUT":
                self.objects[path] = data
                return self.answer(200)
            if self.command == "DELETE":
                self.objects.pop(path, None)
                return self.answer(204)
            found = self.objects.get(path)
        return self.answer(404, code="NoSuchKey") if found is None else self.answer(200, found)

    do_GET = do_HEAD = do_PUT = do_DELETE = do_POST = do


def serve_raw():
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", port))
    s.listen(64)
    kept = []
    while True:
        c, _ = s.accept()
        kept.append(c)
        note()
        if mode != "hole":
            threading.Thread(target=raw, args=(c,), daemon=True).start()


if mode == "no-put" or mode.startswith("s3-"):
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Web).serve_forever()
else:
    serve_raw()
