#!/usr/bin/env python3
"""What a sample costs on disk, in CPU and to read: lapwing beside VictoriaMetrics and Prometheus.

    bench/run_store.py [--series 1000] [--long 10] [--days 30] [--only WORD] [--json FILE]

The data set (bench/dataset.c) is loaded twice into each store, through its own bulk import: a day of
SERIES series, then DAYS days of LONG series. Each store is told to compact and is measured while it
runs: all files of its data directory. Then queries, kill -9, and how long until it answers again.
What lapwing exports is compared with the data set, bit for bit. Servers run one after the other on
this machine; one that is not installed is left out. CPU is user + system of the process (for
Prometheus: of promtool, which is how it takes old data, and of the server). Queries: ms of wall
time and of the server's CPU.
"""
import argparse
import http.client
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import tempfile
import threading
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[1]
BIN = ROOT / "build" / "release" / "bench"
DAEMON = os.environ.get("LAPWINGD", str(ROOT / "build" / "lapwingd"))
DAY_MS = 86_400_000
DAY_SAMPLES = 8640
POST_BYTES = 8 << 20
QUERIES = 10  # of a kind
TICK = os.sysconf("SC_CLK_TCK")


def disk_bytes(directory):
    return sum(path.stat().st_size for path in pathlib.Path(directory).rglob("*") if path.is_file())


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def children_cpu():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Server:
    """A process, its port, and requests to it."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.data = self.directory / "data"
        self.process = None
        self.tool_cpu = 0

    def request(self, method, path, body=None, kind="application/json"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        connection.request(method, path, body, {"Content-Type": kind} if body else {})
        reply = connection.getresponse()
        text = reply.read()
        connection.close()
        return reply.status, text

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
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK + self.tool_cpu

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

    def query(self, expression, at_ms, **range_arguments):
        arguments = {"query": expression, "nocache": 1, **range_arguments}
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


def dumper(start_ms, series, samples, label):
    class Dump:
        def __init__(self, form):
            self.process = subprocess.Popen([BIN / "dataset_dump", form, str(start_ms), str(series),
                                             str(samples), f"set={label}"], stdout=subprocess.PIPE)

        def __enter__(self):
            return self.process.stdout

        def __exit__(self, *_):
            self.process.stdout.close()
            self.process.wait()

    return Dump


def bits(line):
    """Labels, and times and values of a line to the bit."""
    count = len(line["values"])
    return (tuple(sorted(line["metric"].items())),
            struct.pack(f"{count}q", *line["timestamps"]) + struct.pack(f"{count}d", *line["values"]))


def differing(server, dump):
    """Series whose export is not what was imported, to the bit."""
    sent = {}
    with dump("json") as source:
        for line in source:
            labels, content = bits(json.loads(line))
            sent[labels] = content
    checked = len(sent)
    for name in {dict(labels)["__name__"] for labels in sent}:
        text = server.must("GET", "/api/v1/export?" + urllib.parse.urlencode(
            {"match[]": f'{{__name__="{name}",set="day"}}'}))
        joined = {}
        for line in map(json.loads, text.splitlines()):
            whole = joined.setdefault(tuple(sorted(line["metric"].items())),
                                      {**line, "values": [], "timestamps": []})
            whole["values"] += line["values"]
            whole["timestamps"] += line["timestamps"]
        for labels, content in map(bits, joined.values()):
            if sent.get(labels) == content:
                del sent[labels]
    return len(sent), checked


def timed(server, *query, **range_arguments):
    """Median wall time and mean CPU time of a query, both in ms, after one call that warms up."""
    server.query(*query, **range_arguments)
    taken, before = [], server.cpu()
    for _ in range(QUERIES):
        start = time.monotonic()
        server.query(*query, **range_arguments)
        taken.append((time.monotonic() - start) * 1000)
    return f"{statistics.median(taken):.1f} / {(server.cpu() - before) * 1000 / QUERIES:.1f}"


def split(server, samples):
    return {f"  of which {kind}": size / samples for kind, size in server.split().items()
            if size / samples > 0.0005}


def measure(server, args, end_ms):
    day = dumper(end_ms - DAY_MS, args.series, DAY_SAMPLES, "day")
    long = dumper(end_ms - args.days * DAY_MS, args.long, args.days * DAY_SAMPLES, "long")
    samples = args.series * DAY_SAMPLES
    row = {}
    server.start()
    before = server.cpu()
    server.load(day)
    row["CPU s per million samples in"] = (server.cpu() - before) * 1e6 / samples
    server.compact()
    row["  with compaction"] = (server.cpu() - before) * 1e6 / samples
    row["bytes a sample, a day"] = disk_bytes(server.data) / samples
    if server.name != "prometheus":  # promtool's writes are not known
        row["bytes written, by those kept"] = server.written() / disk_bytes(server.data)
    if server.name == "lapwing":
        wrong, checked = differing(server, day)
        row["series that differ once exported"] = f"{wrong} of {checked}"
        row |= split(server, samples)
    server.load(long)
    server.compact()
    samples += args.long * args.days * DAY_SAMPLES
    row[f"bytes a sample, with {args.days} days"] = disk_bytes(server.data) / samples
    if server.name == "lapwing":
        row |= {name + " ": size for name, size in split(server, samples).items()}
    row["RSS, MB"] = server.status("VmRSS")
    hour = {"start": (end_ms - 3_600_000) / 1000, "end": end_ms / 1000 - 1, "step": 15}
    one, many = 'timer{set="long",shard="5"}', f"{args.series} series x 1 h"
    row[f"1 series x {args.days} d, each sample, ms"] = timed(server, f"{one}[{args.days}d]", end_ms)
    row[f"1 series x {args.days} d, its mean, ms"] = timed(
        server, f"avg_over_time({one}[{args.days}d])", end_ms)
    row[f"{many}, each sample, ms"] = timed(server, '{set="day"}[1h]', end_ms - 1)
    row[f"{many}, sum(rate()), ms"] = timed(server, 'sum(rate({set="day"}[1m]))', end_ms, **hour)
    server.end(signal.SIGKILL)
    start = time.monotonic()
    server.start()
    row["s, kill -9 to ready"] = time.monotonic() - start
    return row


def show(value):
    return value if isinstance(value, str) else "" if value is None else f"{value:.4g}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--long", type=int, default=10)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--only", default="")
    parser.add_argument("--json")
    args = parser.parse_args()
    end_ms = (int(time.time()) // 86400 - 1) * DAY_MS
    results = {}
    for make, program in ((Lapwing, DAEMON), (VictoriaMetrics, "victoria-metrics"),
                          (Prometheus, "promtool")):
        if args.only not in make.name or not shutil.which(program):
            continue
        with tempfile.TemporaryDirectory() as directory:
            server = make(directory)
            try:
                results[make.name] = measure(server, args, end_ms)
            finally:
                server.end(signal.SIGKILL)
    names = list(results)
    rows = list(dict.fromkeys(name for row in results.values() for name in row))
    print(f"{args.series * DAY_SAMPLES / 1e6:.2f} M samples of a day, "
          f"{args.long * args.days * DAY_SAMPLES / 1e6:.2f} M of {args.days} days")
    print(f"{'':38}" + "".join(f"{name:>18}" for name in names))
    for name in rows:
        print(f"{name:38}" + "".join(f"{show(results[who].get(name)):>18}" for who in names))
    if "lapwing" in results and "victoria-metrics" in results:
        ours, theirs = (results[who]["bytes a sample, a day"]
                        for who in ("lapwing", "victoria-metrics"))
        print(f"bytes a sample, lapwing / victoria-metrics: {ours / theirs:.3f}")
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
