/* http_parse and encoding: heads, parameters, chunks cut at every byte, bombs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

#include "server/net/encoding.h"
#include "server/net/http_multipart.h"
#include "server/net/http_parse.h"

static struct arena arena;

static struct http_head accepts(const char *text)
{
    struct http_head head;
    struct error err = {0};
    size_t scanned = 0;
    assert_int_equal(http_head_length(slice_of_string(text), &scanned), strlen(text));
    if (http_parse_head(slice_of_string(text), &arena, &head, &err) != 0)
        fail_msg("%s: %s", text, err.text);
    return head;
}

static void heads_are_read(void **state)
{
    (void)state;
    struct http_head head =
        accepts("POST /a%2Fb/c?x=1&y HTTP/1.1\r\nHost: h\r\n"
                "content-length:  12 \r\nConnection: Keep-Alive, close\r\n\r\n");
    assert_int_equal(head.method, HTTP_POST);
    assert_int_equal(head.segment_count, 2);
    assert_true(slice_equal_string(head.segments[0], "a/b"));
    assert_true(slice_equal_string(head.segments[1], "c"));
    assert_true(slice_equal_string(head.raw_query, "x=1&y"));
    assert_int_equal(head.header_count, 3);
    assert_true(slice_equal_string(head.headers[1].value, "12"));
    assert_int_equal(head.content_length, 12);
    assert_false(head.keep_alive);
    head = accepts("GET http://host:1/p/?q HTTP/1.0\r\n\r\n");
    assert_int_equal(head.segment_count, 2);
    assert_int_equal(head.segments[1].len, 0);
    assert_false(head.keep_alive);
    assert_true(accepts("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").keep_alive);
    assert_int_equal(accepts("PATCH / HTTP/1.1\r\n\r\n").method, 0);
    assert_int_equal(accepts("OPTIONS * HTTP/1.1\r\n\r\n").method, HTTP_OPTIONS);
    assert_true(accepts("PUT / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n").chunked);
    assert_true(accepts("PUT / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n").expects_continue);
}

static void bad_heads_have_a_status(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int status;
    } rows[] = {
        {"GET\r\n\r\n", 400},
        {"GET /\r\n\r\n", 400},
        {"GET  / HTTP/1.1\r\n\r\n", 400},
        {"GET x HTTP/1.1\r\n\r\n", 400},
        {"G(T / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/2.0\r\n\r\n", 505},
        {"GET /%zz HTTP/1.1\r\n\r\n", 400},
        {"GET /%00 HTTP/1.1\r\n\r\n", 400},
        {"GET /%4 HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nA : b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nA: b\x01\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
        {"GET / HTTP/1.1\r\nExpect: wonders\r\n\r\n", 417},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_head head;
        struct error err = {0};
        int status = http_parse_head(slice_of_string(rows[i].text), &arena, &head, &err);
        if (status != rows[i].status || strlen(err.text) < 8)
            fail_msg("%s: status %d, \"%s\"", rows[i].text, status, err.text);
    }
}

static void head_length_waits_for_the_blank_line(void **state)
{
    (void)state;
    struct slice text = SLICE("GET / HTTP/1.1\r\nA: b\r\n\r\nrest");
    size_t scanned = 0;
    for (size_t len = 0; len < text.len - 4; len++)
        assert_int_equal(http_head_length(slice_head(text, len), &scanned), 0);
    assert_int_equal(http_head_length(text, &scanned), text.len - 4);
    scanned = 0;
    assert_int_equal(http_head_length(SLICE("GET / HTTP/1.1\nA: b\n\n"), &scanned), -1);
}

static void params_keep_their_order(void **state)
{
    (void)state;
    struct http_param at[8];
    struct error err;
    size_t count = 0;
    struct slice text = SLICE("a=1&a=2&&b&c+d=e%20%2B+f&=x");
    assert_true(http_count_params(text) <= 8);
    assert_int_equal(http_parse_params(text, &arena, at, &count, &err), 0);
    assert_int_equal(count, 5);
    assert_true(slice_equal_string(at[1].value, "2"));
    assert_true(slice_equal_string(at[2].name, "b"));
    assert_int_equal(at[2].value.len, 0);
    assert_true(slice_equal_string(at[3].name, "c d"));
    assert_true(slice_equal_string(at[3].value, "e + f"));
    assert_int_equal(http_parse_params(SLICE("q=%e"), &arena, at, &count, &err), -1);
    assert_string_equal(err.text, "the parameter q holds a bad %XX escape");
}

/* --- multipart forms --- */

