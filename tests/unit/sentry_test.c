/* sentry: envelope framing good and broken, and what is read out of events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/wire/sentry.h"
#include "server/wire/timestamp.h"

#define ID "9ec79c33ec9942ab8353589fcb2e04dc"

struct fixture {
    struct json_parser *parser;
    struct arena arena;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->parser = json_parser_new(EVENT_BYTES_MAX);
    arena_init(&fixture->arena, 8 << 20);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    json_parser_free(fixture->parser);
    arena_release(&fixture->arena);
    free(fixture);
    return 0;
}

/* --- envelopes --- */

/* The items as text: "type=payload;" or "!reason;" for a broken one. */
static void describe(struct fixture *fixture, struct slice text, struct buffer *out)
{
    struct envelope envelope;
    struct envelope_item item;
    struct error err = {0};
    if (envelope_open(text, fixture->parser, &fixture->arena, &envelope, &err) < 0) {
        buffer_append_format(out, "error: %s", err.text);
        return;
    }
    while (envelope_next(&envelope, &item)) {
        if (item.drop != SENTRY_KEPT) {
            buffer_append_format(out, "!%s;", sentry_drop_name(item.drop));
            continue;
        }
        buffer_append_slice(out, item.type);
        buffer_append_char(out, '=');
        buffer_append_slice(out, item.payload);
        buffer_append_char(out, ';');
    }
}

static void cuts_items(void **state)
{
    static const struct {
        struct slice text;
        struct slice items;
    } cases[] = {
        {SLICE_LIT("{}"), SLICE_LIT("")},
        {SLICE_LIT("{}\n"), SLICE_LIT("")},
        {SLICE_LIT("{}\n{\"type\":\"event\"}\n{\"a\":1}\n"), SLICE_LIT("event={\"a\":1};")},
        {SLICE_LIT("{}\n{\"type\":\"event\"}\n{\"a\":1}"), SLICE_LIT("event={\"a\":1};")},
        {SLICE_LIT("{}\n{\"type\":\"event\",\"length\":7}\n{\"a\":1}\n"),
         SLICE_LIT("event={\"a\":1};")},
        /* A null length is none; the carriage return belongs to the payload. */
        {SLICE_LIT("{}\n{\"type\":\"a\",\"length\":null}\nx\r\n"), SLICE_LIT("a=x\r;")},
        {SLICE_LIT("{}\n{\"type\":\"attachment\",\"length\":5,\"filename\":\"a.txt\"}\nhello\n"
                   "{\"type\":\"attachment\",\"length\":4}\n\x00\n\r\xff\n"),
         SLICE_LIT("attachment=hello;attachment=\x00\n\r\xff;")},
        {SLICE_LIT("{}\n{\"type\":\"empty\",\"length\":0}\n\n{\"type\":\"b\"}\nx"),
         SLICE_LIT("empty=;b=x;")},
        {SLICE_LIT("{}\n{\"type\":\"empty\",\"length\":0}\n{\"type\":\"b\"}\nx"),
         SLICE_LIT("!item_length;!item_header;")},
        {SLICE_LIT("{}\n{\"type\":\"empty\",\"length\":0}"), SLICE_LIT("empty=;")},
        {SLICE_LIT("{}\n{\"type\":\"a\"}\n"), SLICE_LIT("a=;")},
        {SLICE_LIT("{}\n\n\n{\"type\":\"a\"}\nx\n\n\n"), SLICE_LIT("a=x;")},
        /* Broken ones take only themselves along. */
        {SLICE_LIT("{}\nnonsense\npayload\n{\"type\":\"a\"}\nx\n"), SLICE_LIT("!item_header;a=x;")},
        {SLICE_LIT("{}\n[1]\npayload\n{\"type\":\"a\"}\nx\n"), SLICE_LIT("!item_header;a=x;")},
        {SLICE_LIT("{}\n{\"length\":3}\nabc\n{\"type\":\"a\"}\nx\n"), SLICE_LIT("!item_type;a=x;")},
        {SLICE_LIT("{}\n{\"type\":\"b\",\"length\":99}\nabc\n{\"type\":\"a\"}\nx\n"),
         SLICE_LIT("!item_length;a=x;")},
        {SLICE_LIT("{}\n{\"type\":\"b\",\"length\":2}\nabc\n{\"type\":\"a\"}\nx\n"),
         SLICE_LIT("!item_length;a=x;")},
        {SLICE_LIT("{}\n{\"type\":\"b\",\"length\":-1}\nabc\n{\"type\":\"a\"}\nx\n"),
         SLICE_LIT("!item_length;a=x;")},
        {SLICE_LIT("{}\n{\"type\":\"b\",\"length\":18446744073709551615}\nabc\n"),
         SLICE_LIT("!item_length;")},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer out;
        buffer_init(&out, 4096);
        describe(fixture, cases[i].text, &out);
        if (!slice_equal(buffer_slice(&out), cases[i].items))
            fail_msg("case %zu: " SLICE_FMT, i, SLICE_ARG(buffer_slice(&out)));
        buffer_release(&out);
    }
}

