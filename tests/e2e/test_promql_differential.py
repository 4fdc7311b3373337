"""The same samples in Debian's Prometheus and in lapwing; the same queries must give the same.

    GENERATED   2,000 distinct expressions of promql_queries.py     each as an instant query at one
    WRITTEN     those of dashboards.promql                          time, and as a range query
    REFUSED     texts that neither accepts
    mutants     1,000 texts that promql_mutants.py breaks, refused by both or by neither

Debian 12 has Prometheus 2.42; lapwing speaks Prometheus 3. What differs between them by design is
a row of DIFFERENCES: reason, what 2.42 answers, what lapwing answers, both checked. Nothing else
may differ: labels, names, times, values within 1e-9, and kinds of errors.

Windows are left-open in 3 and closed in 2.42. Samples lie at whole seconds + 617 ms, evaluation
times at + 300 ms, subquery steps at whole seconds: no window's edge ever meets a sample.

DIFF_SEED and DIFF_COUNT in the environment explore further: `DIFF_SEED=5 DIFF_COUNT=20000`.
"""
import collections
import concurrent.futures
import http.client
import json
import math
import os
import pathlib
import random
import re
import subprocess
import threading
import urllib.parse

import pytest

from conftest import Server
from peers import Prometheus
from promql_data import GRID, SPAN, START, Data, fill
from promql_mutants import mutants, why_refused, why_taken
from promql_queries import AGGREGATIONS, FUNCTIONS, OPERATORS, TIME_OFFSET, Queries

SEED = int(os.environ.get("DIFF_SEED", 20261121))
COUNT = int(os.environ.get("DIFF_COUNT", 2000))
TOLERANCE = 1e-9
# Sums that cancel leave the rounding of their terms; below this both are zero.
ZERO = 1e-12
WRITTEN = pathlib.Path(__file__).with_name("dashboards.promql")
# What 3 calls otherwise.
RENAMED = {"holt_winters": "double_exponential_smoothing"}


# --- the two servers ---

class Asker:
    """Asks one server over a connection a thread."""

    def __init__(self, url):
        self.address = urllib.parse.urlparse(url).netloc
        self.local = threading.local()

    def __call__(self, path, params):
        """Status and decoded body of /api/v1/`path`; any status is an answer."""
        if not hasattr(self.local, "connection"):
            self.local.connection = http.client.HTTPConnection(self.address, timeout=60)
        self.local.connection.request("POST", "/api/v1/" + path, urllib.parse.urlencode(params, doseq=True),
                                      {"Content-Type": "application/x-www-form-urlencoded"})
        reply = self.local.connection.getresponse()
        return reply.status, json.loads(reply.read())


class Pair:
    def __init__(self, directory):
        data = fill(Data(random.Random(20261121)))
        text = data.text()
        self.prometheus = start_prometheus(directory, text)
        self.server = Server(directory, "retention: {raw: 50y}").start()
        reply = self.server.http("/api/v1/import", text)
        assert reply.status == 200, reply.text
        report = reply.json()["data"]
        assert report["samples"] == data.samples, report
        assert report["rejected"] == 0 and report["past_retention"] == 0, report
        self.theirs, self.ours = Asker(self.prometheus.url), Asker(self.server.url)

    def both(self, path, params):
        own = dict(params)
        for old, new in RENAMED.items():
            own["query"] = own.get("query", "").replace(old, new)
        return self.theirs(path, params), self.ours(path, own)

    def close(self):
        self.prometheus.close()
        self.server.close()


def start_prometheus(directory, text):
    (directory / "samples.om").write_text(text)
    subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics",
                    str(directory / "samples.om"), str(directory / "tsdb")],
                   check=True, capture_output=True)
    return Prometheus(directory)


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


def instant(rng):
    return "query", {"time": START + rng.randrange(300, SPAN) + TIME_OFFSET}


