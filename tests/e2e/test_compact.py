"""Compaction on demand: answers stay, the head empties, ingest goes on meanwhile."""
import threading

from conftest import COMMAND, await_, run_command


def test_compact_seals_everything_and_changes_no_answer(lapwing):
    server = lapwing()
    server.statsd(*[f"packed.{i}:{i}|c" for i in range(50)])
    server.http("/api/logs", '{"service":"packed","message":"a line"}')
    await_(lambda: server.value("count(last_over_time({__name__=~\"packed[.].*\"}[1h]))") == 50)
    at = server.value("timestamp(packed.7)")
    before = server.query("sort({__name__=~\"packed[.].*\"})", time=at)
    assert server.metric("lapwing_store_chunks_sealed_total") == 0

    reply = server.http("/api/v1/admin/tsdb/compact", method="POST")
    assert reply.status == 200, reply.text
    assert reply.json()["data"]["disk_bytes"] > 0
    assert server.metric("lapwing_store_chunks_sealed_total") >= 50
    assert server.metric("lapwing_log_open_rows") == 0
    assert server.query("sort({__name__=~\"packed[.].*\"})", time=at) == before

    done = run_command(COMMAND, "compact", "--url", server.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("compacted in ")
    server.kill()
    server.start()
    assert server.query("sort({__name__=~\"packed[.].*\"})", time=at) == before


def test_ticks_go_on_and_a_second_compaction_is_refused_or_done(lapwing):
    server = lapwing("statsd: {flush_interval: 200ms, udp: \"127.0.0.1:0\"}")
    statuses = []

    def compact():
        statuses.append(server.http("/api/v1/admin/tsdb/compact", method="POST"))

    server.statsd("ticking:1|c")
    await_(lambda: server.value("ticking"))
    threads = [threading.Thread(target=compact) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {reply.status for reply in statuses} <= {200, 503}
    assert any(reply.status == 200 for reply in statuses)
    for reply in statuses:
        assert reply.status == 200 or "under way" in reply.text
    seen = server.value("timestamp(ticking)")
    await_(lambda: server.value("timestamp(ticking)") > seen)
