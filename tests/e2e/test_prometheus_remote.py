"""A Prometheus beside lapwing: it reads by remote_read, sends by remote_write, scrapes /federate."""
import struct
import time
import urllib.request

import pytest

import remote_write
from conftest import await_
from peers import Prometheus, free_port
from remote_write import Histogram

NOW = int(time.time())


def load(server):
    """Two series of three hours, one a minute."""
    lines = ["# TYPE orders_total counter"]
    for i in range(180):
        at = NOW - (180 - i) * 60
        lines.append(f'orders_total{{shop="a"}} {i * 3} {at}')
        lines.append(f'orders_total{{shop="b"}} {i * 5} {at}')
    for i in range(180):
        lines.append(f'temperature {20 + i % 7 / 10} {NOW - (180 - i) * 60}')
    lines.append("# EOF\n")
    reply = server.http("/api/v1/import", "\n".join(lines))
    assert reply.status == 200, reply.text
    assert reply.json()["data"]["samples"] == 540, reply.text


def points(result):
    return sorted((tuple(sorted(row["metric"].items())), row["value"][1]) for row in result)


def test_remote_read_serves_another_prometheus(lapwing, tmp_path):
    server = lapwing()
    load(server)
    config = f'global: {{}}\nremote_read: [{{url: "{server.url}/api/v1/read", read_recent: true}}]\n'
    with Prometheus(tmp_path, config) as prometheus:
        at = NOW - 60.5
        for query in ["orders_total", 'sum(rate(orders_total{shop=~"a|b"}[10m]))', "temperature",
                      'orders_total{shop!="a"}', "max_over_time(temperature[1h])", "absent(nothing)",
                      'count_over_time({__name__=~"orders.*"}[2h])']:
            ours, theirs = server.query(query, time=at), prometheus.query(query, time=at)
            assert points(ours) == points(theirs), query
            assert ours, query


NATIVE = ["--enable-feature=native-histograms", "--web.enable-remote-write-receiver"]


def test_remote_write_of_another_prometheus_brings_native_histograms(lapwing, tmp_path):
    server = lapwing()
    config = f"""global: {{}}
remote_write: [{{url: "{server.url}/api/v1/write", send_native_histograms: true}}]
"""
    with Prometheus(tmp_path, config, flags=NATIVE) as prometheus:
        # A Prometheus does not send on what is older than its queue, which may still be starting.
        now = int(time.time() * 1000) + 10_000
        samples = [(now + 1000 * i,
                    Histogram(3, {-5: 2 + i, -4: 1, 9: 3 * i + 1}, 7.5 * (i + 1), zero=i, negative={2: 1}))
                   for i in range(4)]
        body = remote_write.snappy(remote_write.series({"__name__": "native", "job": "x"}, samples))
        request = urllib.request.Request(prometheus.url + "/api/v1/write", body, remote_write.HEADERS)
        assert urllib.request.urlopen(request).status in (200, 204)
        count = samples[-1][1].count
        await_(lambda: server.value("histogram_count(native)") == count)
        at = now / 1000 + 3.5
        for query in ["native", "rate(native[1m])"]:
            (ours,), (theirs,) = server.query(query, time=at), prometheus.query(query, time=at)
            assert ours["metric"] == theirs["metric"], query
            numbers = lambda row: [float(x) for bucket in row["histogram"][1]["buckets"] for x in bucket]
            assert numbers(ours) == pytest.approx(numbers(theirs), rel=1e-9), query
            assert float(ours["histogram"][1]["sum"]) == pytest.approx(
                float(theirs["histogram"][1]["sum"]), rel=1e-9), query
    assert server.metric("lapwing_remote_write_rejected_total") == 0


# Debian's 2.42 passes over histograms in an answer of samples, so the answer is taken apart by hand.

def unsnappy(data):
    """The block format: literals, and copies of 1, 2 or 4 bytes of offset."""
    at, shift, length, out = 0, 0, 0, bytearray()
    while True:
        length |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if not data[at - 1] & 128:
            break
    while at < len(data):
        tag, kind = data[at] >> 2, data[at] & 3
        at += 1
        if kind == 0:
            extra = max(tag - 59, 0)
            size = (int.from_bytes(data[at:at + extra], "little") if extra else tag) + 1
            out += data[at + extra:at + extra + size]
            at += extra + size
            continue
        width, size = (1, (tag & 7) + 4) if kind == 1 else (2 if kind == 2 else 4, tag + 1)
        offset = int.from_bytes(data[at:at + width], "little") + (tag >> 3 << 8 if kind == 1 else 0)
        at += width
        for _ in range(size):
            out.append(out[-offset])
    assert len(out) == length
    return bytes(out)


