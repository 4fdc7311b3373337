#!/usr/bin/python3
"""Moderate mixed load for a while; prints what the daemon costs, once every `--every` seconds.

    tests/soak.py [--seconds S] [--every S] [--dir D]     (make soak S=600; LAPWINGD chooses the daemon)

Fails when the daemon logs a warning, when it does not exit with 0 (a sanitizer would see to that),
when what it stored differs from what it acknowledged, or when descriptors, threads or memory grow.
"""
import argparse
import os
import pathlib
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "e2e"))
import conftest  # noqa: E402
from crash import Comparison  # noqa: E402
from load import Load, Oracle, rss_kb  # noqa: E402

RSS_MB_MAX = 250  # caches and write buffers are bounded at 128 MB
JOBS = ("udp", "tcp", "many", "log_posts", "log_lines", "errors", "queries")


def look(server):
    """What can be seen from outside."""
    process = f"/proc/{server.pid}"
    fields = open(f"{process}/stat").read().rsplit(") ", 1)[1].split()
    files = [f for f in server.data.iterdir() if f.is_file()]
    rss_mb = rss_kb(server.pid) / 1024
    return {"rss_mb": rss_mb,
            "less_caches_mb": rss_mb - server.metric("lapwing_store_memory_bytes") / 2**20,
            "fds": len(os.listdir(f"{process}/fd")), "threads": int(fields[17]),
            "files": len(files), "data_mb": sum(f.stat().st_size for f in files) / 2**20,
            "cpu_s": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")}


def soak(args, server):
    server.start()
    oracle = Oracle()
    seen, last_cpu = [], 0.0
    with Load(server, oracle, "soak", JOBS, pace=args.pace) as load:
        begun = time.monotonic()
        while time.monotonic() < begun + args.seconds:
            time.sleep(args.every)
            row = look(server)
            row["cpu_percent"] = 100 * (row["cpu_s"] - last_cpu) / args.every
            last_cpu = row.pop("cpu_s")
            seen.append(row)
            print(f"{time.monotonic() - begun:6.0f} s  "
                  + "  ".join(f"{name} {value:.1f}" for name, value in row.items()), flush=True)
    assert not load.query_failures, load.query_failures[:3]
    assert seen[-1]["rss_mb"] < RSS_MB_MAX or "asan" in conftest.DAEMON, "memory grows"
    half = seen[len(seen) // 2:]
    for name in ("fds", "threads"):
        assert half[-1][name] <= half[0][name] + 30, f"{name} grow: {[row[name] for row in seen]}"
    compare = Comparison(server, oracle)
    assert server.terminate() == 0, server.log()
    alarming = [line for line in server.log_lines if " info " not in line]
    assert not alarming, "\n".join(alarming)
    server.start()
    compare.counters(load, None)
    compare.logs(load)
    compare.errors()
    compare.never_backwards()
    assert server.terminate() == 0, server.log()
    print(f"{int(compare.udp)} datagrams, {int(compare.tcp)} TCP counts, "
          f"{sum(compare.lines.values())} log lines, {len(oracle.events_acked)} events: all there")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--every", type=float, default=20)
    parser.add_argument("--pace", type=float, default=1.0, help="pauses of the senders, as a factor")
    parser.add_argument("--dir", help="keep everything here")
    args = parser.parse_args()
    directory = args.dir or tempfile.mkdtemp(prefix="lapwing-soak.")
    os.makedirs(directory, exist_ok=True)
    soak(args, conftest.Server(directory, ""))
    if not args.dir:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
