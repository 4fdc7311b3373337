#!/usr/bin/env python3
"""What queries cost: lapwing beside VictoriaMetrics and Prometheus, the same data in all three.

    bench/run_query.py [--only WORD ...] [--series 400] [--month 1000] [--restarts 9]
                       [--keep DIR] [--json FILE]

The data set (bench/dataset.c): a day of SERIES series every 10 s, and thirty days of MONTH series
every five minutes, all of it over. The servers run side by side and take turns, so that what else
the machine does meets all of them, each when the others have come to rest. Each query is asked in
three ways over one connection that is kept alive, uncompressed:

  uncached  with nocache=1, again and again
  warm      the same call again and again; a server may answer from what it remembers
  cold      the first call after kill -9 and a start, as often as there are RESTARTS; the files are
            in the page cache, and what a server reads of them before it is ready is part of the start

Each gives median and p95 of wall time and the mean of the server's CPU, in ms, and how many times
the better peer's figure lapwing's is. (Prometheus has no cache: its calls count for both.) Each
answer is compared with Prometheus', off the grid of the samples, where windows that are open on the
left hold what closed ones hold: the same series, values within 1e-6. That leaves out the first two
hours, where windows begin before the data and Prometheus 2 extrapolates counters otherwise than 3.
VictoriaMetrics' rates mean something else; it must have as many series. Differences come first in
the report.

--only takes the names of queries and servers, or parts of them; lapwing is always there.
--keep loads the data into DIR once, and again only when the day or the options differ.
--month-peers: the peers that get the month, too (promtool takes a minute for it).
"""
import argparse
import json
import math
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from peers import DAEMON, DAY_MS, DAY_SAMPLES, Lapwing, Prometheus, VictoriaMetrics, dumper

HOUR_MS = 3_600_000
MONTH_DAYS = 30
MONTH_STEP_MS = 300_000
OFF_GRID_MS = 5_000
CHECK_AFTER_S = 7_200
RUNS_MIN = 3
TOLERANCE = 1e-6
FIGURES = ("median", "p95", "cpu")
TARGET = 0.7
SETTLE_S, SETTLE_SHARE, SETTLE_LOOKS = 0.004, 0.05, 100

GAUGES = '{__name__=~"(count|int|decimal)_gauge|timer",set="day"}'
COUNTERS = '{__name__=~".*_counter",set="day"}'


class Query:
    """A row of the table: `step` in seconds, or None for an instant query at the end of the day.
    With on_grid its windows end on samples whenever it is asked: its values are not compared."""

    def __init__(self, name, expression, step=None, *, days=1, target=TARGET, on_grid=False):
        self.name, self.expression, self.step = name, expression, step
        self.days, self.target, self.on_grid = days, target, on_grid

    def ask(self, server, end_ms, skip_s=0, cached=False):
        """All of it but the first skip_s seconds."""
        if self.step is None:
            return server.query(self.expression, end_ms, cached)
        return server.query(self.expression, end_ms, cached, end=end_ms / 1000, step=self.step,
                            start=(end_ms - self.days * DAY_MS) / 1000 + skip_s + self.step)


QUERIES = [
    Query("sum rate", 'sum(rate(busy_counter{set="day"}[5m]))', 60),
    Query("rate", 'rate(busy_counter{set="day"}[5m])', 60),
    Query("sum by sum_over_time", 'sum by (shard) (sum_over_time(count_gauge{set="day"}[5m]))', 60),
    Query("max_over_time 1h", 'max_over_time(timer{set="day"}[1h])', 60),
    Query("quantile_over_time 1h", 'quantile_over_time(0.95, timer{set="day"}[1h])', 60,
          target=0.2),
    Query("raw, every series", '{set="day"}', 60),
    Query("topk avg_over_time", 'topk(5, avg_over_time(decimal_gauge{set="day"}[10m]))', 60),
    Query("instant rate by", f"sum by (host) (rate({COUNTERS}[5m]))"),
    Query("1 series", 'timer{set="day",shard="5"}', 60),
    Query("sum rate at 5m", f"sum(rate({COUNTERS}[5m]))", 300),
    Query("instant quantile", f"quantile(0.99, {GAUGES})"),
    Query("instant regex", 'sum by (__name__) ({host=~"host-[0-2].*",shard!="7",set="day"})'),
    Query("quantile", f"quantile(0.99, {GAUGES})", 60),
    Query("join", 'busy_counter{set="day"} / on (host) group_left () sum by (host) ({set="day"})',
          300),
    Query("stddev_over_time", 'stddev_over_time(decimal_gauge{set="day"}[30m])', 60),
    Query("increase 1h at 5m", 'increase(busy_counter{set="day"}[1h])', 300),
    Query("count by", 'count by (host) ({set="day"})', 300),
    Query("label_replace", 'sum by (rack) (label_replace(int_gauge{set="day"}, "rack", "$1", '
          '"host", "host-(.).*"))', 60),
    Query("subquery", 'max_over_time(rate(busy_counter{set="day"}[5m])[1h:1m])', 300,
          on_grid=True),
    Query("alert", 'avg_over_time(timer{set="day"}[5m]) > 1.05 * '
          'avg_over_time(timer{set="day"}[1h])'),
    Query("month rate", 'sum by (host) (rate({__name__=~".*_counter",set="month"}[1h]))', 3600,
          days=MONTH_DAYS),
    Query("month max", 'max by (host) (max_over_time({set="month"}[1h]))', 3600, days=MONTH_DAYS),
    Query("month avg", 'avg_over_time({set="month"}[1h])', 3600, days=MONTH_DAYS),
    Query("month instant", 'sum by (host) ({set="month"})', 3600, days=MONTH_DAYS),
]


