/* prometheus_request: see the header.
 *
 * Times are decimal seconds (Grafana, promtool) or RFC 3339 (people). Both are bounded, so that no
 * arithmetic on them can overflow later.
 */
#include "server/api/prometheus_request.h"

#include <math.h>

#include "query/literal.h"
#include "server/wire/timestamp.h"
#include "storage/base/json.h"

#define SHOWN_MAX 100 /* bytes of a bad value repeated in an error */

static bool seconds_to_ms(struct slice text, int64_t *out)
{
    double seconds;
    if (!slice_to_double(text, &seconds) || fabs(seconds) > (double)API_TIME_MAX_MS / 1000)
        return false;
    /* Each part by itself, as Prometheus does: 1.0005 is less than a half above 1. */
    double whole, part = modf(seconds, &whole);
    *out = (int64_t)whole * 1000 + llround(part * 1000);
    return true;
}

/* What Go's client sends where its user names no time: years that no other reader of times takes. */
static bool end_of_time(struct slice text, int64_t *out)
{
    bool first = slice_equal(text, SLICE("-292273086-05-16T16:47:06Z"));
    *out = first ? -API_TIME_MAX_MS : API_TIME_MAX_MS;
    return first || slice_equal(text, SLICE("292277025-08-18T07:12:54.999999999Z"));
}

static bool read_time(struct slice text, int64_t *out)
{
    return seconds_to_ms(text, out) || timestamp_parse_any(text, out) || end_of_time(text, out);
}

static int bad_value(struct error *err, struct slice value, const char *wanted)
{
    return error_set(err, ERROR_BAD_DATA, "cannot parse \"" SLICE_FMT "\" to a valid %s",
                     SLICE_ARG(slice_head(value, SHOWN_MAX)), wanted);
}

int api_required_time(const struct http_request *request, const char *name, int64_t *out,
                      struct error *err)
{
    struct slice value = SLICE("");
    if (http_get_param(request, name, &value) && read_time(value, out))
        return 0;
    bad_value(err, value, "timestamp");
    return error_wrap(err, "invalid parameter \"%s\"", name);
}

int api_optional_time(const struct http_request *request, const char *name, int64_t *out,
                      struct error *err)
{
    struct slice value;
    if (!http_get_param(request, name, &value) || value.len == 0 || read_time(value, out))
        return 0;
    bad_value(err, value, "timestamp");
    return error_wrap(err, "invalid parameter \"%s\": invalid time value for '%s'", name, name);
}

int api_duration(const struct http_request *request, const char *name, bool required,
                 int64_t *out_ms, struct error *err)
{
    struct slice value = SLICE("");
    struct error ignored;
    bool present = http_get_param(request, name, &value) && value.len;
    if (!present && !required)
        return 0;
    if (present && (seconds_to_ms(value, out_ms) || literal_duration(value, out_ms, &ignored) == 0))
        return 0;
    bad_value(err, value, "duration");
    return error_wrap(err, "invalid parameter \"%s\"", name);
}

int api_limit(const struct http_request *request, const char *name, size_t *out, struct error *err)
{
    struct slice value;
    uint64_t number;
    *out = 0;
    if (!http_get_param(request, name, &value) || value.len == 0)
        return 0;
    if (value.at[0] == '-')
        return error_set(err, ERROR_BAD_DATA,
                         "invalid parameter \"%s\": limit must be non-negative", name);
    if (!slice_to_u64(value, &number) || number > SIZE_MAX / 2)
        return error_set(err, ERROR_BAD_DATA, "invalid parameter \"%s\": it must be a number >= 0",
                         name);
    *out = (size_t)number;
    return 0;
}

int api_selectors(const struct http_request *request, struct arena *arena,
                  struct api_selectors *out, struct error *err)
{
    out->count = 0;
    for (size_t i = 0; i < request->param_count; i++) {
        if (!slice_equal(request->params[i].name, SLICE("match[]")))
            continue;
        if (out->count == API_SELECTORS_MAX)
            return error_set(err, ERROR_BAD_DATA,
                             "invalid parameter \"match[]\": at most %d of them are accepted",
                             API_SELECTORS_MAX);
        if (parse_selector(request->params[i].value, arena, &out->at[out->count], err) < 0)
            return error_wrap(err, "invalid parameter \"match[]\"");
        out->count++;
    }
    return 0;
}

void api_selectors_release(struct api_selectors *selectors)
{
    for (size_t i = 0; i < selectors->count; i++)
        plan_release(selectors->at[i]);
    selectors->count = 0;
}

void api_begin(struct http_reply *reply)
{
    buffer_append_string(&reply->body, "{\"status\":\"success\",\"data\":");
}

void api_end(struct http_reply *reply, const char *warning)
{
    struct error err;
    if (warning) {
        buffer_append_string(&reply->body, ",\"warnings\":[");
        json_append_quoted(&reply->body, slice_of_string(warning));
        buffer_append_char(&reply->body, ']');
    }
    buffer_append_char(&reply->body, '}');
    if (reply->body.overflow) {
        error_set(&err, ERROR_LIMIT,
                  "the answer is larger than %zu bytes; ask for fewer series or a larger step",
                  reply->body.limit);
        api_refuse(reply, &err);
    }
}

/* Prometheus answers a query beyond its limits with 422: 429 would ask the client to try again. */
void api_refuse(struct http_reply *reply, const struct error *err)
{
    struct error told = *err;
    if (told.kind == ERROR_LIMIT)
        told.kind = ERROR_EXECUTION;
    buffer_reset(&reply->body);
    http_refuse_json(reply, &told);
}
