"""The Prometheus HTTP API as its clients use it: promtool, curl, Grafana's habits."""
import gzip
import json
import threading
import time

import pytest

from conftest import await_, run_command

START = int(time.time()) // 60 * 60 - 3600
SAMPLES = "\n".join(
    ["# TYPE requests counter"]
    + [f'requests_total{{job="{job}",code="200"}} {100 + i * step} {(START + 15 * i) * 1000}'
       for job, step in [("api", 15), ("web", 30)] for i in range(41)]
    + ["# TYPE api.load gauge"]
    + [f"api.load {value} {(START + 15 * i) * 1000}"
       for i, value in enumerate([0.5, -1, "NaN", "+Inf", 1e21, 1e-7])])
END = START + 600


@pytest.fixture
def server(lapwing):
    server = lapwing()
    reply = server.http("/api/v1/import", SAMPLES)
    assert reply.status == 200, reply.text
    assert reply.json()["data"]["samples"] == 88
    return server


def test_promtool(server):
    done = run_command("promtool", "query", "instant", f"--time={END + 1}", server.url,
                       "sum by (job) (rate(requests_total[5m]))")
    assert done.returncode == 0, done.stderr
    for line, job, rate in zip(sorted(filter(None, done.stdout.splitlines())), ["api", "web"], [1, 2]):
        series, value, at = line.replace(" => ", " ").split()
        assert (series, at) == (f'{{job="{job}"}}', f"@[{END + 1}]")
        assert float(value) == pytest.approx(rate, rel=1e-12)

    done = run_command("promtool", "query", "range", f"--start={START + 301}", f"--end={START + 361}",
                       "--step=30s", server.url, 'increase(requests_total{job="api"}[1m])')
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("60 @[") == 3

    done = run_command("promtool", "query", "series", "--match=requests_total", server.url)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split("\n"))[-2:] == [
        '{__name__="requests_total", code="200", job="api"}',
        '{__name__="requests_total", code="200", job="web"}']

    done = run_command("promtool", "query", "labels", server.url, "job")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["api", "web"]


def test_promtool_shows_errors(server):
    done = run_command("promtool", "query", "instant", server.url, "sum(")
    assert done.returncode != 0
    assert "1:5: parse error: unclosed left parenthesis" in done.stderr


def test_exact_bytes(server):
    reply = server.get("/api/v1/query", query="api.load", time=START + 0.5)
    assert reply.text == ('{"status":"success","data":{"resultType":"vector","result":[{"metric":'
                          '{"__name__":"api.load"},"value":[%d.500,"0.5"]}]}}' % START)
    assert reply.headers["Content-Type"].startswith("application/json")
    reply = server.get("/api/v1/query_range", query="api.load", start=START, end=START + 75, step=15)
    values = ['"0.5"', '"-1"', '"NaN"', '"+Inf"', '"1e+21"', '"1e-07"']
    points = ",".join(f"[{START + 15 * i},{value}]" for i, value in enumerate(values))
    assert reply.text == ('{"status":"success","data":{"resultType":"matrix","result":[{"metric":'
                          '{"__name__":"api.load"},"values":[%s]}]}}' % points)
    assert server.get("/api/v1/query", query="1e21", time="1700050000.5").text == (
        '{"status":"success","data":{"resultType":"scalar","result":'
        '[1700050000.5,"1000000000000000000000"]}}')
    assert server.get("/api/v1/query", query="'x'", time="2023-11-15T12:06:40Z").text == (
        '{"status":"success","data":{"resultType":"string","result":[1700050000,"x"]}}')