static void reads_the_header(void **state)
{
    struct fixture *fixture = *state;
    struct envelope envelope;
    struct error err = {0};
    struct slice text = SLICE("{\"event_id\":\"9EC79C33-EC99-42AB-8353-589FCB2E04DC\","
                              "\"sent_at\":\"2026-11-21T17:56:35.922Z\",\"sdk\":{}}\n");
    assert_int_equal(envelope_open(text, fixture->parser, &fixture->arena, &envelope, &err), 0);
    assert_true(slice_equal_string(envelope.event_id, ID));
    assert_int_equal(envelope.sent_at_ms, 1795283795922);
}

static void refuses_a_broken_header(void **state)
{
    static const struct {
        const char *text;
        const char *says;
    } cases[] = {
        {"", "the envelope header, the line from byte 0 to 0, is not JSON"},
        {"{\"event_id\":\n", "the envelope header, the line from byte 0 to 12, is not JSON"},
        {"[]\n{\"type\":\"event\"}\n{}", "is not a JSON object; send {}"},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct envelope envelope;
        struct error err = {0};
        assert_int_equal(envelope_open(slice_of_string(cases[i].text), fixture->parser,
                                       &fixture->arena, &envelope, &err),
                         -1);
        assert_int_equal(err.kind, ERROR_BAD_DATA);
        if (!strstr(err.text, cases[i].says))
            fail_msg("case %zu: %s", i, err.text);
    }
}

static void bounds_the_items(void **state)
{
    struct fixture *fixture = *state;
    struct buffer text;
    struct envelope envelope;
    struct envelope_item item;
    struct error err = {0};
    buffer_init(&text, 1 << 20);
    buffer_append_string(&text, "{}\n");
    for (int i = 0; i < ENVELOPE_ITEMS_MAX + 5; i++)
        buffer_append_string(&text, "{\"type\":\"a\"}\nx\n");
    assert_int_equal(
        envelope_open(buffer_slice(&text), fixture->parser, &fixture->arena, &envelope, &err), 0);
    size_t kept = 0, dropped = 0;
    while (envelope_next(&envelope, &item)) {
        kept += item.drop == SENTRY_KEPT;
        dropped += item.drop == SENTRY_ITEM_COUNT;
    }
    assert_int_equal(kept, ENVELOPE_ITEMS_MAX);
    assert_int_equal(dropped, 5);
    buffer_release(&text);
}

/* --- events --- */

static struct error_event parse(struct fixture *fixture, const char *text)
{
    struct error_event event;
    enum sentry_drop drop;
    assert_int_equal(
        error_event_parse(slice_of_string(text), fixture->parser, &fixture->arena, &event, &drop),
        0);
    assert_int_equal(drop, SENTRY_KEPT);
    return event;
}

static void assert_slice(struct slice got, const char *expected)
{
    if (!slice_equal_string(got, expected))
        fail_msg("\"" SLICE_FMT "\" is not \"%s\"", SLICE_ARG(got), expected);
}

static void reads_an_event(void **state)
{
    struct error_event event = parse(
        *state,
        "{\"event_id\":\"" ID "\",\"timestamp\":1795283795.95,\"level\":\"fatal\","
        "\"platform\":\"node\",\"release\":\"app@1.2.3\",\"environment\":\"production\","
        "\"logger\":\"api\",\"transaction\":\"GET /buy\",\"user\":{\"id\":7,\"email\":\"a@b.cc\"},"
        "\"tags\":{\"region\":\"eu\",\"shard\":3,\"hot\":true},"
        "\"fingerprint\":[\"{{ default }}\",\"x\"],"
        "\"exception\":{\"values\":[{\"type\":\"TypeError\",\"value\":\"no foo\"},"
        "{\"type\":\"Error\",\"value\":\"outer\",\"mechanism\":{\"synthetic\":true},"
        "\"stacktrace\":{\"frames\":[{\"filename\":\"node:net\",\"function\":\"a\"},"
        "{\"abs_path\":\"/srv/app.js\",\"module\":\"app\",\"function\":\"b\",\"in_app\":true,"
        "\"context_line\":\"throw x\"}]}}]}}");
    assert_string_equal(event.id, ID);
    assert_int_equal(event.time_ms, 1795283795950);
    assert_int_equal(event.level, LEVEL_FATAL);
    assert_slice(event.platform, "node");
    assert_slice(event.release, "app@1.2.3");
    assert_slice(event.environment, "production");
    assert_slice(event.logger, "api");
    assert_slice(event.transaction, "GET /buy");
    assert_slice(event.user, "7");
    assert_int_equal(event.tag_count, 3);
    assert_slice(event.tags[1].value, "3");
    assert_slice(event.tags[2].value, "true");
    assert_int_equal(event.fingerprint_count, 2);
    assert_int_equal(event.exception_count, 2);
    assert_slice(event.exceptions[0].type, "TypeError");
    assert_false(event.exceptions[0].synthetic);
    assert_true(event.exceptions[1].synthetic);
    assert_int_equal(event.exceptions[1].frame_count, 2);
    assert_false(event.exceptions[1].frames[0].in_app);
    assert_true(event.exceptions[1].frames[1].in_app);
    assert_slice(event.exceptions[1].frames[1].filename, "/srv/app.js");
    assert_slice(event.exceptions[1].frames[1].context_line, "throw x");
}

