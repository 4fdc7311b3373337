"""docs/QUERY.md does not rot: each example is asked of a small data set and must have an answer,
and each function of the table in query/function.c has its row."""
import json
import re
import time

import pytest

from conftest import ROOT

PAGE = (ROOT / "docs" / "QUERY.md").read_text()
NOW = int(time.time()) // 60 * 60
MINUTE, DAY = 60, 86400
HOSTS = ["web-1", "web-2"]


def line(name, kind, values, times, **labels):
    key = "histograms" if kind == "histogram" else "values"
    return json.dumps({"metric": {"__name__": name, **labels}, "type": kind, key: values,
                       "timestamps": [at * 1000 for at in times]})


def counter(name, step, times, **labels):
    return line(name, "counter", [i * step for i in range(len(times))], times, **labels)


def gauge(name, value, times, **labels):
    return line(name, "gauge", [value(i) for i in range(len(times))], times, **labels)


def timer(name, times, **labels):
    """Each tick one value of 84 ms, one of 181 and one of 2,896: buckets 409, 480 and 736 of
    schema 6."""
    samples = [{"schema": 6, "zero_threshold": 2.9e-39, "zero_count": 0, "count": 3 * i,
                "sum": 3161 * i, "min": 84, "max": 2896,
                "positive": [[409, i], [480, i], [736, i]] if i else [], "negative": []}
               for i in range(len(times))]
    return line(name, "histogram", samples, times, **labels)


def data():
    week = range(NOW - 8 * DAY, NOW + 1, 5 * MINUTE)
    day = range(NOW - DAY - 10 * MINUTE, NOW + 1, MINUTE)
    for host in HOSTS:
        for route in ("/buy", "/list"):
            for code, step in (("200", 100), ("503", 5)):
                yield counter("http.requests", step, week, host=host, route=route, code=code)
                # Ten minutes, so that two samples lie before a border of five minutes at any time.
                yield counter("http.requests", step, range(NOW - 10 * MINUTE, NOW + 1, 30),
                              host=host, route=route, code=code, fresh="yes")
            yield timer("api.latency", day, host=host, route=route)
        yield counter("heartbeat", 0, day, host=host)
        yield gauge("deploy.version", lambda i: 1, day, host=host, version="7")
        yield gauge("disk.size", lambda i: 1000, day, host=host)
        yield gauge("disk.free", lambda i: 190 - i / 10, day, host=host)
        yield gauge("queue.depth", lambda i: i % 7 + i / 100, day, host=host, queue="mail")
    yield counter("heartbeat", 1, [at for at in day if at < NOW - 30 * MINUTE], host="web-3")
    for country in ("nl", "de"):
        yield counter("orders.placed", 2, day, country=country)
    yield line("users.active", "set", [i % 50 for i in range(len(day))], day, plan="free")
    for bound, step in (("0.1", 1), ("1", 3), ("+Inf", 4)):
        yield counter("upload_seconds_bucket", step, day, le=bound)


@pytest.fixture
def server(lapwing):
    server = lapwing("retention: {raw: 50d}")
    reply = server.http("/api/v1/import", "\n".join(data()) + "\n")
    assert reply.status == 200 and reply.json()["data"]["rejected"] == 0, reply.text
    return server


def blocks():
    """The queries of ```promql blocks, which blank lines part."""
    for block in re.findall(r"```promql\n(.*?)```", PAGE, re.S):
        yield from (part for part in block.split("\n\n") if part.strip())


def rows():
    """(name, example) of the tables whose last column is an example."""
    for table in re.findall(r"\| *[^\n]*\| example \|\n\|[-|]+\|\n((?:\|[^\n]*\n)+)", PAGE):
        for row in table.splitlines():
            cells = re.findall(r"`([^`]+)`", row.replace("\\|", "|"))
            yield cells[0], cells[-1]


def test_each_example_has_an_answer(server):
    queries = [*blocks(), *(example for _, example in rows())]
    assert len(queries) > 120
    silent = []
    for query in queries:
        reply = server.get("/api/v1/query", query=query, time=NOW)
        assert reply.status == 200, f"{query}: {reply.text}"
        data = reply.json()["data"]
        if not data["result"] or data["result"] == [None, "NaN"]:
            silent.append(query)
        reply = server.get("/api/v1/query_range", query=query, start=NOW - 300, end=NOW, step=60)
        assert reply.status == 200, f"{query}: {reply.text}"
    assert silent == []


def test_what_the_page_says_about_numbers(server):
    """Twice a minute two orders and two in each of two countries; the hours add up to the day."""
    def value(text):
        return server.value(text, time=NOW)
    day = value("sum(increase_exact(orders.placed[1d]))")
    assert day == 2 * 2 * 1440
    hours = NOW // 3600 * 3600
    parts = server.value("sum(sum_over_time(increase_exact(orders.placed[1h])[1d:1h]))", time=hours)
    assert parts == server.value("sum(increase_exact(orders.placed[1d]))", time=hours)
    merged = value("percentile(50, api.latency[5m])")
    assert abs(merged / 181 - 1) < 0.011
    assert merged == value("histogram_quantile(0.5, sum(increase_exact(api.latency[5m])))")
    assert server.query("1_000 + 0x1F + 1h30m", time=NOW)[1] == str(1000 + 31 + 5400)


def test_each_function_has_its_row():
    source = (ROOT / "query" / "function.c").read_text()
    functions = set(re.findall(r'^    \{"([a-z_0-9]+)",', source, re.M))
    operators = (ROOT / "query" / "plan.c").read_text()
    functions |= set(re.findall(r'\[AGGREGATE_[A-Z_]+\] = "([a-z_]+)"', operators))
    assert len(functions) > 80
    documented = {name for name, _ in rows()}
    assert functions <= documented, sorted(functions - documented)
    for name, example in rows():
        if name in functions:
            assert name in example, f"the example of {name} does not use it"
