"""The same samples in Debian's Prometheus and in lapwing; generated queries must give the same.

Debian 12 has Prometheus 2.42; lapwing speaks Prometheus 3. What differs between them by design is
kept out of the way or listed in KNOWN_DIFFERENCES with its reason; nothing else may differ.

- Windows are left-open in 3 and closed in 2.42. Samples lie at whole seconds + 617 ms, evaluation
  times at + 300 ms, subquery steps at whole seconds: no window edge ever meets a sample.
- Ties in topk and bottomk are broken arbitrarily: they are only asked about values without ties.
- floor(), % and == make a whole step of a last bit. Data, times and queries are fixed, so this
  cannot come and go; with five other seeds 2 of 30,000 queries differed for this reason alone.
  (DIFFERENTIAL_SEED and DIFFERENTIAL_QUERIES in the environment explore further.)
"""
import json
import math
import os
import pathlib
import random
import subprocess

import pytest

from conftest import Server
from peers import Prometheus, ask

SEED = int(os.environ.get("DIFFERENTIAL_SEED", 20261121))
QUERIES = int(os.environ.get("DIFFERENTIAL_QUERIES", 1000))
TOLERANCE = 1e-9
# Sums that cancel leave the rounding of their terms; below this both are zero.
ZERO = 1e-12
SPAN = 2 * 3600
STEP = 15
START = 1_700_000_040
SAMPLE_OFFSET = 0.617
TIME_OFFSET = 0.300

# The generator avoids these; test_known_differences shows that lapwing does as 3 does.
KNOWN_DIFFERENCES = {
    "zero point": "rate() and increase() of what begins near zero inside the window: 2.42 weighed "
                  "the way to zero against the whole gap before the first sample, 3 against the "
                  "gap already cut to half an interval (Prometheus pull request 13725); so rate "
                  "and increase are only asked of counters that begin high",
    "fixed window": "predict_linear over a window fixed by @ in a range query: 2.42 moved the "
                    "window with the steps, which later versions mended",
    "name after atan2": "2.42 kept the metric's name after atan2, which is arithmetic like the "
                        "rest; later versions drop it",
    "deviation of infinity": "stddev and stdvar of a single NaN or infinity: 0 in 2.42, NaN in 3 "
                             "(pull request 14941)",
    "timestamp of offset": "timestamp() of a selector with both @ and offset: Prometheus forgets "
                           "the offset, here it counts as everywhere else",
    "infinite hour": "hour() and its like of an infinity: Go's conversion to an integer is "
                     "undefined there; here it is NaN",
}


# --- data ---

class Data:
    """Families of series as OpenMetrics text; the same seed gives the same samples."""

    def __init__(self, rng, start):
        self.rng, self.start, self.lines = rng, start, []
        self.samples = 0

    def family(self, name, kind):
        self.lines.append(f"# TYPE {name} {kind}")

    def series(self, name, labels, points):
        text = ",".join(f'{k}="{v}"' for k, v in labels.items())
        for t, v in points:
            self.lines.append(f"{name}{{{text}}} {number(v)} {t:.3f}")
            self.samples += 1

    def times(self, begin=0, end=SPAN, step=STEP, gaps=()):
        for t in range(begin, end, step):
            if not any(low <= t < high for low, high in gaps):
                yield self.start + t + SAMPLE_OFFSET

    def counter(self, resets=0, busy=20, **kwargs):
        value = float(self.rng.randrange(20000, 90000))
        times = list(self.times(**kwargs))
        reset_at = set(self.rng.sample(range(10, len(times) - 10), resets))
        for i, t in enumerate(times):
            value = float(self.rng.randrange(0, 9)) if i in reset_at else value
            yield t, value
            value += self.rng.randrange(0, busy)

    def gauge(self, low, high, digits, **kwargs):
        value = self.rng.uniform(low, high)
        for t in self.times(**kwargs):
            yield t, round(value, digits)
            value += self.rng.uniform(-1, 1) * (high - low) / 20

    def text(self):
        return "\n".join(self.lines) + "\n# EOF\n"


def number(value):
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)


GAPS = [(), ((1800, 2500),), ((600, 660), (4000, 5000)), ()]


