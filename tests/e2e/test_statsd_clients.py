"""statsd clients that people use, each over its transports: what arrives is what was sent."""
import os
import subprocess

import pytest

from conftest import await_

LISTENERS = ('statsd: {{udp: "127.0.0.1:0", tcp: "127.0.0.1:0", unix_stream: "{path}", '
             "flush_interval: 1s, profile: {profile}}}")


@pytest.fixture
def listening(lapwing, tmp_path):
    """listening(profile) -> a server and what its clients need to know, as strings."""
    def start(profile):
        path = str(tmp_path / "clients.sock")
        server = lapwing(LISTENERS.format(path=path, profile=profile))
        return server, {"UDP": str(server.ports["statsd_udp"]),
                        "TCP": str(server.ports["statsd_tcp"]), "STREAM": path}
    return start


def check(server, name, expected, tags=""):
    """Waits for the counter, which the client sent last, and compares the rest."""
    if "count" in expected:
        await_(lambda: server.value(f"{name}.count{tags}") == expected["count"],
               what=f"{name}.count")
    for kind, value in expected.items():
        query = {"count": f"{name}.count{tags}", "down": f"{name}.count_decrements{tags}",
                 "gauge": f"{name}.gauge{tags}", "set": f"{name}.set{tags}",
                 "timings": f"histogram_count({name}.time{tags})",
                 "milliseconds": f"histogram_sum({name}.time{tags})"}[kind]
        assert server.value(query) == value, query


def nothing_refused(server):
    text = server.get("/metrics").text
    refused = [line for line in text.splitlines()
               if line.startswith("lapwing_statsd_rejects_total") and not line.endswith(" 0")]
    assert not refused


def test_statsd_client(listening, node):
    server, ports = listening("etsy")
    node("""
        const SDC = require('statsd-client');
        for (const tcp of [false, true]) {
            const client = new SDC({host: '127.0.0.1', tcp, maxBufferSize: 0, prefix: tcp ? 'tcp' : 'udp',
                                    port: +(tcp ? process.env.TCP : process.env.UDP)});
            client.increment('connected'); // what comes first, it sends when it is connected
            setTimeout(() => {
                client.gauge('gauge', 42); client.gaugeDelta('gauge', -2);
                client.gaugeDelta('gauge', 5);
                client.set('set', 'ann'); client.set('set', 'bob'); client.set('set', 'ann');
                for (let i = 1; i <= 100; i++) client.timing('time', i);
                for (let i = 0; i < 100; i++) client.increment('count');
                client.counter('count', 11); client.decrement('count', 4);
            }, 200);
            setTimeout(() => client.close(), 500);
        }
    """, **ports)
    for name in ("udp", "tcp"):
        check(server, name, {"count": 111, "down": 4, "gauge": 45, "set": 2, "timings": 100,
                             "milliseconds": 5050})
    nothing_refused(server)


def test_node_statsd(listening, node):
    server, ports = listening("etsy")
    node("""
        const {StatsD} = require('node-statsd');
        const client = new StatsD('127.0.0.1', +process.env.UDP, 'a.');
        client.gauge('gauge', 42.5);
        client.set('set', 'ann'); client.unique('set', 'bob');
        for (let i = 1; i <= 100; i++) client.timing('time', i, ['route:buy']);
        for (let i = 0; i < 100; i++) client.increment('count', 1, ['route:buy']);
        client.increment(['count', 'count'], 3, ['route:buy']);
        client.decrement('count', 4, ['route:buy']);
        setTimeout(() => client.close(), 300);
    """, **ports)
    check(server, "a", {"count": 106, "down": 4, "timings": 100, "milliseconds": 5050},
          '{route="buy"}')
    check(server, "a", {"gauge": 42.5, "set": 2})
    nothing_refused(server)


def test_lynx(listening, node):
    server, ports = listening("statsite")
    node("""
        const Lynx = require('lynx');
        const client = new Lynx('127.0.0.1', +process.env.UDP, {scope: 'a'});
        client.gauge('gauge', 42); client.gauge('gauge', '-2');
        client.set('set', 'ann'); client.set('set', 'bob');
        for (let i = 1; i <= 100; i++) client.timing('time', i);
        for (let i = 0; i < 100; i++) client.increment('count');
        client.count(['count', 'other'], 7);
        client.decrement('count');
        setTimeout(() => client.close(), 300);
    """, **ports)
    check(server, "a", {"count": 107, "down": 1, "gauge": 40, "set": 2, "timings": 100,
                        "milliseconds": 5050})
    nothing_refused(server)


