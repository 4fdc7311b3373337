/* http_stream: replies made in parts while they are sent, over raw sockets. */
#include <sched.h>
#include <signal.h>

#include "server/net/http_parse.h"
#include "tests/unit/http_fixture.h"

#define PARTS      200
#define PART_BYTES ((size_t)200000)

static struct {
    _Atomic int made, freed, asked;
    _Atomic bool may_end;
    int fail_at; /* part that cannot be made */
} parts;

static char letter(int part)
{
    return (char)('a' + part % 26);
}

static int next_part(void *arg, struct buffer *out)
{
    int *part = arg;
    if (*part == parts.fail_at)
        return -1;
    for (size_t i = 0; i < PART_BYTES; i++)
        buffer_append_char(out, letter(*part));
    parts.made++;
    return ++*part < PARTS;
}

static void free_parts(void *arg)
{
    parts.freed++;
    free(arg);
}

static void handle_parts(const struct http_request *request, struct http_reply *reply)
{
    (void)request;
    int *part = calloc(1, sizeof *part);
    reply->stream = (struct http_stream){next_part, free_parts, part};
}

/* Nothing for three times, then a part, then nothing until it may end. */
static int next_seldom(void *arg, struct buffer *out)
{
    int *turn = arg;
    parts.asked++;
    if (++*turn == 4)
        buffer_append_string(out, "seldom");
    return !parts.may_end;
}

static void handle_seldom(const struct http_request *request, struct http_reply *reply)
{
    (void)request;
    reply->stream = (struct http_stream){next_seldom, free_parts, calloc(1, sizeof(int))};
}

static const struct http_route routes[] = {
    {.methods = HTTP_GET, .pattern = "/parts", .handle = handle_parts},
    {.methods = HTTP_GET, .pattern = "/seldom", .handle = handle_seldom},
};

static int set_up(void **state)
{
    (void)state;
    struct http_options options = {.listen = "127.0.0.1:0",
                                   .body_max = 1000,
                                   .inflated_max = 5000,
                                   .connection_max = 9,
                                   .timeout_ms = 20000,
                                   .workers = 1,
                                   .queue_max = 2};
    parts.made = parts.freed = parts.asked = 0;
    parts.may_end = false;
    parts.fail_at = -1;
    start_server(&options, routes, sizeof routes / sizeof *routes);
    return 0;
}

static int ask(const char *text)
{
    int fd = dial();
    send_text(fd, text);
    return fd;
}

/* Reads all up to the connection's end. */
static void receive(int fd, struct buffer *out)
{
    char part[65536];
    ssize_t got;
    while ((got = recv(fd, part, sizeof part, 0)) > 0)
        buffer_append(out, part, (size_t)got);
    close(fd);
}

/* Splits the head off. */
static struct slice body_of(const struct buffer *reply, struct slice *head)
{
    const char *end = memmem(reply->at, reply->len, "\r\n\r\n", 4);
    assert_non_null(end);
    *head = slice_make(reply->at, (size_t)(end - reply->at) + 2);
    return slice_skip(buffer_slice(reply), head->len + 2);
}

static bool has(struct slice text, const char *part)
{
    return memmem(text.at, text.len, part, strlen(part)) != NULL;
}

static void assert_parts(struct slice body)
{
    assert_int_equal(body.len, PARTS * PART_BYTES);
    for (int part = 0; part < PARTS; part++)
        for (size_t i = 0; i < PART_BYTES; i += 997)
            assert_true(body.at[(size_t)part * PART_BYTES + i] == letter(part));
}

static void parts_follow_one_another(void **state)
{
    (void)state;
    struct buffer reply, body;
    struct slice head;
    struct http_chunks chunks = {0};
    buffer_init(&reply, SIZE_MAX);
    buffer_init(&body, SIZE_MAX);
    /* The second request is answered on the same connection, after the first. */
    receive(ask("GET /parts HTTP/1.1\r\n\r\nGET /none HTTP/1.1\r\nConnection: close\r\n\r\n"),
            &reply);
    struct slice rest = body_of(&reply, &head);
    assert_true(has(head, "Transfer-Encoding: chunked\r\n") && !has(head, "Content-Length"));
    assert_int_equal(http_chunks_feed(&chunks, &rest, &body), HTTP_CHUNKS_DONE);
    assert_parts(buffer_slice(&body));
    assert_true(has(rest, "HTTP/1.1 404 "));
    assert_int_equal(parts.freed, 1);
    buffer_release(&reply);
    buffer_release(&body);
}

