/* http_exchange: routing, refusals, and the life of a request on a worker.
 *
 *     main thread                worker                    main thread
 *     begin ─ read body ──▶ inflate ─ params ─ handle ─ gzip, send ──▶ send the rest
 *        ├────────────── refuse ──────────────────────────────────────▶
 *        └────────────── params ─ answer at once, where the route can ▶
 *
 * A stream goes to a worker again for each part once the last one is sent.
 *
 * A route table is searched in order, segment by segment; there are some sixty routes, so no index.
 * Whatever goes wrong before the handler is worded by the route's own `refuse`, because a Loki
 * client and a Sentry client read different shapes.
 */
#include "server/net/http_exchange.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "server/net/encoding.h"
#include "server/net/http_multipart.h"
#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "storage/base/log.h"

#define REPLY_BYTES_MAX ((size_t)256 << 20)
#define ARENA_SPARE     ((size_t)64 << 20) /* for handlers, above what parameters may take */
#define PRINTED_MAX     (HTTP_HEAD_MAX + (64 << 10))
#define GZIP_BYTES_MIN  1024
#define AT_ONCE_MAX     ((size_t)16 << 10) /* bytes of a form that the loop reads itself */

struct exchange *exchange_new(const struct http_options *options)
{
    struct exchange *exchange = alloc_zeroed(1, sizeof *exchange);
    arena_init(&exchange->arena, (size_t)options->inflated_max + ARENA_SPARE);
    buffer_init(&exchange->body, (size_t)options->body_max);
    buffer_init(&exchange->inflated, (size_t)options->inflated_max);
    buffer_init(&exchange->reply.body, REPLY_BYTES_MAX);
    buffer_init(&exchange->printed, PRINTED_MAX);
    exchange->inflated_max = options->inflated_max;
    exchange->reply.status = 200;
    return exchange;
}

void exchange_free(struct exchange *exchange)
{
    if (!exchange)
        return;
    if (exchange->reply.stream.free)
        exchange->reply.stream.free(exchange->reply.stream.arg);
    gzip_free(exchange->gzip);
    buffer_release(&exchange->body);
    buffer_release(&exchange->inflated);
    buffer_release(&exchange->reply.body);
    buffer_release(&exchange->printed);
    arena_release(&exchange->arena);
    free(exchange);
}

/* --- routing --- */

static bool is_name(struct slice part)
{
    return part.len > 2 && part.at[0] == '{' && part.at[part.len - 1] == '}';
}

/* False for nearly all patterns that do not match, by their last byte alone. */
static bool ends_alike(struct slice pattern, const struct http_head *head)
{
    struct slice last = head->segment_count ? head->segments[head->segment_count - 1] : SLICE("");
    char end = pattern.at[pattern.len - 1];
    return end == '}' || end == (last.len ? last.at[last.len - 1] : '/');
}

static bool pattern_matches(struct slice pattern, const struct http_head *head)
{
    struct slice rest = slice_skip(pattern, 1), part;
    size_t i = 0;
    if (!ends_alike(pattern, head))
        return false;
    for (bool more = true; more; i++) {
        more = slice_cut(&rest, '/', &part);
        if (i == head->segment_count)
            return false;
        bool same =
            is_name(part) ? head->segments[i].len > 0 : slice_equal(part, head->segments[i]);
        if (!same)
            return false;
    }
    return i == head->segment_count;
}

/* The {name} parts of the pattern with what the path has in their place. */
static void bind_segments(struct exchange *exchange)
{
    struct slice rest = slice_skip(slice_of_string(exchange->route->pattern), 1), part;
    struct http_param *at = arena_zeroed(&exchange->arena, HTTP_SEGMENTS_MAX, sizeof *at);
    size_t count = 0;
    assert(at);
    for (size_t i = 0; i < exchange->head.segment_count; i++) {
        slice_cut(&rest, '/', &part);
        if (is_name(part))
            at[count++] = (struct http_param){slice_make(part.at + 1, part.len - 2),
                                              exchange->head.segments[i]};
    }
    exchange->request.segments = at;
    exchange->request.segment_count = count;
}

