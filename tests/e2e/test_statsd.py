"""statsd end to end: every type and transport, real clients, bad input, losses, crashes."""
import json
import os
import signal
import socket
import struct
import time

from conftest import await_

# Hardly a tick falls into a test with this: what it sees was written by the close.
LONG = 'statsd: {udp: "127.0.0.1:0", tcp: "127.0.0.1:0", flush_interval: 10m}'


def samples(server, name):
    """Every raw sample of the last hour, oldest first."""
    result = server.query(f"{name}[1h]")
    assert len(result) <= 1, result
    return [float(value) for _, value in result[0]["values"]] if result else []


def test_every_type(lapwing):
    server = lapwing()
    server.statsd("c:1|c", "c:2.5|c|@0.5", "g:7|g", "g:-2|g", "t:320|ms|#route:/buy,canary",
                  "t:320|h|#canary,route:/buy", "t:320|d|#route:/buy,canary", "u:ann|s", "u:bob|s",
                  "u:ann|s")
    assert await_(lambda: server.value("c")) == 6
    assert server.value("g") == 5
    assert server.value("u") == 2
    assert server.value('histogram_count(t{route="/buy",canary="true"})') == 3
    assert abs(server.value("histogram_quantile(0.99, t)") / 320 - 1) < 0.011


def test_first_increment_counts(lapwing):
    server = lapwing()
    server.statsd("api.requests:3|c", "api.latency:320|ms")
    assert await_(lambda: server.value("increase(api.requests[5m])")) > 0
    p99 = server.value("histogram_quantile(0.99, sum(rate(api.latency[1m])))")
    assert abs(p99 / 320 - 1) < 0.011


def test_packed_values_and_dotted_labels(lapwing):
    server = lapwing()
    server.statsd("p:1:2:3|c|@0.5", "q:10:20|ms|c:container|T1|#a.b:c d,__name__:x")
    assert await_(lambda: server.value("p")) == 12
    labels = server.query("q")[0]["metric"]
    assert labels == {"__name__": "q", "a.b": "c d", "exported__name__": "x"}


def test_samples_with_a_time_count_at_that_time(lapwing):
    server = lapwing()
    now = int(time.time())
    at = lambda name, ago: server.value(f"{name} @ {now - ago}")
    server.statsd("live:1|c", "live:1|c")
    assert await_(lambda: server.value("live")) == 2
    server.statsd(f"past:5|c|T{now - 600}|#k:v", f"past:-2:3|c|T{now - 300}|#k:v",
                  f"past:7|c|@0.5|T{now - 900}|#k:v", f"live:10|c|T{now - 60}",
                  f"level:3|g|T{now - 600}", f"level:4|g|T{now - 300}",
                  f"late:1|g|T{now - 40 * 86400}", f"early:1|c|T{now + 86400}",
                  f"bad:1|c|T{now}000")
    assert await_(lambda: server.value("past") == 22 and server.value("past_decrements")) == 2
    assert [at("past", ago) for ago in (890, 590, 310, 290)] == [14, 19, 19, 22]
    assert server.value("increase_exact(past[20m])") == 22
    assert [at("level", ago) for ago in (590, 310, 290)] == [3, 3, 4]
    assert not server.query("level")  # nobody knows whether it still holds
    assert await_(lambda: server.value("live") == 12)
    assert at("live", 50) == 10
    assert await_(lambda: server.metric("lapwing_statsd_dated_dropped_total",
                                        'reason="time"')) == 2
    assert server.metric("lapwing_statsd_dated_total") == 7
    assert server.metric("lapwing_statsd_rejects_total", 'reason="bad_time"') == 1
    assert server.terminate() == 0
    server.start()
    assert server.value(f"past @ {now - 590}") == 19


