/* config: what the configuration file can say. The table in config.c is the only list of options;
 * --print-config, --check-config and docs/CONFIG.md come from it.
 */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include "storage/base/arena.h"
#include "storage/base/error.h"
#include "storage/base/option.h"

#define STATSD_ADMIN_DEFAULT "127.0.0.1:8126"

enum gauge_sign { GAUGE_SIGN_PROFILE, GAUGE_SIGN_DELTA, GAUGE_SIGN_ABSOLUTE };

/* Of a listener: as statsd.profile says, or 1 + enum statsd_dialect. */
#define PROFILE_DEFAULT 0

/* Samples that match are kept for so long; 0 = as config.retention says. */
struct config_retention_rule {
    const char *match; /* a selector that parses */
    int64_t raw_ms, rollup_5m_ms, rollup_1h_ms;
};

/* Live series of all metrics whose names begin so. */
struct config_prefix_limit {
    const char *prefix;
    int64_t series;
};

/* Durations in ms, sizes in bytes, addresses "host:port" ("" = off). Strings live in `arena`. */
struct config {
    const char *data_dir;
    int64_t log_level; /* enum log_level */
    struct {
        const char *listen;
        int64_t workers;
        int64_t body_max;
        int64_t inflated_max;
        int64_t connection_max;
        int64_t timeout_ms;
    } http;
    struct {
        const char *udp;
        const char *tcp;
        const char *unix_path;
        const char *unix_stream_path;
        const char *admin;
        int64_t workers;
        int64_t flush_interval_ms;
        int64_t idle_timeout_ms;
        int64_t gauge_sign; /* enum gauge_sign */
        int64_t profile;    /* enum statsd_dialect */
        int64_t udp_profile, tcp_profile, unix_profile;
        const char *mapping_file; /* relative ones start at the file's directory */
        int64_t receive_buffer_bytes;
        int64_t connection_max; /* TCP */
    } statsd;
    struct {
        const char *udp, *tcp;
        int64_t connection_max; /* TCP */
    } graphite, influx;
    struct {
        const char *json_tcp;
        int64_t line_max;
        int64_t connection_max;
    } logs;
    struct {
        int64_t series;
        int64_t series_per_metric;
        struct option_rows series_per_prefix; /* struct config_prefix_limit */
        int64_t query_samples;
        int64_t query_memory_bytes;
        int64_t query_memory_total_bytes;
        int64_t query_cache_bytes; /* 0 = none */
        int64_t query_concurrency;
        int64_t query_timeout_ms;
        int64_t query_threads; /* 0 = one a core */
        int64_t slow_query_ms; /* 0 = none is logged */
    } limits;
    struct {
        int64_t head_bytes;
        int64_t block_cache_bytes;
        int64_t memtable_bytes;
    } memory;
    struct {
        int64_t raw_ms;
        int64_t rollup_5m_ms;
        int64_t rollup_1h_ms;
        int64_t bytes; /* 0 = any */
        int64_t logs_ms;
        int64_t errors_ms;
    } retention;
    struct {
        int64_t fine_after_ms;
    } rollup;
    struct option_rows retention_rules; /* struct config_retention_rule */
    struct option_list rule_files;      /* patterns; relative ones start at the file's directory */
    struct {
        int64_t evaluation_interval_ms;
        struct {
            const char *url;
            int64_t timeout_ms;
        } webhook;
    } alerting;
};

/* path NULL = defaults. Options that contradict each other are refused as well. The error is a sentence with file:line:column. */
MUST_USE int config_load(const char *path, struct arena *arena, struct config *out,
                         struct error *err);
/* For fuzzing and tests: the same from a text. */
MUST_USE int config_parse(struct slice text, const char *name, struct arena *arena,
                          struct config *out, struct error *err);
void config_print(const struct config *config, struct buffer *out);
/* docs/CONFIG.md. */
void config_document(struct buffer *out);

#endif
