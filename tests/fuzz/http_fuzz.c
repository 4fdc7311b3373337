/* Fuzz: a connection's bytes: heads, parameters, chunks, codings. The first byte chooses.
 * Chunked bodies must come out the same in one piece and cut in two. */
#include <assert.h>
#include <stdlib.h>

#include "server/net/encoding.h"
#include "server/net/http_multipart.h"
#include "server/net/http_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool inside(struct slice part, struct slice whole)
{
    return part.at >= whole.at && part.at + part.len <= whole.at + whole.len;
}

static void try_head(struct slice text, struct arena *arena)
{
    struct http_head head;
    struct error err = {0};
    size_t scanned = 0;
    ssize_t len = http_head_length(text, &scanned);
    assert(len <= (ssize_t)text.len && scanned <= text.len);
    if (len <= 0)
        return;
    text = slice_head(text, (size_t)len);
    int status = http_parse_head(text, arena, &head, &err);
    if (status != 0) {
        assert(status >= 400 && status <= 505 && err.text[0]);
        return;
    }
    assert(head.content_length >= 0 && head.segment_count >= 1);
    assert(head.segment_count <= HTTP_SEGMENTS_MAX && head.header_count <= HTTP_HEADERS_MAX);
    for (size_t i = 0; i < head.header_count; i++)
        assert(inside(head.headers[i].name, text) &&
               !memchr(head.headers[i].value.at, '\n', head.headers[i].value.len));
}

static void try_params(struct slice text, struct arena *arena)
{
    struct error err = {0};
    size_t count = 0, room = http_count_params(text);
    struct http_param *at = arena_zeroed(arena, room, sizeof *at);
    if (at && http_parse_params(text, arena, at, &count, &err) == 0)
        assert(count <= room);
    assert(count <= HTTP_PARAMS_MAX);
}

/* The first line is the Content-Type. */
static void try_multipart(struct slice text, struct arena *arena)
{
    struct slice type, boundary;
    struct error err = {0};
    size_t count = 0;
    slice_cut(&text, '\n', &type);
    if (!http_multipart_boundary(type, &boundary))
        return;
    size_t room = http_count_multipart(text, boundary);
    struct http_param *at = arena_zeroed(arena, room, sizeof *at);
    if (at && http_parse_multipart(text, boundary, at, &count, &err) == 0)
        assert(count <= room && count <= HTTP_PARAMS_MAX);
    for (size_t i = 0; i < count; i++)
        assert(inside(at[i].name, text) && inside(at[i].value, text));
}

static void try_chunks(struct slice text)
{
    struct buffer whole, cut;
    struct http_chunks a = {0}, b = {0};
    struct slice rest = text, head = slice_head(text, text.len / 2);
    buffer_init(&whole, 1000);
    buffer_init(&cut, 1000);
    enum http_chunks_result one = http_chunks_feed(&a, &rest, &whole);
    enum http_chunks_result two = http_chunks_feed(&b, &head, &cut);
    if (two == HTTP_CHUNKS_MORE) {
        head = slice_skip(text, text.len / 2);
        two = http_chunks_feed(&b, &head, &cut);
    }
    assert(one == two && !whole.overflow && !cut.overflow);
    assert(slice_equal(buffer_slice(&whole), buffer_slice(&cut)));
    assert(one == HTTP_CHUNKS_MORE ? rest.len == 0 : inside(rest, text));
    buffer_release(&whole);
    buffer_release(&cut);
}

static void try_inflate(const char *coding, struct slice text)
{
    struct buffer out;
    struct error err = {0};
    buffer_init(&out, 100000);
    if (encoding_inflate(slice_of_string(coding), text, &out, &err) != 0)
        assert(err.kind == ERROR_BAD_DATA || err.kind == ERROR_TOO_LARGE);
    assert(out.len <= out.limit);
    buffer_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const codings[] = {"gzip", "deflate", "zstd"};
    struct arena arena;
    if (size == 0)
        return 0;
    struct slice text = slice_make(data + 1, size - 1);
    arena_init(&arena, 16 << 20);
    if (data[0] == 'm')
        try_multipart(text, &arena);
    else if (data[0] % 6 == 0)
        try_head(text, &arena);
    else if (data[0] % 6 == 1)
        try_params(text, &arena);
    else if (data[0] % 6 == 2)
        try_chunks(text);
    else
        try_inflate(codings[data[0] % 6 - 3], text);
    arena_release(&arena);
    return 0;
}