def ranged(rng):
    start = START + rng.randrange(-300, SPAN // 2) + TIME_OFFSET
    return "query_range", {"start": start, "end": start + rng.randrange(60, SPAN // 2),
                           "step": rng.choice([13, 60, 97, "2m"])}


def run_all(pair, queries, requests, answered_at_least):
    """Every query in the form of its request (path and parameters), by a few threads."""
    count = collections.Counter()
    differences = []

    def run(query, request):
        path, params = request
        expected, actual = pair.both(path, {"query": query, **params})
        problem = difference(expected, actual)
        if problem:
            differences.append(f"{path} {params} {query}\n    {problem}")
        elif expected[0] == 200:
            count["answered"] += bool(expected[1]["data"]["result"])
        else:
            count["refused"] += 1

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(run, queries, requests))
    print(f"{len(queries)} queries, {count['answered']} with a result, {count['refused']} refused by "
          f"both, {len(differences)} different")
    assert not differences, f"{len(differences)} different:\n" + "\n".join(sorted(differences)[:40])
    assert count["answered"] > len(queries) * answered_at_least, "too many empty answers"


@pytest.fixture(scope="module")
def generated():
    return Queries(random.Random(SEED), START).distinct(COUNT)


@pytest.fixture(scope="module")
def written():
    lines = WRITTEN.read_text().splitlines()
    queries = [line for line in lines if line and not line.startswith("# ")]
    assert len(queries) == len(set(queries)) >= 350
    return queries


def test_generator_covers_the_language(generated):
    """Nothing that 2.42 knows is left to chance: each word is in one of a thousand queries or more."""
    words = collections.Counter()
    for query in generated:
        words.update(set(re.findall(r"[a-z_0-9]+|[-+*/%^=!<>]+", query)))
    parts = FUNCTIONS + AGGREGATIONS + OPERATORS + [
        "by", "without", "on", "ignoring", "group_left", "group_right", "bool", "offset", "start",
        "end"]
    rare = {part: words[part] for part in parts if words[part] * 1000 < len(generated)}
    assert not rare


@pytest.mark.parametrize("form", [instant, ranged])
def test_generated(pair, generated, form):
    rng = random.Random(SEED + 1)
    run_all(pair, generated, [form(rng) for _ in generated], 0.6)


@pytest.mark.parametrize("form", [instant, ranged])
def test_written(pair, written, form):
    rng = random.Random(20261122)
    run_all(pair, written, [form(rng) for _ in written], 0.6)


# --- what both refuse ---

REFUSED = """
sum(
sum)
(1
{}
{x=""}
{x=~".*"}
up{job=}
up{job="a"
up{job="a",,}
up{"a
up{job=~"("}
up{job=="a"}
up{=1}
up[5m
up[5]m
up[0m]
up[5m][5m]
up[-5m]
up[5x]
up[1m:1m
up[5m:0s]
up offset
up offset 1m offset 2m
1 offset 1m
up @
up @ "x"
up @ 1 @ 2
sum(up) offset 5m
rate(up)
rate(up[5m], 1)
rate()
abs(up[5m])
abs(1)
abs("x")
scalar(1)
vector(up)
nosuch(up)
sum(up[5m])
sum(1)
sum by (x)
sum by (1) (up)
sum by x (up)
sum(up) by (x) without (y)
sum(up, up)
topk(up)
topk(up, up)
topk("x", up)
quantile(up)
count_values(1, up)
up + 
+
up and 1
1 and 2
up == "x"
1 == 2
"a" + "b"
"a" == "a"
up + up[5m]
-"x"
-up[5m]
up == bool
1 bool 2
up + bool up
up and bool up
up on (x) up
up + on (x) group_left on (y) up
up and on (x) group_left () up
up + on (x) ignoring (y) up
up * group_left () up
label_replace(up, "a", "b", "c")
label_replace(up, "a", "b", "c", "(")
histogram_quantile(up)
histogram_quantile(0.9, up[5m])
absent(up[5m])
time(1)
pi(1)
holt_winters(up[5m], 0.5)
holt_winters(up[5m], 2, 0.5)
holt_winters(up[5m], 0.5, -1)
up{job="api"} * on (job) up{job="api"}
up * on () up
memory_bytes + on () group_left () memory_bytes
label_replace(up{job="api"}, "instance", "same", "instance", ".*")
sum by (job) (up) + on (nosuch) up
rate({__name__=~"node_network_.*_total", device="eth0"}[5m])
abs({__name__=~"node_load1|node_load5"})
"x
'x
`x
0x
1e
1.2.3
up{job="\\z"}
up $ 1
up; up
up # and no more )(
sum(up) )
limit(up)
""".strip("\n").splitlines()
# Comments are nothing to refuse; the one above shows that both skip them.
ACCEPTED = {"up # and no more )("}


def test_both_refuse(pair):
    at = {"time": START + 3000 + TIME_OFFSET}
    worded, problems = 0, []
    for query in REFUSED:
        expected, actual = pair.both("query", {"query": query, **at})
        assert (expected[0] == 200) == (query in ACCEPTED), (query, expected)
        problem = difference(expected, actual)
        if problem:
            problems.append(f"{query}: {problem}")
        worded += expected[1].get("error") == actual[1].get("error")
    print(f"{len(REFUSED)} texts, {worded} refused in the same words")
    assert not problems, "\n".join(problems)


def test_mutants_are_refused_alike(pair, written):
    """What 2.42 takes is taken, and what it refuses is refused, but for what 3 has added or renamed."""
    rng = random.Random(SEED)
    corpus = REFUSED + written[::3] + Queries(rng, START).distinct(200)
    texts = mutants(rng, [text for text in corpus if len(text) < 200], max(COUNT // 2, 500))
    at = {"time": START + 3000 + TIME_OFFSET}
    worded, refused, problems = 0, 0, []
    for text in texts:
        expected, actual = (ask("query", {"query": text, **at}) for ask in (pair.theirs, pair.ours))
        if expected[0] == 400 and actual[0] == 400:
            refused += 1
            worded += expected[1]["error"] == actual[1]["error"]
        elif expected[0] == 400 and not why_taken(text, expected[1]["error"]):
            problems.append(f"{text!r}: taken, but 2.42 says {expected[1]['error']}")
        elif actual[0] == 400 and not why_refused(text):
            problems.append(f"{text!r}: {actual[1]['error']}, but 2.42 takes it")
    print(f"{len(texts)} mutants, {refused} refused by both, {worded} in the same words")
    assert refused > len(texts) / 4
    assert not problems, "\n".join(problems)


# --- what differs by design ---

Difference = collections.namedtuple("Difference", "query at theirs ours why")
NONE, BAD, ANY = [], "bad_data", None
DIFFERENCES = [
    Difference("count_over_time(grid[1m])", GRID + 60, [5], [4],
               "windows are open on the left in 3: a sample at their beginning is not in them"),
    Difference("grid", GRID + 120 + 300, [120], NONE, "so is the look-back"),
    Difference("count_over_time(vector(1)[1m:1m])", GRID, [2], [1], "so are subqueries"),
    Difference("rate(grid[15s])", GRID + 60, [1], NONE, "so a window as long as the interval has one sample"),
    Difference("increase(fresh_total[1m])", GRID + 28.3, [36.3], [33.3],
               "a counter that begins near zero in the window: 2.42 weighed the 8 s to zero against the "
               "whole gap before the first sample, 3 against half an interval (pull request 13725)"),
    Difference("holt_winters(constant[10m], 0.5, 0.5)", START + 3000.3, [42.5], BAD,
               "renamed in 3, to double_exponential_smoothing"),
    Difference("stddev(vector(Inf))", GRID, [0], [math.nan],
               "deviation of one infinity is none (pull request 14941)"),
    Difference("stdvar(vector(NaN))", GRID, [0], [math.nan], "nor is that of one NaN"),
    Difference("1 / avg(vector(-1) * 0)", GRID, [-math.inf], [math.inf],
               "3 adds a compensation to sums, and -0 + 0 is 0"),
    Difference("exp(vector(709.655))", GRID, [math.inf], [1.582160562936219e308],
               "2.42 overflows on amd64, though 1.58e308 is a number yet"),
    Difference('broken{text=~"a.b"}', GRID + 1, NONE, [1], "in 3 `.` matches line breaks, too"),
    Difference("timestamp(constant @ 1700003000.3 offset 10m)", START + 4000.3,
               NONE, [1700002395.617],
               "timestamp() in Prometheus forgets an offset behind @ and finds nothing; here it counts"),
    Difference("hour(vector(Inf))", GRID, ANY, [math.nan],
               "what an infinity is as an integer depends on the machine in Go; here it is NaN"),
    Difference("vector(1) < on () group_right () grid", GRID + 61, [1], [60],
               "a comparison gives the value of the many side with group_right, too, since 3.1"),
    Difference('{"grid"}', GRID + 1, BAD, [0], "names in quotes are new in 3"),
    Difference("count_over_time(grid[45])", GRID + 50, BAD, [3], "numbers as durations are new in 3"),
    Difference("vector(1m30s)", GRID, BAD, [90], "durations as numbers are, too"),
    Difference('label_replace(grid, "a.b", "x", "", "")', GRID + 1, "execution", [0],
               "so are label names in UTF-8"),
    Difference('label_join(grid, "0", "-", "x")', GRID + 1, "execution", [0], "of any kind"),
    Difference('count_values("0", grid)', GRID + 1, "execution", [1], "wherever they are made"),
    Difference("histogram_avg(grid)", GRID + 1, BAD, NONE, "a function of 3"),
    Difference("limitk(1, grid)", GRID + 1, BAD, [0], "an aggregation of 3"),
]


def values_of(answer):
    status, body = answer
    if status != 200:
        return body["errorType"]
    return [float(row["value"][1]) for row in body["data"]["result"]]


def agrees(got, want):
    if isinstance(got, str) or isinstance(want, str):
        return got == want
    return len(got) == len(want) and all(map(same, got, want))


@pytest.mark.parametrize("row", DIFFERENCES, ids=lambda row: row.query)
def test_what_differs_by_design(pair, row):
    params = {"query": row.query, "time": row.at}
    theirs, ours = values_of(pair.theirs("query", params)), values_of(pair.ours("query", params))
    assert row.theirs is ANY or agrees(theirs, row.theirs), f"2.42 answers {theirs}: {row.why}"
    assert agrees(ours, row.ours), f"lapwing answers {ours}: {row.why}"


def test_name_after_atan2(pair):
    """2.42 kept the metric's name after atan2, which is arithmetic like the rest."""
    answers = pair.both("query", {"query": "constant atan2 constant", "time": START + 3000.3})
    names = [body["data"]["result"][0]["metric"].get("__name__") for _, body in answers]
    assert names == ["constant", None]


def test_predict_linear_over_a_fixed_window(pair):
    """Over a window fixed by @ 2.42 moved the window with the steps, which later versions mended:
    the line stays the same, so its values are equidistant."""
    at = START + 1000 + TIME_OFFSET
    window = f'temperature{{room="hall",host="h1"}}[3m] @ {at:.3f}'
    slope = pair.server.value(f"deriv({window})", time=at)
    _, body = pair.ours("query_range", {"query": f"predict_linear({window}, 60)",
                                        "start": at, "end": at + 600, "step": 100})
    values = [float(value) for _, value in body["data"]["result"][0]["values"]]
    assert len(values) == 7
    for i, value in enumerate(values):
        assert same(value, values[0] + slope * 100 * i)


# --- order, names ---

def test_order_of_sorted_vectors(pair):
    at = START + 5000 + TIME_OFFSET
    for query in ["sort(temperature)", "sort_desc(temperature)", "topk(4, temperature)",
                  "bottomk(4, temperature)", "sort(weird)", "sort_desc(weird)"]:
        expected, actual = pair.both("query", {"query": query, "time": at})
        orders = [[s["metric"] for s in body["data"]["result"]] for _, body in (expected, actual)]
        assert orders[0] == orders[1], query


def test_names_and_values(pair):
    params = {"start": START, "end": START + SPAN}
    expected, actual = pair.both("labels", params)
    assert set(expected[1]["data"]) <= set(actual[1]["data"])
    for path, match in [("series", 'http_requests_total{code="500"}'), ("series", "temperature"),
                        ("series", '{__name__=~"node_load.*",instance!=""}'),
                        ("labels", "temperature"), ("labels", "latency_seconds_bucket")]:
        expected, actual = pair.both(path, {**params, "match[]": match})
        order = lambda rows: sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))
        assert order(expected[1]["data"]) == order(actual[1]["data"]), match
