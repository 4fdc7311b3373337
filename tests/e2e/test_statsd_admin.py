"""The administration port of npm's statsd: the commands that scripts know, over a plain socket."""
import json
import socket

from conftest import DAEMON, await_, run_command

ADMIN = ('statsd: {udp: "127.0.0.1:0", tcp: "127.0.0.1:0", admin: "127.0.0.1:0", '
         "flush_interval: 1s}")


class Admin:
    def __init__(self, server):
        self.socket = server.tcp("statsd_admin")
        self.file = self.socket.makefile("r")

    def ask(self, command):
        """The lines of an answer that ends with END."""
        self.socket.sendall(command.encode() + b"\n")
        lines = []
        while (line := self.file.readline().rstrip("\n")) != "END":
            lines.append(line)
        assert self.file.readline() == "\n"
        return lines

    def line(self, command):
        self.socket.sendall(command.encode() + b"\n")
        return self.file.readline().rstrip("\n")


def test_the_commands(lapwing):
    server = lapwing(ADMIN)
    admin = Admin(server)
    server.statsd("hits:3|c", "hits:2|c|#route:/buy", "wait:320|ms", "wait:80|ms", "level:7|g", "bad")
    await_(lambda: "level" in admin.ask("gauges")[0])
    assert json.loads(admin.ask("gauges")[0])["level"] == 7
    stats = dict(line.split(": ") for line in admin.ask("stats"))
    assert int(stats["uptime"]) >= 0 <= int(stats["messages.last_msg_seen"]) <= 60
    assert (stats["messages.metrics_received"], stats["messages.bad_lines_seen"]) == ("5", "1")

    def interval(command):
        return json.loads(admin.ask(command)[0])

    def of_the_last_interval():
        server.statsd("hits:3|c", "wait:320|ms")
        hits, wait = interval("counters")["hits"], interval("timers")["wait"]
        return hits and wait["count"] and (hits, wait)

    hits, wait = await_(of_the_last_interval)
    assert hits % 3 == 0 and wait["upper"] == 320 and wait["lower"] in (80, 320)
    await_(lambda: interval("counters")["hits"] == 0, what="an interval without a line")
    assert interval("counters")["hits;route=/buy"] == 0
    assert interval("timers") == {"wait": {"count": 0, "sum": 0}}
    assert [admin.line(f"health{word}") for word in ("", " down", "", " UP")] == [
        "health: up", "health: down", "health: down", "health: up"]
    assert admin.line("nonsense") == "ERROR"
    assert admin.line("help").startswith("Commands: stats, counters")
    assert admin.file.readline() == "\n"
    admin.socket.sendall(b"config\nquit\n")
    assert "flush_interval" in admin.file.read()  # to the end: the server has closed


def test_a_command_needs_no_line_feed_at_the_end(lapwing):
    server = lapwing(ADMIN)
    for command, answer in ((b"health", "health: up\n"), (b"health\nhealth down\r\nhealth",
                            "health: up\nhealth: down\nhealth: down\n"), (b"quit", ""), (b"", "")):
        with server.tcp("statsd_admin") as connection:
            connection.sendall(command)
            connection.shutdown(socket.SHUT_WR)
            assert connection.makefile("r").read() == answer


def test_deleting_ends_series(lapwing):
    server = lapwing(ADMIN)
    admin = Admin(server)
    server.statsd("old.a:1|g", "old.b:2|g", "older:3|g", "old.c:1|c", "old.wait:5|ms")
    await_(lambda: server.value("older") == 3)
    await_(lambda: len(json.loads(admin.ask("gauges")[0])) >= 3)
    assert sorted(admin.ask("delgauges old.* nobody")) == [
        "deleted: old.a", "deleted: old.b", "metric nobody not found"]
    await_(lambda: not server.query("old.b"))
    assert server.value("older") == 3
    assert server.query("old.wait")
    assert admin.ask("deltimers old.wait") == ["deleted: old.wait"]
    await_(lambda: not server.query("old.wait"))
    # What comes again goes on.
    server.statsd("old.b:+1|g")
    await_(lambda: server.value("old.b"))


def test_web_pages_get_nowhere(lapwing):
    server = lapwing(ADMIN)
    server.statsd("level:7|g")
    await_(lambda: server.value("level") == 7)
    with server.tcp("statsd_admin") as page:
        page.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n\r\ndelgauges level\r\n")
        try:
            assert page.recv(1000) == b""
        except ConnectionResetError:
            pass
    assert "level" in Admin(server).ask("gauges")[0]


def test_a_taken_port_is_an_error(lapwing):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        server = lapwing(ADMIN.replace('admin: "127.0.0.1:0"', f'admin: "{address}"'), start=False)
        done = run_command(DAEMON, "--config", str(server.config), "--data", str(server.data))
    assert done.returncode != 0
    assert "statsd.admin" in done.stderr and address in done.stderr


def test_a_taken_default_port_is_done_without(lapwing):
    try:
        taken = socket.create_server(("127.0.0.1", 8126))
    except OSError:
        return  # somebody else has it, and may give it back meanwhile
    with taken:
        server = lapwing(ADMIN.replace("127.0.0.1:0\", flush", "127.0.0.1:8126\", flush"))
    assert "statsd_admin" not in server.ports
    assert "127.0.0.1:8126" in server.log()
