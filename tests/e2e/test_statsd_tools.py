"""lapwing top and explain: what the server says of lines it got, and would get."""
import json

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
""")
    server.start()
    shown = cli(server, "explain", "api.buy.get:1:2|c|@0.5|#env:prod|c:abc|")
    assert shown.returncode == 0
    assert shown.stdout.splitlines() == [
        "union (udp): counter 1, 2, weighing 2; ignored: container",
        "  rule 1, api.*.*: map",
        '  series calls{env="prod", route="buy", verb="get"}',
        "dogstatsd (tcp): counter 1, 2, weighing 2; ignored: container",
        "  rule 1, api.*.*: map",
        '  series calls{env="prod", route="buy", verb="get"}']
    gauge = explain(server, "g:-5|g")
    assert [gauge[name]["parts"][0]["moves"] for name in ("union", "dogstatsd")] == [True, False]
    assert explain(server, "debug.x:1|c")["union"]["parts"][0]["dropped"] == "mapped_drop"
    assert explain(server, "a:-1|c")["union"]["parts"][0]["series"] == "a_decrements{}"
    assert len(explain(server, "a:1|c:2|ms", profile="etsy")["etsy"]["parts"]) == 2
    assert explain(server, "_e{5,4}:title|text")["union"]["parts"][0]["type"] == "event"
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
