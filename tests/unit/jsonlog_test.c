/* jsonlog: times, levels, labels, rejects and bodies, as tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/wire/jsonlog.h"
#include "server/wire/timestamp.h"

#define SECOND ((int64_t)1000000000)
#define NOW    ((int64_t)1795283795 * SECOND)

static const struct jsonlog_window window = {NOW, NOW - 30 * 86400 * SECOND, NOW + 86400 * SECOND};

static void test_timestamps(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ns;
    } rows[] = {
        {"2026-11-21T17:56:35Z", NOW},
        {"2026-11-21T17:56:35.5Z", NOW + SECOND / 2},
        {"2026-11-21T17:56:35.123456789Z", NOW + 123456789},
        {"2026-11-21T17:56:35.1234567899999Z", NOW + 123456789},
        {"2026-11-21T18:56:35+01:00", NOW},
        {"2026-11-21T12:26:35-0530", NOW},
        {"2026-11-21T19:56:35+02", NOW},
        {"2026-11-21 17:56:35,250", NOW + SECOND / 4},
        {"2026-11-21T17:56", NOW - 35 * SECOND},
        {"2026-11-21", NOW - NOW % (86400 * SECOND)},
        {"1970-01-01T00:00:00Z", 0},
        {"2000-02-29T00:00:00Z", 951782400 * SECOND},
        {"1795283795", NOW},
        {"1795283795.25", NOW + SECOND / 4},
        {"1795283795123", NOW + 123000000},
        {"1795283795123456", NOW + 123456000},
        {"1795283795123456789", NOW + 123456789},
        {"0", 0},
        {"-5", -5 * SECOND},
    };
    static const char *const bad[] = {
        "",
        "today",
        "2026-13-01",
        "2026-02-29",
        "2026-11-21T",
        "2026-11-21T25:00:00Z",
        "1969-12-31T23:59:59Z",
        "2026-11-21T17:56:35.Z",
        "2026-11-21T17:56:35+1",
        "12:30:00",
        "2026-11-21T17:56:35ZZ",
        "9999-12-31T00:00:00Z",
        "1e300",
        "Nov 21 17:56:35",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t ns = -1;
        if (!timestamp_from_text(slice_of_string(rows[i].text), &ns) || ns != rows[i].ns)
            fail_msg("%s: got %lld, not %lld", rows[i].text, (long long)ns, (long long)rows[i].ns);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t ns;
        if (timestamp_from_text(slice_of_string(bad[i]), &ns))
            fail_msg("accepted \"%s\" as %lld", bad[i], (long long)ns);
    }
    int64_t ns;
    assert_true(timestamp_from_double(1795283795.8907087, &ns));
    assert_true(llabs(ns - (NOW + 890708700)) < 1000);
}

static void parses(const char *text, const char *labels, int64_t time_ns)
{
    struct arena arena;
    struct buffer printed;
    struct record record;
    struct error why = {0};
    struct jsonlog *jsonlog = jsonlog_new(1000);
    jsonlog_set_window(jsonlog, &window);
    struct slice line = slice_of_string(text);
    arena_init(&arena, 1 << 16);
    buffer_init(&printed, 4096);
    if (jsonlog_parse(jsonlog, line, &arena, &record, &why) != JSONLOG_OK)
        fail_msg("%s: %s", text, why.text);
    labels_print(record.stream, &printed);
    if (!slice_equal_string(buffer_slice(&printed), labels) || record.time_ns != time_ns)
        fail_msg("%s: got " SLICE_FMT " at %lld", text, SLICE_ARG(buffer_slice(&printed)),
                 (long long)record.time_ns);
    assert_true(slice_equal(record.line, slice_trim(line)));
    buffer_release(&printed);
    arena_release(&arena);
    jsonlog_free(jsonlog);
}

static void test_lines(void **state)
{
    (void)state;
    parses("{}", "{}", NOW);
    parses("{\"time\":\"2026-11-21T17:56:34Z\",\"level\":\"WARNING\",\"service\":\"api\","
           "\"host\":\"h1\",\"env\":\"prod\",\"msg\":\"x\"}",
           "{environment=\"prod\", host=\"h1\", level=\"warn\", service=\"api\"}", NOW - SECOND);
    /* pino */
    parses("{\"level\":30,\"time\":1795283795123,\"pid\":7,\"hostname\":\"h\",\"msg\":\"m\"}",
           "{host=\"h\", level=\"info\"}", NOW + 123000000);
    /* The trusted alias wins wherever it stands. */
    parses("{\"app\":\"b\",\"ts\":1,\"service\":\"a\",\"@timestamp\":1795283795,\"lvl\":\"err\"}",
           "{level=\"error\", service=\"a\"}", NOW);
    parses("{\"time\":\"1795283795.5\",\"service.name\":\"ecs\",\"log.level\":\"Debug\"}",
           "{level=\"debug\", service=\"ecs\"}", NOW + SECOND / 2);
    /* Unreadable times do not cost the record. */
    parses("{\"time\":\"yesterday\"}", "{}", NOW);
    parses("{\"time\":null,\"service\":{\"name\":\"x\"},\"host\":\"\",\"level\":\"Odd\"}",
           "{level=\"odd\"}", NOW);
    parses("  {\"service\":12,\"env\":true}\r", "{environment=\"true\", service=\"12\"}", NOW);
    parses("{\"severity\":\"crit\",\"service_name\":\"z\\u00e9\"}",
           "{level=\"fatal\", service=\"z\xc3\xa9\"}", NOW);
    parses("{\"level\":3}", "{level=\"error\"}", NOW);
    parses("{\"level\":60.0}", "{level=\"fatal\"}", NOW);
}

