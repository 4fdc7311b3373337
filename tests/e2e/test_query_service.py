"""How queries are served: kept results, clients that go away, queries that wait, answers in parts."""
import gzip
import json
import socket
import threading
import time
import urllib.parse

import pytest

import remote_write
from conftest import await_

START = int(time.time()) // 60 * 60 - 7200


def counter(name, count, step=15):
    return "\n".join([f"# TYPE {name} counter"]
                     + [f"{name}_total {i * 30} {(START + i * step) * 1000}" for i in range(count)])


def outcomes(server):
    return {kind: server.metric("lapwing_query_cache_queries_total", f'result="{kind}"')
            for kind in ("hit", "part", "miss")}


def test_a_repeated_question_is_answered_from_memory_until_something_changes(lapwing):
    server = lapwing()
    assert server.http("/api/v1/import", counter("c", 400)).status == 200
    ask = dict(query="rate(c_total[1m])", start=START + 600, end=START + 4200, step=60)
    first = server.get("/api/v1/query_range", **ask)
    again = server.get("/api/v1/query_range", **ask)
    assert first.status == again.status == 200 and first.text == again.text
    assert outcomes(server) == {"hit": 1, "part": 0, "miss": 1}
    assert server.metric("lapwing_query_cache_bytes") > 400
    later = server.get("/api/v1/query_range", **{**ask, "start": START + 1200, "end": START + 4800})
    assert len(later.json()["data"]["result"][0]["values"]) == 61
    assert outcomes(server) == {"hit": 1, "part": 1, "miss": 1}
    assert server.get("/api/v1/query_range", nocache=1, **ask).text == first.text
    assert outcomes(server) == {"hit": 1, "part": 1, "miss": 1}

    late = f"c_total 1000000 {(START + 1201) * 1000}"  # between two that are there
    assert server.http("/api/v1/import", late).status == 200
    changed = server.get("/api/v1/query_range", **ask)
    assert changed.text != first.text
    assert changed.text == server.get("/api/v1/query_range", nocache=1, **ask).text


def test_a_moment_asked_for_again_is_answered_from_memory_until_something_changes(lapwing):
    server = lapwing()
    assert server.http("/api/v1/import", counter("c", 400)).status == 200
    ask = dict(query="sum(rate(c_total[5m]))", time=START + 3000)
    answers = [server.get("/api/v1/query", **ask).text for _ in range(4)]
    assert answers == [server.get("/api/v1/query", nocache=1, **ask).text] * 4
    assert outcomes(server) == {"hit": 3, "part": 0, "miss": 1}
    assert json.loads(answers[3])["data"]["resultType"] == "vector"
    assert "stats" in server.get("/api/v1/query", stats="all", **ask).json()["data"]
    assert "warnings" not in server.get("/api/v1/query", limit=1, **ask).json()
    server.get("/api/v1/query", **{**ask, "time": START + 3001})
    assert outcomes(server) == {"hit": 5, "part": 0, "miss": 2}
    assert server.get("/api/v1/query", **ask).text == answers[0]

    assert server.http("/api/v1/import", f"c_total 1 {(START + 2991) * 1000}").status == 200
    changed = server.get("/api/v1/query", **ask).text
    assert changed != answers[0]
    assert changed == server.get("/api/v1/query", nocache=1, **ask).text


def test_infos_point_into_the_query_as_it_was_asked(lapwing):
    server = lapwing()
    gauge = "\n".join(f"g {i} {(START + i * 15) * 1000}" for i in range(40))
    assert server.http("/api/v1/import", gauge).status == 200
    for query, place in (("sum(rate(g[5m]))", "(1:10)"), ("sum(  rate(  g[5m]  )  )", "(1:14)")):
        ask = dict(query=query, start=START, end=START + 600, step=60)
        without = server.get("/api/v1/query_range", nocache=1, **ask).text
        assert place in without, without
        assert [server.get("/api/v1/query_range", **ask).text for _ in range(3)] == [without] * 3


def test_no_cache_when_told(lapwing):
    server = lapwing("limits: { query_cache: 0 }")
    assert server.http("/api/v1/import", counter("c", 40)).status == 200
    ask = dict(query="c_total", start=START, end=START + 600, step=60)
    assert server.get("/api/v1/query_range", **ask).text == server.get("/api/v1/query_range", **ask).text
    assert outcomes(server) == {"hit": 0, "part": 0, "miss": 0}


ENDLESS = "max_over_time(double_exponential_smoothing(vector(time())[1d:1s], 0.5, 0.5)[1d:1s])"