def test_ways_to_ask(server):
    form = f"query=sum(requests_total)&time={END}"
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    expected = server.get("/api/v1/query", query="sum(requests_total)", time=END).text
    assert server.http("/api/v1/query", form, kind).text == expected
    assert server.http("/api/v1/query?" + form).text == expected
    # Of what is in both, the body counts.
    assert server.http(f"/api/v1/query?query=1&time={END}", "query=sum(requests_total)",
                       kind).text == expected
    assert server.http("/api/v1/query", gzip.compress(form.encode()),
                       {**kind, "Content-Encoding": "gzip"}).text == expected
    done = run_command("curl", "-sS", "--data-urlencode", "query=sum(requests_total)",
                       "--data-urlencode", f"time={END}", server.url + "/api/v1/query")
    assert done.stdout == expected
    done = run_command("curl", "-sS", "-F", "query=sum(requests_total)", "-F", f"time={END}",
                       server.url + "/api/v1/query")
    assert done.stdout == expected
    # What Grafana's health check asks.
    assert server.get("/api/v1/query", query="1+1", time=4).json()["data"]["result"] == [4, "2"]


BAD_REQUESTS = [
    ("query", {}, 400, 'invalid parameter "query": 1:1: parse error: no expression found in input'),
    ("query", {"query": "sum("}, 400,
     'invalid parameter "query": 1:5: parse error: unclosed left parenthesis'),
    ("query", {"query": "nosuch(1)"}, 400,
     'invalid parameter "query": 1:1: parse error: unknown function with name "nosuch"'),
    ("query", {"query": "1", "time": "x"}, 400,
     'invalid parameter "time": invalid time value for \'time\': cannot parse "x" to a valid '
     'timestamp'),
    ("query", {"query": "1", "timeout": "x"}, 400,
     'invalid parameter "timeout": cannot parse "x" to a valid duration'),
    ("query", {"query": "1", "limit": -1}, 400,
     'invalid parameter "limit": limit must be non-negative'),
    ("labels", {"limit": -1}, 400, 'invalid parameter "limit": limit must be non-negative'),
    ("label/job/values", {"limit": -2}, 400,
     'invalid parameter "limit": limit must be non-negative'),
    ("status/tsdb", {"limit": 0}, 400,
     'invalid parameter "limit": limit must be a positive number'),
    ("metadata", {"limit": "x"}, 400, "limit must be a number"),
    ("metadata", {"limit_per_metric": "1.5"}, 400, "limit_per_metric must be a number"),
    ("query_exemplars", {"query": "a", "start": 5, "end": 2}, 400,
     "end timestamp must not be before start timestamp"),
    ("query_exemplars", {"query": "a", "start": "x"}, 400,
     'invalid parameter "start": invalid time value for \'start\': cannot parse "x" to a valid '
     'timestamp'),
    ("query_range", {"query": "1", "start": 1, "end": 2}, 400,
     'invalid parameter "step": cannot parse "" to a valid duration'),
    ("query_range", {"query": "1", "start": 1, "end": 2, "step": 0}, 400,
     'invalid parameter "step": zero or negative query resolution step widths are not accepted. '
     'Try a positive integer'),
    ("query_range", {"query": "1", "start": 5, "end": 2, "step": 1}, 400,
     'invalid parameter "end": end timestamp must not be before start time'),
    ("query_range", {"query": "1", "end": 2, "step": 1}, 400,
     'invalid parameter "start": cannot parse "" to a valid timestamp'),
    ("query_range", {"query": "1", "start": 1, "end": 11002, "step": 1}, 400,
     'exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query '
     'resolution (?step=XX)'),
    ("query_range", {"query": "a[5m]", "start": 1, "end": 2, "step": 1}, 400,
     'invalid parameter "query": invalid expression type "range vector" for range query, must be '
     'Scalar or instant Vector'),
    ("series", {}, 400, "no match[] parameter provided"),
    ("series", {"match[]": "sum(a)"}, 400,
     'invalid parameter "match[]": 1:4: parse error: unexpected "("'),
    ("labels", {"start": "x"}, 400,
     'invalid parameter "start": invalid time value for \'start\': cannot parse "x" to a valid '
     'timestamp'),
]


