/* config: the one table of options.
 *
 * To add an option: a member in struct config and a row here. Loading, unknown-key errors,
 * --print-config, --check-config and docs/CONFIG.md follow from the row. Rows of one section stand
 * together.
 *
 * Deliberately absent: options on the command line. One file says how the server runs.
 */
#include "server/config_options.h"

#include <stddef.h>

#include "query/fan.h"
#include "server/wire/statsd_profile.h"
#include "storage/base/log.h"

#define AT(member) offsetof(struct config, member)

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error", NULL};

static const char *const profile_names[] = {[STATSD_UNION] = "union",
                                            [STATSD_ETSY] = "etsy",
                                            [STATSD_DOGSTATSD] = "dogstatsd",
                                            [STATSD_STATSITE] = "statsite",
                                            NULL};
static const char *const listener_profile_names[] = {
    [PROFILE_DEFAULT] = "default",      [1 + STATSD_UNION] = "union",
    [1 + STATSD_ETSY] = "etsy",         [1 + STATSD_DOGSTATSD] = "dogstatsd",
    [1 + STATSD_STATSITE] = "statsite", NULL};

static const char *const gauge_sign_names[] = {[GAUGE_SIGN_PROFILE] = "profile",
                                               [GAUGE_SIGN_DELTA] = "delta",
                                               [GAUGE_SIGN_ABSOLUTE] = "absolute",
                                               NULL};

