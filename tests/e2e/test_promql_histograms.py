"""Native histograms and stale markers, sent by remote write to Debian's Prometheus and to lapwing.

Prometheus 2.42 had native histograms as an experiment. It is right about counts, sums, buckets,
rates, sums over series and +; those must be equal within 1e-9. It interpolated inside a bucket
linearly, 3 does exponentially: as_3() is the value that follows from 2.42's. What it could not do
yet (avg, *, /, -, ==, histogram_avg, delta of gauges ...) is not asked; unit tests cover it.
"""
import json
import math
import pathlib
import random
import urllib.request

import pytest

import remote_write
from conftest import Server
from peers import Prometheus, ask
from remote_write import STALE, Histogram
from test_promql_differential import same

START = 1_700_000_040
STEP, COUNT = 15, 240
NO_GAP = range(-1, -1)
FLAGS = ["--enable-feature=native-histograms", "--web.enable-remote-write-receiver"]
COARSE, FINE = 3, 5
SCHEMAS = {"latency": {"/": COARSE, "/buy": COARSE, "/login": COARSE}, "swing": {"/": COARSE},
           "mixed": {"/coarse": COARSE, "/fine": FINE}}


# --- data ---

class Cumulative:
    """What a client library counts: a bucket for each observation, forever."""

    def __init__(self, rng, schema, signed):
        self.rng, self.schema, self.signed = rng, schema, signed
        self.reset()

    def reset(self):
        self.sides, self.total, self.zero = ({}, {}), 0.0, 0

    def observe(self):
        value = self.rng.lognormvariate(-2, 1.2) * (self.rng.choice([1, 1, -1]) if self.signed else 1)
        value = 0 if self.rng.random() < 0.05 else value
        self.total += value
        if value == 0:
            self.zero += 1
            return
        index = math.ceil(math.log2(abs(value)) * 2 ** self.schema)
        side = self.sides[value < 0]
        side[index] = side.get(index, 0) + 1

    def histogram(self):
        return Histogram(self.schema, dict(self.sides[0]), self.total, self.zero, dict(self.sides[1]))


def time_ms(i):
    return (START + STEP * i) * 1000 + 617


def histogram_samples(rng, schema, signed, reset_at, gap):
    state = Cumulative(rng, schema, signed)
    for _ in range(4000):
        state.observe()
    for i in range(COUNT):
        if i == reset_at:
            state.reset()
        for _ in range(rng.randrange(20, 80)):
            state.observe()
        if i == gap.start:
            yield time_ms(i), Histogram(schema, {}, STALE)
        elif i not in gap:
            yield time_ms(i), state.histogram()


def all_series(rng):
    resets = iter([None, 100, None, None, 60, 150])
    gaps = iter([NO_GAP, NO_GAP, range(120, 170), NO_GAP, NO_GAP, range(30, 40)])
    for name, routes in SCHEMAS.items():
        for route, schema in routes.items():
            yield {"__name__": name, "route": route}, list(
                histogram_samples(rng, schema, name == "swing", next(resets), next(gaps)))
    for i, gap in enumerate([range(50, 90), range(200, COUNT)]):
        yield {"__name__": "gauge", "i": str(i)}, [
            (time_ms(at), STALE if at == gap.start else rng.uniform(-9, 9))
            for at in range(COUNT) if at not in gap or at == gap.start]
    # One name with floats and histograms.
    yield {"__name__": "both", "kind": "float"}, [(time_ms(i), float(i)) for i in range(COUNT)]
    yield {"__name__": "both", "kind": "histogram"}, list(
        histogram_samples(rng, COARSE, False, None, NO_GAP))


def post(url, body):
    with urllib.request.urlopen(urllib.request.Request(url, body, remote_write.HEADERS)) as reply:
        assert reply.status in (200, 204), reply.read()


class Pair:
    def __init__(self, directory):
        body = remote_write.snappy(b"".join(
            remote_write.series(labels, samples) for labels, samples in all_series(random.Random(5))))
        self.prometheus = Prometheus(directory, flags=FLAGS)
        self.server = Server(directory, "retention: {raw: 50y}").start()
        for url in (self.prometheus.url, self.server.url):
            post(url + "/api/v1/write", body)

    def close(self):
        self.prometheus.close()
        self.server.close()


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    pair = Pair(pathlib.Path(tmp_path_factory.mktemp("histograms")))
    yield pair
    pair.close()


# --- comparison ---

def as_3(value, schema):
    """2.42's quantile, in 3: the same way through the bucket, but by the logarithm."""
    size = abs(value)
    if size <= remote_write.ZERO_THRESHOLD or not math.isfinite(value):
        return value
    power = math.ceil(math.log2(size) * 2 ** schema - 1e-9) / 2 ** schema
    upper, lower = 2 ** power, 2 ** (power - 2.0 ** -schema)
    part = (size - lower) / (upper - lower)
    # From zero away in the positive buckets, towards it in the negative ones.
    part = part if value > 0 else 1 - part
    grown = lower * (upper / lower) ** part if value > 0 else upper * (lower / upper) ** part
    return math.copysign(grown, value)


