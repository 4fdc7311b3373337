"""Loss accounting: what was sent is stored or counted, and it is told what was refused and who sent it."""
import os
import signal
import socket
import struct

from conftest import COMMAND, await_, run_command


def losses(server):
    return server.get("/api/statsd/losses").json()["data"]


def last_lines(server):
    return {row["reason"]: row for row in losses(server)["rejects"]}


def test_the_last_refused_line_of_each_reason_and_its_sender(lapwing, tmp_path):
    server = lapwing('statsd: {udp: "127.0.0.1:0", tcp: "127.0.0.1:0", flush_interval: 1s, '
                     f'unix: "{tmp_path}/s", unix_stream: "{tmp_path}/t"}}')
    assert losses(server)["rejects"] == []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.connect(("127.0.0.1", server.ports["statsd_udp"]))
        udp.send(b"good:1|c\nesc\x1b[31m\\ caf\xc3\xa9 \xff\ngood:1|c")
        udp_name = "%s:%d" % udp.getsockname()
        rows = await_(lambda: "no_colon" in last_lines(server) and last_lines(server))
    assert rows["no_colon"]["line"] == "esc\\x1b[31m\\\\ café \\xff"
    assert (rows["no_colon"]["source"], rows["no_colon"]["transport"]) == (udp_name, "udp")
    with server.tcp("statsd_tcp") as tcp:
        tcp_name = "%s:%d" % tcp.getsockname()
        tcp.sendall(b"good:1|zz\n" + b"x" * 90000 + b":1|c\ngood:1|c\n")
        rows = await_(lambda: "tcp_line_too_long" in last_lines(server) and last_lines(server))
    assert (rows["bad_type"]["line"], rows["bad_type"]["source"]) == ("good:1|zz", tcp_name)
    assert rows["tcp_line_too_long"]["line"] == 200 * "x"
    assert rows["tcp_line_too_long"]["source"] == tcp_name
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unix:
        unix.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 200_000)
        unix.connect(f"{tmp_path}/s")
        unix.send(b"y" * 70_000)
        unix.send(b"good:x|c")
    rows = await_(lambda: "bad_value" in last_lines(server) and last_lines(server))
    assert (rows["truncated"]["source"], rows["truncated"]["bytes"]) == ("unix", 65536)
    assert (rows["bad_value"]["source"], rows["bad_value"]["transport"]) == ("unix", "unix")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as unix:
        unix.connect(f"{tmp_path}/t")
        unix.sendall(struct.pack("<I", 9) + b"good:1|c|" + struct.pack("<I", 11) + b"good:1|c|@x")
        rows = await_(lambda: "bad_rate" in last_lines(server) and last_lines(server))
    assert (rows["bad_rate"]["line"], rows["bad_rate"]["transport"]) == ("good:1|c|@x", "unix_stream")
    counted = {row["labels"]: row["count"] for row in losses(server)["losses"]
               if row["name"] == "lapwing_statsd_rejects_total"}
    assert counted['reason="tcp_line_too_long"'] == counted['reason="bad_value"'] == 1
    assert server.total("lapwing_statsd_truncated_total") == 1


