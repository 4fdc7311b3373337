"""A seeded generator of well-typed PromQL over the data of promql_data.py.

    made = Queries(random.Random(7), START); made.expression(3)

It knows all that Prometheus 2.42 knows: FUNCTIONS, AGGREGATIONS, each operator with each way of
matching, subqueries in subqueries, offset and @. What makes a whole step of a last bit is kept out:
floor() and its like, % and ^ get operands that are exact, small, or not near a step, and ranks are
only asked about values without ties.
"""
from promql_data import SPAN

TIME_OFFSET = 0.300  # of evaluation times, so that no window's edge ever meets a sample

TRIGONOMETRY = ["sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh",
                "acosh", "atanh", "deg", "rad"]
MATHS = ["abs", "exp", "ln", "log2", "log10", "sqrt", "sgn"]
ROUNDING = ["ceil", "floor", "round"]
DATES = ["minute", "hour", "day_of_week", "day_of_month", "day_of_year", "days_in_month", "month",
         "year"]
OVER = ["avg", "min", "max", "sum", "count", "stddev", "stdvar", "last", "present"]
FUNCTIONS = TRIGONOMETRY + MATHS + ROUNDING + DATES + [f"{name}_over_time" for name in OVER] + [
    "absent", "absent_over_time", "changes", "clamp", "clamp_max", "clamp_min", "delta", "deriv",
    "histogram_quantile", "holt_winters", "idelta", "increase", "irate", "label_join",
    "label_replace", "pi", "predict_linear", "quantile_over_time", "rate", "resets", "scalar",
    "sort", "sort_desc", "time", "timestamp", "vector"]
AGGREGATIONS = ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "topk", "bottomk",
                "quantile", "count_values"]
OPERATORS = ["+", "-", "*", "/", "%", "^", "atan2", "==", "!=", "<", "<=", ">", ">=", "and", "or",
             "unless"]


