/* http_send: replies that leave from a worker or from the loop, whole and in order, to clients that read
 * late, partly or not at all. */
#include <poll.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>

#include "server/net/encoding.h"
#include "storage/base/metric.h"
#include "tests/unit/http_fixture.h"

#define LARGE ((size_t)3 << 20)

static struct {
    _Atomic int at_once, handled;
} answers;

static sem_t entered;

/* --- handlers --- */

static size_t number_of(const struct http_request *request)
{
    uint64_t number = 0;
    assert_true(slice_to_u64(http_get_segment(request, "count"), &number));
    return (size_t)number;
}

/* That many letters, the same ones for the same number. */
static void put_letters(size_t count, struct buffer *out)
{
    for (size_t i = 0; i < count; i++)
        buffer_append_char(out, (char)('a' + (i + count) % 26));
}

static void handle_letters(const struct http_request *request, struct http_reply *reply)
{
    put_letters(number_of(request), &reply->body);
    answers.handled++;
}

/* What is even, the loop may answer. */
static bool letters_at_once(const struct http_request *request, struct http_reply *reply)
{
    assert_true(pthread_equal(pthread_self(), server.thread));
    if (number_of(request) % 2)
        return false;
    put_letters(number_of(request), &reply->body);
    answers.at_once++;
    return true;
}

/* Works until nobody waits for it. */
static void handle_patient(const struct http_request *request, struct http_reply *reply)
{
    sem_post(&entered);
    while (!atomic_load(request->cancelled))
        sched_yield();
    put_letters(1000, &reply->body);
}

static const struct http_route routes[] = {
    {.methods = HTTP_GET, .pattern = "/letters/{count}", .handle = handle_letters, .cors = true},
    {.methods = HTTP_GET | HTTP_POST,
     .pattern = "/known/{count}",
     .handle = handle_letters,
     .at_once = letters_at_once},
    {.methods = HTTP_GET, .pattern = "/patient", .handle = handle_patient},
};

/* --- the server --- */

static int start(int64_t timeout_ms)
{
    struct http_options options = {.listen = "127.0.0.1:0",
                                   .body_max = 100000,
                                   .inflated_max = 100000,
                                   .connection_max = 500,
                                   .timeout_ms = timeout_ms,
                                   .workers = 3,
                                   .queue_max = 50};
    answers.at_once = answers.handled = 0;
    sem_init(&entered, 0, 0);
    start_server(&options, routes, sizeof routes / sizeof *routes);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    return start(20000);
}

static int set_up_hasty(void **state)
{
    (void)state;
    return start(500);
}

static double figure;

static void note_figure(const struct metric *metric, void *name)
{
    if (strcmp(metric->name, name) == 0)
        figure = metric_value(metric);
}

static double figure_of(char *name)
{
    metric_each(note_figure, name);
    return figure;
}

static void await_no_connection(void)
{
    char name[] = "lapwing_http_connections";
    while (figure_of(name) > 0)
        sched_yield();
}

/* --- the client --- */

/* A client's side of one connection: what has arrived and not been looked at. */
struct client {
    int fd;
    struct buffer in;
    size_t at;
};

static void receive_some(struct client *client)
{
    char part[65536];
    ssize_t got = recv(client->fd, part, sizeof part, 0);
    assert_true(got > 0);
    buffer_append(&client->in, part, (size_t)got);
}

/* The next reply's head, with the blank line. */
static struct slice next_head(struct client *client)
{
    for (;;) {
        const char *end =
            client->in.len > client->at
                ? memmem(client->in.at + client->at, client->in.len - client->at, "\r\n\r\n", 4)
                : NULL;
        if (end) {
            struct slice head = slice_make(client->in.at + client->at,
                                           (size_t)(end - (client->in.at + client->at)) + 4);
            client->at += head.len;
            return head;
        }
        receive_some(client);
    }
}

static void expect_letters(struct client *client, size_t count)
{
    char length[64];
    struct slice head = next_head(client);
    snprintf(length, sizeof length, "\r\nContent-Length: %zu\r\n", count);
    assert_memory_equal(head.at, "HTTP/1.1 200 ", 13);
    assert_non_null(memmem(head.at, head.len, length, strlen(length)));
    while (client->in.len - client->at < count)
        receive_some(client);
    for (size_t i = 0; i < count; i++)
        if (client->in.at[client->at + i] != (char)('a' + (i + count) % 26))
            fail_msg("byte %zu of %zu is wrong", i, count);
    client->at += count;
}

