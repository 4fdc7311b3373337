"""Fixtures: the real daemon on free ports in a directory of its own, and waiting without sleeps.

    def test_x(lapwing):
        server = lapwing()                        # or lapwing("statsd: {flush_interval: 1s}")
        server.statsd("a:1|c")
        await_(lambda: server.value("a") == 1)
        server.kill(); server.start()             # the same data directory
"""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
DAEMON = os.environ.get("LAPWINGD", str(BUILD / "lapwingd"))
COMMAND = os.environ.get("LAPWING", str(BUILD / "lapwing"))
NODE_MODULES = BUILD / "npm" / "node_modules"
START_SECONDS = 60  # all waits are those of a busy machine

DEFAULTS = """
http: {listen: "127.0.0.1:0"}
statsd: {udp: "127.0.0.1:0", tcp: "127.0.0.1:0", flush_interval: 1s}
logs: {json_tcp: "127.0.0.1:0"}
"""


def await_(predicate, seconds=60, what="the condition"):
    """Polls until predicate() is truthy and returns what it gave; fails after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        result = predicate()
        if result:
            return result
        if time.monotonic() > end:
            pytest.fail(f"{what} did not come true within {seconds} s; last: {result!r}")
        time.sleep(0.02)


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.body)


class Server:
    """One data directory and the daemon that runs on it (again and again)."""

    def __init__(self, directory, config):
        self.directory = pathlib.Path(directory)
        self.data = self.directory / "data"
        self.config = self.directory / "lapwing.yaml"
        self.config.write_text(merge_config(config))
        self.log_lines = []
        self.process = None
        self.ports = {}

    def start(self):
        self.log_lines = []
        self.process = subprocess.Popen(
            [DAEMON, "--config", str(self.config), "--data", str(self.data)],
            cwd=self.directory, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        threading.Thread(target=self._read_log, args=(self.process,), daemon=True).start()
        await_(self._ready, START_SECONDS, "the daemon's ready line")
        return self

    def _read_log(self, process):
        for line in process.stderr:
            self.log_lines.append(line.rstrip("\n"))

    def _ready(self):
        for line in list(self.log_lines):
            words = line.split()
            if len(words) > 2 and words[2] == "ready":
                fields = dict(word.split("=", 1) for word in words[3:] if "=" in word)
                self.ports = {name: int(value.rsplit(":", 1)[1])
                              for name, value in fields.items() if ":" in value}
                return True
        if self.process.poll() is not None:
            time.sleep(0.1)
            pytest.fail("the daemon ended: " + "\n".join(self.log_lines))
        return False

    def log(self):
        return "\n".join(self.log_lines)

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def terminate(self, seconds=60):
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def close(self):
        if self.process and self.process.poll() is None:
            code = self.terminate()
            assert code == 0, f"exit code {code}\n{self.log()}"

    @property
    def pid(self):
        return self.process.pid

    @property
    def url(self):
        return f"http://127.0.0.1:{self.ports['http']}"

    def http(self, path, data=None, headers=None, method=None, timeout=60):
        """Any status is an answer, not an exception."""
        if isinstance(data, str):
            data = data.encode()
        request = urllib.request.Request(self.url + path, data=data, headers=headers or {},
                                         method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as reply:
                return Reply(reply.status, reply.headers, reply.read())
        except urllib.error.HTTPError as reply:
            return Reply(reply.code, reply.headers, reply.read())

    def get(self, path, **params):
        query = "?" + urllib.parse.urlencode(params, doseq=True) if params else ""
        return self.http(path + query)

    def query(self, expression, **params):
        """The `result` of an instant query that must succeed."""
        reply = self.get("/api/v1/query", query=expression, **params)
        assert reply.status == 200, reply.text
        return reply.json()["data"]["result"]

    def value(self, expression, **params):
        """The only value of an instant query, or None when it has no result."""
        result = self.query(expression, **params)
        assert len(result) <= 1, result
        return float(result[0]["value"][1]) if result else None

    def metric(self, name, labels=""):
        """A value on /metrics; 0 when absent. labels as they stand there: 'reason="x"'."""
        for line in self.get("/metrics").text.splitlines():
            if line.startswith(name) and (not labels or labels in line):
                if line[len(name)] in " {":
                    return float(line.rsplit(" ", 1)[1])
        return 0.0

    def total(self, name):
        """The sum of all rows of that name on /metrics."""
        return sum(float(line.rsplit(" ", 1)[1]) for line in self.get("/metrics").text.splitlines()
                   if line.startswith((name + " ", name + "{")))

    def statsd(self, *lines):
        """One datagram."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.sendto("\n".join(lines).encode(), ("127.0.0.1", self.ports["statsd_udp"]))

    def tcp(self, port_name):
        return socket.create_connection(("127.0.0.1", self.ports[port_name]), timeout=30)


def merge_config(text):
    """DEFAULTS, with the top-level keys of `text` in place of its own."""
    own = {line.split(":")[0] for line in text.splitlines() if line and line[0].isalpha()}
    kept = [line for line in DEFAULTS.splitlines() if line.split(":")[0] not in own]
    whole = "\n".join(kept) + "\n" + text + "\n"
    # Many servers run at once: none takes the default port unless its test says so.
    return whole if "admin:" in whole else whole.replace("statsd: {", 'statsd: {admin: "", ')


@pytest.fixture
def lapwing(tmp_path):
    """lapwing(config_text) starts a daemon; all are stopped at the end and must exit with 0."""
    servers = []

    def make(config="", start=True):
        directory = tmp_path / f"server{len(servers)}"
        directory.mkdir()
        server = Server(directory, config)
        servers.append(server)
        return server.start() if start else server

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def small_disk(tmp_path):
    """small_disk(mib) mounts a file system of that size, once, and returns its path; None where
    that is not allowed: tests/unit/full_disk_test.c shows the same without one."""
    path = tmp_path / "small"

    def mount(mib):
        if not path.is_mount():
            path.mkdir(exist_ok=True)
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "none", str(path)],
                           capture_output=True, check=False)
        return path if path.is_mount() else None

    yield mount
    if path.is_mount():
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.fixture
def node():
    """node(script, env) runs a script that may require() the npm clients; returns its output."""
    assert NODE_MODULES.is_dir(), "run tests/npm.sh first"

    def run(script, timeout=120, **env):
        done = subprocess.run(["node", "-e", script], cwd=NODE_MODULES.parent, timeout=timeout,
                              env={**os.environ, "NODE_PATH": str(NODE_MODULES), **env},
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def run_command(*arguments, timeout=120, **options):
    """Runs a program that must exist and returns the finished process, output captured."""
    assert shutil.which(arguments[0]), f"{arguments[0]} is not installed"
    return subprocess.run(arguments, capture_output=True, text=True, timeout=timeout, **options)