static unsigned methods_of(const struct http_route *route)
{
    return route->methods | HTTP_OPTIONS | (route->methods & HTTP_GET ? HTTP_HEAD : 0);
}

/* Sets exchange->route; the answer is which methods the path takes, 0 when there is no such path.
 * With a wrong method the route is the first that has the path. */
static unsigned find_route(struct exchange *exchange, const struct http_table *tables, size_t count)
{
    unsigned methods = 0;
    for (size_t t = 0; t < count; t++)
        for (size_t i = 0; i < tables[t].count; i++) {
            const struct http_route *route = &tables[t].routes[i];
            if (!pattern_matches(slice_of_string(route->pattern), &exchange->head))
                continue;
            bool takes_it = (methods_of(route) & exchange->head.method) != 0;
            bool had_it = (methods & exchange->head.method) != 0;
            if (!methods || (takes_it && !had_it)) {
                exchange->route = route;
                exchange->request.context = tables[t].context;
            }
            methods |= methods_of(route);
        }
    return methods;
}

static void add_header(struct http_reply *reply, const char *name, struct slice value)
{
    assert(reply->header_count < sizeof reply->headers / sizeof reply->headers[0]);
    reply->headers[reply->header_count++] = (struct http_param){slice_of_string(name), value};
}

static struct slice allow_list(struct arena *arena, unsigned methods)
{
    return arena_format(arena, "%s%s%s%s%sOPTIONS", methods & HTTP_GET ? "GET, " : "",
                        methods & HTTP_HEAD ? "HEAD, " : "", methods & HTTP_POST ? "POST, " : "",
                        methods & HTTP_PUT ? "PUT, " : "", methods & HTTP_DELETE ? "DELETE, " : "");
}

/* --- refusals --- */

void exchange_refuse(struct exchange *exchange, int status, const struct error *err)
{
    struct http_reply *reply = &exchange->reply;
    buffer_reset(&reply->body);
    reply->header_count = 0;
    reply->content_type = NULL;
    if (!exchange->route)
        http_refuse_text(reply, err);
    else if (exchange->route->refuse)
        exchange->route->refuse(reply, err);
    else
        http_refuse_json(reply, err);
    reply->status = status;
}

static int refuse(struct exchange *exchange, int status, const char *sentence)
{
    struct error err;
    error_set(&err, ERROR_BAD_DATA, "%s", sentence);
    exchange_refuse(exchange, status, &err);
    return -1;
}

static int answer_options(struct exchange *exchange, unsigned methods)
{
    exchange->reply.status = 204;
    add_header(&exchange->reply, "Allow", allow_list(&exchange->arena, methods));
    return -1;
}

static int check_method(struct exchange *exchange, unsigned methods)
{
    if (methods == 0) {
        /* The words that Prometheus' and Go's clients know. */
        return refuse(exchange, 404, "404 page not found");
    }
    if (exchange->head.method == HTTP_OPTIONS)
        return answer_options(exchange, methods);
    if (methods & exchange->head.method)
        return 0;
    struct error err;
    struct slice allow = allow_list(&exchange->arena, methods);
    error_set(&err, ERROR_BAD_DATA, "this path does not take that method; use " SLICE_FMT,
              SLICE_ARG(allow));
    exchange_refuse(exchange, 405, &err);
    add_header(&exchange->reply, "Allow", allow);
    return -1;
}

static int check_body(struct exchange *exchange)
{
    struct error err;
    struct slice coding = {"", 0};
    size_t limit = exchange->body.limit;
    http_get_header(&exchange->request, "Content-Encoding", &coding);
    if (!encoding_is_known(coding))
        return refuse(exchange, 415,
                      "the Content-Encoding is not known here; use gzip, deflate, zstd or snappy");
    if (exchange->head.content_length <= (int64_t)limit)
        return 0;
    error_set(&err, ERROR_TOO_LARGE,
              "the body of %lld bytes is over the limit of %zu (http.body_max); send less at once",
              (long long)exchange->head.content_length, limit);
    exchange_refuse(exchange, 413, &err);
    return -1;
}

