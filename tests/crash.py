#!/usr/bin/python3
"""kill -9 at random instants under mixed load, again and again on one data directory; after each
restart the store is compared with what was sent and what was acknowledged.

    tests/crash.py [--rounds N] [--seconds S] [--seed X] [--dir D]     (make crash N=200)

A round: load for a random while; then one of kill -9, kill -9 while stopping, or SIGTERM; sometimes
one more kill -9 while starting; restart; compare (class Comparison says what). Ends at once at the
first difference and leaves the directory; else prints what it has seen. load.py has the senders.
"""
import argparse
import collections
import http.server
import itertools
import json
import pathlib
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "e2e"))
import conftest  # noqa: E402
from load import (CRASH_JOBS, DELETED_POINTS, IMPORT_POINTS, LONG_POINTS, MANY,  # noqa: E402
                  MIXED_POINTS, Client, Load, Oracle, event_body, last_sample, mixed_offsets, rss_kb,
                  stored_lines)

SLACK = 0.3  # seconds from a send until the worker must have read it
TICK = 1.0

RULES = """
groups:
- name: crash
  interval: 1s
  rules:
  - alert: Alarm
    expr: alarm > 0
    annotations: {summary: "{{ $labels.n }}"}
"""


class Sink:
    """A webhook receiver that refuses every third message."""

    def __init__(self):
        self.firing, self.resolved, self.posts = set(), set(), 0
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                sink.posts += 1
                refuse = sink.posts % 3 == 0
                if not refuse:
                    for alert in body["alerts"]:
                        kept = sink.firing if alert["status"] == "firing" else sink.resolved
                        kept.add(alert["labels"]["n"])
                self.send_response(503 if refuse else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Comparison:
    """Compares the daemon's answers with the oracle after a restart."""

    def __init__(self, server, oracle):
        self.server, self.oracle = server, oracle
        self.udp = self.tcp = 0.0  # totals as of the last comparison
        self.lines = {}  # host -> lines, settled by an earlier comparison
        self.tick_age, self.missing = [], []
        self.sound_backups = 0
        self.unknown = collections.Counter()

    def logs(self, load):
        kept = self.oracle.logs.get(load.host, {"acked": [], "unknown": []})
        found = stored_lines(self.server, load.host)
        have = set(found)
        assert len(found) == len(have), "a log line is there twice"
        lost = set(kept["acked"]) - have
        assert not lost, f"{len(lost)} acknowledged log lines are lost: {sorted(lost)[:5]}"
        rest = have - set(kept["acked"])
        for names in kept["unknown"]:
            part = rest & set(names)
            assert len(part) in (0, len(names)), f"{len(part)} of {len(names)} lines of a post"
            self.unknown["log posts " + ("kept" if part else "gone")] += 1
            rest -= part
        assert not rest, f"log lines that nobody sent: {sorted(rest)[:5]}"
        self.lines[load.host] = len(found)

        host = load.host + "t"
        numbers = [int(message) for message in stored_lines(self.server, host)]
        assert numbers == list(range(len(numbers))), "TCP log lines are no prefix of what was sent"
        assert len(numbers) <= self.oracle.tcp_sent.get(host, 0)
        self.lines[host] = len(numbers)
        self.unknown["TCP log lines in flight"] += self.oracle.tcp_sent.get(host, 0) - len(numbers)

    def all_logs(self):
        """The counts of all rounds."""
        reply = self.server.get("/loki/api/v1/query", limit=5000, query=(
            'sum by (host) (count_over_time({service="crash"}[6h]))'))
        assert reply.status == 200, reply.text
        have = {row["metric"]["host"]: int(row["value"][1])
                for row in reply.json()["data"]["result"]}
        want = {host: count for host, count in self.lines.items() if count}
        wrong = {host: (have.get(host), want.get(host))
                 for host in have.keys() | want.keys() if have.get(host) != want.get(host)}
        assert not wrong, f"lines (stored, once seen) of earlier rounds changed: {wrong}"

    def errors(self):
        """Sends again what was never answered, and some that were: each id counts once."""
        oracle = self.oracle
        before = self.issue_count()
        low = len(oracle.events_acked)
        assert low <= before <= low + len(oracle.events_unknown), \
            f"{before} events, {low} acknowledged, {len(oracle.events_unknown)} unknown"
        self.unknown["events kept"] += before - low
        self.unknown["events gone"] += low + len(oracle.events_unknown) - before
        client = Client(self.server)
        oracle.events_acked += oracle.events_unknown
        again = oracle.events_unknown + random.sample(oracle.events_acked,
                                                      min(20, len(oracle.events_acked)))
        for name in again:
            status, body = client.post("/api/crash/store/", event_body(name, "a"))
            assert status == 200, body
        oracle.events_unknown = []
        after = self.issue_count()
        assert after == len(oracle.events_acked), \
            f"{after} events, {len(oracle.events_acked)} different ids were sent"

    def issue_count(self):
        issues = self.server.get("/api/issues", project="crash").json()["issues"]
        assert len(issues) <= 3
        return sum(issue["count"] for issue in issues)

    def imports(self):
        oracle = self.oracle
        end = oracle.start - 7200 + IMPORT_POINTS + 60
        counts = {row["metric"]["name"]: float(row["value"][1])
                  for row in self.server.query("count_over_time(imp[1h])", time=end)}
        sums = {row["metric"]["name"]: float(row["value"][1])
                for row in self.server.query("sum_over_time(imp[1h])", time=end)}
        for name, state in list(oracle.imports.items()):
            if name not in counts and state == "unknown":
                del oracle.imports[name]
                self.unknown["imports gone"] += 1
                continue
            assert counts.get(name) == IMPORT_POINTS, f"import {name}: {counts.get(name)} points"
            assert sums[name] == IMPORT_POINTS * (IMPORT_POINTS - 1) / 2
            self.unknown["imports kept"] += state == "unknown"
            oracle.imports[name] = "acked"
        extra = counts.keys() - oracle.imports.keys()
        assert not extra, f"imported series that nobody sent: {extra}"
        self.long_import()
        self.mixed_import()
        self.deletions()

    def long_import(self):
        oracle = self.oracle
        end = oracle.long_start + oracle.long_acked + LONG_POINTS + 60
        count = int(self.server.value("count_over_time(imp_long[30d])", time=end) or 0)
        allowed = {oracle.long_acked, oracle.long_acked + LONG_POINTS * oracle.long_unknown}
        assert count in allowed, f"imp_long has {count} points, not one of {allowed}"
        total = self.server.value("sum_over_time(imp_long[30d])", time=end) or 0
        assert total == count * (count - 1) / 2, "imp_long: wrong values"
        oracle.long_acked, oracle.long_unknown = count, False

    def mixed_import(self):
        """Posts whose points lie in between each other's."""
        oracle = self.oracle
        end = oracle.mixed_start + max(mixed_offsets(oracle.mixed_next)) + 60
        count = int(self.server.value("count_over_time(imp_mixed[30d])", time=end) or 0)
        total = self.server.value("sum_over_time(imp_mixed[30d])", time=end) or 0
        allowed = {}  # (count, sum) -> posts, by which of the unknown ones are there
        for some in itertools.product((False, True), repeat=len(oracle.mixed_unknown)):
            posts = oracle.mixed + [n for n, there in zip(oracle.mixed_unknown, some) if there]
            allowed[len(posts) * MIXED_POINTS, sum(sum(mixed_offsets(n)) for n in posts)] = posts
        assert (count, total) in allowed, \
            f"imp_mixed: {count} points of sum {total}, not one of {list(allowed)}"
        self.unknown["mixed imports"] += len(oracle.mixed_unknown)
        oracle.mixed, oracle.mixed_unknown = allowed[count, total], []

    def deletions(self):
        oracle = self.oracle
        end = oracle.start
        counts = {row["metric"]["name"]: int(row["value"][1])
                  for row in self.server.query("count_over_time(del[3h])", time=end)}
        for name, state in oracle.deletions.items():
            if state == "unknown":
                state = oracle.deletions[name] = "there" if name in counts else "gone"
                self.unknown["deletions"] += 1
            want = DELETED_POINTS if state == "there" else None
            assert counts.get(name) == want, f"del {name}, {state}: {counts.get(name)} points"

    def backups(self):
        """What has the name of a backup is one, whenever the daemon was killed."""
        for path in sorted((self.server.directory / "backups").glob("r*")):
            if ".partial" not in path.name:
                done = conftest.run_command(conftest.COMMAND, "check-data", str(path))
                assert done.returncode == 0, f"{path}: {done.stdout}{done.stderr}"
                self.sound_backups += 1
            shutil.rmtree(path)

    def counters(self, load, killed_at):
        """killed_at None: the daemon was stopped properly, and nothing may be missing."""
        last = last_sample(self.server, "c.udp")
        if last:
            self.one_counter("c.udp", last, load.udp_times, self.udp, killed_at)
            n = last[1]
            for expression in ("c.pair", "g.delta", "histogram_count(t.udp)",
                               "histogram_sum(t.udp) / 3"):
                got = self.server.value(expression.replace("(t.udp)", "(last_over_time(t.udp[90s]))")
                                        if "(" in expression
                                        else f"last_over_time({expression}[90s])")
                assert got == n, f"{expression} is {got}, c.udp is {n}"
            grown = n - self.udp
            gauge = last_sample(self.server, "g.udp")[1]
            assert grown == 0 or gauge == load.udp_base + grown, \
                f"g.udp is {gauge}, not {load.udp_base} + {grown}"
            self.udp = n
        last = last_sample(self.server, "c.tcp")
        if last:
            self.one_counter("c.tcp", last, load.tcp_times, self.tcp, killed_at)
            self.tcp = last[1]

    def one_counter(self, name, last, times, before, killed_at):
        ticked_at, total = last
        sent = times[-1][1] if times else 0
        grown = total - before
        assert 0 <= grown <= sent + 5, f"{name} grew by {grown}, {sent} were sent"
        if killed_at is None:
            assert grown == sent, f"{name}: {sent} sent, {grown} there after SIGTERM"
            return
        due = max((count for at, count in times if at < ticked_at - SLACK), default=0)
        assert grown >= due, f"{name} grew by {grown}, {due} were sent before the last tick"
        if times and times[0][0] < ticked_at:
            self.tick_age.append(killed_at - ticked_at)
            self.missing.append(sent - grown)
        # A tick that was due long before the kill must have been committed.
        alive = killed_at - times[0][0] if times else 0
        if alive > TICK + 2:
            assert killed_at - ticked_at < TICK + 2, f"{name}: no tick for {killed_at - ticked_at} s"

    def never_backwards(self):
        for expression in ("resets(c.udp[6h])", "resets(c.tcp[6h])", "max(resets(many[6h]))",
                           "max(resets(lapwing_statsd_metrics_total[6h]))"):
            value = self.server.value(expression)
            assert not value, f"{expression} is {value}"
        rows = self.server.query("last_over_time(many[6h])")
        assert len(rows) in (0, MANY)


class Harness:
    def __init__(self, args):
        self.args = args
        self.random = random.Random(args.seed)
        self.directory = pathlib.Path(args.dir or tempfile.mkdtemp(prefix="lapwing-crash."))
        self.directory.mkdir(exist_ok=True, parents=True)
        self.sink = Sink()
        self.server = conftest.Server(self.directory, f"""
rule_files: [rules/*.yaml]
alerting: {{evaluation_interval: 1s, webhook: {{url: "http://127.0.0.1:{self.sink.port}/", timeout: 2s}}}}
""")
        (self.directory / "rules").mkdir(exist_ok=True)
        (self.directory / "rules" / "crash.yaml").write_text(RULES)
        self.oracle = Oracle()
        self.comparison = Comparison(self.server, self.oracle)
        self.kinds = collections.Counter()
        self.ready, self.stopping, self.warnings = [], [], collections.Counter()
        self.must_fire = set()
        self.rss = 0

    def collect_log(self):
        for line in self.server.log_lines:
            words = line.split()
            if len(words) > 2 and words[1] in ("warn", "error", "WARN", "ERROR"):
                self.warnings[f"{words[1]} {words[2]}"] += 1
            elif "Sanitizer" in line or "Assertion" in line:
                self.warnings[line] += 1

    def start(self):
        begun = time.monotonic()
        self.server.start()
        self.ready.append(time.monotonic() - begun)

    def kill_while_starting(self):
        self.server.process = subprocess.Popen(
            [conftest.DAEMON, "--config", str(self.server.config), "--data", str(self.server.data)],
            cwd=self.directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(self.random.uniform(0, 1.2 * statistics.median(self.ready)))
        self.server.kill()
        self.kinds["kill -9 while starting"] += 1

    def end_life(self, load):
        """Ends the daemon; returns the instant of the kill, or None after a proper stop."""
        kind = self.random.choices(("kill", "stop and kill", "stop"), (80, 12, 8))[0]
        self.rss = max(self.rss, rss_kb(self.server.pid))
        if kind == "kill":
            killed_at = time.time()
            self.server.kill()
            self.kinds["kill -9"] += 1
            return killed_at
        if kind == "stop and kill":
            killed_at = time.time()
            self.server.process.send_signal(signal.SIGTERM)
            time.sleep(self.random.uniform(0, 0.04))
            self.kinds["kill -9 while stopping" if self.server.process.poll() is None
                       else "stopped before the kill"] += 1
            self.server.kill()
            return killed_at
        load.stop()
        begun = time.monotonic()
        code = self.server.terminate()
        assert code == 0, f"exit code {code}"
        self.stopping.append(time.monotonic() - begun)
        self.kinds["SIGTERM"] += 1
        return None

    def round(self, number):
        host = f"r{number}"
        with Load(self.server, self.oracle, host, CRASH_JOBS) as load:
            self.server.statsd(f"alarm:1|g|#n:{number}", f"alarm:0|g|#n:{number - 2}")
            time.sleep(self.random.choice((self.random.uniform(0, 0.3), self.random.uniform(0.3, 3))))
            killed_at = self.end_life(load)
        self.collect_log()
        self.must_fire |= load.firing_seen
        assert not load.query_failures, load.query_failures[:3]
        while self.ready and self.random.random() < 0.2:
            self.kill_while_starting()
        self.start()
        compare = self.comparison
        compare.counters(load, killed_at)
        compare.logs(load)
        compare.all_logs()
        compare.errors()
        compare.imports()
        compare.never_backwards()
        compare.backups()
        for alert in self.server.get("/api/v1/alerts").json()["data"]["alerts"]:
            if alert["state"] == "firing":
                self.must_fire.add(alert["labels"]["n"])

    def run(self):
        self.start()
        self.ready.clear()
        end = time.monotonic() + self.args.seconds
        rounds = 0
        while rounds < self.args.rounds and time.monotonic() < end:
            rounds += 1
            try:
                self.round(rounds)
            except BaseException:
                print(f"round {rounds}, seed {self.args.seed}, directory {self.directory}\n"
                      + self.server.log(), file=sys.stderr)
                raise
            if rounds % 10 == 0:
                print(f"{rounds} rounds, {len(self.oracle.events_acked)} events, "
                      f"{sum(self.comparison.lines.values())} lines, ready in "
                      f"{statistics.median(self.ready):.3f} s", flush=True)
        self.finish(rounds)

    def finish(self, rounds):
        conftest.await_(lambda: self.must_fire <= self.sink.firing, 90,
                        f"the messages of {self.must_fire - self.sink.firing}")
        code = self.server.terminate()
        assert code == 0, f"exit code {code}"
        self.collect_log()
        size = sum(f.stat().st_size for f in self.server.data.rglob("*") if f.is_file())
        compare, oracle = self.comparison, self.oracle
        ready = sorted(self.ready)
        print(f"""
{rounds} rounds: {dict(self.kinds)}
acknowledged and there, once: {sum(compare.lines.values())} log lines, {len(oracle.events_acked)} error events, \
{len(oracle.imports)} imports ({len(oracle.imports) * (IMPORT_POINTS + LONG_POINTS)} samples), \
{len(oracle.mixed)} out of order ({len(oracle.mixed) * MIXED_POINTS} samples), \
{sum(state == "gone" for state in oracle.deletions.values())} of {len(oracle.deletions)} series deleted, \
{compare.sound_backups} backups made and sound
counters: {int(compare.udp)} over UDP, {int(compare.tcp)} over TCP, never backwards
without an answer at the kill: {dict(compare.unknown)}
age of the last tick at the kill: median {statistics.median(compare.tick_age):.2f} s, \
longest {max(compare.tick_age):.2f} s
alerts: {len(self.must_fire)} fired, all delivered, {len(self.sink.resolved)} resolved, {self.sink.posts} posts
restart to ready: median {statistics.median(ready):.3f} s, longest {ready[-1]:.3f} s
SIGTERM to exit: longest {max(self.stopping, default=0):.2f} s; largest RSS {self.rss // 1024} MB; \
data directory {size >> 20} MB
statuses: {oracle.statuses}
log lines at warn and above: {dict(self.warnings)}
crash: {sum(n for kind, n in self.kinds.items() if "kill -9" in kind)} kills of the daemon \
({", ".join(f"{n} {kind}" for kind, n in self.kinds.items() if "kill -9" in kind)}): 0 lost, 0 wrong, 0 doubled""")
        if not self.args.dir:
            shutil.rmtree(self.directory)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=3600, help="no new round after this time")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--dir", help="keep everything here")
    Harness(parser.parse_args()).run()


if __name__ == "__main__":
    main()
