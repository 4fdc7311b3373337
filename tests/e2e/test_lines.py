"""Graphite's plaintext protocol and InfluxDB's line protocol, by sockets and by real clients."""
import gzip
import re
import socket
import time

from conftest import ROOT, await_, run_command

NOW = int(time.time())
SOCKETS = """
graphite: {tcp: "127.0.0.1:0", udp: "127.0.0.1:0"}
influx: {tcp: "127.0.0.1:0", udp: "127.0.0.1:0"}
"""


def send_tcp(server, port, text):
    with server.tcp(port) as tcp:
        tcp.sendall(text.encode())


def send_udp(server, port, text):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.sendto(text.encode(), ("127.0.0.1", server.ports[port]))


def at(server, expression, seconds):
    """The value of a series at a time, None when it has none."""
    return server.value(expression, time=seconds)


def labels_of(server, expression, seconds=NOW):
    return sorted(str(dict(sorted(row["metric"].items())))
                  for row in server.query(expression, time=seconds))


def rejects(server, format, reason):
    return server.metric(f"lapwing_{format}_rejects_total", f'reason="{reason}"')


def dropped(server, format, reason):
    return server.metric(f"lapwing_{format}_dropped_total", f'reason="{reason}"')


# --- Graphite ---


def test_graphite_tcp_and_udp(lapwing):
    server = lapwing(SOCKETS)
    send_tcp(server, "graphite_tcp", f"app.load 1.5 {NOW - 600}\napp.load 2.5 {NOW}\n"
             f"disk;mount=/var;host=web-1 17 {NOW}\napp.last 3 {NOW}")
    send_udp(server, "graphite_udp", f"app.udp -4e2 -1\napp.old 1 {NOW - 40 * 86400}\n")
    await_(lambda: server.metric("lapwing_graphite_samples_total") == 5)
    assert at(server, "app.load", NOW - 600) == 1.5
    assert at(server, "app.load", NOW) == 2.5
    assert at(server, 'disk{host="web-1", mount="/var"}', NOW) == 17
    assert at(server, "app.last", NOW) == 3
    assert server.value("app.udp") == -400
    assert dropped(server, "graphite", "past_retention") == 1
    assert server.metric("lapwing_graphite_packets_total") == 1
    assert server.metric("lapwing_graphite_connections_total") == 1


def test_graphite_rejects_cost_only_themselves(lapwing):
    server = lapwing(SOCKETS)
    send_tcp(server, "graphite_tcp",
             f"a 1\na 1 2 3\nb nan {NOW}\nc x {NOW}\nd 1 soon\ne;t 1 {NOW}\ngood 1 {NOW}\n")
    await_(lambda: server.metric("lapwing_graphite_samples_total") == 1)
    for reason in ("no_time", "trailing", "not_finite", "bad_value", "bad_time", "bad_tag"):
        assert rejects(server, "graphite", reason) == 1, reason
    assert at(server, "good", NOW) == 1


def test_graphite_client(lapwing, node):
    server = lapwing(SOCKETS)
    node("""
        const graphite = require('graphite');
        const client = graphite.createClient(`plaintext://127.0.0.1:${process.env.PORT}/`);
        client.write({home: {indoor: {temp: 21.2}, outdoor: {temp: -3}}}, error => {
            if (error) throw error;
            client.writeTagged ? client.writeTagged({visits: 7}, {page: 'home'},
                error => { if (error) throw error; client.end(); }) : client.end();
        });
    """, PORT=str(server.ports["graphite_tcp"]))
    await_(lambda: server.value("home.indoor.temp") == 21.2)
    await_(lambda: server.value("home.outdoor.temp") == -3)


