"""lapwing top, explain and tap: what the server says of lines it got, would get and gets."""
import json
import socket
import subprocess
import urllib.error
import urllib.request

from conftest import COMMAND, await_, run_command


def cli(server, *arguments):
    return run_command(COMMAND, "--url", server.url, *arguments)


def explain(server, line, **params):
    reply = server.get("/api/statsd/explain", line=line, **params)
    assert reply.status == 200, reply.text
    return {row["profile"]: row for row in reply.json()["data"]["profiles"]}


def test_top(lapwing):
    server = lapwing()
    server.statsd("busy:1|c|#user:ann", "wrong\x1b[31m")
    await_(lambda: server.value("busy") == 1)

    def tables():
        server.statsd("busy:1|c|#user:ann", "wrong\x1b[31m")
        shown = cli(server, "top")  # no terminal: once
        assert shown.returncode == 0, shown.stderr
        return "METRIC" in shown.stdout and "REFUSED" in shown.stdout and shown.stdout

    words = await_(tables)
    assert "\x1b" not in words
    for expected in ("busy", "127.0.0.1", 'busy{user="ann"}', "wrong\\x1b[31m",
                     'lapwing_statsd_rejects_total{reason="no_colon"}'):
        assert expected in words, words
    both = json.loads(cli(server, "top", "-o", "json", "--limit", "1").stdout)
    assert both["losses"]["data"]["rejects"][0]["reason"] == "no_colon"
    assert len(both["top"]["data"]["series"]) == 1
    assert cli(server, "top", "x").returncode == 2


def test_explain_accepted_lines(lapwing):
    server = lapwing('statsd: {udp: "127.0.0.1:0", tcp: "127.0.0.1:0", tcp_profile: dogstatsd, '
                     "mapping_file: map.yaml}", start=False)
    (server.directory / "map.yaml").write_text("""
mappings:
- {match: "api.*.*", name: calls, ttl: 1m, labels: {route: "$1", verb: "$2"}}
- {match: "debug.*", action: drop, name: x}
- {match: statsd_service_check, name: up, labels: {by: rule}}
""")
    server.start()
    shown = cli(server, "explain", "api.buy.get:1:2|c|@0.5|#env:prod|c:abc|")
    assert shown.returncode == 0
    place = shown.stdout.splitlines()[3]
    assert place.startswith("  it is new, the 1st live series of calls (of at most 100000), and series ")
    assert shown.stdout.splitlines() == [
        "union (udp): counter 1, 2, weighing 2; ignored: container",
        "  rule 1, api.*.*: map",
        '  series calls{env="prod", route="buy", verb="get"}',
        place,
        "dogstatsd (tcp): counter 1, 2, weighing 2; ignored: container",
        "  rule 1, api.*.*: map",
        '  series calls{env="prod", route="buy", verb="get"}',
        place]
    gauge = explain(server, "g:-5|g")
    assert [gauge[name]["parts"][0]["moves"] for name in ("union", "dogstatsd")] == [True, False]
    assert explain(server, "debug.x:1|c")["union"]["parts"][0]["dropped"] == "mapped_drop"
    assert explain(server, "a:-1|c")["union"]["parts"][0]["series"] == "a_decrements{}"
    assert len(explain(server, "a:1|c:2|ms", profile="etsy")["etsy"]["parts"]) == 2
    event = explain(server, "_e{5,4}:title|text|h:web|#a:b")["union"]["parts"][0]
    assert (event["type"], event["fate"], event["labels"]) == ("event", "new", {
        "__name__": "statsd_events_total", "a": "b", "alert_type": "info", "host": "web"})
    check = cli(server, "explain", "--profile", "union", "_sc|db|2|d:1700000000|m:no answer").stdout
    assert check.splitlines()[:3] == ["union (udp): service check 2, at 1700000000",
                                      "  rule 3, statsd_service_check: map",
                                      '  series up{by="rule", check="db"}']
    # Nothing of it was stored.
    assert server.total("lapwing_statsd_metrics_total") == 0


def test_explain_refused_lines(lapwing):
    server = lapwing()
    shown = cli(server, "explain", "caf\u00e9\t:32O|ms")
    assert shown.returncode == 1
    assert shown.stdout.splitlines() == [
        "union (udp, tcp): refused, bad_value: this is no number, or no member of a set",
        "  caf\u00e9\\x09:32O|ms",
        "             ^"]
    part, = explain(server, "a:1|h", profile="etsy")["etsy"]["parts"]
    assert (part["accepted"], part["reason"], part["byte"]) == (False, "bad_type", 4)
    assert len(explain(server, "a:1|c", profile="all")) == 4
    for line in ("", "a:1|c\nb:1|c", "x" * 9000):
        assert server.get("/api/statsd/explain", line=line).status == 400
    assert "there is no profile" in cli(server, "explain", "--profile", "x", "a:1|c").stderr
    assert cli(server, "explain").returncode == 2