def fill(data):
    rng = data.rng
    data.family("http_requests", "counter")
    for job, instance in [("api", "a1"), ("api", "a2"), ("web", "w1"), ("web", "w2")]:
        for code in ["200", "404", "500"]:
            labels = {"job": job, "instance": instance, "code": code}
            gaps = rng.choice(GAPS) if instance.endswith("2") else ()
            data.series("http_requests_total", labels,
                        data.counter(resets=0 if gaps else rng.randrange(0, 3),
                                     busy={"200": 50, "404": 9, "500": 3}[code], gaps=gaps))
    data.family("errors", "counter")
    for job in ["api", "web", "batch"]:
        data.series("errors_total", {"job": job}, data.counter(busy=4))
    data.family("temperature", "gauge")
    for room in ["hall", "lab", "roof"]:
        for host in ["h1", "h2", "h3"]:
            data.series("temperature", {"room": room, "host": host},
                        data.gauge(-20, 40, 6, gaps=rng.choice(GAPS)))
    data.family("memory_bytes", "gauge")
    for instance in ["a1", "a2", "w1", "w2"]:
        data.series("memory_bytes", {"instance": instance}, data.gauge(1e9, 8e9, 0))
    data.family("late", "gauge")
    data.series("late", {"room": "lab"}, data.gauge(5, 9, 3, begin=3000, end=6000))
    data.series("late", {"room": "roof"}, data.gauge(5, 9, 3, step=47))
    data.family("constant", "gauge")
    data.series("constant", {"instance": "a1"}, ((t, 42.5) for t in data.times()))
    data.family("weird", "gauge")
    for kind, odd in [("nan", math.nan), ("inf", math.inf), ("minus", -math.inf)]:
        data.series("weird", {"kind": kind},
                    ((t, odd if rng.random() < 0.1 else rng.uniform(-5, 5))
                     for t in data.times()))
    data.family("build_info", "gauge")
    for instance, version in [("a1", "1.0"), ("a2", "1.0"), ("w1", "1.1"), ("w2", "2.0")]:
        data.series("build_info", {"instance": instance, "version": version},
                    ((t, 1.0) for t in data.times()))
    fill_histogram(data)
    return data


def fill_histogram(data):
    bounds = [0.005, 0.05, 0.1, 0.5, 1.0, 2.5, math.inf]
    data.family("latency_seconds", "histogram")
    for route in ["/", "/buy", "/login"]:
        counts, total, rows = [1000 * (i + 1) for i in range(len(bounds))], 5000.0, []
        for t in data.times():
            for _ in range(data.rng.randrange(3, 40)):
                value = round(data.rng.lognormvariate(-2, 1.2), 4)
                total += value
                for i, bound in enumerate(bounds):
                    counts[i] += value <= bound
            rows.append((t, list(counts), round(total, 4)))
        for i, bound in enumerate(bounds):
            data.series("latency_seconds_bucket", {"route": route, "le": number(bound)},
                        ((t, float(c[i])) for t, c, _ in rows))
        data.series("latency_seconds_sum", {"route": route}, ((t, s) for t, _, s in rows))
        data.series("latency_seconds_count", {"route": route},
                    ((t, float(c[-1])) for t, c, _ in rows))


# --- queries ---

