"""Clients made for Prometheus, unmodified: every method of npm's prometheus-query, every command of
promtool that asks a server, and the requests of Grafana's data source as it words them."""
import gzip
import json
import time
import urllib.parse

import pytest

from conftest import Server, await_, run_command

NOW = int(time.time())
START = NOW // 60 * 60 - 3600
RULES = """
groups:
- name: shop
  interval: 1s
  rules:
  - record: job:requests:rate5m
    expr: sum by (job) (rate(requests_total[5m]))
  - alert: LoadHigh
    expr: load > 10
    labels: {severity: page}
    annotations: {summary: "load is {{ $value }}"}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("clients"), "rule_files: [rules.yaml]\n")
    (server.directory / "rules.yaml").write_text(RULES)
    server.start()
    lines = ["# TYPE requests counter"] + [
        f'requests_total{{job="{job}",code="{code}"}} {100 + i * step} {(START + 15 * i) * 1000}'
        for job, code, step in [("api", "200", 15), ("api", "500", 3), ("web", "200", 30)] for i in range(238)]
    lines += ["# TYPE load gauge"] + [f"load {12 + i / 100} {(START + 15 * i) * 1000}" for i in range(250)]
    lines += [f"doomed {i} {(START + 15 * i) * 1000}" for i in range(10)]
    reply = server.http("/api/v1/import", "\n".join(lines))
    assert reply.status == 200 and reply.json()["data"]["rejected"] == 0, reply.text
    await_(lambda: server.get("/api/v1/alerts").json()["data"]["alerts"])
    yield server
    server.close()


# --- npm prometheus-query ---

def ask_driver(node, server, calls, options=""):
    """{name: what the call gave} of calls like {"up": "instantQuery('up')"}."""
    body = "\n".join(f"out[{json.dumps(name)}] = await driver.{call};" for name, call in calls.items())
    return json.loads(node(f"""
        const {{PrometheusDriver}} = require('prometheus-query');
        const driver = new PrometheusDriver({{endpoint: process.env.URL, {options}}});
        (async () => {{
            const out = {{}};
            {body}
            console.log(JSON.stringify(out));
        }})().catch(error => {{ console.error(error); process.exit(1); }});
    """, URL=server.url))


@pytest.mark.parametrize("options", ["", "preferPost: true"])
def test_prometheus_query_asks(server, node, options):
    start, end = START * 1000, (START + 3000) * 1000
    got = ask_driver(node, server, {
        "vector": f"instantQuery('requests_total', {end})",
        "scalar": "instantQuery('1 + 1')",
        "matrix": f"rangeQuery('sum by (job) (rate(requests_total[5m]))', {end} - 600000, {end}, 60)",
        "duration": f"rangeQuery('load', new Date({end} - 60000), new Date({end}), '15s', '10s')",
        "series": f"series('requests_total', {start}, {end})",
        "union": f"series(['load', 'requests_total{{job=\"web\"}}'], {start}, {end})",
        "names": "labelNames()", "names of": f"labelNames('requests_total', {start}, {end})",
        "values": "labelValues('job')", "values of": f"labelValues('code', ['requests_total'], {start}, {end})",
    }, options)
    vector = got["vector"]
    assert vector["resultType"] == "vector" and len(vector["result"]) == 3
    first = vector["result"][0]
    assert first["metric"] == {"name": "requests_total", "labels": {"code": "200", "job": "api"}}
    assert first["value"]["value"] == 100 + 15 * 200
    assert got["scalar"]["resultType"] == "scalar" and got["scalar"]["result"][1] == "2"
    matrix = got["matrix"]["result"]
    assert [row["metric"]["labels"] for row in matrix] == [{"job": "api"}, {"job": "web"}]
    assert len(matrix[0]["values"]) == 11
    assert matrix[1]["values"][0]["value"] == pytest.approx(2)
    assert matrix[1]["values"][0]["time"].startswith(time.strftime("%Y-", time.gmtime(START)))
    assert len(got["duration"]["result"][0]["values"]) == 5
    assert [row["labels"] for row in got["series"]] == [
        {"code": "200", "job": "api"}, {"code": "200", "job": "web"}, {"code": "500", "job": "api"}]
    assert sorted(row["name"] for row in got["union"]) == ["load", "requests_total"]
    assert {"__name__", "code", "job"} <= set(got["names"])
    assert got["names of"] == ["__name__", "code", "job"]
    assert {"api", "web"} <= set(got["values"]) and got["values of"] == ["200", "500"]


def test_prometheus_query_looks_around(server, node):
    got = ask_driver(node, server, {
        "targets": "targets()", "dropped": "targets('dropped')", "of": "targetsMetadata('{job=\"x\"}', 'up', 1)",
        "metadata": "metadata()", "one": "metadata('load', 1)", "rules": "rules()", "alerts": "alerts()",
        "alertmanagers": "alertmanagers()", "status": "status()", "flags": "statusFlags()",
        "runtime": "statusRuntimeInfo()", "build": "statusBuildinfo()", "tsdb": "statusTSDB()"})
    assert got["targets"]["activeTargets"] == [] and got["dropped"]["droppedTargets"] == []
    assert got["of"] == []
    assert got["metadata"]["requests_total"] == [{"type": "counter", "help": "", "unit": ""}]
    assert list(got["one"]) == ["load"]
    group, = got["rules"]
    assert group["name"] == "shop" and group["interval"] == 1 and group["file"].endswith("rules.yaml")
    record, alert = group["rules"]
    assert (record["name"], record["type"], record["health"]) == ("job:requests:rate5m", "recording", "ok")
    assert (alert["name"], alert["type"], alert["duration"]) == ("LoadHigh", "alerting", 0)
    assert alert["query"] == "load > 10" and alert["alerts"][0]["state"] == "firing"
    listed, = got["alerts"]
    assert listed["labels"] == {"alertname": "LoadHigh", "severity": "page"}
    assert listed["annotations"]["summary"].startswith("load is 14.")
    assert listed["value"] > 10 and listed["activeAt"].endswith("Z")
    assert got["alertmanagers"]["activeAlertmanagers"] == []
    assert "statsd" in got["status"]["yaml"] and isinstance(got["flags"], dict)
    assert got["runtime"]["startTime"].endswith("Z") and got["build"]["version"].startswith("3.")
    assert got["tsdb"]["headStats"]["numSeries"] > 4


def test_prometheus_query_changes(server, node):
    assert server.value("last_over_time(doomed[1h])", time=START + 600) == 9
    # Prometheus answers the first two with 204 and no body, which the driver takes for an error.
    silent = ".catch(error => error.original.data)"
    got = ask_driver(node, server, {
        "deleted": f"adminDeleteSeries('doomed', new Date({START * 1000}), new Date()){silent}",
        "cleaned": f"adminCleanTombstones(){silent}", "snapshot": "adminSnapshot(true)"})
    assert got["deleted"] == got["cleaned"] == ""
    assert server.value("last_over_time(doomed[1h])", time=START + 600) is None
    assert got["snapshot"]["name"]


def test_prometheus_query_shows_errors(server, node):
    said = node("""
        const {PrometheusDriver} = require('prometheus-query');
        const driver = new PrometheusDriver({endpoint: process.env.URL});
        driver.instantQuery('sum(').catch(({prometheus}) =>
            console.log(prometheus.errorType + ': ' + prometheus.error));
    """, URL=server.url)
    assert said == 'bad_data: invalid parameter "query": 1:5: parse error: unclosed left parenthesis\n'


# --- promtool ---

def promtool(*arguments, code=0):
    done = run_command("promtool", *arguments)
    assert done.returncode == code, done.stderr + done.stdout
    return done.stdout


def test_promtool_asks(server):
    at = str(START + 3000)
    assert "3100" in promtool("query", "instant", f"--time={at}", server.url, "requests_total")
    ranged = promtool("query", "range", f"--start={START + 2940}", f"--end={at}", "--step=30s", server.url, "load")
    assert ranged.count("@[") == 3
    assert promtool("query", "series", "--match=requests_total", "--match=load", server.url).count("{") == 4
    assert promtool("query", "labels", server.url, "job").split() == ["api", "web"]
    assert promtool("query", "labels", "--match=requests_total{job='web'}", server.url, "code").split() == ["200"]


def test_promtool_checks(server):
    # `check healthy` and `check ready` of later versions ask these.
    for path in ("/-/healthy", "/-/ready"):
        assert server.get(path).status == 200
    rules = server.directory / "rules.yaml"
    assert "2 rules found" in promtool("check", "rules", str(rules))


def test_promtool_lints_what_is_exposed(server):
    done = run_command("promtool", "check", "metrics", input=server.get("/metrics").text)
    assert "parsing" not in done.stderr and "error while linting" not in done.stderr, done.stderr


def test_promtool_debugs(server, tmp_path):
    run_command("promtool", "debug", "metrics", server.url, cwd=tmp_path)
    archive, = tmp_path.glob("debug.tar.gz")
    listed = run_command("tar", "-xzOf", str(archive)).stdout
    assert "lapwing_build_info" in listed


# --- Grafana's data source ---

FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept-Encoding": "gzip",
        "User-Agent": "Grafana/11.0.0", "X-Dashboard-Uid": "abc", "X-Panel-Id": "2"}


def grafana(server, path, method="POST", **params):
    """As the data source sends it: a form, an answer compressed; GET for what only has GET."""
    body = urllib.parse.urlencode(params, doseq=True)
    url = f"/api/v1/{path}" + (f"?{body}" if method == "GET" and body else "")
    reply = server.http(url, body if method == "POST" else None, FORM if method == "POST" else
                        {"Accept-Encoding": "gzip"}, method)
    assert reply.status == 200, reply.text
    assert reply.headers["Content-Type"].startswith("application/json")
    packed = reply.headers.get("Content-Encoding") == "gzip"
    text = gzip.decompress(reply.body) if packed else reply.body
    answer = json.loads(text)
    assert answer["status"] == "success"
    return answer["data"], text, packed


def test_grafana_saves_and_tests(server):
    data, _, _ = grafana(server, "query", query="1+1", time=4)
    assert data == {"resultType": "scalar", "result": [4, "2"]}
    build, _, _ = grafana(server, "status/buildinfo", "GET")
    assert not build.get("features")  # else it would take us for Mimir
    assert tuple(map(int, build["version"].split(".")[:2])) >= (2, 24)


def test_grafana_draws_a_panel(server):
    data, text, packed = grafana(server, "query_range", query="sum by (job) (rate(requests_total[1m]))",
                                 start=f"{START + 600}.000", end=f"{START + 3000}.000", step=15)
    assert packed and len(data["result"]) == 2 and len(data["result"][0]["values"]) == 161
    assert text.index(b'"resultType"') < text.index(b'"result":')  # it is parsed as a stream
    instant, _, _ = grafana(server, "query", query="topk(2, requests_total)", time=f"{START + 3000}.123")
    assert [row["value"][0] for row in instant["result"]] == [START + 3000.123] * 2
    exemplars, _, _ = grafana(server, "query_exemplars", query="requests_total", start=START, end=NOW)
    assert exemplars == []


def test_grafana_fills_its_query_builder(server):
    window = {"start": START, "end": NOW}
    names, _, _ = grafana(server, "label/__name__/values", "GET", **window)
    assert {"load", "requests_total"} <= set(names)
    matched, _, _ = grafana(server, "label/job/values", "GET",
                            **{"match[]": 'requests_total{code="500"}', "limit": 40000, **window})
    assert matched == ["api"]
    labels, _, _ = grafana(server, "labels", **{"match[]": '{__name__="requests_total"}', **window})
    assert labels == ["__name__", "code", "job"]
    series, _, _ = grafana(server, "series", **{"match[]": ["requests_total{}", "load"], **window})
    assert len(series) == 4
    metadata, _, _ = grafana(server, "metadata", "GET", limit=40000)
    assert metadata["load"][0]["type"] == "gauge"
    text, _, _ = grafana(server, "format_query", query="sum(rate(requests_total[5m]))by(job)")
    assert text == "sum by (job) (rate(requests_total[5m]))"
    parsed, _, _ = grafana(server, "parse_query", query="sum(load)")
    assert parsed["type"] == "aggregation"


def test_grafana_lists_alerts(server):
    everything, _, _ = grafana(server, "rules", "GET")
    assert [rule["type"] for rule in everything["groups"][0]["rules"]] == ["recording", "alerting"]
    alerting, _, _ = grafana(server, "rules", "GET", type="alert")
    assert [rule["name"] for group in alerting["groups"] for rule in group["rules"]] == ["LoadHigh"]
    recording, _, _ = grafana(server, "rules", "GET", type="record")
    assert [rule["name"] for group in recording["groups"] for rule in group["rules"]] == ["job:requests:rate5m"]
    alerts, _, _ = grafana(server, "alerts", "GET")
    assert alerts["alerts"][0]["state"] == "firing"


def test_grafana_falls_back_to_get(server):
    """Where a proxy refuses POST it asks again with GET, the same parameters in the URL."""
    params = {"query": "load", "start": START, "end": START + 60, "step": 15}
    assert grafana(server, "query_range", "GET", **params)[0] == grafana(server, "query_range", **params)[0]


def test_errors_have_the_shape_clients_read(server):
    for path, status, kind in [("query?query=sum(", 400, "bad_data"), ("series", 400, "bad_data"),
                               ("query?query=requests_total*on()load*on()requests_total", 422, "execution")]:
        reply = server.http("/api/v1/" + path, headers={"Accept-Encoding": "gzip"})
        body = gzip.decompress(reply.body) if reply.headers.get("Content-Encoding") == "gzip" else reply.body
        assert reply.status == status and json.loads(body)["errorType"] == kind, path
