/* http: a real server on port 0 in a thread of its own, and raw sockets against it. */
#include <sched.h>
#include <semaphore.h>

#include "server/net/encoding.h"
#include "storage/base/metric.h"
#include "tests/unit/http_fixture.h"

/* --- handlers --- */

static sem_t entered, released;

static void handle_echo(const struct http_request *request, struct http_reply *reply)
{
    for (size_t i = 0; i < request->param_count; i++)
        buffer_append_format(&reply->body, SLICE_FMT "=" SLICE_FMT ";",
                             SLICE_ARG(request->params[i].name),
                             SLICE_ARG(request->params[i].value));
    buffer_append_slice(&reply->body, http_get_segment(request, "name"));
    buffer_append_slice(&reply->body, request->body);
    reply->content_type = "text/plain";
    struct slice wanted;
    if (http_get_header(request, "x-reply", &wanted))
        reply->headers[reply->header_count++] = (struct http_param){SLICE_LIT("X-Reply"), wanted};
}

static void handle_size(const struct http_request *request, struct http_reply *reply)
{
    buffer_append_format(&reply->body, "%zu", request->body.len);
}

/* Stays on its worker until the test lets it go. */
static void handle_slow(const struct http_request *request, struct http_reply *reply)
{
    (void)request;
    sem_post(&entered);
    sem_wait(&released);
    buffer_append_string(&reply->body, "slow");
}

static void handle_large(const struct http_request *request, struct http_reply *reply)
{
    (void)request;
    for (size_t i = 0; i < 4000000; i++)
        buffer_append_char(&reply->body, (char)('a' + i % 26));
}

static const struct http_route routes[] = {
    {.methods = HTTP_GET | HTTP_POST, .pattern = "/echo", .handle = handle_echo},
    {.methods = HTTP_GET, .pattern = "/label/{name}/values", .handle = handle_echo},
    {.methods = HTTP_POST,
     .pattern = "/api/{name}/envelope/",
     .handle = handle_size,
     .cors = true,
     .refuse = http_refuse_detail},
    {.methods = HTTP_GET, .pattern = "/slow", .handle = handle_slow},
    {.methods = HTTP_GET, .pattern = "/large", .handle = handle_large, .refuse = http_refuse_text},
    {.methods = HTTP_PUT, .pattern = "/echo", .handle = handle_size},
};

/* --- the server --- */

static void start(const struct http_options *options)
{
    sem_init(&entered, 0, 0);
    sem_init(&released, 0, 0);
    start_server(options, routes, sizeof routes / sizeof routes[0]);
}

static const struct http_options usual = {
    .listen = "127.0.0.1:0",
    .body_max = 1000,
    .inflated_max = 5000,
    .connection_max = 50,
    .timeout_ms = 20000,
    .workers = 2,
    .queue_max = 4,
};

static int set_up(void **state)
{
    (void)state;
    start(&usual);
    return 0;
}

static int set_up_hasty(void **state)
{
    struct http_options options = usual;
    (void)state;
    options.timeout_ms = 200;
    options.connection_max = 1;
    start(&options);
    return 0;
}

static int set_up_narrow(void **state)
{
    struct http_options options = usual;
    (void)state;
    options.workers = 1;
    options.queue_max = 1;
    start(&options);
    return 0;
}

/* --- the client --- */

static char answer[5000000];

/* All until the server closes. */
static const char *read_all(int fd)
{
    size_t len = 0;
    for (ssize_t got; (got = recv(fd, answer + len, sizeof answer - 1 - len, 0)) > 0;)
        len += (size_t)got;
    answer[len] = 0;
    close(fd);
    return answer;
}

/* Until `end` has arrived. */
static const char *read_until(int fd, const char *end)
{
    size_t len = 0;
    answer[0] = 0;
    while (!strstr(answer, end)) {
        ssize_t got = recv(fd, answer + len, sizeof answer - 1 - len, 0);
        if (got <= 0)
            fail_msg("the connection ended; so far: %s", answer);
        len += (size_t)got;
        answer[len] = 0;
    }
    return answer;
}

/* `start` up to the blank line, then more headers and the body. */
static const char *ask(const char *text)
{
    int fd = dial();
    send_text(fd, text);
    shutdown(fd, SHUT_WR);
    return read_all(fd);
}

