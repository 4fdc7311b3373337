/* template: what stands in annotations, and what is refused when the rule file is read. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/alert/template.h"

static const struct label pairs[] = {
    {SLICE_LIT("__name__"), SLICE_LIT("api.errors")},
    {SLICE_LIT("instance"), SLICE_LIT("web-1")},
    {SLICE_LIT("size"), SLICE_LIT("2048")},
    {SLICE_LIT("x.y"), SLICE_LIT("dotted")},
};

static const struct label external[] = {{SLICE_LIT("dc"), SLICE_LIT("east")}};

static struct arena arena;

static void expands(double value, const char *text, const char *want)
{
    struct template_data data = {{pairs, 4}, value, {external, 1}, SLICE("http://here")};
    arena_reset(&arena);
    struct slice got = template_expand(slice_of_string(text), &data, &arena);
    if (!slice_equal_string(got, want))
        fail_msg("%s -> \"" SLICE_FMT "\", expected \"%s\"", text, SLICE_ARG(got), want);
}

/* Such an action also leaves its error in place when it is expanded. */
static void refuses(const char *text, const char *part)
{
    struct error err = {0};
    assert_int_equal(template_check(slice_of_string(text), &err), -1);
    if (!strstr(err.text, part))
        fail_msg("%s: \"%s\" lacks \"%s\"", text, err.text, part);
    struct template_data data = {{pairs, 4}, 1, {NULL, 0}, SLICE("")};
    arena_reset(&arena);
    struct slice got = template_expand(slice_of_string(text), &data, &arena);
    assert_true(slice_find(got, SLICE("<error expanding template: ")) < got.len);
}

static void values_and_labels(void **state)
{
    (void)state;
    expands(1, "plain", "plain");
    expands(0.5, "{{ $value }}", "0.5");
    expands(1, "{{ $externalLabels.dc }} {{ .ExternalLabels.x }}{{ .ExternalURL }}",
            "east http://here");
    expands(1, "{{ $externalURL }}/{{ index $externalLabels \"dc\" }}", "http://here/east");
    expands(7, "{{.Value}} on {{ .Labels.instance }}", "7 on web-1");
    expands(1234567, "{{ $value }}", "1.234567e+06");
    expands(NAN, "{{ $value }}", "NaN");
    expands(-INFINITY, "{{ $value }}", "-Inf");
    expands(1, "{{ $labels.instance }}!{{ $labels.missing }}!", "web-1!!");
    expands(1, "{{ index $labels \"x.y\" }}", "dotted");
    expands(1, "{{ $labels }}", "map[__name__:api.errors instance:web-1 size:2048 x.y:dotted]");
    expands(1, "a {{- \" b \" -}} c", "a b c");
    expands(1, "a{{/* nothing */}}b", "ab");
    expands(1, "{{ \"}}\" }}{{ `\\n` }}{{ \"\\\"\" }}", "}}\\n\"");
}

static void functions(void **state)
{
    (void)state;
    expands(1234567, "{{ $value | humanize }}", "1.235M");
    expands(0.00123, "{{ humanize $value }}", "1.23m");
    expands(0, "{{ humanize $value }}", "0");
    expands(1, "{{ $labels.size | humanize1024 }}", "2ki");
    expands(0.4567, "{{ $value | humanizePercentage }}", "45.67%");
    expands(3725, "{{ $value | humanizeDuration }}", "1h 2m 5s");
    expands(-90061, "{{ $value | humanizeDuration }}", "-1d 1h 1m 1s");
    expands(59.5, "{{ $value | humanizeDuration }}", "59.5s");
    expands(0.0025, "{{ $value | humanizeDuration }}", "2.5ms");
    expands(0, "{{ $value | humanizeDuration }}", "0s");
    expands(-3.5, "{{ $value | humanizeTimestamp }}", "1969-12-31 23:59:56.5 +0000 UTC");
    expands(1234567, "{{ $value | humanize1024 }}", "1.177Mi");
    expands(1435065584.128, "{{ $value | humanizeTimestamp }}",
            "2015-06-23 13:19:44.128 +0000 UTC");
    expands(1, "{{ $labels.instance | toUpper | toLower | printf \"%s!\" }}", "web-1!");
    expands(1, "{{ toUpper (printf \"%s-x\" $labels.instance) }}", "WEB-1-X");
}

