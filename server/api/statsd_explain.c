/* statsd_explain: what the listeners would make of a line, without making it.
 *
 *   line --> each profile asked about --> parts (segments) --> parsed, mapped, labelled
 *                                                          '-> refused: why, and at which byte
 *
 * It asks the functions that the workers and the writer use, so it cannot say anything else than they do.
 * What the store holds at this moment, limits and other types of a name, is statsd_outlook.c's matter.
 */
#include "server/api/prometheus_request.h"
#include "server/api/statsd.h"
#include "server/ingest/mapped.h"
#include "server/ingest/notice.h"
#include "server/ingest/worker.h"
#include "server/wire/printable.h"
#include "server/wire/statsd_fault.h"

#define LINE_MAX_BYTES 8192
#define TEXT_BYTES     (8 * LINE_MAX_BYTES)
#define LABELS_ARENA   262144
#define VALUES_SHOWN   100
#define TAGS_BYTES     (2 * STATSD_TAGS_MAX)

struct explanation {
    const struct statsd_api *api;
    const struct statsd_profile *profile;
    const struct mapping *mapping;
    struct slice line;
    struct json_writer writer;
    struct buffer text;
};

static void put_printable(struct explanation *it, const char *key, struct slice value)
{
    buffer_reset(&it->text);
    printable_append(&it->text, value);
    json_field_string(&it->writer, key, buffer_slice(&it->text));
}

static void begin_part(struct explanation *it, bool accepted)
{
    json_begin_object(&it->writer);
    json_field_bool(&it->writer, "accepted", accepted);
}

static void put_refused(struct explanation *it, struct slice segment, enum statsd_reject reject)
{
    size_t at = statsd_fault(it->profile, it->line, segment, reject);
    begin_part(it, false);
    json_field_string(&it->writer, "reason", slice_of_string(statsd_reject_names[reject]));
    json_field_string(&it->writer, "error", slice_of_string(statsd_fault_text(reject)));
    json_field_int(&it->writer, "byte", (int64_t)at);
    json_field_int(&it->writer, "column", (int64_t)printable_width(slice_head(it->line, at)));
    json_end_object(&it->writer);
}

static void put_ignored(struct explanation *it, unsigned ignored)
{
    static const char *const names[STATSD_IGNORED_COUNT] = {
        [STATSD_IGNORED_CONTAINER] = "container",     [STATSD_IGNORED_TIMESTAMP] = "timestamp",
        [STATSD_IGNORED_EXTERNAL] = "external_data",  [STATSD_IGNORED_OTHER] = "other",
        [STATSD_IGNORED_CARDINALITY] = "cardinality",
    };
    if (!ignored)
        return;
    json_key(&it->writer, SLICE("ignored"));
    json_begin_array(&it->writer);
    for (size_t i = 0; i < STATSD_IGNORED_COUNT; i++)
        if (ignored >> i & 1)
            json_put_string(&it->writer, slice_of_string(names[i]));
    json_end_array(&it->writer);
}

static void put_values(struct explanation *it, struct statsd_metric metric)
{
    bool moves = metric.is_delta;
    if (metric.type == STATSD_SET) {
        put_printable(it, "member", metric.member);
        return;
    }
    json_key(&it->writer, SLICE("values"));
    json_begin_array(&it->writer);
    size_t shown = 0;
    do
        json_put_double(&it->writer, metric.value);
    while (++shown < VALUES_SHOWN && statsd_cut_value(&metric));
    json_end_array(&it->writer);
    if (metric.type == STATSD_GAUGE)
        json_field_bool(&it->writer, "moves", moves);
    if (metric.weight != 1)
        json_field_double(&it->writer, "weight", metric.weight);
    if (metric.time_s)
        json_field_int(&it->writer, "time", metric.time_s);
}

static const struct mapping_rule *put_rule(struct explanation *it,
                                           const struct statsd_metric *metric)
{
    uint16_t number = mapped_rule(it->mapping, metric);
    const struct mapping_rule *rule = mapped_at(it->mapping, number);
    if (!rule)
        return NULL;
    json_key(&it->writer, SLICE("rule"));
    json_begin_object(&it->writer);
    json_field_int(&it->writer, "number", number);
    put_printable(it, "match", rule->match);
    json_field_string(&it->writer, "action", rule->drop ? SLICE("drop") : SLICE("map"));
    if (rule->scale != 1)
        json_field_double(&it->writer, "scale", rule->scale);
    if (rule->ttl_ms)
        json_field_double(&it->writer, "ttl_seconds", (double)rule->ttl_ms / 1000);
    json_end_object(&it->writer);
    return rule;
}