def varint(data, at):
    number, shift = 0, 0
    while True:
        number |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if not data[at - 1] & 128:
            return number, at


def fields(data):
    """(number, value): an int, a double, or bytes."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 1:
            value, at = struct.unpack_from("<d", data, at)[0], at + 8
        else:
            assert key & 7 == 2
            size, at = varint(data, at)
            value, at = data[at:at + size], at + size
        yield key >> 3, value


def unzigzag(number):
    return number >> 1 ^ -(number & 1)


def side(message, first):
    """Counts by bucket index, of spans and of deltas (whole numbers) or counts (doubles)."""
    indexes, counts, at = [], [], 0
    for number, value in message:
        if number == first:
            span = dict(fields(value))
            at += unzigzag(span.get(1, 0))
            indexes += range(at, at + span[2])
            at += span[2]
        elif number == first + 1:
            place = 0
            while place < len(value):
                delta, place = varint(value, place)
                counts.append((counts[-1] if counts else 0) + unzigzag(delta))
        elif number == first + 2:
            counts += struct.unpack(f"<{len(value) // 8}d", value)
    assert len(indexes) == len(counts)
    return {index: count for index, count in zip(indexes, counts) if count}


def test_remote_read_answers_native_histograms(lapwing):
    server = lapwing()
    now = int(time.time() * 1000)
    sent = {now + 1000 * i: Histogram(3, {-5: 2 + i, -4: 1, 9: 3 * i + 1}, 7.5 * (i + 1), zero=i,
                                      negative={2: 1, 300: 2})
            for i in range(4)}
    body = remote_write.series({"__name__": "native", "job": "x"}, list(sent.items()))
    assert server.http("/api/v1/write", remote_write.snappy(body), remote_write.HEADERS).status == 204
    matcher = remote_write.field(2, b"__name__") + remote_write.field(3, b"native")
    query = (remote_write.integer(1, remote_write.varint(now)) +
             remote_write.integer(2, remote_write.varint(now + 2000)) + remote_write.field(3, matcher))
    # Streamed chunks are preferred, samples taken as well: what 2.42 says.
    body = remote_write.field(1, query) + remote_write.field(2, b"\x01\x00")
    reply = server.http("/api/v1/read", remote_write.snappy(body), remote_write.HEADERS)
    assert reply.status == 200 and reply.headers["Content-Type"] == "application/x-protobuf", reply.text
    (_, result), = fields(unsnappy(reply.body))
    (_, series), = fields(result)
    labels = [{n: v.decode() for n, v in fields(value)} for number, value in fields(series) if number == 1]
    assert labels == [{1: "__name__", 2: "native"}, {1: "job", 2: "x"}]
    histograms = [list(fields(value)) for number, value in fields(series) if number == 4]
    assert [dict(message)[15] for message in histograms] == list(sent)[:3]
    for message, wanted in zip(histograms, sent.values()):
        scalars = dict(message)
        count, zero = (scalars.get(a, scalars.get(b, 0)) for a, b in [(1, 2), (6, 7)])
        assert (count, scalars[3], unzigzag(scalars[4]), zero) == (wanted.count, wanted.total, 3, wanted.zero)
        assert scalars[5] == remote_write.ZERO_THRESHOLD
        assert (side(message, 8), side(message, 11)) == (wanted.negative, wanted.positive)


def test_remote_read_refuses_what_it_cannot_read(lapwing):
    server = lapwing()
    reply = server.http("/api/v1/read", b"\x05\x10hello", {"Content-Encoding": "snappy"})
    assert reply.status == 400 and "remote read" in reply.text, reply.text
    reply = server.http("/api/v1/read", b"\xff\xff\xff\xff\xff", {"Content-Encoding": "snappy"})
    assert reply.status == 400 and "snappy" in reply.text, reply.text


def test_federation(lapwing, tmp_path):
    server = lapwing()
    server.statsd("api.requests:3|c|#route:/buy", "api.latency:7|ms", "pool:5|g")
    await_(lambda: server.value("api.requests") == 3)
    load(server)
    text = server.get("/federate", **{"match[]": ["orders_total", "pool", "api.requests"]}).text
    lines = text.splitlines()
    assert "# TYPE orders_total counter" in lines and "# TYPE pool gauge" in lines, text
    assert f'orders_total{{instance="",shop="a"}} 537 {(NOW - 60) * 1000}' in lines, text
    assert any(line.startswith('api_requests{instance="",route="/buy"} 3 ') for line in lines), text
    wide = server.http("/federate?match[]=api.requests",
                       headers={"Accept": "text/plain;version=1.0.0;escaping=allow-utf-8"}).text
    assert '{"api.requests",instance="",route="/buy"} 3 ' in wide, wide
    nothing = server.get("/federate")
    assert (nothing.status, nothing.text) == (200, "")
    assert server.get("/federate", **{"match[]": "x{"}).status == 400

    config = f"""global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: lapwing
    honor_labels: true
    metrics_path: /federate
    params: {{'match[]': ['{{__name__=~".+"}}']}}
    static_configs: [{{targets: ["127.0.0.1:{server.ports['http']}"]}}]
