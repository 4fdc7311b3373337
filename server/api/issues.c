/* issues (api): parameters in, documents out.
 *
 * An issue is printed from one table of fields, so that the list and the single view agree. An
 * event is printed with the body the client sent, under "event". The bytes of one answer are
 * bounded: a list of events ends early when the bodies are large.
 *
 * Absent: changing an issue, pages beyond `limit`, search inside events.
 */
#include "server/api/issues.h"

#include "server/wire/timestamp.h"

#define ISSUES_DEFAULT   100
#define EVENTS_DEFAULT   20
#define EVENTS_LIMIT_MAX 100
#define EVENTS_BYTES_MAX (8 << 20)

/* --- printing --- */

static void put_time(struct json_writer *writer, const char *key, int64_t time_ms)
{
    char text[TIMESTAMP_TEXT_SIZE];
    json_field_string(writer, key, slice_of_string(timestamp_print(time_ms, text)));
}

static void put_members(struct json_writer *writer, const struct issue *issue)
{
    const struct {
        const char *key;
        const char *text;
    } texts[] = {
        {"id", issue->id},
        {"project", issue->project},
        {"title", issue->title},
        {"culprit", issue->culprit},
        {"type", issue->type},
        {"value", issue->value},
        {"level", error_level_name(issue->level)},
        {"status", issue_status_name(issue->status)},
        {"platform", issue->platform},
        {"first_release", issue->first_release},
        {"release", issue->release},
        {"environment", issue->environment},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        json_field_string(writer, texts[i].key, slice_of_string(texts[i].text));
    json_field_int(writer, "count", (int64_t)issue->count);
    json_field_int(writer, "stored_events", (int64_t)issue->stored);
    json_field_int(writer, "users", (int64_t)issue->users);
    put_time(writer, "first_seen", issue->first_seen_ms);
    put_time(writer, "last_seen", issue->last_seen_ms);
}

static void put_event(struct json_writer *writer, const struct issue_body *event)
{
    json_begin_object(writer);
    json_field_string(writer, "id", event->event_id);
    put_time(writer, "timestamp", event->time_ms);
    put_time(writer, "received", event->received_ms);
    json_key(writer, SLICE("event"));
    json_put_raw(writer, slice_trim(event->body));
    json_end_object(writer);
}

/* --- parameters --- */

static int read_limit(const struct http_request *request, size_t fallback, size_t max, size_t *out,
                      struct error *err)
{
    struct slice text;
    uint64_t value = fallback;
    if (http_get_param(request, "limit", &text) && text.len > 0 &&
        (!slice_to_u64(text, &value) || value == 0 || value > max))
        return error_set(err, ERROR_BAD_DATA, "limit must be a number from 1 to %zu", max);
    *out = (size_t)value;
    return 0;
}

static int read_level(const struct http_request *request, int *out, struct error *err)
{
    struct slice text;
    enum error_level level;
    *out = -1;
    if (!http_get_param(request, "level", &text) || text.len == 0)
        return 0;
    if (!error_level_parse(text, &level))
        return error_set(err, ERROR_BAD_DATA,
                         "level must be one of debug, info, warning, error, fatal");
    *out = (int)level;
    return 0;
}

static int read_status(const struct http_request *request, int *out, struct error *err)
{
    struct slice text;
    *out = -1;
    if (!http_get_param(request, "status", &text) || text.len == 0)
        return 0;
    if (!slice_equal_string(text, issue_status_name(ISSUE_UNRESOLVED)))
        return error_set(err, ERROR_BAD_DATA, "status must be unresolved");
    *out = ISSUE_UNRESOLVED;
    return 0;
}

static int read_filter(const struct http_request *request, struct issue_filter *out,
                       struct error *err)
{
    *out = (struct issue_filter){.level = -1, .status = -1};
    http_get_param(request, "project", &out->project);
    http_get_param(request, "query", &out->query);
    if (read_limit(request, ISSUES_DEFAULT, ISSUES_LIMIT_MAX, &out->limit, err) < 0 ||
        read_level(request, &out->level, err) < 0 || read_status(request, &out->status, err) < 0)
        return -1;
    return 0;
}

/* --- handlers --- */

static void refuse(struct http_reply *reply, const struct error *err)
{
    buffer_reset(&reply->body); /* part of an answer may be there already */
    http_refuse_json(reply, err);
}

static void visit_issue(void *arg, const struct issue *issue)
{
    struct json_writer *writer = arg;
    json_begin_object(writer);
    put_members(writer, issue);
    json_end_object(writer);
}

static void handle_list(const struct http_request *request, struct http_reply *reply)
{
    struct issue_filter filter;
    struct json_writer writer;
    struct error err = {.kind = ERROR_NONE};
    json_writer_init(&writer, &reply->body);
    json_begin_object(&writer);
    json_key(&writer, SLICE("issues"));
    json_begin_array(&writer);
    if (read_filter(request, &filter, &err) < 0 ||
        issues_list(request->context, &filter, visit_issue, &writer, &err) < 0) {
        refuse(reply, &err);
        return;
    }
    json_end_array(&writer);
    json_end_object(&writer);
}

/* 0, or refuses and returns -1. */
static int find_issue(const struct http_request *request, struct http_reply *reply,
                      struct issue *out)
{
    struct error err = {.kind = ERROR_NONE};
    struct slice id = http_get_segment(request, "id");
    int found = issues_get(request->context, id, out, &err);
    if (found > 0)
        return 0;
    if (found == 0)
        error_set(&err, ERROR_NOT_FOUND,
                  "there is no issue \"" SLICE_FMT "\"; GET /api/issues lists those there are",
                  SLICE_ARG(slice_head(id, 64)));
    refuse(reply, &err);
    return -1;
}

struct printing {
    struct json_writer *writer;
    size_t left;
};

static bool visit_event(void *arg, const struct issue_body *event)
{
    struct printing *printing = arg;
    put_event(printing->writer, event);
    printing->left--;
    return printing->left > 0 && printing->writer->out->len < EVENTS_BYTES_MAX;
}

static void handle_issue(const struct http_request *request, struct http_reply *reply)
{
    struct issue issue;
    struct json_writer writer;
    struct error err = {.kind = ERROR_NONE};
    if (find_issue(request, reply, &issue) < 0)
        return;
    json_writer_init(&writer, &reply->body);
    struct printing printing = {.writer = &writer, .left = 1};
    json_begin_object(&writer);
    put_members(&writer, &issue);
    json_key(&writer, SLICE("latest_event"));
    if (issues_events(request->context, slice_of_string(issue.id), visit_event, &printing, &err) <
        0) {
        refuse(reply, &err);
        return;
    }
    if (printing.left > 0)
        json_put_null(&writer);
    json_end_object(&writer);
}

static void handle_events(const struct http_request *request, struct http_reply *reply)
{
    struct issue issue;
    struct json_writer writer;
    struct error err = {.kind = ERROR_NONE};
    struct printing printing = {.writer = &writer};
    if (find_issue(request, reply, &issue) < 0)
        return;
    json_writer_init(&writer, &reply->body);
    json_begin_object(&writer);
    json_key(&writer, SLICE("events"));
    json_begin_array(&writer);
    if (read_limit(request, EVENTS_DEFAULT, EVENTS_LIMIT_MAX, &printing.left, &err) < 0 ||
        issues_events(request->context, slice_of_string(issue.id), visit_event, &printing, &err) <
            0) {
        refuse(reply, &err);
        return;
    }
    json_end_array(&writer);
    json_end_object(&writer);
}

const struct http_route issues_routes[] = {
    {HTTP_GET, "/api/issues", handle_list, false, http_refuse_json, NULL},
    {HTTP_GET, "/api/issues/{id}", handle_issue, false, http_refuse_json, NULL},
    {HTTP_GET, "/api/issues/{id}/events", handle_events, false, http_refuse_json, NULL},
};
const size_t issues_route_count = sizeof issues_routes / sizeof *issues_routes;
