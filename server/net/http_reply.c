/* http_reply: what handlers call: lookups in a request, and errors in the shapes clients know. */
#include "server/net/http.h"
#include "storage/base/json.h"

static bool find(const struct http_param *at, size_t count, struct slice name, bool any_case,
                 struct slice *out)
{
    for (size_t i = 0; i < count; i++) {
        bool same = any_case ? slice_equal_nocase(at[i].name, name) : slice_equal(at[i].name, name);
        if (same) {
            *out = at[i].value;
            return true;
        }
    }
    return false;
}

bool http_get_param(const struct http_request *request, const char *name, struct slice *out)
{
    return find(request->params, request->param_count, slice_of_string(name), false, out);
}

bool http_get_header(const struct http_request *request, const char *name, struct slice *out)
{
    return find(request->headers, request->header_count, slice_of_string(name), true, out);
}

struct slice http_get_segment(const struct http_request *request, const char *name)
{
    struct slice value = {"", 0};
    find(request->segments, request->segment_count, slice_of_string(name), false, &value);
    return value;
}

/* What an error kind is called on each surface. */
static const struct {
    int status;
    const char *type;
} kinds[] = {
    [ERROR_NONE] = {500, "internal"},           [ERROR_BAD_DATA] = {400, "bad_data"},
    [ERROR_EXECUTION] = {422, "execution"},     [ERROR_NOT_FOUND] = {404, "not_found"},
    [ERROR_TOO_LARGE] = {413, "too_large"},     [ERROR_LIMIT] = {429, "limit"},
    [ERROR_TIMEOUT] = {503, "timeout"},         [ERROR_CANCELED] = {499, "canceled"},
    [ERROR_UNAVAILABLE] = {503, "unavailable"}, [ERROR_INTERNAL] = {500, "internal"},
};

int http_status_of(enum error_kind kind)
{
    return kinds[kind].status;
}

void http_refuse_json(struct http_reply *reply, const struct error *err)
{
    struct json_writer writer;
    reply->status = http_status_of(err->kind);
    reply->content_type = "application/json";
    json_writer_init(&writer, &reply->body);
    json_begin_object(&writer);
    json_field_string(&writer, "status", SLICE("error"));
    json_field_string(&writer, "errorType", slice_of_string(kinds[err->kind].type));
    json_field_string(&writer, "error", slice_of_string(err->text));
    json_end_object(&writer);
}

void http_refuse_text(struct http_reply *reply, const struct error *err)
{
    reply->status = http_status_of(err->kind);
    reply->content_type = "text/plain; charset=utf-8";
    buffer_append_string(&reply->body, err->text);
    buffer_append_char(&reply->body, '\n');
}

void http_refuse_detail(struct http_reply *reply, const struct error *err)
{
    struct json_writer writer;
    reply->status = http_status_of(err->kind);
    reply->content_type = "application/json";
    json_writer_init(&writer, &reply->body);
    json_begin_object(&writer);
    json_field_string(&writer, "detail", slice_of_string(err->text));
    json_end_object(&writer);
}
