/* notice: see the header. An event becomes
 *
 *   stream  {environment="prod", host="web-1", level="error", service="shop", type="event"}
 *   line    {"title":"Deploy failed","text":"...","alert_type":"error","priority":"normal",
 *            "tags":{"env":"prod","service":"shop","version":"7"}}
 *
 * The stream has only what has few values; all tags are in the line. The counter has all tags, the
 * host and the alert type. Two batches take turns: one gathers while the writer has the other, for as long
 * as it has it, so that a slow disk costs nothing until a batch is full.
 */
#include "server/ingest/notice.h"

#include <math.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "storage/base/metric.h"
#include "storage/base/queue.h"

#define BATCHES     2
#define RECORDS_MAX 4096 /* in a batch */
#define DATED_MAX   4096
#define ARENA_BYTES ((size_t)16 << 20)
#define LINE_MAX    ((size_t)512 << 10) /* a datagram, escaped as JSON */
#define TAGS_MAX    (2 * STATSD_TAGS_MAX)
#define STREAM_MAX  5
#define NS_PER_MS   ((int64_t)1000000)
#define FUTURE_MS   ((int64_t)86400 * 1000)
#define EVENTS_NAME "statsd_events_total"
#define CHECK_NAME  "statsd_service_check"

enum {
    NOTICE_RECORDS,
    NOTICE_BUSY,
    NOTICE_TIME,
    NOTICE_TAGS,
    NOTICE_STORE,
    NOTICE_METRIC_COUNT,
};

#define DROP_ROW(row, text)                                                                        \
    [row] = {.name = "lapwing_statsd_records_dropped_total",                                       \
             .labels = "reason=\"" text "\"",                                                      \
             .help = "Records of events and service checks that were dropped; their series stay."}

static struct metric notice_metrics[NOTICE_METRIC_COUNT] = {
    [NOTICE_RECORDS] = {.name = "lapwing_statsd_records_total",
                        .help = "Records of events and service checks stored."},
    DROP_ROW(NOTICE_BUSY, "writer_busy"),
    DROP_ROW(NOTICE_TIME, "time"),
    DROP_ROW(NOTICE_TAGS, "too_many_tags"),
    DROP_ROW(NOTICE_STORE, "store_failed"),
};

struct batch {
    struct writer_job job; /* first: the job is the batch */
    struct notices *owner;
    struct arena arena;
    struct record records[RECORDS_MAX];
    size_t count;
    struct dated_sample {
        struct labels labels;
        enum series_kind kind;
        int64_t time_ms;
        double value;
    } dated[DATED_MAX];
    size_t dated_count;
};

struct notices {
    struct writer *writer;
    struct registry *registry; /* the writer thread's */
    const struct mapping *mapping;
    int64_t retention_ms;
    struct queue *idle; /* the batch that the writer is done with */
    struct batch batches[BATCHES];
    struct batch *current, *spare; /* no spare: the writer has it */
    struct buffer line, tags;
};

/* Writer thread. */
static int run(struct writer_job *job, struct store_batch *out, struct error *err)
{
    const struct batch *batch = (const struct batch *)job;
    (void)err;
    store_batch_records(out, batch->records, batch->count);
    for (size_t i = 0; i < batch->dated_count; i++) {
        const struct dated_sample *sample = &batch->dated[i];
        registry_dated(batch->owner->registry, sample->labels, sample->kind, sample->time_ms,
                       sample->value);
    }
    return 0;
}

/* Writer thread. */
static void on_done(struct writer_job *job, int status, const struct error *err)
{
    struct batch *batch = (struct batch *)job;
    (void)err; /* the writer has logged it */
    metric_add(&notice_metrics[status ? NOTICE_STORE : NOTICE_RECORDS], (int64_t)batch->count);
    if (queue_try_push(batch->owner->idle, batch))
        abort(); /* it has room for all */
}

static void begin(struct notices *notices, struct batch *batch)
{
    arena_reset(&batch->arena);
    batch->count = batch->dated_count = 0;
    notices->current = batch;
}

static bool is_empty(const struct batch *batch)
{
    return batch->count + batch->dated_count == 0;
}

