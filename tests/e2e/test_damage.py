"""Damaged and unreadable files: the daemon starts, names the file, answers the rest, goes on writing.
What cannot be started ends once, with a sentence and an exit code that tells a supervisor so."""
import json
import random
import subprocess
import time

import pytest

from conftest import COMMAND, DAEMON, START_SECONDS, await_, run_command

SERIES = 60
SAMPLES = 400
HOPELESS = 78  # EX_CONFIG


def fill(server):
    """Series of values that do not compress, and some log lines; all in tables at the bottom."""
    random.seed(1)
    start = int(time.time()) - SAMPLES - 5
    lines = [json.dumps({"metric": {"__name__": "kept", "i": str(i)},
                         "values": [random.random() for _ in range(SAMPLES)],
                         "timestamps": [(start + n) * 1000 for n in range(SAMPLES)]})
             for i in range(SERIES)]
    reply = server.http("/api/v1/import", "\n".join(lines),
                        {"Content-Type": "application/x-ndjson"})
    assert reply.status in (200, 204), reply.text
    for i in range(20):
        assert server.http("/api/logs", json.dumps(
            {"service": "kept", "message": f"line {i}"})).status == 200
    assert server.http("/api/v1/admin/tsdb/compact", method="POST").status == 200
    return start


def answers(server, start):
    """How many samples each series has, and whether there was a warning."""
    # Changes are counted in samples: around midnight others might come from a closed day's buckets.
    reply = server.get("/api/v1/query", query=f"changes(kept[{SAMPLES}s]) + 1",
                       time=start + SAMPLES - 1)
    assert reply.status == 200, reply.text
    body = reply.json()
    counts = [int(series["value"][1]) for series in body["data"]["result"]]
    return counts, body.get("warnings", [])


def log_lines(server):
    reply = server.get("/loki/api/v1/query_range", query='{service="kept"}', limit=5000)
    assert reply.status == 200, reply.text
    return sum(len(stream["values"]) for stream in reply.json()["data"]["result"])


def health(server):
    return server.get("/api/health").json()


def assert_goes_on(server):
    server.statsd("after:1|c")
    await_(lambda: server.value("after") == 1)
    assert server.http("/api/logs", '{"service":"after","message":"x"}').status == 200


def tables(server):
    """The largest first: that of the chunks."""
    return sorted(server.data.glob("*.sst"), key=lambda path: -path.stat().st_size)


def newest_log(server):
    """A tick amid a compaction keeps the one before, which may be larger."""
    return max(server.data.glob("*.log"), key=lambda path: path.name)


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 0x08
    path.write_bytes(content)