static void old_clients_read_to_the_end(void **state)
{
    (void)state;
    struct buffer reply;
    struct slice head;
    buffer_init(&reply, SIZE_MAX);
    receive(ask("GET /parts HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), &reply);
    struct slice body = body_of(&reply, &head);
    assert_true(has(head, "Connection: close\r\n") && !has(head, "Transfer-Encoding"));
    assert_parts(body);
    buffer_release(&reply);
}

static void a_head_has_no_parts(void **state)
{
    (void)state;
    struct buffer reply;
    struct slice head;
    buffer_init(&reply, SIZE_MAX);
    receive(ask("HEAD /parts HTTP/1.1\r\nConnection: close\r\n\r\n"), &reply);
    assert_int_equal(body_of(&reply, &head).len, 0);
    buffer_release(&reply);
}

static void a_part_that_fails_cuts_the_reply(void **state)
{
    (void)state;
    struct buffer reply, body;
    struct slice head;
    struct http_chunks chunks = {0};
    buffer_init(&reply, SIZE_MAX);
    buffer_init(&body, SIZE_MAX);
    parts.fail_at = 3;
    receive(ask("GET /parts HTTP/1.1\r\n\r\n"), &reply);
    struct slice rest = body_of(&reply, &head);
    assert_int_equal(http_chunks_feed(&chunks, &rest, &body), HTTP_CHUNKS_MORE);
    assert_true(body.len <= 3 * PART_BYTES);
    buffer_release(&reply);
    buffer_release(&body);
}

/* Parts are made as the client takes them; when it leaves, no more are. */
static void a_client_that_does_not_read_costs_little(void **state)
{
    (void)state;
    char byte;
    int fd = ask("GET /parts HTTP/1.1\r\n\r\n");
    assert_int_equal(recv(fd, &byte, 1, 0), 1);
    close(fd);
    while (parts.freed == 0)
        sched_yield();
    assert_true(parts.made < PARTS);
}

/* Reads until what came ends so. */
static void expect_end(int fd, const char *end)
{
    char text[4096];
    size_t len = 0, end_len = strlen(end);
    while (len < end_len || memcmp(text + len - end_len, end, end_len) != 0) {
        assert_true(len < sizeof text);
        ssize_t n = recv(fd, text + len, sizeof text - len, 0);
        assert_true(n > 0);
        len += (size_t)n;
    }
}

static void a_stream_may_have_nothing_yet(void **state)
{
    (void)state;
    int fd = ask("GET /seldom HTTP/1.1\r\n\r\n");
    expect_end(fd, "6\r\nseldom\r\n");
    assert_true(parts.asked >= 4);
    parts.may_end = true;
    expect_end(fd, "0\r\n\r\n");
    close(fd);
}

static void who_waits_and_leaves_ends_it(void **state)
{
    (void)state;
    int fd = ask("GET /seldom HTTP/1.1\r\n\r\n");
    expect_end(fd, "seldom\r\n");
    close(fd);
    while (parts.freed == 0)
        sched_yield();
}

static void closing_ends_a_stream(void **state)
{
    (void)state;
    char byte;
    assert_int_equal(set_up(NULL), 0);
    int fd = ask("GET /parts HTTP/1.1\r\n\r\n");
    assert_int_equal(recv(fd, &byte, 1, 0), 1);
    shutdown(fd, SHUT_RDWR);
    assert_int_equal(tear_down(NULL), 0);
    assert_int_equal(parts.freed, 1);
    close(fd);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN); /* as the server does */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(parts_follow_one_another, set_up, tear_down),
        cmocka_unit_test_setup_teardown(old_clients_read_to_the_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_head_has_no_parts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_part_that_fails_cuts_the_reply, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_client_that_does_not_read_costs_little, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_stream_may_have_nothing_yet, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_waits_and_leaves_ends_it, set_up, tear_down),
        cmocka_unit_test(closing_ends_a_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
