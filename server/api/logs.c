/* logs: see the header. One request is one batch and one writer call. */
#include "server/api/logs.h"

#include "server/ingest/logbatch.h"
#include "storage/base/json.h"

#define ERRORS_MAX 10 /* told in one answer; the rest is only counted */

struct outcome {
    size_t rejected;
    struct buffer errors; /* the JSON objects, comma-separated */
    struct error first;
};

static void note_error(struct outcome *outcome, const struct jsonlog_body *body,
                       const struct error *why)
{
    struct json_writer json;
    if (outcome->rejected++ == 0)
        outcome->first = *why;
    if (outcome->rejected > ERRORS_MAX)
        return;
    if (outcome->rejected > 1)
        buffer_append_char(&outcome->errors, ',');
    json_writer_init(&json, &outcome->errors);
    json_begin_object(&json);
    json_field_int(&json, body->shape == JSONLOG_LIST ? "item" : "line", (int64_t)body->number);
    json_field_string(&json, "error", slice_of_string(why->text));
    json_end_object(&json);
}

static void read_body(const struct logs_api *api, struct slice text, struct logbatch *batch,
                      struct outcome *outcome)
{
    struct jsonlog *parser = jsonlog_new((size_t)api->line_max);
    struct jsonlog_body body;
    struct slice line;
    logbatch_set_window(parser, api->retention_ms);
    jsonlog_body_init(&body, text);
    while (jsonlog_body_next(&body, &line)) {
        struct error why = {0};
        if (logbatch_add(batch, parser, line, &why) != JSONLOG_OK)
            note_error(outcome, &body, &why);
    }
    if (body.broken) {
        struct error why = {0};
        body.number++;
        error_set(&why, ERROR_BAD_DATA,
                  "the list does not end here with \"]\"; it was cut off, or "
                  "something follows it");
        note_error(outcome, &body, &why);
    }
    jsonlog_free(parser);
}

static int store_records(void *arg, struct store_batch *out, struct error *err)
{
    struct logbatch *batch = arg;
    return batch->job.run(&batch->job, out, err);
}

static void answer(const struct logbatch *batch, const struct outcome *outcome,
                   struct http_reply *reply)
{
    struct json_writer json;
    bool all_refused = outcome->rejected > 0 && batch->count == 0;
    json_writer_init(&json, &reply->body);
    json_begin_object(&json);
    if (all_refused) {
        json_field_string(&json, "status", SLICE("error"));
        json_field_string(&json, "errorType", SLICE("bad_data"));
        json_field_string(&json, "error", slice_of_string(outcome->first.text));
        reply->status = 400;
    }
    json_field_int(&json, "accepted", (int64_t)batch->count);
    json_field_int(&json, "rejected", (int64_t)outcome->rejected);
    if (outcome->rejected) {
        json_key(&json, SLICE("errors"));
        json_begin_array(&json);
        json_put_raw(&json, buffer_slice(&outcome->errors));
        json_end_array(&json);
    }
    json_end_object(&json);
}

static void post_logs(const struct http_request *request, struct http_reply *reply)
{
    struct logs_api *api = request->context;
    struct logbatch batch;
    struct outcome outcome = {0};
    struct error err = {0};
    int status = 0;
    logbatch_init(&batch);
    buffer_init(&outcome.errors, 64 << 10);
    read_body(api, request->body, &batch, &outcome);
    if (batch.count) {
        status = writer_call(api->writer, false, store_records, &batch, &err);
        logbatch_count_stored(&batch, status);
    }
    if (status)
        http_refuse_json(reply, &err);
    else
        answer(&batch, &outcome, reply);
    buffer_release(&outcome.errors);
    logbatch_release(&batch);
}

const struct http_route logs_routes[] = {
    {.methods = HTTP_POST,
     .pattern = "/api/logs",
     .handle = post_logs,
     .cors = true,
     .refuse = http_refuse_json},
};
const size_t logs_route_count = sizeof logs_routes / sizeof logs_routes[0];
