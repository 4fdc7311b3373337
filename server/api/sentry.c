/* sentry (api): from a request to recorded events.
 *
 *   body --envelope_next--> items --"event"--> error_event --fingerprint--> issue_event
 *                             |                                                 |
 *                             +-- other types: counted, accepted          issues_record, then 200
 *
 * An SDK that gets a 4xx throws the data away, so everything that can be understood is accepted:
 * unknown item types are counted by type, a broken item beside good ones is counted by reason, and
 * only a request of which nothing could be used is refused.
 *
 * The event's clock may be wrong: when the envelope says when it was sent, and that differs from
 * now by more than a minute, the event's time moves by the difference; what is then still in the
 * future or a month old counts as happening now.
 *
 * Absent: keys (any DSN is taken), rate limits, scrubbing, and storing what is not an event.
 */
#include "server/api/sentry.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "storage/base/metric.h"
#include "storage/base/table.h"

#define DRIFT_MIN_MS     60000
#define EVENT_AGE_MAX_MS INT64_C(2592000000) /* 30 days */
#define LABEL_BYTES_MAX  200
#define EVENTS_MAX       100 /* of one envelope; the protocol allows one */

enum item_type {
    ITEM_EVENT,
    ITEM_TRANSACTION,
    ITEM_SPAN,
    ITEM_SESSION,
    ITEM_SESSIONS,
    ITEM_LOG,
    ITEM_TRACE_METRIC,
    ITEM_STATSD,
    ITEM_ATTACHMENT,
    ITEM_CLIENT_REPORT,
    ITEM_CHECK_IN,
    ITEM_USER_REPORT,
    ITEM_FEEDBACK,
    ITEM_REPLAY_EVENT,
    ITEM_REPLAY_RECORDING,
    ITEM_PROFILE,
    ITEM_PROFILE_CHUNK,
    ITEM_OTHER,
    ITEM_TYPE_COUNT,
};

static const char *const item_names[ITEM_TYPE_COUNT] = {
    [ITEM_EVENT] = "event",
    [ITEM_TRANSACTION] = "transaction",
    [ITEM_SPAN] = "span",
    [ITEM_SESSION] = "session",
    [ITEM_SESSIONS] = "sessions",
    [ITEM_LOG] = "log",
    [ITEM_TRACE_METRIC] = "trace_metric",
    [ITEM_STATSD] = "statsd",
    [ITEM_ATTACHMENT] = "attachment",
    [ITEM_CLIENT_REPORT] = "client_report",
    [ITEM_CHECK_IN] = "check_in",
    [ITEM_USER_REPORT] = "user_report",
    [ITEM_FEEDBACK] = "feedback",
    [ITEM_REPLAY_EVENT] = "replay_event",
    [ITEM_REPLAY_RECORDING] = "replay_recording",
    [ITEM_PROFILE] = "profile",
    [ITEM_PROFILE_CHUNK] = "profile_chunk",
    [ITEM_OTHER] = "other",
};

/* Rows are filled at start from the two name tables. */
static struct metric item_metrics[ITEM_TYPE_COUNT];
static struct metric drop_metrics[SENTRY_DROP_COUNT - 1];

static void count_item(struct slice type)
{
    unsigned at = 0;
    while (at < ITEM_OTHER && !slice_equal_string(type, item_names[at]))
        at++;
    metric_add(&item_metrics[at], 1);
}

static void count_drop(enum sentry_drop drop)
{
    metric_add(&drop_metrics[drop - 1], 1);
}

/* --- one request --- */

struct delivery {
    const struct http_request *request;
    struct json_parser *parser;
    struct slice project;
    struct slice envelope_id; /* goes to the first event; it wins over the event's own */
    int64_t received_ms;
    int64_t drift_ms;
    struct issue_event *events;
    size_t count;
    struct error fault; /* where the first event that is not JSON breaks */
};

/* A copy of at most `max` bytes, cut at a UTF-8 boundary, control characters as spaces. */
static struct slice clean(struct arena *arena, struct slice text, size_t max)
{
    char *copy = arena_alloc(arena, max + 1);
    if (!copy)
        return (struct slice){NULL, 0};
    issue_text_copy(copy, max + 1, text);
    return slice_make(copy, strnlen(copy, max));
}

static struct slice clean_buffer(struct arena *arena, struct buffer *text)
{
    struct slice out = clean(arena, buffer_slice(text), text->len);
    buffer_reset(text);
    return out;
}

static void random_id(char id[EVENT_ID_LEN + 1])
{
    uint64_t bits[2] = {0};
    if (getrandom(bits, sizeof bits, 0) != (ssize_t)sizeof bits)
        bits[0] = (uint64_t)clock_monotonic_ns(); /* unheard of; still distinct within a boot */
    snprintf(id, EVENT_ID_LEN + 1, "%016llx%016llx", (unsigned long long)bits[0],
             (unsigned long long)bits[1]);
}

