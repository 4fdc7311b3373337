"""The samples that Prometheus and lapwing are compared over: the same text for the same seed.

Two hours, a sample every 15 s (services) or 30 s (machines and clusters), at whole seconds + 617 ms:
counters with resets, gauges with gaps, NaN and infinities, families of `le` buckets. The second
half has the names and labels that node_exporter, kube-state-metrics, cAdvisor and the like expose,
for the expressions of dashboards.promql.
"""
import math

SPAN = 2 * 3600
STEP = 15
START = 1_700_000_040
SAMPLE_OFFSET = 0.617


class Data:
    """Families of series as OpenMetrics text."""

    def __init__(self, rng, start=START):
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
        """Begins so high that the way to zero plays no part in what rate() extrapolates."""
        value = float(self.rng.randrange(20000, 90000) + 2000 * busy)
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

    def constant(self, value, **kwargs):
        return ((t, float(value)) for t in self.times(**kwargs))

    def choice(self, values, stay=0.9, **kwargs):
        """One of `values`, changing now and then."""
        value = self.rng.choice(values)
        for t in self.times(**kwargs):
            yield t, float(value)
            if self.rng.random() > stay:
                value = self.rng.choice(values)

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
    fill_services(data)
    fill_odd(data)
    fill_histogram(data, "latency_seconds", [{"route": r} for r in ["/", "/buy", "/login"]],
                   [0.005, 0.05, 0.1, 0.5, 1.0, 2.5])
    fill_machines(data)
    fill_cluster(data)
    fill_middleware(data)
    fill_grid(data)
    return data


def fill_services(data):
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
    data.family("build_info", "gauge")
    for instance, version in [("a1", "1.0"), ("a2", "1.0"), ("w1", "1.1"), ("w2", "2.0")]:
        data.series("build_info", {"instance": instance, "version": version}, data.constant(1))


def fill_odd(data):
    rng = data.rng
    data.family("late", "gauge")
    data.series("late", {"room": "lab"}, data.gauge(5, 9, 3, begin=3000, end=6000))
    data.series("late", {"room": "roof"}, data.gauge(5, 9, 3, step=47))
    data.family("constant", "gauge")
    data.series("constant", {"instance": "a1"}, data.constant(42.5))
    data.family("weird", "gauge")
    for kind, odd in [("nan", math.nan), ("inf", math.inf), ("minus", -math.inf)]:
        data.series("weird", {"kind": kind},
                    ((t, odd if rng.random() < 0.1 else rng.uniform(-5, 5))
                     for t in data.times()))


def fill_histogram(data, name, label_sets, bounds, step=STEP):
    bounds = [*bounds, math.inf]
    data.family(name, "histogram")
    for labels in label_sets:
        counts, total, rows = [1000 * (i + 1) for i in range(len(bounds))], 5000.0, []
        for t in data.times(step=step):
            for _ in range(data.rng.randrange(3, 40)):
                value = round(data.rng.lognormvariate(-2, 1.2), 4)
                total += value
                for i, bound in enumerate(bounds):
                    counts[i] += value <= bound
            rows.append((t, list(counts), round(total, 4)))
        for i, bound in enumerate(bounds):
            data.series(name + "_bucket", {**labels, "le": number(bound)},
                        ((t, float(c[i])) for t, c, _ in rows))
        data.series(name + "_sum", labels, ((t, s) for t, _, s in rows))
        data.series(name + "_count", labels, ((t, float(c[-1])) for t, c, _ in rows))


# --- what exporters of machines, clusters and middleware expose ---

NODES = ["10.0.0.1:9100", "10.0.0.2:9100"]
NODE_JOB = {"job": "node"}
CLUSTER_STEP = 30


def add(data, name, kind, rows, make):
    """A family with one series for each label set of `rows`; make(labels) gives its points."""
    data.family(name.removesuffix("_total") if kind == "counter" else name, kind)
    for labels in rows:
        data.series(name, labels, make(labels))


