"""The daemon's shell: flags, configuration, HTTP limits, health, self-observation, signals."""
import gzip
import json
import os
import signal
import socket

import pytest

from conftest import DAEMON, ROOT, await_, run_command

MIB = 1 << 20
# The sanitizers keep memory of their own, so its size says nothing there.
SANITIZED = "/release/" not in os.path.realpath(DAEMON)


def resident_bytes(server):
    with open(f"/proc/{server.pid}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def read_reply(connection):
    """Everything until the server closes."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


# --- flags and configuration ---


def test_flags():
    assert run_command(DAEMON, "--version").stdout.startswith("lapwingd ")
    assert "--check-config" in run_command(DAEMON, "--help").stdout
    for arguments, sentence in [
        (["--confg"], "unknown option --confg"),
        (["extra"], "unknown option extra"),
        (["--config"], "a value must follow --config"),
        (["--version=1"], "no value may follow --version"),
    ]:
        done = run_command(DAEMON, *arguments)
        assert done.returncode == 2 and sentence in done.stderr, done


def test_documented_configuration_is_the_real_one():
    written = (ROOT / "docs/CONFIG.md").read_text()
    assert run_command(DAEMON, "--document-config").stdout == written, \
        "run: build/lapwingd --document-config > docs/CONFIG.md"


def test_printed_configuration_reads_back(tmp_path):
    printed = run_command(DAEMON, "--print-config", "--data", "/some/where").stdout
    assert 'data_dir: "/some/where"' in printed
    path = tmp_path / "printed.yaml"
    path.write_text(printed)
    assert run_command(DAEMON, "--print-config", "--config", str(path)).stdout == printed
    assert run_command(DAEMON, "--check-config", f"--config={path}").returncode == 0


@pytest.mark.parametrize("text, sentence", [
    ("data_dir: d\nstatsd:\n    udpp: \"127.0.0.1:1\"\n",
     'lapwing.yaml:3:5: unknown option "statsd.udpp"; did you mean "statsd.udp"?'),
    ("statsd: {flush_interval: 10}", "statsd.flush_interval must be a duration like 10s"),
    ("http: {listen: '0.0.0.0:1'}", "there is no authentication yet"),
    ("http: {listen: '127.0.0.1:1'", "this is not valid YAML"),
    ("data_dir: ${LAPWING_TEST_UNSET}", "the environment variable LAPWING_TEST_UNSET is not set"),
])
def test_mistakes_are_refused_with_a_place(tmp_path, text, sentence):
    path = tmp_path / "lapwing.yaml"
    path.write_text(text)
    for arguments in (["--check-config"], []):
        done = run_command(DAEMON, *arguments, "--config", "lapwing.yaml", cwd=tmp_path)
        assert done.returncode == 1 and sentence in done.stderr, done


def test_a_data_directory_has_one_daemon(lapwing):
    server = lapwing()
    done = run_command(DAEMON, "--config", str(server.config), "--data", str(server.data))
    assert done.returncode == 1
    assert f"the data directory {server.data} is in use by another process" in done.stderr


def test_a_taken_port_is_named(lapwing, tmp_path):
    server = lapwing()
    second = lapwing(f'http: {{listen: "127.0.0.1:{server.ports["http"]}"}}', start=False)
    done = run_command(DAEMON, "--config", str(second.config), "--data", str(second.data))
    assert done.returncode == 1
    assert "http.listen: cannot listen on" in done.stderr


def test_listeners_may_be_off(lapwing):
    server = lapwing('statsd: {udp: "", tcp: "", flush_interval: 1s}\nlogs: {json_tcp: ""}')
    assert set(server.ports) == {"http"}
    await_(lambda: server.value("lapwing_build_info") == 1)


# --- health and self-observation ---


def test_health_in_all_its_spellings(lapwing):
    server = lapwing()
    assert server.get("/-/healthy").text == "lapwing is Healthy.\n"
    assert server.get("/-/ready").text == "lapwing is Ready.\n"
    health = server.get("/api/health").json()
    assert health["status"] == "healthy" and health["uptime"] >= 0
    assert health["uptime_human"].endswith("s") and health["version"]
    db = server.get("/api/health/db").json()
    assert db["status"] == "healthy" and db["connected"] is True and db["latency"] >= 0
    assert server.get("/api/monitoring/health/live").json() == {"status": "healthy"}
    assert server.get("/api/monitoring/health/ready").json()["ready"] is True
    detailed = server.get("/api/monitoring/health/detailed").json()
    assert {check["status"] for check in detailed["checks"].values()} == {"healthy"}


def test_metrics_are_valid_and_also_series(lapwing):
    server = lapwing()
    server.statsd("good:1|c", "bad line", "good:1|c")
    await_(lambda: server.value('lapwing_statsd_rejects_total{reason="no_colon"}') == 1)
    assert server.metric("lapwing_statsd_rejects_total", 'reason="no_colon"') == 1
    assert server.get("/nothing").status == 404
    await_(lambda: server.value('lapwing_http_requests_total{code="4xx"}') >= 1)
    text = server.get("/api/health/metrics")
    assert text.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    # promtool's lint also has opinions on style; what must not be there are parse errors.
    done = run_command("promtool", "check", "metrics", input=text.text)
    assert "error while linting" not in done.stderr and "parse" not in done.stderr, done.stderr
    names = [line.split()[2] for line in text.text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names)) > 50


def test_own_counters_go_on_after_a_restart(lapwing):
    server = lapwing()
    for _ in range(5):
        server.get("/-/ready")
    query = 'lapwing_http_requests_total{code="2xx"}'
    before = await_(lambda: (value := server.value(query)) and value >= 5 and value)
    assert server.terminate() == 0
    server.start()
    assert await_(lambda: server.value(query)) >= before


def test_an_idle_daemon_is_small(lapwing):
    server = lapwing()
    await_(lambda: server.metric("lapwing_flush_ticks_total") >= 2)
    assert resident_bytes(server) < 40 * MIB or SANITIZED


# --- HTTP limits ---


def test_an_oversized_body_is_refused_unread(lapwing):
    server = lapwing()
    with server.tcp("http") as connection:
        connection.sendall(b"POST /api/1/envelope/ HTTP/1.1\r\nHost: x\r\n"
                           b"Content-Length: 104857600\r\n\r\n")
        reply = connection.recv(65536)  # nothing of the body was sent
    assert reply.startswith(b"HTTP/1.1 413 ") and b'{"detail":"the body of 104857600 bytes' in reply


@pytest.mark.parametrize("chunked", [False, True])
def test_a_hundred_megabytes_are_never_held(lapwing, chunked):
    server = lapwing("http: {listen: \"127.0.0.1:0\", body_max: 1MiB}")
    server.get("/-/ready")
    before = resident_bytes(server)
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 104857600"
    piece = b"10000\r\n" + b"x" * 65536 + b"\r\n" if chunked else b"x" * 65536
    with server.tcp("http") as connection:
        connection.sendall(b"POST /api/logs HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n")
        peak = 0
        for _ in range(1600):
            try:
                connection.sendall(piece)
            except OSError:
                break  # it need not listen to the end
            peak = max(peak, resident_bytes(server))
        try:
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        reply = read_reply(connection)
    assert reply.startswith(b"HTTP/1.1 413 ") and b"http.body_max" in reply
    assert peak - before < 16 * MIB or SANITIZED
    assert server.get("/-/ready").status == 200


def test_a_bomb_stops_at_the_limit(lapwing):
    server = lapwing('http: {listen: "127.0.0.1:0", inflated_max: 4MiB}')
    before = resident_bytes(server)
    bomb = gzip.compress(b"\0" * (100 * MIB), 9)
    reply = server.http("/api/logs", bomb, {"Content-Encoding": "gzip"})
    assert reply.status == 413 and "larger than 4194304 bytes" in reply.text
    assert resident_bytes(server) - before < 32 * MIB or SANITIZED


def test_slow_clients_hold_nobody_up(lapwing):
    server = lapwing('http: {listen: "127.0.0.1:0", timeout: 1s, connection_max: 60}')
    slow = [server.tcp("http") for _ in range(50)]
    for connection in slow:
        connection.sendall(b"GET / HT")
    assert server.get("/-/ready").status == 200
    await_(lambda: server.metric("lapwing_http_timeouts_total") >= 50)
    for connection in slow:
        assert read_reply(connection) == b""
        connection.close()


def test_errors_speak_each_surfaces_language(lapwing):
    server = lapwing()
    reply = server.get("/nothing")
    assert (reply.status, reply.text) == (404, "404 page not found\n")
    reply = server.http("/api/v1/query", method="DELETE")
    assert reply.status == 405 and "GET" in reply.headers["Allow"]
    assert reply.json()["status"] == "error"
    reply = server.http("/api/1/envelope/", b"x", {"Content-Encoding": "br"})
    assert reply.status == 415 and "gzip" in reply.json()["detail"]
    reply = server.http("/api/1/envelope/", method="OPTIONS")
    assert reply.headers["Access-Control-Allow-Origin"] == "*"


# --- signals ---


def test_sigterm_loses_nothing(lapwing):
    server = lapwing("statsd: {udp: \"127.0.0.1:0\", tcp: \"127.0.0.1:0\", flush_interval: 1m}")
    with server.tcp("statsd_tcp") as connection:
        connection.sendall(b"last.words:1|c\n" * 10000)
    for _ in range(100):
        server.statsd("last.datagrams:1|c")
    with server.tcp("logs_tcp") as connection:
        for number in range(1000):
            connection.sendall(json.dumps({"service": "s", "message": f"m{number}"}).encode() + b"\n")
    assert server.terminate() == 0
    server.start()
    assert server.value("last_over_time({\"last.words\"}[1h])") == 10000
    assert server.value("last_over_time({\"last.datagrams\"}[1h])") == 100
    # Its own figures were written in the same last tick.
    assert server.value("last_over_time(lapwing_statsd_metrics_total[1h])") == 10100


def test_requests_in_flight_are_answered(lapwing):
    server = lapwing()
    body = json.dumps({"service": "s", "message": "m"}).encode()
    with server.tcp("http") as connection:
        connection.sendall(b"POST /api/logs HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
                           % (len(body), body[:5]))
        await_(lambda: server.metric("lapwing_http_body_bytes") == 5)
        server.process.send_signal(signal.SIGTERM)
        await_(lambda: "info  stop " in server.log())
        connection.sendall(body[5:])
        reply = read_reply(connection)
    assert reply.startswith(b"HTTP/1.1 200 ") and b"Connection: close" in reply
    assert server.process.wait(30) == 0


def test_a_second_signal_ends_it_at_once(lapwing):
    server = lapwing()
    with server.tcp("http") as connection:
        connection.sendall(b"POST /api/logs HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx")
        await_(lambda: server.metric("lapwing_http_body_bytes") == 1)
        server.process.send_signal(signal.SIGTERM)
        # The drain waits for the rest of that body; how soon it heeds the second is its affair.
        await_(lambda: server.process.send_signal(signal.SIGTERM) or server.process.poll(), 8)
    assert server.process.poll() == 1


def test_reload_keeps_the_old_rules_when_the_new_are_bad(lapwing):
    server = lapwing("rule_files: [rules.yaml]", start=False)
    rules = server.directory / "rules.yaml"
    rule = "groups: [{name: g, rules: [{alert: %s, expr: '%s'}]}]\n"
    rules.write_text(rule % ("First", "vector(1) > 0"))
    server.start()

    def names():
        groups = server.get("/api/v1/rules").json()["data"]["groups"]
        return [rule["name"] for group in groups for rule in group["rules"]]

    await_(lambda: names() == ["First"])
    rules.write_text(rule % ("Second", "vector(1) >"))
    reply = server.http("/-/reload", method="POST")
    assert reply.status == 400 and "rules.yaml" in reply.text
    server.process.send_signal(signal.SIGHUP)
    await_(lambda: server.log().count("reload result=refused") == 2)
    assert names() == ["First"]
    rules.write_text(rule % ("Second", "vector(1) > 0"))
    server.process.send_signal(signal.SIGHUP)
    await_(lambda: names() == ["Second"])
    assert server.http("/-/reload", method="POST").status == 200


def test_debug_level_tells_each_request(lapwing):
    server = lapwing("log_level: debug")
    server.get("/api/v1/query", query="1")
    await_(lambda: "http method=GET path=/api/v1/query status=200" in server.log())
