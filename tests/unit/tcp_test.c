/* tcp: lines over connections, whatever the pieces they arrive in. */
#include <event2/event.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "server/net/socket.h"
#include "server/net/tcp.h"
#include "storage/base/buffer.h"

#define LINE_MAX_BYTES 100

struct fixture {
    struct event_base *base;
    struct tcp_lines *tcp;
    struct buffer lines; /* what was delivered, calls ended by '$' */
    struct metric metrics[TCP_METRIC_COUNT];
    struct peer from;
    size_t refused; /* bytes of the head of a line too long */
    int port;
};

static void on_lines(void *arg, const struct peer *from, struct slice lines)
{
    struct fixture *fixture = arg;
    fixture->from = *from;
    buffer_append_slice(&fixture->lines, lines);
    buffer_append_char(&fixture->lines, '$');
}

static void on_too_long(void *arg, const struct peer *from, struct slice head)
{
    struct fixture *fixture = arg;
    fixture->from = *from;
    fixture->refused = head.len;
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct error err;
    int fd;
    assert_int_equal(socket_open("127.0.0.1:0", SOCK_STREAM, &fd, &err), 0);
    fixture->port = socket_port(fd);
    fixture->base = event_base_new();
    buffer_init(&fixture->lines, 1 << 20);
    fixture->tcp = tcp_lines_open(fixture->base, fd,
                                  &(struct tcp_options){.connection_max = 3,
                                                        .line_max = LINE_MAX_BYTES,
                                                        .metrics = fixture->metrics,
                                                        .lines = on_lines,
                                                        .too_long = on_too_long,
                                                        .arg = fixture});
    *state = fixture;
    return 0;
}

/* The same listener, for packets too. */
static int set_up_packets(void **state)
{
    struct error err;
    int fd;
    set_up(state);
    struct fixture *fixture = *state;
    tcp_lines_close(fixture->tcp);
    assert_int_equal(socket_open("127.0.0.1:0", SOCK_STREAM, &fd, &err), 0);
    fixture->port = socket_port(fd);
    fixture->tcp = tcp_lines_open(fixture->base, fd,
                                  &(struct tcp_options){.connection_max = 3,
                                                        .line_max = 65600,
                                                        .packets = true,
                                                        .metrics = fixture->metrics,
                                                        .lines = on_lines,
                                                        .too_long = on_too_long,
                                                        .arg = fixture});
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    tcp_lines_close(fixture->tcp);
    event_base_free(fixture->base);
    buffer_release(&fixture->lines);
    free(fixture);
    return 0;
}

static void turn(struct fixture *fixture)
{
    for (int i = 0; i < 3; i++)
        event_base_loop(fixture->base, EVLOOP_NONBLOCK);
}

static int dial(struct fixture *fixture)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)fixture->port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    turn(fixture);
    return fd;
}

static void say(struct fixture *fixture, int fd, const char *text)
{
    size_t len = strlen(text);
    assert_int_equal(write(fd, text, len), len);
    turn(fixture);
}

static void expect(struct fixture *fixture, const char *want)
{
    buffer_append_char(&fixture->lines, 0);
    assert_string_equal(fixture->lines.at, want);
    buffer_reset(&fixture->lines);
}

static void joins_pieces(void **state)
{
    struct fixture *fixture = *state;
    int fd = dial(fixture);
    say(fixture, fd, "a:1|");
    expect(fixture, "");
    say(fixture, fd, "c\nb:2|c\nc:");
    expect(fixture, "a:1|c\nb:2|c\n$");
    say(fixture, fd, "3");
    say(fixture, fd, "|c\n");
    expect(fixture, "c:3|c\n$");
    close(fd);
    turn(fixture);
    expect(fixture, "");
}

static void takes_the_tail_at_close(void **state)
{
    struct fixture *fixture = *state;
    int fd = dial(fixture);
    say(fixture, fd, "a:1|c\nb:2|c");
    expect(fixture, "a:1|c\n$");
    close(fd);
    turn(fixture);
    expect(fixture, "b:2|c$");
    assert_int_equal(metric_value(&fixture->metrics[TCP_OPEN]), 0);
}

static void skips_a_line_too_long(void **state)
{
    struct fixture *fixture = *state;
    char text[LINE_MAX_BYTES + 2];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    int fd = dial(fixture);
    say(fixture, fd, text);
    say(fixture, fd, text);
    say(fixture, fd, "still the same\nb:2|c\n");
    expect(fixture, "b:2|c\n$");
    assert_int_equal(metric_value(&fixture->metrics[TCP_LINES_TOO_LONG]), 1);
    close(fd);
}

static void keeps_connections_apart(void **state)
{
    struct fixture *fixture = *state;
    int first = dial(fixture), second = dial(fixture);
    say(fixture, first, "a:1");
    say(fixture, second, "b:2");
    say(fixture, first, "|c\n");
    say(fixture, second, "|c\n");
    expect(fixture, "a:1|c\n$b:2|c\n$");
    close(first);
    close(second);
}