#define CURL_TYPE "multipart/form-data; boundary=------------------------d74496d66958873e"
#define CURL_LINE "--------------------------d74496d66958873e"
#define FIELD(name, value)                                                                         \
    CURL_LINE "\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" value "\r\n"

static int parse_multipart(struct slice body, struct http_param *at, size_t *count)
{
    struct slice boundary;
    struct error err;
    assert_true(http_multipart_boundary(SLICE(CURL_TYPE), &boundary));
    assert_true(http_count_multipart(body, boundary) <= 8);
    *count = 0;
    return http_parse_multipart(body, boundary, at, count, &err);
}

static void fields_of_a_multipart_form(void **state)
{
    (void)state;
    struct http_param at[8];
    size_t count;
    struct slice body = SLICE("preamble " FIELD("query", "up{a=\"--b\"}\r\n") FIELD("time", "")
                                  FIELD("f\"; filename=\"x", "a file") CURL_LINE "--\r\nepilogue");
    assert_int_equal(parse_multipart(body, at, &count), 0);
    assert_int_equal(count, 2);
    assert_true(slice_equal_string(at[0].name, "query"));
    assert_true(slice_equal_string(at[0].value, "up{a=\"--b\"}\r\n"));
    assert_true(slice_equal_string(at[1].name, "time"));
    assert_int_equal(at[1].value.len, 0);
    /* Cut short anywhere it is refused. */
    size_t whole = slice_find(body, SLICE("epilogue")) - 2;
    for (size_t len = 0; len < whole; len++)
        assert_int_equal(parse_multipart(slice_head(body, len), at, &count), -1);
}

static void boundaries(void **state)
{
    (void)state;
    struct slice boundary;
    assert_true(http_multipart_boundary(SLICE("Multipart/Form-Data; charset=x; Boundary=\"a b\""),
                                        &boundary));
    assert_true(slice_equal_string(boundary, "a b"));
    assert_false(http_multipart_boundary(SLICE("multipart/form-data"), &boundary));
    assert_false(http_multipart_boundary(SLICE("multipart/form-data; boundary="), &boundary));
    assert_false(http_multipart_boundary(SLICE("multipart/mixed; boundary=a"), &boundary));
    assert_false(http_multipart_boundary(SLICE("text/plain; boundary=a"), &boundary));
}

static enum http_chunks_result feed(struct slice text, size_t cut, struct buffer *body,
                                    struct slice *rest)
{
    struct http_chunks chunks = {0};
    struct slice first = slice_head(text, cut);
    enum http_chunks_result result = http_chunks_feed(&chunks, &first, body);
    *rest = slice_make(first.at, text.len - (size_t)(first.at - text.at));
    return result == HTTP_CHUNKS_MORE ? http_chunks_feed(&chunks, rest, body) : result;
}

static void chunks_may_arrive_in_any_pieces(void **state)
{
    (void)state;
    struct slice text = SLICE("5;x=y\r\nhello\r\n7 \r\n, world\r\n0\r\nT: 1\r\n\r\nGET");
    struct buffer body;
    buffer_init(&body, 100);
    for (size_t cut = 0; cut <= text.len; cut++) {
        struct slice rest;
        buffer_reset(&body);
        assert_int_equal(feed(text, cut, &body, &rest), HTTP_CHUNKS_DONE);
        assert_true(slice_equal_string(buffer_slice(&body), "hello, world"));
        assert_true(slice_equal_string(rest, "GET"));
    }
    buffer_release(&body);
}

static void bad_chunks_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum http_chunks_result result;
    } rows[] = {
        {"x\r\n", HTTP_CHUNKS_BAD},
        {"\r\n", HTTP_CHUNKS_BAD},
        {"-1\r\n", HTTP_CHUNKS_BAD},
        {"5\n", HTTP_CHUNKS_BAD},
        {"1\r\nab\r\n", HTTP_CHUNKS_BAD},
        {"fffffffffffffffffff\r\n", HTTP_CHUNKS_BAD},
        {"b\r\n", HTTP_CHUNKS_TOO_LARGE},
        {"6\r\n123456\r\n5\r\n", HTTP_CHUNKS_TOO_LARGE},
        {"a\r\n0123456789", HTTP_CHUNKS_MORE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buffer body;
        struct slice rest;
        buffer_init(&body, 10);
        assert_int_equal(feed(slice_of_string(rows[i].text), 0, &body, &rest), rows[i].result);
        buffer_release(&body);
    }
}