int exchange_begin(struct exchange *exchange, struct slice head, const struct http_table *tables,
                   size_t table_count)
{
    struct error err = {0};
    struct http_request *request = &exchange->request;
    struct slice text = arena_copy(&exchange->arena, head);
    assert(text.at);
    int status = http_parse_head(text, &exchange->arena, &exchange->head, &err);
    if (status != 0) {
        /* Where the request ends is unknown, so nothing more can be read from this connection. */
        exchange->close = true;
        exchange_refuse(exchange, status, &err);
        return -1;
    }
    exchange->close = !exchange->head.keep_alive;
    unsigned methods = find_route(exchange, tables, table_count);
    request->arena = &exchange->arena;
    request->cancelled = &exchange->cancelled;
    request->method = exchange->head.method;
    request->headers = exchange->head.headers;
    request->header_count = exchange->head.header_count;
    if (!http_decode(exchange->head.raw_path, false, &exchange->arena, &request->path))
        request->path = exchange->head.raw_path;
    if (check_method(exchange, methods) != 0)
        return -1;
    bind_segments(exchange);
    return check_body(exchange);
}

/* --- on the worker --- */

static int inflate_body(struct exchange *exchange, struct error *err)
{
    struct slice coding = {"", 0};
    http_get_header(&exchange->request, "Content-Encoding", &coding);
    exchange->request.body = buffer_slice(&exchange->body);
    if (exchange->body.len == 0 || encoding_is_identity(coding))
        return 0;
    if (encoding_inflate(coding, exchange->request.body, &exchange->inflated, err) != 0)
        return error_wrap(err, "request body");
    buffer_release(&exchange->body);
    exchange->request.body = buffer_slice(&exchange->inflated);
    return 0;
}

/* A form is the long form of a query string, so it is looked for where GET works too, and where the
 * route says so. Elsewhere the
 * body is data whatever its type says: curl -d calls everything a form. */
struct form {
    struct slice text;
    struct slice boundary; /* empty: a=1&b=2 */
};

static struct form form_of(const struct exchange *exchange)
{
    const struct http_request *request = &exchange->request;
    struct slice type = {"", 0}, essence, boundary;
    if (!(exchange->route->methods & (HTTP_GET | HTTP_FORM)))
        return (struct form){{"", 0}, {"", 0}};
    http_get_header(request, "Content-Type", &type);
    if (http_multipart_boundary(type, &boundary))
        return (struct form){request->body, boundary};
    slice_cut(&type, ';', &essence);
    if (slice_equal_nocase(slice_trim(essence), SLICE("application/x-www-form-urlencoded")))
        return (struct form){request->body, {"", 0}};
    return (struct form){{"", 0}, {"", 0}};
}

static size_t count_form(const struct form *form)
{
    return form->boundary.len ? http_count_multipart(form->text, form->boundary)
                              : http_count_params(form->text);
}

static int read_form(const struct form *form, struct arena *arena, struct http_param *at,
                     size_t *count, struct error *err)
{
    return form->boundary.len ? http_parse_multipart(form->text, form->boundary, at, count, err)
                              : http_parse_params(form->text, arena, at, count, err);
}

/* Those of the form first: what is in both counts as the body has it, as in Go. */
static int read_params(struct exchange *exchange, struct error *err)
{
    struct slice query = exchange->head.raw_query;
    struct form form = form_of(exchange);
    size_t room = http_count_params(query) + count_form(&form), count = 0;
    struct http_param *at = arena_zeroed(&exchange->arena, room, sizeof *at);
    if (!at)
        return error_set(err, ERROR_TOO_LARGE, "the request has too many parameters");
    if (read_form(&form, &exchange->arena, at, &count, err) != 0 ||
        http_parse_params(query, &exchange->arena, at, &count, err) != 0)
        return -1;
    exchange->request.params = at;
    exchange->request.param_count = count;
    return 0;
}