def test_each_listener_has_its_dialect(lapwing):
    server = lapwing('statsd: {udp: "127.0.0.1:0", tcp: "127.0.0.1:0", flush_interval: 1s, '
                     "profile: etsy, tcp_profile: dogstatsd}")
    server.statsd("udp:5|g:-2|g:7|ms", "tagged;zone=a:3:-1|c", "moved:-2|c|#zone:a")
    with server.tcp("statsd_tcp") as tcp:
        tcp.sendall(b"tcp:5|g\ntcp:-2|g\npacked:1:2:-4|c|#zone:a\n")
    assert await_(lambda: server.value("packed")) == 3
    assert server.value("tcp") == -2
    assert server.value("packed_decrements") == 4
    assert await_(lambda: server.value("moved_decrements{zone='a'}")) == 2
    assert server.value("udp{statsd_type=''}") == 3
    assert server.value("histogram_sum(udp{statsd_type!=''})") == 7
    assert server.value("tagged_decrements{zone='a'}") == 1


def records(server, query):
    """The lines of each stream that matches, as (labels, [object ...])."""
    reply = server.get("/loki/api/v1/query_range", query=query).json()
    return [(row["stream"], [json.loads(line) for _, line in row["values"]])
            for row in reply["data"]["result"]]


def test_events_become_records_and_a_series(lapwing):
    server = lapwing()
    server.statsd("_e{6,12}:deploy|a|b\\nv1.2 \\o|t:error|p:low|h:web-1|s:ci|k:d1|#env:prod,service:shop,v:7",
                  "_e{6,4}:deploy|done", "_e{6,5}:deploy|done")
    assert await_(lambda: server.value("sum(statsd_events_total)")) == 2
    assert server.value('increase(statsd_events_total{alert_type="error",host="web-1",v="7"}[5m])') > 0
    (stream, lines), = await_(lambda: records(server, '{type="event",level="error"}'))
    assert stream == {"type": "event", "level": "error", "host": "web-1", "environment": "prod",
                      "service": "shop"}
    assert lines == [{"title": "deploy", "text": "a|b\nv1.2 \\o", "alert_type": "error",
                      "priority": "low", "source": "ci", "aggregation_key": "d1",
                      "tags": {"alert_type": "error", "env": "prod", "host": "web-1",
                               "service": "shop", "v": "7"}}]
    assert server.metric("lapwing_statsd_events_total") == 2
    assert server.metric("lapwing_statsd_records_total") == 2
    assert server.metric("lapwing_statsd_rejects_total", 'reason="bad_length"') == 1


def test_service_checks_become_a_gauge_and_records(lapwing):
    server = lapwing()
    server.statsd("_sc|db.up|0|h:web-1|#env:prod", "_sc|db.up|2|h:web-1|#env:prod|m:no answer\\nitem\\: a\\:b",
                  "_sc|cache|1")
    assert await_(lambda: server.value('statsd_service_check{check="db.up"}')) == 2
    assert server.query('statsd_service_check{check="db.up"}')[0]["metric"] == {
        "__name__": "statsd_service_check", "check": "db.up", "env": "prod", "host": "web-1"}
    assert server.value('statsd_service_check{check="cache"}') == 1
    (stream, lines), = await_(lambda: records(server, '{type="service_check"}'))
    assert stream == {"type": "service_check", "level": "error", "host": "web-1",
                      "environment": "prod"}
    assert lines == [{"check": "db.up", "status": "critical", "message": "no answer\nitem: a\\:b",
                      "tags": {"check": "db.up", "env": "prod", "host": "web-1"}}]


def test_hot_shots(lapwing, node):
    server = lapwing()
    node("""
        const StatsD = require('hot-shots');
        const client = new StatsD({host: '127.0.0.1', port: +process.env.PORT, prefix: 'shop.',
                                   globalTags: {env: 'prod'}, maxBufferSize: 1400});
        for (let i = 0; i < 100; i++) client.increment('orders', 1, {route: '/buy'});
        for (let i = 1; i <= 100; i++) client.timing('latency', i, ['route:/buy']);
        for (let i = 0; i < 10; i++) client.distribution('size', 5);
        client.gauge('stock', 42);
        client.gaugeDelta('stock', -2);
        client.set('users', 'ann'); client.unique('users', 'bob');
        client.histogram('weight', 2.5);
        client.close(error => { if (error) throw error; });
    """, PORT=str(server.ports["statsd_udp"]))
    assert await_(lambda: server.value('shop.orders{env="prod",route="/buy"}')) == 100
    assert server.value('shop.stock{env="prod"}') == 40
    assert server.value("shop.users") == 2
    assert server.value("histogram_sum(shop.latency)") == 5050
    assert server.value("histogram_count(shop.size)") == 10
    assert server.value("histogram_sum(shop.weight)") == 2.5


