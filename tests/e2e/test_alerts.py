"""Alerts, from a statsd packet to a webhook: firing, resolved, retries, restarts."""
import http.server
import json
import signal
import subprocess
import threading

import pytest

from conftest import DAEMON, await_

RULES = """
groups:
- name: shop
  interval: 1s
  rules:
  - record: shop:depth:max
    expr: max by (shop) (queue.depth)
    labels: {kind: recorded}
  - alert: QueueDeep
    expr: shop:depth:max > 10
    for: 1s
    labels: {severity: page, place: "{{ $labels.shop | toUpper }}"}
    annotations:
      summary: "{{ $value }} orders wait in {{ $labels.shop }} ({{ $value | humanize }})"
"""


class Sink:
    """A webhook receiver; `statuses` are given out in turn, the last one for ever."""

    def __init__(self, port=0):
        self.received, self.statuses, self.retry_after = [], [200], None
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = sink.statuses.pop(0) if len(sink.statuses) > 1 else sink.statuses[0]
                sink.received.append((status, dict(self.headers), json.loads(body)))
                self.send_response(status)
                if sink.retry_after is not None:
                    self.send_header("Retry-After", str(sink.retry_after))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def taken(self, status=None):
        """Bodies that were answered with 2xx, oldest first."""
        return [body for code, _, body in list(self.received)
                if code < 300 and status in (None, body["status"])]


@pytest.fixture
def sink():
    sinks = []

    def make(port=0):
        sinks.append(Sink(port))
        return sinks[-1]

    yield make
    for each in sinks:
        each.close()


def alerting(lapwing, port, rules=RULES, start=True):
    server = lapwing(f"""
rule_files: [rules/*.yaml]
alerting: {{evaluation_interval: 1s, webhook: {{url: "http://127.0.0.1:{port}/hook"}}}}
""", start=False)
    write_rules(server, rules)
    return server.start() if start else server


def write_rules(server, rules):
    (server.directory / "rules").mkdir(exist_ok=True)
    (server.directory / "rules" / "shop.yaml").write_text(rules)


def alerts(server):
    reply = server.get("/api/v1/alerts").json()
    assert reply["status"] == "success"
    return reply["data"]["alerts"]


def rule(server, name="QueueDeep"):
    groups = server.get("/api/v1/rules").json()["data"]["groups"]
    return next(r for g in groups for r in g["rules"] if r["name"] == name)


def firing(server):
    return [alert for alert in alerts(server) if alert["state"] == "firing"]


def test_firing_and_resolved_reach_the_webhook(lapwing, sink):
    hook = sink()
    server = alerting(lapwing, hook.port)
    server.statsd("queue.depth:12|g|#shop:north")
    body = await_(lambda: hook.taken("firing"), what="the firing message")[0]
    labels = {"alertname": "QueueDeep", "shop": "north", "severity": "page", "place": "NORTH",
              "kind": "recorded"}
    assert body["version"] == "4" and body["receiver"] == "webhook"
    assert body["groupKey"] == '{}:{alertname="QueueDeep"}'
    assert body["groupLabels"] == {"alertname": "QueueDeep"}
    assert body["commonLabels"] == labels and body["truncatedAlerts"] == 0
    alert = body["alerts"][0]
    assert alert["status"] == "firing" and alert["labels"] == labels
    assert alert["annotations"] == {"summary": "12 orders wait in north (12)"}
    assert alert["endsAt"] == "0001-01-01T00:00:00Z"
    headers = {name.lower(): value for name, value in hook.received[0][1].items()}
    assert headers["content-type"] == "application/json"
    assert headers["idempotency-key"].startswith("lapwing-")

    shown = firing(server)[0]
    assert shown["labels"] == labels and shown["value"] == "1.2e+01"
    assert server.value('ALERTS{alertname="QueueDeep",alertstate="firing",shop="north"}') == 1
    assert server.value('shop:depth:max{shop="north",kind="recorded"}') == 12
    listed = server.get("/api/monitoring/alerts").json()["alerts"][0]
    assert (listed["name"], listed["severity"], listed["status"], listed["value"]) == (
        "QueueDeep", "page", "firing", 12)
    assert listed["id"] == alert["fingerprint"]

    server.statsd("queue.depth:3|g|#shop:north")
    body = await_(lambda: hook.taken("resolved"), what="the resolved message")[0]
    assert body["alerts"][0]["fingerprint"] == alert["fingerprint"]
    assert body["alerts"][0]["startsAt"] == alert["startsAt"] < body["alerts"][0]["endsAt"]
    assert alerts(server) == []
    await_(lambda: server.value("count(ALERTS) or vector(0)") == 0, what="the end of ALERTS")
    assert len(hook.received) == 2
    assert server.metric("lapwing_notifications_total", 'outcome="delivered"') == 2
    assert server.metric("lapwing_alert_evaluations_total") > 4
    assert server.metric("lapwing_alert_evaluation_failures_total") == 0


