"""The C client as its users have it: installed, found by pkg-config, compiled into programs of C and
C++, static and shared; what arrives is what its threads sent."""
import os
import subprocess

import pytest

from conftest import ROOT, await_
from test_statsd_clients import nothing_refused

# So few that they fit into the smallest of the kernel's queues (ten datagrams of a unix socket), read
# or not: nothing may be missing. tests/unit/client_packet_test.c has the many.
THREADS, CALLS = 4, 200

C_PROGRAM = r"""
#include <lapwing.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

static void *work(void *client)
{
    const struct timespec nap = {.tv_nsec = 200000};
    for (int i = 1; i <= CALLS; i++) {
        lapwing_increment(client, "count", "route:/buy");
        lapwing_timing(client, "time", i % 100, NULL);
        if (i % 10 == 0)
            nanosleep(&nap, NULL);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    struct lapwing_options options = {.prefix = "c.", .tags = "env:prod"};
    struct lapwing *client = lapwing_open(&options);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, work, client);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    lapwing_gauge(client, "gauge", 5, NULL);
    lapwing_gauge(client, "gauge", -2.5, NULL);
    lapwing_adjust(client, "gauge", 1, NULL);
    lapwing_set(client, "set", "ann", NULL);
    lapwing_set(client, "set", "bob", NULL);
    lapwing_event(client, "Deploy", "two\nlines", "warning", "service:shop");
    lapwing_check(client, "db.up", 2, "no answer", NULL);
    { LAPWING_TIME_SCOPE(client, "scope", NULL); }
    lapwing_add(client, "last", 1, NULL);
    lapwing_flush(client);
    struct lapwing_stats stats = lapwing_stats(client);
    printf("%llu\n", (unsigned long long)stats.sent);
    lapwing_close(client);
    return 0;
}
"""

CXX_PROGRAM = r"""
#include <lapwing.h>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

int main()
{
    lapwing_options options = {};
    options.prefix = "c.";
    options.tags = "env:prod";
    lapwing *client = lapwing_open(&options);
    std::vector<std::thread> threads;
    for (int i = 0; i < THREADS; i++)
        threads.emplace_back([client] {
            for (int i = 1; i <= CALLS; i++) {
                lapwing_increment(client, "count", "route:/buy");
                lapwing_timing(client, "time", i % 100, nullptr);
                if (i % 10 == 0)
                    std::this_thread::sleep_for(std::chrono::microseconds(200));
            }
        });
    for (auto &thread : threads)
        thread.join();
    { LAPWING_TIME_SCOPE(client, "scope", nullptr); }
    lapwing_increment(client, "last", nullptr);
    lapwing_flush(client);
    std::printf("%llu\n", (unsigned long long)lapwing_stats(client).sent);
    lapwing_close(client);
}
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """What `make install-client` puts below a DESTDIR."""
    root = tmp_path_factory.mktemp("installed")
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    subprocess.run(["make", "-s", "install-client", "VARIANT=release", "PREFIX=/usr",
                    f"DESTDIR={root}"], cwd=ROOT, check=True, timeout=120, env=clean,
                   capture_output=True)
    return root


def flags(root, *options):
    done = subprocess.run(
        ["pkg-config", *options, "lapwing"], capture_output=True, text=True, check=True,
        timeout=20, env={**os.environ, "PKG_CONFIG_SYSROOT_DIR": str(root),
                         "PKG_CONFIG_LIBDIR": str(root / "usr/lib/pkgconfig"),
                         "PKG_CONFIG_ALLOW_SYSTEM_CFLAGS": "1",
                         "PKG_CONFIG_ALLOW_SYSTEM_LIBS": "1"})
    return done.stdout.split()


def build(root, directory, language, linkage):
    """The program, linked by what pkg-config says."""
    compiler, source, options = {
        "c": ("gcc", C_PROGRAM, ["-std=c11", "-D_GNU_SOURCE", "-Wpedantic"]),
        "c++": ("g++", CXX_PROGRAM, ["-std=c++11", "-Wpedantic"])}[language]
    path = directory / ("program.c" if language == "c" else "program.cc")
    path.write_text(source)
    link = ["-static", *flags(root, "--static", "--libs")] if linkage == "static" \
        else flags(root, "--libs")
    subprocess.run([compiler, *options, "-Wall", "-Wextra", "-Werror", f"-DTHREADS={THREADS}",
                    f"-DCALLS={CALLS}", *flags(root, "--cflags"), "-o", directory / "program",
                    path, *link, "-pthread"], check=True, timeout=120)
    return directory / "program"


@pytest.mark.parametrize("language,linkage,transport", [
    ("c", "shared", "udp"), ("c", "static", "unix"), ("c++", "shared", "unix"),
    ("c++", "static", "udp")])
def test_programs_that_use_it(installed, lapwing, tmp_path, language, linkage, transport):
    program = build(installed, tmp_path, language, linkage)
    path = tmp_path / "statsd.sock"
    server = lapwing(f'statsd: {{udp: "127.0.0.1:0", unix: "{path}", flush_interval: 1s}}')
    address = f"unix://{path}" if transport == "unix" \
        else f"udp://localhost:{server.ports['statsd_udp']}"
    done = subprocess.run([program], capture_output=True, text=True, check=True, timeout=60,
                          env={**os.environ, "LAPWING_STATSD": address,
                               "LD_LIBRARY_PATH": str(installed / "usr/lib")})
    sent = 2 * THREADS * CALLS + (9 if language == "c" else 2)
    assert int(done.stdout) == sent  # none was dropped on the client's side
    await_(lambda: server.value("c.last") == 1, what="the last metric")
    assert server.value('c.count{env="prod",route="/buy"}') == THREADS * CALLS
    assert server.value('histogram_count(c.time{env="prod"})') == THREADS * CALLS
    assert server.value("histogram_sum(c.time)") == THREADS * CALLS // 100 * 4950
    assert server.value("histogram_count(c.scope)") == 1
    if language == "c":
        assert server.value("c.gauge") == -1.5
        assert server.value("c.set") == 2
        assert server.value('statsd_events_total{alert_type="warning",service="shop"}') == 1
        assert server.value('statsd_service_check{check="db.up",env="prod"}') == 2
    nothing_refused(server)


def test_what_is_installed(installed):
    """A versioned library, and none of its names but the header's."""
    library = installed / "usr/lib/liblapwing.so"
    dynamic = subprocess.run(["readelf", "-d", library], capture_output=True, text=True,
                             check=True).stdout
    assert "[liblapwing.so.0]" in dynamic
    assert library.resolve().name == "liblapwing.so.0.1.0"
    names = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True,
                           check=True).stdout.split()[2::3]
    header = (installed / "usr/include/lapwing.h").read_text()
    assert names and all(f"{name}(" in header for name in names), names


def test_its_sources_are_c99(tmp_path):
    """Who copies them into a project has flags of their own."""
    for source in sorted((ROOT / "clients" / "c").glob("*.c")):
        done = subprocess.run(["gcc", "-std=c99", "-Wpedantic", "-Wall", "-Wextra", "-Werror", "-c",
                               str(source), "-o", str(tmp_path / "object.o")],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