class Queries:
    """A seeded generator of well-typed expressions over the data above."""

    SELECTORS = [
        "http_requests_total", 'http_requests_total{code="500"}',
        'http_requests_total{job="api"}', 'http_requests_total{code=~"4..|5..",job!="web"}',
        "errors_total", 'temperature{room="lab"}', "temperature", 'temperature{host!~"h[12]"}',
        "memory_bytes", "late", "constant", "weird", 'weird{kind=~"n.*|m.*"}', "build_info",
        "latency_seconds_count", 'latency_seconds_bucket{route="/buy"}', "absent_metric",
        '{__name__=~"late|constant"}', 'temperature{room=""}',
    ]
    SMOOTH = ["temperature", 'temperature{room=~"lab|roof"}', "avg_over_time(temperature[3m])",
              "deriv(temperature[5m])", "quantile_over_time(0.3, temperature[7m])"]
    COUNTERS = ["http_requests_total", 'http_requests_total{code="500"}', "errors_total",
                'http_requests_total{job="api"}', "latency_seconds_count", "absent_metric",
                'http_requests_total{code=~"4..|5..",job!="web"}',
                'latency_seconds_bucket{route="/buy"}', "latency_seconds_sum"]
    FINITE = SMOOTH + COUNTERS + ["rate(http_requests_total[5m])", "late", "memory_bytes / 1e6"]
    LABELS = ["job", "instance", "code", "room", "host", "route", "kind", "nosuch"]
    RANGES = ["1m", "2m", "5m", "7m30s", "20m", "1h"]
    OVER = ["avg", "min", "max", "sum", "count", "stddev", "stdvar", "last", "present"]
    MATHS = ["abs", "ceil", "floor", "exp", "ln", "log2", "log10", "sqrt", "sgn"]
    KINDS = ["selector", "rate", "over", "aggregate", "arithmetic", "scalar_arithmetic", "compare",
             "set", "join", "maths", "clamp", "histogram", "label_replace", "absent", "scalar",
             "timestamp", "rank", "subquery", "time", "unary", "count_values"]

    def __init__(self, rng, start):
        self.rng, self.start = rng, start

    def pick(self, *choices):
        return self.rng.choice(choices)

    def selector(self):
        return self.rng.choice(self.SELECTORS) + self.modifiers()

    def modifiers(self, one=False):
        text = ""
        if self.rng.random() < 0.15:
            text += " offset " + self.pick("1m", "10m", "1h", "-3m")
            if one:
                return text
        if self.rng.random() < 0.08:
            at = self.start + self.rng.randrange(600, SPAN) + TIME_OFFSET
            text += self.pick(f" @ {at:.3f}", " @ start()", " @ end()")
        return text

    def ranged(self, selector=None):
        return f"{selector or self.rng.choice(self.SELECTORS)}[{self.rng.choice(self.RANGES)}]" \
            + self.modifiers()

    def number(self):
        return self.pick("0", "1", "2.5", "-3", "1e3", "0.001", "100", "Inf", "NaN")

    def grouping(self):
        labels = ", ".join(self.rng.sample(self.LABELS, self.rng.randrange(0, 3)))
        return self.pick("", f" by ({labels}) ", f" without ({labels}) ")

    def expression(self, depth=3):
        if depth == 0:
            return self.selector()
        return getattr(self, "make_" + self.rng.choice(self.KINDS))(depth - 1)

    def make_selector(self, _):
        return self.selector()

    def make_rate(self, _):
        if self.rng.random() < 0.5:
            selector = self.rng.choice(self.COUNTERS)
            return f"{self.pick('rate', 'increase')}({self.ranged(selector)})"
        function = self.pick("irate", "delta", "idelta", "deriv", "changes", "resets")
        return f"{function}({self.ranged()})"

    def make_over(self, _):
        form = self.pick("over", "over", "quantile", "predict", "absent")
        if form == "quantile":
            return f"quantile_over_time({self.pick('0', '0.5', '0.9', '1', '-1', '2')}, " \
                   f"{self.ranged()})"
        if form == "predict":
            span = f"{self.rng.choice(self.SELECTORS)}[{self.rng.choice(self.RANGES)}]"
            return f"predict_linear({span}, {self.pick('60', '3600', '-600')})"
        if form == "absent":
            return f"absent_over_time({self.ranged()})"
        return f"{self.rng.choice(self.OVER)}_over_time({self.ranged()})"

    def make_aggregate(self, depth):
        operator = self.pick("sum", "sum", "avg", "min", "max", "count", "group", "stddev",
                             "stdvar", "quantile")
        parameter = self.pick("0.5, ", "0.95, ", "0, ", "1.5, ") if operator == "quantile" else ""
        finite = operator in ("stddev", "stdvar")
        inner = self.rng.choice(self.FINITE) if finite else self.expression(depth)
        return f"{operator}{self.grouping()}({parameter}{inner})"

    def make_arithmetic(self, depth):
        operator = self.pick("+", "-", "*", "/", "%", "^", "atan2")
        if operator != "atan2" and self.rng.random() < 0.5:
            side = self.expression(depth)
            return f"({side}) {operator} ({side})"
        matching = self.pick("", " on (job) ", " ignoring (code) ", " on () ")
        return f"sum by (job) ({self.selector()}) {operator}{matching or ' '}" \
               f"avg by (job) ({self.expression(depth)})"

    def make_scalar_arithmetic(self, depth):
        operator = self.pick("+", "-", "*", "/", "%", "^")
        sides = [f"({self.expression(depth)})", self.number()]
        self.rng.shuffle(sides)
        return f"{sides[0]} {operator} {sides[1]}"

    def make_compare(self, depth):
        operator = self.pick("==", "!=", "<", "<=", ">", ">=")
        modifier = self.pick("", " bool")
        right = self.pick(self.number(), f"({self.expression(depth)})")
        return f"({self.expression(depth)}) {operator}{modifier} {right}"

    def make_set(self, depth):
        operator = self.pick("and", "or", "unless")
        matching = self.pick("", "on (job) ", "on (room, host) ", "ignoring (code, instance) ")
        return f"({self.expression(depth)}) {operator} {matching}({self.expression(depth)})"

    def make_join(self, _):
        return self.pick(
            "rate(http_requests_total[5m]) * on (instance) group_left (version) build_info",
            "build_info * on (instance) group_right (version) memory_bytes",
            "http_requests_total / ignoring (code) group_left () "
            "sum without (code) (http_requests_total)",
            "sum by (version) (memory_bytes * on (instance) group_left (version) build_info)",
            "http_requests_total - on (job) group_left errors_total",
            "temperature - on (room) group_left () late",
            "memory_bytes >= on (instance) group_left (version) (build_info * 3e9)",
            "http_requests_total + on (instance) memory_bytes",  # many matches: an error
        )

    def make_maths(self, depth):
        return f"{self.rng.choice(self.MATHS)}({self.expression(depth)})"

    def make_clamp(self, depth):
        inner = self.expression(depth)
        return self.pick(f"clamp({inner}, 0, 100)", f"clamp_min({inner}, 5)",
                         f"clamp_max({inner}, 3.5)", f"round({inner})", f"round({inner}, 0.25)",
                         f"clamp({inner}, 10, 1)")

    def make_histogram(self, _):
        q = self.pick("0.5", "0.9", "0.99", "0", "1", "-0.5", "1.5", "NaN")
        inner = self.pick("rate(latency_seconds_bucket[5m])",
                          "sum by (le) (rate(latency_seconds_bucket[10m]))",
                          "sum by (le, route) (increase(latency_seconds_bucket[1h]))",
                          "latency_seconds_bucket", 'latency_seconds_bucket{le!="+Inf"}',
                          "memory_bytes")
        return f"histogram_quantile({q}, {inner})"

    def make_label_replace(self, depth):
        inner = self.expression(depth)
        return self.pick(
            f'label_replace({inner}, "kind2", "$1-x", "instance", "([a-z]).*")',
            f'label_replace({inner}, "job", "", "job", "api")',
            f'label_replace({inner}, "all", "${{1}}", "room", "(lab|hall)")',
            f'label_join({inner}, "joined", "/", "job", "room", "nosuch")')

    def make_absent(self, _):
        return self.pick('absent(nosuch{a="b", c=~"d"})', f"absent({self.selector()})")

    def make_scalar(self, depth):
        return self.pick(f"scalar({self.expression(depth)})",
                         f"vector(scalar(constant)) + {self.number()}",
                         "scalar(errors_total{job='api'}) / 2")

    def make_timestamp(self, _):
        return f"timestamp({self.rng.choice(self.SELECTORS)}{self.modifiers(one=True)})"

    def make_rank(self, _):
        inner = self.rng.choice(self.SMOOTH)
        return self.pick(f"topk(3, {inner})", f"bottomk(2, {inner})",
                         f"topk by (room) (1, {inner})", f"bottomk without (host) (2, {inner})",
                         f"sort({inner})", f"sort_desc({inner})")

    def make_subquery(self, depth):
        function = self.pick("max_over_time", "avg_over_time", "sum_over_time", "delta", "deriv",
                             "count_over_time", "quantile_over_time", "changes")
        span = self.pick("10m:1m", "30m:", "7m:20s", "1h:5m")
        parameter = "0.75, " if function == "quantile_over_time" else ""
        inner = self.pick(self.selector(), f"rate(http_requests_total[{self.pick('1m', '5m')}])",
                          f"sum by (job) ({self.selector()})")
        return f"{function}({parameter}({inner})[{span}]{self.modifiers()})"

    def make_time(self, depth):
        return self.pick("time()", f"time() - {self.make_timestamp(depth)}", "vector(time())",
                         f"hour(memory_bytes{self.modifiers()})", "minute()", "day_of_week(vector(time()))")

    def make_unary(self, depth):
        return f"-({self.expression(depth)})"

    def make_count_values(self, _):
        return self.pick('count_values("v", build_info)', 'count_values("v", round(weird))',
                         'count_values by (job) ("n", http_requests_total > 50000)')