def send_a_mixture(server):
    """Twice 300 metrics of one sender, 102 lines of another, one of them wrong."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.2", 0))
        for i in range(300):
            udp.sendto(b"busy:1|c\nbusy:1|c|#user:%d" % i, ("127.0.0.1", server.ports["statsd_udp"]))
    server.statsd("rare,k=v:1|c", "wrong")
    with server.tcp("statsd_tcp") as tcp:
        tcp.sendall(b"over.tcp:1|ms\n" * 100)


def test_who_sends_most_and_what(lapwing):
    server = lapwing()

    def top(**params):
        return server.get("/api/statsd/top", **params).json()["data"]

    def seen():
        send_a_mixture(server)  # again: what is older than some seconds is not told
        data = top()
        return (data["refused"] and {"busy", "over.tcp"} <= {row["name"] for row in data["metrics"]}
                and len(data["sources"]) == 2 and data)

    found = await_(seen)
    assert found["metrics"][0]["name"] == "busy"
    assert [row["source"] for row in found["sources"]] == ["127.0.0.2", "127.0.0.1"]
    assert 0 < found["seconds"] < 3600 and found["metrics"][0]["per_second"] > 0
    assert {row["source"] for row in found["refused"]} <= {"127.0.0.1", "unknown"}
    assert len(top(limit=1)["metrics"]) <= 1
    assert server.get("/api/statsd/top", limit="x").status == 400


def test_the_newest_series(lapwing):
    server = lapwing()
    server.statsd("first:1|c")
    await_(lambda: server.value("first") == 1)
    server.statsd("last:1|g|#k:v")
    await_(lambda: server.value("last") == 1)
    newest = server.get("/api/statsd/top").json()["data"]["series"]
    assert newest == [{"type": "gauge", "labels": {"__name__": "last", "k": "v"}},
                      {"type": "counter", "labels": {"__name__": "first"}}]


def test_flood_until_the_kernel_drops(lapwing):
    """Every datagram is stored, or a drop is counted for it; and every line in it stored or refused."""
    server = lapwing('statsd: {udp: "127.0.0.1:0", tcp: "", flush_interval: 1s, workers: 2, '
                     "receive_buffer: 64KiB}")
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(8)]
    sent = 0
    for udp in sockets:
        udp.connect(("127.0.0.1", server.ports["statsd_udp"]))

    def flood(rounds):
        for _ in range(rounds):
            for udp in sockets:
                udp.send(b"flood:1|c\nflood.b:2|c\nno colon")
        return rounds * len(sockets)

    sent += flood(1500)  # as fast as it goes; whether some are lost is the machine's matter
    os.kill(server.pid, signal.SIGSTOP)
    sent += flood(600)  # nobody reads: more than all buffers hold
    os.kill(server.pid, signal.SIGCONT)
    sent += flood(100)
    for udp in sockets:
        udp.close()

    def accounted():
        dropped = server.total("lapwing_statsd_kernel_drops_total")
        return server.total("lapwing_statsd_packets_total") + dropped == sent and dropped

    dropped = await_(accounted)
    stored = sent - dropped
    await_(lambda: server.value("flood") == stored and server.value("flood.b") == 2 * stored)
    assert server.metric("lapwing_statsd_rejects_total", 'reason="no_colon"') == stored
    by_socket = [row for row in losses(server)["losses"]
                 if row["name"] == "lapwing_statsd_kernel_drops_total"]
    assert [row["labels"] for row in by_socket] == [f'transport="udp",worker="{i}"' for i in (0, 1)]
    assert sum(row["count"] for row in by_socket) == dropped


def test_refused_lines_of_graphite_and_influx(lapwing):
    server = lapwing('graphite: {udp: "127.0.0.1:0", tcp: "127.0.0.1:0"}\n'
                     'influx: {udp: "127.0.0.1:0", tcp: "127.0.0.1:0"}')
    names = {}

    def rows():
        return {(row["input"], row["reason"]): row for row in losses(server)["rejects"]}

    for port, line in (("graphite_udp", b"disk.used x 1656581400\n"),
                       ("influx_udp", b"disk used=,free=1i\n")):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.connect(("127.0.0.1", server.ports[port]))
            udp.send(line)
            names[port] = "%s:%d" % udp.getsockname()
    for port, line in (("graphite_tcp", b"disk.used 1\n" + b"x" * 90_000 + b"\n"),
                       ("influx_tcp", b"disk used=1 y\n")):
        with server.tcp(port) as tcp:
            tcp.sendall(line)
            names[port] = "%s:%d" % tcp.getsockname()
    assert server.http("/write", data="no_field").status == 400
    found = await_(lambda: len(rows()) == 6 and rows())
    told = {key: (row["line"][:30], row["source"], row["transport"]) for key, row in found.items()}
    assert told == {
        ("graphite", "bad_value"): ("disk.used x 1656581400", names["graphite_udp"], "udp"),
        ("graphite", "no_time"): ("disk.used 1", names["graphite_tcp"], "tcp"),
        ("graphite", "tcp_line_too_long"): (30 * "x", names["graphite_tcp"], "tcp"),
        ("influx", "bad_field"): ("disk used=,free=1i", names["influx_udp"], "udp"),
        ("influx", "bad_time"): ("disk used=1 y", names["influx_tcp"], "tcp"),
        ("influx", "no_fields"): ("no_field", "127.0.0.1", "http"),
    }
    counted = {row["name"]: row["count"] for row in losses(server)["losses"] if row["count"]}
    assert counted["lapwing_graphite_lines_skipped_total"] == 1
    assert counted["lapwing_influx_rejects_total"] == 1
    shown = run_command(COMMAND, "top", "--once", "--url", server.url).stdout
    assert "disk used=1 y" in shown and "graphite" in shown
