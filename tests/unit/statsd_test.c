/* statsd: what a line says, why a line is refused, and which labels its tags make. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "server/wire/statsd.h"

#define TEXT_MAX 512

/* "name type value,value... weight tags", so that one line of a table checks all of a metric. */
static void describe(struct slice line, char *out)
{
    static const char types[] = "cgms";
    struct statsd_metric metric;
    enum statsd_reject reject = statsd_parse(line, &metric);
    if (reject != STATSD_ACCEPTED) {
        snprintf(out, TEXT_MAX, "%s", statsd_reject_names[reject]);
        return;
    }
    int len = snprintf(out, TEXT_MAX, SLICE_FMT " %c ", SLICE_ARG(metric.name), types[metric.type]);
    if (metric.type == STATSD_SET) {
        len += snprintf(out + len, TEXT_MAX - (size_t)len, SLICE_FMT, SLICE_ARG(metric.member));
    } else {
        const char *comma = "";
        do {
            len += snprintf(out + len, TEXT_MAX - (size_t)len, "%s%s%.15g", comma,
                            metric.is_signed ? "~" : "", metric.value);
            comma = ",";
        } while (statsd_cut_value(&metric));
    }
    len += snprintf(out + len, TEXT_MAX - (size_t)len, " x%g", metric.weight);
    if (metric.tags.len)
        snprintf(out + len, TEXT_MAX - (size_t)len, " " SLICE_FMT, SLICE_ARG(metric.tags));
}

