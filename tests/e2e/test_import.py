"""Samples in and out in bulk: any order, any age, nothing lost, the same bit for bit."""
import json
import random
import socket
import struct
import time

import pytest

from conftest import await_

NOW = int(time.time()) * 1000
DAY = 86400000
RETENTION = "retention: {raw: 50d}"
EVERYTHING = {"match[]": '{__name__=~"t[.].*"}'}
STALE = struct.pack(">Q", 0x7ff0000000000002)


def spelled(bits):
    """A double, by its bits, as the JSON of a line."""
    value, = struct.unpack(">d", bits)
    if value != value:
        if bits == STALE:
            return '"StaleNaN"'
        return "null" if bits.hex() == "7ff8000000000000" else f'"NaN:{bits.hex()}"'
    if value in (float("inf"), float("-inf")):
        return '"Infinity"' if value > 0 else '"-Infinity"'
    return repr(value)


def line(name, samples, kind="gauge", **labels):
    """samples: {time: spelled value}, in the order to send them."""
    metric = json.dumps({"__name__": name, **labels})
    return (f'{{"metric":{metric},"type":"{kind}","values":[{",".join(samples.values())}],'
            f'"timestamps":[{",".join(map(str, samples))}]}}\n')


class Word(str):
    """A JSON number as it is written."""


def exported(server, **params):
    """{(labels, type): {time: value as written}}; times must ascend within a series."""
    reply = server.get("/api/v1/export", **(params or EVERYTHING))
    assert reply.status == 200, reply.text
    all_series = {}
    for text in reply.text.splitlines():
        row = json.loads(text, parse_float=Word, parse_int=Word)
        series = all_series.setdefault((tuple(sorted(row["metric"].items())), row["type"]), {})
        values = row.get("values") or row["histograms"]
        assert len(values) == len(row["timestamps"]) > 0
        times = list(map(int, row["timestamps"]))
        assert not series or times[0] > next(reversed(series)), "lines out of order"
        assert times == sorted(set(times)), "out of order, or doubled"
        series.update(zip(times, values))
    return all_series


def bits_of(value):
    if isinstance(value, Word):
        return struct.pack(">d", float(value))
    if value is None:
        return bytes.fromhex("7ff8000000000000")
    if value.startswith("NaN:"):
        return bytes.fromhex(value[4:])
    return {"StaleNaN": STALE, "Infinity": struct.pack(">d", float("inf")),
            "-Infinity": struct.pack(">d", float("-inf"))}[value]


def post(server, text, **expected):
    reply = server.http("/api/v1/import", text, timeout=120)
    assert reply.status == 200, reply.text
    data = reply.json()["data"]
    for key, value in expected.items():
        assert data[key] == value, data
    return data


def random_bits(rng):
    shape = rng.randrange(6)
    if shape == 0:
        return rng.choice([STALE, struct.pack(">d", -0.0), struct.pack(">d", float("inf")),
                           struct.pack(">d", float("-inf")), bytes.fromhex("7ff8000000000000"),
                           bytes.fromhex("fff8000000000123"), struct.pack(">d", 5e-324)])
    if shape == 1:
        return rng.randbytes(8)
    if shape == 2:
        return struct.pack(">d", rng.randrange(10**18) * 10.0**rng.randrange(5))
    return struct.pack(">d", rng.randrange(-10**6, 10**6) / 10**rng.randrange(4))


def test_export_of_an_import_is_the_same_bit_for_bit(lapwing):
    rng = random.Random(1)
    server, copy = lapwing(RETENTION), lapwing(RETENTION)
    sent, text = {}, ""
    for i in range(40):
        kind = ["gauge", "counter", "set"][i % 3]
        times = rng.sample(range(NOW - 40 * DAY, NOW), 300 if i % 4 else 3)
        samples = {moment: random_bits(rng) for moment in times}
        sent[((("__name__", f"t.{i}"), ("é", '"\\\n')), kind)] = samples
        text += line(f"t.{i}", {t: spelled(b) for t, b in samples.items()}, kind, é='"\\\n')
    count = sum(map(len, sent.values()))
    post(server, text, samples=count, series=40, past_retention=0, rejected=0)
    for _ in range(2):
        got = exported(server)
        assert {key: dict(sorted(value.items())) for key, value in sent.items()} == \
            {key: {t: bits_of(v) for t, v in value.items()} for key, value in got.items()}
        server.http("/api/v1/admin/tsdb/compact", "", timeout=60)
    out = server.get("/api/v1/export", **EVERYTHING).text
    post(copy, out, samples=count)
    assert copy.get("/api/v1/export", **EVERYTHING).text == out