def test_the_longest_range_and_the_ends_of_time(server_for_refusals):
    reply = server_for_refusals.get("/api/v1/query_range", query="1", start=0, end=11000, step=1)
    assert len(reply.json()["data"]["result"][0]["values"]) == 11001
    reply = server_for_refusals.get("/api/v1/labels", start="-292273086-05-16T16:47:06Z",
                                    end="292277025-08-18T07:12:54.999999999Z")
    assert reply.status == 200, reply.text


@pytest.mark.parametrize("path,params,status,text", BAD_REQUESTS)
def test_refusals(server_for_refusals, path, params, status, text):
    reply = server_for_refusals.get("/api/v1/" + path, **params)
    assert reply.status == status
    assert reply.json() == {"status": "error", "errorType": "bad_data", "error": text}


def test_times_before_1970(server_for_refusals):
    for time in ["1969-12-31T23:59:59.5Z", "1970-01-01T00:59:59.500+01:00", "-0.5"]:
        reply = server_for_refusals.get("/api/v1/query", query="time()", time=time)
        assert reply.json()["data"]["result"] == [-0.5, "-0.5"], time


def test_times_between_milliseconds(server_for_refusals):
    for time, told in [("1.0005", 1), ("1.0006", 1.001), ("1.9999", 2), ("-1.0006", -1.001)]:
        reply = server_for_refusals.get("/api/v1/query", query="time()", time=time)
        assert reply.json()["data"]["result"] == [told, f"{told}"], time


def test_no_time_at_all(server_for_refusals):
    for timeout in ["0", "-1", "0s"]:
        reply = server_for_refusals.get("/api/v1/query", query="1", timeout=timeout)
        assert (reply.status, reply.json()["errorType"]) == (503, "timeout"), timeout


@pytest.fixture(scope="module")
def server_for_refusals(tmp_path_factory):
    from conftest import Server
    server = Server(tmp_path_factory.mktemp("refusals"), "").start()
    yield server
    server.close()


def test_execution_error_is_422(server):
    reply = server.get("/api/v1/query", query="requests_total + on (code) requests_total", time=END)
    assert reply.status == 422
    assert reply.json()["errorType"] == "execution"


def test_a_limit_is_no_rate_limit(lapwing):
    server = lapwing("limits: { query_samples: 1000 }")
    assert server.http("/api/v1/import", "\n".join(
        f"m {i} {(START + i) * 1000}" for i in range(1200))).status == 200
    reply = server.get("/api/v1/query", query="m[20m]", time=START + 1200)
    assert reply.status == 422
    assert reply.json()["errorType"] == "execution"
    assert "limits.query_samples" in reply.json()["error"]


def test_lists(server):
    names = server.get("/api/v1/label/__name__/values").json()["data"]
    assert {"api.load", "requests_total"} <= set(names) and names == sorted(names)
    assert server.get("/api/v1/label/job/values").json()["data"] == ["api", "web"]
    assert server.get("/api/v1/label/job/values", **{"match[]": 'requests_total{job!="web"}'}) \
        .json()["data"] == ["api"]
    assert server.get("/api/v1/label/U__jo_62_/values").json()["data"] == ["api", "web"]
    assert server.get("/api/v1/label/nosuch/values").json()["data"] == []
    assert server.get("/api/v1/labels", **{"match[]": ["requests_total", "api.load"]}) \
        .json()["data"] == ["__name__", "code", "job"]
    both = server.get("/api/v1/series", **{"match[]": ["requests_total", 'requests_total{job="api"}',
                                                       "api.load"]}).json()["data"]
    assert both == [{"__name__": "api.load"},
                    {"__name__": "requests_total", "code": "200", "job": "api"},
                    {"__name__": "requests_total", "code": "200", "job": "web"}]
    cut = server.get("/api/v1/series", **{"match[]": "requests_total", "limit": 1}).json()
    assert len(cut["data"]) == 1 and cut["warnings"] == ["results truncated due to limit"]