static void gives(const char *request, const char *status, const char *part)
{
    const char *got = ask(request);
    if (strncmp(got + 9, status, 3) != 0 || !strstr(got, part))
        fail_msg("%s\n--- gave ---\n%s\n--- without \"%s\" ---", request, got, part);
}

#define CRLF "\r\n"

static void routes_and_methods(void **state)
{
    (void)state;
    gives("GET /echo?a=1&b=%20 HTTP/1.1" CRLF CRLF, "200", CRLF CRLF "a=1;b= ;");
    gives("GET /label/a%2Fb/values HTTP/1.1" CRLF CRLF, "200", CRLF CRLF "a/b");
    gives("GET /label//values HTTP/1.1" CRLF CRLF, "404", "404 page not found");
    gives("GET /nothing HTTP/1.1" CRLF CRLF, "404", "Content-Type: text/plain");
    gives("GET /echo/ HTTP/1.1" CRLF CRLF, "404", "404 page not found");
    gives("DELETE /echo HTTP/1.1" CRLF CRLF, "405", "Allow: GET, HEAD, POST, PUT, OPTIONS");
    gives("PATCH /slow HTTP/1.1" CRLF CRLF, "405",
          "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"this path");
    gives("PUT /echo HTTP/1.1" CRLF "Content-Length: 3" CRLF CRLF "abc", "200", CRLF CRLF "3");
    gives("HEAD /echo?a=1 HTTP/1.1" CRLF CRLF, "200", "Content-Length: 4" CRLF);
    assert_null(strstr(answer, "a=1"));
    gives("OPTIONS /api/1/envelope/ HTTP/1.1" CRLF CRLF, "204",
          "Access-Control-Expose-Headers: X-Sentry-Error, X-Sentry-Rate-Limits, Retry-After");
    gives("OPTIONS /echo HTTP/1.1" CRLF CRLF, "204", "Allow: GET");
    assert_null(strstr(answer, "Access-Control"));
    gives("NONSENSE" CRLF CRLF, "400", "the request line must read");
    gives("GET / HTTP/1.1\n\n", "400", "CRLF");
    gives("GET /echo?q=%x HTTP/1.1" CRLF CRLF, "400", "bad %XX escape");
    gives("GET /echo HTTP/1.1" CRLF "X-Reply: a\tb" CRLF CRLF, "200", "X-Reply: a b" CRLF);
}

static void bodies(void **state)
{
    (void)state;
    gives("POST /echo?a=1 HTTP/1.1" CRLF "Content-Length: 7" CRLF
          "Content-Type: application/x-www-form-urlencoded; charset=utf-8" CRLF CRLF "a=2&b=3",
          "200", CRLF CRLF "a=2;b=3;a=1;a=2&b=3");
    gives("POST /api/1/envelope/ HTTP/1.1" CRLF "Content-Length: 9" CRLF
          "Content-Type: application/x-www-form-urlencoded" CRLF CRLF "100%&full",
          "200", CRLF CRLF "9");
    gives("POST /api/1/envelope/ HTTP/1.1" CRLF "Transfer-Encoding: chunked" CRLF CRLF "3" CRLF
          "abc" CRLF "10" CRLF "0123456789abcdef" CRLF "0" CRLF CRLF,
          "200", CRLF CRLF "19");
    gives("POST /api/1/envelope/ HTTP/1.1" CRLF "Transfer-Encoding: chunked" CRLF CRLF "zz" CRLF,
          "400", "{\"detail\":\"the body is not in chunked encoding\"}");
    gives("POST /echo HTTP/1.1" CRLF "Content-Encoding: br" CRLF "Content-Length: 1" CRLF CRLF "x",
          "415", "use gzip, deflate, zstd or snappy");
    gives("POST /echo HTTP/1.1" CRLF "Content-Encoding: gzip" CRLF "Content-Length: 3" CRLF CRLF
          "abc",
          "400", "not valid gzip");
}

static void compressed_bodies(void **state)
{
    (void)state;
    static char zeros[5001];
    struct buffer text;
    for (size_t over = 0; over < 2; over++) {
        struct buffer packed;
        buffer_init(&packed, 1 << 16);
        buffer_init(&text, 1 << 16);
        assert_true(encoding_gzip(slice_make(zeros, 5000 + over), &packed));
        buffer_append_format(&text,
                             "POST /api/1/envelope/ HTTP/1.1" CRLF "Content-Encoding: gzip" CRLF
                             "Content-Length: %zu" CRLF CRLF,
                             packed.len);
        buffer_append_slice(&text, buffer_slice(&packed));
        int fd = dial();
        assert_int_equal(send(fd, text.at, text.len, 0), text.len);
        shutdown(fd, SHUT_WR);
        assert_non_null(strstr(read_all(fd), over ? "larger than 5000 bytes" : CRLF CRLF "5000"));
        assert_int_equal(strncmp(answer + 9, over ? "413" : "200", 3), 0);
        buffer_release(&text);
        buffer_release(&packed);
    }
}

/* All bodies together are bounded (16 of the largest); a compressed one counts only while it is
 * there. */
static void compressed_bodies_count_only_while_held(void **state)
{
    (void)state;
    char noise[900], head[128];
    struct buffer packed;
    uint32_t random = 1;
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (char)((random = random * 1103515245 + 12345) >> 16);
    buffer_init(&packed, 1000);
    assert_true(encoding_gzip(slice_make(noise, sizeof noise), &packed));
    snprintf(head, sizeof head,
             "POST /api/1/envelope/ HTTP/1.1" CRLF "Content-Encoding: gzip" CRLF
             "Content-Length: %zu" CRLF CRLF,
             packed.len);
    for (int i = 0; i < 40; i++) {
        int fd = dial();
        send_text(fd, head);
        assert_int_equal(send(fd, packed.at, packed.len - 1, MSG_NOSIGNAL), packed.len - 1);
        /* Another request meanwhile: the bound is looked at while more of the body is to come. */
        ask("GET /echo?a=1 HTTP/1.1" CRLF CRLF);
        send(fd, packed.at + packed.len - 1, 1, MSG_NOSIGNAL);
        shutdown(fd, SHUT_WR);
        read_all(fd);
        assert_int_equal(strncmp(answer, "HTTP/1.1 200", 12), 0);
    }
    buffer_release(&packed);
}

static void oversized_bodies_are_refused_unread(void **state)
{
    (void)state;
    /* Not one byte of the announced body is sent: the answer does not wait for it. */
    int fd = dial();
    send_text(fd, "POST /api/1/envelope/ HTTP/1.1" CRLF "Content-Length: 100000000" CRLF CRLF);
    read_until(fd, "http.body_max");
    assert_int_equal(strncmp(answer, "HTTP/1.1 413", 12), 0);
    assert_non_null(strstr(answer, "{\"detail\":\"the body of 100000000 bytes is over"));
    assert_non_null(strstr(answer, "Connection: close"));
    /* A client that sends on regardless still reads the answer. */
    static char junk[1 << 16];
    for (size_t i = 0; i < 64; i++)
        if (send(fd, junk, sizeof junk, MSG_NOSIGNAL) < 0)
            break;
    shutdown(fd, SHUT_WR);
    read_all(fd);
    fd = dial();
    send_text(fd, "POST /echo HTTP/1.1" CRLF "Content-Length: 1001" CRLF
                  "Expect: 100-continue" CRLF CRLF);
    read_until(fd, "http.body_max");
    assert_null(strstr(answer, "100 Continue"));
    close(fd);
    gives("POST /echo HTTP/1.1" CRLF "Transfer-Encoding: chunked" CRLF CRLF "3e9" CRLF "abc", "413",
          "http.body_max");
}

static void clients_that_ask_first_are_told_to_go_on(void **state)
{
    (void)state;
    int fd = dial();
    send_text(fd,
              "POST /echo HTTP/1.1" CRLF "Content-Length: 3" CRLF "Expect: 100-continue" CRLF CRLF);
    read_until(fd, "HTTP/1.1 100 Continue" CRLF CRLF);
    send_text(fd, "abc");
    read_until(fd, CRLF CRLF "abc");
    close(fd);
}

static void connections_are_kept_and_pipelined(void **state)
{
    (void)state;
    int fd = dial();
    for (size_t i = 0; i < 3; i++) {
        send_text(fd, "GET /echo?a=1 HTTP/1.1" CRLF CRLF);
        read_until(fd, "a=1;");
        assert_null(strstr(answer, "Connection: close"));
    }
    send_text(fd, "GET /echo?a=2 HTTP/1.1" CRLF CRLF CRLF "POST /echo HTTP/1.1" CRLF
                  "Content-Length: 2" CRLF CRLF "hiGET /nothing HTTP/1.1" CRLF CRLF
                  "GET /echo?last=1 HTTP/1.1" CRLF "Connection: close" CRLF CRLF);
    read_all(fd);
    const char *second = strstr(answer, "a=2;"), *third = strstr(answer, CRLF CRLF "hi");
    const char *fourth = strstr(answer, "404 page not found"), *last = strstr(answer, "last=1;");
    assert_true(second && second < third && third < fourth && fourth < last);
}

static void byte_by_byte(void **state)
{
    (void)state;
    const char *text = CRLF "POST /echo HTTP/1.1" CRLF "Transfer-Encoding: chunked" CRLF CRLF
                            "2" CRLF "hi" CRLF "0" CRLF CRLF;
    int fd = dial();
    for (const char *c = text; *c; c++)
        assert_int_equal(send(fd, c, 1, 0), 1);
    read_until(fd, CRLF CRLF "hi");
    close(fd);
}

static void large_replies(void **state)
{
    (void)state;
    gives("GET /large HTTP/1.1" CRLF CRLF, "200", "Content-Length: 4000000" CRLF);
    assert_int_equal(strlen(strstr(answer, CRLF CRLF)), 4000004);
    gives("GET /large HTTP/1.1" CRLF "Accept-Encoding: br, gzip;q=0.5" CRLF CRLF, "200",
          "Content-Encoding: gzip");
    gives("GET /large HTTP/1.1" CRLF "Accept-Encoding: gzip;q=0" CRLF CRLF, "200",
          "Content-Length: 4000000");
    /* A reader that leaves in the middle. */
    int fd = dial();
    send_text(fd, "GET /large HTTP/1.1" CRLF CRLF);
    assert_true(recv(fd, answer, 100, 0) > 0);
    close(fd);
    gives("GET /echo?a=1 HTTP/1.1" CRLF CRLF, "200", "a=1;");
}

static void headers_are_bounded(void **state)
{
    (void)state;
    struct buffer text;
    buffer_init(&text, 1 << 20);
    buffer_append_string(&text, "GET /echo HTTP/1.1" CRLF "X: ");
    while (text.len < 40000)
        buffer_append_char(&text, 'x');
    buffer_append_char(&text, 0);
    gives(text.at, "431", "32 KiB");
    buffer_reset(&text);
    buffer_append_string(&text, "GET /echo HTTP/1.1" CRLF);
    for (size_t i = 0; i < 101; i++)
        buffer_append_string(&text, "X: y" CRLF);
    buffer_append_string(&text, CRLF);
    buffer_append_char(&text, 0);
    gives(text.at, "431", "100 headers");
    buffer_release(&text);
}

static void clients_may_leave_while_a_handler_runs(void **state)
{
    (void)state;
    struct linger reset = {1, 0};
    for (size_t i = 0; i < 3; i++) {
        int fd = dial();
        send_text(fd, "GET /slow HTTP/1.1" CRLF CRLF);
        sem_wait(&entered);
        if (i == 1)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fd);
        gives("GET /echo?a=1 HTTP/1.1" CRLF CRLF, "200", "a=1;");
        sem_post(&released);
        gives("GET /echo?a=1 HTTP/1.1" CRLF CRLF, "200", "a=1;");
    }
}

