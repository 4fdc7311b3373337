"""Backup while everything comes in, restore, and the same answers; every way it can be refused."""
import hashlib
import json
import shutil
import threading
import time

from conftest import COMMAND, await_, run_command

QUERIES = [
    "sum by (shard) (rate(load.count[30s]))", "max_over_time(load.gauge[1m])",
    "histogram_quantile(0.9, sum(rate(load.timer[30s])))", "count({__name__=~\"load.*\"})",
    "sum(sum_over_time(imported[1h]))", "timestamp(load.gauge)",
]
LOG_QUERIES = ['{service="load"}', 'sum(count_over_time({service="load"}[1m]))']


def digest(server, end):
    """Over the answers to fixed questions about the time up to `end`."""
    sha = hashlib.sha256()
    for query in QUERIES:
        reply = server.get("/api/v1/query_range", query=query, start=end - 20, end=end, step=1)
        assert reply.status == 200, reply.text
        series = reply.json()["data"]["result"]
        assert series, f"{query} has no answer"
        sha.update(json.dumps(sorted(series, key=json.dumps)).encode())
    for query in LOG_QUERIES:
        reply = server.get("/loki/api/v1/query_range", query=query, start=int((end - 20) * 1e9),
                           end=int(end * 1e9), limit=5000, step=1)
        assert reply.status == 200, reply.text
        result = reply.json()["data"]["result"]
        assert result, f"{query} has no answer"
        sha.update(json.dumps(sorted(result, key=json.dumps)).encode())
    return sha.hexdigest()


class Load:
    """statsd, logs and imports until the end of the with block."""

    def __init__(self, server):
        self.server = server
        self.stopped = threading.Event()
        self.sent = {"statsd": 0, "logs": 0, "imports": 0}
        self.threads = [threading.Thread(target=self.run, args=(job,))
                        for job in (self.statsd, self.logs, self.imports)]

    def run(self, job):
        while not self.stopped.wait(0.002):
            job()
            self.sent[job.__name__] += 1

    def statsd(self):
        n = self.sent["statsd"]
        self.server.statsd(*[f"load.count:1|c|#shard:{i}" for i in range(20)],
                           f"load.gauge:{n % 97}|g", f"load.timer:{n % 53}|ms")

    def logs(self):
        line = {"service": "load", "message": f"line {self.sent['logs']}"}
        assert self.server.http("/api/logs", json.dumps(line)).status == 200

    def imports(self):
        n = self.sent["imports"]
        text = "".join(f'imported{{row="{i}"}} {n + i} {int(time.time() * 1000)}\n'
                       for i in range(50))
        assert self.server.http("/api/v1/import", text).status in (200, 204)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join()


def settled(server):
    """A second that no sender touches any more: whole, and some ticks ago."""
    end = int(time.time())
    await_(lambda: server.value("timestamp(load.gauge)") > end + 2)
    return end


def check_data(path):
    return run_command(COMMAND, "check-data", str(path))


def test_backup_under_load_restores_to_the_same_answers(lapwing, tmp_path):
    server = lapwing()
    target = tmp_path / "backups" / "first"
    with Load(server):
        await_(lambda: server.value("timestamp(load.gauge)"))
        begun = time.time()
        await_(lambda: time.time() > begun + 4)
        end = settled(server)
        before = digest(server, end)
        done = run_command(COMMAND, "backup", str(target), "--url", server.url)
        assert done.returncode == 0, done.stderr
        # Also one in the middle of a compaction, which replaces the tables it links to.
        compacting = threading.Thread(target=run_command,
                                      args=(COMMAND, "compact", "--url", server.url))
        compacting.start()
        second = tmp_path / "second"
        await_(lambda: run_command(COMMAND, "backup", str(second),
                                   "--url", server.url).returncode == 0)
        compacting.join()
        assert digest(server, end) == before
    assert sorted(path.name for path in target.parent.iterdir()) == ["first"]
    # An ordinary copy is as good as the backup itself.
    shutil.copytree(second, tmp_path / "copy")
    for backup in (target, second, tmp_path / "copy"):
        checked = check_data(backup)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    restored = lapwing(start=False)
    for backup in (target, tmp_path / "copy"):
        done = run_command(COMMAND, "restore", str(backup), "--data", str(restored.data), "--force")
        assert done.returncode == 0, done.stderr
        restored.start()
        assert digest(restored, end) == before
        restored.kill()


