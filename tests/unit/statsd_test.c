/* statsd: what a line says, why a line is refused, and which labels its tags make. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/wire/statsd_notice.h"
#include "storage/base/yaml.h"

#define TEXT_MAX   4096
#define LINES_FILE "tests/statsd/lines.txt"
#define LINES_MIN  200
#define ARENA_MAX  65536

/* --- the table of lines --- */

static void append_labels(const struct statsd_metric *metric, struct buffer *out)
{
    struct arena arena;
    struct labels labels;
    arena_init(&arena, ARENA_MAX);
    if (statsd_labels(statsd_split_name(metric->dialect, metric->name), metric->tags, &arena,
                      &labels))
        labels_print(labels, out);
    else
        buffer_append_string(out, "too many tags");
    arena_release(&arena);
}

/* name{tags} type value,value... x<weight> @<time>; a value that moves a gauge has a ~. */
static void describe_metric(struct statsd_metric metric, struct buffer *out)
{
    static const char *const types[STATSD_TYPE_COUNT] = {
        [STATSD_COUNTER] = "counter", [STATSD_GAUGE] = "gauge", [STATSD_TIMER] = "timer",
        [STATSD_SET] = "set",         [STATSD_TOTAL] = "total",
    };
    append_labels(&metric, out);
    buffer_append_format(out, " %s ", types[metric.type]);
    if (metric.type == STATSD_SET) {
        buffer_append_slice(out, metric.member);
    } else {
        const char *comma = "";
        do {
            buffer_append_format(out, "%s%s%.15g", comma, metric.is_delta ? "~" : "", metric.value);
            comma = ",";
        } while (statsd_cut_value(&metric));
    }
    if (metric.weight > 1)
        buffer_append_format(out, " x%.12g", metric.weight);
    if (metric.time_s)
        buffer_append_format(out, " @%lld", (long long)metric.time_s);
}

static void append_field(struct buffer *out, const char *name, struct slice value)
{
    if (value.len)
        buffer_append_format(out, " %s=" SLICE_FMT, name, SLICE_ARG(value));
}

/* event "title" "text" alert, or check "name" status, then the fields that are set. */
static void describe_notice(enum statsd_reject kind, struct slice line, struct buffer *out)
{
    struct statsd_notice notice;
    bool event = kind == STATSD_EVENT;
    enum statsd_reject reject =
        event ? statsd_parse_event(line, &notice) : statsd_parse_check(line, &notice);
    if (reject != STATSD_ACCEPTED) {
        buffer_append_string(out, statsd_reject_names[reject]);
        return;
    }
    if (event)
        buffer_append_format(out, "event \"" SLICE_FMT "\" \"" SLICE_FMT "\" %s",
                             SLICE_ARG(notice.title), SLICE_ARG(notice.text),
                             statsd_alert_names[notice.alert]);
    else
        buffer_append_format(out, "check \"" SLICE_FMT "\" \"" SLICE_FMT "\" %s",
                             SLICE_ARG(notice.name), SLICE_ARG(notice.text),
                             statsd_status_names[notice.status]);
    buffer_append_string(out, notice.low_priority ? " low" : "");
    append_field(out, "host", notice.host);
    append_field(out, "key", notice.key);
    append_field(out, "source", notice.source);
    append_field(out, "tags", notice.tags);
    if (notice.time_s)
        buffer_append_format(out, " @%lld", (long long)notice.time_s);
}

/* All segments of a line, " + " between them. */
static void describe(enum statsd_dialect dialect, struct slice line, struct buffer *out)
{
    const struct statsd_profile *profile = &statsd_profiles[dialect];
    struct statsd_metric metric;
    enum statsd_reject reject = statsd_parse(profile, line, &metric);
    buffer_reset(out);
    for (;;) {
        if (reject == STATSD_ACCEPTED)
            describe_metric(metric, out);
        else if (reject >= STATSD_REJECT_COUNT)
            describe_notice(reject, line, out);
        else
            buffer_append_string(out, statsd_reject_names[reject]);
        if (metric.segments.len == 0)
            return;
        buffer_append_string(out, " + ");
        reject = statsd_next_segment(profile, &metric);
    }
}

/* \t, \\ and \xNN stand for a byte. */
static struct slice unescape(struct slice text, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] != '\\') {
            out[len++] = text.at[i];
            continue;
        }
        assert_true(i + 1 < text.len);
        char kind = text.at[++i];
        if (kind == 'x') {
            char digits[3] = {text.at[i + 1], text.at[i + 2], 0};
            out[len++] = (char)strtol(digits, NULL, 16);
            i += 2;
        } else {
            out[len++] = (char)(kind == 't' ? '\t' : kind);
        }
    }
    return slice_make(out, len);
}