static bool accepts_gzip(const struct http_request *request)
{
    struct slice list = {"", 0}, item, name;
    http_get_header(request, "Accept-Encoding", &list);
    for (bool more = true; more;) {
        more = slice_cut(&list, ',', &item);
        slice_cut(&item, ';', &name);
        if (slice_equal_nocase(slice_trim(name), SLICE("gzip")))
            return !slice_equal(slice_trim(item), SLICE("q=0"));
    }
    return false;
}

static bool is_encoded(const struct http_reply *reply)
{
    for (size_t i = 0; i < reply->header_count; i++)
        if (slice_equal_nocase(reply->headers[i].name, SLICE("Content-Encoding")))
            return true;
    return false;
}

static void note_gzip(struct http_reply *reply)
{
    add_header(reply, "Content-Encoding", SLICE("gzip"));
    add_header(reply, "Vary", SLICE("Accept-Encoding"));
}

static bool may_compress(const struct exchange *exchange)
{
    const struct http_reply *reply = &exchange->reply;
    return !is_encoded(reply) && accepts_gzip(&exchange->request) &&
           reply->header_count + 2 <= sizeof reply->headers / sizeof reply->headers[0];
}

static bool is_to_compress(const struct exchange *exchange)
{
    return exchange->reply.body.len > GZIP_BYTES_MIN && may_compress(exchange);
}

static void compress_reply(struct exchange *exchange)
{
    struct http_reply *reply = &exchange->reply;
    struct buffer packed;
    if (!is_to_compress(exchange))
        return;
    buffer_init(&packed, REPLY_BYTES_MAX);
    if (!encoding_gzip(buffer_slice(&reply->body), &packed)) {
        buffer_release(&packed);
        return;
    }
    buffer_release(&reply->body);
    reply->body = packed;
    note_gzip(reply);
}

static void begin_compression(struct exchange *exchange)
{
    if (!may_compress(exchange))
        return;
    exchange->gzip = gzip_new();
    note_gzip(&exchange->reply);
}

/* The part in the body, in place of itself. */
static bool compress_part(struct exchange *exchange)
{
    struct buffer packed;
    buffer_init(&packed, REPLY_BYTES_MAX);
    bool fits =
        gzip_append(exchange->gzip, buffer_slice(&exchange->reply.body), !exchange->more, &packed);
    buffer_release(&exchange->reply.body);
    exchange->reply.body = packed;
    return fits;
}

static int prepare(struct exchange *exchange, struct error *err)
{
    exchange->prepared =
        exchange->prepared || (inflate_body(exchange, err) == 0 && read_params(exchange, err) == 0);
    return exchange->prepared ? 0 : -1;
}

static void handle(struct exchange *exchange)
{
    struct error err = {0};
    if (prepare(exchange, &err) != 0) {
        exchange_refuse(exchange, http_status_of(err.kind), &err);
        return;
    }
    if (!exchange->answered)
        exchange->route->handle(&exchange->request, &exchange->reply);
    if (exchange->reply.body.overflow) {
        error_set(&err, ERROR_EXECUTION, "the reply would be larger than %zu bytes; ask for less",
                  REPLY_BYTES_MAX);
        exchange_refuse(exchange, http_status_of(err.kind), &err);
    }
    if (exchange_is_stream(exchange))
        begin_compression(exchange);
    else
        compress_reply(exchange);
}

static void make_part(struct exchange *exchange)
{
    struct http_stream *stream = &exchange->reply.stream;
    int status = stream->next(stream->arg, &exchange->reply.body);
    exchange->more = status > 0;
    exchange->broken =
        status < 0 || exchange->reply.body.overflow || (exchange->gzip && !compress_part(exchange));
}

/* The raw path: printable by the grammar of requests, so it cannot forge a log line. */
static void log_request(const struct exchange *exchange, int64_t start_ns)
{
    log_debug("http", "method=" SLICE_FMT " path=" SLICE_FMT " status=%d took_ms=%.1f",
              SLICE_ARG(exchange->head.method_name), SLICE_ARG(exchange->head.raw_path),
              exchange->reply.status, (double)(clock_monotonic_ns() - start_ns) / 1e6);
}

