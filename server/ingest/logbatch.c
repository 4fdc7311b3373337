/* logbatch: see the header. The rows of `lapwing_log_rejects_total` are the statuses of the parser,
 * and one for what the store itself refused. */
#include "server/ingest/logbatch.h"

#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "storage/base/metric.h"

#define NS_PER_MS ((int64_t)1000000)
#define DAY_NS    ((int64_t)86400 * 1000 * NS_PER_MS)
#define ARENA_MAX ((size_t)1 << 30) /* what fills a batch is bounded by its receivers */

enum {
    LOG_RECORDS,
    LOG_BYTES,
    LOG_REJECTS, /* JSONLOG_STATUS_COUNT rows; that of JSONLOG_OK is for what the store refused */
    LOG_METRIC_COUNT = LOG_REJECTS + JSONLOG_STATUS_COUNT,
};

#define REJECT_ROW(status, text)                                                                   \
    [LOG_REJECTS + (status)] = {.name = "lapwing_log_rejects_total",                               \
                                .labels = "reason=\"" text "\"",                                   \
                                .help = "Log lines refused."}

static struct metric log_metrics[LOG_METRIC_COUNT] = {
    [LOG_RECORDS] = {.name = "lapwing_log_records_total", .help = "Log records stored."},
    [LOG_BYTES] = {.name = "lapwing_log_bytes_total", .help = "Bytes of their lines."},
    REJECT_ROW(JSONLOG_OK, "store_failed"),
    REJECT_ROW(JSONLOG_NOT_JSON, "not_json"),
    REJECT_ROW(JSONLOG_MALFORMED, "malformed"),
    REJECT_ROW(JSONLOG_NOT_OBJECT, "not_object"),
    REJECT_ROW(JSONLOG_TOO_LONG, "too_long"),
    REJECT_ROW(JSONLOG_TOO_OLD, "too_old"),
    REJECT_ROW(JSONLOG_TOO_NEW, "too_new"),
};

static int run(struct writer_job *job, struct store_batch *out, struct error *err)
{
    const struct logbatch *batch = (const struct logbatch *)job;
    (void)err;
    store_batch_records(out, batch->records, batch->count);
    return 0;
}

void logbatch_init(struct logbatch *batch)
{
    metric_register(log_metrics, LOG_METRIC_COUNT);
    *batch = (struct logbatch){.job.run = run};
    arena_init(&batch->arena, ARENA_MAX);
}

void logbatch_release(struct logbatch *batch)
{
    arena_release(&batch->arena);
    free(batch->records);
}

void logbatch_reset(struct logbatch *batch)
{
    arena_reset(&batch->arena);
    batch->count = 0;
    batch->bytes = 0;
}

void logbatch_set_window(struct jsonlog *parser, int64_t retention_ms)
{
    int64_t now_ns = clock_now_ms() * NS_PER_MS;
    int64_t oldest_ns = INT64_MIN;
    if (retention_ms > 0 && retention_ms < now_ns / NS_PER_MS)
        oldest_ns = now_ns - retention_ms * NS_PER_MS;
    jsonlog_set_window(parser, &(struct jsonlog_window){now_ns, oldest_ns, now_ns + DAY_NS});
}

enum jsonlog_status logbatch_add(struct logbatch *batch, struct jsonlog *parser, struct slice line,
                                 struct error *why)
{
    if (batch->count == batch->capacity) {
        batch->capacity = batch->capacity ? batch->capacity * 2 : 64;
        batch->records = alloc_resize(batch->records, batch->capacity, sizeof *batch->records);
    }
    struct record *record = &batch->records[batch->count];
    enum jsonlog_status status = jsonlog_parse(parser, line, &batch->arena, record, why);
    if (status != JSONLOG_OK) {
        metric_add(&log_metrics[LOG_REJECTS + status], 1);
        return status;
    }
    if (batch->copies_lines)
        record->line = arena_copy(&batch->arena, record->line);
    batch->count++;
    batch->bytes += record->line.len;
    return status;
}

void logbatch_count_stored(const struct logbatch *batch, int status)
{
    if (status == 0) {
        metric_add(&log_metrics[LOG_RECORDS], (int64_t)batch->count);
        metric_add(&log_metrics[LOG_BYTES], (int64_t)batch->bytes);
    } else {
        metric_add(&log_metrics[LOG_REJECTS + JSONLOG_OK], (int64_t)batch->count);
    }
}
