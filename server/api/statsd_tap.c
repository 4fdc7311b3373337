/* statsd_tap: a stream whose parts are what came since the last one. */
#include "server/api/prometheus_request.h"
#include "server/api/statsd.h"

static int next_part(void *arg, struct buffer *out)
{
    return tap_read(arg, out) ? 1 : 0;
}

static void end(void *arg)
{
    tap_close(arg);
}

void statsd_tap(const struct http_request *request, struct http_reply *reply)
{
    const struct statsd_api *api = request->context;
    struct error err = {0};
    struct slice prefix = SLICE("");
    http_get_param(request, "prefix", &prefix);
    struct tap *tap =
        prefix.len <= TAP_LINE_MAX ? tap_open(ingest_taps(api->ingest), prefix, &err) : NULL;
    if (prefix.len > TAP_LINE_MAX)
        error_set(&err, ERROR_BAD_DATA, "invalid parameter \"prefix\": at most %d bytes",
                  TAP_LINE_MAX);
    if (!tap) {
        api_refuse(reply, &err);
        return;
    }
    reply->content_type = "application/x-ndjson";
    /* A compressor would hold lines back. */
    reply->headers[reply->header_count++] =
        (struct http_param){SLICE("Content-Encoding"), SLICE("identity")};
    reply->stream = (struct http_stream){next_part, end, tap};
}