# --- answers ---

def rows(text):
    """{labels: {time: value}} of an answer."""
    answer = json.loads(text)
    assert answer["status"] == "success", text[:300]
    return {tuple(sorted(row["metric"].items())):
            {at: float(value) for at, value in row.get("values") or [row["value"]]}
            for row in answer["data"]["result"]}


def same(a, b):
    return a == b or (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=TOLERANCE,
                                                                      abs_tol=1e-9)


def difference(ours, theirs):
    """Says where two answers differ, or None."""
    if ours.keys() != theirs.keys():
        return f"{len(ours)} series, not {len(theirs)}, or other ones"
    for labels, values in ours.items():
        expected = theirs[labels]
        if values.keys() != expected.keys():
            return f"{dict(labels)}: {len(values)} points, not {len(expected)}, or other times"
        for at, value in values.items():
            if not same(value, expected[at]):
                return f"{dict(labels)} at {at}: {value}, not {expected[at]}"
    return None


def check(query, servers, end_ms):
    answers = {server.name: rows(query.ask(server, end_ms + OFF_GRID_MS, CHECK_AFTER_S))
               for server in servers}
    found, ours = [], answers["lapwing"]
    if "prometheus" in answers and not query.on_grid and (
            text := difference(ours, answers["prometheus"])):
        found.append(f"{query.name}: {text} (prometheus)")
    for name, theirs in answers.items():
        if len(theirs) != len(ours):
            found.append(f"{query.name}: {len(ours)} series, not {len(theirs)} ({name})")
    return found


# --- figures ---

class Timing:
    """Calls of one query to one server in one way."""

    def __init__(self):
        self.walls, self.cpus = [], []

    def call(self, query, server, end_ms, cached):
        before, start = server.cpu(), time.monotonic()
        query.ask(server, end_ms, cached=cached)
        self.walls.append((time.monotonic() - start) * 1000)
        self.cpus.append((server.cpu() - before) * 1000)

    def figures(self):
        walls = sorted(self.walls)
        return {"median": statistics.median(walls), "cpu": statistics.mean(self.cpus),
                "p95": walls[min(len(walls) - 1, math.ceil(0.95 * len(walls)) - 1)]}


def settle(servers):
    """Waits until none of them computes: Go collects garbage after an answer, too, on the cores of
    whoever is asked next."""
    before = sum(server.cpu() for server in servers)
    for _ in range(SETTLE_LOOKS):
        time.sleep(SETTLE_S)
        now = sum(server.cpu() for server in servers)
        if now - before < SETTLE_SHARE * SETTLE_S:
            return
        before = now


def cold(query, servers, end_ms, restarts):
    timings = {server.name: Timing() for server in servers}
    for _ in range(restarts):
        for server in servers:
            server.end(signal.SIGKILL)
            server.start()
            server.request("GET", "/api/v1/query?query=1")  # the connection, not the data
            settle(servers)
            timings[server.name].call(query, server, end_ms, True)
    return timings


def repeated(query, servers, end_ms, args, cached):
    """In turns, until that way of asking has had its time."""
    timings = {server.name: Timing() for server in servers}
    for server in servers:
        query.ask(server, end_ms, cached=cached)
    began = time.monotonic()
    for i in range(args.runs):
        if i >= RUNS_MIN and time.monotonic() - began > args.seconds:
            break
        for server in servers:
            settle(servers)
            timings[server.name].call(query, server, end_ms, cached)
    return timings


def measure(query, servers, end_ms, args):
    uncached = repeated(query, servers, end_ms, args, False)
    warm = repeated(query, [server for server in servers if server.remembers], end_ms, args, True)
    ways = {"uncached": uncached, "warm": uncached | warm}
    if args.restarts:
        ways["cold"] = cold(query, servers, end_ms, args.restarts)
    result = {}
    for way, timings in ways.items():
        row = result[way] = {name: timing.figures() for name, timing in timings.items()}
        if len(row) > 1:
            row["ratio"] = {figure: row["lapwing"][figure] / min(
                row[name][figure] for name in timings if name != "lapwing") for figure in FIGURES}
    return result


