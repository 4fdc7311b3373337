/* http_parse: request heads, parameters and chunked bodies.
 *
 *     POST /api/v1/label/a%2Fb/values?match[]=up HTTP/1.1\r\n
 *     ^^^^ ^~~~~~~~~~~~~~~~~~~~~~~~~~ ^~~~~~~~~~ ^~~~~~~~
 *     method   path                   query      version
 *     Content-Type: application/json\r\n
 *     ^~~~~~~~~~~~  ^~~~~~~~~~~~~~~~
 *     name          value, trimmed
 *     \r\n
 *
 * The path is split at its slashes before %XX is decoded, so an encoded slash stays inside its
 * segment (label values and project names may hold one) and cannot climb out of a route.
 *
 * Deliberately absent: HTTP/0.9 and HTTP/2, header folding, trailers (skipped),
 * transfer encodings other than chunked.
 */
#include "server/net/http_parse.h"

#include <assert.h>
#include <ctype.h>

#define CHUNK_LINE_MAX    256
#define CHUNK_TRAILER_MAX 4096

static int bad(struct error *err, int status, const char *sentence)
{
    error_set(err, ERROR_BAD_DATA, "%s", sentence);
    return status;
}

ssize_t http_head_length(struct slice text, size_t *scanned)
{
    while (*scanned < text.len) {
        const char *from = text.at + *scanned;
        const char *lf = memchr(from, '\n', text.len - *scanned);
        size_t at = lf ? (size_t)(lf - text.at) : text.len;
        *scanned = at;
        if (!lf)
            break;
        if (at == 0 || text.at[at - 1] != '\r')
            return -1;
        if (at >= 3 && text.at[at - 2] == '\n')
            return (ssize_t)at + 1;
        *scanned = at + 1;
    }
    return 0;
}

/* A line without its CRLF; http_head_length has seen that every line has one. */
static bool cut_line(struct slice *rest, struct slice *line)
{
    if (!slice_cut(rest, '\n', line) || line->len == 0 || line->at[line->len - 1] != '\r')
        return false;
    line->len--;
    return true;
}

static bool is_token(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!isalnum((unsigned char)s.at[i]) && !memchr("!#$%&'*+-.^_`|~", s.at[i], 15))
            return false;
    return s.len > 0;
}

static bool is_text(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (((unsigned char)s.at[i] < ' ' && s.at[i] != '\t') || s.at[i] == 0x7f)
            return false;
    return true;
}