def test_rules_are_shown_as_prometheus_shows_them(lapwing, sink):
    server = alerting(lapwing, sink().port)
    await_(lambda: rule(server)["health"] == "ok")
    alert = rule(server)
    assert alert["type"] == "alerting" and alert["state"] == "inactive"
    assert alert["query"] == "shop:depth:max > 10" and alert["duration"] == 1
    assert alert["keepFiringFor"] == 0 and alert["alerts"] == []
    assert alert["labels"]["severity"] == "page" and alert["lastEvaluation"].endswith("Z")
    record = rule(server, "shop:depth:max")
    assert record["type"] == "recording" and record["labels"] == {"kind": "recorded"}
    assert "state" not in record
    group = server.get("/api/v1/rules").json()["data"]["groups"][0]
    assert group["name"] == "shop" and group["interval"] == 1 and group["limit"] == 0
    assert group["file"].endswith("rules/shop.yaml")

    only = server.get("/api/v1/rules", type="record").json()["data"]["groups"][0]["rules"]
    assert [r["name"] for r in only] == ["shop:depth:max"]
    assert server.get("/api/v1/rules", **{"rule_name[]": "no"}).json()["data"]["groups"] == []
    refused = server.get("/api/v1/rules", type="x")
    assert refused.status == 400 and refused.json()["errorType"] == "bad_data"


def test_rules_by_labels_and_in_pages(lapwing, sink):
    groups = "".join(f"""
- name: g{i}
  rules:
  - {{alert: A{i}, expr: "vector(0) > 1", labels: {{severity: {"page" if i % 2 else "mail"}, n: "{i}"}}}}
  - {{record: "r{i}", expr: "vector({i})"}}""" for i in range(5))
    server = alerting(lapwing, sink().port, f"groups:{groups}\n")

    def names(**params):
        groups = server.get("/api/v1/rules", **params).json()["data"]["groups"]
        return [r["name"] for g in groups for r in g["rules"]]

    assert names(**{"match[]": '{severity="page"}'}) == ["A1", "A3"]
    assert names(**{"match[]": ['{severity="page",n!="1"}', '{n="2"}']}) == ["A2", "A3"]
    assert names(**{"match[]": '{severity=~".+"}', "type": "record"}) == []
    assert server.get("/api/v1/rules", **{"match[]": "{"}).status == 400

    pages, token = [], {}
    while True:
        data = server.get("/api/v1/rules", group_limit=2, **token).json()["data"]
        pages.append([g["name"] for g in data["groups"]])
        if "groupNextToken" not in data:
            break
        token = {"group_next_token": data["groupNextToken"]}
    assert pages == [["g0", "g1"], ["g2", "g3"], ["g4"]]
    for params, text in [({"group_limit": 0}, "group_limit"), ({"group_limit": "x"}, "group_limit"),
                         ({"group_next_token": "a"}, "group_limit needs to be present"),
                         ({"group_next_token": "a", "group_limit": 1}, "invalid group_next_token")]:
        reply = server.get("/api/v1/rules", **params)
        assert reply.status == 400 and text in reply.json()["error"], reply.text


def test_a_receiver_that_was_down_is_told_when_it_returns(lapwing, sink):
    hook = sink()
    port = hook.port
    hook.close()
    server = alerting(lapwing, port)
    server.statsd("queue.depth:12|g|#shop:north")
    await_(lambda: server.metric("lapwing_notifications_total", 'outcome="retried"') == 1)
    server.statsd("queue.depth:1|g|#shop:north")
    await_(lambda: server.metric("lapwing_notification_queue_length") == 2)
    hook = sink(port)
    await_(lambda: len(hook.taken()) == 2, seconds=45, what="both messages")
    assert [body["status"] for body in hook.taken()] == ["firing", "resolved"]
    await_(lambda: server.metric("lapwing_notification_queue_length") == 0)


def test_an_overloaded_receiver_is_tried_again_with_the_same_key(lapwing, sink):
    hook = sink()
    hook.statuses = [429, 200]
    hook.retry_after = 6
    server = alerting(lapwing, hook.port)
    server.statsd("queue.depth:12|g|#shop:north")
    await_(lambda: hook.taken("firing"), what="the second attempt")
    first, second = hook.received
    assert first[0] == 429 and first[2] == second[2]
    assert first[1]["Idempotency-Key"] == second[1]["Idempotency-Key"]


