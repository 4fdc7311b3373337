"""The command line against a running daemon: every command, every output format, every complaint."""
import csv
import io
import json
import time

from conftest import COMMAND, DAEMON, await_, run_command


def cli(server, *arguments, **options):
    return run_command(COMMAND, "--url", server.url,
                       "--statsd", f"127.0.0.1:{server.ports['statsd_udp']}", *arguments, **options)


def test_send_and_query(lapwing):
    server = lapwing()
    sent = cli(server, "send", "api.requests:3|c|#route:/buy", "api.latency:320|ms|#route:/buy")
    assert sent.returncode == 0, sent.stderr
    await_(lambda: server.value('api.requests{route="/buy"}') == 3)

    table = cli(server, "query", "api.requests")
    assert table.stdout.split() == ['api.requests{route="/buy"}', "3"]
    scalar = cli(server, "query", "1 + 1")
    assert scalar.stdout.strip() == "2"
    p99 = cli(server, "query", "histogram_quantile(0.99, sum(api.latency))")
    assert abs(float(p99.stdout.split()[-1]) - 320) < 320 * 0.011

    as_json = json.loads(cli(server, "query", "api.requests", "-o", "json").stdout)
    assert as_json["data"]["resultType"] == "vector"
    rows = list(csv.reader(io.StringIO(cli(server, "query", "api.requests", "-o", "csv").stdout)))
    assert rows == [["series", "value"], ['api.requests{route="/buy"}', "3"]]


def test_send_over_ipv6(lapwing):
    server = lapwing('statsd: {udp: "[::1]:0", tcp: "", flush_interval: 1s}')
    address = f"[::1]:{server.ports['statsd_udp']}"
    sent = run_command(COMMAND, "--statsd", address, "send", "six:6|c")
    assert sent.returncode == 0, sent.stderr
    await_(lambda: server.value("six") == 6)
    for wrong in ("[::1]", "localhost", ":8125", "[]:8125"):
        refused = run_command(COMMAND, "--statsd", wrong, "send", "a:1|c")
        assert refused.stderr == f'lapwing: --statsd takes HOST:PORT, not "{wrong}"\n'


def test_range_shows_a_sparkline(lapwing):
    server = lapwing()
    cli(server, "send", "load:1|g")
    await_(lambda: server.value("load") == 1)
    cli(server, "send", "load:5|g")
    await_(lambda: server.value("load") == 5)
    shown = cli(server, "query", "load", "--start", "-10s", "--step", "1s")
    assert shown.returncode == 0, shown.stderr
    assert "▁" in shown.stdout and "█" in shown.stdout and "last 5" in shown.stdout
    rows = list(csv.reader(io.StringIO(
        cli(server, "query", "load", "--start", "-10s", "--step", "1s", "-o", "csv").stdout)))
    assert rows[0] == ["time", "series", "value"] and rows[-1][1:] == ["load", "5"]


def test_logs_and_issues(lapwing):
    server = lapwing()
    line = '{"service":"api","level":"error","message":"payment failed","status":502}'
    sent = cli(server, "send", "--log", "-", input=line + "\n")
    assert sent.returncode == 0 and json.loads(sent.stdout)["accepted"] == 1
    logs = cli(server, "logs", '{service="api"} |= "payment"')
    assert "payment failed" in logs.stdout, logs.stderr

    event = {"event_id": "0" * 31 + "1", "message": "it broke", "level": "error",
             "timestamp": time.time()}
    assert server.http("/api/shop/store/", json.dumps(event)).status == 200
    listed = cli(server, "issues")
    header, row = listed.stdout.splitlines()[:2]
    assert header.split()[:3] == ["id", "project", "level"] and "it broke" in row
    one = cli(server, "issues", row.split()[0])
    assert "it broke" in one.stdout


def test_complaints(lapwing):
    server = lapwing()
    bad = cli(server, "query", "sum(")
    assert bad.returncode == 1 and "parse error" in bad.stderr
    assert cli(server, "query").returncode == 2
    assert "no command" in cli(server, "frobnicate").stderr
    assert cli(server, "query", "1", "-o", "xml").returncode == 2
    assert cli(server, "query", "--frob").stderr == \
        "lapwing: unknown option --frob; see lapwing --help\n"
    assert cli(server, "explain", "-a:1|c").stderr.startswith("lapwing: unknown option -a; see")
    assert "must follow --start" in cli(server, "query", "1", "--start").stderr
    for limit in ("0", "-1", "x", "3x", ""):
        done = cli(server, "tap", "--limit", limit)
        assert done.returncode == 2 and done.stderr == \
            f'lapwing: --limit takes a number above 0, not "{limit}"\n'
    version = run_command(DAEMON, "--version").stdout
    assert cli(server, "--version").stdout == version.replace("lapwingd", "lapwing")
    assert cli(server, "logs", "{").stderr == \
        "lapwing: parse error at line 1, col 2: the query ends here; expected a label name\n"
    assert cli(server, "issues").stderr == "lapwing: there are no issues\n"
    missing = cli(server, "issues", "ffffffffffffffff")
    assert missing.returncode == 1 and missing.stderr.startswith("lapwing: ")
    unreachable = run_command(COMMAND, "--url", "http://127.0.0.1:1", "query", "1")
    assert unreachable.returncode == 1 and "is lapwingd running" in unreachable.stderr
    nothing = cli(server, "query", "no.such.metric")
    assert nothing.returncode == 0 and "no data matches" in nothing.stderr