static struct client open_client(void)
{
    struct client client = {.fd = dial_narrow(4096)}; /* so that much is left to send */
    buffer_init(&client.in, SIZE_MAX);
    return client;
}

static void close_client(struct client *client)
{
    assert_int_equal(client->in.len, client->at);
    close(client->fd);
    buffer_release(&client->in);
}

/* --- tests --- */

/* All sizes, from workers and from the loop, behind one another on one connection. */
static void pipelined_replies_keep_their_order(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 2, 1000, 70000, 3, 300001, 4, 5, 20};
    struct client client = open_client();
    char text[128];
    for (size_t i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "GET /%s/%zu HTTP/1.1\r\n\r\n", i % 3 ? "letters" : "known",
                 sizes[i % 10]);
        send_text(client.fd, text);
    }
    for (size_t i = 0; i < 100; i++)
        expect_letters(&client, sizes[i % 10]);
    assert_int_equal(answers.handled + answers.at_once, 100);
    close_client(&client);
}

static void large_replies_arrive_whole(void **state)
{
    (void)state;
    char text[128];
    struct client client = open_client();
    for (size_t i = 0; i < 4; i++) {
        snprintf(text, sizeof text, "GET /%s/%zu HTTP/1.1\r\n\r\n", i % 2 ? "letters" : "known",
                 LARGE + i);
        send_text(client.fd, text);
        expect_letters(&client, LARGE + i);
    }
    close_client(&client);
}

/* The loop answers a lone request that it can, and nothing else. */
static void what_is_known_needs_no_worker(void **state)
{
    (void)state;
    struct client client = open_client();
    send_text(client.fd, "GET /known/500 HTTP/1.1\r\n\r\n");
    expect_letters(&client, 500);
    assert_true(answers.at_once == 1 && answers.handled == 0);
    send_text(client.fd, "GET /known/501 HTTP/1.1\r\n\r\n");
    expect_letters(&client, 501);
    assert_true(answers.at_once == 1 && answers.handled == 1);
    send_text(client.fd, "POST /known/6 HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi");
    expect_letters(&client, 6);
    assert_true(answers.at_once == 2 && answers.handled == 1);
    send_text(client.fd, "HEAD /known/700 HTTP/1.1\r\n\r\n");
    struct slice head = next_head(&client);
    assert_non_null(memmem(head.at, head.len, "Content-Length: 700\r\n", 21));
    send_text(client.fd, "GET /known/8 HTTP/1.1\r\nConnection: close\r\n\r\n");
    expect_letters(&client, 8);
    assert_int_equal(recv(client.fd, (char[1]){0}, 1, 0), 0);
    close_client(&client);
}

/* A worker compresses what the loop has found. */
static void what_is_known_may_be_compressed(void **state)
{
    (void)state;
    struct client client = open_client();
    struct buffer plain, expected;
    uint64_t len = 0;
    send_text(client.fd, "GET /known/50000 HTTP/1.1\r\nAccept-Encoding: gzip\r\n\r\n");
    struct slice head = next_head(&client);
    const char *at = memmem(head.at, head.len, "Content-Length: ", 16);
    assert_non_null(at);
    assert_non_null(memmem(head.at, head.len, "Content-Encoding: gzip\r\n", 24));
    for (at += 16; *at >= '0' && *at <= '9'; at++)
        len = len * 10 + (uint64_t)(*at - '0');
    while (client.in.len - client.at < len)
        receive_some(&client);
    buffer_init(&plain, 100000);
    buffer_init(&expected, 100000);
    put_letters(50000, &expected);
    struct error err;
    assert_int_equal(
        encoding_inflate(SLICE("gzip"), slice_make(client.in.at + client.at, len), &plain, &err),
        0);
    assert_true(slice_equal(buffer_slice(&plain), buffer_slice(&expected)));
    assert_true(answers.at_once == 1 && answers.handled == 0);
    client.at += len;
    buffer_release(&plain);
    buffer_release(&expected);
    close_client(&client);
}