def active(server):
    return server.get("/api/v1/status/active_queries").json()["data"]


def send_query(server, expression, headers=""):
    connection = socket.create_connection(("127.0.0.1", server.ports["http"]), timeout=30)
    query = urllib.parse.urlencode({"query": expression, "time": 1e9})
    connection.sendall(f"GET /api/v1/query?{query} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
    return connection


def read_all(connection):
    data = b""
    while part := connection.recv(1 << 20):
        data += part
    return data


def test_a_client_that_closes_ends_its_query(lapwing):
    server = lapwing("limits: { query_timeout: 10m }")
    connection = send_query(server, ENDLESS)
    await_(lambda: active(server))
    connection.close()
    await_(lambda: not active(server))
    assert server.metric("lapwing_http_clients_gone_total") == 1
    # Half closed is gone, too, but is told so.
    connection = send_query(server, ENDLESS)
    await_(lambda: active(server))
    connection.shutdown(socket.SHUT_WR)
    assert read_all(connection).startswith(b"HTTP/1.1 499 ")
    # A write is carried out whoever waits for it.
    connection = socket.create_connection(("127.0.0.1", server.ports["http"]), timeout=30)
    line = b"h 7 %d000" % START
    connection.sendall(b"POST /api/v1/import HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
                       % (len(line), line))
    connection.shutdown(socket.SHUT_WR)
    assert read_all(connection).startswith(b"HTTP/1.1 200 ")
    assert server.value("h", time=START) == 7


def test_queries_wait_for_their_turn_and_nothing_waits_for_them(lapwing):
    server = lapwing("limits: { query_concurrency: 1, query_timeout: 10m }\nhttp: { listen: \"127.0.0.1:0\", workers: 1 }")
    running = send_query(server, ENDLESS)
    await_(lambda: active(server))
    impatient = send_query(server, "1")
    left = send_query(server, "2")
    await_(lambda: server.metric("lapwing_http_waiting_requests") == 2)
    for path in ["/-/healthy", "/metrics", "/api/v1/labels", "/api/health"]:
        assert server.http(path).status == 200
    assert server.http("/api/v1/import", f"h 7 {START}000").status == 200
    left.close()
    await_(lambda: server.metric("lapwing_http_waiting_requests") == 1)
    patient = []
    waiting = threading.Thread(target=lambda: patient.append(server.get("/api/v1/query", query="3", stats="all")))
    waiting.start()
    await_(lambda: server.metric("lapwing_http_waiting_requests") == 2)
    running.close()
    waiting.join(60)
    assert patient[0].status == 200
    assert patient[0].json()["data"]["stats"]["timings"]["execQueueTime"] > 0
    impatient.close()


def test_an_export_waits_for_its_turn_as_queries_do(lapwing):
    server = lapwing("limits: { query_concurrency: 1 }")
    assert server.http("/api/v1/import", f"h 7 {START}000").status == 200
    running, exported = send_query(server, ENDLESS), []
    await_(lambda: active(server))
    waiting = threading.Thread(target=lambda: exported.append(server.get("/api/v1/export", **{"match[]": "h"})))
    waiting.start()
    await_(lambda: server.metric("lapwing_http_waiting_requests") == 1)
    running.close()
    waiting.join(60)
    assert exported[0].status == 200 and exported[0].json()["values"] == [7]


def test_who_waits_too_long_is_told(lapwing):
    server = lapwing("limits: { query_concurrency: 1, query_timeout: 6s }")
    # The first ends by its timeout while the second still waits, which then runs longer than a third may wait.
    running = [send_query(server, ENDLESS)]
    await_(lambda: active(server) and active(server)[0]["duration_ms"] > 2000)
    running.append(send_query(server, ENDLESS))
    await_(lambda: server.metric("lapwing_http_waiting_requests") == 1)
    reply = server.get("/api/v1/query", query="1")
    assert reply.status == 503, reply.text
    assert reply.json() == {"status": "error", "errorType": "timeout",
                            "error": "query timed out in query queue"}
    for connection in running:
        connection.close()
    await_(lambda: not active(server))


@pytest.fixture(scope="module")
def many_points():
    return "\n".join(f'm{{i="{i}"}} {n}.{i:03d} {(START + 15 * n) * 1000}'
                     for i in range(300) for n in range(2))


@pytest.mark.parametrize("headers", [{}, {"Accept-Encoding": "gzip"}])
def test_large_answers_come_in_parts(lapwing, many_points, headers):
    server = lapwing()
    assert server.http("/api/v1/import", many_points).status == 200
    path = f"/api/v1/query_range?query=m&start={START}&end={START + 300}&step=1&stats=1"
    reply = server.http(path, headers=headers)
    assert reply.status == 200 and reply.headers["Transfer-Encoding"] == "chunked"
    assert reply.headers.get("Content-Encoding") == headers.get("Accept-Encoding")
    body = gzip.decompress(reply.body) if headers else reply.body
    data = json.loads(body)["data"]
    assert len(body) > 1 << 20 and len(data["result"]) == 300
    assert all(len(series["values"]) == 301 for series in data["result"])
    assert data["stats"]["samples"]["totalQueryableSamples"] > 0
    assert body.index(b"resultType") < body.index(b'"result":')


@pytest.mark.parametrize("headers", [{}, {"Accept-Encoding": "gzip"}])
def test_large_answers_are_the_same_when_asked_for_again(lapwing, many_points, headers):
    server = lapwing()
    assert server.http("/api/v1/import", many_points).status == 200
    path = f"/api/v1/query_range?query=m&start={START}&end={START + 300}&step=1"
    bodies = [server.http(path, headers=headers).body for _ in range(4)]
    if headers:
        bodies = [gzip.decompress(body) for body in bodies]
    assert len(bodies[0]) > 1 << 20 and bodies == bodies[:1] * 4
    assert outcomes(server) == {"hit": 3, "part": 0, "miss": 1}
    assert server.metric("lapwing_query_cache_bytes") > len(bodies[0])  # its text, too
    assert server.get("/api/v1/query", query="1").status == 200


def test_a_reader_that_stops_holds_no_worker(lapwing, many_points):
    server = lapwing("limits: { query_concurrency: 1 }\nhttp: { listen: \"127.0.0.1:0\", workers: 1, timeout: 1s }")
    assert server.http("/api/v1/import", many_points).status == 200
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", server.ports["http"]))
    connection.sendall(f"GET /api/v1/query_range?query=m&start={START}&end={START + 3000}&step=1"
                       "&lookback_delta=1h HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
    assert server.get("/api/v1/query", query="1").status == 200
    before = server.metric("lapwing_http_timeouts_total")
    await_(lambda: server.metric("lapwing_http_timeouts_total") > before)
    connection.close()


def test_all_queries_together_have_a_budget(lapwing, many_points):
    server = lapwing("limits: { query_memory_total: 1MiB }")
    assert server.http("/api/v1/import", many_points).status == 200
    ask = dict(query='m{i=~"1.|2."}', start=START, end=START + 9000, step=1, lookback_delta="1h")
    refused = server.get("/api/v1/query_range", **ask)
    assert refused.status == 422 and "limits.query_memory_total" in refused.json()["error"], refused.text
    # Remote reads and federations have a part in it.
    series = "\n".join(f'f{{i="{i}",long="{"x" * 400}"}} 1 {int(time.time()) * 1000}' for i in range(2000))
    assert server.http("/api/v1/import", series).status == 200
    matcher = remote_write.field(3, remote_write.field(2, b"__name__") + remote_write.field(3, b"f"))
    span = remote_write.integer(1, remote_write.varint(1)) + \
        remote_write.integer(2, remote_write.varint(int(time.time() + 60) * 1000))
    body = remote_write.snappy(remote_write.field(1, span + matcher))
    for reply in [server.get("/federate", **{"match[]": "f"}),
                  server.http("/api/v1/read", body, {"Content-Encoding": "snappy"})]:
        assert reply.status >= 400 and "limits.query_memory_total" in reply.text, reply.text[:300]
    assert server.get("/federate", **{"match[]": 'f{i="7"}'}).status == 200
    # And queries of log lines.
    text = "y" * 900
    lines = "\n".join(f'{{"msg":"x","n":{i},"text":"{text}"}}' for i in range(2000))
    assert server.http("/api/logs", lines).status == 200
    ask_logs = dict(start=time.time_ns() - 1000 * 10**9, step=1, limit=2000)
    for query in ["{}", "sum by (n) (count_over_time({} | json [5m]))"]:
        reply = server.get("/loki/api/v1/query_range", query=query, **ask_logs)
        assert reply.status == 400 and "limits.query_memory_total" in reply.text, reply.text[:300]
    reply = server.get("/loki/api/v1/query_range", query="{}", **{**ask_logs, "limit": 1})
    assert reply.status == 200, reply.text
    for _ in range(5):  # what was taken is given back
        reply = server.get("/api/v1/query_range", **{**ask, "step": 30})
        assert reply.status == 200, reply.text
