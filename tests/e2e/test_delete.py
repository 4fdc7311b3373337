"""Deletions over HTTP: gone at once, gone after kill -9, open for new data, and the space comes back."""
import random
import time
import urllib.parse

from conftest import await_

MINUTE = 60


def admin(server, verb, method="POST", **params):
    query = "?" + urllib.parse.urlencode(params, doseq=True) if params else ""
    return server.http(f"/api/v1/admin/tsdb/{verb}{query}", method=method)


def delete(server, match, **params):
    reply = admin(server, "delete_series", **{"match[]": match}, **params)
    assert reply.status == 204, reply.text


def import_lines(server, lines):
    reply = server.http("/api/v1/import", "\n".join(lines) + "\n")
    assert reply.status == 200, reply.text


def minutes(server, selector, now):
    """The sample times of the only matching series, in minutes before now, oldest first."""
    result = server.query(f"{selector}[30d]", time=now)
    assert len(result) <= 1
    return [round((now - at) / MINUTE) for at, _ in result[0]["values"]] if result else []


def fill(server, now, count=600, names=("old", "kept")):
    import_lines(server, [f'{name}{{env="dev"}} {i} {(now - i * MINUTE) * 1000}'
                          for name in names for i in range(count, 0, -1)])


def test_a_range_is_gone_at_once_and_after_kill(lapwing):
    server = lapwing()
    now = int(time.time())
    fill(server, now)
    delete(server, 'old{env="dev"}', start=now - 300 * MINUTE, end=now - 101 * MINUTE)
    server.kill()
    wanted = [i for i in range(600, 0, -1) if not 101 <= i <= 300]
    for _ in range(2):
        server.start()
        assert minutes(server, "old", now) == wanted
        assert minutes(server, "kept", now) == list(range(600, 0, -1))
        assert admin(server, "clean_tombstones").status == 204
        assert minutes(server, "old", now) == wanted
        server.kill()
    server.start()
    assert server.http("/api/v1/admin/tsdb/compact", method="POST").status == 200
    assert minutes(server, "old", now) == wanted


def test_a_whole_series_leaves_every_listing(lapwing):
    server = lapwing()
    now = int(time.time())
    fill(server, now)
    delete(server, "old")
    assert server.query("count_over_time(old[30d])", time=now) == []
    assert server.get("/api/v1/series", **{"match[]": "old"}).json()["data"] == []
    series = server.get("/api/v1/series", **{"match[]": '{env="dev"}'}).json()["data"]
    assert series == [{"__name__": "kept", "env": "dev"}]
    server.kill()
    server.start()
    assert server.get("/api/v1/series", **{"match[]": "old"}).json()["data"] == []
    assert admin(server, "clean_tombstones").status == 204
    assert "old" not in server.get("/api/v1/label/__name__/values").json()["data"]
    fill(server, now, count=5, names=("old",))
    assert minutes(server, "old", now) == [5, 4, 3, 2, 1]


def test_a_live_counter_goes_on_with_its_total(lapwing):
    server = lapwing()
    server.statsd("hits:5|c")
    await_(lambda: server.value("hits") == 5)
    at = server.value("timestamp(hits)")
    delete(server, "hits")
    await_(lambda: server.value("hits") == 5)
    first = server.query("hits[1h]")[0]["values"][0]
    assert first[0] > at and first[1] == "5"
    server.statsd("hits:2|c")
    await_(lambda: server.value("hits") == 7)


def test_space_comes_back(lapwing):
    server = lapwing()
    now = int(time.time())
    rng = random.Random(1)
    base = [f'big{{i="{i}"}} {rng.random()} {(now - t * MINUTE) * 1000}'
            for i in range(60) for t in range(2000, 0, -1)]
    import_lines(server, base)
    before = server.http("/api/v1/admin/tsdb/compact", method="POST").json()["data"]["disk_bytes"]
    delete(server, "big")
    assert server.query('count({__name__="big"})', time=now) == []
    after = server.http("/api/v1/admin/tsdb/compact", method="POST").json()["data"]["disk_bytes"]
    assert after < before / 4, (before, after)


def test_bad_requests_are_refused_in_prometheus_shape(lapwing):
    server = lapwing()
    for params, words in [({}, "no match[] parameter provided"),
                          ({"match[]": "{"}, "parse error"),
                          ({"match[]": "up", "start": "x"}, 'invalid parameter "start"'),
                          ({"match[]": "up", "start": 20, "end": 10}, "must not be before")]:
        reply = admin(server, "delete_series", **params)
        assert reply.status == 400
        assert reply.json()["status"] == "error" and reply.json()["errorType"] == "bad_data"
        assert words in reply.json()["error"]
    assert admin(server, "delete_series", method="GET").status == 405
    assert admin(server, "delete_series", method="PUT", **{"match[]": "nothing"}).status == 204
    form = server.http("/api/v1/admin/tsdb/delete_series", "match%5B%5D=nothing",
                       {"Content-Type": "application/x-www-form-urlencoded"}, method="POST")
    assert form.status == 204


def test_retention_rules_apply_and_change_with_a_reload(lapwing):
    server = lapwing("retention: {raw: 100d}")
    now = int(time.time())
    days = [9, 5, 1]
    import_lines(server, [f'aged{{env="{env}"}} 1 {(now - day * 86400) * 1000}'
                          for env in ("dev", "prod") for day in days])

    def kept(env):
        return server.value(f'count_over_time(aged{{env="{env}"}}[30d])', time=now)

    assert (kept("dev"), kept("prod")) == (3, 3)
    server.config.write_text(server.config.read_text() + """
retention_rules: [{match: 'aged{env="dev"}', raw: 3d, 5m: 3d, 1h: 3d}]
""")
    assert server.http("/-/reload", method="POST").status == 200
    assert server.http("/api/v1/admin/tsdb/compact", method="POST").status == 200
    assert (kept("dev"), kept("prod")) == (1, 3)
    server.config.write_text(server.config.read_text() + "x: 1\n")
    assert server.http("/-/reload", method="POST").status != 200
    assert (kept("dev"), kept("prod")) == (1, 3)