static void rejects(const char *text, enum jsonlog_status expected, const char *says)
{
    struct arena arena;
    struct record record;
    struct error why = {0};
    struct jsonlog *jsonlog = jsonlog_new(64);
    jsonlog_set_window(jsonlog, &window);
    arena_init(&arena, 1 << 16);
    enum jsonlog_status status =
        jsonlog_parse(jsonlog, slice_of_string(text), &arena, &record, &why);
    if (status != expected || !strstr(why.text, says))
        fail_msg("%s: status %d (%s)", text, (int)status, why.text);
    arena_release(&arena);
    jsonlog_free(jsonlog);
}

static void test_rejects(void **state)
{
    (void)state;
    rejects("plain text", JSONLOG_NOT_JSON, "send one JSON object a line");
    rejects("", JSONLOG_NOT_JSON, "send one JSON object");
    rejects("nonsense", JSONLOG_NOT_JSON, "send one JSON object a line");
    rejects("2026-11-21 12:00:00 INFO x", JSONLOG_NOT_JSON, "send one JSON object a line");
    rejects("{\"a\":", JSONLOG_MALFORMED, "broken JSON");
    rejects("{\"a\":1}{\"b\":2}", JSONLOG_MALFORMED, "broken JSON");
    rejects("[1,2]", JSONLOG_NOT_OBJECT, "no object");
    rejects("\"text\"", JSONLOG_NOT_OBJECT, "no object");
    rejects("{\"a\":\"0123456789012345678901234567890123456789012345678901234567890\"}",
            JSONLOG_TOO_LONG, "limit is 64");
    rejects("{\"time\":\"2020-01-01T00:00:00Z\"}", JSONLOG_TOO_OLD, "retention.logs");
    rejects("{\"time\":\"2036-01-01T00:00:00Z\"}", JSONLOG_TOO_NEW, "future");
}

/* What a body is cut into, joined with '|'; '!' at the end when it is broken. */
static void cuts(const char *text, const char *expected)
{
    struct jsonlog_body body;
    struct buffer got;
    struct slice item;
    buffer_init(&got, 4096);
    jsonlog_body_init(&body, slice_of_string(text));
    for (size_t last = 0; jsonlog_body_next(&body, &item); last = body.number) {
        assert_true(body.number > last);
        buffer_append_slice(&got, item);
        buffer_append_char(&got, '|');
    }
    if (body.broken)
        buffer_append_char(&got, '!');
    if (!slice_equal_string(buffer_slice(&got), expected))
        fail_msg("%s: got " SLICE_FMT, text, SLICE_ARG(buffer_slice(&got)));
    buffer_release(&got);
}

static void test_bodies(void **state)
{
    (void)state;
    cuts("", "");
    cuts("  \n\n", "");
    cuts("{\"a\":1}", "{\"a\":1}|");
    cuts("{\"a\":\n 1}\n", "{\"a\":\n 1}|");
    cuts("{\"a\":1}\n{\"b\":2}\r\n\n{\"c\":3}", "{\"a\":1}|{\"b\":2}|{\"c\":3}|");
    cuts("{\"a\":\n{\"b\":2}\nplain", "{\"a\":|{\"b\":2}|plain|");
    cuts("[]", "");
    cuts("[{\"a\":[1,2]}, {\"b\":\"],{\\\"\"} ]", "{\"a\":[1,2]}|{\"b\":\"],{\\\"\"}|");
    cuts("[{\"a\":1},7,oops,{\"b\":2}]", "{\"a\":1}|7|oops|{\"b\":2}|");
    cuts("[{\"a\":1}", "{\"a\":1}|!");
    cuts("[{\"a\":1}] x", "{\"a\":1}|!");
    cuts("[{\"a\":\"", "{\"a\":\"|!");
    cuts("[\"\\", "\"\\|!");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timestamps),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_rejects),
        cmocka_unit_test(test_bodies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
