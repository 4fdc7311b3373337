"""The servers that run_statsd.py compares: start, tell the port, the CPU, the losses, the memory.

All of them are bound to one core and listen on 127.0.0.1. What is not installed raises Missing, with
a sentence. None of the peers writes its results anywhere, so what is compared is receiving,
parsing, aggregating and flushing; lapwingd also stores each tick durably.
"""
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
BIN = ROOT / "build" / "release" / "bench"
DAEMON = os.environ.get("LAPWINGD", str(ROOT / "build" / "release" / "lapwingd"))
NPM_STATSD = ROOT / "build" / "npm" / "node_modules" / "statsd" / "stats.js"
RECEIVE_BUFFER = 8 << 20  # the server's default
START_SECONDS = 20


class Missing(Exception):
    pass


def pin(core):
    cores = sorted(os.sched_getaffinity(0))
    return lambda: os.sched_setaffinity(0, {cores[core % len(cores)]})


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def udp_row(port):
    for line in pathlib.Path("/proc/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].split(":")[1], 16) == port:
            return fields
    return None


class Server:
    """A process of its own directory; `launch` of the subclass sets process and port."""

    tags = True  # takes DogStatsD's

    def __enter__(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.directory = pathlib.Path(self.scratch.name)
        try:
            self.launch()
        except BaseException:
            self.scratch.cleanup()
            raise
        return self

    def __exit__(self, *_):
        self.end()
        self.scratch.cleanup()

    def end(self):
        """With all that it has started; nobody wants what it has gathered."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def run(self, *command, **more):
        self.process = subprocess.Popen(command, text=True, preexec_fn=pin(0),
                                        start_new_session=True, **more)

    def run_quietly(self, *command):
        self.run(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + START_SECONDS
        while not udp_row(self.port):
            if self.process.poll() is not None or time.monotonic() > end:
                self.end()
                raise Missing(f"{self.name} did not open its port")
            time.sleep(0.02)

    def write(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return path

    def cpu_ns(self):
        """Of all threads, ended ones included: on Linux another process' clock is this number."""
        return time.clock_gettime_ns(~self.process.pid << 3 | 2)

    def drops(self):
        return int(udp_row(self.port)[-1])

    def waiting(self):
        """Bytes that the kernel holds for it."""
        return int(udp_row(self.port)[4].split(":")[1], 16)

    def rss_mb(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024

    def settle(self, _series):
        """Until what was sent has gone through a flush, or what of that can be seen."""
        time.sleep(2.5)


class Floor(Server):
    name = "bare loop"

    def launch(self):
        self.run(BIN / "udp_floor", str(RECEIVE_BUFFER), stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline().split("=")[1])


class Lapwing(Server):
    name = "lapwing"

    def __init__(self, flush_seconds=1):
        self.flush_seconds = flush_seconds

    def launch(self):
        config = self.write("lapwing.yaml", f"""
http: {{listen: "127.0.0.1:0"}}
statsd: {{udp: "127.0.0.1:0", tcp: "127.0.0.1:0", workers: 1, receive_buffer: {RECEIVE_BUFFER},
         flush_interval: {self.flush_seconds}s}}
logs: {{json_tcp: ""}}
limits: {{series: 2200000, series_per_metric: 2200000}}
""")
        self.run(DAEMON, "--config", config, "--data", self.directory / "data",
                 stderr=subprocess.PIPE)
        for line in self.process.stderr:
            if " ready " in line:
                break
        else:
            raise Missing("lapwingd did not start")
        ports = dict(re.findall(r"(\w+)=\S*?:(\d+)", line))
        self.port, self.tcp_port = int(ports["statsd_udp"]), int(ports["statsd_tcp"])
        self.http = int(ports["http"])
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def metric(self, name):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/metrics", timeout=60) as answer:
            text = answer.read().decode()
        return float(re.search(rf"^{name} (\S+)", text, re.M)[1])

    def settle(self, series):
        """Until the registry has the series, and for two more flushes, which find nothing new."""
        end = time.monotonic() + 10 + 4 * self.flush_seconds
        while self.metric("lapwing_registry_series") < series and time.monotonic() < end:
            time.sleep(0.05)
        ticks = self.metric("lapwing_flush_ticks_total")
        while self.metric("lapwing_flush_ticks_total") < ticks + 2 and time.monotonic() < end:
            time.sleep(0.05)


class Etsy(Server):
    name = "npm statsd"
    tags = False

    def launch(self):
        node = shutil.which("node")
        if not node or not NPM_STATSD.exists():
            raise Missing("npm statsd is not installed (tests/npm.sh)")
        self.port = free_port()
        config = self.write("config.js", f"""{{
port: {self.port}, address: "127.0.0.1", mgmt_address: "127.0.0.1", mgmt_port: {free_port()},
backends: [], flushInterval: 10000 }}
""")
        self.run_quietly(node, str(NPM_STATSD), str(config))


class Netdata(Server):
    name = "netdata"

    def launch(self):
        netdata = shutil.which("netdata") or "/usr/sbin/netdata"
        if not os.path.exists(netdata):
            raise Missing("netdata is not installed (Debian: netdata-core)")
        self.port = free_port()
        off = "".join(f"    {name} = no\n" for name in (
            "timex", "idlejitter", "proc", "diskspace", "cgroups", "tc", "checks", "apps", "ebpf",
            "enable running new plugins", "netdata monitoring"))
        config = self.write("netdata.conf", f"""
[global]
    run as user = {os.environ.get("USER") or "root"}
[directories]
    config = {self.directory}
    cache = {self.directory}
    lib = {self.directory}
    log = {self.directory}
[logs]
    debug = none
    error = none
    access = none
[db]
    mode = ram
    retention = 600
[web]
    mode = none
[health]
    enabled = no
[ml]
    enabled = no
[registry]
    enabled = no
[plugins]
{off}    statsd = yes
[statsd]
    enabled = yes
    bind to = udp:127.0.0.1:{self.port}
""")
        self.run_quietly(netdata, "-D", "-c", config, "-P", self.directory / "pid")


class Collectd(Server):
    name = "collectd"
    tags = False

    def launch(self):
        collectd = shutil.which("collectd") or "/usr/sbin/collectd"
        if not os.path.exists(collectd):
            raise Missing("collectd is not installed (Debian: collectd-core)")
        self.port = free_port()
        config = self.write("collectd.conf", f"""
BaseDir "{self.directory}"
PIDFile "{self.directory}/pid"
Interval 10
LoadPlugin statsd
<Plugin statsd>
  Host "127.0.0.1"
  Port "{self.port}"
</Plugin>
""")
        self.run_quietly(collectd, "-f", "-C", config)


PEERS = (Etsy, Netdata, Collectd)