def test_limit_of_results(server):
    cut = server.get("/api/v1/query", query="requests_total", time=END, limit=1).json()
    assert len(cut["data"]["result"]) == 1
    assert cut["warnings"] == ["results truncated due to limit"]


def test_metadata(server):
    data = server.get("/api/v1/metadata").json()["data"]
    assert data["requests_total"] == [{"type": "counter", "help": "", "unit": ""}]
    assert data["api.load"] == [{"type": "gauge", "help": "", "unit": ""}]
    assert list(server.get("/api/v1/metadata", metric="api.load").json()["data"]) == ["api.load"]
    assert len(server.get("/api/v1/metadata", limit=1).json()["data"]) == 1
    assert len(server.get("/api/v1/metadata", limit=-5).json()["data"]) > 1
    assert server.get("/api/v1/metadata", limit=0).json()["data"] == {}
    lines = "\n".join(f'{{"metric":{{"__name__":"both","n":"{n}"}},"type":"{kind}","values":[1],'
                      f'"timestamps":[{END}000]}}' for n, kind in enumerate(["gauge", "counter", "gauge"]))
    assert server.http("/api/v1/import", lines).status == 200
    for limit, kinds in [({}, ["counter", "gauge"]), ({"limit_per_metric": 1}, ["gauge"]),
                         ({"limit_per_metric": 0}, ["counter", "gauge"])]:
        got = server.get("/api/v1/metadata", metric="both", **limit).json()["data"]["both"]
        assert sorted(row["type"] for row in got) == kinds, got


def test_status(server):
    build = server.get("/api/v1/status/buildinfo").json()["data"]
    assert build["version"].startswith("3.") and "features" not in build
    assert "statsd" in server.get("/api/v1/status/config").json()["data"]["yaml"]
    assert server.get("/api/v1/status/runtimeinfo").json()["data"]["startTime"].endswith("Z")
    # More than any of the server's own metrics, which come with the first tick.
    server.http("/api/v1/import", "".join(f'largest{{i="{i}"}} 1\n' for i in range(400)))
    tsdb = server.get("/api/v1/status/tsdb").json()["data"]
    assert tsdb["headStats"]["numSeries"] >= 3
    assert tsdb["seriesCountByMetricName"][0] == {"name": "largest", "value": 400}
    assert tsdb["labelValueCountByLabelName"][0]["name"] == "i"
    assert {"name": "__name__=largest", "value": 400} in tsdb["seriesCountByLabelValuePair"]
    assert all(row["value"] > 0 for row in tsdb["memoryInBytesByLabelName"])
    assert tsdb["headStats"]["numLabelPairs"] > 400 and tsdb["headStats"]["maxTime"] > 0
    assert len(server.get("/api/v1/status/tsdb", limit=2).json()["data"]
               ["seriesCountByMetricName"]) == 2
    assert server.get("/api/v1/status/tsdb", limit="x").status == 400
    assert server.get("/api/v1/status/flags").json()["data"] == {}
    assert server.get("/api/v1/targets").json()["data"]["activeTargets"] == []
    assert server.get("/api/v1/alertmanagers").json()["data"]["activeAlertmanagers"] == []
    assert server.get("/api/v1/scrape_pools").json()["data"] == {"scrapePools": []}
    assert server.get("/api/v1/query_exemplars", query="a", start=1, end=2).json()["data"] == []
    assert server.get("/api/v1/format_query", query="sum(a)by(b)").json()["data"] == "sum by (b) (a)"
    tree = server.get("/api/v1/parse_query", query="sum(a)by(b)").json()["data"]
    assert (tree["type"], tree["grouping"], tree["expr"]["name"]) == ("aggregation", ["b"], "a")
    assert server.get("/api/v1/parse_query", query="sum(").status == 400


