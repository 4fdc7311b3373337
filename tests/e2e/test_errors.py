"""Errors: real SDKs and curl deliver; events become issues, once each, and survive kill -9."""
import gzip
import json
import threading
import uuid
import zlib

import pytest

from conftest import await_, run_command

SENTRY = """
const Sentry = require(process.env.SDK);
Sentry.init({dsn: process.env.DSN, release: "shop@1.2.3", environment: "production",
             tracesSampleRate: 1.0});
class CartError extends Error {}
function total(cart) { throw new CartError("cart " + cart + " is empty"); }
function checkout(cart) {
  try { total(cart); } catch (cause) { throw new Error("checkout failed", {cause}); }
}
for (const cart of [17, 18, 19]) {
  Sentry.setUser({id: "u" + cart % 2});
  try { checkout(cart); } catch (error) { Sentry.captureException(error); }
}
Sentry.captureMessage("stock of item 41 is low", "warning");
Sentry.captureMessage("stock of item 42 is low", "warning");
Sentry.captureException(new Error("with context"), {
  tags: {region: "eu"}, extra: {text: "x".repeat(60000)},  // beyond 32 KiB the SDK compresses
  fingerprint: ["{{ default }}", "eu"]});
Sentry.startSpan({name: "GET /buy", op: "http.server"}, () => 1);
Sentry.flush(10000).then(ok => { console.log(ok ? "flushed" : "timeout"); process.exit(0); });
"""


def issues(server, **filters):
    reply = server.get("/api/issues", **filters)
    assert reply.status == 200, reply.text
    return reply.json()["issues"]


def event(message="boom", **fields):
    return {"event_id": uuid.uuid4().hex, "message": message, "level": "error", **fields}


def envelope(*items, header=None):
    """items: (type, payload bytes or object), the framing without lengths."""
    lines = [json.dumps(header or {}).encode()]
    for kind, payload in items:
        lines.append(json.dumps({"type": kind}).encode())
        lines.append(payload if isinstance(payload, bytes) else json.dumps(payload).encode())
    return b"\n".join(lines) + b"\n"


def post(server, *items, project="web", header=None):
    return server.http(f"/api/{project}/envelope/", envelope(*items, header=header))


@pytest.mark.parametrize("sdk", ["@sentry/node", "sentry-node-10"])
def test_node_sdk(lapwing, node, sdk):
    server = lapwing()
    dsn = f"http://{'a' * 32}@127.0.0.1:{server.ports['http']}/42"
    assert node(SENTRY, DSN=dsn, SDK=sdk) == "flushed\n"
    # The SDK delivers over several connections at a time: the order is not known.
    found = {issue["title"].replace("42", "41"): issue for issue in issues(server, project="42")}
    assert set(found) == {"Error: checkout failed", "stock of item 41 is low",
                          "Error: with context"}
    assert len(issues(server, project="42")) == 3
    checkout = found["Error: checkout failed"]
    assert checkout["count"] == 3 and checkout["users"] == 2
    assert checkout["level"] == "error" and checkout["status"] == "unresolved"
    assert checkout["release"] == "shop@1.2.3" and checkout["environment"] == "production"
    assert checkout["platform"] == "node" and checkout["type"] == "Error"
    low = found["stock of item 41 is low"]
    assert low["count"] == 2 and low["level"] == "warning"
    assert found["Error: with context"]["count"] == 1

    detail = server.get(f"/api/issues/{checkout['id']}").json()
    latest = detail.pop("latest_event")
    assert detail == checkout
    assert len(latest["event"]["exception"]["values"]) == 2
    events = server.get(f"/api/issues/{checkout['id']}/events").json()["events"]
    assert len(events) == 3 and events[0] == latest
    values = {e["event"]["exception"]["values"][0]["value"] for e in events}
    assert values == {"cart 17 is empty", "cart 18 is empty", "cart 19 is empty"}
    assert all(len(e["id"]) == 32 for e in events)

    assert server.metric("lapwing_sentry_items_total", 'type="event"') == 6
    traced = sum(server.metric("lapwing_sentry_items_total", f'type="{kind}"')
                 for kind in ("transaction", "span"))
    assert traced >= 1
    assert await_(lambda: server.value(
        'sum(lapwing_error_events_total{project="42",level="error",release="shop@1.2.3",'
        'environment="production"})') == 4)
    assert server.value('sum(lapwing_error_events_total{level="warning"})') == 2