def test_graphite_stops_without_loss(lapwing):
    """What was sent before SIGTERM is there afterwards, the lines of an open connection included."""
    server = lapwing(SOCKETS)
    with server.tcp("graphite_tcp") as tcp:
        tcp.sendall("".join(f"stop.series{i} {i} {NOW}\n" for i in range(3000)).encode())
        for i in range(50):
            send_udp(server, "graphite_udp", f"stop.datagram{i} {i} {NOW}\n")
        assert server.terminate() == 0
    server.start()
    assert at(server, 'count({__name__=~"stop.series.*"})', NOW) == 3000
    assert at(server, 'count({__name__=~"stop.datagram.*"})', NOW) == 50
    assert at(server, 'stop.series2999', NOW) == 2999


def test_readings_do_not_poison_counters(lapwing):
    server = lapwing(SOCKETS)
    server.statsd("hits:5|c")
    await_(lambda: server.value("hits") == 5)
    send_tcp(server, "graphite_tcp", f"hits 1 {NOW}\nother 1 {NOW}\n")
    await_(lambda: dropped(server, "graphite", "type_clash") == 1)
    assert server.value("hits") == 5
    reply = server.http("/write", "hits,x=y value=1\n")
    assert reply.status == 204
    server.statsd("temp_c:5|c|#db:d")
    await_(lambda: server.value("temp_c") == 5)
    reply = server.http("/write?db=d", "temp c=1\n")
    assert reply.status == 400 and "exists as a counter" in reply.json()["error"]
    assert dropped(server, "influx", "type_clash") == 1


def test_series_limits_refuse_readings(lapwing):
    server = lapwing(SOCKETS + "limits: {series_per_metric: 3}")
    send_tcp(server, "graphite_tcp", "".join(f"wide;user=u{i} {i} {NOW}\n" for i in range(10)))
    await_(lambda: dropped(server, "graphite", "series_refused") == 7)
    assert at(server, "count(wide)", NOW) == 3
    assert "metric=wide" in server.log()
    reply = server.http("/api/v2/write?bucket=b", "wide,user=a f=1\nwide f=2\nwide,user=c f=3\n"
                        "wide,user=d f=4\n")
    assert reply.status == 422, reply.text
    assert reply.json()["code"] == "unprocessable entity"
    assert "limits.series_per_metric" in reply.json()["message"]
    assert "dropped=1" in reply.json()["message"]
    assert dropped(server, "influx", "series_refused") == 1


def test_limits_of_a_prefix(lapwing):
    """Every way in keeps to it; what statsd sends beyond is counted in one series."""
    server = lapwing(SOCKETS + 'limits: {series_per_prefix: [{prefix: "api.", series: 4}]}')
    server.statsd(*[f"api.user{i}.hits:2|c" for i in range(10)], "other:1|c")
    await_(lambda: server.value('{__name__="api.",__overflow__="true"}') == 12)
    assert server.value("other") == 1
    assert server.value('count({__name__=~"api.user.*"})') == 4
    assert server.metric("lapwing_series_overflow_total", 'limit="series_per_prefix"') == 6
    send_tcp(server, "graphite_tcp", f"api.load 1 {NOW}\nload 1 {NOW}\n")
    await_(lambda: dropped(server, "graphite", "series_refused") == 1)
    assert at(server, "load", NOW) == 1
    reply = server.http("/write", "api.x f=1")
    assert reply.status == 400 and "limits.series_per_prefix" in reply.json()["error"]

    def culprit():
        server.http("/write", "api.x f=1")
        return "prefix=api. series=" in server.log()
    await_(culprit, what="the log's word")
    assert "metric=api." in server.log()
    assert server.metric("lapwing_series_refused_total", 'limit="series_per_prefix"') > 6


# --- InfluxDB ---


