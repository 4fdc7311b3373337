"""JSON logs end to end: in over TCP and HTTP, out over Loki's API, across kill -9."""
import json
import socket
import subprocess
import time

from conftest import await_


def send_tcp(server, text):
    with socket.create_connection(("127.0.0.1", server.ports["logs_tcp"])) as connection:
        connection.sendall(text.encode())


def post(server, body):
    if not isinstance(body, (str, bytes)):
        body = json.dumps(body)
    return server.http("/api/logs", data=body)


def data(server, path, **params):
    reply = server.get("/loki/api/v1/" + path, **params)
    assert reply.status == 200, reply.text
    answer = reply.json()
    assert answer["status"] == "success"
    return answer["data"]


def lines(server, query, **params):
    """[(labels, line)], newest first."""
    result = data(server, "query_range", query=query, **{"limit": 5000, **params})
    assert result["resultType"] == "streams"
    rows = [(int(ns), stream["stream"], line)
            for stream in result["result"] for ns, line in stream["values"]]
    return [(labels, line) for _, labels, line in sorted(rows, key=lambda row: -row[0])]


def counter(server, name):
    for line in server.http("/metrics").text.splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    return None


def test_post_and_query(lapwing):
    server = lapwing()
    record = {"service": "api", "level": "ERROR", "message": "some text here", "status": 502,
              "env": "prod", "user": {"id": 7}}
    assert post(server, record).json() == {"accepted": 1, "rejected": 0}
    assert post(server, [{"service": "api", "level": "info", "msg": "text", "status": 200},
                         {"app": "web", "lvl": 40, "log": "other"}]).json()["accepted"] == 2

    found = lines(server, '{service="api"} |= "text" | json | status >= 500')
    assert len(found) == 1
    labels, line = found[0]
    assert json.loads(line) == record
    assert labels["level"] == "error" and labels["environment"] == "prod"
    assert labels["status"] == "502" and labels["user_id"] == "7"

    matrix = data(server, "query_range", step="1m",
                  query='sum by (level) (count_over_time({service="api"}[1m]))',
                  end=str(time.time_ns() + 10**9))
    assert matrix["resultType"] == "matrix"
    assert {series["metric"]["level"] for series in matrix["result"]} == {"error", "info"}
    assert all(series["values"][-1][1] == "1" for series in matrix["result"])

    assert data(server, "labels") == ["environment", "level", "service"]
    assert data(server, "label/service/values") == ["api", "web"]
    assert {"service": "web", "level": "warn"} in data(server, "series", **{"match[]": "{}"})
    health = data(server, "query", query="vector(1)+vector(1)")
    assert health["resultType"] == "vector" and health["result"][0]["value"][1] == "2"


def test_form_post_and_curl(lapwing):
    server = lapwing()
    subprocess.run(["curl", "-sf", server.url + "/api/logs", "--data-binary",
                    '{"service":"curl","msg":"one"}\n{"service":"curl","msg":"two"}\n'],
                   check=True, capture_output=True)
    reply = server.http("/loki/api/v1/query_range", data="query=%7Bservice%3D%22curl%22%7D"
                        "&direction=forward",
                        headers={"Content-Type": "application/x-www-form-urlencoded"})
    values = reply.json()["data"]["result"][0]["values"]
    assert [json.loads(line)["msg"] for _, line in values] == ["one", "two"]


def test_bad_lines_drop_only_themselves(lapwing):
    server = lapwing()
    reply = post(server, '{"service":"x","n":1}\nnot json\n{"broken":\n{"service":"x","n":2}\n')
    assert reply.status == 200
    answer = reply.json()
    assert (answer["accepted"], answer["rejected"]) == (2, 2)
    assert [error["line"] for error in answer["errors"]] == [2, 3]
    assert "one JSON object" in answer["errors"][0]["error"]
    assert len(lines(server, '{service="x"}')) == 2

    refused = post(server, "nothing but text")
    assert refused.status == 400 and "JSON" in refused.json()["error"]
    late = post(server, {"time": "2001-01-01T00:00:00Z"})
    assert late.status == 400 and "retention.logs" in late.json()["error"]

    send_tcp(server, '{"service":"tcp","n":1}\nbad\n' + '{"a":"' + "x" * 300000 + '"}\n'
             + '{"service":"tcp","n":2}')
    await_(lambda: len(lines(server, '{service="tcp"}')) == 2)
    assert counter(server, 'lapwing_log_rejects_total{reason="not_json"}') == 3
    too_long = (counter(server, 'lapwing_log_rejects_total{reason="too_long"}')
                + counter(server, "lapwing_log_lines_skipped_total"))
    assert too_long == 1


def test_bad_queries_say_where(lapwing):
    server = lapwing()
    for query, says in [('{service="api"', "parse error at line 1, col 15: "),
                        ('{a="b"} | jsno', "there is no stage `jsno`"),
                        ('', "parse error at line 1, col 1: ")]:
        reply = server.get("/loki/api/v1/query_range", query=query)
        assert reply.status == 400 and says in reply.text
        assert reply.headers["Content-Type"].startswith("text/plain")
    assert server.get("/loki/api/v1/query_range", query="{}", limit=5001).status == 400
    assert server.get("/loki/api/v1/query_range", query="{}", start="soon").status == 400
    assert server.get("/loki/api/v1/query_range", query="{}", start=20, end=10).status == 400


def test_acknowledged_survives_kill(lapwing):
    server = lapwing()
    sent = 0
    for round_ in range(3):
        for _ in range(20):  # past the size of a block
            batch = [{"service": "k", "n": sent + i, "pad": "x" * 300} for i in range(250)]
            assert post(server, batch).json()["accepted"] == 250
            sent += 250
        server.kill()
        server.start()
        count = data(server, "query", query='sum(count_over_time({service="k"}[1h]))')
        assert count["result"][0]["value"][1] == str(sent), f"round {round_}"
    seen = [json.loads(line)["n"] for _, line in lines(server, '{service="k"}')]
    assert sorted(seen) == list(range(sent - 5000, sent))
    needle = lines(server, '{service="k"} |= `"n": 4321,`')
    assert len(needle) == 1


def test_sigterm_loses_nothing_of_tcp(lapwing):
    server = lapwing()
    text = "".join(json.dumps({"service": "t", "n": i}) + "\n" for i in range(20000))
    send_tcp(server, text)
    assert server.terminate() == 0
    server.start()
    count = data(server, "query", query='sum(count_over_time({service="t"}[1h]))')
    assert count["result"][0]["value"][1] == "20000"