# --- the two servers ---

def start_prometheus(directory, text):
    (directory / "samples.om").write_text(text)
    subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics",
                    str(directory / "samples.om"), str(directory / "tsdb")],
                   check=True, capture_output=True)
    return Prometheus(directory)


class Pair:
    def __init__(self, directory):
        self.start = START
        self.data = fill(Data(random.Random(SEED), self.start))
        text = self.data.text()
        self.prometheus = start_prometheus(directory, text)
        self.server = Server(directory, "retention: {raw: 50y}").start()
        reply = self.server.http("/api/v1/import", text)
        assert reply.status == 200, reply.text
        report = reply.json()["data"]
        assert report["samples"] == self.data.samples, report
        assert report["rejected"] == 0 and report["past_retention"] == 0, report

    def both(self, path, params):
        return ask(self.prometheus.url, path, params), ask(self.server.url, path, params)

    def close(self):
        self.prometheus.close()
        self.server.close()


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    pair = Pair(pathlib.Path(tmp_path_factory.mktemp("differential")))
    yield pair
    pair.close()


# --- comparison ---

def same(a, b):
    x, y = float(a), float(b)
    if math.isnan(x) or math.isnan(y):
        return math.isnan(x) and math.isnan(y)
    if math.isinf(x) or math.isinf(y):
        return x == y
    return abs(x - y) <= max(TOLERANCE * max(abs(x), abs(y)), ZERO)