static enum http_method method_of(struct slice name)
{
    static const struct {
        struct slice name;
        enum http_method method;
    } rows[] = {
        {SLICE_LIT("GET"), HTTP_GET},   {SLICE_LIT("POST"), HTTP_POST},
        {SLICE_LIT("PUT"), HTTP_PUT},   {SLICE_LIT("DELETE"), HTTP_DELETE},
        {SLICE_LIT("HEAD"), HTTP_HEAD}, {SLICE_LIT("OPTIONS"), HTTP_OPTIONS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (slice_equal(rows[i].name, name))
            return rows[i].method;
    return 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool http_decode(struct slice text, bool plus, struct arena *arena, struct slice *out)
{
    char *to = arena_alloc(arena, text.len);
    if (!to)
        return false;
    *out = slice_make(to, 0);
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (c == '+' && plus)
            c = ' ';
        if (c == '%') {
            int high = i + 2 < text.len ? hex_digit(text.at[i + 1]) : -1;
            int low = i + 2 < text.len ? hex_digit(text.at[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        to[out->len++] = c;
    }
    return true;
}

/* "/a/b%20c" -> "a", "b c"; "/a/" -> "a", "". */
static int split_path(struct http_head *head, struct arena *arena, struct error *err)
{
    struct slice rest = slice_skip(head->raw_path, 1), part;
    head->segments = arena_zeroed(arena, HTTP_SEGMENTS_MAX, sizeof *head->segments);
    if (!head->segments)
        return bad(err, 431, "the request is too large");
    for (bool more = true; more;) {
        more = slice_cut(&rest, '/', &part);
        if (head->segment_count == HTTP_SEGMENTS_MAX)
            return bad(err, 404, "the path has too many parts");
        struct slice *segment = &head->segments[head->segment_count++];
        if (!http_decode(part, false, arena, segment) || memchr(segment->at, 0, segment->len))
            return bad(err, 400, "the path holds a bad %XX escape");
    }
    return 0;
}

/* origin-form "/path?query", or absolute-form "http://host/path?query" as sent to proxies. */
static int parse_target(struct slice target, struct http_head *head, struct arena *arena,
                        struct error *err)
{
    size_t scheme = slice_find(target, SLICE("://"));
    if (target.len && target.at[0] != '/' && scheme < target.len) {
        struct slice host;
        target = slice_skip(target, scheme + 3);
        bool has_path = slice_cut(&target, '/', &host);
        target = has_path ? slice_make(target.at - 1, target.len + 1) : SLICE("/");
    }
    if (slice_equal(target, SLICE("*")))
        target = SLICE("/");
    if (target.len == 0 || target.at[0] != '/')
        return bad(err, 400, "the request's target must start with a slash");
    slice_cut(&target, '?', &head->raw_path);
    slice_cut(&target, '#', &head->raw_query);
    return split_path(head, arena, err);
}

static int parse_request_line(struct slice line, struct http_head *head, struct arena *arena,
                              struct error *err)
{
    struct slice target;
    if (!slice_cut(&line, ' ', &head->method_name) || !is_token(head->method_name) ||
        !slice_cut(&line, ' ', &target) || target.len == 0 || !is_text(target))
        return bad(err, 400, "the request line must read: METHOD /path HTTP/1.1");
    if (slice_equal(line, SLICE("HTTP/1.1")))
        head->keep_alive = true;
    else if (slice_equal(line, SLICE("HTTP/1.0")))
        head->version_10 = true;
    else
        return bad(err, 505, "speak HTTP/1.1 here");
    head->method = method_of(head->method_name);
    return parse_target(target, head, arena, err);
}

/* True when the comma-separated list holds the word. */
static bool list_has(struct slice list, struct slice word)
{
    struct slice item;
    for (bool more = true; more;) {
        more = slice_cut(&list, ',', &item);
        if (slice_equal_nocase(slice_trim(item), word))
            return true;
    }
    return false;
}

/* The headers that decide where the request ends and what becomes of the connection. */
static int apply_header(const struct http_param *header, struct http_head *head, bool *has_length,
                        struct error *err)
{
    struct slice value = header->value;
    if (slice_equal_nocase(header->name, SLICE("Content-Length"))) {
        uint64_t length;
        if (!slice_to_u64(value, &length) || length > INT64_MAX ||
            (*has_length && (int64_t)length != head->content_length))
            return bad(err, 400, "Content-Length must be one decimal number");
        head->content_length = (int64_t)length;
        *has_length = true;
    } else if (slice_equal_nocase(header->name, SLICE("Transfer-Encoding"))) {
        if (head->chunked || !slice_equal_nocase(value, SLICE("chunked")))
            return bad(err, 501, "the only Transfer-Encoding understood here is chunked");
        head->chunked = true;
    } else if (slice_equal_nocase(header->name, SLICE("Connection"))) {
        if (list_has(value, SLICE("close")))
            head->keep_alive = false;
        else if (list_has(value, SLICE("keep-alive")))
            head->keep_alive = true;
    } else if (slice_equal_nocase(header->name, SLICE("Expect"))) {
        if (!slice_equal_nocase(value, SLICE("100-continue")))
            return bad(err, 417, "the only expectation understood here is 100-continue");
        head->expects_continue = true;
    }
    return 0;
}

static int parse_headers(struct slice rest, struct http_head *head, struct arena *arena,
                         struct error *err)
{
    struct slice line;
    bool has_length = false;
    head->headers = arena_zeroed(arena, HTTP_HEADERS_MAX, sizeof *head->headers);
    if (!head->headers)
        return bad(err, 431, "the request is too large");
    while (cut_line(&rest, &line) && line.len) {
        if (head->header_count == HTTP_HEADERS_MAX)
            return bad(err, 431, "the request has more than 100 headers");
        struct http_param *header = &head->headers[head->header_count++];
        if (!slice_cut(&line, ':', &header->name) || !is_token(header->name) || !is_text(line))
            return bad(err, 400, "a header must read: Name: value");
        header->value = slice_trim(line);
        int status = apply_header(header, head, &has_length, err);
        if (status != 0)
            return status;
    }
    if (head->chunked && has_length)
        return bad(err, 400, "Content-Length and Transfer-Encoding exclude each other");
    return 0;
}

int http_parse_head(struct slice text, struct arena *arena, struct http_head *out,
                    struct error *err)
{
    struct slice line;
    *out = (struct http_head){0};
    if (!cut_line(&text, &line))
        return bad(err, 400, "a line must end in CRLF");
    int status = parse_request_line(line, out, arena, err);
    return status != 0 ? status : parse_headers(text, out, arena, err);
}

size_t http_count_params(struct slice text)
{
    size_t count = text.len > 0;
    for (size_t i = 0; i < text.len; i++)
        count += text.at[i] == '&';
    return count < HTTP_PARAMS_MAX ? count : HTTP_PARAMS_MAX;
}

int http_parse_params(struct slice text, struct arena *arena, struct http_param *at, size_t *count,
                      struct error *err)
{
    struct slice pair, name;
    while (text.len) {
        slice_cut(&text, '&', &pair);
        if (pair.len == 0)
            continue;
        if (*count == HTTP_PARAMS_MAX)
            return error_set(err, ERROR_BAD_DATA, "the request has more than %d parameters",
                             HTTP_PARAMS_MAX);
        slice_cut(&pair, '=', &name);
        struct http_param *param = &at[(*count)++];
        if (!http_decode(name, true, arena, &param->name) ||
            !http_decode(pair, true, arena, &param->value))
            return error_set(err, ERROR_BAD_DATA,
                             "the parameter " SLICE_FMT " holds a bad %%XX escape",
                             SLICE_ARG(slice_head(name, 64)));
    }
    return 0;
}

/* 5;name=value\r\n hello \r\n 0\r\n trailers \r\n
 * ^size ^ext       ^data  ^end     ^trailer lines */
enum {
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER_START,
    CHUNK_TRAILER,
    CHUNK_LAST_LF
};

/* One byte of a size line: hex digits, then perhaps an extension, then CR. */
static bool feed_size(struct http_chunks *chunks, char c)
{
    int digit = hex_digit(c);
    bool extension = chunks->state == CHUNK_EXTENSION;
    if (++chunks->overhead > CHUNK_LINE_MAX)
        return false;
    if (c == '\r' && chunks->overhead > 1) {
        chunks->state = CHUNK_SIZE_LF;
        return true;
    }
    if (!extension && digit >= 0) {
        if (chunks->left >> 56)
            return false;
        chunks->left = chunks->left << 4 | (uint64_t)digit;
        return true;
    }
    if (!extension && (chunks->overhead == 1 || (c != ';' && c != ' ' && c != '\t')))
        return false;
    chunks->state = CHUNK_EXTENSION;
    return (unsigned char)c >= ' ' || c == '\t';
}

/* The byte after CR, or of a trailer. */
static bool feed_line(struct http_chunks *chunks, char c)
{
    switch (chunks->state) {
    case CHUNK_SIZE_LF:
        chunks->state = chunks->left ? CHUNK_DATA : CHUNK_TRAILER_START;
        chunks->overhead = 0;
        return c == '\n';
    case CHUNK_DATA_CR:
        chunks->state = CHUNK_DATA_LF;
        return c == '\r';
    case CHUNK_DATA_LF:
        chunks->state = CHUNK_SIZE;
        chunks->overhead = 0;
        return c == '\n';
    case CHUNK_TRAILER_START:
        chunks->state = c == '\r' ? CHUNK_LAST_LF : CHUNK_TRAILER;
        return ++chunks->overhead <= CHUNK_TRAILER_MAX;
    case CHUNK_TRAILER:
        chunks->state = c == '\n' ? CHUNK_TRAILER_START : CHUNK_TRAILER;
        return ++chunks->overhead <= CHUNK_TRAILER_MAX;
    default:
        assert(chunks->state == CHUNK_LAST_LF);
        return c == '\n';
    }
}

enum http_chunks_result http_chunks_feed(struct http_chunks *chunks, struct slice *rest,
                                         struct buffer *body)
{
    while (rest->len) {
        if (chunks->state == CHUNK_DATA) {
            struct slice data = slice_head(*rest, chunks->left);
            buffer_append_slice(body, data);
            *rest = slice_skip(*rest, data.len);
            chunks->left -= data.len;
            if (chunks->left == 0)
                chunks->state = CHUNK_DATA_CR;
            continue;
        }
        char c = rest->at[0];
        bool last = chunks->state == CHUNK_LAST_LF;
        *rest = slice_skip(*rest, 1);
        bool legal = chunks->state == CHUNK_SIZE || chunks->state == CHUNK_EXTENSION
                         ? feed_size(chunks, c)
                         : feed_line(chunks, c);
        if (!legal)
            return HTTP_CHUNKS_BAD;
        if (last)
            return HTTP_CHUNKS_DONE;
        if (chunks->state == CHUNK_DATA && chunks->left > body->limit - body->len)
            return HTTP_CHUNKS_TOO_LARGE;
    }
    return HTTP_CHUNKS_MORE;
}
