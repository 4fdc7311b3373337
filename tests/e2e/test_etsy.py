"""The names of statsd: the same packets to npm's statsd, which writes its flushes as Graphite lines into one
lapwing, and to another one that computes them when it is asked. The same paths then say the same."""
import json
import math
import random
import socket
import subprocess
import threading
import time

import pytest

from conftest import NODE_MODULES, await_

BUCKET = 0.0056  # half a bucket of a timer's histogram
COUNT = 400      # values of the timer, all in one datagram and so in one flush of both
PERCENTS = [50, 75, 90, 95, 99, 99.9, -10]


def free_port(kind):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Statsd:
    """npm's statsd, flushing once a second."""

    def __init__(self, directory, graphite_port, legacy):
        self.lines = []
        for _ in range(5):  # somebody may take the port first
            self.port = free_port(socket.SOCK_DGRAM)
            config = directory / "statsd.js"
            config.write_text(json.dumps({
                "servers": [{"server": "./servers/udp", "address": "127.0.0.1", "port": self.port}],
                "mgmt_address": "127.0.0.1", "mgmt_port": free_port(socket.SOCK_STREAM),
                "flushInterval": 1000, "percentThreshold": PERCENTS,
                "backends": ["./backends/graphite"], "graphiteHost": "127.0.0.1",
                "graphitePort": graphite_port, "graphite": {"legacyNamespace": legacy},
            }))
            self.process = subprocess.Popen(
                ["node", str(NODE_MODULES / "statsd" / "stats.js"), str(config)],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            threading.Thread(target=self._read, daemon=True).start()
            await_(lambda: self.process.poll() is not None or self._is_up(), what="statsd")
            if self.process.poll() is None:
                return
        pytest.fail("statsd does not start: " + "".join(self.lines))

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)

    def _is_up(self):
        return any("server is up" in line for line in self.lines)

    def close(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def statsd(tmp_path):
    running = []

    def start(graphite_port, legacy):
        running.append(Statsd(tmp_path, graphite_port, legacy))
        return running[-1]

    yield start
    for process in running:
        process.close()


def send(port, lines):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.sendto("\n".join(lines).encode(), ("127.0.0.1", port))


def render(server, *targets, **params):
    """{path: {time: value}} without nulls."""
    reply = server.get("/render", target=targets, **{"from": "-2min", "format": "json", **params})
    assert reply.status == 200, reply.text
    return {row["target"]: {at: value for value, at in row["datapoints"] if value is not None}
            for row in reply.json()}


def packet(seed):
    draw = random.Random(seed)
    values = [round(draw.lognormvariate(3, 1.2), 3) for _ in range(COUNT)]
    return ([f"api.latency:{value}|ms" for value in values] +
            ["hits:3|c", "hits:4|c", "hits:-2|c", "sampled:1|c|@0.1", "temp:21.5|g", "temp:-1.5|g",
             "users:a|s", "users:b|s", "users:a|s", "one:5|ms"])


def flushed(server, targets, marker, paths, again=lambda: None):
    """{path: value} of the one flush in which the packet was, once so many paths have one. `again` sends
    it once more: two flushes of npm's statsd within a second, late as its timers may be, have one time,
    and the second one's zeros stay."""
    due = [time.monotonic() + 5]

    def look():
        if time.monotonic() > due[0]:
            due[0] += 5
            again()
        rows = render(server, marker, *targets)
        times = [at for at, value in rows.get(marker, {}).items() if value == COUNT]
        values = {path: row[at] for path, row in rows.items() for at in times[:1] if at in row}
        return len(values) == paths and values
    return await_(look, what=f"{paths} paths beside {marker}")


def is_close(path, ours, theirs):
    kind = path.rsplit(".", 1)[1]
    if kind.startswith("sum_squares"):
        return math.isclose(ours, theirs, rel_tol=2.02 * BUCKET)
    if kind == "std":
        return math.isclose(ours, theirs, rel_tol=2 * BUCKET)
    within = kind == "median" or (kind[-1].isdigit() and not kind.startswith("count"))
    return math.isclose(ours, theirs, rel_tol=BUCKET if within else 1e-9)


def compare(lapwing, statsd, legacy, targets, paths):
    marker = "stats.timers.api.latency.count"
    direct, by_statsd = lapwing(), lapwing('graphite: {tcp: "127.0.0.1:0"}')
    peer = statsd(by_statsd.ports["graphite_tcp"], legacy)
    lines = packet(7)
    send(peer.port, lines)
    direct.statsd(*lines)
    theirs = flushed(by_statsd, targets, marker, paths, lambda: send(peer.port, lines))
    ours = flushed(direct, targets, marker, paths)
    assert set(ours) == set(theirs)
    different = {path: (ours[path], theirs[path]) for path in theirs
                 if not is_close(path, ours[path], theirs[path])}
    assert not different
    return ours


def test_names_of_statsd(lapwing, statsd):
    timer = [f"{name}_{suffix}" for suffix in ("50", "75", "90", "95", "99", "99_9")
             for name in ("count", "mean", "sum", "sum_squares", "upper")]
    timer += [f"{name}_top10" for name in ("count", "mean", "sum", "sum_squares", "lower")]
    timer += ["count", "count_ps", "lower", "upper", "mean", "median", "std", "sum", "sum_squares"]
    targets = [f"stats.timers.{name}.{{{','.join(timer)}}}" for name in ("api.latency", "one")]
    targets += ["stats.counters.{hits,sampled}.{count,rate}", "stats.gauges.temp",
                "stats.sets.users.count"]
    ours = compare(lapwing, statsd, False, targets, 2 * len(timer) + 6)
    assert ours["stats.counters.hits.count"] == 5 and ours["stats.counters.sampled.count"] == 10
    assert ours["stats.sets.users.count"] == 2 and ours["stats.gauges.temp"] == 20


def test_names_of_the_legacy_namespace(lapwing, statsd):
    targets = ["stats_counts.hits", "stats.hits", "stats.sampled", "stats.gauges.temp",
               "stats.timers.api.latency.mean_90"]
    ours = compare(lapwing, statsd, True, targets, 6)
    assert ours["stats_counts.hits"] == 5 and ours["stats.hits"] == 5


def test_tags_and_wildcards(lapwing):
    server = lapwing()
    server.statsd("api.buy:10|ms|#host:a", "api.buy:20|ms|#host:b", "api.sell:30|ms", "other:1|ms")
    rows = await_(lambda: render(server, "stats.timers.api.*.upper"))
    assert sorted(rows) == ["stats.timers.api.buy.upper;host=a", "stats.timers.api.buy.upper;host=b",
                            "stats.timers.api.sell.upper"]
    assert list(rows["stats.timers.api.buy.upper;host=b"].values()) == [20]
    reply = server.http("/render", "target=stats.timers.api.buy.upper&from=-1min",
                        {"Content-Type": "application/x-www-form-urlencoded"})
    assert [row["tags"] for row in reply.json()] == [
        {"name": "stats.timers.api.buy.upper", "host": host} for host in "ab"]
    nodes = server.get("/metrics/find", query="stats.timers.*").json()
    assert [(node["text"], node["id"], node["leaf"]) for node in nodes] == [
        ("api", "stats.timers.api", 0), ("other", "stats.timers.other", 0)]


def test_points_are_of_their_whole_step(lapwing):
    """Fewer points ask for wider ones, not for fewer of the same."""
    server = lapwing('graphite: {tcp: "127.0.0.1:0"}')
    for i in range(3):
        server.statsd("n:5|c")
        await_(lambda: server.value("n") == 5 * (i + 1))
    now = int(time.time()) + 60
    span = {"from": str(now - 600), "until": str(now)}
    for points in (100000, 100, 10):
        row = render(server, "stats.counters.n.count", maxDataPoints=points, **span)
        assert sum(row["stats.counters.n.count"].values()) == 15
        assert len(row["stats.counters.n.count"]) <= points
    wide = render(server, "stats.counters.n.count", maxDataPoints=2,  # hours
                  **{"from": str(now - 1000), "until": str(now + 3600)})
    assert sum(wide["stats.counters.n.count"].values()) == 15
    assert all(at % 3600 == 0 for at in wide["stats.counters.n.count"])


def test_memory_is_shared_with_other_queries(lapwing):
    server = lapwing("limits: {query_memory_total: 1MiB}")
    server.statsd(*[f"many.g{i}:1|g" for i in range(30)])
    await_(lambda: server.value('count({__name__=~"many.*"})') == 30)
    span = {"from": "-3h", "maxDataPoints": "11000"}  # 10800 points of 8 bytes each
    assert server.get("/render", target="many.g1", **span).status == 200
    reply = server.get("/render", target="many.*", **span)
    assert reply.status != 200 and "limits.query_memory_total" in reply.json()["error"]
    assert server.get("/render", target="many.g1", **span).status == 200


def test_requests_that_cannot_be_answered(lapwing):
    server = lapwing()
    for params, why in (({}, "target is missing"), ({"target": "a..b"}, "empty node"),
                        ({"target": "sumSeries(a)"}, "functions are not known"),
                        ({"target": "a", "from": "x"}, "from must be a time"),
                        ({"target": "a", "from": "now", "until": "-1h"}, "before until"),
                        ({"target": "a", "format": "png"}, "format must be json"),
                        ({"target": "a", "maxDataPoints": "0"}, "maxDataPoints")):
        reply = server.get("/render", **params)
        assert reply.status == 400 and why in reply.json()["error"], params
    assert server.get("/metrics/find").status == 400
    assert server.get("/metrics/find", query="*", format="completer").status == 400
    constant = server.get("/render", target="constantLine(100)").json()
    assert [value for value, _ in constant[0]["datapoints"]] == [100, 100]
    assert server.get("/render", target="nothing.here").json() == []


def test_the_ways_in_that_clients_take(lapwing):
    """Forms as Grafana posts them, and the slash at the end that Graphite's documentation has."""
    server = lapwing()
    server.statsd("api.latency:320|ms", "api.calls:3|c", "shop.calls:1|c")
    await_(lambda: server.value("shop.calls") == 1)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = "target=stats.counters.%7Bapi%2Cshop%7D.calls.count&from=-10min&until=now&format=json&maxDataPoints=100"
    names = [row["target"] for row in server.http("/render/", data=body, headers=form).json()]
    assert names == ["stats.counters.api.calls.count", "stats.counters.shop.calls.count"]
    found = server.http("/metrics/find/", data="query=stats.timers.*", headers=form).json()
    assert [(node["id"], node["leaf"]) for node in found] == [("stats.timers.api", 0)]
    paths = server.get("/metrics/expand", query=["stats.counters.*.calls", "stats.timers.*"]).json()
    assert paths == {"results": ["stats.counters.api.calls", "stats.counters.shop.calls",
                                 "stats.timers.api"]}