def test_curl_envelope_and_store(lapwing, tmp_path):
    server = lapwing()
    one, two = event("from curl"), event("from curl")
    (tmp_path / "envelope").write_bytes(envelope(("event", one), header={"event_id": "F" * 32}))
    (tmp_path / "store.gz").write_bytes(gzip.compress(json.dumps(two).encode()))
    sent = run_command("curl", "-sS", "-i", "--data-binary", f"@{tmp_path}/envelope",
                       "-H", "Origin: http://shop.example",
                       f"{server.url}/api/web/envelope/?sentry_key={'a' * 32}")
    assert sent.stdout.startswith("HTTP/1.1 200")
    assert sent.stdout.endswith(json.dumps({"id": "f" * 32}, separators=(",", ":")))
    assert "access-control-allow-origin: *" in sent.stdout.lower()
    sent = run_command("curl", "-sS", "--data-binary", f"@{tmp_path}/store.gz",
                       "-H", "Content-Encoding: gzip", "-H", "Transfer-Encoding: chunked",
                       "-H", "X-Sentry-Auth: Sentry sentry_key=x, sentry_version=7",
                       f"{server.url}/api/web/store/")
    assert json.loads(sent.stdout) == {"id": two["event_id"]}
    assert [issue["count"] for issue in issues(server)] == [2]


@pytest.mark.parametrize("path", ["/api/web/store", "/api/web/store/"])
def test_encodings(lapwing, path):
    server = lapwing()
    body = json.dumps(event("encoded")).encode()
    for encoding, data in (("gzip", gzip.compress(body)), ("deflate", zlib.compress(body))):
        reply = server.http(path, data, {"Content-Encoding": encoding})
        assert reply.status == 200, reply.text
    assert issues(server)[0]["count"] == 1, "the second is the same event"


def test_same_event_id_counts_once(lapwing):
    server = lapwing()
    once = event()
    for _ in range(3):
        assert post(server, ("event", once)).status == 200
    assert post(server, ("event", once), project="other").status == 200
    assert server.http("/api/web/store/", json.dumps(once)).status == 200
    assert sorted(issue["count"] for issue in issues(server)) == [1, 1]
    server.kill()
    server.start()
    assert post(server, ("event", once)).status == 200
    assert sorted(issue["count"] for issue in issues(server)) == [1, 1]


def test_broken_items_drop_only_themselves(lapwing):
    server = lapwing()
    reply = post(server, ("event", b"{broken"), ("event", event("good")), ("mystery", b"\x00\xff"))
    assert reply.status == 200
    assert [issue["title"] for issue in issues(server)] == ["good"]
    assert server.metric("lapwing_sentry_dropped_total", 'reason="event_json"') == 1
    assert server.metric("lapwing_sentry_items_total", 'type="other"') == 1
    assert post(server).json() == {}
    assert post(server, ("client_report", {"discarded_events": []})).json() == {}


@pytest.mark.parametrize("path, body, status, says", [
    ("/api/web/envelope/", b'{"event_id":\n{}\n', 400, "the envelope header, the line from byte 0"),
    ("/api/web/envelope/", b"", 400, "the envelope header"),
    ("/api/web/envelope/", b'{}\n{"type":"event"}\n{nope\n', 400, "the item at byte 3"),
    ("/api/web/store/", b"{nope", 400, "not a JSON object"),
    ("/api/web/store/", b'{"m":"' + b"x" * (1 << 20) + b'"}', 413, "larger than 1 MiB"),
    ("/api/we%20b/store/", b"{}", 400, "take it from the end of the DSN"),
], ids=["header", "empty", "items", "json", "size", "project"])
def test_refusals_say_where_and_what(lapwing, path, body, status, says):
    server = lapwing()
    reply = server.http(path, body)
    assert reply.status == status
    assert says in reply.json()["detail"]
    assert issues(server) == []


