"""A Prometheus beside lapwing: it reads from it by remote_read and scrapes its /federate."""
import time

from conftest import await_
from peers import Prometheus

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
    assert server.get("/federate").status == 400

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
