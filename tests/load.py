"""Mixed load on one daemon, and a memory of what it acknowledged. Used by crash.py and soak.py.

    Oracle    what must be in the store: survives all kills of the daemon
    Load      threads that send to one life of the daemon until stopped

Each kind of input is made so that loss, doubling and reordering show:

    statsd UDP    one datagram = the n-th: two counters, a timer, a gauge set to n, a gauge +1;
                  after any crash all five tell the same n
    statsd TCP    one counter
    many          300 tagged counters
    logs HTTP     every line has a name of its own; a post is there whole or not at all
    logs TCP      numbered lines: what is stored is a prefix
    errors        every event an id; sending one again must not count
    import        new series of 400 points, one series that every post appends to, and one whose
                  points come out of order: each post fills in between those of others
    deletions     series are imported, and every other one is deleted again
    compactions, backups   one after the other, so that kills come amid one
"""
import http.client
import json
import random
import socket
import threading
import time
import urllib.parse
import uuid

PAD = "the quick brown fox jumps over the lazy dog and says that the order was taken " * 2
IMPORT_POINTS = 400
LONG_POINTS = 200
MIXED_POINTS = 50
MIXED_POSTS = 40  # that lie in between each other
DELETED_POINTS = 30
MANY = 300


class Oracle:
    """What was sent and what was acknowledged, over all lives of the data directory."""

    def __init__(self):
        self.start = int(time.time())
        self.logs = {}  # host -> {"acked": [names], "unknown": [[names of a post]]}
        self.tcp_sent = {}  # host -> lines sent
        self.tcp_seen = {}  # host -> lines seen by a query
        self.events_acked, self.events_unknown = [], []
        self.imports = {}  # name -> "acked" | "unknown"
        self.long_acked = 0
        self.long_unknown = False
        self.long_start = self.start - 20 * 86400
        self.mixed_start = self.start - 10 * 86400
        self.mixed = []  # posts (numbers) that are there
        self.mixed_unknown = []
        self.mixed_next = 0
        self.deletions = {}  # name -> "there" | "gone" | "unknown"
        self.udp_sent = self.tcp_counted = 0
        self.statuses = {}
        self.lock = threading.Lock()

    def note(self, what, status):
        with self.lock:
            key = f"{what} {status}"
            self.statuses[key] = self.statuses.get(key, 0) + 1


