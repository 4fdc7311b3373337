#!/usr/bin/env python3
"""What a statsd metric costs the server, beside a bare recvmmsg loop and other servers.

    bench/run_statsd.py [--quick] [--runs 2] [--only WORD] [--json FILE]

The same sender offers the same datagrams, in turns, to lapwingd (one worker), to udp_floor and to
the peers that are installed. CPU is what the scheduler charged to all threads of the receiver
while the sender ran, flushes included, for each metric that it received: what the kernel dropped
at its socket is not counted. Receivers run on core 0, the sender on core 1. Ratios are medians
of ratios of neighbours in time, because a shared machine drifts by more than servers differ. Where
load is "full" the sender sends as fast as it can.

Sections: cost (beside the bare loop), flush (losses at a million metrics a second), series (memory,
and cost at full load with many of them), rate (the highest without loss), peers. A run takes at
most MINUTES; what there was no time for is named.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import time

from statsd_peers import BIN, PEERS, Floor, Lapwing, Missing, pin

MINUTES = 7.5
PACKED = "--bytes 1400"
FULL = 0  # as fast as it can
SECONDS = 1.1  # of one measurement: a flush falls into each
PAIRS = 5  # of rows that are compared: one stroke of bad luck must not decide
METRICS_MAX = 30_000_000  # of one sender
LOSSLESS = {
    "unpacked": ("", (25_000, 50_000, 100_000, 200_000, 400_000, 800_000)),
    "packed": (PACKED, (100_000, 250_000, 500_000, 1_000_000, 2_000_000, 3_000_000, 4_000_000, 6_000_000,
                        8_000_000)),
}

# name, rate, sender options, in --quick; the target of issue 5, if there is one: what it compares
# ("ns", "ratio", "over" a row of another name with lines as long), and the most it may be
COST = (
    ("unpacked c", 100_000, "--series 1000", True, ("ratio", 1.25)),
    ("unpacked c, 3 tags", 100_000, "--series 1000 --tags 3", False, ("ratio", 1.25)),
    ("unpacked c, 10 tags", 100_000, "--series 1000 --tags 10", False, ("ratio", 1.25)),
    ("unpacked ms", 100_000, "--series 1000 --type ms", False, ("ratio", 1.25)),
    ("unpacked c, full load", FULL, "--series 1000", True, ("ratio", 1.25)),
    ("packed c", FULL, PACKED, True, ("ns", 120)),
    ("packed c, 1 to 2000", FULL, PACKED + " --wide", False, None),
    ("packed c, 3 tags", FULL, PACKED + " --tags 3", True, ("ns", 180)),
    ("packed c, 10 tags", FULL, PACKED + " --tags 10", False, None),
    ("packed c @1.0000000", FULL, PACKED + " --sample 1.0000000", False, None),
    ("packed c @0.0000001", FULL, PACKED + " --sample 0.0000001", False,
     ("over packed c @1.0000000", 10)),
    ("packed g", FULL, PACKED + " --type g", False, None),
    ("packed ms", FULL, PACKED + " --type ms", True, ("over packed c, 1 to 2000", 20)),
    ("packed ms, 3 tags", FULL, PACKED + " --type ms --tags 3", False, None),
    ("packed ms @1.0000000", FULL, PACKED + " --type ms --sample 1.0000000", False, None),
    ("packed ms @0.0000001", FULL, PACKED + " --type ms --sample 0.0000001", False,
     ("over packed ms @1.0000000", 10)),
    ("packed h", FULL, PACKED + " --type h", False, None),
    ("packed d", FULL, PACKED + " --type d", False, None),
    ("packed s", FULL, PACKED + " --type s", False, None),
    ("packed c over TCP", FULL, PACKED + " --tcp", True, None),
)
SERIES = (
    ("1k series", 1_000, "", False, None, None),
    ("100k series", 100_000, "", False, None, None),
    ("1M series", 1_000_000, "", True, 250, 350),
    ("1M series, 3 tags", 1_000_000, "--tags 3", False, None, None),
)
PEER_COST = (
    ("unpacked c, 1k", 100_000, "--series 1000", True),
    ("packed c, 10k", FULL, PACKED, True),
    ("packed c, 10k, 3 tags", FULL, PACKED + " --tags 3", False),
    ("packed g, 10k", FULL, PACKED + " --type g", False),
    ("packed ms, 10k", FULL, PACKED + " --type ms", False),
    ("packed s, 10k", FULL, PACKED + " --type s", False),
)

started = time.monotonic()
left_out = []


def in_time(what, seconds=10):
    """Whether there is time for what takes so long."""
    if time.monotonic() - started + seconds < MINUTES * 60:
        return True
    left_out.append(what)
    return False


def send(server, rate, options, seconds=SECONDS, metrics=METRICS_MAX):
    port = server.tcp_port if "--tcp" in options else server.port
    series = "" if "--series" in options else "--series 10000"
    command = [BIN / "statsd_load", "--port", port, "--rate", rate, "--seconds", seconds,
               "--metrics", metrics, *options.split(), *series.split()]
    out = subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE,
                         text=True, preexec_fn=pin(1)).stdout
    return {key: float(value) for key, value in (field.split("=") for field in out.split())}


def read_up(server):
    """Until the kernel holds nothing for it, and what it read is worked off."""
    for _ in range(200):
        if server.waiting() == 0:
            break
        time.sleep(0.02)
    time.sleep(0.05)


def measure(server, rate, options, seconds=SECONDS):
    cpu, drops = server.cpu_ns(), server.drops()
    sent = send(server, rate, options, seconds)
    read_up(server)
    lost = server.drops() - drops
    share = max(1 - lost / sent["datagrams"], 1e-9)
    received = sent["metrics"] * share
    return {"ns": (server.cpu_ns() - cpu) / received, "lost": lost, "share": share,
            "offered": sent["metrics"] / sent["seconds"]}


def name_series(server, options, series, rate=300_000):
    """Each once, slowly enough for all of them to arrive; its first tick is not part of a figure."""
    send(server, rate, f"{options} --series {series}", 30, series)
    server.settle(series)


def median(rows, key):
    return statistics.median(row[key] for row in rows)


def verdict(figure, limit):
    return "" if limit is None else f"{limit:>7} {'ok' if figure <= limit else 'MISSED'}"


# --- cost ---

def compared(target):
    """Options of the row that a target of "over NAME" compares with."""
    what = target[0].removeprefix("over ") if target else None
    return next((options for name, _, options, *_ in COST if name == what), None)


def cost_row(args, rate, options, other):
    """Rounds of neighbours: the bare loop, the server, and the server with the other options."""
    datagrams = options.replace("--tcp", "")
    with Floor() as floor, Lapwing() as lapwing, Lapwing() as second:
        name_series(lapwing, datagrams, 10_000)
        if other:
            name_series(second, other, 10_000)
        rounds = [(measure(floor, rate, datagrams), measure(lapwing, rate, options),
                   measure(second, rate, other) if other else None)
                  for _ in range(PAIRS if other else args.runs)]
    row = {
        "ns": statistics.median(b["ns"] for _, b, _ in rounds),
        "bare_ns": statistics.median(a["ns"] for a, _, _ in rounds),
        "ratio": statistics.median(b["ns"] / a["ns"] for a, b, _ in rounds),
        "offered": statistics.median(b["offered"] for _, b, _ in rounds),
        "share": statistics.median(b["share"] for _, b, _ in rounds),
    }
    if other:
        row["more"] = statistics.median(b["ns"] - c["ns"] for _, b, c in rounds)
    return row


def target_of(target, row):
    """The figure that is compared with the target, in words and as a verdict."""
    if not target:
        return ""
    what, limit = target
    if what.startswith("over "):
        return f"{row['more']:+.0f} ns {what}, <= {limit} {'ok' if row['more'] <= limit else 'MISSED'}"
    unit = " ns" if what == "ns" else "x"
    return f"<= {limit}{unit} {'ok' if row[what] <= limit else 'MISSED'}"


def run_cost(args):
    rows = {}
    for name, rate, options, quick, target in COST:
        if args.only not in name or (args.quick and not quick) or not in_time(name):
            continue
        row = cost_row(args, rate, options, compared(target))
        if not rows:
            print("\nCPU s per million metrics, all threads; unpacked 1k series, else 10k")
            print(f"{'':24} {'offered/s':>10} {'received':>8} {'lapwing':>8} {'bare':>7} {'ratio':>6}"
                  "  target")
        rows[name] = row
        print(f"{name:24} {row['offered']:10.0f} {row['share']:8.1%} {row['ns'] / 1000:8.3f} "
              f"{row['bare_ns'] / 1000:7.3f} {row['ratio']:6.2f}  {target_of(target, row)}",
              flush=True)
    return rows


# --- many series ---

def run_series(args):
    rows = {}
    for name, series, options, quick, limit_ns, limit_mb in SERIES:
        if args.only not in name or (args.quick and not quick) or not in_time(name, 35):
            continue
        with Lapwing(flush_seconds=5) as lapwing:
            name_series(lapwing, f"{PACKED} {options}", series)
            idle = lapwing.rss_mb()
            row = measure(lapwing, FULL, f"{PACKED} {options} --series {series}", 5)
            row.update(rss_mb=idle, busy_mb=lapwing.rss_mb())
        if not rows:
            print("\nmany counters, packed: RSS when each was sent once and two flushes have passed; "
                  "then full load\nfor one flush interval of 5 s, the flush included")
            print(f"{'':24} {'RSS MB':>7} {'target':>14} {'busy MB':>7} {'CPU ns':>8} {'target':>14}")
        rows[name] = row
        print(f"{name:24} {idle:7.0f} {verdict(idle, limit_mb):>14} {row['busy_mb']:7.0f} "
              f"{row['ns']:8.0f} {verdict(row['ns'], limit_ns):>14}", flush=True)
    return rows


# --- flush ---

def run_flush(args):
    """A flush every second, 100k series, a million metrics a second."""
    name = "flush"
    if args.only not in name or not in_time(name):
        return {}
    options = f"{PACKED} --series 100000"
    with Lapwing() as lapwing:
        name_series(lapwing, options, 100_000)
        ticks = lapwing.metric("lapwing_flush_ticks_total")
        row = measure(lapwing, 1_000_000, options, 4)
        row["flushes"] = lapwing.metric("lapwing_flush_ticks_total") - ticks
    print(f"\n1M metrics/s packed, 100k series, {row['flushes']:.0f} flushes: {row['lost']} datagrams "
          f"lost, {'ok' if row['lost'] == 0 else 'MISSED'} (target 0); offered {row['offered']:.0f}/s",
          flush=True)
    return row


# --- peers ---

def find_peers():
    """Those that start here."""
    for peer in PEERS:
        try:
            with peer():
                yield peer
        except Missing as problem:
            print(f"left out: {problem}", flush=True)


def peer_cost(server, args):
    row = {}
    for name, rate, options, quick in PEER_COST:
        if (args.quick and not quick) or ("--tags" in options and not server.tags):
            continue
        row[name] = measure(server, rate, options)
    return row


def peer_memory(make, args):
    row = {}
    for series in (1_000, 100_000, 1_000_000):
        if series > 1_000 and (args.quick or not in_time(f"{make.name}, {series} series", 15)):
            continue
        with make() as server:
            drops = server.drops()
            name_series(server, PACKED, series, 100_000)
            row[series] = {"rss_mb": server.rss_mb(), "lost": server.drops() - drops}
    return row


def run_peers(args):
    rows = {}
    if args.only not in "peers":
        return rows
    servers = [Floor, Lapwing, *find_peers()]
    print("\nbeside other servers: CPU s per million metrics received, at full load where packed")
    print(f"{'':24}" + "".join(f"{server.name:>14}" for server in servers))
    for server in servers:
        if in_time(f"{server.name}: cost", 12):
            with server() as running:
                rows[server.name] = {"cost": peer_cost(running, args)}
    for name, *_ in PEER_COST:
        cells = [rows.get(server.name, {}).get("cost", {}).get(name) for server in servers]
        if any(cells):
            print(f"{name:24}" + "".join(f"{cell['ns'] / 1000:14.3f}" if cell else f"{'-':>14}"
                                         for cell in cells), flush=True)
    for server in servers[1:]:
        rows.setdefault(server.name, {})["memory"] = peer_memory(server, args)
    for series in (1_000, 100_000, 1_000_000):
        cells = [rows.get(server.name, {}).get("memory", {}).get(series) for server in servers]
        if any(cells):
            print(f"{f'RSS MB, {series} counters':24}" + "".join(memory_cell(cell) for cell in cells),
                  flush=True)
    return rows


def memory_cell(cell):
    if not cell:
        return f"{'-':>14}"
    lost = " (lost)" if cell["lost"] else ""
    return f"{cell['rss_mb']:.0f}{lost}".rjust(14)


# --- the highest rate without loss ---

def lossless(server, options, rates):
    best = 0
    for rate in rates:
        tries = (measure(server, rate, options + " --series 1000", 0.6) for _ in range(2))
        good = next((row for row in tries if row["lost"] == 0), None)
        if not good:
            break
        best = good["offered"]
        if best < rate * 0.9:
            break  # the sender can no more
    return best


def run_rate(args):
    rows = {}
    if args.only not in "rate":
        return rows
    servers = [Floor, Lapwing, *find_peers()]
    print("\nhighest rate without loss, metrics/s (of some; 0.6 s each, twice if need be; 1k counters)")
    print(f"{'':24} {'unpacked':>10} {'packed':>10}")
    for server in servers:
        if not in_time(f"{server.name}: rate", 15):
            continue
        with server() as running:
            row = rows[server.name] = {form: lossless(running, options, rates)
                                       for form, (options, rates) in LOSSLESS.items()}
        print(f"{server.name:24} {row['unpacked']:10.0f} {row['packed']:10.0f}", flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="the rows with targets, once")
    parser.add_argument("--runs", type=int, default=0, help="of each row beside the bare loop")
    parser.add_argument("--only", default="", help="rows and sections whose name holds this")
    parser.add_argument("--json")
    args = parser.parse_args()
    args.runs = args.runs or (1 if args.quick else 2)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, rmem_max "
          f"{pathlib.Path('/proc/sys/net/core/rmem_max').read_text().strip()}")
    results = {"cost": run_cost(args), "flush": run_flush(args), "series": run_series(args)}
    if not args.quick:
        results["rate"] = run_rate(args)
    results["peers"] = run_peers(args)
    if left_out:
        print("no time for: " + "; ".join(left_out))
    print(f"took {time.monotonic() - started:.0f} s")
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
