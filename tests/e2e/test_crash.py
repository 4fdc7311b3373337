"""kill -9 while everything comes in at once: what was acknowledged is there, counters never fall,
and SIGTERM loses nothing at all."""
import contextlib
import json
import socket
import struct
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


def bytes_acknowledged(tcp):
    """What the kernel at the other end has confirmed; known even after a reset."""
    info = tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 136)
    return struct.unpack_from("Q", info, 120)[0] - 1  # the handshake counts as one


class Flood:
    """Sends statsd without a pause until the daemon's sockets are gone; knows what was taken."""

    def __init__(self, server):
        self.server = server
        self.udp_sent = self.tcp_taken = 0
        self.threads = [threading.Thread(target=job)
                        for job in (self.send_udp, self.send_udp, self.send_tcp, self.send_tcp)]
        for thread in self.threads:
            thread.start()

    def send_udp(self):
        sent = 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.connect(("127.0.0.1", self.server.ports["statsd_udp"]))
            try:
                while True:
                    for _ in range(10):
                        udp.send(b"flood.udp:1|c")
                        sent += 1
                    time.sleep(0.001)
            except ConnectionRefusedError:
                self.udp_sent += sent - 1  # the one before was refused

    def send_tcp(self):
        with self.server.tcp("statsd_tcp") as tcp:
            try:
                while True:
                    tcp.sendall(b"flood.tcp:1|c\n" * 10)
                    time.sleep(0.001)
            except OSError:
                self.tcp_taken += bytes_acknowledged(tcp) // len(b"flood.tcp:1|c\n")

    def join(self):
        for thread in self.threads:
            thread.join()


def slow_clients(server):
    """Requests that never arrive whole, and one whose answer is never read."""
    clients = []
    for start in (b"POST /api/lo", b"POST /api/logs HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{",
                  b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 100):
        clients.append(server.tcp("http"))
        clients[-1].sendall(start)
    return clients


def test_sigterm_under_a_flood_loses_nothing_and_is_quick(lapwing):
    """Neither senders that go on, nor slow clients, nor a webhook that hangs hold it up for long."""
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        server = lapwing(f"""
rule_files: [rules.yaml]
alerting: {{webhook: {{url: "http://127.0.0.1:{hanging.getsockname()[1]}/", timeout: 10m}}}}
""", start=False)
        (server.directory / "rules.yaml").write_text("""
groups:
- name: g
  interval: 1s
  rules: [{alert: Flooded, expr: flood.udp > 0}]
""")
        server.start()
        flood = Flood(server)
        hanging.settimeout(20)
        webhook, _ = hanging.accept()
        clients = slow_clients(server)
        assert server.terminate(60) == 0
        flood.join()
        for client in [webhook, *clients]:
            client.close()
    server.start()
    dropped = server.value("sum(last_over_time(lapwing_statsd_kernel_drops_total[5m]))")
    assert server.value("last_over_time(flood.udp[5m])") + dropped == flood.udp_sent
    assert server.value("last_over_time(flood.tcp[5m])") == flood.tcp_taken


def test_sigterm_cancels_long_queries(lapwing):
    server = lapwing("limits: { query_timeout: 10m }")
    query = "max_over_time(sum_over_time(vector(1)[1d:1s])[7d:1s])"

    def ask():
        with contextlib.suppress(OSError):
            server.get("/api/v1/query", query=query)

    thread = threading.Thread(target=ask)
    thread.start()
    await_(lambda: server.metric("lapwing_http_in_flight_requests") >= 2)  # it, and this one
    assert server.terminate(60) == 0
    thread.join()
