/* tap: lines with the prefix come out whole and in order, the rest is counted, and nobody waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/ingest/tap.h"

static const struct peer peer = {.family = AF_INET, .address = {192, 0, 2, 1}, .port = 7};

struct fixture {
    struct taps *taps;
    struct buffer out;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->taps = taps_new();
    buffer_init(&fixture->out, 1 << 24);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    taps_free(fixture->taps);
    buffer_release(&fixture->out);
    free(fixture);
    return 0;
}

static void reads(struct fixture *fixture, struct tap *tap, const char *expected)
{
    buffer_reset(&fixture->out);
    assert_true(tap_read(tap, &fixture->out));
    if (!slice_equal_string(buffer_slice(&fixture->out), expected))
        fail_msg("%.*s is not %s", (int)fixture->out.len, fixture->out.at, expected);
}

static void each_tap_has_its_prefix(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    assert_false(taps_any(fixture->taps));
    struct tap *api = tap_open(fixture->taps, SLICE("api."), &err);
    struct tap *all = tap_open(fixture->taps, SLICE(""), &err);
    assert_true(taps_any(fixture->taps));
    taps_offer(fixture->taps, "udp", &peer, SLICE("api.a:1|c\r\n\napi:2|c\nap\x1b"));
#define LINE(text) "{\"line\":\"" text "\",\"source\":\"192.0.2.1:7\",\"transport\":\"udp\"}\n"
    reads(fixture, api, LINE("api.a:1|c"));
    reads(fixture, api, "");
    reads(fixture, all, LINE("api.a:1|c") LINE("api:2|c") LINE("ap\\\\x1b"));
    tap_close(api);
    tap_close(all);
    assert_false(taps_any(fixture->taps));
}

static void what_does_not_fit_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    char line[2 * TAP_LINE_MAX];
    struct tap *tap = tap_open(fixture->taps, SLICE("xx"), &err);
    memset(line, 'x', sizeof line);
    for (int i = 0; i < 100; i++)
        taps_offer(fixture->taps, "tcp", &peer, slice_make(line, sizeof line));
    assert_true(tap_read(tap, &fixture->out));
    size_t lines = 0, last = 0;
    for (size_t i = 0; i + 1 < fixture->out.len; i++)
        if (fixture->out.at[i] == '\n') {
            lines++;
            last = i + 1;
        }
    assert_true(lines > 20 && lines < TAP_BYTES_MAX / TAP_LINE_MAX);
    char expected[40];
    snprintf(expected, sizeof expected, "{\"dropped\":%zu}\n", 100 - lines);
    assert_true(slice_equal_string(slice_skip(buffer_slice(&fixture->out), last), expected));
    taps_offer(fixture->taps, "udp", &peer, SLICE("xxx")); /* there is room again */
    reads(fixture, tap, LINE("xxx"));
    tap_close(tap);
}

static void there_are_few_and_they_end(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct tap *taps[TAPS_MAX];
    for (size_t i = 0; i < TAPS_MAX; i++)
        assert_non_null(taps[i] = tap_open(fixture->taps, SLICE("a"), &err));
    assert_null(tap_open(fixture->taps, SLICE("a"), &err));
    assert_int_equal(err.kind, ERROR_UNAVAILABLE);
    tap_close(taps[0]);
    assert_non_null(taps[0] = tap_open(fixture->taps, SLICE("a"), &err));
    taps_offer(fixture->taps, "udp", &peer, SLICE("a"));
    taps_end(fixture->taps);
    for (size_t i = 0; i < TAPS_MAX; i++) {
        buffer_reset(&fixture->out);
        assert_false(tap_read(taps[i], &fixture->out));
        assert_true(
            slice_equal_string(buffer_slice(&fixture->out), LINE("a"))); /* the last words */
        tap_close(taps[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_tap_has_its_prefix, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(there_are_few_and_they_end, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