struct notices *notices_new(struct writer *writer, struct registry *registry, int64_t retention_ms)
{
    metric_register(notice_metrics, NOTICE_METRIC_COUNT);
    struct notices *notices = alloc_zeroed(1, sizeof *notices);
    notices->writer = writer;
    notices->registry = registry;
    notices->retention_ms = retention_ms;
    notices->idle = queue_new(BATCHES, NULL, NULL);
    buffer_init(&notices->line, LINE_MAX);
    buffer_init(&notices->tags, TAGS_MAX);
    for (size_t i = 0; i < BATCHES; i++) {
        struct batch *batch = &notices->batches[i];
        batch->job = (struct writer_job){.run = run, .done = on_done};
        batch->owner = notices;
        arena_init(&batch->arena, ARENA_BYTES);
    }
    begin(notices, &notices->batches[0]);
    notices->spare = &notices->batches[1];
    return notices;
}

void notices_set_mapping(struct notices *notices, const struct mapping *mapping)
{
    notices->mapping = mapping;
}

bool notices_submit(struct notices *notices)
{
    if (is_empty(notices->current))
        return true;
    if (!notices->spare)
        notices->spare = queue_try_pop(notices->idle);
    if (!notices->spare || writer_try_submit(notices->writer, &notices->current->job))
        return false;
    begin(notices, notices->spare);
    notices->spare = NULL;
    return true;
}

void notices_finish(struct notices *notices)
{
    struct batch *batch = notices->current;
    if (!notices->spare)
        notices->spare = queue_pop(notices->idle);
    if (is_empty(batch))
        return;
    begin(notices, notices->spare);
    notices->spare = NULL;
    if (writer_submit(notices->writer, &batch->job) == 0)
        return;
    registry_dated_drop(DATED_BUSY, batch->dated_count);
    on_done(&batch->job, -1, NULL);
}

/* NULL while it is full and the writer has the other one. */
static struct batch *current_batch(struct notices *notices)
{
    const struct batch *batch = notices->current;
    bool full = batch->count == RECORDS_MAX || batch->dated_count == DATED_MAX ||
                arena_left(&batch->arena) < ARENA_BYTES / 4;
    return full && !notices_submit(notices) ? NULL : notices->current;
}

void notices_free(struct notices *notices)
{
    if (!notices)
        return;
    notices_finish(notices);
    if (!notices->spare)
        queue_pop(notices->idle);
    for (size_t i = 0; i < BATCHES; i++)
        arena_release(&notices->batches[i].arena);
    queue_free(notices->idle);
    buffer_release(&notices->line);
    buffer_release(&notices->tags);
    free(notices);
}

/* --- one notice --- */

/* Behind the sender's tags, so that it wins over one of the same key. A comma would end it. */
static void append_tag(struct buffer *tags, const char *key, struct slice value)
{
    if (value.len == 0)
        return;
    buffer_append_format(tags, "%s%s:", tags->len ? "," : "", key);
    for (size_t i = 0; i < value.len; i++)
        buffer_append_char(tags, (char)(value.at[i] == ',' ? '_' : value.at[i]));
}

static void begin_tags(struct buffer *tags, const struct statsd_notice *notice)
{
    buffer_reset(tags);
    buffer_append_slice(tags, notice->tags);
    append_tag(tags, "host", notice->host);
}

struct statsd_metric notice_event_metric(const struct statsd_notice *event, struct buffer *tags)
{
    begin_tags(tags, event);
    append_tag(tags, "alert_type", slice_of_string(statsd_alert_names[event->alert]));
    /* A dialect without tags in names: the name is ours. */
    return (struct statsd_metric){
        .name = SLICE(EVENTS_NAME),
        .tags = buffer_slice(tags),
        .type = STATSD_COUNTER,
        .value = 1,
        .weight = 1,
        .dialect = STATSD_DOGSTATSD,
    };
}

