"""What hostile, broken and careless clients send: the daemon lives, its memory stays bounded, the
good beside the bad is all there, and sent = stored + counted."""
import json
import os
import socket

import pytest
from conftest import await_

ARRIVALS = 'sum by (service) (count_over_time({service=~".+"}[1h]))'


def resident_mib(server):
    with open(f"/proc/{server.pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE") >> 20


def counted(server, name):
    """The sum over all labels."""
    return sum(float(line.rsplit(" ", 1)[1]) for line in server.get("/metrics").text.splitlines()
               if line.startswith(name + "{"))


def datagram(server, data):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.sendto(data, ("127.0.0.1", server.ports["statsd_udp"]))


def exchange(server, data):
    """Sends bytes as they are; everything until the server closes."""
    with server.tcp("http") as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        reply = b""
        while part := connection.recv(65536):
            reply += part
        return reply


def form(body):
    """As curl -d sends it."""
    return {"data": body, "headers": {"Content-Type": "application/x-www-form-urlencoded"}}


NOISE = [b":", b"a", b"a:", b"a:1", b"a:1|", b"a:1|x", b"a:|c", b":1|c", b"a:b|c", b"a:1|c|@",
         b"a:1|c|@0", b"a:1|c|@2", b"a:1|c|@nan", b"a:nan|g", b"a:inf|g", b"a:-inf|ms",
         b"a:1e309|g", b"a:--1|c", b"a:0x10|c", b"a: 1|c", b"_e{5,5}:title|text", b"_sc|x|9",
         b"n" * 600 + b":1|c", b"a:1|c|#" + b"v" * 5000, b"\0\0\0", b"\xff\xfe", b"||||", b"::::",
         b"a:1e308:1e308|c|@0.0000001", b"a:1|ms|@1e-320", b"a:1,2|c"]