class Queries:
    SELECTORS = [
        "http_requests_total", 'http_requests_total{code="500"}',
        'http_requests_total{job="api"}', 'http_requests_total{code=~"4..|5..",job!="web"}',
        "errors_total", 'temperature{room="lab"}', "temperature", 'temperature{host!~"h[12]"}',
        "memory_bytes", "late", "constant", "weird", 'weird{kind=~"n.*|m.*"}', "build_info",
        "latency_seconds_count", 'latency_seconds_bucket{route="/buy"}', "absent_metric",
        '{__name__=~"late|constant"}', 'temperature{room=""}', "node_load1",
        'node_filesystem_avail_bytes{fstype!="tmpfs"}', "kube_pod_status_phase", "up",
        'node_cpu_seconds_total{mode!="idle"}', "aws_cost_dollars",
    ]
    SMOOTH = ["temperature", 'temperature{room=~"lab|roof"}', "avg_over_time(temperature[3m])",
              "deriv(temperature[5m])", "quantile_over_time(0.3, temperature[7m])"]
    COUNTERS = ["http_requests_total", 'http_requests_total{code="500"}', "errors_total",
                'http_requests_total{job="api"}', "latency_seconds_count", "absent_metric",
                'http_requests_total{code=~"4..|5..",job!="web"}',
                'latency_seconds_bucket{route="/buy"}', "latency_seconds_sum",
                "node_cpu_seconds_total", 'apiserver_request_total{code!="200"}']
    FINITE = SMOOTH + COUNTERS + ["rate(http_requests_total[5m])", "late", "memory_bytes / 1e6"]
    LABELS = ["job", "instance", "code", "room", "host", "route", "kind", "nosuch"]
    RANGES = ["1m", "2m", "5m", "7m30s", "20m", "1h"]
    KINDS = ["selector", "rate", "over", "aggregate", "arithmetic", "scalar_arithmetic", "compare",
             "set", "join", "maths", "trigonometry", "trigonometry", "rounding", "clamp", "histogram",
             "label_replace", "absent", "scalar", "timestamp", "rank", "subquery",
             "nested_subquery", "date", "time", "unary", "count_values", "smoothing", "regroup"]

    def __init__(self, rng, start):
        self.rng, self.start = rng, start

    def pick(self, *choices):
        return self.rng.choice(choices)

    def distinct(self, count):
        """`count` different expressions."""
        found = {}
        while len(found) < count:
            found.setdefault(self.expression(self.rng.randrange(0, 4)))
        return list(found)

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
        return self.pick("0", "1", "2.5", "-3", "1e3", "0.001", "100", "Inf", "NaN", "0x1F", "pi()")

    def grouping(self):
        labels = ", ".join(self.rng.sample(self.LABELS, self.rng.randrange(0, 3)))
        return self.pick("", f" by ({labels}) ", f" without ({labels}) ")

    def expression(self, depth=3):
        if depth == 0:
            return self.selector()
        return getattr(self, "make_" + self.rng.choice(self.KINDS))(depth - 1)

    # --- selectors and windows ---

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
        return f"{self.rng.choice(OVER)}_over_time({self.ranged()})"

    def make_smoothing(self, _):
        inner = self.rng.choice(self.COUNTERS + ["temperature", "late", "weird", "node_load1"])
        return f"holt_winters({self.ranged(inner)}, {self.pick('0.3', '0.7')}, " \
               f"{self.pick('0.1', '0.6')})"

    def make_subquery(self, _):
        function = self.pick("max_over_time", "avg_over_time", "sum_over_time", "delta", "deriv",
                             "count_over_time", "quantile_over_time", "changes", "last_over_time")
        span = self.pick("10m:1m", "30m:", "7m:20s", "1h:5m")
        parameter = "0.75, " if function == "quantile_over_time" else ""
        inner = self.pick(self.selector(), f"rate(http_requests_total[{self.pick('1m', '5m')}])",
                          f"sum by (job) ({self.selector()})")
        return f"{function}({parameter}({inner})[{span}]{self.modifiers()})"

    def make_nested_subquery(self, _):
        inner = self.pick("avg_over_time(temperature[2m])", "sum by (job) (irate(errors_total[1m]))",
                          "max_over_time(node_load1[3m10s:30s])", "memory_bytes > 3e9", "vector(time() / 7)")
        outer = self.pick("max_over_time", "min_over_time", "stddev_over_time", "present_over_time")
        # The outer steps are whole minutes: the inner window's beginning must not be a step of it.
        return f"{outer}(avg_over_time(({inner})[{self.pick('5m20s:1m', '4m10s:30s')}]{self.modifiers()})" \
               f"[{self.pick('10m:2m', '20m:', '15m:3m')}]{self.modifiers()})"

    # --- aggregations ---

    def make_aggregate(self, depth):
        operator = self.pick("sum", "sum", "avg", "min", "max", "count", "group", "stddev",
                             "stdvar", "quantile")
        parameter = self.pick("0.5, ", "0.95, ", "0, ", "1.5, ", "scalar(vector(0.25)), ") \
            if operator == "quantile" else ""
        finite = operator in ("stddev", "stdvar")
        inner = self.rng.choice(self.FINITE) if finite else self.expression(depth)
        grouping = self.grouping()
        if self.rng.random() < 0.3:
            return f"{operator}({parameter}{inner}){grouping}"
        return f"{operator}{grouping}({parameter}{inner})"

    def make_regroup(self, depth):
        """An aggregation of an aggregation."""
        outer, inner = self.pick("sum", "max", "avg", "count"), self.pick("sum", "min", "count", "group")
        return f"{outer}{self.grouping()}({inner} by (job, instance, room) ({self.expression(depth)}))"

    def make_rank(self, _):
        inner = self.rng.choice(self.SMOOTH)
        return self.pick(f"topk(3, {inner})", f"bottomk(2, {inner})",
                         f"topk by (room) (1, {inner})", f"bottomk without (host) (2, {inner})",
                         f"topk(scalar(count(up)) - 3, {inner})", f"bottomk(0, {inner})",
                         f"sort({inner})", f"sort_desc({inner})")

    def make_count_values(self, _):
        return self.pick('count_values("v", build_info)', 'count_values("v", round(weird))',
                         'count_values by (job) ("n", http_requests_total > 50000)',
                         'count_values without (pod) ("phase", kube_pod_status_phase)',
                         'count_values("job", up)')

    # --- operators ---

    def make_arithmetic(self, depth):
        operator = self.pick("+", "-", "*", "/", "%", "^", "atan2")
        if operator not in ("atan2", "%") and self.rng.random() < 0.5:
            side = self.expression(depth)
            right = f"clamp({side}, -20.5, 20.5)" if operator == "^" else f"({side})"
            return f"({side}) {operator} {right}"
        matching = self.pick(" ", " on (job) ", " ignoring (code) ", " on () ")
        if operator == "%":
            return f"max by (job) ({self.selector()}) %{matching}" \
                   f"(min by (job) ({self.selector()}) + 0.7310234)"
        return f"sum by (job) ({self.selector()}) {operator}{matching}" \
               f"avg by (job) ({self.expression(depth)})"

    def make_scalar_arithmetic(self, depth):
        operator = self.pick("+", "-", "*", "/", "^", "%")
        if operator == "%":
            return f"clamp({self.expression(depth)}, -1e4, 1e4) % " + \
                self.pick("7.130257", "0", "Inf", "-31.70011")
        sides = [f"({self.expression(depth)})", self.number()]
        self.rng.shuffle(sides)
        return f"{sides[0]} {operator} {sides[1]}"

    def make_compare(self, depth):
        operator = self.pick("==", "!=", "<", "<=", ">", ">=")
        modifier = self.pick("", " bool")
        matching = self.pick("", "", " on (job, instance)", " ignoring (code)")
        right = self.pick(self.number(), f"({self.expression(depth)})")
        if not right.startswith("("):
            matching = ""
        return f"({self.expression(depth)}) {operator}{modifier}{matching} {right}"

    def make_set(self, depth):
        operator = self.pick("and", "or", "unless")
        matching = self.pick("", "on (job) ", "on (room, host) ", "ignoring (code, instance) ",
                             "on () ")
        return f"({self.expression(depth)}) {operator} {matching}({self.expression(depth)})"

    def make_join(self, _):
        many = self.pick("rate(http_requests_total[5m])", "memory_bytes", 'http_requests_total{code="200"}',
                         "http_requests_total offset 2m")
        one = self.pick("build_info", "build_info * 1e9", "max by (instance, version) (build_info)")
        operator = self.pick("*", "+", "-", "/", "^", ">", "<=", "> bool", "!= bool", "!=")
        include = self.pick("", " (version)", " (version, nosuch)")
        joined = f"{many} {operator} on (instance) group_left{include} {one}"
        # A comparison's value is that of its left side only up to Prometheus 3.0: not asked here.
        turned = operator if " bool" in operator or operator[0] not in "><!" else "-"
        return self.pick(
            joined, f"{one} {turned} on (instance) group_right{include} {many}",
            f"sum by (version) ({joined})",
            "http_requests_total / ignoring (code) group_left () "
            "sum without (code) (http_requests_total)",
            "http_requests_total - on (job) group_left errors_total",
            "temperature - on (room) group_left () late",
            "late == ignoring (host) group_right () temperature",
            "kube_pod_status_phase * on (namespace, pod) group_left (node) kube_pod_info",
            "http_requests_total + on (instance) memory_bytes",  # many matches: an error
            "memory_bytes + on () group_left () node_load1",     # many on the one side: an error
        )

    def make_unary(self, depth):
        return f"{self.pick('-', '+', '--')}({self.expression(depth)})"

    # --- functions of vectors ---

    def make_maths(self, depth):
        return f"{self.rng.choice(MATHS)}({self.expression(depth)})"

    def make_trigonometry(self, depth):
        inner = self.pick(self.rng.choice(self.FINITE), "weird", "weird / 5", "temperature / 40",
                          self.expression(depth))
        inner = inner if len(inner) < 60 else "temperature"
        return f"{self.rng.choice(TRIGONOMETRY)}({inner})"

    def make_rounding(self, depth):
        function = self.rng.choice(ROUNDING)
        step = self.pick("", ", 0.25", ", 10", ", -3") if function == "round" else ""
        return f"{function}(({self.expression(depth)}) + 0.0731{step})"

    def make_clamp(self, depth):
        inner = self.expression(depth)
        return self.pick(f"clamp({inner}, 0, 100)", f"clamp_min({inner}, 5)",
                         f"clamp_max({inner}, 3.5)", f"clamp({inner}, NaN, 1)",
                         f"clamp({inner}, 10, 1)", f"clamp_min({inner}, scalar(constant))")

    def make_histogram(self, _):
        q = self.pick("0.5", "0.9", "0.99", "0", "1", "-0.5", "1.5", "NaN", "scalar(vector(0.7))")
        inner = self.pick("rate(latency_seconds_bucket[5m])",
                          "sum by (le) (rate(latency_seconds_bucket[10m]))",
                          "sum by (le, route) (increase(latency_seconds_bucket[1h]))",
                          "latency_seconds_bucket", 'latency_seconds_bucket{le!="+Inf"}',
                          "sum by (le, verb) (rate(apiserver_request_duration_seconds_bucket[5m]))",
                          "sum without (instance) (etcd_disk_wal_fsync_duration_seconds_bucket)",
                          'latency_seconds_bucket{le=~"0.5|[+]Inf"}', "memory_bytes")
        return f"histogram_quantile({q}, {inner})"

    def make_label_replace(self, depth):
        inner = self.expression(depth)
        return self.pick(
            f'label_replace({inner}, "kind2", "$1-x", "instance", "([a-z]).*")',
            f'label_replace({inner}, "job", "", "job", "api")',
            f'label_replace({inner}, "all", "${{1}}", "room", "(lab|hall)")',
            f'label_replace({inner}, "__name__", "renamed_$1", "job", "(.*)")',
            f'label_replace({inner}, "room", "${{second}}", "instance", "(.)(?P<second>.*)")',
            f'label_join({inner}, "joined", "/", "job", "room", "nosuch")',
            f'label_join({inner}, "job", "", "nosuch")', f'label_join({inner}, "none", ",")')

    def make_absent(self, _):
        return self.pick('absent(nosuch{a="b", c=~"d"})', f"absent({self.selector()})",
                         f"absent(sum by (job) ({self.selector()}))", 'absent(up{job="x",job="y",a="b"})')

    # --- scalars and times ---

    def make_scalar(self, depth):
        return self.pick(f"scalar({self.expression(depth)})",
                         f"vector(scalar(constant)) + {self.number()}",
                         "scalar(errors_total{job='api'}) / 2", f"vector({self.number()})",
                         f"2 * pi() > bool {self.number()}", f"-{self.pick('1', '2')} ^ 2 + 7 % 4.5")

    def make_timestamp(self, _):
        return self.pick(f"timestamp({self.rng.choice(self.SELECTORS)}{self.modifiers(one=True)})",
                         "timestamp(sum by (room) (temperature))", "timestamp(timestamp(late))")

    def make_date(self, _):
        inner = self.pick("", f"memory_bytes{self.modifiers()}", "vector(time())", "node_boot_time_seconds",
                          "vector(-86400 * 200.5)", "timestamp(up)", "vector(time() * 1.37)",
                          "node_time_seconds", "temperature * 1e7")
        return f"{self.rng.choice(DATES)}({inner})"

    def make_time(self, depth):
        return self.pick("time()", f"time() - {self.make_timestamp(depth)}", "vector(time())",
                         "time() % 86400.25", f"{self.selector()} > time() / 1e4",
                         "time() - node_boot_time_seconds")