static void too_many_requests_get_503(void **state)
{
    (void)state;
    int first = dial(), second = dial();
    send_text(first, "GET /slow HTTP/1.1" CRLF CRLF);
    sem_wait(&entered);
    send_text(second, "GET /slow HTTP/1.1" CRLF CRLF);
    /* One runs, one waits; the third finds no room once the second was read. */
    while (strncmp(ask("GET /echo?x=1 HTTP/1.1" CRLF CRLF) + 9, "503", 3) != 0)
        sem_post(&released);
    assert_non_null(strstr(answer, "busy"));
    sem_post(&released);
    sem_post(&released);
    close(first);
    close(second);
}

static void slow_clients_are_cut_off(void **state)
{
    (void)state;
    /* timeout 200 ms, one connection */
    int fd = dial();
    send_text(fd, "GET /echo HTT");
    assert_string_equal(read_all(fd), "");
    fd = dial();
    send_text(fd, "POST /echo HTTP/1.1" CRLF "Content-Length: 10" CRLF CRLF "abc");
    read_all(fd);
    assert_int_equal(strncmp(answer, "HTTP/1.1 408", 12), 0);
    fd = dial();
    assert_string_equal(read_all(fd), "");
}

static void connections_are_limited(void **state)
{
    (void)state;
    int first = dial();
    send_text(first, "GET /slow HTTP/1.1" CRLF CRLF);
    sem_wait(&entered);
    assert_string_equal(read_all(dial()), "");
    sem_post(&released);
    read_until(first, "slow");
    close(first);
}