def gauges(data, name, rows, low, high, digits=2, **kwargs):
    add(data, name, "gauge", rows, lambda _: data.gauge(low, high, digits, step=CLUSTER_STEP, **kwargs))


def counters(data, name, rows, busy, resets=0):
    add(data, name, "counter", rows,
        lambda _: data.counter(busy=busy, resets=resets, step=CLUSTER_STEP))


def constants(data, name, rows, value):
    add(data, name, "gauge", rows, lambda _: data.constant(value, step=CLUSTER_STEP))


def choices(data, name, rows, values, stay=0.95):
    add(data, name, "gauge", rows, lambda _: data.choice(values, stay, step=CLUSTER_STEP))


def product(base, **labels):
    """All combinations: product({}, a=["1", "2"], b=["x"])."""
    rows = [dict(base)]
    for name, values in labels.items():
        rows = [{**row, name: value} for row in rows for value in values]
    return rows


def fill_machines(data):
    node = product(NODE_JOB, instance=NODES)
    mode = {"idle": 28, "user": 9, "system": 5, "iowait": 3, "steal": 2}
    add(data, "node_cpu_seconds_total", "counter",
        product(NODE_JOB, instance=NODES, cpu=["0", "1"], mode=list(mode)),
        lambda row: data.counter(busy=mode[row["mode"]], step=CLUSTER_STEP))
    constants(data, "node_memory_MemTotal_bytes", node, 16e9)
    gauges(data, "node_memory_MemAvailable_bytes", node, 1e9, 9e9, 0)
    gauges(data, "node_memory_MemFree_bytes", node, 2e8, 1e9, 0)
    gauges(data, "node_memory_Cached_bytes", node, 1e9, 3e9, 0)
    gauges(data, "node_memory_Buffers_bytes", node, 1e8, 2e8, 0)
    constants(data, "node_memory_SwapTotal_bytes", node, 0)
    counters(data, "node_vmstat_pgmajfault", node, 40)
    disk = [{**row, "device": device, "fstype": fstype, "mountpoint": mount}
            for row in node for device, fstype, mount in
            [("/dev/sda1", "ext4", "/"), ("/dev/sdb1", "xfs", "/data"), ("tmpfs", "tmpfs", "/run")]]
    constants(data, "node_filesystem_size_bytes", disk, 1e11)
    gauges(data, "node_filesystem_avail_bytes", disk, 5e9, 6e10, 0)
    constants(data, "node_filesystem_files", disk, 6e6)
    gauges(data, "node_filesystem_files_free", disk, 1e5, 5e6, 0)
    choices(data, "node_filesystem_readonly", disk, [0, 0, 0, 1])
    device = product(NODE_JOB, instance=NODES, device=["eth0", "lo", "veth1a2b"])
    for name, busy in [("receive_bytes", 90000), ("transmit_bytes", 50000), ("receive_packets", 900),
                       ("receive_errs", 2), ("receive_drop", 3)]:
        counters(data, f"node_network_{name}_total", device, busy, resets=1)
    choices(data, "node_network_up", device, [1, 1, 0])
    block = product(NODE_JOB, instance=NODES, device=["sda", "dm-0"])
    counters(data, "node_disk_io_time_seconds_total", block, 25)
    counters(data, "node_disk_read_bytes_total", block, 80000)
    counters(data, "node_disk_written_bytes_total", block, 80000)
    for name in ["load1", "load5", "load15"]:
        gauges(data, f"node_{name}", node, 0.1, 6)
    gauges(data, "node_timex_offset_seconds", node, -0.08, 0.08, 6)
    choices(data, "node_timex_sync_status", node, [0, 1])
    constants(data, "node_boot_time_seconds", node, data.start - 86400)
    add(data, "node_time_seconds", "gauge", node,
        lambda _: ((t, round(t + 0.25, 3)) for t in data.times(step=CLUSTER_STEP)))
    constants(data, "node_uname_info",
              [{**row, "nodename": f"node-{i}", "release": f"6.{i}"} for i, row in enumerate(node)], 1)
    counters(data, "node_context_switches_total", node, 9000, resets=1)
    choices(data, "up", node + product({"job": "api"}, instance=["a1", "a2", "a3"]), [1, 1, 1, 0])