static struct buffer deflated(struct slice text, int window)
{
    struct buffer out;
    z_stream stream = {0};
    buffer_init(&out, 1 << 20);
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, window, 8, 0), Z_OK);
    stream.next_in = (unsigned char *)(uintptr_t)text.at;
    stream.avail_in = (unsigned)text.len;
    stream.next_out = (unsigned char *)buffer_reserve(&out, 1 << 18);
    stream.avail_out = 1 << 18;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    out.len = stream.total_out;
    deflateEnd(&stream);
    return out;
}

static void inflates(const char *coding, struct slice body, struct slice expected)
{
    struct buffer out;
    struct error err = {0};
    buffer_init(&out, expected.len);
    if (encoding_inflate(slice_of_string(coding), body, &out, &err) != 0)
        fail_msg("%s: %s", coding, err.text);
    assert_true(slice_equal(buffer_slice(&out), expected));
    if (expected.len) {
        buffer_reset(&out);
        out.limit--;
        assert_int_equal(encoding_inflate(slice_of_string(coding), body, &out, &err), -1);
        assert_int_equal(err.kind, ERROR_TOO_LARGE);
        buffer_reset(&out);
        out.limit++;
        body.len -= 2;
        assert_int_equal(encoding_inflate(slice_of_string(coding), body, &out, &err), -1);
        assert_int_equal(err.kind, ERROR_BAD_DATA);
    }
    buffer_release(&out);
}

static void bodies_are_inflated_within_the_limit(void **state)
{
    (void)state;
    struct slice bomb = {calloc(1, 10 << 20), 10 << 20};
    const struct slice texts[] = {SLICE_LIT("hello hello hello"), bomb};
    for (size_t i = 0; i < 2; i++) {
        struct buffer packed = deflated(texts[i], 15 + 16);
        inflates("gzip", buffer_slice(&packed), texts[i]);
        buffer_release(&packed);
        packed = deflated(texts[i], 15);
        inflates("deflate", buffer_slice(&packed), texts[i]);
        buffer_release(&packed);
        packed = deflated(texts[i], -15);
        inflates("DEFLATE", buffer_slice(&packed), texts[i]);
        buffer_release(&packed);
        buffer_init(&packed, 1 << 20);
        packed.len =
            ZSTD_compress(buffer_reserve(&packed, 1 << 18), 1 << 18, texts[i].at, texts[i].len, 3);
        assert_false(ZSTD_isError(packed.len));
        inflates("zstd", buffer_slice(&packed), texts[i]);
        buffer_release(&packed);
        buffer_init(&packed, 16 << 20);
        size_t size = snappy_max_compressed_length(texts[i].len);
        assert_int_equal(
            snappy_compress(texts[i].at, texts[i].len, buffer_reserve(&packed, size), &size),
            SNAPPY_OK);
        packed.len = size;
        inflates("snappy", buffer_slice(&packed), texts[i]);
        buffer_release(&packed);
    }
    free((void *)(uintptr_t)bomb.at);
}

static void several_members_are_one_body(void **state)
{
    (void)state;
    struct buffer first = deflated(SLICE("one "), 15 + 16),
                  second = deflated(SLICE("two"), 15 + 16);
    struct buffer out;
    struct error err;
    buffer_append_slice(&first, buffer_slice(&second));
    inflates("x-gzip", buffer_slice(&first), SLICE("one two"));
    buffer_append_string(&first, "junk");
    buffer_init(&out, 100);
    assert_int_equal(encoding_inflate(SLICE("gzip"), buffer_slice(&first), &out, &err), -1);
    assert_int_equal(encoding_inflate(SLICE("br"), SLICE("x"), &out, &err), -1);
    buffer_release(&out);
    buffer_release(&first);
    buffer_release(&second);
}

static void gzip_round_trips(void **state)
{
    (void)state;
    struct buffer packed;
    buffer_init(&packed, 1 << 20);
    assert_true(encoding_gzip(SLICE("a reply, a reply, a reply"), &packed));
    inflates("gzip", buffer_slice(&packed), SLICE("a reply, a reply, a reply"));
    buffer_release(&packed);
}

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 16 << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(heads_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_heads_have_a_status, set_up, tear_down),
        cmocka_unit_test_setup_teardown(head_length_waits_for_the_blank_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(params_keep_their_order, set_up, tear_down),
        cmocka_unit_test(fields_of_a_multipart_form),
        cmocka_unit_test(boundaries),
        cmocka_unit_test(chunks_may_arrive_in_any_pieces),
        cmocka_unit_test(bad_chunks_are_refused),
        cmocka_unit_test(bodies_are_inflated_within_the_limit),
        cmocka_unit_test(several_members_are_one_body),
        cmocka_unit_test(gzip_round_trips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