static void put_series(struct explanation *it, const struct statsd_metric *metric,
                       const struct mapping_rule *rule)
{
    static const enum series_kind kinds[STATSD_TYPE_COUNT] = {
        [STATSD_COUNTER] = SERIES_COUNTER, [STATSD_GAUGE] = SERIES_GAUGE,
        [STATSD_TIMER] = SERIES_HISTOGRAM, [STATSD_SET] = SERIES_SET,
        [STATSD_TOTAL] = SERIES_COUNTER,   [STATSD_DECREMENT] = SERIES_COUNTER,
    };
    struct arena arena;
    struct labels labels;
    struct statsd_name name = statsd_split_name(metric->dialect, metric->name);
    if (metric->type == STATSD_COUNTER && metric->value < 0)
        name.suffix = STATSD_DECREMENTS;
    arena_init(&arena, LABELS_ARENA);
    if (mapped_labels(rule, name, metric->tags, &arena, &labels)) {
        buffer_reset(&it->text);
        labels_print(labels, &it->text);
        json_field_string(&it->writer, "series", buffer_slice(&it->text));
        json_key(&it->writer, SLICE("labels"));
        labels_put_json(labels, &it->writer);
        statsd_put_outlook(it->api, &it->writer, labels, kinds[metric->type], &arena);
    } else {
        json_field_string(&it->writer, "dropped", SLICE("too_many_tags"));
    }
    arena_release(&arena);
}

/* What becomes of it: which rule takes it, and the series it belongs to. */
static void put_fate(struct explanation *it, const struct statsd_metric *metric)
{
    const struct mapping_rule *rule = put_rule(it, metric);
    if (rule && rule->drop)
        json_field_string(&it->writer, "dropped", SLICE("mapped_drop"));
    else
        put_series(it, metric, rule);
}

static void put_metric(struct explanation *it, const struct statsd_metric *metric)
{
    static const char *const types[STATSD_TYPE_COUNT] = {
        [STATSD_COUNTER] = "counter", [STATSD_GAUGE] = "gauge",         [STATSD_TIMER] = "timer",
        [STATSD_SET] = "set",         [STATSD_TOTAL] = "running total", [STATSD_DECREMENT] = "",
    };
    begin_part(it, true);
    put_printable(it, "name", metric->name);
    put_printable(it, "tags", metric->tags);
    json_field_string(&it->writer, "type", slice_of_string(types[metric->type]));
    put_values(it, *metric);
    put_ignored(it, metric->ignored);
    put_fate(it, metric);
    json_end_object(&it->writer);
}

static void put_notice(struct explanation *it, bool event)
{
    struct statsd_notice notice;
    struct statsd_metric metric;
    struct buffer tags;
    enum statsd_reject reject =
        event ? statsd_parse_event(it->line, &notice) : statsd_parse_check(it->line, &notice);
    if (reject != STATSD_ACCEPTED) {
        put_refused(it, (struct slice){NULL, 0}, reject);
        return;
    }
    begin_part(it, true);
    put_printable(it, "name", event ? notice.title : notice.name);
    put_printable(it, "tags", notice.tags);
    json_field_string(&it->writer, "type", event ? SLICE("event") : SLICE("service check"));
    put_printable(it, "text", notice.text);
    buffer_init(&tags, TAGS_BYTES);
    metric = event ? notice_event_metric(&notice, &tags) : notice_check_metric(&notice, &tags);
    if (!event)
        put_values(it, metric);
    put_ignored(it, notice.ignored);
    put_fate(it, &metric);
    buffer_release(&tags);
    json_end_object(&it->writer);
}

/* A line is one part, or as many as it has segments. */
static void put_parts(struct explanation *it)
{
    struct statsd_metric metric;
    struct slice segment = it->line, name;
    enum statsd_reject reject = statsd_parse(it->profile, it->line, &metric);
    if (reject >= STATSD_REJECT_COUNT) {
        put_notice(it, reject == STATSD_EVENT);
        return;
    }
    if (!slice_cut(&segment, ':', &name))
        segment = (struct slice){NULL, 0};
    for (;;) {
        if (reject == STATSD_ACCEPTED)
            put_metric(it, &metric);
        else
            put_refused(it, segment, reject);
        if (!metric.segments.len)
            return;
        segment = metric.segments;
        reject = statsd_next_segment(it->profile, &metric);
    }
}