static void takes_every_shape_of_exception(void **state)
{
    static const struct {
        const char *text;
        size_t count;
    } cases[] = {
        {"{\"exception\":{\"values\":[{\"type\":\"A\"},{\"type\":\"B\"}]}}", 2},
        {"{\"exception\":[{\"type\":\"A\"}]}", 1},
        {"{\"exception\":{\"type\":\"A\"}}", 1},
        {"{\"exception\":{\"values\":[null,{\"type\":\"A\"},7]}}", 1},
        {"{\"exception\":{\"values\":null}}", 0},
        {"{\"exception\":{\"values\":[]}}", 0},
        {"{\"exception\":\"A\"}", 0},
        {"{\"exception\":null}", 0},
        {"{}", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error_event event = parse(*state, cases[i].text);
        if (event.exception_count != cases[i].count)
            fail_msg("case %zu: %zu", i, event.exception_count);
        if (event.exception_count > 0)
            assert_slice(event.exceptions[0].type, "A");
    }
}

static void reads_every_shape_of_message(void **state)
{
    static const struct {
        const char *text, *message, *template;
    } cases[] = {
        {"{\"message\":\"plain\"}", "plain", "plain"},
        {"{\"logentry\":{\"message\":\"user %s failed\",\"params\":[42]}}", "user %s failed",
         "user %s failed"},
        {"{\"logentry\":{\"message\":\"user %s\",\"formatted\":\"user 42\"}}", "user 42",
         "user %s"},
        {"{\"logentry\":{\"formatted\":\"user 42\"}}", "user 42", "user 42"},
        {"{\"message\":{\"message\":\"user %s\",\"formatted\":\"user 42\"}}", "user 42", "user %s"},
        {"{\"message\":\"old\",\"logentry\":{\"message\":\"new\"}}", "new", "new"},
        {"{\"message\":\"old\",\"logentry\":{}}", "old", "old"},
        {"{\"message\":7}", "", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error_event event = parse(*state, cases[i].text);
        assert_slice(event.message, cases[i].message);
        assert_slice(event.template, cases[i].template);
    }
}

static void reads_times_ids_levels_and_users(void **state)
{
    struct error_event event =
        parse(*state, "{\"timestamp\":\"2026-11-21T18:04:37.690215Z\",\"event_id\":\"short\","
                      "\"level\":\"warn\",\"user\":{\"ip_address\":\"{{auto}}\"},"
                      "\"tags\":[[\"a\",\"1\"],[\"b\"],7,[\"c\",2]]}");
    assert_int_equal(event.time_ms, 1795284277690);
    assert_string_equal(event.id, "");
    assert_int_equal(event.level, LEVEL_WARNING);
    assert_int_equal(event.user.len, 0);
    assert_int_equal(event.tag_count, 2);
    assert_slice(event.tags[1].value, "2");
    assert_int_equal(parse(*state, "{\"timestamp\":1795283795950}").time_ms, 1795283795950);
    assert_int_equal(parse(*state, "{\"timestamp\":\"1795283795.5\"}").time_ms, 1795283795500);
    assert_int_equal(parse(*state, "{\"timestamp\":-5}").time_ms, 0);
    assert_int_equal(parse(*state, "{\"timestamp\":1e300}").time_ms, 0);
    assert_int_equal(parse(*state, "{\"timestamp\":[]}").time_ms, 0);
    assert_int_equal(parse(*state, "{\"level\":\"nonsense\"}").level, LEVEL_ERROR);
    assert_slice(parse(*state, "{\"user\":{\"email\":\"a@b.cc\"}}").user, "a@b.cc");
}

static void refuses_what_is_no_event(void **state)
{
    struct fixture *fixture = *state;
    struct error_event event;
    enum sentry_drop drop;
    static const char *const cases[] = {"", "[]", "7", "{\"a\":", "{} {}"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(error_event_parse(slice_of_string(cases[i]), fixture->parser,
                                           &fixture->arena, &event, &drop),
                         -1);
        assert_int_equal(drop, SENTRY_EVENT_JSON);
    }
    assert_int_equal(
        error_event_parse((struct slice){NULL, 0}, fixture->parser, &fixture->arena, &event, &drop),
        -1);
    assert_int_equal(drop, SENTRY_EVENT_JSON);
    char *large = calloc(1, EVENT_BYTES_MAX + 1);
    assert_int_equal(error_event_parse(slice_make(large, EVENT_BYTES_MAX + 1), fixture->parser,
                                       &fixture->arena, &event, &drop),
                     -1);
    assert_int_equal(drop, SENTRY_EVENT_SIZE);
    free(large);
}

static void keeps_the_outermost_and_the_newest(void **state)
{
    struct fixture *fixture = *state;
    struct buffer text;
    buffer_init(&text, 1 << 20);
    buffer_append_string(&text, "{\"exception\":[");
    for (int i = 0; i < EVENT_EXCEPTIONS_MAX + 3; i++)
        buffer_append_format(&text, "{\"type\":\"inner%d\"},", i);
    buffer_append_string(&text, "{\"type\":\"outer\",\"stacktrace\":{\"frames\":[");
    for (int i = 0; i < EVENT_FRAMES_MAX + 50; i++)
        buffer_append_format(&text, "{\"function\":\"f%d\"},", i);
    buffer_append_string(&text, "{\"function\":\"newest\"}]}}]}");
    buffer_append_char(&text, '\0');
    struct error_event event = parse(fixture, text.at);
    assert_int_equal(event.exception_count, EVENT_EXCEPTIONS_MAX);
    const struct error_exception *outer = &event.exceptions[EVENT_EXCEPTIONS_MAX - 1];
    assert_slice(outer->type, "outer");
    assert_int_equal(outer->frame_count, EVENT_FRAMES_MAX);
    assert_slice(outer->frames[EVENT_FRAMES_MAX - 1].function, "newest");
    buffer_release(&text);
}

/* --- times --- */

static void parses_times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms; /* -1 = refused */
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-11-21T17:56:35.922Z", 1795283795922},
        {"2026-11-21 17:56:35,9", 1795283795900},
        {"2026-11-21T17:56:35.922999999+00:00", 1795283795922},
        {"2026-11-21T19:56:35.922+02:00", 1795283795922},
        {"2026-11-21T15:26:35.922-0230", 1795283795922},
        {"2026-11-21T19:56:35.922+02", 1795283795922},
        {"2026-11-21", 1795219200000},
        {"2024-02-29T00:00Z", 1709164800000},
        {"2023-02-29T00:00Z", -1},
        {"2026-13-01T00:00:00Z", -1},
        {"2026-11-31", -1},
        {"2026-11-21T25:00:00Z", -1},
        {"2026-11-21T17:56:35.", -1},
        {"2026-11-21T17:56:35+2", -1},
        {"1969-12-31T23:59:59Z", -1},
        {"2026-11-21T17:56:35Zx", -1},
        {"", -1},
        {"now", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t ms = -1;
        if (!timestamp_parse(slice_of_string(cases[i].text), &ms))
            ms = -1;
        if (ms != cases[i].ms)
            fail_msg("%s: %lld", cases[i].text, (long long)ms);
    }
}

static void prints_times_that_parse_back(void **state)
{
    (void)state;
    for (int64_t ms = 1; ms < INT64_C(250000000000000); ms = ms * 3 + 7) {
        char text[TIMESTAMP_TEXT_SIZE];
        int64_t back = 0;
        assert_true(timestamp_parse(slice_of_string(timestamp_print(ms, text)), &back));
        assert_int_equal(back, ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(cuts_items, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reads_the_header, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_a_broken_header, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bounds_the_items, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reads_an_event, set_up, tear_down),
        cmocka_unit_test_setup_teardown(takes_every_shape_of_exception, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reads_every_shape_of_message, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reads_times_ids_levels_and_users, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_what_is_no_event, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keeps_the_outermost_and_the_newest, set_up, tear_down),
        cmocka_unit_test(parses_times),
        cmocka_unit_test(prints_times_that_parse_back),
    };
    return cmocka_run_group_tests_name("sentry", tests, NULL, NULL);
}