const struct option config_options[] = {
    {
        .path = "data_dir",
        .type = OPTION_STRING,
        .offset = AT(data_dir),
        .fallback = "./data",
        .help = "Directory of the store; made if it does not exist.",
    },
    {
        .path = "log_level",
        .type = OPTION_CHOICE,
        .offset = AT(log_level),
        .fallback = "info",
        .choices = level_names,
        .help = "The server's own log lines below this level are not written.",
    },
    {
        .path = "http.listen",
        .type = OPTION_ADDRESS,
        .offset = AT(http.listen),
        .fallback = "127.0.0.1:8127",
        .help = "All HTTP surfaces. Must be a loopback address: there is no authentication yet.",
    },
    {
        .path = "http.workers",
        .type = OPTION_INT,
        .offset = AT(http.workers),
        .fallback = "4",
        .min = 1,
        .max = 64,
        .help = "Threads that run requests; queries have others, see limits.query_concurrency.",
    },
    {
        .path = "http.body_max",
        .type = OPTION_BYTES,
        .offset = AT(http.body_max),
        .fallback = "20MiB",
        .min = KIB,
        .max = GIB,
        .help = "Largest request body as sent; larger ones get status 413.",
    },
    {
        .path = "http.inflated_max",
        .type = OPTION_BYTES,
        .offset = AT(http.inflated_max),
        .fallback = "100MiB",
        .min = KIB,
        .max = GIB,
        .help = "Largest request body after decompression.",
    },
    {
        .path = "http.connection_max",
        .type = OPTION_INT,
        .offset = AT(http.connection_max),
        .fallback = "1000",
        .min = 1,
        .max = 60000,
        .help = "Connections open at once; further ones are closed at once.",
    },
    {
        .path = "http.timeout",
        .type = OPTION_DURATION,
        .offset = AT(http.timeout_ms),
        .fallback = "30s",
        .min = SECOND,
        .max = HOUR,
        .help = "A request must have arrived this long after its first byte; an idle connection "
                "is closed after it.",
    },
    {
        .path = "statsd.udp",
        .type = OPTION_ADDRESS,
        .offset = AT(statsd.udp),
        .fallback = "127.0.0.1:8125",
        .help = "statsd over UDP.",
    },
    {
        .path = "statsd.tcp",
        .type = OPTION_ADDRESS,
        .offset = AT(statsd.tcp),
        .fallback = "127.0.0.1:8125",
        .help = "statsd over TCP, one metric a line.",
    },
    {
        .path = "statsd.unix",
        .type = OPTION_STRING,
        .offset = AT(statsd.unix_path),
        .fallback = "",
        .help = "Path of a datagram socket for statsd; empty for none.",
    },
    {
        .path = "statsd.unix_stream",
        .type = OPTION_STRING,
        .offset = AT(statsd.unix_stream_path),
        .fallback = "",
        .help = "Path of a stream socket for statsd, for lines or for DogStatsD's packets with "
                "their length before them; empty for none.",
    },
    {
        .path = "statsd.admin",
        .type = OPTION_ADDRESS,
        .offset = AT(statsd.admin),
        .fallback = STATSD_ADMIN_DEFAULT,
        .help = "The administration commands of npm's statsd over TCP; see STATSD.md. Must be a "
                "loopback address: it has no password. When the default one is taken, the server "
                "starts without.",
    },
    {
        .path = "statsd.workers",
        .type = OPTION_INT,
        .offset = AT(statsd.workers),
        .fallback = "0",
        .min = 0,
        .max = 64,
        .help = "Threads that read statsd, each with sockets of its own; 0 = one a processor core.",
    },
    {
        .path = "statsd.flush_interval",
        .type = OPTION_DURATION,
        .offset = AT(statsd.flush_interval_ms),
        .fallback = "10s",
        .min = 100,
        .max = 10 * MINUTE,
        .help = "Distance of the samples written for each series, on the wall clock's grid.",
    },
    {
        .path = "statsd.idle_timeout",
        .type = OPTION_DURATION,
        .offset = AT(statsd.idle_timeout_ms),
        .fallback = "1h",
        .min = SECOND,
        .max = 30 * DAY,
        .help = "A series that got nothing for this long ends with a stale marker.",
    },
    {
        .path = "statsd.gauge_sign",
        .type = OPTION_CHOICE,
        .offset = AT(statsd.gauge_sign),
        .fallback = "profile",
        .choices = gauge_sign_names,
        .help = "What +3 or -3 does to a gauge: changes it, or sets it. By default as the "
                "listener's profile has it: only in `dogstatsd` it is set.",
    },
    {
        .path = "statsd.profile",
        .type = OPTION_CHOICE,
        .offset = AT(statsd.profile),
        .fallback = "union",
        .choices = profile_names,
        .help = "The dialect that listeners take; see STATSD.md.",
    },
    {
        .path = "statsd.udp_profile",
        .type = OPTION_CHOICE,
        .offset = AT(statsd.udp_profile),
        .fallback = "default",
        .choices = listener_profile_names,
        .help = "The dialect over UDP; by default `statsd.profile`.",
    },
    {
        .path = "statsd.tcp_profile",
        .type = OPTION_CHOICE,
        .offset = AT(statsd.tcp_profile),
        .fallback = "default",
        .choices = listener_profile_names,
        .help = "The dialect over TCP; by default `statsd.profile`.",
    },
    {
        .path = "statsd.unix_profile",
        .type = OPTION_CHOICE,
        .offset = AT(statsd.unix_profile),
        .fallback = "default",
        .choices = listener_profile_names,
        .help = "The dialect over the unix sockets; by default `statsd.profile`.",
    },
    {
        .path = "statsd.mapping_file",
        .type = OPTION_STRING,
        .offset = AT(statsd.mapping_file),
        .fallback = "",
        .reloadable = true,
        .help =
            "Rules that give names labels, as statsd_exporter has them; see STATSD.md. Relative "
            "to the directory of this file.",
    },
    {
        .path = "statsd.receive_buffer",
        .type = OPTION_BYTES,
        .offset = AT(statsd.receive_buffer_bytes),
        .fallback = "8MiB",
        .min = 64 * KIB,
        .max = GIB,
        .help = "Asked of the kernel for each UDP socket; net.core.rmem_max may grant less.",
    },
    {
        .path = "statsd.connection_max",
        .type = OPTION_INT,
        .offset = AT(statsd.connection_max),
        .fallback = "1000",
        .min = 1,
        .max = 60000,
        .help = "statsd connections open at once, over TCP and the unix stream socket.",
    },
    {
        .path = "graphite.udp",
        .type = OPTION_ADDRESS,
        .offset = AT(graphite.udp),
        .fallback = "",
        .help = "Graphite's plaintext protocol over UDP, its port being 2003; empty for none. See "
                "GRAPHITE.md.",
    },
    {
        .path = "graphite.tcp",
        .type = OPTION_ADDRESS,
        .offset = AT(graphite.tcp),
        .fallback = "",
        .help = "The same over TCP.",
    },
    {
        .path = "graphite.connection_max",
        .type = OPTION_INT,
        .offset = AT(graphite.connection_max),
        .fallback = "1000",
        .min = 1,
        .max = 60000,
        .help = "Graphite connections open at once.",
    },
    {
        .path = "influx.udp",
        .type = OPTION_ADDRESS,
        .offset = AT(influx.udp),
        .fallback = "",
        .help = "InfluxDB's line protocol over UDP, its port being 8089; empty for none. Over HTTP "
                "it is always taken. See INFLUX.md.",
    },
    {
        .path = "influx.tcp",
        .type = OPTION_ADDRESS,
        .offset = AT(influx.tcp),
        .fallback = "",
        .help = "The same over TCP.",
    },
    {
        .path = "influx.connection_max",
        .type = OPTION_INT,
        .offset = AT(influx.connection_max),
        .fallback = "1000",
        .min = 1,
        .max = 60000,
        .help = "Connections of line protocol over TCP open at once.",
    },
    {
        .path = "logs.json_tcp",
        .type = OPTION_ADDRESS,
        .offset = AT(logs.json_tcp),
        .fallback = "127.0.0.1:5170",
        .help = "Newline-delimited JSON logs over TCP.",
    },
    {
        .path = "logs.line_max",
        .type = OPTION_BYTES,
        .offset = AT(logs.line_max),
        .fallback = "256KiB",
        .min = KIB,
        .max = 4 * MIB,
        .help = "Longest log line; longer ones are dropped and counted.",
    },
    {
        .path = "logs.connection_max",
        .type = OPTION_INT,
        .offset = AT(logs.connection_max),
        .fallback = "1000",
        .min = 1,
        .max = 60000,
        .help = "Log connections open at once.",
    },
    {
        .path = "limits.series",
        .type = OPTION_INT,
        .offset = AT(limits.series),
        .fallback = "1000000",
        .min = 1000,
        .max = 100000000,
        .help = "Series in the whole store.",
    },
    {
        .path = "limits.series_per_metric",
        .type = OPTION_INT,
        .offset = AT(limits.series_per_metric),
        .fallback = "100000",
        .min = 1,
        .max = 100000000,
        .help = "Live series of one metric name, written within the last hour. Beyond it pushed "
                "samples of new ones go to its __overflow__ series, imported ones are refused.",
    },
    {
        .path = "limits.series_per_prefix",
        .type = OPTION_ROWS,
        .offset = AT(limits.series_per_prefix),
        .fallback = "[]",
        .rows = config_prefix_options,
        .row_count = CONFIG_PREFIX_OPTIONS,
        .row_size = sizeof(struct config_prefix_limit),
        .help = "Live series of all metrics with a prefix; the first that fits a name decides. "
                "Beyond it pushed samples of new series go to the prefix' __overflow__ series.",
    },
    {
        .path = "limits.query_samples",
        .type = OPTION_INT,
        .offset = AT(limits.query_samples),
        .fallback = "50000000",
        .min = 1000,
        .max = 10000000000,
        .help = "Samples that one query may load.",
    },
    {
        .path = "limits.query_memory",
        .type = OPTION_BYTES,
        .offset = AT(limits.query_memory_bytes),
        .fallback = "256MiB",
        .min = MIB,
        .max = 64 * GIB,
        .help = "Memory that one query may use.",
    },
    {
        .path = "limits.query_memory_total",
        .type = OPTION_BYTES,
        .offset = AT(limits.query_memory_total_bytes),
        .fallback = "1GiB",
        .min = MIB,
        .max = 1024 * GIB,
        .help = "Memory that all running queries, answers being sent included, and remote "
                "reads and federations may use together; the one that would pass it is refused.",
    },
    {
        .path = "limits.query_cache",
        .type = OPTION_BYTES,
        .offset = AT(limits.query_cache_bytes),
        .fallback = "64MiB",
        .min = 0,
        .max = 64 * GIB,
        .help = "Memory for results of queries, from which a dashboard that asks again gets what "
                "is still right; 0 keeps none.",
    },
    {
        .path = "limits.query_concurrency",
        .type = OPTION_INT,
        .offset = AT(limits.query_concurrency),
        .fallback = "8",
        .min = 1,
        .max = 256,
        .help = "Queries that run at once. Others wait for their turn, as long as "
                "limits.query_timeout; "
                "requests that are no queries never wait behind them.",
    },
    {
        .path = "limits.query_timeout",
        .type = OPTION_DURATION,
        .offset = AT(limits.query_timeout_ms),
        .fallback = "30s",
        .min = 100,
        .max = HOUR,
        .help = "Time that one query may take.",
    },
    {
        .path = "limits.query_threads",
        .type = OPTION_INT,
        .offset = AT(limits.query_threads),
        .fallback = "0",
        .max = FAN_THREADS_MAX,
        .help =
            "Threads that may work on one query of many series at a time; all queries share them. "
            "0 = as many as there are cores, at most 8; 1 = none but the query's own.",
    },
    {
        .path = "limits.slow_query",
        .type = OPTION_DURATION,
        .offset = AT(limits.slow_query_ms),
        .fallback = "5s",
        .min = 0,
        .max = HOUR,
        .help = "Queries that take longer are logged; 0 logs none.",
    },
    {
        .path = "memory.head",
        .type = OPTION_BYTES,
        .offset = AT(memory.head_bytes),
        .fallback = "384MiB",
        .min = MIB,
        .max = 256 * GIB,
        .help =
            "Memory for samples that are not in chunks yet; beyond it series are written early, "
            "in shorter chunks. A series itself takes 300 to 400 bytes on top: limits.series.",
    },
    {
        .path = "memory.block_cache",
        .type = OPTION_BYTES,
        .offset = AT(memory.block_cache_bytes),
        .fallback = "64MiB",
        .min = MIB,
        .max = 256 * GIB,
        .help = "Memory for blocks read from disk.",
    },
    {
        .path = "memory.memtables",
        .type = OPTION_BYTES,
        .offset = AT(memory.memtable_bytes),
        .fallback = "64MiB",
        .min = 4 * MIB,
        .max = 16 * GIB,
        .help = "Memory for what is on its way into tables on disk.",
    },
    {
        .path = "retention.raw",
        .type = OPTION_DURATION,
        .offset = AT(retention.raw_ms),
        .fallback = "30d",
        .min = HOUR,
        .max = 36500 * DAY,
        .reloadable = true,
        .help = "Age at which samples are dropped, by whole days; buckets of 5m and 1h remain.",
    },
    {
        .path = "retention.5m",
        .type = OPTION_DURATION,
        .offset = AT(retention.rollup_5m_ms),
        .fallback = "365d",
        .min = HOUR,
        .max = 36500 * DAY,
        .reloadable = true,
        .help = "Age at which buckets of 5 minutes are dropped, by 32 days at once.",
    },
    {
        .path = "retention.1h",
        .type = OPTION_DURATION,
        .offset = AT(retention.rollup_1h_ms),
        .fallback = "1825d",
        .min = HOUR,
        .max = 36500 * DAY,
        .reloadable = true,
        .help = "Age at which buckets of an hour are dropped, by 32 days at once.",
    },
    {
        .path = "retention.bytes",
        .type = OPTION_BYTES,
        .offset = AT(retention.bytes),
        .fallback = "0",
        .reloadable = true,
        .help = "Disk space for samples and buckets, about. Beyond it days of samples are dropped, "
                "then "
                "buckets, the oldest first, but not today's; 0 for any.",
    },
    {
        .path = "retention.logs",
        .type = OPTION_DURATION,
        .offset = AT(retention.logs_ms),
        .fallback = "30d",
        .min = HOUR,
        .max = 36500 * DAY,
        .help = "Age at which log lines are dropped.",
    },
    {
        .path = "retention.errors",
        .type = OPTION_DURATION,
        .offset = AT(retention.errors_ms),
        .fallback = "90d",
        .min = HOUR,
        .max = 36500 * DAY,
        .help = "Age at which the events of error issues are dropped.",
    },
    {
        .path = "rollup.5m_after",
        .type = OPTION_DURATION,
        .offset = AT(rollup.fine_after_ms),
        .fallback = "3d",
        .min = HOUR,
        .max = 36500 * DAY,
        .help =
            "Age at which the 5 minute buckets of a day are stored; until then they are computed "
            "from its samples.",
    },
    {
        .path = "retention_rules",
        .type = OPTION_ROWS,
        .offset = AT(retention_rules),
        .fallback = "[]",
        .rows = config_retention_options,
        .row_count = CONFIG_RETENTION_OPTIONS,
        .row_size = sizeof(struct config_retention_rule),
        .reloadable = true,
        .help =
            "Other ages for some series, longer or shorter. The first rule that matches decides.",
    },
    {
        .path = "rule_files",
        .type = OPTION_LIST,
        .offset = AT(rule_files),
        .fallback = "[]",
        .reloadable = true,
        .help = "Prometheus rule files; * and ? match. Relative to the directory of this file.",
    },
    {
        .path = "alerting.evaluation_interval",
        .type = OPTION_DURATION,
        .offset = AT(alerting.evaluation_interval_ms),
        .fallback = "15s",
        .min = 100,
        .max = DAY,
        .reloadable = true,
        .help = "For rule groups that give no interval of their own.",
    },
    {
        .path = "alerting.webhook.url",
        .type = OPTION_STRING,
        .offset = AT(alerting.webhook.url),
        .fallback = "",
        .reloadable = true,
        .help = "Where alerts are posted, in Alertmanager's webhook format; empty for nowhere.",
    },
    {
        .path = "alerting.webhook.timeout",
        .type = OPTION_DURATION,
        .offset = AT(alerting.webhook.timeout_ms),
        .fallback = "10s",
        .min = 100,
        .max = 10 * MINUTE,
        .reloadable = true,
        .help = "Time that one post may take; the others wait for it. A failed one is tried again.",
    },
};

const size_t config_option_count = sizeof config_options / sizeof config_options[0];