def difference(expected, actual):
    """None, or what is different between two answers."""
    if expected[0] != actual[0]:
        return f"status {expected[0]} / {actual[0]}: {expected[1]} / {actual[1]}"
    if expected[0] != 200:
        return None if expected[1]["errorType"] == actual[1]["errorType"] else "error type"
    expected, actual = expected[1]["data"], actual[1]["data"]
    if expected["resultType"] != actual["resultType"]:
        return f"type {expected['resultType']} / {actual['resultType']}"
    if expected["resultType"] == "scalar":
        ok = same(expected["result"][1], actual["result"][1])
        return None if ok else f"{expected['result']} / {actual['result']}"
    return series_difference(points_by_series(expected["result"]),
                             points_by_series(actual["result"]))


def points_by_series(result):
    found = {}
    for series in result:
        key = json.dumps(series["metric"], sort_keys=True)
        assert key not in found, f"twice: {key}"
        found[key] = series["values"] if "values" in series else [series["value"]]
    return found


def series_difference(expected, actual):
    if expected.keys() != actual.keys():
        return f"missing {expected.keys() - actual.keys()}, extra {actual.keys() - expected.keys()}"
    for key, points in expected.items():
        if [t for t, _ in points] != [t for t, _ in actual[key]]:
            return f"{key}: times {points[:3]} / {actual[key][:3]}"
        for (t, a), (_, b) in zip(points, actual[key]):
            if not same(a, b):
                return f"{key} at {t}: {a} / {b}"
    return None


def run_all(pair, queries, path, params_of):
    differences, answered, failed = [], 0, 0
    for query in queries:
        params = params_of(query)
        expected, actual = pair.both(path, params)
        problem = difference(expected, actual)
        if problem:
            differences.append(f"{query}\n    {problem}")
        elif expected[0] == 200:
            answered += bool(expected[1]["data"]["result"])
        else:
            failed += 1
    print(f"{path}: {len(queries)} queries, {answered} with a result, {failed} refused by both, "
          f"{len(differences)} different")
    assert not differences, f"{len(differences)} different:\n" + "\n".join(differences[:20])
    assert answered > len(queries) / 2, "the generator makes too many empty queries"


def generate(pair, count, seed):
    made = Queries(random.Random(seed), pair.start)
    return [made.expression(made.rng.randrange(0, 4)) for _ in range(count)]