static void add_in_flight(const struct metric *metric, void *arg)
{
    if (strcmp(metric->name, "lapwing_http_in_flight_requests") == 0)
        *(double *)arg = metric_value(metric);
}

static double in_flight(void)
{
    double value = 0;
    metric_each(add_in_flight, &value);
    return value;
}

static void closing_answers_what_is_in_flight(void **state)
{
    (void)state;
    start(&usual);
    int busy = dial(), idle = dial();
    send_text(idle, "GET /echo?a=1 HTTP/1.1" CRLF CRLF);
    read_until(idle, "a=1;");
    send_text(busy, "GET /slow HTTP/1.1" CRLF CRLF);
    sem_wait(&entered);
    begin_stop();
    assert_string_equal(read_all(idle), "");
    sem_post(&released);
    read_all(busy);
    assert_non_null(strstr(answer, CRLF CRLF "slow"));
    assert_non_null(strstr(answer, "Connection: close"));
    finish_stop();
}

static void closing_refuses_what_still_waits(void **state)
{
    (void)state;
    struct http_options options = usual;
    options.workers = 1;
    options.timeout_ms = 100;
    start(&options);
    int running = dial(), waiting = dial();
    send_text(running, "GET /slow HTTP/1.1" CRLF CRLF);
    sem_wait(&entered);
    send_text(waiting, "GET /slow HTTP/1.1" CRLF CRLF);
    while (in_flight() < 2)
        sched_yield();
    begin_stop();
    read_all(waiting);
    assert_int_equal(strncmp(answer, "HTTP/1.1 503", 12), 0);
    assert_non_null(strstr(answer, "the server is stopping"));
    sem_post(&released);
    finish_stop();
    assert_int_equal(sem_trywait(&entered), -1);
    close(running);
}