def test_node_dogstatsd(listening, node):
    server, ports = listening("dogstatsd")
    node("""
        const {StatsD} = require('node-dogstatsd');
        const client = new StatsD('127.0.0.1', +process.env.UDP, null, {global_tags: ['env:prod']});
        client.gauge('a.gauge', 42); client.gauge('a.gauge', -2);
        client.set('a.set', 'ann'); client.set('a.set', 'bob');
        for (let i = 1; i <= 100; i++) client.histogram('a.time', i, 1, ['route:/buy']);
        for (let i = 0; i < 100; i++) client.increment('a.count', 1, ['route:/buy']);
        client.incrementBy('a.count', 9, ['route:/buy']); client.decrementBy('a.count', 4, ['route:/buy']);
        setTimeout(() => client.close(), 300);
    """, **ports)
    check(server, "a", {"count": 109, "down": 4, "timings": 100, "milliseconds": 5050},
          '{route="/buy",env="prod"}')
    check(server, "a", {"count": 109, "gauge": -2, "set": 2})
    nothing_refused(server)


def test_hot_shots_events_checks_and_times(listening, node):
    server, ports = listening("dogstatsd")
    node("""
        const StatsD = require('hot-shots');
        const client = new StatsD({host: '127.0.0.1', port: +process.env.UDP,
                                   includeDatadogTelemetry: false});
        client.event('Deploy | 7', 'line 1\\nline 2', {alert_type: 'warning', hostname: 'web-1',
                                                     aggregation_key: 'k'}, ['service:shop']);
        client.check('db.up', client.CHECKS.CRITICAL, {hostname: 'web-1', message: 'no answer'},
                     {env: 'prod'});
        client.increment('a.count', 5);
        client.gauge('a.gauge', 5); client.gauge('a.gauge', -5);
        client.close(error => { if (error) throw error; });
    """, **ports)
    check(server, "a", {"count": 5, "gauge": -5})
    assert server.value('statsd_events_total{alert_type="warning",host="web-1"}') == 1
    assert server.value('statsd_service_check{check="db.up",env="prod"}') == 2
    reply = server.get("/loki/api/v1/query_range", query='{type=~"event|service_check"}').json()
    lines = sorted(line for row in reply["data"]["result"] for _, line in row["values"])
    assert '"message":"no answer"' in lines[0]
    assert '"title":"Deploy | 7","text":"line 1\\nline 2"' in lines[1]
    nothing_refused(server)


def test_hot_shots_with_options(listening, node):
    """Buffers, children, Telegraf's tags, aggregation, what Datadog's environment adds."""
    server, ports = listening("union")
    node("""
        const StatsD = require('hot-shots'), {UDP, TCP, STREAM} = process.env;
        const udp = {host: '127.0.0.1', port: +UDP, includeDatadogTelemetry: false};
        const clients = {
            plain: {...udp, globalTags: ['shop:north', 'canary']},
            packets: {...udp, maxBufferSize: 1400, bufferFlushInterval: 50},
            sums: {...udp, aggregation: {flushInterval: 50}},
            origin: {...udp, datadog: true, cardinality: 'low', globalTags: {shop: 'north'}},
            telegraf: {...udp, telegraf: true, globalTags: {shop: 'north'}},
            tcp: {protocol: 'tcp', host: '127.0.0.1', port: +TCP, maxBufferSize: 500,
                  includeDatadogTelemetry: false},
            stream: {protocol: 'stream', stream: require('net').connect(STREAM),
                     includeDatadogTelemetry: false}};
        for (const name in clients) {
            const client = new StatsD({prefix: name + '.', ...clients[name]});
            client.gauge('gauge', 42); client.gaugeDelta('gauge', -2); client.gaugeDelta('gauge', 5);
            client.set('set', ['ann']); client.unique('set', 'b:ob');
            for (let i = 1; i <= 100; i++)
                [() => client.timing('time', i), () => client.histogram('time', i),
                 () => client.distribution('time', i)][i % 3]();
            for (let i = 0; i < 100; i++) client.increment('count');
            client.childClient({prefix: 'child.'}).increment('count', 7, {route: '/buy'});
            if (name != 'telegraf') client.event('Köln → 😀 | 1', 'é | 2', {alert_type: 'error'});
            client.increment('count', 11); client.decrement('count', 4);
            setTimeout(() => client.close(error => { if (error) throw error; }), 300);
        }
    """, **ports, DD_ENTITY_ID="pod-1", DD_ENV="prod", DD_EXTERNAL_ENV="it-false,cn-web,pu-1")
    for name in ("plain", "packets", "origin", "telegraf", "tcp", "stream"):
        tags = '{env="prod","dd.internal.entity_id"="pod-1"' + {
            "plain": ',shop="north",canary="true"}', "origin": ',shop="north"}',
            "telegraf": ',shop="north"}'}.get(name, "}")
        check(server, name, {"count": 111, "down": 4, "gauge": 45, "set": 2, "timings": 100,
                             "milliseconds": 5050}, tags)
        child = f'child.{name}.count{tags[:-1]},route="/buy"}}'
        await_(lambda: server.value(child) == 7, what=child)
    total = "sum(sums.count) - (sum(sums.count_decrements) or vector(0))"
    await_(lambda: server.value(total) == 107, what="what was added up")
    await_(lambda: server.value('sum(statsd_events_total{alert_type="error"})') == 6)
    events = server.get("/loki/api/v1/query_range", query='{type="event"}').json()
    lines = " ".join(line for row in events["data"]["result"] for _, line in row["values"])
    for name in ("plain", "packets", "sums", "origin"):
        assert f'"title":"{name}.Köln → 😀 | 1","text":"é | 2"' in lines
    nothing_refused(server)