def test_explain_knows_limits_and_types(lapwing):
    server = lapwing("limits:\n  series_per_metric: 3\n  series_per_prefix: [{prefix: api., series: 2}]\n"
                     "  series: 1000")

    def outlook(line):
        return explain(server, line)["union"]["parts"][0]

    server.statsd("hits:1|c|#n:1", "hits:1|c|#n:2", "api.a:1|g", "api.b:1|g")
    await_(lambda: server.value("api.b") == 1 and server.value("count(hits)") == 2)
    assert outlook("hits:1|c|#n:1")["fate"] == "known" and not outlook("hits:1|c|#n:1")["why"]
    assert outlook("hits:1|c|#n:3")["fate"] == "new"
    assert "the 3rd live series of hits (of at most 3)" in outlook("hits:1|c|#n:3")["why"][0]
    server.statsd("hits:1|c|#n:3")
    await_(lambda: server.value("count(hits)") == 3)
    full = outlook("hits:1|c|#n:4")
    assert (full["fate"], full["stored"]) == ("overflow", 'hits{__overflow__="true"}')
    assert full["why"] == ["it would be the 4th live series of hits, beyond limits.series_per_metric (3)"]
    full = outlook("api.c:1|g")
    assert (full["fate"], full["stored"]) == ("overflow", 'api.{__overflow__="true"}')
    assert full["why"] == ["it would be the 3rd live series with the prefix api., beyond "
                           "limits.series_per_prefix (2)"]
    clash = outlook("hits:1|ms|#n:1")
    assert clash["stored"] == 'hits{__overflow__="true"}' and clash["fate"] == "overflow"
    assert clash["why"][0] == "these labels are those of a counter, so statsd_type is added"
    shown = cli(server, "explain", "api.a:5|c").stdout.splitlines()
    assert shown[1:] == ["  series api.a{}",
                         "  these labels are those of a gauge, so statsd_type is added, it would be the 3rd "
                         "live series with the prefix api., beyond limits.series_per_prefix (2)",
                         '  stored as api.{__overflow__="true"}']
    # As told, so it comes.
    server.statsd("hits:1|c|#n:4", "api.c:1|g")
    await_(lambda: server.value('{__name__="api.",__overflow__="true"}') == 1)
    assert server.value('hits{__overflow__="true"}') == 1
    stored = outlook("hits:1|ms|#n:1")["stored"]
    assert stored == 'hits{__overflow__="true", statsd_type="histogram"}'
    server.statsd("hits:1|ms|#n:1")
    await_(lambda: server.value(f"histogram_count({stored})") == 1)


def lines_of(stream, count):
    return [json.loads(stream.readline()) for _ in range(count)]


def open_tap(server, prefix):
    """The stream, once the server has it: it then shows what comes."""
    stream = urllib.request.urlopen(f"{server.url}/api/statsd/tap?prefix={prefix}", timeout=60)
    assert stream.status == 200
    return stream


def test_tap_shows_lines_as_they_come(lapwing):
    server = lapwing()
    stream = open_tap(server, "api.")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, server.tcp("statsd_tcp") as tcp:
        udp.connect(("127.0.0.1", server.ports["statsd_udp"]))
        udp.send(b"other:1|c\napi.a:1|c|#k:\x1b\napi.wrong")
        assert lines_of(stream, 2) == [
            {"line": line, "source": "%s:%d" % udp.getsockname(), "transport": "udp"}
            for line in ("api.a:1|c|#k:\\x1b", "api.wrong")]
        tcp.sendall(b"api.b:1|c\n")
        assert lines_of(stream, 1) == [{"line": "api.b:1|c", "transport": "tcp",
                                        "source": "%s:%d" % tcp.getsockname()}]
    stream.close()
    # A server that stops does not wait for those who watch.
    stream = open_tap(server, "")
    assert server.terminate() == 0
    assert stream.read() == b""


def test_tap_tells_a_slow_reader_what_it_missed(lapwing):
    server = lapwing()
    stream = open_tap(server, "flood")
    sent = 800_000  # far more than the tap, and the sockets between, hold
    with server.tcp("statsd_tcp") as tcp:
        tcp.sendall(b"flood.of.lines.that.nobody.reads:1|c\n" * sent)
        await_(lambda: server.total("lapwing_statsd_metrics_total") == sent)
    seen = dropped = 0
    while seen + dropped < sent:
        row = json.loads(stream.readline())
        dropped += row.get("dropped", 0)
        seen += "line" in row
    assert seen + dropped == sent and dropped > 0
    stream.close()


def test_the_tap_command(lapwing):
    server = lapwing()
    with subprocess.Popen([COMMAND, "--url", server.url, "tap", "api.", "--limit", "1"],
                          stdout=subprocess.PIPE, text=True) as tap:
        def ended():
            server.statsd("api.a:1|c", "b:1|c")
            return tap.poll() is not None

        await_(ended)
        words = tap.stdout.read().split()
    assert tap.returncode == 0
    assert words[0].startswith("127.0.0.1:") and words[1:] == ["api.a:1|c"]


def test_taps_are_few(lapwing):
    server = lapwing()
    streams = [open_tap(server, "x") for _ in range(8)]
    assert server.get("/api/statsd/tap").status == 503
    assert "8 taps are open" in cli(server, "tap").stderr
    for stream in streams:
        stream.close()

    def one_more():
        try:
            with open_tap(server, "x"):
                return True
        except urllib.error.HTTPError:
            return False

    await_(one_more)
