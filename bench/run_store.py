#!/usr/bin/env python3
"""What a sample costs on disk, in CPU and to read: lapwing beside VictoriaMetrics and Prometheus.

    bench/run_store.py [--series 1000] [--long 10] [--days 30] [--only WORD] [--json FILE]

The data set (bench/dataset.c) is loaded twice into each store, through its own bulk import: a day of
SERIES series, then DAYS days of LONG series. Each store is told to compact and is measured while it
runs: all files of its data directory. Then queries, kill -9, and how long until it answers again.
What lapwing exports is compared with the data set, bit for bit. Servers run one after the other on
this machine; one that is not installed is left out. Queries: ms of wall time and of the server's
CPU (bench/peers.py says of which processes).
"""
import argparse
import json
import pathlib
import shutil
import signal
import statistics
import struct
import tempfile
import time
import urllib.parse

from peers import (DAEMON, DAY_MS, DAY_SAMPLES, Lapwing, Prometheus, VictoriaMetrics, disk_bytes,
                   dumper)

QUERIES = 10  # of a kind


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
