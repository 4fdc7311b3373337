"""kill -9 while everything comes in at once: what was acknowledged is there, counters never fall,
and SIGTERM loses nothing at all."""
import json
import socket
import threading
import time
import uuid

from conftest import await_

ROUNDS = 3


class Load:
    """Sends logs, errors and counters until stopped; remembers what the daemon acknowledged."""

    def __init__(self, server):
        self.server = server
        self.logs, self.events = [], []
        self.stopped = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(job,))
                        for job in (self.send_log, self.send_event, self.send_counter)]

    def run(self, job):
        while not self.stopped.is_set():
            try:
                job()
            except OSError:
                if not self.stopped.wait(0.01):
                    continue

    def send_log(self):
        name = uuid.uuid4().hex
        reply = self.server.http("/api/logs", json.dumps({"service": "crash", "message": name}))
        if reply.status == 200:
            self.logs.append(name)

    def send_event(self):
        name = uuid.uuid4().hex
        reply = self.server.http("/api/crash/store/", json.dumps(
            {"event_id": name, "message": "crash test", "level": "error"}))
        if reply.status == 200:
            self.events.append(name)

    def send_counter(self):
        self.server.statsd("crash.count:1|c")
        time.sleep(0.001)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join()


def stored_logs(server):
    found, end = [], None
    while True:
        params = {"query": '{service="crash"}', "limit": 5000, "direction": "backward",
                  "start": str(int((time.time() - 3600) * 1e9))}
        if end:
            params["end"] = end
        result = server.get("/loki/api/v1/query_range", **params).json()["data"]["result"]
        entries = [entry for stream in result for entry in stream["values"]]
        found += [json.loads(line)["message"] for _, line in entries]
        if len(entries) < 5000:
            return found
        end = str(min(int(ns) for ns, _ in entries))


def test_kill_loses_nothing_acknowledged(lapwing):
    server = lapwing()
    logs, events, last_total = [], [], 0.0
    for _ in range(ROUNDS):
        with Load(server) as load:
            await_(lambda: len(load.logs) > 50 and len(load.events) > 20)
            await_(lambda: server.value("crash.count"))
            seen_total = server.value("crash.count")
            server.kill()
        logs += load.logs
        events += load.events
        server.start()

        kept = stored_logs(server)
        assert set(logs) <= set(kept)
        assert len(kept) == len(set(kept)), "a log line is there twice"
        issue = server.get("/api/issues").json()["issues"][0]
        assert issue["count"] >= len(events)
        after = await_(lambda: server.value("last_over_time(crash.count[5m])"))
        assert after >= seen_total >= last_total, "a counter went backwards"
        last_total = after
    # An event that was acknowledged is known: sending it again does not count.
    count = server.get("/api/issues").json()["issues"][0]["count"]
    for name in events[:5] + events[-5:]:
        again = server.http("/api/crash/store/", json.dumps(
            {"event_id": name, "message": "crash test", "level": "error"}))
        assert again.status == 200
    assert server.get("/api/issues").json()["issues"][0]["count"] == count


def test_sigterm_loses_nothing(lapwing):
    server = lapwing()
    sent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for burst in range(200):
            udp.sendto(b"\n".join([b"term.count:1|c"] * 20), ("127.0.0.1",
                                                            server.ports["statsd_udp"]))
            sent += 20
            if burst % 50 == 0:
                time.sleep(0.05)
    with server.tcp("statsd_tcp") as tcp:
        tcp.sendall(b"term.count:1|c\n" * 500)
        tcp.sendall(b"term.count:1|c")  # without a newline at its end
        sent += 501
    assert server.terminate() == 0
    server.start()
    total = await_(lambda: server.value("last_over_time(term.count[5m])"))
    assert total == sent