/* The transports whose listener has this profile; the profile as it is configured there. */
static void put_listeners(struct explanation *it)
{
    json_key(&it->writer, SLICE("listeners"));
    json_begin_array(&it->writer);
    for (int i = 0; i < WORKER_TRANSPORT_COUNT; i++) {
        const struct statsd_profile *profile = ingest_profile(it->api->ingest, i);
        if (!profile || profile->dialect != it->profile->dialect)
            continue;
        it->profile = profile;
        json_put_string(&it->writer, slice_of_string(worker_transport_names[i]));
    }
    json_end_array(&it->writer);
}

static void put_profile(struct explanation *it, const struct statsd_profile *profile)
{
    it->profile = profile;
    json_begin_object(&it->writer);
    json_field_string(&it->writer, "profile", slice_of_string(profile->name));
    put_listeners(it);
    json_key(&it->writer, SLICE("parts"));
    json_begin_array(&it->writer);
    put_parts(it);
    json_end_array(&it->writer);
    json_end_object(&it->writer);
}

static bool is_listened_to(const struct statsd_api *api, enum statsd_dialect dialect)
{
    for (int i = 0; i < WORKER_TRANSPORT_COUNT; i++) {
        const struct statsd_profile *profile = ingest_profile(api->ingest, i);
        if (profile && profile->dialect == dialect)
            return true;
    }
    return false;
}

/* Bits of dialects: that of the parameter, all of them, or those of the listeners. */
static int choose_profiles(const struct http_request *request, unsigned *out, struct error *err)
{
    struct slice name;
    *out = 0;
    bool given = http_get_param(request, "profile", &name);
    for (int i = 0; i < STATSD_DIALECT_COUNT; i++) {
        bool wanted = !given ? is_listened_to(request->context, (enum statsd_dialect)i)
                             : slice_equal(name, SLICE("all")) ||
                                   slice_equal_string(name, statsd_profiles[i].name);
        *out |= (unsigned)wanted << i;
    }
    if (*out == 0 && given)
        return error_set(err, ERROR_BAD_DATA,
                         "there is no profile \"" SLICE_FMT
                         "\"; take union, etsy, dogstatsd, statsite or all",
                         SLICE_ARG(slice_head(name, 40)));
    *out = *out ? *out : 1u << STATSD_UNION; /* nobody listens */
    return 0;
}

static int one_line(const struct http_request *request, struct slice *out, struct error *err)
{
    struct slice rest;
    if (!http_get_param(request, "line", &rest) || !statsd_cut_line(&rest, out))
        return error_set(err, ERROR_BAD_DATA, "invalid parameter \"line\": give a line of statsd");
    if (rest.len || out->len > LINE_MAX_BYTES)
        return error_set(err, ERROR_BAD_DATA,
                         "invalid parameter \"line\": one line of at most %d bytes",
                         LINE_MAX_BYTES);
    return 0;
}

void statsd_explain(const struct http_request *request, struct http_reply *reply)
{
    struct explanation it = {.api = request->context};
    struct error err = {0};
    unsigned profiles;
    if (one_line(request, &it.line, &err) || choose_profiles(request, &profiles, &err)) {
        api_refuse(reply, &err);
        return;
    }
    struct mapping *mapping = ingest_mapping(it.api->ingest);
    it.mapping = mapping;
    buffer_init(&it.text, TEXT_BYTES);
    api_begin(reply);
    json_writer_init(&it.writer, &reply->body);
    json_begin_object(&it.writer);
    put_printable(&it, "line", it.line);
    json_key(&it.writer, SLICE("profiles"));
    json_begin_array(&it.writer);
    for (int i = 0; i < STATSD_DIALECT_COUNT; i++)
        if (profiles >> i & 1)
            put_profile(&it, &statsd_profiles[i]);
    json_end_array(&it.writer);
    json_end_object(&it.writer);
    buffer_release(&it.text);
    mapping_free(mapping);
    api_end(reply, NULL);
}
