"""How queries are served: kept results, clients that go away, queries that wait, answers in parts."""
import time

import pytest

START = int(time.time()) // 60 * 60 - 7200


def counter(name, count, step=15):
    return "\n".join([f"# TYPE {name} counter"]
                     + [f"{name}_total {i * 30} {(START + i * step) * 1000}" for i in range(count)])


def outcomes(server):
    return {kind: server.metric("lapwing_query_cache_queries_total", f'result="{kind}"')
            for kind in ("hit", "part", "miss")}


def test_a_repeated_question_is_answered_from_memory_until_something_changes(lapwing):
    server = lapwing()
    assert server.http("/api/v1/import", counter("c", 400)).status == 200
    ask = dict(query="rate(c_total[1m])", start=START + 600, end=START + 4200, step=60)
    first = server.get("/api/v1/query_range", **ask)
    again = server.get("/api/v1/query_range", **ask)
    assert first.status == again.status == 200 and first.text == again.text
    assert outcomes(server) == {"hit": 1, "part": 0, "miss": 1}
    assert server.metric("lapwing_query_cache_bytes") > 400
    later = server.get("/api/v1/query_range", **{**ask, "start": START + 1200, "end": START + 4800})
    assert len(later.json()["data"]["result"][0]["values"]) == 61
    assert outcomes(server) == {"hit": 1, "part": 1, "miss": 1}
    assert server.get("/api/v1/query_range", nocache=1, **ask).text == first.text
    assert outcomes(server) == {"hit": 1, "part": 1, "miss": 1}

    late = f"c_total 1000000 {(START + 1201) * 1000}"  # between two that are there
    assert server.http("/api/v1/import", late).status == 200
    changed = server.get("/api/v1/query_range", **ask)
    assert changed.text != first.text
    assert changed.text == server.get("/api/v1/query_range", nocache=1, **ask).text


def test_no_cache_when_told(lapwing):
    server = lapwing("limits: { query_cache: 0 }")
    assert server.http("/api/v1/import", counter("c", 40)).status == 200
    ask = dict(query="c_total", start=START, end=START + 600, step=60)
    assert server.get("/api/v1/query_range", **ask).text == server.get("/api/v1/query_range", **ask).text
    assert outcomes(server) == {"hit": 0, "part": 0, "miss": 0}
