/* outbox: documents, the retry schedule, and the order of sending against a naive model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/alert/outbox.h"
#include "server/notify/webhook.h"

static void documents_round_trip(void **state)
{
    (void)state;
    struct outbox_message message = {.sequence = 0x19a8c3f2d1u,
                                     .group = 77,
                                     .created_ms = 1234,
                                     .attempts = 3,
                                     .channel = SLICE("webhook"),
                                     .body = SLICE("{\"a\":1}")};
    struct outbox_message back;
    struct buffer key, value;
    buffer_init(&key, 64);
    buffer_init(&value, 1024);
    outbox_key(message.sequence, &key);
    outbox_encode(&message, &value);
    assert_true(slice_equal_string(buffer_slice(&key), "outbox/00000019a8c3f2d1"));
    assert_true(outbox_decode(buffer_slice(&key), buffer_slice(&value), &back));
    assert_int_equal(back.sequence, message.sequence);
    assert_int_equal(back.group, 77);
    assert_int_equal(back.created_ms, 1234);
    assert_int_equal(back.attempts, 3);
    assert_true(slice_equal(back.channel, message.channel));
    assert_true(slice_equal(back.body, message.body));
    for (size_t len = 0; len < value.len - message.body.len; len++)
        assert_false(outbox_decode(buffer_slice(&key), slice_make(value.at, len), &back));
    assert_false(outbox_decode(SLICE("outbox/0019"), buffer_slice(&value), &back));
    assert_false(outbox_decode(SLICE("outbox/00000019a8c3f2dX"), buffer_slice(&value), &back));
    buffer_release(&key);
    buffer_release(&value);
}

static void retries_follow_the_schedule(void **state)
{
    (void)state;
    static const int64_t seconds[] = {5, 30, 120, 300, 900, 1800, 3600, 3600, 3600};
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++)
        assert_int_equal(outbox_retry_delay_ms((int64_t)i + 1, 0, 0), seconds[i] * 1000);
    assert_int_equal(outbox_retry_delay_ms(1, 0, 20000), 20000);
    assert_int_equal(outbox_retry_delay_ms(2, 0, 20000), 30000);
    assert_int_equal(outbox_retry_delay_ms(1, 0, (int64_t)86400 * 1000), OUTBOX_RETRY_MAX_MS);
    assert_int_equal(outbox_retry_delay_ms(9, OUTBOX_KEPT_MS - 1, 0), 3600000);
    assert_int_equal(outbox_retry_delay_ms(9, OUTBOX_KEPT_MS, 0), -1);
}

/* Sends with random failures: within a group the order never changes, nothing is lost, and what is
 * offered is always due. */
static void groups_leave_in_order(void **state)
{
    (void)state;
    enum { COUNT = 300, GROUPS = 7 };
    struct outbox outbox = {0};
    uint64_t last[GROUPS] = {0};
    size_t sent = 0;
    uint64_t next = 1;
    srand(7);
    for (int64_t now = 0; sent < COUNT; now++) {
        if (next <= COUNT && rand() % 2) {
            outbox_add(&outbox, (struct outbox_entry){next, (uint64_t)rand() % GROUPS, now});
            next++;
        }
        int64_t wait;
        struct outbox_entry *entry = outbox_next(&outbox, now, &wait);
        if (!entry) {
            assert_true(wait == -1 ? outbox.count == 0 : wait > 0);
            continue;
        }
        assert_true(entry->due_ms <= now);
        for (size_t i = 0; i < outbox.count; i++)
            if (outbox.at[i].group == entry->group)
                assert_true(outbox.at[i].sequence >= entry->sequence);
        if (rand() % 3 == 0) {
            entry->due_ms = now + rand() % 20;
            continue;
        }
        assert_true(entry->sequence > last[entry->group]);
        last[entry->group] = entry->sequence;
        outbox_remove(&outbox, entry);
        sent++;
    }
    assert_int_equal(outbox.count, 0);
    outbox_release(&outbox);
}

static void waits_for_the_oldest_of_a_group(void **state)
{
    (void)state;
    struct outbox outbox = {0};
    int64_t wait;
    outbox_add(&outbox, (struct outbox_entry){1, 5, 100});
    outbox_add(&outbox, (struct outbox_entry){2, 5, 0});
    assert_null(outbox_next(&outbox, 40, &wait));
    assert_int_equal(wait, 60);
    outbox_add(&outbox, (struct outbox_entry){3, 6, 0});
    assert_int_equal(outbox_next(&outbox, 40, &wait)->sequence, 3);
    outbox_release(&outbox);
}

static void the_webhook_body_is_alertmanagers(void **state)
{
    (void)state;
    struct label one[] = {{SLICE("alertname"), SLICE("Slow")}, {SLICE("route"), SLICE("/a")}};
    struct label two[] = {{SLICE("alertname"), SLICE("Slow")}, {SLICE("route"), SLICE("/b")}};
    struct label note = {SLICE("summary"), SLICE("it is \"slow\"")};
    struct message_alert alerts[] = {
        {false, {one, 2}, {&note, 1}, 1700000000000, 0},
        {true, {two, 2}, {&note, 1}, 1700000000000, 1700000060500},
    };
    struct message message = {SLICE("webhook"),          {one, 1}, SLICE("http://x"),
                              SLICE("http://x/graph?q"), alerts,   2};
    struct buffer out;
    buffer_init(&out, 65536);
    webhook_format(&message, &out);
    assert_true(slice_equal_string(
        buffer_slice(&out),
        "{\"version\":\"4\",\"groupKey\":\"{}:{alertname=\\\"Slow\\\"}\",\"truncatedAlerts\":0,"
        "\"status\":\"firing\",\"receiver\":\"webhook\",\"groupLabels\":{\"alertname\":\"Slow\"},"
        "\"commonLabels\":{\"alertname\":\"Slow\"},"
        "\"commonAnnotations\":{\"summary\":\"it is \\\"slow\\\"\"},\"externalURL\":\"http://x\","
        "\"alerts\":[{\"status\":\"firing\",\"labels\":{\"alertname\":\"Slow\",\"route\":\"/a\"},"
        "\"annotations\":{\"summary\":\"it is \\\"slow\\\"\"},"
        "\"startsAt\":\"2023-11-14T22:13:20Z\",\"endsAt\":\"0001-01-01T00:00:00Z\","
        "\"generatorURL\":\"http://x/graph?q\",\"fingerprint\":\"e6de69c0edb9bf8e\"},"
        "{\"status\":\"resolved\",\"labels\":{\"alertname\":\"Slow\",\"route\":\"/b\"},"
        "\"annotations\":{\"summary\":\"it is \\\"slow\\\"\"},"
        "\"startsAt\":\"2023-11-14T22:13:20Z\",\"endsAt\":\"2023-11-14T22:14:20.5Z\","
        "\"generatorURL\":\"http://x/graph?q\",\"fingerprint\":\"e6d469c0edb16b09\"}]}"));
    buffer_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_round_trip),
        cmocka_unit_test(retries_follow_the_schedule),
        cmocka_unit_test(groups_leave_in_order),
        cmocka_unit_test(waits_for_the_oldest_of_a_group),
        cmocka_unit_test(the_webhook_body_is_alertmanagers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