def test_histograms_survive_the_way(lapwing):
    server, copy = lapwing(RETENTION), lapwing(RETENTION)
    for value in (3, 40, 40, 500.5):
        server.statsd(f"t.time:{value}|ms")
    await_(lambda: server.value("histogram_count(t.time)") == 4, what="the timer")
    out = server.get("/api/v1/export", **EVERYTHING).text
    row = json.loads(out.splitlines()[-1])
    assert row["type"] == "histogram" and row["histograms"][-1]["count"] == 4
    post(copy, out, series=1, rejected=0)
    assert copy.get("/api/v1/export", **EVERYTHING).text == out
    # A stale marker, and a histogram that comes late.
    first = row["timestamps"][0]
    row["histograms"] = ["StaleNaN", row["histograms"][-1]]
    row["timestamps"] = [row["timestamps"][-1] + 1000, first - 5000]
    post(copy, json.dumps(row), samples=2)
    late = [json.loads(text) for text in copy.get("/api/v1/export", **EVERYTHING).text.splitlines()]
    assert late[0]["timestamps"][0] == first - 5000 and late[-1]["histograms"][-1] == "StaleNaN"


def test_histograms_of_any_numbers(lapwing):
    """What hardly a client sends is kept as it is, also by chunks; counts of buckets are no less than 0."""
    server = lapwing(RETENTION)
    rng = random.Random(4)
    odd = ["-1.5", "null", '"Infinity"', "0.1", "-0.0", "5e-324", '"NaN:fff8000000000123"', "3"]
    rows = []
    for i in range(300):
        sides = [",".join(f"[{index},{rng.choice(['5e-324', '0.1', '7', '1e300'])}]"
                          for index in sorted(rng.sample(range(-2**31, 2**31), rng.randrange(4))))
                 for _ in range(2)]
        numbers = ",".join(f'"{key}":{rng.choice(odd)}' for key in
                           ["zero_threshold", "zero_count", "count", "sum", "min", "max"])
        rows.append(f'{{"schema":{rng.randrange(-4, 9)},{numbers},'
                    f'"positive":[{sides[0]}],"negative":[{sides[1]}]}}')
    for part in (rows[:200], rows[200:210]):  # as chunks at once, and through the head
        times = ",".join(str(NOW - 10**6 + 1000 * rows.index(row)) for row in part)
        post(server, f'{{"metric":{{"__name__":"t.h"}},"type":"histogram",'
                     f'"histograms":[{",".join(part)}],"timestamps":[{times}]}}', samples=len(part))
    for _ in range(2):
        out = server.get("/api/v1/export", **EVERYTHING).text
        assert f'"histograms":[{",".join(rows[:210])}]' in out
        server.http("/api/v1/admin/tsdb/compact", "", timeout=60)


def test_text_in_any_order_and_the_last_write_wins(lapwing):
    server = lapwing(RETENTION)
    rng = random.Random(2)
    times = [NOW - 10000 * i for i in range(500)]
    rng.shuffle(times)
    text = "".join(f"t.a {i} {moment}\n" for i, moment in enumerate(times))
    again = "".join(f"t.a {-i} {moment}\n" for i, moment in enumerate(times[:50]))
    post(server, text + again, samples=550, rejected=0)
    want = {moment: str(i) for i, moment in enumerate(times)}
    want.update({moment: str(-i) for i, moment in enumerate(times[:50])})
    want[times[0]] = "0" if want[times[0]] == "-0" else want[times[0]]
    series, = exported(server).values()
    assert {t: float(v) for t, v in series.items()} == \
        {t: float(v) for t, v in sorted(want.items())}