def test_fiverr_statsd_client(listening, node):
    """Tags as Graphite writes them."""
    server, ports = listening("etsy")
    node("""
        const Client = require('@fiverr/statsd-client');
        const client = new Client({host: '127.0.0.1', port: process.env.UDP, scheme: 'graphite',
                                   prefix: 'a', tags: {env: 'prod'}, timeout: 50});
        client.gauge('gauge', 42); client.set('set', 1); client.set('set', 2);
        for (let i = 1; i <= 100; i++) client.time('time', i, {tags: {route: '/buy'}});
        for (let i = 0; i < 100; i++) client.count('count');
        client.count('count', -4); client.count('count', 11);
        setTimeout(() => process.exit(), 1000); // its socket stays open
    """, **ports)
    check(server, "a", {"count": 111, "down": 4, "gauge": 42, "set": 2}, '{env="prod"}')
    check(server, "a", {"timings": 100, "milliseconds": 5050})
    nothing_refused(server)


PYTHON = """
import os, statsd
clients = {
    "udp": statsd.StatsClient("127.0.0.1", int(os.environ["UDP"]), prefix="udp"),
    "tcp": statsd.TCPStatsClient("127.0.0.1", int(os.environ["TCP"]), prefix="tcp"),
    "stream": statsd.UnixSocketStatsClient(os.environ["STREAM"], prefix="stream"),
}
for client in clients.values():
    with client.pipeline() as pipe:
        pipe.gauge("gauge", 42)
        pipe.gauge("gauge", -2, delta=True)
        pipe.gauge("gauge", -3)
        pipe.set("set", "ann")
        pipe.set("set", "bob")
    for value in range(1, 101):
        client.timing("time", value)
    for _ in range(100):
        client.incr("count")
    client.decr("count", 4)
    client.incr("count", 11)
    if hasattr(client, "close"):
        client.close()
"""


def test_python3_statsd(listening):
    server, ports = listening("etsy")
    subprocess.run(["/usr/bin/python3", "-c", PYTHON], check=True, timeout=60,
                   env={**os.environ, **ports})
    for name in ("udp", "tcp", "stream"):
        check(server, name, {"count": 111, "down": 4, "gauge": -3, "set": 2, "timings": 100,
                             "milliseconds": 5050})
    nothing_refused(server)


DOGSTATSD = """
import asyncio, os, aiodogstatsd
async def main():
    async with aiodogstatsd.Client(host="127.0.0.1", port=int(os.environ["UDP"]), namespace="a",
                                   constant_tags={"env": "prod"}) as client:
        client.gauge("gauge", value=-2.5)
        for value in range(1, 101):
            [client.timing, client.histogram, client.distribution][value % 3]("time", value=value)
        for _ in range(100):
            client.increment("count", tags={"route": "/buy"})
        client.decrement("count", value=4, tags={"route": "/buy"})
asyncio.run(main())
"""


def test_python3_aiodogstatsd(listening):
    server, ports = listening("dogstatsd")
    subprocess.run(["/usr/bin/python3", "-c", DOGSTATSD], check=True, timeout=60,
                   env={**os.environ, **ports})
    check(server, "a", {"count": 100, "down": 4}, '{route="/buy",env="prod"}')
    check(server, "a", {"count": 100, "gauge": -2.5, "timings": 100, "milliseconds": 5050},
          '{env="prod"}')
    nothing_refused(server)


PERL = """
use Net::Statsd;
$Net::Statsd::HOST = "127.0.0.1"; $Net::Statsd::PORT = $ENV{UDP};
Net::Statsd::gauge("a.gauge" => 42);
Net::Statsd::timing("a.time", $_) for 1..100;
Net::Statsd::increment("a.count") for 1..100;
Net::Statsd::increment(["a.count", "a.other"]);
Net::Statsd::decrement("a.count"); Net::Statsd::update_stats("a.count", 10);
"""


def test_perl_net_statsd(listening):
    server, ports = listening("etsy")
    subprocess.run(["perl", "-e", PERL], check=True, timeout=60, env={**os.environ, **ports})
    check(server, "a", {"count": 111, "down": 1, "gauge": 42, "timings": 100,
                        "milliseconds": 5050})
    nothing_refused(server)
