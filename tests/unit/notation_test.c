/* notation: what an item stands for, what is refused and where, and histograms in both directions. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "query/notation.h"
#include "storage/base/number.h"
#include "storage/store.h"

static void print(const struct notation_samples *samples, struct buffer *out)
{
    for (size_t i = 0; i < samples->count; i++) {
        const struct notation_sample *s = &samples->at[i];
        if (i)
            buffer_append_char(out, ' ');
        if (s->kind == NOTATION_GAP)
            buffer_append_char(out, '_');
        else if (s->kind == NOTATION_HISTOGRAM)
            notation_print_histogram(s->histogram, out);
        else if (is_stale_nan(s->value))
            buffer_append_string(out, "stale");
        else
            number_print(s->value, NUMBER_TEXT, out);
    }
    buffer_append_char(out, 0);
}

static void reads(const char *text, const char *expected)
{
    struct arena arena;
    struct error err = {0};
    struct notation_samples samples;
    struct buffer out;
    arena_init(&arena, 16 << 20);
    buffer_init(&out, 1 << 20);
    if (notation_samples(slice_of_string(text), &arena, &samples, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    print(&samples, &out);
    assert_string_equal(out.at, expected);
    buffer_release(&out);
    arena_release(&arena);
}

static void refuses(const char *text, const char *why)
{
    struct arena arena;
    struct error err = {0};
    struct notation_samples samples;
    arena_init(&arena, 64 << 20);
    if (notation_samples(slice_of_string(text), &arena, &samples, &err) == 0)
        fail_msg("%s was taken", text);
    if (!strstr(err.text, why))
        fail_msg("%s: %s, expected %s", text, err.text, why);
    arena_release(&arena);
}

static void numbers(void **state)
{
    (void)state;
    reads("", "");
    reads("1 -2 +3 1.5e3 NaN Inf -Inf .5", "1 -2 3 1500 NaN +Inf -Inf 0.5");
    reads("0+10x3", "0 10 20 30");
    reads("5-1x3 7", "5 4 3 2 7");
    reads("-2-2x2", "-2 -4 -6");
    reads("1--1x2", "1 2 3");
    reads("4x2", "4 4 4");
    reads("4x0", "4");
    reads("1e2x1 0x2", "100 100 0 0 0");
    reads("1e1+1e1x1", "10 20");
    reads("  _ _x2\t1\n_x0 2 ", "_ _ _ 1 2");
    reads("1 stale 2", "1 stale 2");
    reads("0.1+0.1x2", "0.1 0.2 0.30000000000000004");
    reads("NaNx1 Inf-1x1", "NaN NaN +Inf +Inf");
}

static void histograms(void **state)
{
    (void)state;
    reads("{{}}", "{{}}");
    reads("{{schema:3 sum:5 count:4 buckets:[1 2 1] offset:1}}",
          "{{schema:3 count:4 sum:5 offset:1 buckets:[1 2 1]}}");
    reads("{{n_offset:-2 n_buckets:[1 0 2] z_bucket:3 z_bucket_w:0.5 counter_reset_hint:gauge}}",
          "{{z_bucket:3 z_bucket_w:0.5 n_offset:-2 n_buckets:[1 0 2]}}");
    reads("{{ schema:-1   count:0.5 buckets:[ 0 0.5 0 ] }} 1",
          "{{schema:-1 count:0.5 offset:1 buckets:[0.5]}} 1");
    reads("{{count:1 buckets:[1]}}+{{count:2 buckets:[1 1]}}x2",
          "{{count:1 buckets:[1]}} {{count:3 buckets:[2 1]}} {{count:5 buckets:[3 2]}}");
    reads("{{count:4 buckets:[4]}}-{{count:1 buckets:[1]}}x1",
          "{{count:4 buckets:[4]}} {{count:3 buckets:[3]}}");
    reads("{{buckets:[1]}}x1", "{{buckets:[1]}} {{buckets:[1]}}");
    reads("{{sum:NaN}} {{sum:-Inf}}", "{{sum:NaN}} {{sum:-Inf}}");
}

static void refusals(void **state)
{
    (void)state;
    refuses("1 a 3", "1:3: parse error: unexpected \"a\" in series values, expected number or "
                     "\"stale\"");
    refuses("1\n2 3y", "2:4:");
    refuses("1+", "unexpected end");
    refuses("1+2", "how many times");
    refuses("1+2x", "how many times");
    refuses("1x-1", "how many times");
    refuses("_y", "expected a space");
    refuses("stalex", "how many times");
    refuses("1+{{}}x2", "expected the like");
    refuses("{{}}+1x2", "expected the like");
    refuses("0x1000000", "makes too many samples");
    refuses("_x1000000 1", "makes too many samples");
    refuses("_x99999999999999999999", "how many times");
    refuses("{{schema:9}}", "between -4 and 8");
    refuses("{{schema:0.5}}", "between -4 and 8");
    refuses("{{schema:-53 custom_values:[1]}}", "custom_values");
    refuses("{{buckets:1}}", "expected [");
    refuses("{{buckets:[1", "expected a count or ]");
    refuses("{{color:1}}", "expected a key");
    refuses("{{count:}}", "expected a number");
    refuses("{{offset:1e9}}", "offset is out of range");
    refuses("{{counter_reset_hint:maybe}}", "not_reset");
    refuses("{{", "expected a key");
    refuses("1.2.3", "in series values");
}

static void series(const char *text, size_t length, const char *expected)
{
    struct arena arena;
    struct error err = {0};
    struct labels labels;
    struct buffer out;
    size_t len = notation_series_length(slice_of_string(text));
    arena_init(&arena, 1 << 20);
    buffer_init(&out, 1 << 16);
    assert_int_equal(len, length);
    if (notation_labels(slice_make(text, len), &arena, &labels, &err) < 0)
        buffer_append_string(&out, err.text);
    else
        labels_print(labels, &out);
    buffer_append_char(&out, 0);
    assert_string_equal(out.at, expected);
    buffer_release(&out);
    arena_release(&arena);
}

static void names(void **state)
{
    (void)state;
    series("up 1 2", 2, "up{}");
    series("  up{job=\"a\"} 1", 13, "up{job=\"a\"}");
    series("job:x:sum{b=\"}\",a='x y'} 1", 24, "job:x:sum{a=\"x y\", b=\"}\"}");
    series("{\"a b\",c=\"\\\"\"} 1", 14, "a b{c=\"\\\"\"}");
    series("{ } 1", 3, "{}");
    series("{a=\"b\",__name__=\"c\"}", 20, "c{a=\"b\"}");
    series("", 0, "{}");
    series("x{a!=\"b\"} 1", 9, "1:1: parse error: a series has labels with =, not with !=");
    series("x{a=\"b\",a=\"c\"} 1", 14, "1:1: parse error: label \"a\" is there twice");
    series("x{", 2, "1:3: parse error: unexpected end of input inside braces");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),
        cmocka_unit_test(histograms),
        cmocka_unit_test(refusals),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