def test_statsd_noise_costs_only_itself(lapwing):
    server = lapwing()
    for noise in NOISE:
        datagram(server, b"good:1|c\n" + noise + b"\ngood:1|c\n")
    bulk = b"bulk:1|c\n" * (65000 // 9)
    datagram(server, bulk)
    await_(lambda: server.value("good") == 2 * len(NOISE))
    await_(lambda: server.value("bulk") == 65000 // 9)
    assert counted(server, "lapwing_statsd_rejects_total") == len(NOISE)


def test_exploding_labels_keep_totals_and_let_others_in(lapwing):
    server = lapwing("limits: {series: 1000, series_per_metric: 200}\n")
    sent = 0
    for start in range(0, 6000, 40):
        datagram(server, b"\n".join(b"bomb:1|c|#id:%d" % i for i in range(start, start + 40)))
        sent += 40
        if start % 400 == 0:  # no faster than the socket's buffer is read
            await_(lambda: server.metric("lapwing_statsd_metrics_total") == sent)
    datagram(server, b"late:1|c\nlate:1|c")
    await_(lambda: server.value("sum(late)") == 2)
    assert server.value("sum(bomb)") == sent
    assert server.value("count(bomb)") <= 201


def test_logs_that_are_nearly_json_are_kept(lapwing):
    server = lapwing()
    bodies = [b'{"service":"percent","message":"cpu at 100% of x&y"}',
              b'{"service":"emoji","message":"cut \\ud83d"}',
              b'{"service":"latin1","message":"caf\xe9"}',
              b'{"service":"wei","amount":100000000000000000000}']
    for body in bodies:
        assert server.http("/api/logs", **form(body)).json() == {"accepted": 1, "rejected": 0}
    result = server.get("/loki/api/v1/query", query=ARRIVALS).json()["data"]["result"]
    assert sorted(row["metric"]["service"] for row in result) == \
        ["emoji", "latin1", "percent", "wei"]
    large = server.get("/loki/api/v1/query_range", query='{service="wei"} | json | amount > 1e19')
    assert len(large.json()["data"]["result"]) == 1  # also in the millisecond of the line


def test_broken_logs_are_counted_one_by_one(lapwing):
    server = lapwing()
    good = b'{"service":"beside","message":"good"}\n'
    bad = [b"null", b"42", b"true", b"<html>", b'{"a":', b'{"a":1}}', b"[" * 1000, b"{" * 1000,
           b'{"a":' * 100 + b"1" + b"}" * 100, b'{"a":NaN}', b'{"a":1} {"b":2}',
           b'{"time":1,"a":1}', b'{"a":"' + b"x" * 300000 + b'"}']
    reply = server.http("/api/logs", b"".join(good + line + b"\n" for line in bad)).json()
    assert reply["accepted"] == reply["rejected"] == len(bad)
    with server.tcp("logs_tcp") as connection:
        connection.sendall(b"".join(good + line + b"\n" for line in bad))
    await_(lambda: server.get("/loki/api/v1/query", query=ARRIVALS).json()["data"]["result"][0]
           ["value"][1] == str(2 * len(bad)))
    skipped = server.metric("lapwing_log_lines_skipped_total")
    assert counted(server, "lapwing_log_rejects_total") + skipped == 2 * len(bad)


def test_events_that_are_nearly_json_are_kept(lapwing):
    server = lapwing()
    events = [b'{"message":"100% & more"}', b'{"message":"cut \\ud83d"}', b'{"message":"caf\xe9"}',
              b'{"message":"amount","extra":{"wei":100000000000000000000}}']
    for event in events:
        body = b'{}\n{"type":"event"}\n' + event
        assert server.http("/api/1/envelope/", **form(body)).status == 200
    listed = server.get("/api/issues").json()["issues"]
    assert len(listed) == len(events)
    for issue in listed:  # what is shown is JSON again
        assert server.get(f"/api/issues/{issue['id']}").json()["latest_event"]["event"]["message"]


def test_every_item_of_a_flood_is_counted(lapwing):
    server = lapwing()
    item = b'{"type":"event"}\n{"message":"flood"}\n'
    assert server.http("/api/1/envelope/", b"{}\n" + item * 3000).status == 200
    kept = server.get("/api/issues").json()["issues"][0]["count"]
    assert kept + counted(server, "lapwing_sentry_dropped_total") == 3000
    deep = b'{"message":"deep","x":' + b"[" * 100 + b"]" * 100 + b"}"
    reply = server.http("/api/1/store/", deep)
    assert reply.status == 400 and "nested too deeply at byte" in reply.json()["detail"]


@pytest.mark.parametrize("request_line, status", [
    (b"FOO /-/healthy HTTP/1.1\r\n", 405), (b"GET /\r\n", 400), (b"GET / HTTP/3.0\r\n", 505),
    (b"\x16\x03\x01\x02\n", 400), (b"GET /%00 HTTP/1.1\r\n", 400), (b"GET /\xff HTTP/1.1\r\n", 404),
    (b"GET /../../etc/passwd HTTP/1.1\r\n", 404), (b"HEAD /-/healthy HTTP/1.1\r\n", 200),
    (b"OPTIONS /api/1/envelope/ HTTP/1.1\r\n", 204), (b"GET /" + b"a" * 40000, 431),
    (b"GET /-/healthy HTTP/1.1\r\n" + b"X: y\r\n" * 200, 431),
    (b"POST /api/logs HTTP/1.1\r\nContent-Length: -1\r\n", 400),
    (b"POST /api/logs HTTP/1.1\r\nContent-Length: 99999999999\r\n", 413),
    (b"POST /api/logs HTTP/1.1\r\nTransfer-Encoding: gzip\r\n", 501),
    (b"POST /api/logs HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n", 400),
    (b"POST /api/logs HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n", 400),
])
def test_http_that_is_none(hardened, request_line, status):
    assert exchange(hardened, request_line + b"\r\n")[9:12] == str(status).encode()
    assert hardened.get("/-/healthy").status == 200


@pytest.fixture(scope="module")
def hardened(tmp_path_factory):
    """One daemon for all requests that must leave no trace."""
    from conftest import Server
    server = Server(tmp_path_factory.mktemp("hardened"),
                    "limits: {query_timeout: 2s, query_memory: 64MiB}\n").start()
    server.http("/api/logs", json.dumps({"service": "re", "message": "a" * 100000 + "c"}))
    datagram(server, b"".join(b"m:1|c|#id:%d\n" % i for i in range(500)))
    await_(lambda: server.value("count(m)") == 500)
    yield server
    server.close()


PROMQL = "/api/v1/query"
RANGE = "/api/v1/query_range"
LOGQL = "/loki/api/v1/query_range"


@pytest.mark.parametrize("path, query, parameters, status", [
    (PROMQL, "(" * 30000 + "1" + ")" * 30000, {}, 400),
    (PROMQL, "1" + "+1" * 30000, {}, 400),
    (PROMQL, "-" * 60000 + "1", {}, 400),
    (PROMQL, 'm{id=~"(((a|a)*)*)*b"}', {}, 200),
    (PROMQL, 'm{id=~"(a{1000}){1000}"}', {}, 200),
    (PROMQL, "m * on() m", {}, 422),
    (PROMQL, "max_over_time(vector(1)[10000d:1ms])", {}, 422),
    (PROMQL, "sum_over_time(rate(m[1m])[1d:1ms])", {}, None),
    (PROMQL, "m[99999999999y]", {}, 400),
    (PROMQL, "m", {"time": "NaN"}, 400),
    (RANGE, "m", {"start": 0, "end": 1, "step": "0.000000001"}, 400),
    (RANGE, "m", {"start": 0, "end": 20000, "step": 1}, 400),
    (RANGE, "m", {"start": "-Inf", "end": "Inf", "step": 1}, 400),
    (LOGQL, "(" * 30000, {}, 400),
    (LOGQL, '{service="re"} ' + '|= "a" ' * 5000, {}, 200),
    (LOGQL, '{service="re"} |~ "(a+)+b"', {}, 200),
    (LOGQL, '{service="re"}', {"limit": -1}, 400),
    (LOGQL, 'count_over_time({service="re"}[1m])', {"step": "1ns"}, 400),
])
def test_queries_are_bounded(hardened, path, query, parameters, status):
    body = "&".join(f"{name}={value}" for name, value in parameters.items())
    encoded = query.replace("%", "%25").replace("+", "%2B").replace("&", "%26")
    reply = hardened.http(path, f"query={encoded}&{body}", timeout=20)
    assert reply.status in ([status] if status else [422, 429, 503]), reply.text[:300]
    assert resident_mib(hardened) < 400


def test_a_long_line_matches(hardened):
    """The regular expression's stack must not decide what is found."""
    for pattern in ("(a|b)+c", "a(a|aa)*c"):
        reply = hardened.get(LOGQL, query=f'{{service="re"}} |~ "{pattern}"')
        assert len(reply.json()["data"]["result"]) == 1, pattern
    assert hardened.metric("lapwing_regex_given_up_total") == 0
    quadratic = hardened.get(LOGQL, query='{service="re"} |~ "(a|b)*$"')
    assert quadratic.status == 200


def is_healthy(server):
    try:
        return server.get("/-/healthy").status == 200
    except OSError:  # refused, as long as the others are not seen to be closed
        return False


def test_connections_beyond_the_limit_are_refused_and_counted(lapwing):
    server = lapwing('http: {listen: "127.0.0.1:0", connection_max: 50}\n')
    connections = [server.tcp("http") for _ in range(120)]
    for connection in connections:
        connection.close()
    await_(lambda: is_healthy(server))
    refused = server.metric("lapwing_http_connections_refused_total")
    assert refused >= 60
    await_(lambda: server.metric("lapwing_http_connections") <= 2)