def test_hot_shots_over_tcp(lapwing, node):
    server = lapwing()
    node("""
        const StatsD = require('hot-shots');
        const client = new StatsD({host: '127.0.0.1', port: +process.env.PORT, protocol: 'tcp'});
        for (let i = 0; i < 50; i++) client.increment('tcp.orders');
        client.close(error => { if (error) throw error; });
    """, PORT=str(server.ports["statsd_tcp"]))
    assert await_(lambda: server.value("tcp.orders")) == 50


def test_unix_socket(lapwing, tmp_path):
    path = str(tmp_path / "statsd.sock")
    server = lapwing('statsd: {udp: "127.0.0.1:0", tcp: "127.0.0.1:0", flush_interval: 1s, '
                     f'unix: "{path}"}}')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as local:
        local.sendto(b"local:3|c", path)
    assert await_(lambda: server.value("local")) == 3


def test_unix_streams_carry_lines_and_packets(lapwing, tmp_path):
    path = str(tmp_path / "stream.sock")
    config = ('statsd: {udp: "127.0.0.1:0", tcp: "127.0.0.1:0", flush_interval: 1s, '
              f'unix_stream: "{path}", unix_profile: dogstatsd}}')
    server = lapwing(config)
    with socket.socket(socket.AF_UNIX) as lines, socket.socket(socket.AF_UNIX) as packets:
        lines.connect(path)
        packets.connect(path)
        lines.sendall(b"stream:1|c\nstream:2|c\nsigned:5|g\n")
        for packet in (b"stream:4|c\nstream:8:16|c\n", b"signed:-3|g", b""):
            packets.sendall(struct.pack("<I", len(packet)) + packet)
        assert await_(lambda: server.value("stream")) == 31
        assert server.value("signed") == -3
        packets.sendall(struct.pack("<I", 10) + b"stream:32|c"[:10])
        assert server.metric("lapwing_statsd_connections") == 2
        server.kill()
    server.start()  # what the last one left at the path is no obstacle
    with socket.socket(socket.AF_UNIX) as packets:
        packets.connect(path)
        packets.sendall(struct.pack("<I", 10) + b"after:64|c")
        assert await_(lambda: server.value("after")) == 64
    assert server.terminate() == 0
    assert not os.path.exists(path)


def test_udp_over_ipv6(lapwing):
    server = lapwing('statsd: {udp: "[::1]:0", tcp: "[::1]:0", flush_interval: 1s}')
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp:
        udp.sendto(b"six:6|c", ("::1", server.ports["statsd_udp"]))
    with socket.create_connection(("::1", server.ports["statsd_tcp"])) as tcp:
        tcp.sendall(b"six:7|c\n")
    assert await_(lambda: server.value("six") == 13)


def test_a_malformed_line_drops_only_itself(lapwing):
    server = lapwing()
    server.statsd("good:1|c", "bad", "good:x|c", "good:1|zz", ":1|c", "good:1|c|@7", "good:-1|C",
                  "good:nan|g", "_e{5,9}:title|text", "_sc|db|7", "good:2|c")
    assert await_(lambda: server.value("good")) == 3
    for reason in ("no_colon", "bad_value", "bad_type", "empty_name", "bad_rate", "negative_count",
                   "not_finite", "bad_length", "bad_status"):
        assert server.metric("lapwing_statsd_rejects_total", f'reason="{reason}"') == 1, reason


def test_bytes_of_any_kind(lapwing):
    server = lapwing()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for payload in (os.urandom(1000), b"", b"\n\n", b"\xff" * 65000, b"a:" * 30000,
                        b"caf\xc3\xa9 x\xff:1|c|#k\x01:\xed\xa0\x80"):
            udp.sendto(payload, ("127.0.0.1", server.ports["statsd_udp"]))
    assert await_(lambda: server.value('{"café_x\ufffd"}')) == 1


def test_a_line_in_pieces_and_without_end_over_tcp(lapwing):
    server = lapwing()
    with server.tcp("statsd_tcp") as tcp:
        tcp.sendall(b"piece:1|")
        await_(lambda: server.metric("lapwing_statsd_connections") == 1)
        tcp.sendall(b"c\npiece:2|c")
    assert await_(lambda: server.value("piece")) == 3


