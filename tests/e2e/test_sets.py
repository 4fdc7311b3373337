"""Sets from the socket to distinct(): members seen again are counted once, over ticks, series,
restarts, kills, exports and days that are closed."""
import json
import random
import time

from conftest import await_

EXACT_MAX = 512


def close_to(got, want):
    return got == want if want <= EXACT_MAX else abs(got - want) < 0.07 * want


def send(server, name, ids, tags=""):
    for start in range(0, len(ids), 20):
        server.statsd(*(f"{name}:user-{i}|s{tags}" for i in ids[start:start + 20]))
        time.sleep(0.001)


def total(server, name, seen):
    await_(lambda: close_to(server.value(f"distinct({name}[1h])") or 0, len(seen)),
           what=f"{len(seen)} members of {name}")


def test_members_are_counted_once(lapwing):
    server = lapwing()
    rng = random.Random(5)
    seen = {"a": set(), "b": set(), "large": set()}
    for tick in range(4):
        for host in "ab":
            ids = rng.sample(range(300), 40)
            seen[host].update(ids)
            send(server, "t.users", ids, f"|#host:{host}")
        ids = rng.sample(range(6000), 1500)
        seen["large"].update(ids)
        send(server, "t.large", ids)
        both = seen["a"] | seen["b"]
        total(server, "t.users", both)
        total(server, "t.large", seen["large"])
        # What was flushed survives either way; SIGTERM flushes what was not.
        if tick == 1:
            server.kill()
            server.start()
        if tick == 2:
            server.terminate()
            server.start()
    by_host = server.query("distinct(t.users[1h]) by (host)")
    assert {row["metric"]["host"]: float(row["value"][1]) for row in by_host} == {
        host: len(seen[host]) for host in "ab"}
    over_time = server.query("distinct_over_time(t.users[1h])")
    assert sorted(float(row["value"][1]) for row in over_time) == sorted(
        len(seen[host]) for host in "ab")
    # As numbers they are what they were: counts of a tick.
    assert server.value("max(max_over_time(t.users[1h]))") <= 80
    assert server.value("sum(sum_over_time(t.users[1h]))") >= len(both)
    infos = server.get("/api/v1/query", query="distinct(t.users[1h])").json().get("infos", [])
    assert not any("without members" in info for info in infos)


def test_export_and_import_keep_the_members(lapwing):
    server = lapwing()
    seen = {name: set(range(count)) for name, count in (("t.few", 30), ("t.many", 3000))}
    for name, ids in seen.items():
        send(server, name, sorted(ids))
        total(server, name, ids)
    selector = {"match[]": '{__name__=~"t[.].*"}'}
    exported = server.get("/api/v1/export", **selector).text
    rows = [json.loads(line) for line in exported.splitlines()]
    assert all(row["type"] == "set" and len(row["sketches"]) == len(row["values"])
               for row in rows)
    other = lapwing()
    assert other.http("/api/v1/import", exported).status == 200
    assert other.get("/api/v1/export", **selector).text == exported
    for name, ids in seen.items():
        assert other.value(f"distinct({name}[1h])") == server.value(f"distinct({name}[1h])")
        assert close_to(other.value(f"distinct({name}[1h])"), len(ids))
    # Who knows nothing of sketches gets and gives numbers.
    newest = other.value("last_over_time(t.few[1h])")
    assert f" {newest:g} " in other.get("/federate", **{"match[]": '{__name__="t.few"}'}).text
    bare = [dict(row) for row in rows if row["metric"]["__name__"] == "t.few"]
    for row in bare:
        del row["sketches"]
        row["metric"]["__name__"] = "t.bare"
    assert other.http("/api/v1/import", "".join(json.dumps(row) + "\n" for row in bare)).status == 200
    reply = other.get("/api/v1/query", query="distinct(t.bare[1h])").json()
    assert float(reply["data"]["result"][0]["value"][1]) == max(bare[0]["values"])
    assert any("without members" in info for info in reply["infos"])


def test_buckets_of_closed_days_hold_the_members(lapwing):
    server = lapwing("retention: {raw: 60d}")
    day = 86400
    start = int(time.time()) // day * day - 12 * day
    source = lapwing()
    codes = {}
    for tick in range(3):  # sketches of overlapping members, as a server makes them
        name = f"t.s{tick}"
        send(source, name, range(tick * 200, tick * 200 + 300))
        total(source, name, set(range(300)))
        rows = source.get("/api/v1/export", **{"match[]": name}).text.splitlines()
        codes[tick] = [code for line in rows for code in json.loads(line)["sketches"]]
    times, sketches = [], []
    for hour in range(9 * 24):
        for i, code in enumerate(codes[hour // 24 % 3]):
            times.append((start + hour * 3600 + 100 + i * 10) * 1000)
            sketches.append(code)
    row = {"metric": {"__name__": "t.old"}, "type": "set", "values": [300] * len(times),
           "sketches": sketches, "timestamps": times}
    assert server.http("/api/v1/import", json.dumps(row)).status == 200
    asked = {"time": start + 9 * day}
    raw = [server.value(f"distinct(t.old[{days}d])", **asked) for days in (1, 2, 3, 9)]
    assert raw[0] == 300 and raw[1] == 500 and close_to(raw[2], 700) and raw[3] == raw[2]
    assert server.http("/api/v1/admin/tsdb/compact", method="POST").status in (200, 204)
    rolled = [server.value(f"distinct(t.old[{days}d])", **asked) for days in (1, 2, 3, 9)]
    assert rolled == raw
    infos = server.get("/api/v1/query", query="distinct(t.old[9d])", **asked).json()["infos"]
    assert any("rollups" in info for info in infos)
