/* prometheus_request: parameters in and envelopes out, for the files of server/api/prometheus*.
 *
 * Parameter errors are ERROR_BAD_DATA in Prometheus' words: invalid parameter "step": ...
 */
#ifndef SERVER_API_PROMETHEUS_REQUEST_H
#define SERVER_API_PROMETHEUS_REQUEST_H

#include "query/parse.h"
#include "server/api/prometheus.h"

/* Far beyond all data, with room to subtract a range in 63 bits. */
#define API_TIME_MAX_MS   ((int64_t)9000000000000000)
#define API_SELECTORS_MAX 64

#define API_PRODUCT_VERSION "3.0.0"

/* --- parameters --- */

/* Seconds, or RFC 3339. Absent or empty: *out is left alone. */
MUST_USE int api_optional_time(const struct http_request *request, const char *name, int64_t *out,
                               struct error *err);
MUST_USE int api_required_time(const struct http_request *request, const char *name, int64_t *out,
                               struct error *err);
/* Seconds, or 1h30m. Absent: *out is left alone, unless required. */
MUST_USE int api_duration(const struct http_request *request, const char *name, bool required,
                          int64_t *out_ms, struct error *err);
/* limit=N; 0 (and absent) = none. */
MUST_USE int api_limit(const struct http_request *request, const char *name, size_t *out,
                       struct error *err);

struct api_selectors {
    struct plan *at[API_SELECTORS_MAX];
    size_t count;
};

/* All match[]= parameters; release them also after a failure. */
MUST_USE int api_selectors(const struct http_request *request, struct arena *arena,
                           struct api_selectors *out, struct error *err);
void api_selectors_release(struct api_selectors *selectors);

struct api_selection {
    const struct api_selectors *selectors; /* none: ERROR_BAD_DATA */
    int64_t start_ms, end_ms;
    int64_t deadline_ns; /* on the monotonic clock */
};

/* When a request that begins now has had limits.query_timeout. */
int64_t api_deadline_ns(const struct prometheus_api *api);

/* The series that any of the selectors means, with samples in the range; each once, by labels. */
MUST_USE int api_select(struct store *store, const struct api_selection *selection,
                        struct arena *arena, struct store_selection *out, struct error *err);

/* --- envelopes --- */

/* {"status":"success","data": */
void api_begin(struct http_reply *reply);
/* Closes what api_begin opened; an answer too large for the reply's buffer becomes an error. */
void api_end(struct http_reply *reply, const char *warning);
/* Drops what is written so far and answers with the error. */
void api_refuse(struct http_reply *reply, const struct error *err);

/* --- handlers, by file --- */

/* prometheus_series.c */
void api_get_series(const struct http_request *request, struct http_reply *reply);
void api_get_labels(const struct http_request *request, struct http_reply *reply);
void api_get_label_values(const struct http_request *request, struct http_reply *reply);
void api_get_metadata(const struct http_request *request, struct http_reply *reply);
/* prometheus_status.c */
void api_get_buildinfo(const struct http_request *request, struct http_reply *reply);
void api_get_runtimeinfo(const struct http_request *request, struct http_reply *reply);
void api_get_config(const struct http_request *request, struct http_reply *reply);
void api_get_flags(const struct http_request *request, struct http_reply *reply);
void api_get_tsdb(const struct http_request *request, struct http_reply *reply);
void api_get_walreplay(const struct http_request *request, struct http_reply *reply);
void api_get_targets(const struct http_request *request, struct http_reply *reply);
void api_get_alertmanagers(const struct http_request *request, struct http_reply *reply);
void api_get_scrape_pools(const struct http_request *request, struct http_reply *reply);
/* prometheus_delete.c */
void api_delete_series(const struct http_request *request, struct http_reply *reply);
void api_clean_tombstones(const struct http_request *request, struct http_reply *reply);
/* prometheus_remote.c */
void api_remote_read(const struct http_request *request, struct http_reply *reply);
/* prometheus_federate.c */
void api_get_federate(const struct http_request *request, struct http_reply *reply);
/* prometheus_status.c: targets' metadata, exemplars: what is always empty here. */
void api_get_empty_list(const struct http_request *request, struct http_reply *reply);

#endif