def test_influx_write(lapwing):
    server = lapwing()
    body = (f"# a comment\ncpu,host=web-1 user=1.5,sys=2i,idle=3u,on=true,note=\"x, y\" {NOW}\n"
            f"cpu,host=web-2 user=7 {NOW - 60}\n")
    reply = server.http("/write?db=tele&precision=s", body)
    assert reply.status == 204 and reply.body == b"", reply.text
    assert at(server, 'cpu_user{db="tele", host="web-1"}', NOW) == 1.5
    assert at(server, 'cpu_sys{host="web-1"}', NOW) == 2
    assert at(server, 'cpu_idle{host="web-1"}', NOW) == 3
    assert at(server, 'cpu_on{host="web-1"}', NOW) == 1
    assert at(server, 'cpu_user{host="web-2"}', NOW - 60) == 7
    assert server.metric("lapwing_influx_unsupported_total") == 1
    assert server.metric("lapwing_influx_samples_total") == 5


def test_influx_acknowledged_is_durable(lapwing):
    server = lapwing()
    assert server.http("/api/v2/write?bucket=b&precision=ms", f"m v=5 {NOW * 1000}").status == 204
    server.kill()
    server.start()
    assert at(server, 'm_v{bucket="b"}', NOW) == 5


def test_influx_gzip_and_precisions(lapwing):
    server = lapwing()
    for unit, factor in {"ns": 1e9, "us": 1e6, "ms": 1e3, "s": 1, "m": 1 / 60, "h": 1 / 3600}.items():
        body = gzip.compress(f"p_{unit} v=1 {int(NOW * factor)}".encode())
        reply = server.http(f"/write?precision={unit}", body, {"Content-Encoding": "gzip"})
        assert reply.status == 204, reply.text
        end = NOW - NOW % {"m": 60, "h": 3600}.get(unit, 1)
        assert at(server, f"p_{unit}_v", end) == 1 and at(server, f"p_{unit}_v", end - 1) is None
    reply = server.http("/write?precision=d", "m v=1")
    assert reply.status == 400 and "invalid precision 'd'" in reply.json()["error"]


def test_influx_keeps_the_good_lines(lapwing):
    server = lapwing()
    body = "good v=1\nbad v=\nalso v=2\nworse,a v=3\n"
    reply = server.http("/write", body)
    assert reply.status == 400
    assert reply.json() == {"error": "partial write: line 2: unable to parse 'bad v=': every field "
                            "must look like key=value, neither of them empty; dropped=2"}
    assert server.value("good_v") == 1 and server.value("also_v") == 2
    reply = server.http("/api/v2/write", "\n" + body)
    assert reply.status == 400
    answer = reply.json()
    assert answer["code"] == "invalid" and answer["line"] == 3
    assert answer["message"].startswith("partial write: line 3: unable to parse 'bad v='")
    assert rejects(server, "influx", "bad_field") == 2 and rejects(server, "influx", "bad_tag") == 2
    reply = server.http("/write", "bad")
    assert reply.json()["error"] == "line 1: unable to parse 'bad': missing fields; dropped=1"


def test_influx_past_retention(lapwing):
    server = lapwing()
    body = f"m v=1 {NOW - 400 * 86400}\nm v=2 {NOW}"
    reply = server.http("/write?precision=s", body)
    assert reply.status == 400
    assert reply.json()["error"] == "partial write: points beyond retention policy; dropped=1"
    assert server.http("/api/v2/write?precision=s", body).status == 422
    assert at(server, "m_v", NOW) == 2


def test_influx_sockets(lapwing):
    server = lapwing(SOCKETS)
    send_udp(server, "influx_udp", f"u,a=b v=1,w=2i {NOW}000000000\nu v=x\n")
    send_tcp(server, "influx_tcp", f"t v=5 {NOW}000000000\n")
    await_(lambda: server.metric("lapwing_influx_samples_total") == 3)
    assert at(server, "u_v", NOW) == 1 and at(server, 'u_w{a="b"}', NOW) == 2
    assert at(server, "t_v", NOW) == 5
    assert rejects(server, "influx", "bad_value") == 1