def test_snapshot_in_prometheus_form(lapwing):
    server = lapwing()
    server.statsd("snap:1|c")
    await_(lambda: server.value("snap"))
    reply = server.http("/api/v1/admin/tsdb/snapshot", method="POST")
    assert reply.status == 200, reply.text
    name = reply.json()["data"]["name"]
    assert check_data(server.data / "snapshots" / name).returncode == 0
    server.kill()
    server.start()  # the directory does not disturb it
    assert server.value("last_over_time(snap[5m])") == 1


def test_refusals_are_sentences(lapwing, tmp_path):
    server = lapwing()
    occupied = tmp_path / "occupied"
    occupied.mkdir()
    (occupied / "file").write_text("mine")
    done = run_command(COMMAND, "backup", str(occupied), "--url", server.url)
    assert done.returncode == 1 and "is not empty" in done.stderr
    assert (occupied / "file").read_text() == "mine"

    done = run_command(COMMAND, "backup", "/proc/nowhere/backup", "--url", server.url)
    assert done.returncode == 1 and "/proc/nowhere" in done.stderr
    json_type = {"Content-Type": "application/json"}
    for body, headers, why in [('{"dir":"relative"}', json_type, "absolute"),
                               ("{}", json_type, "dir"), ('{"dir":"/tmp/x"}', {}, "Content-Type")]:
        reply = server.http("/api/v1/admin/backup", body, headers)
        assert reply.status == 400 and why in reply.text, reply.text

    busy = run_command(COMMAND, "check-data", str(server.data))
    assert busy.returncode != 0 and "open" in busy.stderr
    busy = run_command(COMMAND, "restore", str(tmp_path), "--data", str(server.data), "--force")
    assert busy.returncode != 0 and "open" in busy.stderr
    online = run_command(COMMAND, "check-data", "--url", server.url)
    assert online.returncode == 0 and " 0 damaged" in online.stdout


def test_restore_keeps_what_is_there_and_refuses_what_is_no_backup(lapwing, tmp_path):
    server = lapwing()
    server.statsd("kept:1|c")
    await_(lambda: server.value("kept"))
    backup = tmp_path / "backup"
    assert run_command(COMMAND, "backup", str(backup), "--url", server.url).returncode == 0
    assert server.terminate() == 0

    done = run_command(COMMAND, "restore", str(backup), "--data", str(server.data))
    assert done.returncode == 1 and "--force" in done.stderr
    done = run_command(COMMAND, "restore", str(server.data), "--data", str(tmp_path / "new"))
    assert done.returncode == 1 and "no backup" in done.stderr
    assert not (tmp_path / "new").exists()

    table = next(path for path in backup.iterdir() if path.suffix == ".sst")
    damaged = tmp_path / "damaged"
    shutil.copytree(backup, damaged)
    content = bytearray((damaged / table.name).read_bytes())
    content[20] ^= 0x10
    (damaged / table.name).write_bytes(content)
    done = run_command(COMMAND, "restore", str(damaged), "--data", str(tmp_path / "new"))
    assert done.returncode == 1 and "digest" in done.stderr, done.stderr
    assert not list(tmp_path.glob("new*"))
    assert check_data(damaged).returncode == 1

    done = run_command(COMMAND, "restore", str(backup), "--data", str(server.data), "--force")
    assert done.returncode == 0, done.stderr
    kept = next(server.directory.glob("data.before-*"))
    assert str(kept) in done.stdout and check_data(kept).returncode == 0
    server.start()
    assert server.value("last_over_time(kept[5m])") == 1


def test_a_disk_without_room_is_told_and_left_clean(lapwing, small_disk):
    disk = small_disk(12)
    if not disk:
        return
    done = run_command(COMMAND, "backup", str(disk / "backup"), "--url", lapwing().url)
    assert done.returncode == 1 and "free some" in done.stderr, done.stderr
    assert not list(disk.iterdir())