PODS = [("shop", "shop-7d9f-a", "node-0"), ("shop", "shop-7d9f-b", "node-1"),
        ("shop", "cart-55c8-x", "node-1"), ("monitoring", "prom-0", "node-0")]


def fill_cluster(data):
    pod = [{"namespace": n, "pod": p} for n, p, _ in PODS]
    container = [{**row, "container": c} for row in pod for c in ["main", "proxy"]]
    constants(data, "kube_pod_info", [{"namespace": n, "pod": p, "node": h, "uid": f"u{i}"}
                                      for i, (n, p, h) in enumerate(PODS)], 1)
    constants(data, "kube_pod_owner", [
        {**row, "owner_kind": "StatefulSet" if row["pod"] == "prom-0" else "ReplicaSet",
         "owner_name": row["pod"].rsplit("-", 1)[0]} for row in pod], 1)
    phase = [{**row, "phase": p} for row in pod for p in ["Running", "Pending", "Failed"]]
    choices(data, "kube_pod_status_phase", phase, [0, 1])
    choices(data, "kube_pod_status_ready", product({"condition": "true"}, pod=[p for _, p, _ in PODS]),
            [0, 1])
    counters(data, "kube_pod_container_status_restarts_total", container, 2)
    add(data, "kube_pod_container_status_waiting_reason", "gauge",
        [{**container[0], "reason": "CrashLoopBackOff"}, {**container[3], "reason": "ImagePullBackOff"}],
        lambda _: data.constant(1, begin=1200, end=4800, step=CLUSTER_STEP))
    for kind, factor in [("requests", 1), ("limits", 2)]:
        rows = [{**row, "resource": r, "unit": u} for row in container
                for r, u in [("cpu", "core"), ("memory", "byte")]]
        add(data, f"kube_pod_container_resource_{kind}", "gauge", rows,
            lambda row, factor=factor: data.constant(factor * (0.25 if row["unit"] == "core" else 5e8),
                                                     step=CLUSTER_STEP))
    deployment = product({"namespace": "shop"}, deployment=["shop", "cart"])
    constants(data, "kube_deployment_spec_replicas", deployment, 2)
    choices(data, "kube_deployment_status_replicas_available", deployment, [1, 2])
    choices(data, "kube_deployment_status_observed_generation", deployment, [3, 4])
    constants(data, "kube_deployment_metadata_generation", deployment, 4)
    condition = product({}, node=["node-0", "node-1"], condition=["Ready", "MemoryPressure"],
                        status=["true", "false", "unknown"])
    choices(data, "kube_node_status_condition", condition, [0, 1])
    constants(data, "kube_node_status_allocatable",
              [{"node": n, "resource": r, "unit": u} for n in ["node-0", "node-1"]
               for r, u in [("cpu", "core"), ("memory", "byte"), ("pods", "integer")]], 8)
    choices(data, "kube_job_status_failed", product({"namespace": "shop"}, job_name=["mail", "bill"]),
            [0, 1])
    image = [{**row, "image": f"registry.local/{row['container']}:1"} for row in container]
    counters(data, "container_cpu_usage_seconds_total", image, 12, resets=1)
    gauges(data, "container_memory_working_set_bytes", image, 1e8, 9e8, 0)
    gauges(data, "container_memory_rss", image, 5e7, 5e8, 0, gaps=GAPS[1])
    counters(data, "container_cpu_cfs_periods_total", container, 300)
    counters(data, "container_cpu_cfs_throttled_periods_total", container, 90)
    counters(data, "container_network_receive_bytes_total",
             [{**row, "interface": "eth0"} for row in pod], 90000)
    counters(data, "apiserver_request_total", product(
        {"job": "apiserver"}, verb=["GET", "LIST", "POST"], code=["200", "429", "503"],
        resource=["pods", "nodes"]), 60, resets=1)
    fill_histogram(data, "apiserver_request_duration_seconds",
                   product({"job": "apiserver"}, verb=["GET", "LIST"]),
                   [0.05, 0.1, 0.2, 0.4, 1.0, 5.0], CLUSTER_STEP)