def test_influx_client_of_version_1(lapwing, node):
    server = lapwing()
    node("""
        const Influx = require('influx');
        (async () => {
            const influx = new Influx.InfluxDB({host: '127.0.0.1', port: +process.env.PORT,
                database: 'express', schema: [{measurement: 'response_times',
                fields: {path: Influx.FieldType.STRING, duration: Influx.FieldType.INTEGER,
                         share: Influx.FieldType.FLOAT, ok: Influx.FieldType.BOOLEAN},
                tags: ['host']}]});
            const hosts = await influx.ping(5000);
            if (!hosts[0].online) throw new Error('offline');
            await influx.createDatabase('express');
            await influx.writePoints([{measurement: 'response_times',
                tags: {host: 'web 1,a=b'},
                fields: {duration: 42, share: 0.5, ok: true, path: '/a "b"'}}]);
        })();
    """, PORT=str(server.ports["http"]))
    labels = '{db="express", host="web 1,a=b"}'
    assert server.value("response_times_duration" + labels) == 42
    assert server.value("response_times_share" + labels) == 0.5
    assert server.value("response_times_ok" + labels) == 1


def test_influx_client_of_version_2(lapwing, node):
    server = lapwing()
    out = node("""
        const {InfluxDB, Point, HttpError} = require('@influxdata/influxdb-client');
        (async () => {
            const api = new InfluxDB({url: process.env.URL, token: 't'})
                .getWriteApi('org', 'shop', 'ms', {maxRetries: 0, gzipThreshold: 1});
            api.useDefaultTags({region: 'eu west'});
            for (let i = 0; i < 500; i++)
                api.writePoint(new Point('order').tag('n', 'n' + i).floatField('total', i + 0.5)
                    .intField('items', i).booleanField('paid', true).stringField('note', 'x\\ny'));
            await api.close();
            const bad = new InfluxDB({url: process.env.URL, token: 't'})
                .getWriteApi('org', 'shop', 'ms', {maxRetries: 0});
            bad.writeRecord('order v=');
            await bad.close().catch(e => console.log(JSON.stringify({status: e.statusCode,
                code: e.code, message: e.message})));
        })();
    """, URL=server.url)
    labels = '{bucket="shop", n="n499", region="eu west"}'
    assert server.value("order_total" + labels) == 499.5
    assert server.value("order_items" + labels) == 499
    assert server.value("count(order_paid)") == 500
    assert server.metric("lapwing_influx_unsupported_total") == 500
    assert any('"status":400' in line and "line 1: unable to parse" in line
               for line in out.splitlines()), out


def test_influx_query_says_where_to_ask(lapwing):
    server = lapwing()
    reply = server.get("/query", q="SHOW DATABASES")
    assert reply.status == 400 and "/api/v1/query" in reply.json()["error"]
    assert server.get("/query", q='create database "x"').json() == {"results": [{"statement_id": 0}]}
    reply = server.http("/ping")
    assert reply.status == 204 and reply.headers["X-Influxdb-Version"]


# --- the pages ---


def commands_of(server, page):
    """The shell's lines, with the ports that this server has; bash writes where netcat would."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.S | re.M)
    text = "".join(blocks).replace(":8127", f":{server.ports['http']}")
    port = server.ports["graphite_tcp"]
    return text.replace("| nc -q0 127.0.0.1 2003", f">/dev/tcp/127.0.0.1/{port}").splitlines()


def test_the_commands_of_the_pages(lapwing):
    server = lapwing(SOCKETS)
    server.statsd("api.latency:320|ms")
    await_(lambda: server.query("api.latency"))
    for page, answers in (("INFLUX.md", ("HTTP/1.1 204", '"17.5"')),
                          ("GRAPHITE.md", ("", '"17.25"', "api.latency.mean_90", '"api"'))):
        commands = commands_of(server, page)
        assert len(commands) == len(answers), commands
        for command, answer in zip(commands, answers):
            # A line over TCP is stored a moment after it was sent.
            await_(lambda c=command, a=answer: a in run_command("bash", "-c", c).stdout, what=command)
