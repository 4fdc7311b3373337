#!/usr/bin/env python3
"""What a statsd metric costs the server, against a bare recvmmsg loop fed the same.

    bench/run_statsd.py [--runs 3] [--seconds 5] [--only WORD] [--json FILE]

For each scenario the same sender offers the same datagrams at the same rate, in turns, to
build/lapwingd (one worker, flush every SECONDS, so that a flush falls into every run) and to
udp_floor. CPU is what the scheduler charged to all threads of the receiver while the sender ran;
losses are the kernel's own drop counts of the receiver's sockets. Receivers run on core 0, the
sender on core 1. The medians of the runs are printed; ratios are medians of ratios within a round,
because a shared machine drifts by more than the servers differ.
"""
import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
BIN = ROOT / "build" / "release" / "bench"
DAEMON = os.environ.get("LAPWINGD", str(ROOT / "build" / "lapwingd"))
RECEIVE_BUFFER = 8 << 20  # the server's default

# name, metrics a second, sender options
SCENARIOS = [
    ("counter 1/datagram, 1k series", 100_000, "--type c --series 1000"),
    ("counter 1/datagram, 100k series", 100_000, "--type c --series 100000"),
    ("timer 1/datagram, 1k series", 100_000, "--type ms --series 1000"),
    ("counter 1/datagram, 10k series, 3 tags", 100_000, "--type c --series 10000 --tags 3"),
    ("counter 1400 B, 1k series", 1_000_000, "--type c --series 1000 --bytes 1400"),
    ("counter 1400 B, 100k series", 1_000_000, "--type c --series 100000 --bytes 1400"),
    ("counter 1400 B, 10k series, 3 tags", 1_000_000, "--type c --series 10000 --tags 3 --bytes 1400"),
    ("timer 1400 B, 1k series", 1_000_000, "--type ms --series 1000 --bytes 1400"),
    ("timer 1400 B, 10k series, 3 tags", 1_000_000, "--type ms --series 10000 --tags 3 --bytes 1400"),
]


def pin(core):
    cores = sorted(os.sched_getaffinity(0))
    return lambda: os.sched_setaffinity(0, {cores[core % len(cores)]})


def cpu_ns(pid):
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total


def kernel_drops(port):
    drops = 0
    for line in pathlib.Path("/proc/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].split(":")[1], 16) == port:
            drops += int(fields[-1])
    return drops


class Floor:
    def __init__(self):
        self.process = subprocess.Popen([BIN / "udp_floor", str(RECEIVE_BUFFER)], text=True,
                                        stdout=subprocess.PIPE, preexec_fn=pin(0))
        self.port = int(self.process.stdout.readline().split("=")[1])

    def close(self):
        self.process.terminate()
        self.process.wait()


class Lapwing:
    def __init__(self, seconds):
        self.directory = tempfile.TemporaryDirectory()
        config = pathlib.Path(self.directory.name) / "lapwing.yaml"
        config.write_text(f"""
http: {{listen: "127.0.0.1:0"}}
statsd: {{udp: "127.0.0.1:0", tcp: "", workers: 1, flush_interval: {seconds}s,
         receive_buffer: {RECEIVE_BUFFER}}}
logs: {{json_tcp: ""}}
""")
        self.process = subprocess.Popen([DAEMON, "--config", config, "--data",
                                         self.directory.name + "/data"], text=True,
                                        stderr=subprocess.PIPE, preexec_fn=pin(0))
        for line in self.process.stderr:
            if ready := re.search(r" ready .*statsd_udp=\S*:(\d+)", line):
                self.port = int(ready[1])
                break
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.directory.cleanup()


def offer(target, rate, sender_options, seconds):
    """One run: a short warm-up that names every series, then the measured one."""
    sender = [BIN / "statsd_load", "--port", str(target.port), *sender_options.split()]
    subprocess.run([*sender, "--rate", str(rate), "--seconds", "0.5"], check=True,
                   stdout=subprocess.DEVNULL, preexec_fn=pin(1))
    time.sleep(0.3)
    cpu, drops = cpu_ns(target.process.pid), kernel_drops(target.port)
    out = subprocess.run([*sender, "--rate", str(rate), "--seconds", str(seconds)], check=True,
                         stdout=subprocess.PIPE, text=True, preexec_fn=pin(1)).stdout
    time.sleep(0.3)
    sent = dict(field.split("=") for field in out.split())
    return {
        "ns_per_metric": (cpu_ns(target.process.pid) - cpu) / int(sent["metrics"]),
        "metrics_per_second": int(sent["metrics"]) / float(sent["seconds"]),
        "lost": kernel_drops(target.port) - drops,
    }


def measure(rate, sender_options, args):
    rounds = []
    for _ in range(args.runs):
        pair = {}
        for name, make in (("floor", Floor), ("lapwing", lambda: Lapwing(args.seconds))):
            target = make()
            try:
                pair[name] = offer(target, rate, sender_options, args.seconds)
            finally:
                target.close()
        rounds.append(pair)
    median = lambda who, what: statistics.median(r[who][what] for r in rounds)
    return {
        "metrics_per_second": median("lapwing", "metrics_per_second"),
        "server_cpu_s_per_million": median("lapwing", "ns_per_metric") / 1000,
        "floor_cpu_s_per_million": median("floor", "ns_per_metric") / 1000,
        "ratio": statistics.median(r["lapwing"]["ns_per_metric"] / r["floor"]["ns_per_metric"]
                                   for r in rounds),
        "datagrams_lost": [r["lapwing"]["lost"] for r in rounds],
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--only", default="")
    parser.add_argument("--json")
    args = parser.parse_args()
    results = {}
    print(f"{'scenario':40} {'metrics/s':>10} {'CPU s/M':>8} {'bare s/M':>8} {'ratio':>6}  lost")
    for name, rate, sender_options in SCENARIOS:
        if args.only not in name:
            continue
        row = results[name] = measure(rate, sender_options, args)
        print(f"{name:40} {row['metrics_per_second']:10.0f} {row['server_cpu_s_per_million']:8.3f} "
              f"{row['floor_cpu_s_per_million']:8.3f} {row['ratio']:6.2f}  "
              f"{'/'.join(map(str, row['datagrams_lost']))}", flush=True)
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
