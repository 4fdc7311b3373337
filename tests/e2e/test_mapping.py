"""The mapping file end to end: rules as statsd_exporter has them, drops that are counted, mistakes."""
import os
import signal
import time

import pytest

from conftest import DAEMON, await_, run_command

LISTEN = 'udp: "127.0.0.1:0", tcp: "127.0.0.1:0", flush_interval: 1s'
CONFIG = f"statsd: {{{LISTEN}, mapping_file: rules/statsd.yaml}}"

RULES = """
defaults:
  observer_type: histogram
  histogram_options:
    buckets: [.005, .01, .025, .05, .1, .25, .5, 1, 2.5]
  match_type: glob
  glob_disable_ordering: false
  ttl: 0  # as statsd.idle_timeout has it
mappings:
# Names of fixed parts become labels.
- match: "shop.dispatcher.*.*.*"
  name: dispatcher_events_total
  help: "Events handled, by processor."
  labels:
    processor: "$1"
    action: "$2"
    outcome: "$3"
    job: shop_dispatcher
- match: "*.signup.*"
  name: "signups_total"
  honor_labels: true
  labels: {provider: "$2", job: "${1}_server"}
# Milliseconds become seconds.
- match: api.timing.*
  match_metric_type: timer
  name: api_request_seconds
  scale: 0.001
  labels: {route: "$1"}
- match: api.timing.*
  match_metric_type: gauge
  name: "api_timing_${1}"
- match: short.*
  name: short
  ttl: 2s
- match: (\\w+)\\.(\\w+)--(\\w+)\\.status\\.(\\d+)
  match_type: regex
  name: request_total
  labels: {host: "$1", exec: "$2", protocol: "$3", code: "$4"}
- match: debug\\.
  match_type: regex
  action: drop
  name: dropped
"""


def mapped(lapwing, rules=RULES, start=True, config=CONFIG):
    server = lapwing(config, start=False)
    (server.directory / "rules").mkdir()
    (server.directory / "rules" / "statsd.yaml").write_text(rules)
    return server.start() if start else server


def labels(server, expression):
    (row,) = server.query(expression)
    return {name: value for name, value in row["metric"].items() if name != "__name__"}


def test_rules_give_names_and_labels(lapwing):
    server = mapped(lapwing)
    server.statsd("shop.dispatcher.Mail.send.success:2|c|#job:line,zone:a",
                  "shop.dispatcher.Mail.send.failure:1|c", "web.signup.github:3|c|#job:line",
                  "web.signup.github:4:-1|c", "api.timing.buy:320:640|ms|@0.5", "api.timing.buy:7|g",
                  "api.timing.buy:1|c", "h1.app--http.status.200:5|c", "plain.name:1|c|#k:v",
                  "api[zone=b].timing.list:100|h", "debug.a:1|c", "x.debug.a:1:2:3|ms", "debug.s:m|s")
    assert await_(lambda: server.value("plain.name{k='v'}")) == 1
    assert labels(server, 'dispatcher_events_total{outcome="success"}') == {
        "processor": "Mail", "action": "send", "outcome": "success", "job": "shop_dispatcher",
        "zone": "a"}
    assert server.value("sum(dispatcher_events_total)") == 3
    assert server.value('signups_total{provider="github",job="line"}') == 3
    assert server.value('signups_total{provider="github",job="web_server"}') == 4
    assert server.value('signups_total_decrements{provider="github",job="web_server"}') == 1
    assert server.value('histogram_count(api_request_seconds{route="buy"})') == 4
    assert abs(server.value('histogram_sum(api_request_seconds{route="buy"})') - 1.92) < 1e-9
    p100 = server.value('histogram_quantile(1, api_request_seconds{route="buy"})')
    assert abs(p100 / 0.64 - 1) < 0.011
    assert labels(server, 'histogram_count(api_request_seconds{zone="b"})') == {"route": "list",
                                                                               "zone": "b"}
    assert server.value("api_timing_buy") == 7
    assert server.value("api.timing.buy") == 1  # no rule is for counters
    assert labels(server, "request_total") == {"host": "h1", "exec": "app", "protocol": "http",
                                               "code": "200"}
    assert not server.query('{__name__=~".*debug.*|dropped"}')
    assert server.metric("lapwing_statsd_drops_total", 'reason="mapped_drop"') == 3
    (line,) = [line for line in server.log_lines if "ignored=" in line]
    assert 'ignored="observer_type, buckets, help"' in line
    server.statsd(*["debug.a:1|c"] * 5, "plain.name:1|c|#k:v")
    assert await_(lambda: server.value("plain.name") == 2)
    assert server.metric("lapwing_statsd_drops_total", 'reason="mapped_drop"') == 8
    assert server.terminate() == 0
    server.start()
    server.statsd("shop.dispatcher.Mail.send.success:2|c|#zone:a")
    assert await_(lambda: server.value('dispatcher_events_total{zone="a"}') == 4)