static void printf_verbs(void **state)
{
    (void)state;
    expands(3.14159, "{{ printf \"%.2f\" $value }}", "3.14");
    expands(3.14159, "{{ $value | printf \"%.2f\" }}", "3.14");
    expands(42, "{{ printf \"%d%% of %s\" $value $labels.instance }}", "42% of web-1");
    expands(42, "{{ printf \"[%6.1f|%-6v|%06.1f|%+d]\" $value $value $value $value }}",
            "[  42.0|42    |0042.0|+42]");
    expands(-1.5, "{{ printf \"%05.1f %v %x\" $value $value 255 }}", "-01.5 -1.5 ff");
    expands(1e6, "{{ printf \"%g %e %.3g\" $value $value $value }}", "1e+06 1.000000e+06 1e+06");
    expands(1, "{{ printf \"%q %.3s\" $labels.instance $labels.instance }}", "\"web-1\" web");
    expands(1, "{{ printf \"%.1f\" $labels.size }}", "2048.0");
    expands(1, "{{ printf \"no verbs\" }}", "no verbs");
}

static void errors_stay_in_place(void **state)
{
    (void)state;
    expands(2, "{{ humanize $labels.instance }} and {{ $value }}",
            "<error expanding template: \"web-1\" is not a number> and 2");
    expands(2, "{{ printf \"%d\" }}",
            "<error expanding template: printf has more verbs than arguments>");
    expands(2, "{{ printf \"%n\" $value }}",
            "<error expanding template: printf knows the verbs v s d f e g q x and %%, not %n>");
}

static void bad_templates_are_refused(void **state)
{
    (void)state;
    struct error err = {0};
    assert_int_equal(template_check(SLICE("{{ humanize $labels.instance }}"), &err), 0);
    refuses("{{ $valeu }}", "only $value, $labels");
    refuses("x {{ $value", "there is no }}");
    refuses("{{ query \"up\" }}", "function \"query\" is not known here; there are humanize");
    refuses("{{ if $value }}x{{ end }}", "function \"if\" is not known");
    refuses("{{ humanize }}", "humanize takes 1 to 1 arguments, not 0");
    refuses("{{ humanize 1 2 }}", "humanize takes 1 to 1 arguments, not 2");
    refuses("{{ }}", "expected a value");
    refuses("{{ (1 }}", "closing parenthesis");
    refuses("{{ ((((((((((((((((((1 }}", "nested too deeply");
    refuses("{{ 1 1 }}", "expected | or the end");
    refuses("{{ 1 | 2 }}", "expected a function after |");
    refuses("{{ $labels. }}", "a label name is missing");
    refuses("{{ \"x }}", "there is no }}");
    refuses("{{ printf \"\" 1 2 3 4 5 6 7 8 }}", "too many arguments");
}

static void output_is_bounded(void **state)
{
    (void)state;
    char text[4 * TEMPLATE_OUTPUT_MAX];
    for (size_t i = 0; i + 11 <= sizeof text; i += 11)
        memcpy(text + i, "{{`abcde`}}", 11);
    struct template_data data = {{pairs, 4}, 1, {NULL, 0}, SLICE("")};
    arena_reset(&arena);
    struct slice got = template_expand(slice_make(text, sizeof text / 11 * 11), &data, &arena);
    assert_true(got.len <= TEMPLATE_OUTPUT_MAX && got.len > TEMPLATE_OUTPUT_MAX - 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_labels),
        cmocka_unit_test(functions),
        cmocka_unit_test(printf_verbs),
        cmocka_unit_test(errors_stay_in_place),
        cmocka_unit_test(bad_templates_are_refused),
        cmocka_unit_test(output_is_bounded),
    };
    arena_init(&arena, 1 << 20);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_release(&arena);
    return failed;
}