def fill_middleware(data):
    member = product({"job": "etcd"}, instance=["e1", "e2", "e3"])
    choices(data, "etcd_server_has_leader", member, [1, 1, 1, 0])
    counters(data, "etcd_server_leader_changes_seen_total", member, 2)
    gauges(data, "etcd_mvcc_db_total_size_in_bytes", member, 1e9, 7e9, 0)
    fill_histogram(data, "etcd_disk_wal_fsync_duration_seconds", member,
                   [0.001, 0.008, 0.064, 0.256, 1.024], CLUSTER_STEP)
    probe = product({"job": "blackbox"}, instance=["https://shop.example", "https://api.example"])
    choices(data, "probe_success", probe, [1, 1, 0])
    constants(data, "probe_ssl_earliest_cert_expiry", probe, data.start + 12 * 86400)
    gauges(data, "probe_duration_seconds", probe, 0.02, 2, 4, gaps=GAPS[2])
    choices(data, "probe_http_status_code", probe, [200, 301, 503])
    gauges(data, "pg_stat_activity_count", product({"server": "pg1"}, datname=["shop", "mail"],
                                                   state=["active", "idle"]), 1, 90, 0)
    constants(data, "pg_settings_max_connections", [{"server": "pg1"}], 100)
    counters(data, "pg_stat_database_blks_hit", product({"server": "pg1"}, datname=["shop", "mail"]), 900)
    counters(data, "pg_stat_database_blks_read", product({"server": "pg1"}, datname=["shop", "mail"]), 50)
    gauges(data, "redis_memory_used_bytes", product({}, instance=["r1", "r2"]), 1e8, 9e8, 0)
    constants(data, "redis_memory_max_bytes", product({}, instance=["r1", "r2"]), 1e9)
    counters(data, "redis_commands_processed_total", product({}, instance=["r1", "r2"]), 4000, resets=2)
    gauges(data, "kafka_consumergroup_lag", product({"consumergroup": "mail"}, topic=["orders", "users"],
                                                    partition=["0", "1", "2"]), 0, 5000, 0)
    gauges(data, "rabbitmq_queue_messages", product({"vhost": "/"}, queue=["in", "out", "dead"]), 0, 900, 0)
    gauges(data, "jvm_memory_used_bytes", product({"instance": "j1"}, area=["heap", "nonheap"],
                                                  id=["eden", "old"]), 1e7, 5e8, 0)
    constants(data, "jvm_memory_max_bytes", product({"instance": "j1"}, area=["heap", "nonheap"],
                                                    id=["eden", "old"]), -1)
    add(data, "prometheus_target_interval_length_seconds", "gauge",
        product({"interval": "15s"}, quantile=["0.5", "0.9", "0.99"]),
        lambda _: data.gauge(14.9, 15.4, 4, step=CLUSTER_STEP))
    counters(data, "nginx_http_requests_total", product({"host": "edge1"}, status=["200", "301", "404", "500"]),
             700, resets=1)
    add(data, "aws_cost_dollars", "gauge", product({}, account=["a", "b"]),
        lambda _: data.choice([12.5, 17.25, math.nan], 0.8, step=300))


# --- for test_what_differs_by_design ---

GRID = START + SPAN + 600  # a multiple of a minute


def fill_grid(data):
    """Samples at whole multiples of 15 s, a counter that begins at 8, a label with a line break."""
    data.family("grid", "gauge")
    data.series("grid", {}, ((GRID + t, float(t)) for t in range(0, 121, 15)))
    data.family("fresh", "counter")
    data.series("fresh_total", {}, ((GRID + 10 * i, 8.0 + 10 * i) for i in range(3)))
    data.family("broken", "gauge")
    data.series("broken", {"text": "a\\nb"}, [(GRID, 1.0)])