static void refuses_beyond_the_limit(void **state)
{
    struct fixture *fixture = *state;
    char byte;
    int fds[4];
    for (int i = 0; i < 4; i++)
        fds[i] = dial(fixture);
    assert_int_equal(metric_value(&fixture->metrics[TCP_OPEN]), 3);
    assert_int_equal(metric_value(&fixture->metrics[TCP_REFUSED]), 1);
    assert_int_equal(read(fds[3], &byte, 1), 0);
    close(fds[0]);
    turn(fixture);
    int again = dial(fixture);
    say(fixture, again, "a:1|c\n");
    expect(fixture, "a:1|c\n$");
    close(again);
    for (int i = 1; i < 4; i++)
        close(fds[i]);
}

static void close_reads_what_the_kernel_holds(void **state)
{
    struct fixture *fixture = *state;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)fixture->port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int open = dial(fixture), waiting = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(waiting, (const struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(write(open, "a:1|c", 5), 5);
    assert_int_equal(write(waiting, "b:1|c\n", 6), 6);
    tcp_lines_close(fixture->tcp);
    fixture->tcp = NULL;
    buffer_append_char(&fixture->lines, 0);
    assert_non_null(strstr(fixture->lines.at, "a:1|c$"));
    assert_non_null(strstr(fixture->lines.at, "b:1|c\n$"));
    close(open);
    close(waiting);
}

/* A sender that is done may have written more than the receiver's kernel had room for. */
static void close_lets_senders_finish(void **state)
{
    struct fixture *fixture = *state;
    int fd = dial(fixture), bytes = 4 << 20;
    size_t written = 0, delivered = 0;
    ssize_t n;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    while ((n = write(fd, "count:1|c\n", 10)) > 0)
        written += (size_t)n;
    close(fd);
    fixture->lines.limit = SIZE_MAX;
    tcp_lines_close(fixture->tcp);
    fixture->tcp = NULL;
    for (size_t i = 0; i < fixture->lines.len; i++)
        delivered += fixture->lines.at[i] != '$';
    assert_int_equal(delivered, written);
}

static void packets_come_in_any_pieces(void **state)
{
    struct fixture *fixture = *state;
    const char bytes[] = "\x05\0\0\0a:1|c\x0b\0\0\0b:1|c\nb:2|c\0\0\0\0\x05\0\0\0d:1|c\x05\0\0\0e:";
    for (size_t piece = 1; piece < sizeof bytes; piece++) {
        int fd = dial(fixture);
        buffer_reset(&fixture->lines);
        for (size_t at = 0; at < sizeof bytes - 1; at += piece) {
            size_t left = sizeof bytes - 1 - at, n = left < piece ? left : piece;
            assert_int_equal(write(fd, bytes + at, n), n);
            turn(fixture);
        }
        close(fd);
        turn(fixture);
        assert_true(
            slice_equal(buffer_slice(&fixture->lines), SLICE("a:1|c$b:1|c\nb:2|c$$d:1|c$")));
    }
    /* Half a packet is told. */
    assert_int_equal(fixture->metrics[TCP_LINES_TOO_LONG].raw, (int64_t)sizeof bytes - 1);
}

static void lines_and_packets_are_told_apart(void **state)
{
    struct fixture *fixture = *state;
    static char packet[4 + 65535];
    int lines = dial(fixture), packets = dial(fixture), neither = dial(fixture);
    assert_int_equal(write(lines, "a\n", 2), 2);
    assert_int_equal(write(packets, "\x01\0\0\0b", 5), 5);
    turn(fixture);
    assert_int_equal(write(lines, "c:1|c\nd", 7), 7);
    turn(fixture);
    close(lines);
    turn(fixture);
    assert_true(slice_equal(buffer_slice(&fixture->lines), SLICE("a\n$b$c:1|c\n$d$")));
    memcpy(packet, "\xff\xff\0", 4);
    memset(packet + 4, 'x', 65535);
    buffer_reset(&fixture->lines);
    for (size_t at = 0; at < sizeof packet;) {
        ssize_t n = write(packets, packet + at, sizeof packet - at);
        assert_true(n > 0);
        at += (size_t)n;
        turn(fixture);
    }
    assert_int_equal(fixture->lines.len, 65536);
    /* A length that is none ends the connection; nothing behind it can be made out. */
    assert_int_equal(write(packets, "\x01\0\x01\0x", 5), 5);
    turn(fixture);
    assert_int_equal(read(packets, packet, 1), 0);
    assert_int_equal(fixture->metrics[TCP_LINES_TOO_LONG].raw, 1);
    close(packets);
    close(neither);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(joins_pieces, set_up, tear_down),
        cmocka_unit_test_setup_teardown(takes_the_tail_at_close, set_up, tear_down),
        cmocka_unit_test_setup_teardown(skips_a_line_too_long, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keeps_connections_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_beyond_the_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(close_reads_what_the_kernel_holds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(close_lets_senders_finish, set_up, tear_down),
        cmocka_unit_test_setup_teardown(packets_come_in_any_pieces, set_up_packets, tear_down),
        cmocka_unit_test_setup_teardown(lines_and_packets_are_told_apart, set_up_packets,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
