"""p50, p90 and p99 of timers, from datagrams to PromQL, against the exact values of what was sent."""
import math
import random
import socket
import time

import pytest

from conftest import await_

BOUND = 0.011
QUANTILES = (0.5, 0.9, 0.99)
COUNT = 20000


def uniform(rng):
    return rng.uniform(1, 1000)


def log_normal(rng):
    return rng.lognormvariate(4, 1.2)


def bimodal(rng):
    return rng.gauss(20, 2) if rng.random() < 0.7 else rng.gauss(900, 40)


SHAPES = {shape.__name__: shape for shape in (uniform, log_normal, bimodal)}


def values_of(shape):
    rng = random.Random(f"percentiles of {shape}")
    return [round(abs(SHAPES[shape](rng)) + 0.001, 3) for _ in range(COUNT)]


def send(server, lines):
    """In datagrams of 30 lines, no faster than the kernel's buffer is emptied."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for i in range(0, len(lines), 30):
            udp.sendto("\n".join(lines[i:i + 30]).encode(),
                       ("127.0.0.1", server.ports["statsd_udp"]))
            if i % 3000 == 0:
                time.sleep(0.01)


def exact(values, quantile):
    return sorted(values)[max(0, math.ceil(quantile * len(values)) - 1)]


def check(server, expression, values):
    for quantile in QUANTILES:
        got = server.value(f"histogram_quantile({quantile}, {expression})")
        want = exact(values, quantile)
        assert abs(got / want - 1) <= BOUND, f"p{quantile * 100:g} is {got}, exactly {want}"


@pytest.mark.parametrize("series", [1, 100])
@pytest.mark.parametrize("shape", SHAPES)
def test_percentiles(lapwing, shape, series):
    values = values_of(shape)
    server = lapwing()
    send(server, [f"t:{value}|ms|#host:{i % series}" for i, value in enumerate(values)])
    merged = "sum(last_over_time(t[5m]))"
    await_(lambda: server.value(f"histogram_count({merged})") == COUNT)
    check(server, merged, values)
    check(server, "sum(increase(t[5m]))", values)
    assert server.terminate() == 0
    server.start()
    check(server, merged, values)


@pytest.mark.parametrize("shape", SHAPES)
def test_percentiles_of_sampled_timers(lapwing, shape):
    """A client that sends every tenth value, and says so: each counts ten times."""
    values = values_of(shape)
    server = lapwing()
    send(server, [f"t:{value}|ms|@0.1" for value in values])
    await_(lambda: server.value("histogram_count(t)") == 10 * COUNT)
    check(server, "t", values)
    server.kill()
    server.start()
    send(server, [f"t:{value}|ms|@0.1" for value in values])
    await_(lambda: server.value("histogram_count(t)") == 20 * COUNT)
    check(server, "t", values)


STATISTICS = ["histogram_count({0})", "histogram_sum({0})", "histogram_avg({0})", "histogram_stddev({0})",
              "histogram_stdvar({0})", "histogram_fraction(10, 100, {0})", "min_over_time({0}[5m])",
              "max_over_time({0}[5m])"]
STATISTICS += [f"histogram_quantile({q}, {{0}})" for q in (0, 0.001, 0.25, *QUANTILES, 0.999, 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_sampled_timers_have_every_statistic_of_those_that_are_not(lapwing, shape):
    """Each value once, standing for ten, beside each value ten times."""
    values = values_of(shape)[:2000]
    server = lapwing()
    send(server, [f"sampled:{value}|ms|@0.1" for value in values])
    send(server, [f"whole:{':'.join([str(value)] * 10)}|ms" for value in values])
    for name in ("sampled", "whole"):
        await_(lambda name=name: server.value(f"histogram_count({name})") == 10 * len(values))
    check(server, "sampled", values)
    for statistic in STATISTICS:
        got, want = (server.value(statistic.format(name)) for name in ("sampled", "whole"))
        assert math.isclose(got, want, rel_tol=1e-9), f"{statistic}: {got}, unsampled {want}"
    assert server.value("min_over_time(sampled[5m])") == min(values)
    assert server.value("max_over_time(sampled[5m])") == max(values)
