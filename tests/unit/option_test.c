/* option: every type read, bounded, printed and read back; errors say where and what to write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "storage/base/option.h"

struct sample {
    const char *name;
    int64_t count;
    int64_t wait_ms;
    int64_t size;
    bool on;
    const char *listen;
    int64_t color;
    struct option_list files;
};

#define AT(member) offsetof(struct sample, member)

static const char *const colors[] = {"red", "green", NULL};

static const struct option table[] = {
    {.path = "name", .type = OPTION_STRING, .offset = AT(name), .fallback = "x", .help = "N."},
    {.path = "a.count",
     .type = OPTION_INT,
     .offset = AT(count),
     .fallback = "3",
     .min = 1,
     .max = 9,
     .help = "C."},
    {.path = "a.wait",
     .type = OPTION_DURATION,
     .offset = AT(wait_ms),
     .fallback = "10s",
     .min = 1000,
     .max = 3600000,
     .help = "W."},
    {.path = "a.b.size",
     .type = OPTION_BYTES,
     .offset = AT(size),
     .fallback = "64KiB",
     .min = 1,
     .max = 1 << 30,
     .help = "S."},
    {.path = "a.b.on", .type = OPTION_BOOL, .offset = AT(on), .fallback = "false", .help = "O."},
    {.path = "a.listen",
     .type = OPTION_ADDRESS,
     .offset = AT(listen),
     .fallback = "",
     .help = "L."},
    {.path = "color",
     .type = OPTION_CHOICE,
     .offset = AT(color),
     .fallback = "red",
     .choices = colors,
     .help = "H."},
    {.path = "files", .type = OPTION_LIST, .offset = AT(files), .fallback = "[]", .help = "F."},
};
#define ROWS (sizeof table / sizeof table[0])

static struct arena arena;

static int load(const char *text, struct sample *out, struct error *err)
{
    struct yaml_node *root;
    if (yaml_parse(slice_of_string(text), "f.yaml", &arena, &root, err) != 0)
        return -1;
    struct option_source source = {.map = root, .name = "f.yaml", .arena = &arena};
    return option_load(table, ROWS, &source, out, err);
}

static struct sample accepts(const char *text)
{
    struct sample sample;
    struct error err = {0};
    if (load(text, &sample, &err) != 0)
        fail_msg("%s: %s", text, err.text);
    return sample;
}

static void rejects(const char *text, const char *sentence)
{
    struct sample sample;
    struct error err = {0};
    assert_int_equal(load(text, &sample, &err), -1);
    assert_string_equal(err.text, sentence);
}

static void fallbacks_fill_the_struct(void **state)
{
    (void)state;
    struct sample s = accepts("");
    assert_string_equal(s.name, "x");
    assert_int_equal(s.count, 3);
    assert_int_equal(s.wait_ms, 10000);
    assert_int_equal(s.size, 65536);
    assert_false(s.on);
    assert_string_equal(s.listen, "");
    assert_int_equal(s.color, 0);
    assert_int_equal(s.files.count, 0);
    assert_int_equal(accepts("a:\n").count, 3);
}

static void values_of_each_type(void **state)
{
    (void)state;
    struct sample s = accepts("name: 'n'\ncolor: green\nfiles: [one, \"two\"]\n"
                              "a: { count: 9, wait: 1m30s, listen: '[::1]:0',"
                              " b: { size: 16MiB, on: true } }\n");
    assert_string_equal(s.name, "n");
    assert_int_equal(s.count, 9);
    assert_int_equal(s.wait_ms, 90000);
    assert_int_equal(s.size, 16 << 20);
    assert_true(s.on);
    assert_string_equal(s.listen, "[::1]:0");
    assert_int_equal(s.color, 1);
    assert_int_equal(s.files.count, 2);
    assert_string_equal(s.files.at[1], "two");
    assert_int_equal(accepts("a.b.size: 12").size, 12);
    assert_int_equal(accepts("a.b: {size: 1 KiB}").size, 1024);
}

static void unknown_options_name_the_nearest(void **state)
{
    (void)state;
    rejects("a:\n  cuont: 1\n",
            "f.yaml:2:3: unknown option \"a.cuont\"; did you mean \"a.count\"?");
    rejects("a:\n  b:\n    sizee: 1\n",
            "f.yaml:3:5: unknown option \"a.b.sizee\"; did you mean \"a.b.size\"?");
    rejects("fils: []\n", "f.yaml:1:1: unknown option \"fils\"; did you mean \"files\"?");
    rejects("wait: 1s\n", "f.yaml:1:1: unknown option \"wait\"; did you mean \"a.wait\"?");
    rejects("zzzzzzz: 1\n", "f.yaml:1:1: unknown option \"zzzzzzz\"");
}

static void wrong_values_say_what_is_allowed(void **state)
{
    (void)state;
    rejects("a: {count: 10}",
            "f.yaml:1:12: a.count must be a whole number from 1 to 9, not \"10\"");
    rejects("a: {count: one}",
            "f.yaml:1:12: a.count must be a whole number from 1 to 9, not \"one\"");
    rejects("a: {wait: 10}", "f.yaml:1:11: a.wait must be a duration like 10s or 1h30m from 1s to "
                             "1h, not \"10\"");
    rejects("a: {b: {size: 64KB}}", "f.yaml:1:15: a.b.size must be a size like 64KiB or 16MiB from "
                                    "1 to 1GiB, not \"64KB\"");
    rejects("a: {b: {on: yes}}", "f.yaml:1:13: a.b.on must be true or false, not \"yes\"");
    rejects("a: {listen: 8125}", "f.yaml:1:13: a.listen must be an address like 127.0.0.1:8125, or "
                                 "\"\" for off, not \"8125\"");
    rejects("a: {listen: 'h:65536'}", "f.yaml:1:13: a.listen must be an address like "
                                      "127.0.0.1:8125, or \"\" for off, not \"h:65536\"");
    rejects("color: blue", "f.yaml:1:8: color must be one of red, green, not \"blue\"");
    rejects("files: one", "f.yaml:1:8: files must be a list of texts, not \"one\"");
    rejects("files: [{a: b}]", "f.yaml:1:9: files must be a list of texts, not a map");
    rejects("name: [x]", "f.yaml:1:7: name must be text, not a list");
    rejects("name:\n", "f.yaml:1:1: name has no value; give one, or remove the line for the "
                       "default");
    rejects("a: 3\n", "f.yaml:1:4: a is a section; write its options below it");
    rejects("[a]", "f.yaml:1:1: the file must be a map of options, as in `data_dir: ./data`");
    rejects("a.count: 1\na: {count: 2}", "f.yaml:2:5: a.count is already set in line 1");
}

static void environment_expands(void **state)
{
    (void)state;
    setenv("OPTION_TEST_NAME", "lap", 1);
    setenv("OPTION_TEST_EMPTY", "", 1);
    unsetenv("OPTION_TEST_UNSET");
    assert_string_equal(accepts("name: ${OPTION_TEST_NAME}wing").name, "lapwing");
    assert_string_equal(accepts("name: \"${OPTION_TEST_UNSET:-d}\"").name, "d");
    assert_string_equal(accepts("name: ${OPTION_TEST_EMPTY:-d}").name, "d");
    assert_string_equal(accepts("name: ${OPTION_TEST_EMPTY}").name, "");
    assert_string_equal(accepts("name: a$b $${X} $").name, "a$b ${X} $");
    assert_string_equal(accepts("files: [\"${OPTION_TEST_NAME}\"]").files.at[0], "lap");
    rejects("name: ${OPTION_TEST_UNSET}",
            "f.yaml:1:7: the environment variable OPTION_TEST_UNSET is not set; set it, or give a "
            "default as in ${OPTION_TEST_UNSET:-default}");
    rejects("name: a${b", "f.yaml:1:7: a ${ here has no closing }; write $${ for a plain ${");
}

static void print(const struct sample *sample, struct buffer *out)
{
    buffer_init(out, 1 << 16);
    option_print(table, ROWS, sample, out);
    buffer_append_char(out, 0);
}

static void printing_reads_back(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "name: \"q\\\"\\\\ $${X} $$${Y}\\n\"\nfiles: [\"a b\", 'c,d']\ncolor: green\n",
        "a: { count: 1, wait: 61m1ms, b: { size: 1025, on: true }, listen: 'h:1' }\n"
        "a.b.size: 2GiB",
        "a: { wait: 59m59s999ms, b: { size: 3KiB } }\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct sample sample;
        struct error err;
        struct buffer first, second;
        if (load(texts[i], &sample, &err) != 0)
            continue;
        print(&sample, &first);
        sample = accepts(first.at);
        print(&sample, &second);
        assert_string_equal(first.at, second.at);
        buffer_release(&first);
        buffer_release(&second);
    }
    struct buffer text;
    struct sample sample = accepts("");
    print(&sample, &text);
    assert_string_equal(text.at, "name: \"x\"\na:\n  count: 3\n  wait: 10s\n  b:\n    size: 64KiB\n"
                                 "    on: false\n  listen: \"\"\ncolor: red\nfiles: []\n");
    buffer_release(&text);
}

static void documentation_has_each_row(void **state)
{
    (void)state;
    struct buffer text;
    buffer_init(&text, 1 << 16);
    option_document(table, ROWS, &text);
    buffer_append_char(&text, 0);
    for (size_t i = 0; i < ROWS; i++)
        assert_non_null(strstr(text.at, table[i].path));
    assert_non_null(strstr(text.at, "| `a.count` | `3` | a whole number from 1 to 9 | no | C. |"));
    buffer_release(&text);
}

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 16 << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fallbacks_fill_the_struct, set_up, tear_down),
        cmocka_unit_test_setup_teardown(values_of_each_type, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unknown_options_name_the_nearest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_values_say_what_is_allowed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(environment_expands, set_up, tear_down),
        cmocka_unit_test_setup_teardown(printing_reads_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(documentation_has_each_row, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
