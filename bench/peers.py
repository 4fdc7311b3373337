"""The servers that benches compare, and the data set they are fed with: start, load, ask, measure.

A server has a directory, a process, one connection that is kept alive, and its own bulk import.
CPU is user + system of the process (for Prometheus: of promtool, which is how it takes old data,
and of the server).
"""
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[1]
BIN = ROOT / "build" / "release" / "bench"
DAEMON = os.environ.get("LAPWINGD", str(ROOT / "build" / "lapwingd"))
DAY_MS = 86_400_000
STEP_MS = 10_000
DAY_SAMPLES = DAY_MS // STEP_MS
POST_BYTES = 8 << 20


def disk_bytes(directory):
    return sum(path.stat().st_size for path in pathlib.Path(directory).rglob("*") if path.is_file())


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def children_cpu():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Connection:
    """HTTP/1.1 over one connection that is kept alive, and no more of it than these servers speak: http.client
    takes 0.05 ms for a call, three times as long as a server may take for its answer."""

    def __init__(self, port):
        self.port = port
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=300)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.replies = self.socket.makefile("rb")

    def close(self):
        self.replies.close()
        self.socket.close()

    def line(self):
        text = self.replies.readline()
        if not text.endswith(b"\r\n"):
            raise ConnectionResetError("the server has closed the connection")
        return text[:-2]

    def bytes(self, count):
        text = self.replies.read(count)
        if len(text) < count:
            raise ConnectionResetError(f"{count - len(text)} bytes of an answer are missing")
        return text

    def chunks(self):
        while count := int(self.line(), 16):
            yield self.bytes(count)
            self.line()
        self.line()

    def request(self, method, path, body, kind):
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        if body is not None:
            head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        self.socket.sendall(head.encode() + b"\r\n" + (body or b""))
        status = int(self.line().split()[1])
        headers = {}
        while line := self.line():
            name, value = line.split(b":", 1)
            headers[name.lower()] = value.strip()
        if headers.get(b"transfer-encoding") == b"chunked":
            return status, b"".join(self.chunks())
        return status, self.bytes(int(headers.get(b"content-length", 0)))


class Server:
    """A process, its port, and requests to it."""

    remembers = True  # answers

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.data = self.directory / "data"
        self.process = None
        self.connection = None
        self.tool_cpu = 0

    def request(self, method, path, body=None, kind="application/json"):
        """Once more when the server has closed the connection since the last one."""
        reused = self.connection and self.connection.port == self.port
        if not reused:
            self.connection = Connection(self.port)
        try:
            return self.connection.request(method, path, body, kind)
        except OSError:
            self.connection.close()
            self.connection = None
            if not reused or self.process.poll() is not None:
                raise
        return self.request(method, path, body, kind)

    def must(self, method, path, body=None, kind="application/json"):
        status, text = self.request(method, path, body, kind)
        if status >= 300:
            raise RuntimeError(f"{self.name}: {method} {path}: {status} {text[:300]}")
        return text

    def await_ready(self, path):
        while True:
            try:
                if self.request("GET", path)[0] == 200:
                    return
            except OSError:
                pass
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended: {self.process.returncode}")
            time.sleep(0.005)

    def cpu(self):
        """In seconds, to the nanosecond: the clock of another process is this number on Linux."""
        return time.clock_gettime(~self.process.pid << 3 | 2) + self.tool_cpu

    def status(self, field):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{field}:\s+(\d+) kB", text, re.M)[1]) / 1024

    def written(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/io").read_text()
        return int(re.search(r"^write_bytes: (\d+)", text, re.M)[1])

    def end(self, number=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait()
        if self.connection:
            self.connection.close()

    def query(self, expression, at_ms, cached=False, **range_arguments):
        arguments = {"query": expression, **range_arguments}
        if not cached:
            arguments["nocache"] = 1
        path = "query_range" if range_arguments else "query"
        if not range_arguments:
            arguments["time"] = at_ms / 1000
        return self.must("GET", f"/api/v1/{path}?" + urllib.parse.urlencode(arguments))


class Lapwing(Server):
    name = "lapwing"

    def start(self):
        config = self.directory / "lapwing.yaml"
        config.write_text("""
http: {listen: "127.0.0.1:0", body_max: 64MiB}
statsd: {udp: "127.0.0.1:0", tcp: ""}
logs: {json_tcp: ""}
retention: {raw: 60d}
limits: {query_memory: 2GiB, query_samples: 200000000}
""")
        self.process = subprocess.Popen([DAEMON, "--config", config, "--data", self.data],
                                        text=True, stderr=subprocess.PIPE)
        for line in self.process.stderr:
            if ready := re.search(r" ready .*http=\S*:(\d+)", line):
                self.port = int(ready[1])
                break
        else:
            raise RuntimeError("lapwingd did not start")
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def load(self, dump):
        with dump("json") as source:
            while lines := source.readlines(POST_BYTES):
                self.must("POST", "/api/v1/import", b"".join(lines))

    def compact(self):
        self.must("POST", "/api/v1/admin/tsdb/compact")

    def split(self):
        """What the bytes are for. Restarts the server."""
        self.end()
        out = subprocess.run([BIN / "store_split", self.data], check=True, stdout=subprocess.PIPE,
                             text=True).stdout
        self.start()
        return {line.split()[0]: int(line.split()[1]) for line in out.splitlines()}


class VictoriaMetrics(Server):
    name = "victoria-metrics"

    def start(self):
        self.port = free_port()
        self.process = subprocess.Popen(
            ["victoria-metrics", f"-storageDataPath={self.data}", "-retentionPeriod=100y",
             f"-httpListenAddr=127.0.0.1:{self.port}", "-loggerLevel=ERROR",
             "-search.maxQueryDuration=60s"], stderr=subprocess.DEVNULL)
        self.await_ready("/health")

    load = Lapwing.load

    def compact(self):
        self.must("GET", "/internal/force_flush")
        self.must("GET", "/internal/force_merge")
        size = -1
        while size != (size := disk_bytes(self.data)):  # merging goes on in the background
            time.sleep(1.5)


class Prometheus(Server):
    name = "prometheus"
    remembers = False

    def start(self):
        self.port = free_port()
        config = self.directory / "prometheus.yml"
        config.write_text("")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.data}",
             "--storage.tsdb.retention.time=100y", f"--web.listen-address=127.0.0.1:{self.port}",
             "--query.max-samples=500000000", "--log.level=error"], stderr=subprocess.DEVNULL)
        self.await_ready("/-/ready")

    def load(self, dump):
        """Old samples come by promtool, which writes blocks; the server must not run meanwhile."""
        self.end()
        text = self.directory / "openmetrics"
        with dump("openmetrics") as source, text.open("wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
        before = children_cpu()
        subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet",
                        "--max-block-duration=720h", text, self.data],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.tool_cpu += children_cpu() - before
        text.unlink()
        self.start()

    def compact(self):
        pass  # promtool has written blocks as large as they get


def dumper(start_ms, series, samples, label, step_ms=STEP_MS):
    class Dump:
        def __init__(self, form):
            self.process = subprocess.Popen([BIN / "dataset_dump", form, str(start_ms), str(series),
                                             str(samples), f"set={label}", str(step_ms)],
                                            stdout=subprocess.PIPE)

        def __enter__(self):
            return self.process.stdout

        def __exit__(self, *_):
            self.process.stdout.close()
            self.process.wait()

    return Dump