def test_a_message_that_is_refused_does_not_block_the_next(lapwing, sink):
    hook = sink()
    hook.statuses = [400, 200]
    server = alerting(lapwing, hook.port)
    server.statsd("queue.depth:12|g|#shop:north")
    await_(lambda: server.metric("lapwing_notifications_total", 'outcome="rejected"') == 1)
    server.statsd("queue.depth:1|g|#shop:north")
    await_(lambda: hook.taken("resolved"))
    assert len(hook.received) == 2


def test_kill_9_loses_no_message_and_no_state(lapwing, sink):
    hook = sink()
    hook.statuses = [503]
    server = alerting(lapwing, hook.port)
    server.statsd("queue.depth:12|g|#shop:north")
    await_(lambda: server.metric("lapwing_notifications_total", 'outcome="retried"') == 1)
    before = firing(server)
    server.kill()
    hook.statuses = [200]
    server.start()
    assert [a["activeAt"] for a in firing(server)] == [before[0]["activeAt"]]
    await_(lambda: hook.taken("firing"), what="the message from before the kill")
    server.statsd("queue.depth:1|g|#shop:north")
    await_(lambda: hook.taken("resolved"))
    assert [body["status"] for body in hook.taken()] == ["firing", "resolved"]
    keys = {headers["Idempotency-Key"] for _, headers, _ in hook.received}
    assert len(keys) == 2


def test_pending_is_not_reset_by_a_restart(lapwing, sink):
    hook = sink()
    server = alerting(lapwing, hook.port, RULES.replace("for: 1s", "for: 1h"))
    server.statsd("queue.depth:12|g|#shop:north")
    pending = await_(lambda: alerts(server))[0]
    assert pending["state"] == "pending"
    assert server.terminate() == 0
    server.start()
    assert [a["activeAt"] for a in alerts(server)] == [pending["activeAt"]]
    assert hook.received == []


def test_a_rule_that_fails_leaves_its_alerts_alone(lapwing, sink):
    hook = sink()
    rules = RULES.replace("shop:depth:max > 10",
                          "queue.depth * on (shop) shop.open > 10")
    server = alerting(lapwing, hook.port, rules)
    server.statsd("queue.depth:12|g|#shop:north", "shop.open:1|g|#shop:north,door:1")
    await_(lambda: hook.taken("firing"))
    server.statsd("shop.open:1|g|#shop:north,door:2")
    await_(lambda: rule(server)["health"] == "err")
    assert "match" in rule(server)["lastError"]
    assert len(firing(server)) == 1 and len(hook.received) == 1
    assert server.metric("lapwing_alert_evaluation_failures_total") >= 1


def test_alerts_of_a_removed_rule_are_resolved(lapwing, sink):
    hook = sink()
    server = alerting(lapwing, hook.port)
    server.statsd("queue.depth:12|g|#shop:north")
    await_(lambda: hook.taken("firing"))
    assert server.terminate() == 0
    write_rules(server, "groups: []\n")
    server.start()
    body = await_(lambda: hook.taken("resolved"))[0]
    assert body["groupLabels"] == {"alertname": "QueueDeep"}
    assert alerts(server) == []


def test_a_reload_swaps_rules_or_changes_nothing(lapwing, sink):
    hook = sink()
    server = alerting(lapwing, hook.port, RULES.replace("> 10", "> 100"))
    server.statsd("queue.depth:12|g|#shop:north")
    await_(lambda: server.value("shop:depth:max"))
    write_rules(server, RULES.replace("for: 1s", "form: 1s"))
    refused = server.http("/-/reload", method="POST", data="")
    assert refused.status == 400 and "did you mean" in refused.text
    assert rule(server)["query"] == "shop:depth:max > 100" and hook.received == []
    write_rules(server, RULES)
    server.process.send_signal(signal.SIGHUP)
    await_(lambda: hook.taken("firing"), what="the alert of the new rule")
    assert rule(server)["query"] == "shop:depth:max > 10"


def test_a_bad_rule_file_is_refused_with_its_place(lapwing, sink):
    server = alerting(lapwing, sink().port, RULES.replace("for: 1s", "form: 1s"), start=False)
    for arguments in ([], ["--check-config"]):
        done = subprocess.run([DAEMON, "--config", str(server.config), "--data", str(server.data),
                               *arguments], cwd=server.directory, capture_output=True, text=True,
                              timeout=30)
        assert done.returncode != 0
        assert 'rules/shop.yaml:11:5: unknown key "form"; did you mean "for"?' in done.stderr
