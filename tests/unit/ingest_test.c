/* ingest: everything that was sent before close is in the store after it, over every transport. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "server/ingest/ingest.h"
#include "tests/unit/scratch_dir.h"

#define SENDERS   8
#define DATAGRAMS 400 /* a sender; small enough for the stock receive buffer */

struct fixture {
    char path[SCRATCH_DIR_BYTES], unix_path[96];
    struct config config;
    struct store *store;
    struct writer *writer;
    struct registry *registry;
    struct ingest *ingest;
    int ticks;
};

/* Writer thread. */
static void on_tick(void *arg, struct registry *registry)
{
    struct fixture *fixture = arg;
    struct label self = {SLICE(LABEL_NAME), SLICE("self")};
    registry_count(registry, (struct labels){&self, 1}, 1);
    fixture->ticks++;
}

static void open_all(struct fixture *fixture)
{
    struct error err = {0};
    const struct store_options store_options = {
        .path = fixture->path, .series_max = 1000, .retention_raw_ms = 1ll << 50};
    const struct registry_options options = {
        .idle_timeout_ms = 1ll << 40, .series_max = 1000, .flush_interval_ms = 3600000};
    if (store_open(&store_options, &fixture->store, &err))
        fail_msg("%s", err.text);
    fixture->writer = writer_start(fixture->store, 64);
    fixture->registry = registry_new(fixture->store, &options);
    if (ingest_open(&(struct ingest_parts){.config = &fixture->config,
                                           .writer = fixture->writer,
                                           .registry = fixture->registry,
                                           .on_tick = on_tick,
                                           .arg = fixture},
                    &fixture->ingest, &err))
        fail_msg("%s", err.text);
}

/* What SIGTERM does, in its order. */
static void close_ingest(struct fixture *fixture)
{
    ingest_close(fixture->ingest);
    writer_stop(fixture->writer);
    registry_free(fixture->registry);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_int_equal(scratch_dir_make(fixture->path, "ingest_test"), 0);
    snprintf(fixture->unix_path, sizeof fixture->unix_path, "%s.sock", fixture->path);
    fixture->config.statsd.udp = "127.0.0.1:0";
    fixture->config.statsd.tcp = "127.0.0.1:0";
    fixture->config.statsd.unix_path = fixture->unix_path;
    fixture->config.statsd.unix_stream_path = "";
    fixture->config.statsd.mapping_file = "";
    fixture->config.statsd.workers = 3;
    fixture->config.statsd.connection_max = 100;
    fixture->config.statsd.flush_interval_ms = 3600000;
    fixture->config.statsd.receive_buffer_bytes = 4 << 20;
    fixture->config.limits.series = 1000;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(scratch_dir_remove(fixture->path), 0);
    free(fixture);
    return 0;
}

static int dial(int type, int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, type, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static double last(struct fixture *fixture, const char *name)
{
    struct matcher matcher;
    struct store_selection selection;
    struct error err;
    struct arena arena;
    const struct histogram *histogram = NULL;
    double value = NAN;
    arena_init(&arena, 1 << 20);
    assert_int_equal(
        matcher_init(&matcher, MATCH_EQUAL, SLICE(LABEL_NAME), slice_of_string(name), &err), 0);
    assert_int_equal(store_select(fixture->store,
                                  &(struct store_query){.matchers = &matcher,
                                                        .matcher_count = 1,
                                                        .start_ms = 0,
                                                        .end_ms = INT64_MAX},
                                  &arena, &selection, &err),
                     0);
    if (selection.count == 1)
        store_last(fixture->store, selection.at[0].id, &arena, &value, &histogram);
    if (histogram)
        value = histogram->sum;
    arena_release(&arena);
    return value;
}

static void nothing_sent_before_close_is_lost(void **state)
{
    struct fixture *fixture = *state;
    open_all(fixture);
    for (int i = 0; i < SENDERS; i++) {
        int fd = dial(SOCK_DGRAM, ingest_udp_port(fixture->ingest));
        for (int n = 0; n < DATAGRAMS; n++)
            say(fd, "hits:1|c\nwait:2|ms");
        close(fd);
    }
    int closed = dial(SOCK_STREAM, ingest_tcp_port(fixture->ingest));
    int open = dial(SOCK_STREAM, ingest_tcp_port(fixture->ingest));
    say(closed, "hits:1000|c\nfirst:1|c");
    close(closed);
    say(open, "hits:1000|c\nsecond:1|c");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    strcpy(to.sun_path, fixture->unix_path);
    int local = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_int_equal(connect(local, (const struct sockaddr *)&to, sizeof to), 0);
    say(local, "local:5|g");
    close_ingest(fixture);
    close(open);
    close(local);
    assert_true(last(fixture, "hits") == SENDERS * DATAGRAMS + 2000);
    assert_true(last(fixture, "wait") == 2 * SENDERS * DATAGRAMS);
    assert_true(last(fixture, "first") == 1);
    assert_true(last(fixture, "second") == 1);
    assert_true(last(fixture, "local") == 5);
    assert_true(last(fixture, "self") == fixture->ticks);
    assert_int_equal(access(fixture->unix_path, F_OK), -1);
    store_close(fixture->store);
}

static void totals_go_on_after_a_restart(void **state)
{
    struct fixture *fixture = *state;
    for (int round = 1; round <= 3; round++) {
        open_all(fixture);
        int fd = dial(SOCK_DGRAM, ingest_udp_port(fixture->ingest));
        say(fd, "hits:1|c");
        say(fd, "level:+2|g");
        close(fd);
        close_ingest(fixture);
        assert_true(last(fixture, "hits") == round);
        assert_true(last(fixture, "level") == 2 * round);
        store_close(fixture->store);
    }
}

static void ticks_go_on_without_sockets(void **state)
{
    struct fixture *fixture = *state;
    fixture->config.statsd.udp = fixture->config.statsd.tcp = fixture->config.statsd.unix_path = "";
    open_all(fixture);
    assert_int_equal(ingest_udp_port(fixture->ingest), -1);
    assert_int_equal(ingest_tcp_port(fixture->ingest), -1);
    close_ingest(fixture);
    assert_true(last(fixture, "self") == fixture->ticks);
    store_close(fixture->store);
}

static void a_taken_address_is_named(void **state)
{
    struct fixture *fixture = *state;
    struct ingest *ingest;
    struct error err = {0};
    fixture->config.statsd.tcp = "192.0.2.1:8125";
    assert_int_equal(ingest_open(&(struct ingest_parts){.config = &fixture->config}, &ingest, &err),
                     -1);
    assert_non_null(strstr(err.text, "statsd.tcp"));
    assert_non_null(strstr(err.text, "192.0.2.1:8125"));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(nothing_sent_before_close_is_lost),
        CASE(totals_go_on_after_a_restart),
        CASE(ticks_go_on_without_sockets),
        CASE(a_taken_address_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