static int64_t event_time(const struct delivery *delivery, const struct error_event *event)
{
    int64_t time_ms = event->time_ms + delivery->drift_ms;
    bool plausible = event->time_ms > 0 && time_ms <= delivery->received_ms + DRIFT_MIN_MS &&
                     time_ms > delivery->received_ms - EVENT_AGE_MAX_MS;
    return plausible ? time_ms : delivery->received_ms;
}

static void fill_event(struct delivery *delivery, const struct error_event *event,
                       struct issue_event *out)
{
    struct arena *arena = delivery->request->arena;
    const struct error_exception *exception = error_event_main_exception(event);
    struct buffer text;
    buffer_init(&text, FINGERPRINT_PARTS_MAX);
    fingerprint_of(event, delivery->project, &text, out->hash);
    buffer_reset(&text);
    error_event_title(event, &text);
    out->title = clean_buffer(arena, &text);
    error_event_culprit(event, &text);
    out->culprit = clean_buffer(arena, &text);
    buffer_release(&text);
    out->project = delivery->project;
    out->level = event->level;
    out->time_ms = event_time(delivery, event);
    out->received_ms = delivery->received_ms;
    out->user = event->user.len > 0 ? slice_hash(event->user) : 0;
    out->platform = clean(arena, event->platform, 32);
    out->release = clean(arena, event->release, LABEL_BYTES_MAX);
    out->environment = clean(arena, event->environment, 64);
    out->type = clean(arena, exception ? exception->type : (struct slice){NULL, 0}, 160);
    out->value = clean(arena, exception ? exception->value : event->message, 400);
    memcpy(out->id, event->id, sizeof out->id);
    if (delivery->count == 0 && delivery->envelope_id.len == EVENT_ID_LEN)
        memcpy(out->id, delivery->envelope_id.at, EVENT_ID_LEN);
    if (out->id[0] == '\0')
        random_id(out->id);
}

static void note_fault(struct delivery *delivery, struct slice body)
{
    struct json value;
    if (delivery->fault.kind == ERROR_NONE &&
        json_parse(delivery->parser, body, &value, &delivery->fault) == 0)
        error_set(&delivery->fault, ERROR_BAD_DATA, "it is JSON, but no object");
}

/* What the client is told when nothing could be used; `place` may be empty. */
static int refuse_item(const struct delivery *delivery, enum sentry_drop drop, const char *place,
                       struct error *err)
{
    bool broken = drop == SENTRY_EVENT_JSON;
    return error_set(err, drop == SENTRY_EVENT_SIZE ? ERROR_TOO_LARGE : ERROR_BAD_DATA, "%s%s%s%s",
                     place, sentry_drop_text(drop), broken ? ": " : "",
                     broken ? delivery->fault.text : "");
}

static enum sentry_drop add_event(struct delivery *delivery, struct slice body)
{
    struct error_event event;
    enum sentry_drop drop;
    if (delivery->count == EVENTS_MAX)
        return SENTRY_ITEM_COUNT;
    if (error_event_parse(body, delivery->parser, delivery->request->arena, &event, &drop) < 0) {
        if (drop == SENTRY_EVENT_JSON)
            note_fault(delivery, body);
        return drop;
    }
    struct slice repaired = json_repaired(delivery->parser);
    if (repaired.len) /* what is shown later must be JSON */
        body = arena_copy(delivery->request->arena, repaired);
    delivery->events =
        alloc_resize(delivery->events, delivery->count + 1, sizeof *delivery->events);
    struct issue_event *out = &delivery->events[delivery->count];
    *out = (struct issue_event){.body = body};
    fill_event(delivery, &event, out);
    delivery->count++;
    return SENTRY_KEPT;
}

/* The project's name in the URL: what fits a key, a label and a listing. */
static int read_project(const struct http_request *request, struct slice *out, struct error *err)
{
    *out = http_get_segment(request, "project");
    bool good = out->len > 0 && out->len <= PROJECT_BYTES_MAX;
    for (size_t i = 0; i < out->len && good; i++) {
        char c = out->at[i];
        char lower = (char)(c | 0x20);
        good = (c >= '0' && c <= '9') || (lower >= 'a' && lower <= 'z') || c == '-' || c == '_' ||
               c == '.';
    }
    if (good)
        return 0;
    return error_set(err, ERROR_BAD_DATA,
                     "the project in /api/<project>/ must be 1 to %d letters, digits, '-', '_' or "
                     "'.'; take it from the end of the DSN",
                     PROJECT_BYTES_MAX);
}