def test_samples_with_a_time_are_mapped(lapwing):
    server = mapped(lapwing)
    now = int(time.time())
    server.statsd(f"web.signup.a:5|c|T{now - 60}", f"web.signup.a:2:-3|c|T{now - 50}",
                  f"debug.a:1:2|c|T{now - 60}", f"plain:1|c|T{now - 60}")
    assert await_(lambda: server.value("plain")) == 1
    assert await_(lambda: server.value('signups_total{provider="a",job="web_server"}')) == 7
    assert await_(lambda: server.value("signups_total_decrements")) == 3
    assert server.metric("lapwing_statsd_drops_total", 'reason="mapped_drop"') == 1


def test_a_rule_has_an_idle_timeout(lapwing):
    server = mapped(lapwing)
    server.statsd("short.lived:1|c", "long.lived:1|c")
    assert await_(lambda: server.query("count_over_time(short[5m])") and not server.query("short"))
    assert server.value("long.lived") == 1


@pytest.mark.parametrize("rules, sentence", [
    ("mappings:\n- match: a.b\n  nmae: c\n",
     'rules/statsd.yaml:3:3: unknown key "nmae"; did you mean "name"?'),
    ("mappings:\n- match: 'a('\n  match_type: regex\n  name: c\n", "rules/statsd.yaml:2:10: "),
    (None, "rules/statsd.yaml"),
])
def test_mistakes_are_refused(lapwing, rules, sentence):
    server = mapped(lapwing, rules or "", start=False)
    if rules is None:
        (server.directory / "rules" / "statsd.yaml").unlink()
    for arguments in (["--check-config"], []):
        done = run_command(DAEMON, *arguments, "--config", str(server.config), "--data",
                           str(server.data))
        assert done.returncode == 1 and "statsd.mapping_file: " in done.stderr, done
        assert sentence in done.stderr


def test_a_good_file_is_valid(lapwing):
    server = mapped(lapwing, start=False)
    done = run_command(DAEMON, "--check-config", "--config", str(server.config))
    assert done.returncode == 0 and "is valid" in done.stdout, done


def reload_by_post(server):
    reply = server.http("/-/reload", data="")
    assert reply.status == 200, reply.text


def reload_by_signal(server):
    before = server.log().count(" reload ")
    os.kill(server.pid, signal.SIGHUP)
    await_(lambda: server.log().count(" reload ") > before)


def test_other_rules_while_lines_come(lapwing):
    """What came before is stored as it was meant, what comes after as it is meant now, and nothing twice."""
    server = mapped(lapwing, "mappings:\n- {match: 'a.*', name: before, labels: {n: $1}}\n"
                             "- {match: 'same.*', name: same, labels: {n: $1}}\n",
                    config=CONFIG.replace("1s", "250ms"))
    rules = server.directory / "rules" / "statsd.yaml"
    with server.tcp("statsd_tcp") as tcp:
        tcp.sendall(b"a.x:3|c\na.y:5|g\nsame.z:10|c\nsame.g:4|g\n")
        assert await_(lambda: server.value("before{n='x'}")) == 3
        rules.write_text("mappings:\n- match: [\n")
        reply = server.http("/-/reload", data="")
        assert reply.status == 400 and "rules/statsd.yaml:" in reply.text, reply.text
        rules.write_text("mappings:\n- {match: a.*, name: after, scale: 100, labels: {n: $1}}\n"
                         "- {match: (same).(.*), match_type: regex, name: $1, labels: {n: $2}}\n")
        tcp.sendall(b"a.x:1|c\n")
        await_(lambda: server.value("before{n='x'}") == 4)  # by the old rules
        reload_by_post(server)
        rounds = []

        def moved():
            tcp.sendall(b"same.z:1|c\nsame.g:+1|g\na.x:1|c\n")
            rounds.append(1)
            return server.query("after") and not server.query("before")

        await_(moved)
        sent = len(rounds)
        await_(lambda: server.value("same{n='z'}") == 10 + sent)
        assert server.value("same{n='g'}") == 4 + sent
        old, new = server.value("last_over_time(before{n='x'}[5m])"), server.value("after{n='x'}")
        assert (old - 4) + new / 100 == sent
    explained = server.get("/api/statsd/explain", line="a.y:5|g").json()["data"]["profiles"][0]
    assert explained["parts"][0]["series"] == 'after{n="y"}'
    server.config.write_text(server.config.read_text().replace(", mapping_file: rules/statsd.yaml", ""))
    reload_by_signal(server)
    await_(lambda: server.statsd("a.x:1|c") or server.value("a.x"))  # from the next tick on