def test_issue_api(lapwing):
    server = lapwing()
    for number, (project, level) in enumerate([("web", "error"), ("web", "fatal"), ("api", "info")]):
        body = event(f"problem {'abc'[number]}", level=level)
        assert post(server, ("event", body), project=project).status == 200
    titles = lambda **filters: [issue["title"] for issue in issues(server, **filters)]
    assert set(titles()) == {"problem a", "problem b", "problem c"}
    assert titles(project="api") == ["problem c"]
    assert titles(level="fatal") == ["problem b"]
    assert titles(query="PROBLEM A") == ["problem a"]
    assert len(titles(limit=2)) == 2
    assert len(titles(status="unresolved")) == 3
    for filters, says in (({"limit": "0"}, "limit must be a number from 1 to 1000"),
                          ({"level": "loud"}, "level must be one of"),
                          ({"status": "gone"}, "status must be unresolved")):
        reply = server.get("/api/issues", **filters)
        assert reply.status == 400 and says in reply.json()["error"]
    for path in ("/api/issues/0123456789abcdef", "/api/issues/x", "/api/issues/x/events"):
        reply = server.get(path)
        assert reply.status == 404 and "there is no issue" in reply.json()["error"]


def test_clock_of_the_client(lapwing):
    """Times move by the difference between sent_at and now, and never lie in the future."""
    server = lapwing()
    post(server, ("event", event("drift", timestamp="2001-02-03T04:05:06Z")),
         header={"sent_at": "2001-02-03T04:05:16Z"})
    post(server, ("event", event("future", timestamp="2099-01-01T00:00:00Z")))
    found = {issue["title"]: issue for issue in issues(server)}
    events = {title: server.get(f"/api/issues/{issue['id']}/events").json()["events"][0]
              for title, issue in found.items()}
    assert events["future"]["timestamp"] == events["future"]["received"]
    assert events["drift"]["timestamp"][:17] <= events["drift"]["received"][:17]
    assert events["drift"]["timestamp"] < events["drift"]["received"]
    assert not events["drift"]["timestamp"].startswith("2001")


def test_kill_keeps_every_acknowledged_event(lapwing):
    server = lapwing()
    acknowledged, lock, killed = [], threading.Lock(), threading.Event()

    def send(worker):
        number = 0
        while not killed.is_set():
            number += 1
            body = event(f"problem of {'abcdefgh'[worker]}", user={"id": number % 7})
            try:
                reply = post(server, ("event", body))
            except OSError:
                return
            if reply.status == 200:
                with lock:
                    acknowledged.append((worker, body["event_id"]))

    for _ in range(2):
        killed.clear()
        before = len(acknowledged)
        threads = [threading.Thread(target=send, args=(worker,)) for worker in range(8)]
        for thread in threads:
            thread.start()
        await_(lambda: len(acknowledged) >= before + 300)
        server.kill()
        killed.set()
        for thread in threads:
            thread.join()
        server.start()

        found = {issue["title"]: issue for issue in issues(server)}
        assert len(found) == 8
        for worker in range(8):
            issue = found[f"problem of {'abcdefgh'[worker]}"]
            mine = [name for who, name in acknowledged if who == worker]
            # One request a worker was under way at each kill: stored or not, but never told.
            assert len(mine) <= issue["count"] <= len(mine) + 2
            events = server.get(f"/api/issues/{issue['id']}/events", limit=100).json()["events"]
            stored = {e["id"] for e in events}
            if issue["count"] <= 100:
                assert set(mine) <= stored and len(stored) == issue["count"]

    # Sending all of them again adds nothing.
    counts = {issue["id"]: issue["count"] for issue in issues(server)}
    for worker, name in acknowledged[::10]:
        body = {**event(f"problem of {'abcdefgh'[worker]}"), "event_id": name}
        assert post(server, ("event", body)).status == 200
    assert {issue["id"]: issue["count"] for issue in issues(server)} == counts