/* Every item is used or counted as dropped; an error when nothing could be used. */
static int read_envelope(struct delivery *delivery, struct error *err)
{
    struct envelope envelope;
    struct envelope_item item;
    size_t kept = 0, dropped = 0, first_offset = 0;
    enum sentry_drop first_drop = SENTRY_KEPT;
    if (envelope_open(delivery->request->body, delivery->parser, delivery->request->arena,
                      &envelope, err) < 0)
        return -1;
    delivery->envelope_id = envelope.event_id;
    int64_t drift_ms = delivery->received_ms - envelope.sent_at_ms;
    if (envelope.sent_at_ms > 0 && llabs(drift_ms) > DRIFT_MIN_MS)
        delivery->drift_ms = drift_ms;
    while (envelope_next(&envelope, &item)) {
        enum sentry_drop drop = item.drop;
        if (drop == SENTRY_KEPT)
            count_item(item.type);
        if (drop == SENTRY_KEPT && slice_equal_string(item.type, item_names[ITEM_EVENT]))
            drop = add_event(delivery, item.payload);
        if (drop == SENTRY_KEPT) {
            kept++;
            continue;
        }
        count_drop(drop);
        if (dropped++ == 0) {
            first_drop = drop;
            first_offset = item.offset;
        }
    }
    if (kept > 0 || dropped == 0)
        return 0;
    char place[96];
    snprintf(place, sizeof place,
             "the item at byte %zu of the envelope cannot be used: ", first_offset);
    return refuse_item(delivery, first_drop, place, err);
}

static int read_store(struct delivery *delivery, struct error *err)
{
    count_item(slice_of_string(item_names[ITEM_EVENT]));
    enum sentry_drop drop = add_event(delivery, delivery->request->body);
    if (drop == SENTRY_KEPT)
        return 0;
    count_drop(drop);
    return refuse_item(delivery, drop, "", err);
}

static void answer(const struct delivery *delivery, struct http_reply *reply)
{
    struct json_writer writer;
    struct slice id = delivery->envelope_id;
    if (delivery->count > 0)
        id = slice_of_string(delivery->events[0].id);
    json_writer_init(&writer, &reply->body);
    json_begin_object(&writer);
    if (id.len > 0)
        json_field_string(&writer, "id", id);
    json_end_object(&writer);
}

static void deliver(const struct http_request *request, struct http_reply *reply,
                    int (*read)(struct delivery *delivery, struct error *err))
{
    struct delivery delivery = {.request = request, .received_ms = clock_now_ms()};
    struct error err = {.kind = ERROR_NONE};
    delivery.parser = json_parser_new(EVENT_BYTES_MAX);
    int status = read_project(request, &delivery.project, &err);
    if (status == 0)
        status = read(&delivery, &err);
    if (status == 0 && delivery.count > 0)
        status = issues_record(request->context, delivery.events, delivery.count, &err);
    if (status == 0)
        answer(&delivery, reply);
    else
        http_refuse_detail(reply, &err);
    json_parser_free(delivery.parser);
    free(delivery.events);
}

static void handle_envelope(const struct http_request *request, struct http_reply *reply)
{
    deliver(request, reply, read_envelope);
}

static void handle_store(const struct http_request *request, struct http_reply *reply)
{
    deliver(request, reply, read_store);
}

const struct http_route sentry_routes[] = {
    {HTTP_POST, "/api/{project}/envelope/", handle_envelope, true, http_refuse_detail, NULL},
    {HTTP_POST, "/api/{project}/envelope", handle_envelope, true, http_refuse_detail, NULL},
    {HTTP_POST, "/api/{project}/store/", handle_store, true, http_refuse_detail, NULL},
    {HTTP_POST, "/api/{project}/store", handle_store, true, http_refuse_detail, NULL},
};
const size_t sentry_route_count = sizeof sentry_routes / sizeof *sentry_routes;

/* One counter a name, labelled with it. The texts live as long as the process. */
static void register_counters(struct metric *rows, size_t count, const struct metric *shape,
                              const char *(*name)(size_t index))
{
    for (size_t i = 0; i < count; i++) {
        struct buffer labels;
        buffer_init(&labels, 256);
        buffer_append_format(&labels, "%s=\"%s\"", shape->labels, name(i));
        buffer_append_char(&labels, '\0');
        rows[i] = (struct metric){
            .name = shape->name, .kind = shape->kind, .labels = labels.at, .help = shape->help};
    }
    metric_register(rows, count);
}

static const char *item_name(size_t index)
{
    return item_names[index];
}

static const char *drop_name(size_t index)
{
    return sentry_drop_name((enum sentry_drop)(index + 1));
}

void sentry_init(void)
{
    static const struct metric items = {.name = "lapwing_sentry_items_total",
                                        .kind = METRIC_COUNTER,
                                        .labels = "type",
                                        .help = "Envelope items received, by type."};
    static const struct metric drops = {.name = "lapwing_sentry_dropped_total",
                                        .kind = METRIC_COUNTER,
                                        .labels = "reason",
                                        .help = "Envelope items dropped, by reason."};
    if (item_metrics[0].name)
        return;
    register_counters(item_metrics, ITEM_TYPE_COUNT, &items, item_name);
    register_counters(drop_metrics, SENTRY_DROP_COUNT - 1, &drops, drop_name);
}