void exchange_run(struct exchange *exchange)
{
    int64_t start_ns = clock_monotonic_ns();
    if (!exchange->begun)
        handle(exchange);
    else
        buffer_reset(&exchange->reply.body);
    if (exchange_is_stream(exchange))
        make_part(exchange);
    if (!exchange->begun)
        log_request(exchange, start_ns);
}

bool exchange_answer_at_once(struct exchange *exchange)
{
    struct error unused;
    struct slice coding = {"", 0};
    int64_t start_ns = clock_monotonic_ns();
    http_get_header(&exchange->request, "Content-Encoding", &coding);
    if (!exchange->route->at_once || exchange->body.len > AT_ONCE_MAX ||
        !encoding_is_identity(coding) || prepare(exchange, &unused) != 0)
        return false;
    exchange->answered = exchange->route->at_once(&exchange->request, &exchange->reply);
    if (!exchange->answered || is_to_compress(exchange))
        return false; /* that takes a worker longer than all the rest */
    log_request(exchange, start_ns);
    return true;
}

/* --- the reply's head --- */

static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *reason;
    } rows[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {499, "Client Closed Request"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].status == status)
            return rows[i].reason;
    return "Status";
}

static void print_date(struct buffer *out)
{
    char text[64];
    struct tm utc;
    time_t now = (time_t)(clock_real_ms() / 1000);
    gmtime_r(&now, &utc);
    strftime(text, sizeof text, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &utc);
    buffer_append_string(out, text);
}

/* Values may come from what clients sent: a line break in one must not start a new header. */
static void print_header(const struct http_param *header, struct buffer *out)
{
    buffer_append_slice(out, header->name);
    buffer_append_string(out, ": ");
    for (size_t i = 0; i < header->value.len; i++) {
        char c = header->value.at[i];
        buffer_append_char(out, (unsigned char)c < ' ' || c == 0x7f ? ' ' : c);
    }
    buffer_append_string(out, "\r\n");
}

static const char cors_headers[] =
    "Access-Control-Allow-Origin: *\r\n"
    "Access-Control-Allow-Methods: GET, POST, PUT, DELETE, OPTIONS\r\n"
    "Access-Control-Allow-Headers: X-Sentry-Auth, X-Requested-With, Origin, Accept, Content-Type, "
    "Authentication, Authorization, Content-Encoding, Transfer-Encoding, sentry-trace, baggage\r\n"
    "Access-Control-Expose-Headers: X-Sentry-Error, X-Sentry-Rate-Limits, Retry-After\r\n"
    "Access-Control-Max-Age: 3600\r\n";

/* Only pages of other origins, whose browsers say so, look at them; all others need not read them. */
static bool wants_cors(const struct exchange *exchange)
{
    struct slice origin;
    return exchange->route && exchange->route->cors &&
           (exchange->head.method == HTTP_OPTIONS ||
            http_get_header(&exchange->request, "Origin", &origin));
}

bool exchange_print_head(const struct exchange *exchange, struct buffer *out)
{
    const struct http_reply *reply = &exchange->reply;
    bool has_body = reply->status != 204 && reply->status != 304;
    buffer_append_format(out, "HTTP/1.1 %d %s\r\n", reply->status, reason_of(reply->status));
    print_date(out);
    if (has_body)
        buffer_append_format(out, "Content-Type: %s\r\n",
                             reply->content_type ? reply->content_type : "application/json");
    if (exchange_is_chunked(exchange))
        buffer_append_string(out, "Transfer-Encoding: chunked\r\n");
    else if (has_body && !exchange_is_stream(exchange))
        buffer_append_format(out, "Content-Length: %zu\r\n", reply->body.len);
    if (exchange->close)
        buffer_append_string(out, "Connection: close\r\n");
    if (wants_cors(exchange))
        buffer_append_string(out, cors_headers);
    for (size_t i = 0; i < reply->header_count; i++)
        print_header(&reply->headers[i], out);
    buffer_append_string(out, "\r\n");
    return has_body && exchange->head.method != HTTP_HEAD;
}