def test_a_backfill_older_than_what_is_there(lapwing):
    server = lapwing(RETENTION)
    new = {NOW - 60000 * i: str(i) for i in range(300)}
    post(server, line("t.b", new), samples=300)
    old = {NOW - 20 * DAY + 60000 * i: str(i) for i in range(5000)}
    between = {NOW - 60000 * i - 30000: "0.5" for i in range(0, 300, 7)}
    post(server, line("t.b", old), samples=5000)
    post(server, line("t.b", between), samples=len(between))
    want = {t: float(v) for t, v in sorted({**old, **new, **between}.items())}
    series, = exported(server).values()
    assert {t: float(v) for t, v in series.items()} == want
    count = server.get("/api/v1/query", query="count_over_time(t.b[10d])",
                       time=(NOW - 12 * DAY) / 1000).json()
    assert count["data"]["result"][0]["value"][1] == "5000"
    part, = exported(server, **EVERYTHING, start=(NOW - 60000) / 1000, end=NOW / 1000).values()
    assert list(part) == [t for t in want if NOW - 60000 <= t <= NOW]


@pytest.mark.parametrize("shape", ["long runs", "single samples"])
def test_what_is_answered_survives_a_kill(lapwing, shape):
    server = lapwing(RETENTION)
    rng = random.Random(3)
    want = {}
    for part in range(4):
        text = ""
        for name in range(30):
            base = NOW - rng.randrange(40) * DAY - 2 * DAY
            count = 2000 if shape == "long runs" else 1 + part
            samples = {base + 10000 * i: str(rng.randrange(1000)) for i in range(count)}
            want.setdefault(f"t.{name}", {}).update(samples)
            text += line(f"t.{name}", samples)
        post(server, text)
        server.kill()
        server.start()
        got = {dict(labels)["__name__"]: {t: float(v) for t, v in samples.items()}
               for (labels, _), samples in exported(server).items()}
        assert got == {name: {t: float(v) for t, v in sorted(samples.items())}
                       for name, samples in want.items()}


def test_bad_lines_cost_only_themselves(lapwing):
    server = lapwing(RETENTION)
    text = (line("t.good", {NOW: "1"}) + "{\"metric\":\n" + line("t.good", {NOW + 1: '"x"'}) +
            "\n" + line("t.old", {NOW - 60 * DAY: "1", NOW: "2"}))
    data = post(server, text, samples=2, series=2, past_retention=1, rejected=2)
    assert data["reasons"] == {"bad_json": 1, "bad_value": 1}
    assert data["first_error"].startswith("line 2: ")
    reply = server.http("/api/v1/import", '{"metric":')
    assert reply.status == 400
    mixed = ('{"metric":{"__name__":"t.good"},"histograms":["StaleNaN"],"timestamps":[%d]}' % NOW)
    data = post(server, mixed, samples=0, refused_series=1)
    assert "cannot take samples of a histogram" in data["first_error"]


def test_export_needs_a_selector_and_takes_several(lapwing):
    server = lapwing(RETENTION)
    assert server.get("/api/v1/export").status == 400
    assert server.get("/api/v1/export", **{"match[]": "{"}).status == 400
    post(server, "t.a 1\nt.b{x=\"1\"} 2\nother 3\n")
    got = exported(server, **{"match[]": ["t.a", '{__name__=~"t[.].*"}']})
    assert [dict(labels)["__name__"] for labels, _ in got] == ["t.a", "t.b"]
    assert server.get("/api/v1/export", **{"match[]": "none"}).body == b""


def test_a_client_that_leaves_ends_its_export(lapwing):
    server = lapwing(RETENTION)
    values = {NOW - 10**8 + 1000 * i: str(i * 1.25) for i in range(100000)}
    for name in range(4):
        post(server, line(f"t.{name}", values))
    with socket.create_connection(("127.0.0.1", server.ports["http"])) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(b"GET /api/v1/export?match[]=%7B__name__!=%22%22%7D HTTP/1.1\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK")
    await_(lambda: server.metric("lapwing_http_in_flight_requests") == 1,
           what="the export's end: /metrics alone is in flight")
    assert sum(map(len, exported(server).values())) == 400000