def test_instant_queries(pair):
    rng = random.Random(SEED + 1)
    run_all(pair, generate(pair, QUERIES, SEED + 2), "query",
            lambda query: {"query": query,
                           "time": pair.start + rng.randrange(300, SPAN) + TIME_OFFSET})


def test_range_queries(pair):
    rng = random.Random(SEED + 3)

    def params(query):
        start = pair.start + rng.randrange(-300, SPAN // 2) + TIME_OFFSET
        return {"query": query, "start": start, "end": start + rng.randrange(60, SPAN // 2),
                "step": rng.choice([13, 60, 97, "2m"])}
    run_all(pair, generate(pair, QUERIES, SEED + 4), "query_range", params)


def test_order_of_sorted_vectors(pair):
    at = pair.start + 5000 + TIME_OFFSET
    for query in ["sort(temperature)", "sort_desc(temperature)", "topk(4, temperature)",
                  "bottomk(4, temperature)", "sort(weird)", "sort_desc(weird)"]:
        expected, actual = pair.both("query", {"query": query, "time": at})
        orders = [[s["metric"] for s in body["data"]["result"]] for _, body in (expected, actual)]
        assert orders[0] == orders[1], query


def test_names_and_values(pair):
    params = {"start": pair.start, "end": pair.start + SPAN}
    expected, actual = pair.both("labels", params)
    assert set(expected[1]["data"]) <= set(actual[1]["data"])
    for path, match in [("series", 'http_requests_total{code="500"}'), ("series", "temperature"),
                        ("labels", "temperature"), ("labels", "latency_seconds_bucket")]:
        expected, actual = pair.both(path, {**params, "match[]": match})
        order = lambda rows: sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))
        assert order(expected[1]["data"]) == order(actual[1]["data"]), match


def test_known_zero_point(pair):
    """A counter that begins at 8 inside the window, 10 s apart: 8, 18, 28. The window [1m] ends
    8.3 s after the last sample and begins 31.7 s before the first."""
    start = pair.start + SPAN + 600
    text = "\n".join(f"fresh_total {8 + 10 * i} {start + 10 * i:.0f}000" for i in range(3))
    assert pair.server.http("/api/v1/import", text).json()["data"]["samples"] == 3
    got = pair.server.value("increase(fresh_total[1m])", time=start + 28.3)
    span, increase, to_start, to_end, interval = 20, 20, 31.7, 8.3, 10
    to_zero = span * 8 / increase  # 8 s
    as_2_42 = increase * (span + min(to_zero, to_start) + to_end) / span
    as_3 = increase * (span + min(to_zero, interval / 2) + to_end) / span
    assert as_2_42 != as_3
    assert abs(got - as_3) < 1e-9, KNOWN_DIFFERENCES["zero point"]


def test_known_fixed_window(pair):
    at = pair.start + 1000 + TIME_OFFSET
    window = f'temperature{{room="hall",host="h1"}}[3m] @ {at:.3f}'
    slope = pair.server.value(f"deriv({window})", time=at)
    _, body = ask(pair.server.url, "query_range", {"query": f"predict_linear({window}, 60)",
                                                   "start": at, "end": at + 600, "step": 100})
    values = [float(value) for _, value in body["data"]["result"][0]["values"]]
    assert len(values) == 7
    for i, value in enumerate(values):
        assert same(value, values[0] + slope * 100 * i), KNOWN_DIFFERENCES["fixed window"]


def test_known_small_ones(pair):
    at = pair.start + 5000 + TIME_OFFSET

    def ask_lapwing(query):
        return pair.server.query(query, time=at)
    named = ask_lapwing("constant atan2 constant")
    assert named[0]["metric"] == {"instance": "a1"}, KNOWN_DIFFERENCES["name after atan2"]
    assert math.isnan(pair.server.value("stddev(vector(Inf))", time=at)), \
        KNOWN_DIFFERENCES["deviation of infinity"]
    assert math.isnan(pair.server.value("hour(vector(Inf))", time=at)), \
        KNOWN_DIFFERENCES["infinite hour"]
    moved = ask_lapwing(f"timestamp(constant @ {at:.3f} offset 10m)")
    plain = ask_lapwing("timestamp(constant offset 10m)")
    assert moved == plain, KNOWN_DIFFERENCES["timestamp of offset"]
