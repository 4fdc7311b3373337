/* statsd_fault: the caret is under the byte that is wrong, for every reason; and inside the line, whatever it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/wire/statsd_fault.h"
#include "server/wire/statsd_notice.h"

/* The first part that is refused, as server/api/statsd_explain.c finds it; SIZE_MAX: none is. */
static size_t fault_of(enum statsd_dialect dialect, struct slice line)
{
    const struct statsd_profile *profile = &statsd_profiles[dialect];
    struct statsd_metric metric;
    struct statsd_notice notice;
    struct slice segment = line, name;
    enum statsd_reject reject = statsd_parse(profile, line, &metric);
    if (!slice_cut(&segment, ':', &name))
        segment = (struct slice){NULL, 0};
    if (reject >= STATSD_REJECT_COUNT) {
        segment = (struct slice){NULL, 0};
        reject = reject == STATSD_EVENT ? statsd_parse_event(line, &notice)
                                        : statsd_parse_check(line, &notice);
    } else {
        while (reject == STATSD_ACCEPTED && metric.segments.len) {
            segment = metric.segments;
            reject = statsd_next_segment(profile, &metric);
        }
    }
    assert_non_null(statsd_fault_text(reject));
    return reject == STATSD_ACCEPTED ? SIZE_MAX : statsd_fault(profile, line, segment, reject);
}

static void the_caret_is_under_the_fault(void **state)
{
    (void)state;
    static const struct {
        enum statsd_dialect dialect;
        const char *line, *caret;
    } cases[] = {
        {STATSD_UNION, "gorets", "      ^"},
        {STATSD_UNION, ":1|c", "^"},
        {STATSD_UNION, "a:1", "   ^"},
        {STATSD_UNION, "a:1|", "    ^"},
        {STATSD_UNION, "a:1|zz", "    ^"},
        {STATSD_ETSY, "a:1|h", "    ^"},
        {STATSD_UNION, "a:1x|c", "   ^"},
        {STATSD_UNION, "a:x|c", "  ^"},
        {STATSD_UNION, "a:|c", "  ^"},
        {STATSD_UNION, "a:1:2:3q4:5|c|#t:u", "       ^"},
        {STATSD_UNION, "a:1:nan|g", "    ^"},
        {STATSD_UNION, "a:-1|C", "  ^"},
        {STATSD_UNION, "a:1|c|#t:v|@2", "            ^"},
        {STATSD_UNION, "a:1|c|@0.5|@x", "            ^"},
        {STATSD_UNION, "a:1|c|T12x", "       ^"},
        {STATSD_ETSY, "a:1:2|c", "   ^"},
        {STATSD_UNION, "a:1|c:2|zz", "        ^"},
        {STATSD_UNION, "a:1|c|@0.1:2x|ms", "            ^"},
        {STATSD_ETSY, "a:1|c|@7:2|ms", "       ^"},
        {STATSD_UNION, "_e{5,9}:title|text", "   ^"},
        {STATSD_UNION, "_e{5,4}title", "       ^"},
        {STATSD_UNION, "_e{0,4}:|text", "   ^"},
        {STATSD_UNION, "_sc|db|7", "       ^"},
        {STATSD_UNION, "_sc||0", "    ^"},
        {STATSD_UNION, "_sc|db|0|d:x", "           ^"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t at = fault_of(cases[i].dialect, slice_of_string(cases[i].line));
        if (at != strlen(cases[i].caret) - 1)
            fail_msg("\n%s\n%s expected, not %zu", cases[i].line, cases[i].caret, at);
    }
}

static void limits_are_where_they_are_passed(void **state)
{
    (void)state;
    char line[6000];
    memset(line, 'n', sizeof line);
    memcpy(line + 1000, ":1|c", 4);
    assert_int_equal(fault_of(STATSD_UNION, slice_make(line, 1004)), STATSD_NAME_MAX);
    memset(line, 't', sizeof line);
    memcpy(line, "a:1|c|#", 7);
    assert_int_equal(fault_of(STATSD_UNION, slice_make(line, sizeof line)), 7 + STATSD_TAGS_MAX);
    memset(line, 'n', sizeof line);
    memcpy(line, "_sc|", 4);
    memcpy(line + 1000, "|0", 2);
    assert_int_equal(fault_of(STATSD_UNION, slice_make(line, 1002)), 4 + STATSD_NAME_MAX);
}

/* Any line made of the pieces that matter. */
static void it_is_inside_any_line(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "a",       ":",    "1", "|", "c",   "ms", "@", "0.1",  "#",  "k:v", ",",     "T1",
        "_e{1,1}", "_sc|", "C", "-", "nan", "g",  "s", "\xff", "d:", "h:",  "1e999", "x"};
    const size_t piece_count = sizeof pieces / sizeof pieces[0];
    size_t refused = 0;
    srand(3);
    for (size_t round = 0; round < 200000; round++) {
        char line[128] = "";
        size_t len = 0;
        for (int i = rand() % 12; i >= 0; i--)
            len += (size_t)snprintf(line + len, sizeof line - len, "%s",
                                    pieces[(size_t)rand() % piece_count]);
        size_t at =
            fault_of((enum statsd_dialect)(round % STATSD_DIALECT_COUNT), slice_make(line, len));
        assert_true(at == SIZE_MAX || at <= len);
        refused += at != SIZE_MAX;
    }
    assert_true(refused > 100000 && refused < 200000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_caret_is_under_the_fault),
        cmocka_unit_test(limits_are_where_they_are_passed),
        cmocka_unit_test(it_is_inside_any_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