# --- data ---

def load(server, args, end_ms):
    day = dumper(end_ms - DAY_MS, args.series, DAY_SAMPLES, "day")
    month = dumper(end_ms - MONTH_DAYS * DAY_MS, args.month, MONTH_DAYS * DAY_MS // MONTH_STEP_MS,
                   "month", MONTH_STEP_MS)
    server.start()
    server.load(day)
    if has_month(server, args):
        server.load(month)
    server.compact()


def has_month(server, args):
    return args.month and (server.name == "lapwing" or server.name in args.month_peers)


def prepare(make, root, args, end_ms):
    """The server with the data in it; loaded before, if what was kept is the same."""
    directory = root / make.name
    kept, what = directory / "kept", f"{end_ms} {args.series} {args.month} {args.month_peers}"
    server = make(directory)
    if kept.exists() and kept.read_text() == what:
        server.start()
        return server
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    try:
        load(server, args, end_ms)
    except BaseException:
        server.end(signal.SIGKILL)
        raise
    kept.write_text(what)
    return server


# --- the report ---

def report_way(way, results, names):
    print(f"\n{way:24}" + "".join(f"{name:>26}" for name in names) + f"{'ratio':>26}")
    print(f"{'median / p95 / CPU, ms':24}")
    for name, ways in results.items():
        row = ways[way]
        cells = [" / ".join(f"{row[who][figure]:.4g}" for figure in FIGURES) if who in row else ""
                 for who in names]
        ratio = row.get("ratio", {})
        cells.append("  ".join(f"{ratio[figure]:.2f}" for figure in FIGURES if ratio))
        print(f"{name:24}" + "".join(f"{cell:>26}" for cell in cells))


def report(results, names, queries):
    for way in next(iter(results.values())):
        report_way(way, results, names)
    late = [(row["ratio"]["median"], row["ratio"]["cpu"], way, name)
            for name, ways in results.items() for way, row in ways.items()
            if "ratio" in row and row["ratio"]["median"] > queries[name].target]
    print(f"\n{len(late)} medians above {TARGET} of the better peer's, or the query's own target")
    for median, cpu, way, name in sorted(late, reverse=True):
        print(f"  {median:5.2f} (CPU {cpu:5.2f})  {way:9} {name}: {queries[name].expression}")


def commit():
    done = subprocess.run(["git", "log", "-1", "--format=%h %cd", "--date=iso"], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
                          cwd=pathlib.Path(__file__).parent)
    return done.stdout.strip()


def chosen(args):
    """Queries and servers that --only names; a kind that it does not name is taken whole."""
    makes = [make for make, program in ((Lapwing, DAEMON), (VictoriaMetrics, "victoria-metrics"),
                                        (Prometheus, "prometheus")) if shutil.which(program)]
    queries = [query for query in QUERIES if args.month or query.days == 1]

    def named(all_of_them):
        return [one for one in all_of_them
                if any(word in one.name for word in args.only)] or all_of_them
    servers = [make for make in makes if make is Lapwing or make in named(makes)]
    return named(queries), servers


def run(root, args):
    end_ms = (int(time.time()) // 86400 - 1) * DAY_MS
    queries, makes = chosen(args)
    servers, results, wrong = [], {}, []
    try:
        for make in makes:
            servers.append(prepare(make, root, args, end_ms))
        for query in queries:
            asked = [s for s in servers if query.days == 1 or has_month(s, args)]
            wrong += check(query, asked, end_ms)
            results[query.name] = measure(query, asked, end_ms, args)
    finally:
        for server in servers:
            server.end(signal.SIGKILL)
    print(f"{args.series * DAY_SAMPLES / 1e6:.2f} M samples of a day in {args.series} series, "
          f"{args.month * MONTH_DAYS * DAY_MS / MONTH_STEP_MS / 1e6:.2f} M of {MONTH_DAYS} days in "
          f"{args.month}; {commit()}, run at {time.strftime('%F %T')}")
    for text in wrong:
        print("DIFFERS:", text)
    report(results, [server.name for server in servers], {query.name: query for query in queries})
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(results, indent=1))
    return bool(wrong)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--series", type=int, default=400)
    parser.add_argument("--month", type=int, default=1000)
    parser.add_argument("--month-peers", default="victoria-metrics")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--restarts", type=int, default=9)
    parser.add_argument("--keep")
    parser.add_argument("--json")
    args = parser.parse_args()
    if args.keep:
        return run(pathlib.Path(args.keep), args)
    with tempfile.TemporaryDirectory() as directory:
        return run(pathlib.Path(directory), args)


if __name__ == "__main__":
    sys.exit(main())