/* A part of a reply is read, then nothing: its connection ends. */
static void who_stops_reading_is_cut_off(void **state)
{
    (void)state;
    static char part[100000];
    char text[64];
    int fd = dial_narrow(4096);
    snprintf(text, sizeof text, "GET /letters/%zu HTTP/1.1\r\n\r\n", 4 * LARGE);
    send_text(fd, text);
    recv(fd, part, sizeof part, MSG_WAITALL);
    await_no_connection();
    close(fd);
}

/* Clients that leave at any moment, with and without a reset; the next one gets its answer. */
static void clients_may_leave_at_any_moment(void **state)
{
    (void)state;
    struct linger reset = {1, 0};
    char text[64];
    unsigned random = 7;
    for (size_t i = 0; i < 300; i++) {
        random = random * 1103515245 + 12345;
        struct client client = open_client();
        snprintf(text, sizeof text, "GET /%s/%u HTTP/1.1\r\n\r\n", i % 2 ? "letters" : "known",
                 (random >> 16) % 4 ? (random >> 8) % 2000 : 500000);
        send_text(client.fd, text);
        struct pollfd readable = {.fd = client.fd, .events = POLLIN};
        if (random >> 18 & 1)
            poll(&readable, 1, -1);
        if (random >> 19 & 1)
            setsockopt(client.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close_client(&client);
    }
    await_no_connection();
    struct client client = open_client();
    send_text(client.fd, "GET /letters/77 HTTP/1.1\r\n\r\n");
    expect_letters(&client, 77);
    close_client(&client);
    await_no_connection();
}

/* Gone is who left before the reply, not who has read it. */
static void who_has_the_reply_is_not_gone(void **state)
{
    (void)state;
    char name[] = "lapwing_http_clients_gone_total";
    double before = figure_of(name);
    for (size_t i = 0; i < 50; i++) {
        struct client client = open_client();
        send_text(client.fd, "GET /letters/11 HTTP/1.1\r\n\r\n");
        expect_letters(&client, 11);
        close_client(&client);
    }
    await_no_connection();
    assert_true(figure_of(name) == before);
    for (size_t i = 0; i < 3; i++) {
        int fd = dial_narrow(4096);
        struct linger reset = {i > 0, 0};
        send_text(fd, "GET /patient HTTP/1.1\r\n\r\n");
        sem_wait(&entered);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fd);
    }
    await_no_connection();
    assert_true(figure_of(name) == before + 3);
}

static void other_origins_are_told_that_they_may_read(void **state)
{
    (void)state;
    static const char *const requests[] = {"GET /letters/1 HTTP/1.1\r\n\r\n",
                                           "GET /letters/1 HTTP/1.1\r\norigin: http://a\r\n\r\n"};
    for (size_t i = 0; i < 2; i++) {
        struct client client = open_client();
        send_text(client.fd, requests[i]);
        expect_letters(&client, 1);
        const char *at = memmem(client.in.at, client.in.len, "\r\nAccess-Control-", 17);
        assert_true((at != NULL) == (i == 1));
        close_client(&client);
    }
}

/* A client that shuts its side after asking still gets its reply, and hears that it is the last. */
static void half_closed_clients_are_answered(void **state)
{
    (void)state;
    struct client client = open_client();
    send_text(client.fd, "GET /patient HTTP/1.1\r\n\r\n");
    sem_wait(&entered);
    shutdown(client.fd, SHUT_WR);
    expect_letters(&client, 1000);
    assert_non_null(memmem(client.in.at, client.in.len, "Connection: close\r\n", 19));
    assert_int_equal(recv(client.fd, (char[1]){0}, 1, 0), 0);
    close_client(&client);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN); /* as the server does */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pipelined_replies_keep_their_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(large_replies_arrive_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_known_needs_no_worker, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_known_may_be_compressed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_stops_reading_is_cut_off, set_up_hasty, tear_down),
        cmocka_unit_test_setup_teardown(clients_may_leave_at_any_moment, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_has_the_reply_is_not_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_origins_are_told_that_they_may_read, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(half_closed_clients_are_answered, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
