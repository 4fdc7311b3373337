/* account: what comes often is in the lists whatever else comes, counts err upwards by what is told,
 * old traffic leaves, and each reason has its last line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sys/socket.h>

#include "server/ingest/account.h"
#include "storage/base/clock.h"

#define KEYS  5000
#define ROUND 20000

static struct slice key_text(char out[16], size_t i)
{
    return slice_make(out, (size_t)snprintf(out, 16, "key%zu", i));
}

static const struct frequent_key *find(const struct frequent_key *keys, size_t count,
                                       const char *text)
{
    for (size_t i = 0; i < count; i++)
        if (slice_equal_string(slice_make(keys[i].text, keys[i].len), text))
            return &keys[i];
    return NULL;
}

/* Every tenth key is one of four, among thousands that come once in a while. */
static void what_comes_often_is_there(void **state)
{
    (void)state;
    struct frequent *frequent = frequent_new(16);
    struct frequent_key *keys = calloc(2 * 16 * 8, sizeof *keys);
    uint64_t sent[KEYS] = {0};
    char text[16];
    frequent_tick(frequent, 1000000);
    srand(7);
    for (size_t i = 0; i < ROUND; i++) {
        size_t key = i % 10 == 0 ? i / 10 % 4 : 4 + (size_t)rand() % (KEYS - 4);
        frequent_add(frequent, key_text(text, key), 3);
        sent[key] += 3;
    }
    size_t count = frequent_merge(keys, frequent_list(frequent, keys, 2 * 16 * 8));
    assert_int_equal(count, 16 * 8);
    for (size_t i = 0; i < 4; i++) {
        key_text(text, i);
        assert_non_null(find(keys, 4, text)); /* the first four */
    }
    for (size_t i = 0; i < count; i++) {
        size_t key = strtoul(keys[i].text + 3, NULL, 10);
        assert_true(keys[i].count >= sent[key]);
        assert_true(keys[i].count - keys[i].error <= sent[key]);
        assert_true(i == 0 || keys[i - 1].count >= keys[i].count);
    }
    free(keys);
    frequent_free(frequent);
}

static void old_periods_leave(void **state)
{
    (void)state;
    struct frequent *frequent = frequent_new(8);
    struct frequent_key keys[16];
    int64_t start = 100 * FREQUENT_PERIOD_MS + 1;
    frequent_tick(frequent, start);
    frequent_add(frequent, SLICE("a"), 1);
    assert_int_equal(frequent_span_ms(frequent, start + 500), 500);
    frequent_tick(frequent, start + FREQUENT_PERIOD_MS);
    frequent_add(frequent, SLICE("a"), 1);
    frequent_add(frequent, SLICE("b"), 1);
    size_t count = frequent_list(frequent, keys, 16);
    assert_int_equal(count, 3);
    assert_int_equal(frequent_merge(keys, count), 2);
    assert_int_equal(keys[0].count, 2);
    assert_int_equal(frequent_span_ms(frequent, start + FREQUENT_PERIOD_MS), FREQUENT_PERIOD_MS);
    frequent_tick(frequent, start + 2 * FREQUENT_PERIOD_MS);
    assert_int_equal(frequent_list(frequent, keys, 16), 2);
    frequent_tick(frequent, start + 4 * FREQUENT_PERIOD_MS); /* a whole one went by */
    assert_int_equal(frequent_list(frequent, keys, 16), 0);
    frequent_free(frequent);
}

static void long_keys_are_told_apart(void **state)
{
    (void)state;
    struct frequent *frequent = frequent_new(1);
    struct frequent_key keys[16];
    char text[2 * FREQUENT_KEY_MAX];
    frequent_tick(frequent, 1);
    memset(text, 'x', sizeof text);
    frequent_add(frequent, slice_make(text, sizeof text), 1);
    text[sizeof text - 1] = 'y';
    frequent_add(frequent, slice_make(text, sizeof text), 1);
    assert_int_equal(frequent_list(frequent, keys, 16), 2);
    assert_int_equal(keys[0].len, FREQUENT_KEY_MAX);
    frequent_free(frequent);
}

static void names_are_without_their_tags(void **state)
{
    (void)state;
    struct account *account = account_new();
    struct frequent_key keys[16];
    struct statsd_metric metric;
    static const char *const lines[] = {"a:1|c|#k:v", "a,k=v:1|c", "a;k=v:1|c", "a,b:1|c"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        assert_int_equal(
            statsd_parse(&statsd_profiles[STATSD_UNION], slice_of_string(lines[i]), &metric),
            STATSD_ACCEPTED);
        account_metric(account, &metric, 10);
    }
    assert_int_equal(frequent_merge(keys, account_list(account, ACCOUNT_METRICS, keys, 16)), 2);
    assert_int_equal(keys[0].count, 30);
    assert_true(slice_equal_string(slice_make(keys[1].text, keys[1].len), "a,b"));
    account_free(account);
}

static void the_last_line_of_each_reason_stays(void **state)
{
    (void)state;
    struct account *account = account_new();
    struct refusal refusal;
    struct frequent_key keys[16];
    const struct peer peer = {.family = AF_INET, .address = {192, 0, 2, 1}, .port = 7};
    const struct peer again = {.family = AF_INET, .address = {192, 0, 2, 1}, .port = 8};
    char line[1000];
    memset(line, 'x', sizeof line);
    account_refused(account, STATSD_NO_COLON, "udp", &peer, SLICE("first"));
    account_refused(account, STATSD_NO_COLON, "udp", &again, slice_make(line, sizeof line));
    account_refused(account, ACCOUNT_TRUNCATED, "unix", &peer, SLICE(""));
    account_last_refusal(account, STATSD_NO_COLON, &refusal);
    assert_int_equal(refusal.bytes, sizeof line);
    assert_int_equal(refusal.line[REFUSAL_LINE_MAX - 1], 'x');
    assert_int_equal(refusal.peer.port, 8);
    assert_string_equal(refusal.transport, "udp");
    assert_true(refusal.time_ms > 0);
    account_last_refusal(account, STATSD_BAD_TYPE, &refusal);
    assert_int_equal(refusal.time_ms, 0);
    /* Of one host, whatever the port. */
    assert_int_equal(account_list(account, ACCOUNT_REFUSED, keys, 16), 1);
    assert_int_equal(keys[0].count, 3);
    for (unsigned i = 0; i < ACCOUNT_REASON_COUNT; i++)
        assert_non_null(account_reason_name(i));
    account_free(account);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_often_is_there),
        cmocka_unit_test(old_periods_leave),
        cmocka_unit_test(long_keys_are_told_apart),
        cmocka_unit_test(names_are_without_their_tags),
        cmocka_unit_test(the_last_line_of_each_reason_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