/* The dialects named before the colon, as bits. */
static unsigned dialects_of(struct slice names)
{
    unsigned bits = 0;
    if (slice_equal(names, SLICE("all")))
        return (1u << STATSD_DIALECT_COUNT) - 1;
    while (names.len) {
        struct slice name;
        unsigned before = bits;
        slice_cut(&names, ' ', &name);
        for (unsigned i = 0; i < STATSD_DIALECT_COUNT; i++)
            if (slice_equal_string(name, statsd_profiles[i].name))
                bits |= 1u << i;
        assert_true(bits != before);
    }
    return bits;
}

static void check_row(unsigned dialects, struct slice line, struct slice meaning)
{
    struct buffer got;
    buffer_init(&got, TEXT_MAX);
    for (unsigned i = 0; i < STATSD_DIALECT_COUNT; i++) {
        if (!(dialects >> i & 1))
            continue;
        describe(i, line, &got);
        if (!slice_equal(buffer_slice(&got), meaning))
            fail_msg("%s: " SLICE_FMT ": got `" SLICE_FMT "`, want `" SLICE_FMT "`",
                     statsd_profiles[i].name, SLICE_ARG(line), SLICE_ARG(buffer_slice(&got)),
                     SLICE_ARG(meaning));
    }
    buffer_release(&got);
}

/* See the head of the file for its form. */
static void lines_say_what_the_table_says(void **state)
{
    (void)state;
    const unsigned all = (1u << STATSD_DIALECT_COUNT) - 1;
    struct arena arena;
    struct slice text, row, line = {NULL, 0};
    struct error err = {0};
    static char raw[TEXT_MAX];
    unsigned seen = all;
    int count = 0;
    arena_init(&arena, 1 << 20);
    if (file_read(LINES_FILE, 1 << 20, &arena, &text, &err))
        fail_msg("%s", err.text);
    while (text.len) {
        slice_cut(&text, '\n', &row);
        if (row.len == 0 || slice_starts_with(row, SLICE("# ")))
            continue;
        if (!slice_starts_with(row, SLICE("    "))) {
            assert_int_equal(seen, all); /* every line says something of every profile */
            line = unescape(row, raw);
            seen = 0;
            count++;
            continue;
        }
        struct slice names, meaning = slice_skip(row, 4);
        assert_true(slice_cut(&meaning, ':', &names));
        unsigned dialects = dialects_of(names);
        assert_int_equal(seen & dialects, 0);
        seen |= dialects;
        check_row(dialects, line, slice_skip(meaning, 1));
    }
    assert_int_equal(seen, all);
    assert_true(count >= LINES_MIN);
    arena_release(&arena);
}

/* --- the rest --- */

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
        assert_int_equal(
            statsd_parse(&statsd_profiles[STATSD_UNION], slice_make(line, (size_t)len), &metric),
            table[i].reject);
    }
}

static void ignored_fields_are_told(void **state)
{
    (void)state;
    struct statsd_metric metric;
    assert_int_equal(
        statsd_parse(&statsd_profiles[STATSD_UNION], SLICE("a:1|ms|c:x|T1|e:y|card:low"), &metric),
        STATSD_ACCEPTED);
    assert_int_equal(metric.ignored, 1 << STATSD_IGNORED_CONTAINER | 1 << STATSD_IGNORED_TIMESTAMP |
                                         1 << STATSD_IGNORED_EXTERNAL |
                                         1 << STATSD_IGNORED_CARDINALITY);
    assert_int_equal(statsd_parse(&statsd_profiles[STATSD_UNION], SLICE("a:1|c|new"), &metric),
                     STATSD_ACCEPTED);
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
        assert_true(statsd_labels((struct statsd_name){.head = table[i].name}, table[i].tags,
                                  &arena, &labels));
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
    assert_true(statsd_labels((struct statsd_name){.head = SLICE("a")}, buffer_slice(&tags), &arena,
                              &labels));
    assert_int_equal(labels.count, LABELS_MAX - 1);
    buffer_append_string(&tags, ",one:more");
    assert_false(statsd_labels((struct statsd_name){.head = SLICE("a")}, buffer_slice(&tags),
                               &arena, &labels));
    buffer_release(&tags);
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_say_what_the_table_says),
        cmocka_unit_test(lengths_are_bounded),
        cmocka_unit_test(ignored_fields_are_told),
        cmocka_unit_test(datagrams_split_into_lines),
        cmocka_unit_test(tags_become_labels),
        cmocka_unit_test(labels_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