static void lines_say(void **state)
{
    (void)state;
    static const struct {
        const char *line, *meaning;
    } table[] = {
        /* the original protocol */
        {"gorets:1|c", "gorets c 1 x1"},
        {"gorets:1|c|@0.1", "gorets c 1 x10"},
        {"glork:320|ms", "glork m 320 x1"},
        {"glork:320|ms|@0.1", "glork m 320 x10"},
        {"gaugor:333|g", "gaugor g 333 x1"},
        {"gaugor:-10|g", "gaugor g ~-10 x1"},
        {"gaugor:+4|g", "gaugor g ~4 x1"},
        {"uniques:765|s", "uniques s 765 x1"},
        /* numbers */
        {"a:0|c", "a c 0 x1"},
        {"a:3.25|c", "a c 3.25 x1"},
        {"a:.5|ms", "a m 0.5 x1"},
        {"a:5.|ms", "a m 5 x1"},
        {"a:1e3|ms", "a m 1000 x1"},
        {"a:-1.5E-2|h", "a m ~-0.015 x1"},
        {"a:123456789012345|c", "a c 123456789012345 x1"},
        {"a:12345678901234567890|g", "a g 1.23456789012346e+19 x1"},
        {"a:0.1|g", "a g 0.1 x1"},
        /* DogStatsD */
        {"a:1|h|#x:y", "a m 1 x1 x:y"},
        {"a:1|d|#x:y,z", "a m 1 x1 x:y,z"},
        {"a:1|c|#x:y|@0.5", "a c 1 x2 x:y"},
        {"a:1|c|@0.5|#x:y|c:in-12|T1656581409|e:it-false|card:low|future", "a c 1 x2 x:y"},
        {"a:1|c|#x:1|#x:2", "a c 1 x1 x:2"},
        {"a:1|c|#", "a c 1 x1"},
        {"a:1|c|", "a c 1 x1"},
        {"a:1:2:3|ms", "a m 1,2,3 x1"},
        {"a:1:-2:+3|g|#x:y", "a g 1,~-2,~3 x1 x:y"},
        {"a:21::22|ms", "a m 21,22 x1"},
        {"a:1:2:|ms", "a m 1,2 x1"},
        {"a:abc:def|s", "a s abc:def x1"},
        {"a b/c;k=v:1|c", "a b/c;k=v c 1 x1"},
        /* refused */
        {"gorets|c", "no_colon"},
        {"gorets", "no_colon"},
        {":1|c", "empty_name"},
        {"a:1", "no_type"},
        {"a:1|", "no_type"},
        {"a:1||@0.1", "no_type"},
        {"a:1|x", "bad_type"},
        {"a:1|C", "bad_type"},
        {"a:1|cfoo", "bad_type"},
        {"a:1|msg", "bad_type"},
        {"a:1|c:2|ms", "bad_type"},
        {"a:|c", "bad_value"},
        {"a:|s", "bad_value"},
        {"a:::|g", "bad_value"},
        {"a:x|c", "bad_value"},
        {"a:1x|c", "bad_value"},
        {"a:1.2.3|g", "bad_value"},
        {"a:.|g", "bad_value"},
        {"a:-|g", "bad_value"},
        {"a:0x10|c", "bad_value"},
        {"a:1:x:3|ms", "bad_value"},
        {"a: 1|c", "bad_value"},
        {"a:nan|g", "not_finite"},
        {"a:-Inf|g", "not_finite"},
        {"a:infinity|ms", "not_finite"},
        {"a:1e300|ms|@1e-300", "not_finite"},
        {"a:-1|c", "negative_count"},
        {"a:1:-1|c", "negative_count"},
        {"a:1|c|@0", "bad_rate"},
        {"a:1|c|@", "bad_rate"},
        {"a:1|c|@2", "bad_rate"},
        {"a:1|c|@-0.5", "bad_rate"},
        {"a:1|c|@x", "bad_rate"},
        {"a:1|g|@nan", "bad_rate"},
        {"_e{5,4}:title|text", "unsupported_event"},
        {"_sc|db|0|#x:y", "unsupported_service_check"},
        {"_e:1|c", "_e c 1 x1"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char text[TEXT_MAX];
        describe(slice_of_string(table[i].line), text);
        if (strcmp(text, table[i].meaning) != 0)
            fail_msg("%s: got `%s`, want `%s`", table[i].line, text, table[i].meaning);
    }
}

static void lengths_are_bounded(void **state)
{
    (void)state;
    static char line[STATSD_NAME_MAX + STATSD_TAGS_MAX + 32];
    static const struct {
        int name, tags;
        enum statsd_reject reject;
    } table[] = {
        {STATSD_NAME_MAX, STATSD_TAGS_MAX, STATSD_ACCEPTED},
        {STATSD_NAME_MAX + 1, 1, STATSD_TOO_LONG},
        {1, STATSD_TAGS_MAX + 1, STATSD_TOO_LONG},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct statsd_metric metric;
        int len = snprintf(line, sizeof line, "%0*d:1|c|#%0*d", table[i].name, 0, table[i].tags, 0);
        assert_int_equal(statsd_parse(slice_make(line, (size_t)len), &metric), table[i].reject);
    }
}

static void ignored_fields_are_told(void **state)
{
    (void)state;
    struct statsd_metric metric;
    assert_int_equal(statsd_parse(SLICE("a:1|c|c:x|T1|e:y|card:low"), &metric), STATSD_ACCEPTED);
    assert_int_equal(metric.ignored, 1 << STATSD_IGNORED_CONTAINER | 1 << STATSD_IGNORED_TIMESTAMP |
                                         1 << STATSD_IGNORED_EXTERNAL |
                                         1 << STATSD_IGNORED_CARDINALITY);
    assert_int_equal(statsd_parse(SLICE("a:1|c|new"), &metric), STATSD_ACCEPTED);
    assert_int_equal(metric.ignored, 1 << STATSD_IGNORED_OTHER);
}

static void datagrams_split_into_lines(void **state)
{
    (void)state;
    struct slice rest = SLICE("a:1|c\r\n\n\nb:2|c\n\r\nc:3|c"), line;
    assert_true(statsd_cut_line(&rest, &line) && slice_equal(line, SLICE("a:1|c")));
    assert_true(statsd_cut_line(&rest, &line) && slice_equal(line, SLICE("b:2|c")));
    assert_true(statsd_cut_line(&rest, &line) && slice_equal(line, SLICE("c:3|c")));
    assert_false(statsd_cut_line(&rest, &line));
}

static void tags_become_labels(void **state)
{
    (void)state;
    static const struct {
        struct slice name, tags;
        const char *labels;
    } table[] = {
        {SLICE_LIT("api.latency"), SLICE_LIT(""), "api.latency{}"},
        {SLICE_LIT("a"), SLICE_LIT("route:/buy"), "a{route=\"/buy\"}"},
        {SLICE_LIT("a"), SLICE_LIT("z:1,b:2,a.x:3"), "a{a.x=\"3\", b=\"2\", z=\"1\"}"},
        {SLICE_LIT("a"), SLICE_LIT("canary"), "a{canary=\"true\"}"},
        {SLICE_LIT("a"), SLICE_LIT("k:1,k:2,j:0,k:3"), "a{j=\"0\", k=\"3\"}"},
        {SLICE_LIT("a"), SLICE_LIT("url:http://x:80"), "a{url=\"http://x:80\"}"},
        {SLICE_LIT("a"), SLICE_LIT(",,k:v,,"), "a{k=\"v\"}"},
        {SLICE_LIT("a"), SLICE_LIT("k:,:v,:"), "a{}"},
        {SLICE_LIT("a"), SLICE_LIT("#k:v,#j:w"), "a{j=\"w\", k=\"v\"}"},
        {SLICE_LIT("a"), SLICE_LIT("__name__:b"), "a{exported__name__=\"b\"}"},
        {SLICE_LIT("a"), SLICE_LIT("__overflow__:1"), "a{exported__overflow__=\"1\"}"},
        {SLICE_LIT("a b\tc"), SLICE_LIT("my key:us east\x01"), "a_b_c{my_key=\"us east_\"}"},
        {SLICE_LIT("caf\xc3\xa9"), SLICE_LIT("k:\xff"), "caf\xc3\xa9{k=\"\xef\xbf\xbd\"}"},
        {SLICE_LIT("a\xc3"), SLICE_LIT(""), "a\xef\xbf\xbd{}"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct arena arena;
        struct buffer text;
        struct labels labels;
        arena_init(&arena, 65536);
        buffer_init(&text, 65536);
        assert_true(statsd_labels(table[i].name, table[i].tags, &arena, &labels));
        labels_print(labels, &text);
        buffer_append_char(&text, 0);
        assert_string_equal(text.at, table[i].labels);
        buffer_release(&text);
        arena_release(&arena);
    }
}

static void labels_are_bounded(void **state)
{
    (void)state;
    struct arena arena;
    struct buffer tags;
    struct labels labels;
    arena_init(&arena, 65536);
    buffer_init(&tags, 65536);
    for (int i = 0; i < LABELS_MAX - 2; i++)
        buffer_append_format(&tags, "%sk%d:v", i ? "," : "", i);
    assert_true(statsd_labels(SLICE("a"), buffer_slice(&tags), &arena, &labels));
    assert_int_equal(labels.count, LABELS_MAX - 1);
    buffer_append_string(&tags, ",one:more");
    assert_false(statsd_labels(SLICE("a"), buffer_slice(&tags), &arena, &labels));
    buffer_release(&tags);
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_say),
        cmocka_unit_test(lengths_are_bounded),
        cmocka_unit_test(ignored_fields_are_told),
        cmocka_unit_test(datagrams_split_into_lines),
        cmocka_unit_test(tags_become_labels),
        cmocka_unit_test(labels_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