def test_native_histogram_json(server):
    """320 lies in the bucket (2^(532/64), 2^(533/64)]; the series begins with an empty one."""
    server.statsd("api.latency:320|ms|#route:/buy")
    await_(lambda: server.value("histogram_count(api.latency)") == 1, what="the timer")
    series, = server.query("api.latency")
    assert series["metric"] == {"__name__": "api.latency", "route": "/buy"}
    _, histogram = series["histogram"]
    assert histogram["count"] == "1" and histogram["sum"] == "320"
    (rule, low, high, count), = histogram["buckets"]
    assert rule == 0 and count == "1" and float(low) < 320 <= float(high) < float(low) * 1.012
    now = time.time()
    data = server.get("/api/v1/query_range", query="api.latency", start=now - 5, end=now,
                      step=1).json()["data"]
    assert "values" not in data["result"][0]
    assert data["result"][0]["histograms"][-1][1]["count"] == "1"


def test_import_reports_what_it_left_out(server):
    text = f"a 1 {END}000\na 2 {END}000\na 3 {END - 1}000\na x\nb{{c=\"d\" 1\na 4 {END + 1}000\n"
    data = server.http("/api/v1/import", text).json()["data"]
    assert (data["samples"], data["past_retention"], data["rejected"]) == (4, 0, 2)
    assert data["reasons"] == {"bad_value": 1, "bad_labels": 1}
    assert data["first_error"].startswith("line 4: ")
    again = server.http("/api/v1/import", text).json()["data"]
    assert again["samples"] == 4  # the same once more
    reply = server.http("/api/v1/import", "nonsense")
    assert reply.status == 400
    assert reply.json()["error"].startswith("no line could be read; line 1: ")
    assert server.metric("lapwing_import_samples_total") == 96


def test_import_survives_a_kill(server):
    before = server.get("/api/v1/query", query="requests_total", time=END).json()
    server.kill()
    server.start()
    assert server.get("/api/v1/query", query="requests_total", time=END).json() == before
    data = server.http("/api/v1/import", SAMPLES).json()["data"]
    assert data["samples"] == 88
    assert server.get("/api/v1/query", query="requests_total", time=END).json() == before


def test_large_answer_and_large_query(server):
    reply = server.http("/api/v1/query", json.dumps("x"), {"Content-Type": "application/json"})
    assert reply.status == 400
    long = "a" * 70000
    reply = server.http("/api/v1/query", "query=" + long,
                        {"Content-Type": "application/x-www-form-urlencoded"})
    assert reply.status == 400
    assert "bytes long" in reply.json()["error"]


def test_stats_on_request(server):
    reply = server.get("/api/v1/query", query="sum(requests_total)", time=END, stats="all").json()
    assert reply["data"]["result"] and reply["data"]["stats"]["timings"]["evalTotalTime"] > 0
    assert reply["data"]["stats"]["samples"]["totalQueryableSamples"] > 0
    assert "stats" not in server.get("/api/v1/query", query="1").json()["data"]


def test_active_queries_are_listed_and_ended(lapwing):
    server = lapwing("limits: {slow_query: 100ms}")
    endless = "max_over_time(double_exponential_smoothing(vector(1)[1d:1s], 0.5, 0.5)[1d:1s])"
    replies = []
    asking = threading.Thread(
        target=lambda: replies.append(server.get("/api/v1/query", query=endless, time=1e9)))
    asking.start()
    active = await_(lambda: server.get("/api/v1/status/active_queries").json()["data"])
    assert [query["query"] for query in active] == [endless], active
    assert active[0]["language"] == "promql" and active[0]["end_ms"] == 10**12, active
    await_(lambda: server.get("/api/v1/status/active_queries").json()["data"][0]["duration_ms"] > 100)
    ended = server.http(f"/api/v1/status/active_queries/{active[0]['id']}", method="DELETE")
    assert ended.status == 204, ended.text
    asking.join(20)
    assert replies[0].status == 499 and replies[0].json()["errorType"] == "canceled", replies[0].text
    assert server.get("/api/v1/status/active_queries").json()["data"] == []
    assert server.http("/api/v1/status/active_queries/1", method="DELETE").status == 404
    await_(lambda: "slow_query" in server.log() and endless in server.log())