def histogram_difference(a, b):
    if not same(a["count"], b["count"]) or not same(a["sum"], b["sum"]):
        return f"count or sum: {a} / {b}"
    buckets = [[bucket for bucket in h.get("buckets", []) if float(bucket[3]) != 0] for h in (a, b)]
    if len(buckets[0]) != len(buckets[1]):
        return f"buckets: {buckets}"
    for x, y in zip(*buckets):
        if x[0] != y[0] or not all(map(same, x[1:], y[1:])):
            return f"bucket: {x} / {y}"
    return None


def point_difference(theirs, ours, translate):
    if theirs[0] != ours[0]:
        return f"times {theirs[0]} / {ours[0]}"
    if isinstance(theirs[1], dict):
        return histogram_difference(theirs[1], ours[1])
    expected = translate(float(theirs[1]))
    return None if same(expected, ours[1]) else f"{theirs[1]}, as of 3 {expected} / {ours[1]}"


def series_points(row):
    """[(time, number or histogram)], floats before histograms."""
    points = row.get("values", []) + row.get("histograms", [])
    return points or [row.get("value") or row["histogram"]]


def difference(theirs, ours, translate):
    if theirs[0] != ours[0]:
        return f"{theirs} / {ours}"
    rows = [{json.dumps(row["metric"], sort_keys=True): series_points(row)
             for row in body["data"]["result"]} for _, body in (theirs, ours)]
    if rows[0].keys() != rows[1].keys():
        return f"series {sorted(rows[0])} / {sorted(rows[1])}"
    for key, points in rows[0].items():
        if len(points) != len(rows[1][key]):
            return f"{key}: {len(points)} / {len(rows[1][key])} points"
        for a, b in zip(points, rows[1][key]):
            if problem := point_difference(a, b, translate):
                return f"{key} at {a[0]}: {problem}"
    return None


def check(pair, query, translate=lambda value: value):
    rng = random.Random(query)
    at = START + rng.randrange(600, STEP * COUNT) + 0.3
    start = START + rng.randrange(-60, 1500) + 0.3
    for path, params in [("query", {"time": at}),
                         ("query_range", {"start": start, "end": start + 1700, "step": 37})]:
        params["query"] = query
        theirs = ask(pair.prometheus.url, path, params)
        ours = ask(pair.server.url, path, params)
        problem = difference(theirs, ours, translate)
        assert not problem, f"{path} {params}: {problem}"


INNER = ["latency", "rate(latency[2m])", "increase(latency[5m])", "sum(rate(latency[5m]))",
         "sum by (route) (latency)", 'latency{route="/buy"} + latency{route="/buy"}',
         "sum without (route) (increase(latency[1m]))", "rate(latency[1m]) + rate(latency[5m])",
         "rate(swing[3m])", "swing", "sum(rate(latency[5m] offset 2m))", "latency @ end()",
         "sum(latency) + on () sum(rate(latency[5m]))"]
QUERIES = INNER + [f"{function}({inner})" for inner in INNER
                   for function in ("histogram_count", "histogram_sum")] + [
    f"histogram_fraction({low}, {high}, {inner})" for inner in INNER
    for low, high in [("0.125", "0.5"), ("-Inf", "1"), ("2", "1")]] + [
    "histogram_fraction(0, 0.25, latency)", "histogram_fraction(0.0625, +Inf, rate(swing[3m]))",
    "histogram_quantile(1, latency)", "histogram_quantile(1, swing)",
    "mixed", "sum(mixed)", "sum(rate(mixed[5m]))", "histogram_count(sum(increase(mixed[10m])))",
    "count(latency)", "group by (route) (latency)", "count_over_time(latency[5m])",
    "present_over_time(latency[1m])", "absent(latency)", "absent(nothing)",
    "histogram_count(rate(latency[5m])) > 2", "histogram_sum(rate(latency[5m])) / histogram_count(rate(latency[5m]))",
    # label_replace() lost the histogram in 2.42.
    'label_replace(histogram_sum(latency), "path", "$1", "route", "/(.+)")', "latency and on (route) mixed",
    "latency unless on () absent(latency)", "latency or gauge", "timestamp(latency)", "sort_desc(histogram_sum(latency))",
    "histogram_count(gauge)", "histogram_sum(both)", "both", 'both{kind="histogram"}', "count(both)",
    "topk(1, histogram_count(latency))", "histogram_quantile(0.5, gauge)",
    # Stale markers among floats.
    "gauge", "count(gauge)", "sum_over_time(gauge[3m])", "count_over_time(gauge[10m])", "gauge offset 1m",
    "delta(gauge[10m])", "last_over_time(gauge[20m])", "absent(gauge)", "timestamp(gauge)",
    "changes(gauge[20m])", "avg_over_time(gauge[10m:1m])", "present_over_time(gauge[15m])"]
# Not 1: where fractions do not quite add up to the count, 2.42 ran on into empty buckets.
QUANTILES = ["0", "0.1", "0.5", "0.99", "-1", "NaN"]


@pytest.mark.parametrize("query", QUERIES)
def test_same_as_prometheus(pair, query):
    check(pair, query)


@pytest.mark.parametrize("inner", INNER + ["sum(rate(mixed[5m]))"])
def test_quantiles(pair, inner):
    for q in QUANTILES:
        check(pair, f"histogram_quantile({q}, {inner})", lambda value: as_3(value, COARSE))