def test_the_second_type_of_a_name_is_set_apart(lapwing):
    server = lapwing()
    server.statsd("clash:1|c", "clash:9|g")
    await_(lambda: len(server.query("clash")) == 2)
    assert {row["metric"].get("statsd_type") for row in server.query("clash")} > {None}
    assert server.metric("lapwing_series_clashes_total") == 1


def test_beyond_the_series_limit_totals_stay_right(lapwing):
    server = lapwing("limits: {series_per_metric: 10}")
    for user in range(50):
        server.statsd(f"logins:1|c|#user:{user},app:shop")
    await_(lambda: server.value("sum(logins)") == 50)
    assert server.value("count(logins)") == 11
    assert server.value('logins{__overflow__="true"}') == 40
    assert "label=user" in server.log()


def test_what_the_kernel_drops_is_counted(lapwing):
    sent = 3000
    server = lapwing('statsd: {udp: "127.0.0.1:0", tcp: "127.0.0.1:0", flush_interval: 1s, '
                     "receive_buffer: 64KiB}")
    os.kill(server.pid, signal.SIGSTOP)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for _ in range(sent):
            udp.sendto(b"flood:1|c", ("127.0.0.1", server.ports["statsd_udp"]))
    os.kill(server.pid, signal.SIGCONT)

    def accounted():
        dropped = server.total("lapwing_statsd_kernel_drops_total")
        received = server.metric("lapwing_statsd_packets_total", 'transport="udp"')
        return dropped > 0 and dropped + received == sent

    await_(accounted)
    received = server.metric("lapwing_statsd_packets_total", 'transport="udp"')
    await_(lambda: server.value("flood") == received)


def test_sigterm_loses_nothing(lapwing):
    server = lapwing(LONG)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, server.tcp("statsd_tcp") as tcp:
        udp.connect(("127.0.0.1", server.ports["statsd_udp"]))
        for i in range(2000):
            udp.send(b"sent:1|c\nlevel:%d|g" % i)
            tcp.sendall(b"sent:1|c\nwait:5|ms\n")
        tcp.sendall(b"sent:1|c")
        assert server.terminate() == 0
    server.start()
    assert server.value("sent") == 4001
    assert server.value("level") == 1999
    assert server.value("histogram_count(wait)") == 2000
    # And again: totals continue, bases are remembered.
    server.statsd("sent:1|c", "level:-9|g", "wait:5|ms")
    assert server.terminate() == 0
    server.start()
    assert server.value("sent") == 4002
    assert server.value("level") == 1990
    assert server.value("histogram_sum(wait)") == 10005


def test_kill_9_costs_at_most_the_unfinished_tick(lapwing):
    server = lapwing()
    sent = 0
    for round_ in range(3):
        committed = 0
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            server.statsd("survivor:1|c", "wait:5|ms")
            sent += 1
            committed = server.value("survivor") or 0
        server.kill()
        server.start()
        survived = await_(lambda: server.value("survivor"))
        assert committed <= survived <= sent, f"round {round_}"
        sent = survived
    values = samples(server, "survivor")
    assert values == sorted(values), "a counter went backwards"
    assert server.value("resets(survivor[1h])") == 0
    # What was committed adds up: the increments before the crashes and after.
    server.statsd("survivor:1|c")
    await_(lambda: server.value("survivor") == sent + 1)


def test_imports_meet_the_limit_per_metric_too(lapwing):
    server = lapwing("limits: {series_per_metric: 10}")
    lines = "".join(f'wide{{i="{i}"}} 1\n' for i in range(15)) + "narrow 1\n"
    answer = server.http("/api/v1/import", lines).json()["data"]
    assert answer["series"] == 11 and answer["refused_series"] == 5, answer
    assert "the metric wide has 10 live series" in answer["first_error"]
    assert server.metric("lapwing_series_refused_total", 'limit="series_per_metric"') == 5
    server.statsd(*[f"wide:1|c|#i:s{i}" for i in range(5)])
    await_(lambda: server.value('wide{__overflow__="true"}') == 5)
    assert server.value("narrow") == 1