def test_a_flipped_bit_in_a_table_costs_its_block(lapwing):
    server = lapwing()
    start = fill(server)
    assert answers(server, start) == ([SAMPLES] * SERIES, [])
    assert server.terminate() == 0
    table = tables(server)[0]
    flip(table, table.stat().st_size // 3)

    checked = run_command(COMMAND, "check-data", str(server.data))
    assert checked.returncode == 1 and table.name in checked.stdout

    server.start()
    counts, warnings = answers(server, start)
    whole = [count for count in counts if count == SAMPLES]
    assert SERIES - 12 <= len(whole) < SERIES
    assert warnings and "damaged" in warnings[0]
    assert log_lines(server) == 20
    assert health(server)["status"] == "degraded" and table.name in health(server)["message"]
    assert table.name in server.log()
    assert server.metric("lapwing_store_damage", 'part="table"') >= 1
    reply = server.http("/api/v1/admin/tsdb/compact", method="POST")  # says so, and harms nothing
    assert reply.status == 500 and "check-data" in reply.text, reply.text
    backup = run_command(COMMAND, "backup", str(server.directory / "b"), "--url", server.url)
    assert backup.returncode == 1 and table.name in backup.stderr
    online = run_command(COMMAND, "check-data", "--url", server.url)
    assert online.returncode == 1 and table.name in online.stdout
    assert answers(server, start)[0] == counts
    assert_goes_on(server)


def make_directory(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("harm", [
    lambda path: path.unlink(), lambda path: flip(path, -5), make_directory,
    lambda path: path.write_bytes(path.read_bytes()[:1000])],
    ids=["missing", "flipped footer", "unreadable", "cut off"])
def test_an_unreadable_table_is_set_aside(lapwing, harm):
    server = lapwing()
    start = fill(server)
    assert server.terminate() == 0
    table = tables(server)[0]
    harm(table)
    server.start()
    assert sum(answers(server, start)[0]) == 0
    assert log_lines(server) == 20
    assert table.name in server.log()
    assert health(server)["status"] == "degraded" and table.name in health(server)["message"]
    assert_goes_on(server)
    assert server.http("/api/v1/admin/tsdb/compact", method="POST").status == 200
    kept = (server.data / "lost" / table.name).exists()
    server.kill()
    server.start()  # and again
    await_(lambda: server.value("last_over_time(after[5m])"))
    assert health(server)["status"] == ("degraded" if kept else "healthy")


def test_a_torn_log_is_a_crash_like_any_other(lapwing):
    server = lapwing()
    for i in range(50):
        assert server.http("/api/logs", json.dumps(
            {"service": "kept", "message": f"line {i}"})).status == 200
    server.kill()
    log = newest_log(server)
    with log.open("r+b") as file:
        file.truncate(log.stat().st_size - 50)
    server.start()
    assert log_lines(server) >= 45
    assert health(server)["status"] == "healthy"


def test_a_damaged_log_is_taken_up_to_the_damage(lapwing):
    server = lapwing()
    start = fill(server)
    for i in range(400):
        assert server.http("/api/logs", json.dumps(
            {"service": "more", "message": f"line {i}", "padding": "x" * 200})).status == 200
    server.kill()
    log = newest_log(server)
    flip(log, log.stat().st_size // 2)
    server.start()
    assert answers(server, start) == ([SAMPLES] * SERIES, [])
    assert log_lines(server) == 20
    assert "write-ahead log" in server.log()
    assert "write-ahead log" in health(server)["message"]
    assert (server.data / "lost" / log.name).exists()
    assert_goes_on(server)


def test_what_cannot_be_opened_ends_once_and_says_why(lapwing):
    server = lapwing()
    fill(server)
    assert server.terminate() == 0
    manifest = next(server.data.glob("MANIFEST-*"))
    flip(manifest, 100)
    done = subprocess.run([DAEMON, "--config", str(server.config), "--data", str(server.data)],
                          capture_output=True, text=True, timeout=START_SECONDS, check=False)
    assert done.returncode == HOPELESS, done.stderr
    lines = [line for line in done.stderr.splitlines() if " error " in line]
    assert len(lines) == 1, done.stderr
    assert str(server.data) in lines[0] and "lapwing restore" in lines[0]


def test_a_nearly_full_disk_refuses_answers_and_resumes(lapwing, small_disk):
    disk = small_disk(192)
    if not disk:
        return
    server = lapwing(start=False)
    server.data = disk / "data"
    server.start()
    assert_goes_on(server)
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(100 << 20))
    reply = await_(lambda: (reply := server.http("/api/logs", '{"message":"x"}')).status == 503
                   and reply)
    assert "nearly full" in reply.text and "free some" in reply.text
    assert server.value("last_over_time(after[5m])") == 1
    assert health(server)["status"] == "degraded" and "nearly full" in health(server)["message"]
    ballast.unlink()
    await_(lambda: server.http("/api/logs", '{"message":"x"}').status == 200)
    await_(lambda: health(server)["status"] == "healthy")
    server.close()


def test_a_full_disk_is_over_when_there_is_room_again(lapwing, small_disk):
    """Filled at one blow, so that a write fails in the middle: RocksDB then refuses all others."""
    disk = small_disk(192)
    if not disk:
        return
    server = lapwing(start=False)
    server.data = disk / "data"
    server.start()
    assert_goes_on(server)
    ballast = disk / "ballast"
    line = json.dumps({"service": "big", "message": "x" * 60000})

    def fill_until_a_write_fails():
        with ballast.open("wb") as file:
            try:
                while True:
                    file.write(bytes(1 << 20))
            except OSError:
                pass
        replies = [server.http("/api/logs", line) for _ in range(20)]
        if any("cannot write" in reply.text for reply in replies):
            return True
        ballast.unlink()
        await_(lambda: server.http("/api/logs", '{"message":"x"}').status == 200)
        return False

    await_(fill_until_a_write_fails, 60)
    assert server.value("last_over_time(after[5m])") == 1
    ballast.unlink()
    await_(lambda: server.http("/api/logs", '{"service":"kept","message":"again"}').status == 200)
    assert server.metric("lapwing_store_reopened_total") == 1
    server.kill()
    server.start()
    assert log_lines(server) == 1
    server.close()
