#!/usr/bin/env python3
"""What a million series cost the server: memory, CPU of a tick, queries meanwhile, the way back.

    bench/run_series.py [--series 1000000] [--ticks 12] [--interval 10] [--workers N]

statsd_load offers one sample a series a tick (name and three tags, eight source ports) to
build/lapwingd. Once a tick this prints resident memory and the CPU seconds that the writer and the
ingest threads used; at the end the store's own account of its bytes, how long a query over 1,000
series took between and during flushes, and after kill -9 the time until the server is ready again.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
BIN = ROOT / "build" / "release" / "bench"
DAEMON = os.environ.get("LAPWINGD", str(ROOT / "build" / "release" / "lapwingd"))
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Server:
    def __init__(self, directory, args):
        config = pathlib.Path(directory) / "lapwing.yaml"
        config.write_text(f"""
http: {{listen: "127.0.0.1:0"}}
statsd: {{udp: "127.0.0.1:0", tcp: "", workers: {args.workers}, flush_interval: {args.interval}s,
         receive_buffer: {64 << 20}}}
logs: {{json_tcp: ""}}
limits: {{series: {args.series + 100_000}, series_per_metric: {args.series + 100_000}}}
""")
        start = time.monotonic()
        self.process = subprocess.Popen([DAEMON, "--config", config, "--data",
                                         directory + "/data"], text=True, stderr=subprocess.PIPE)
        for line in self.process.stderr:
            if ready := re.search(r" ready .*", line):
                self.statsd = int(re.search(r"statsd_udp=\S*:(\d+)", ready[0])[1])
                self.http = int(re.search(r"http=\S*:(\d+)", ready[0])[1])
                break
        self.ready_seconds = time.monotonic() - start
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def resident_mb(self, what="VmRSS"):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{what}:\s+(\d+)", status)[1]) / 1024

    def cpu_seconds(self):
        """By thread name; threads of one name together."""
        seconds = {}
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            stat = (task / "stat").read_text()
            name = stat[stat.index("(") + 1:stat.rindex(")")].rstrip("0123456789")
            name = name if name in ("writer", "ingest", "flusher") else "others"
            user, system = stat[stat.rindex(")"):].split()[12:14]
            seconds[name] = seconds.get(name, 0) + (int(user) + int(system)) / TICKS_PER_SECOND
        return seconds

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=60) as answer:
            return answer.read().decode()

    def query_ms(self, text):
        start = time.monotonic()
        answer = json.loads(self.get("/api/v1/query?" + urllib.parse.urlencode({"query": text})))
        return (time.monotonic() - start) * 1000, len(answer["data"]["result"])


def watch_queries(server, stop, out):
    while not stop.wait(0.1):
        try:
            out.append(server.query_ms('rate({__name__=~"bench.requests.00007", shard="3"}[1m])'))
        except OSError as problem:
            print("query:", problem)
            return


def run(args):
    with tempfile.TemporaryDirectory() as directory:
        server = Server(directory, args)
        print(f"empty: {server.resident_mb():.0f} MB")
        sender = subprocess.Popen(
            [BIN / "statsd_load", "--port", str(server.statsd), "--type", args.type, "--series",
             str(args.series), "--tags", "3", "--bytes", "1400", "--rate",
             str(args.series / args.interval), "--seconds", str(args.ticks * args.interval)],
            stdout=subprocess.PIPE, text=True)
        queries, stop = [], threading.Event()
        watcher = threading.Thread(target=watch_queries, args=(server, stop, queries))
        watcher.start()
        before, most = server.cpu_seconds(), 0
        for tick in range(args.ticks):
            time.sleep(args.interval)
            cpu = server.cpu_seconds()
            used = {name: cpu[name] - before.get(name, 0) for name in sorted(cpu)}
            before = cpu
            print(f"tick {tick}: {server.resident_mb():.0f} MB, CPU s:",
                  " ".join(f"{name} {seconds:.2f}" for name, seconds in used.items()), flush=True)
        stop.set()
        watcher.join()
        print(sender.communicate()[0].strip())
        print(f"most: {server.resident_mb('VmHWM'):.0f} MB")
        for line in server.get("/metrics").splitlines():
            if re.match(r"lapwing_(store_\w*(bytes|series|samples)|heap_\w+|statsd_entries|registry_series"
                        r"|statsd_kernel_drops_total|flush_seconds_total|flush_ticks_total"
                        r"|series_overflow_total|samples_dropped_total|\w*memory\w*)\b", line):
                print("  " + line)
        times = sorted(ms for ms, count in queries if count)
        if times:
            print(f"queries of {max(count for _, count in queries)} series: {len(times)}, median "
                  f"{times[len(times) // 2]:.1f} ms, 95 % {times[len(times) * 95 // 100]:.1f} ms, "
                  f"most {times[-1]:.1f} ms")
        server.process.kill()
        server.process.wait()
        server = Server(directory, args)
        print(f"ready after kill -9: {server.ready_seconds:.2f} s, {server.resident_mb():.0f} MB")
        server.process.kill()
        server.process.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--series", type=int, default=1_000_000)
    parser.add_argument("--ticks", type=int, default=12)
    parser.add_argument("--interval", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--type", default="c")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