class Client:
    """One keep-alive connection."""

    def __init__(self, server):
        self.port = server.ports["http"]
        self.connection = None

    def post(self, path, body, method="POST", headers=None):
        """(status, body); raises OSError or HTTPException when nobody answers."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            self.connection.request(method, path, body.encode() if body else None, headers or {})
            reply = self.connection.getresponse()
            return reply.status, reply.read()
        except (OSError, http.client.HTTPException):
            self.connection.close()
            self.connection = None
            raise


JOBS = ("udp", "tcp", "many", "log_posts", "log_lines", "errors", "imports", "queries")
CRASH_JOBS = JOBS + ("mixed_imports", "series_deletions", "compactions", "backups")


def mixed_offsets(number):
    """The times of the points of a post, in seconds from the start; also their values."""
    block, place = divmod(number, MIXED_POSTS)
    return [(block * MIXED_POINTS + i) * MIXED_POSTS + place * 7 % MIXED_POSTS
            for i in range(MIXED_POINTS)]


class Load:
    def __init__(self, server, oracle, host, jobs=None, pace=1.0):
        self.server, self.oracle, self.host, self.pace = server, oracle, host, pace
        self.stopped = threading.Event()
        self.udp_times, self.tcp_times = [], []  # (time after the send, how many in this life)
        self.udp_base = oracle.udp_sent
        self.firing_seen = set()
        self.query_failures = []
        self.threads = []
        for job in jobs or JOBS:
            self.threads.append(threading.Thread(target=self.run, args=(getattr(self, job),),
                                                 daemon=True))

    def run(self, job):
        try:
            job(random.Random(uuid.uuid4().int))
        except (OSError, http.client.HTTPException):
            pass  # the daemon is gone; what was in flight has been noted

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join()

    def going_on(self, pause):
        return not self.stopped.wait(pause * self.pace)

    # --- statsd ---

    def udp(self, _):
        count = 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.connect(("127.0.0.1", self.server.ports["statsd_udp"]))
            while self.going_on(0.004):
                for _ in range(5):
                    n = self.udp_base + count + 1
                    udp.send(b"c.udp:1|c\nc.pair:1|c\nt.udp:3|ms\ng.udp:%d|g\ng.delta:+1|g" % n)
                    count += 1
                    self.oracle.udp_sent = n
                self.udp_times.append((time.time(), count))

    def tcp(self, _):
        count = 0
        with self.server.tcp("statsd_tcp") as tcp:
            while self.going_on(0.01):
                tcp.sendall(b"c.tcp:1|c\n" * 5)
                count += 5
                self.oracle.tcp_counted += 5
                self.tcp_times.append((time.time(), count))

    def many(self, _):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.connect(("127.0.0.1", self.server.ports["statsd_udp"]))
            while self.going_on(0.1):
                for start in range(0, MANY, 30):
                    udp.send("\n".join(f"many:1|c|#i:{i}" for i in range(start, start + 30))
                             .encode())

    # --- logs ---

    def line(self, name, host, **fields):
        now = time.time_ns()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10**9))
        return json.dumps({"time": f"{stamp}.{now % 10**9:09d}Z", "service": "crash", "host": host,
                           "level": "info", "message": name, "pad": PAD, **fields})

    def log_posts(self, rng):
        kept = self.oracle.logs.setdefault(self.host, {"acked": [], "unknown": []})
        client, serial = Client(self.server), 0
        while self.going_on(0.01):
            names = []
            for _ in range(rng.choice((1, 1, 40))):
                serial += 1
                names.append(f"{self.host}-{serial}")
            body = "\n".join(self.line(name, self.host, status=200) for name in names)
            try:
                status, _ = client.post("/api/logs", body)
            except (OSError, http.client.HTTPException):
                kept["unknown"].append(names)
                raise
            self.oracle.note("logs", status)
            if status == 200:
                kept["acked"] += names

    def log_lines(self, _):
        host = self.host + "t"
        self.oracle.tcp_sent[host] = 0
        with self.server.tcp("logs_tcp") as tcp:
            while self.going_on(0.01):
                first = self.oracle.tcp_sent[host]
                self.oracle.tcp_sent[host] += 10
                tcp.sendall("".join(self.line(str(first + i), host) + "\n"
                                    for i in range(10)).encode())

    # --- errors, imports ---

    def errors(self, rng):
        client = Client(self.server)
        while self.going_on(0.01):
            name = uuid.uuid4().hex
            try:
                status, _ = client.post("/api/crash/store/", event_body(name, rng.choice("abc")))
            except (OSError, http.client.HTTPException):
                self.oracle.events_unknown.append(name)
                raise
            self.oracle.note("errors", status)
            if status == 200:
                self.oracle.events_acked.append(name)

    def imports(self, _):
        client, serial = Client(self.server), 0
        while self.going_on(0.05):
            serial += 1
            name = f"{self.host}-{serial}"
            lines = [f'imp{{name="{name}"}} {i} {self.oracle.start - 7200 + i}'
                     for i in range(IMPORT_POINTS)]
            for i in range(LONG_POINTS):
                n = self.oracle.long_acked + i
                lines.append(f"imp_long {n} {self.oracle.long_start + n}")
            text = "# TYPE imp gauge\n# TYPE imp_long gauge\n" + "\n".join(lines) + "\n# EOF\n"
            try:
                status, answer = client.post("/api/v1/import", text)
            except (OSError, http.client.HTTPException):
                self.oracle.imports[name] = "unknown"
                self.oracle.long_unknown = True
                raise
            self.oracle.note("imports", status)
            if status == 200:
                assert json.loads(answer)["data"]["samples"] == IMPORT_POINTS + LONG_POINTS, answer
                self.oracle.imports[name] = "acked"
                self.oracle.long_acked += LONG_POINTS

    def mixed_imports(self, rng):
        oracle, client = self.oracle, Client(self.server)
        while self.going_on(0.05):
            number = oracle.mixed_next
            oracle.mixed_next += 1
            lines = [f"imp_mixed {n} {oracle.mixed_start + n}" for n in mixed_offsets(number)]
            try:
                status, _ = client.post("/api/v1/import", "# TYPE imp_mixed gauge\n" +
                                        "\n".join(lines) + "\n# EOF\n")
            except (OSError, http.client.HTTPException):
                oracle.mixed_unknown.append(number)
                raise
            oracle.note("mixed imports", status)
            if status == 200:
                oracle.mixed.append(number)

    def series_deletions(self, _):
        oracle, client, serial = self.oracle, Client(self.server), 0
        while self.going_on(0.05):
            serial += 1
            name = f"{self.host}-{serial}"
            text = "# TYPE del gauge\n" + "\n".join(
                f'del{{name="{name}"}} {i} {oracle.start - 7200 + i * 60}'
                for i in range(DELETED_POINTS)) + "\n# EOF\n"
            steps = [("/api/v1/import", text, "there")]
            if serial % 2:
                match = urllib.parse.quote(f'del{{name="{name}"}}')
                steps.append((f"/api/v1/admin/tsdb/delete_series?match[]={match}", None, "gone"))
            for path, body, state in steps:
                oracle.deletions[name] = "unknown"
                status, answer = client.post(path, body)
                oracle.note(f"deletions, {state}", status)
                assert status in (200, 204), answer
                oracle.deletions[name] = state

    def compactions(self, rng):
        client = Client(self.server)
        while self.going_on(rng.uniform(0, 1)):
            status, _ = client.post("/api/v1/admin/tsdb/compact", None)
            self.oracle.note("compactions", status)

    def backups(self, rng):
        client, serial = Client(self.server), 0
        while self.going_on(rng.uniform(0, 1)):
            serial += 1
            path = self.server.directory / "backups" / f"{self.host}-{serial}"
            status, answer = client.post("/api/v1/admin/backup", json.dumps({"dir": str(path)}),
                                         headers={"Content-Type": "application/json"})
            self.oracle.note("backups", status)
            # or a compaction is under way, or the daemon stops
            assert status in (200, 503) or b'"canceled"' in answer, answer

    # --- queries ---

    def queries(self, rng):
        client = Client(self.server)
        questions = (
            "/api/v1/query?query=c.udp",
            "/api/v1/query?query=sum(rate(many%5B1m%5D))",
            "/api/v1/query?query=histogram_quantile(0.99,sum(rate(t.udp%5B1m%5D)))",
            "/api/v1/query?query=count_over_time(imp_long%5B30d%5D)",
            "/api/v1/query_range?query=sum%20by%20(i)(many)&step=5&"
            f"start={int(time.time()) - 600}&end={int(time.time())}",
            "/api/v1/alerts", "/api/issues", "/metrics", "/api/health",
            '/loki/api/v1/query_range?limit=100&query=%7Bservice%3D%22crash%22%7D%7C%3D%22fox%22',
            '/loki/api/v1/query?query=sum(count_over_time(%7Bservice%3D%22crash%22%7D%5B5m%5D))',
        )
        while self.going_on(0.03):
            path = rng.choice(questions)
            status, body = client.post(path, None, "GET")
            if status != 200:
                self.query_failures.append((path, status, body[:300]))
            elif path == "/api/v1/alerts":
                for alert in json.loads(body)["data"]["alerts"]:
                    if alert["state"] == "firing":
                        self.firing_seen.add(alert["labels"].get("n"))


def event_body(name, group):
    return json.dumps({"event_id": name, "level": "error", "fingerprint": ["crash", group],
                       "platform": "node", "release": "1.0", "environment": "test",
                       "exception": {"values": [{"type": "CrashError", "value": f"group {group}"}]}})


# --- reading back ---

def stored_lines(server, host):
    """The messages of one host, oldest first."""
    found, start = [], str((int(time.time()) - 6 * 3600) * 10**9)
    while True:
        reply = server.get("/loki/api/v1/query_range", query=f'{{host="{host}"}}', limit=5000,
                           direction="forward", start=start, end=str(time.time_ns() + 10**12))
        assert reply.status == 200, reply.text
        entries = sorted((int(ns), json.loads(line)["message"])
                         for stream in reply.json()["data"]["result"]
                         for ns, line in stream["values"])
        found += [message for _, message in entries]
        if len(entries) < 5000:
            return found
        start = str(entries[-1][0] + 1)


def last_sample(server, selector, window="90s"):
    """(time, value) of the newest raw sample, or None."""
    result = server.query(f"{selector}[{window}]")
    if not result:
        return None
    at, value = result[0]["values"][-1]
    return float(at), float(value)


def rss_kb(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0