"""
    with Prometheus(tmp_path, config) as prometheus:
        row = await_(lambda: prometheus.query("api_requests"))[0]
        assert row["value"][1] == "3" and row["metric"] == {
            "__name__": "api_requests", "route": "/buy", "job": "lapwing"}, row
        assert prometheus.query('up{job="lapwing"}')[0]["value"][1] == "1"
        assert prometheus.query("orders_total{shop='b'}")[0]["value"][1] == "895"


def test_remote_write_keeps_what_another_prometheus_scrapes(lapwing, tmp_path):
    server = lapwing()
    server.statsd("api.requests:3|c|#route:/buy")
    await_(lambda: server.value("api.requests") == 3)
    config = f"""global: {{scrape_interval: 1s, external_labels: {{cluster: one}}}}
remote_write: [{{url: "{server.url}/api/v1/write", send_native_histograms: true}}]
scrape_configs:
  - job_name: self
    static_configs: [{{targets: ["SELF"]}}]
  - job_name: gone
    static_configs: [{{targets: ["127.0.0.1:1"]}}]
"""
    port = free_port()
    with Prometheus(tmp_path, config.replace("SELF", f"127.0.0.1:{port}"), port=port) as prometheus:
        up = {"job": "self", "cluster": "one", "instance": f"127.0.0.1:{port}"}
        await_(lambda: server.query('up{job="self"} == 1'))
        assert server.query('up{job="self"}')[0]["metric"] == {"__name__": "up", **up}
        assert server.value('up{job="gone"}') == 0
        await_(lambda: (server.value('count_over_time(up{job="self"}[5m])') or 0) >= 5)
        at = time.time() - 2
        query = 'sum(prometheus_tsdb_head_samples_appended_total{job="self"})'
        ours, theirs = server.value(query, time=at), prometheus.query(query, time=at)
        assert str(int(ours)) == theirs[0]["value"][1]
    kinds = server.get("/api/v1/metadata", metric="prometheus_tsdb_head_samples_appended_total").json()
    assert kinds["data"]["prometheus_tsdb_head_samples_appended_total"][0]["type"] == "counter"
    server.kill()
    server.start()
    assert server.value(query, time=at) == ours
    assert server.metric("lapwing_remote_write_rejected_total") == 0


def one(name, value, time_ms):
    return remote_write.series({"__name__": name} if name else {"x": "y"}, [(time_ms, value)])


def test_remote_write_takes_the_good_and_says_what_was_bad(lapwing):
    server = lapwing()
    kind = {"Content-Type": "application/x-protobuf"}
    now = NOW * 1000
    reply = server.http("/api/v1/write", one("good", 1.5, now) + one("", 2, now), kind)
    assert reply.status == 400 and "no __name__" in reply.text, reply.text
    assert server.value("good", time=NOW) == 1.5
    assert server.http("/api/v1/write", one("late", 1, now) + one("late", 7, now - 60000), kind).status == 204
    assert server.value("late offset 1m", time=NOW) == 7
    old = server.http("/api/v1/write", one("old", 1, 1000), kind)
    assert old.status == 400 and "retention" in old.text, old.text
    assert server.http("/api/v1/write", b"\x0a\xff", kind).status == 400
    v2 = {"Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request"}
    assert server.http("/api/v1/write", b"", v2).status == 415
    assert server.metric("lapwing_remote_write_samples_total") == 3