struct statsd_metric notice_check_metric(const struct statsd_notice *check, struct buffer *tags)
{
    begin_tags(tags, check);
    append_tag(tags, "check", check->name);
    return (struct statsd_metric){
        .name = SLICE(CHECK_NAME),
        .tags = buffer_slice(tags),
        .type = STATSD_GAUGE,
        .value = check->status,
        .weight = 1,
        .time_s = check->time_s,
        .dialect = STATSD_DOGSTATSD,
    };
}

/* The labels of a notice that a record's stream has, sorted by name. */
static struct labels stream_of(struct labels labels, struct slice type, struct slice level,
                               struct arena *arena)
{
    struct label *at = arena_alloc(arena, STREAM_MAX * sizeof *at);
    if (!at)
        return (struct labels){NULL, 0};
    struct slice environment = labels_get(labels, SLICE("env"));
    const struct label all[STREAM_MAX] = {
        {SLICE("environment"),
         environment.len ? environment : labels_get(labels, SLICE("environment"))},
        {SLICE("host"), labels_get(labels, SLICE("host"))},
        {SLICE("level"), level},
        {SLICE("service"), labels_get(labels, SLICE("service"))},
        {SLICE("type"), type},
    };
    size_t count = 0;
    for (size_t i = 0; i < STREAM_MAX; i++)
        if (all[i].value.len)
            at[count++] = all[i];
    return (struct labels){at, count};
}

/* Text with \n as a line feed. In a check's message \: behind an m is a colon: what follows m: is the
 * message, so clients write it so within. */
static void put_text(struct json_writer *writer, const char *key, struct slice text, bool message,
                     struct arena *arena)
{
    char *at = text.len ? arena_alloc(arena, text.len) : NULL;
    size_t len = 0;
    if (!at)
        return;
    for (size_t i = 0; i < text.len; i++) {
        char next = text.at[i] == '\\' && i + 1 < text.len ? text.at[i + 1] : 0;
        bool feed = next == 'n', colon = message && next == ':' && i && text.at[i - 1] == 'm';
        at[len++] = feed ? '\n' : colon ? ':' : text.at[i];
        i += feed || colon;
    }
    json_field_string(writer, key, slice_make(at, len));
}

static void put_optional(struct json_writer *writer, const char *key, struct slice value)
{
    if (value.len)
        json_field_string(writer, key, value);
}

static void put_tags(struct json_writer *writer, struct labels labels)
{
    json_key(writer, SLICE("tags"));
    json_begin_object(writer);
    for (size_t i = 0; i < labels.count; i++)
        if (!slice_equal(labels.at[i].name, SLICE(LABEL_NAME))) {
            json_key(writer, labels.at[i].name);
            json_put_string(writer, labels.at[i].value);
        }
    json_end_object(writer);
}

static void write_event(struct json_writer *writer, const struct statsd_notice *event,
                        struct arena *arena)
{
    put_text(writer, "title", event->title, false, arena);
    put_text(writer, "text", event->text, false, arena);
    json_field_string(writer, "alert_type", slice_of_string(statsd_alert_names[event->alert]));
    json_field_string(writer, "priority", event->low_priority ? SLICE("low") : SLICE("normal"));
    put_optional(writer, "source", event->source);
    put_optional(writer, "aggregation_key", event->key);
}

static void write_check(struct json_writer *writer, const struct statsd_notice *check,
                        struct arena *arena)
{
    json_field_string(writer, "check", check->name);
    json_field_string(writer, "status", slice_of_string(statsd_status_names[check->status]));
    put_text(writer, "message", check->text, true, arena);
}

/* What the two kinds of notices do differently as records. */
struct shape {
    struct slice type;
    struct slice level;
    void (*write)(struct json_writer *writer, const struct statsd_notice *notice,
                  struct arena *arena);
};