static void a_taken_port_is_a_sentence(void **state)
{
    (void)state;
    struct http_server *second;
    struct error err = {0};
    char listen[32];
    struct http_options options = usual;
    snprintf(listen, sizeof listen, "127.0.0.1:%d", server.port);
    options.listen = listen;
    struct event_base *base = event_base_new();
    assert_int_equal(http_open(base, &options, &second, &err), -1);
    assert_non_null(strstr(err.text, "Address already in use"));
    event_base_free(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(routes_and_methods, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bodies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(compressed_bodies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(compressed_bodies_count_only_while_held, set_up, tear_down),
        cmocka_unit_test_setup_teardown(oversized_bodies_are_refused_unread, set_up, tear_down),
        cmocka_unit_test_setup_teardown(clients_that_ask_first_are_told_to_go_on, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(connections_are_kept_and_pipelined, set_up, tear_down),
        cmocka_unit_test_setup_teardown(byte_by_byte, set_up, tear_down),
        cmocka_unit_test_setup_teardown(large_replies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(headers_are_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(clients_may_leave_while_a_handler_runs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(too_many_requests_get_503, set_up_narrow, tear_down),
        cmocka_unit_test_setup_teardown(slow_clients_are_cut_off, set_up_hasty, tear_down),
        cmocka_unit_test_setup_teardown(connections_are_limited, set_up_hasty, tear_down),
        cmocka_unit_test(closing_answers_what_is_in_flight),
        cmocka_unit_test(closing_refuses_what_still_waits),
        cmocka_unit_test_setup_teardown(a_taken_port_is_a_sentence, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
