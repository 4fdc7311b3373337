"""Real servers of other makers, started on free ports in a directory of the test's own.

    with Prometheus(directory, "global: {}") as prometheus:
        prometheus.query("up")
"""
import json
import pathlib
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request

from conftest import await_


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(url, path, params):
    """Status and decoded body of /api/v1/`path`; any status is an answer."""
    try:
        query = urllib.parse.urlencode(params, doseq=True)
        with urllib.request.urlopen(f"{url}/api/v1/{path}?{query}", timeout=60) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as reply:
        return reply.code, json.load(reply)


class Prometheus:
    """Debian's Prometheus on `directory`/tsdb, ready when made."""

    def __init__(self, directory, config="global: {}\n", port=None, flags=()):
        assert shutil.which("prometheus"), "install prometheus"
        directory = pathlib.Path(directory)
        (directory / "prometheus.yml").write_text(config)
        port = port or free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.log = directory / "prometheus.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={directory}/prometheus.yml",
                 f"--storage.tsdb.path={directory}/tsdb", f"--web.listen-address=127.0.0.1:{port}",
                 "--storage.tsdb.retention.time=50y", "--query.lookback-delta=5m", *flags],
                stdout=log, stderr=log)
        await_(self._ready, 60, "prometheus")

    def _ready(self):
        try:
            return urllib.request.urlopen(self.url + "/-/ready").status == 200
        except OSError:
            return False

    def query(self, expression, **params):
        """The `result` of an instant query that must succeed."""
        status, body = ask(self.url, "query", {"query": expression, **params})
        assert status == 200, body
        return body["data"]["result"]

    def close(self):
        self.process.terminate()
        self.process.wait(30)

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.close()