static int note(struct batch *batch, const struct statsd_notice *notice, const struct shape *shape,
                const struct statsd_metric *metric)
{
    struct notices *notices = batch->owner;
    struct record *record = &batch->records[batch->count];
    struct json_writer writer;
    struct labels labels;
    int64_t now_ms = clock_now_ms();
    int64_t time_ms = notice->time_s ? notice->time_s * 1000 : now_ms;
    if (time_ms > now_ms + FUTURE_MS ||
        (notices->retention_ms && time_ms < now_ms - notices->retention_ms))
        return NOTICE_TIME;
    if (!statsd_labels((struct statsd_name){.head = metric->name}, metric->tags, &batch->arena,
                       &labels))
        return NOTICE_TAGS;
    labels = labels_copy(&batch->arena, labels); /* they point into the datagram */
    if (!labels.at)
        return NOTICE_BUSY;
    buffer_reset(&notices->line);
    json_writer_init(&writer, &notices->line);
    json_begin_object(&writer);
    shape->write(&writer, notice, &batch->arena);
    put_tags(&writer, labels);
    json_end_object(&writer);
    record->time_ns = time_ms * NS_PER_MS;
    record->stream = stream_of(labels, shape->type, shape->level, &batch->arena);
    record->line = arena_copy(&batch->arena, buffer_slice(&notices->line));
    if (!record->stream.at || !record->line.at)
        return NOTICE_BUSY;
    batch->count++;
    return NOTICE_RECORDS;
}

static void take(struct notices *notices, const struct statsd_notice *notice,
                 const struct shape *shape, const struct statsd_metric *metric)
{
    struct batch *batch = current_batch(notices);
    int outcome = batch ? note(batch, notice, shape, metric) : NOTICE_BUSY;
    if (outcome != NOTICE_RECORDS) /* those are counted when they are stored */
        metric_add(&notice_metrics[outcome], 1);
}

void notices_take_event(struct notices *notices, const struct statsd_notice *event,
                        struct statsd_metric *out)
{
    static const struct slice levels[STATSD_ALERT_COUNT] = {
        [STATSD_INFO] = SLICE_LIT("info"),
        [STATSD_SUCCESS] = SLICE_LIT("info"),
        [STATSD_WARNING] = SLICE_LIT("warn"),
        [STATSD_ERROR] = SLICE_LIT("error"),
    };
    const struct shape shape = {SLICE("event"), levels[event->alert], write_event};
    *out = notice_event_metric(event, &notices->tags);
    take(notices, event, &shape, out);
}

void notices_take_check(struct notices *notices, const struct statsd_notice *check,
                        struct statsd_metric *out)
{
    static const struct slice levels[STATSD_STATUS_COUNT] = {
        [STATSD_OK] = SLICE_LIT("info"),
        [STATSD_WARN] = SLICE_LIT("warn"),
        [STATSD_CRITICAL] = SLICE_LIT("error"),
        [STATSD_UNKNOWN] = SLICE_LIT("warn"),
    };
    const struct shape shape = {SLICE("service_check"), levels[check->status], write_check};
    *out = notice_check_metric(check, &notices->tags);
    if (check->text.len)
        take(notices, check, &shape, out);
}

/* --- samples with a time --- */

void notices_take_dated(struct notices *notices, struct statsd_metric *metric)
{
    uint16_t rule = mapped_rule(notices->mapping, metric);
    if (mapped_drops(notices->mapping, rule))
        return;
    do {
        struct batch *batch = current_batch(notices);
        if (!batch) {
            registry_dated_drop(DATED_BUSY, 1);
            continue;
        }
        if (!mapped_scale(notices->mapping, rule, metric))
            continue;
        bool counter = metric->type == STATSD_COUNTER;
        struct dated_sample *sample = &batch->dated[batch->dated_count];
        struct statsd_name name = statsd_split_name(metric->dialect, metric->name);
        if (counter && metric->value < 0)
            name.suffix = STATSD_DECREMENTS;
        if (!mapped_labels(mapped_at(notices->mapping, rule), name, metric->tags, &batch->arena,
                           &sample->labels)) {
            registry_dated_drop(DATED_TAGS, 1);
            continue;
        }
        sample->labels = labels_copy(&batch->arena, sample->labels);
        sample->kind = counter ? SERIES_COUNTER : SERIES_GAUGE;
        sample->time_ms = metric->time_s * 1000;
        sample->value = counter ? fabs(metric->value) * metric->weight : metric->value;
        if (sample->labels.at)
            batch->dated_count++;
        else
            registry_dated_drop(DATED_BUSY, 1);
    } while (statsd_cut_value(metric));
}
