/* fingerprint: what makes two events one issue and what keeps them apart; parameterised messages;
 * titles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/ingest/fingerprint.h"
#include "server/ingest/parameterise.h"

struct print {
    uint8_t hash[FINGERPRINT_SIZE];
    char parts[4096];
    char title[512];
    char culprit[512];
};

static void copy_out(struct buffer *from, char *to, size_t size)
{
    snprintf(to, size, SLICE_FMT, SLICE_ARG(buffer_slice(from)));
    buffer_reset(from);
}

static struct print print_of(const char *json, const char *project)
{
    struct json_parser *parser = json_parser_new(EVENT_BYTES_MAX);
    struct arena arena;
    struct error_event event;
    enum sentry_drop drop;
    struct buffer text;
    struct print print;
    arena_init(&arena, 8 << 20);
    buffer_init(&text, FINGERPRINT_PARTS_MAX);
    assert_int_equal(error_event_parse(slice_of_string(json), parser, &arena, &event, &drop), 0);
    fingerprint_of(&event, slice_of_string(project), &text, print.hash);
    copy_out(&text, print.parts, sizeof print.parts);
    error_event_title(&event, &text);
    copy_out(&text, print.title, sizeof print.title);
    error_event_culprit(&event, &text);
    copy_out(&text, print.culprit, sizeof print.culprit);
    buffer_release(&text);
    arena_release(&arena);
    json_parser_free(parser);
    return print;
}

static void compare(const char *a, const char *b, bool equal)
{
    struct print one = print_of(a, "web"), two = print_of(b, "web");
    bool same = memcmp(one.hash, two.hash, FINGERPRINT_SIZE) == 0;
    if (same != equal)
        fail_msg("%s:\n%s\n--\n%s", equal ? "differ" : "are one", one.parts, two.parts);
}

#define FRAME(file, function, line)                                                                \
    "{\"filename\":\"" file "\",\"function\":\"" function                                          \
    "\",\"in_app\":true,\"context_line\":\"" line "\"}"
#define ERROR(platform, type, value, frames)                                                       \
    "{\"platform\":\"" platform "\",\"exception\":{\"values\":[{\"type\":\"" type                  \
    "\",\"value\":\"" value "\",\"stacktrace\":{\"frames\":[" frames "]}}]}}"
#define MESSAGE(text) "{\"message\":\"" text "\"}"

static void groups_what_is_one_problem(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        /* The value does not count when there is a stack, nor do line numbers. */
        {ERROR("node", "E", "user 1", FRAME("/a/app.js", "f", "x()")),
         ERROR("node", "E", "nobody", FRAME("/a/app.js", "f", "x()"))},
        {ERROR("node", "E", "", "{\"filename\":\"a.js\",\"function\":\"f\",\"lineno\":1}"),
         ERROR("node", "E", "", "{\"filename\":\"a.js\",\"function\":\"f\",\"lineno\":9}")},
        /* Directories, build hashes, spaces. */
        {ERROR("node", "E", "", FRAME("/srv/1/app.js", "f", "x()")),
         ERROR("node", "E", "", FRAME("/srv/2/app.js", "f", "x()"))},
        {ERROR("node", "E", "", FRAME("/s/main-8f3a9b2c.js", "f", "x()")),
         ERROR("node", "E", "", FRAME("/s/main-00ffee11aa.js", "f", "x()"))},
        {ERROR("node", "E", "", FRAME("/s/8f3a9b2c11.js", "f", "x()")),
         ERROR("node", "E", "", FRAME("/s/00ffee11aa.js", "f", "x()"))},
        {ERROR("node", "E", "", FRAME("a.js", "f", "a  =  b")),
         ERROR("node", "E", "", FRAME("a.js", "f", " a = b "))},
        /* Recursion of any depth. */
        {ERROR("node", "E", "", FRAME("a.js", "f", "x()")),
         ERROR("node", "E", "", FRAME("a.js", "f", "x()") "," FRAME("a.js", "f", "x()"))},
        /* Receivers and anonymous functions. */
        {ERROR("node", "E", "", FRAME("a.js", "Object.f", "x()")),
         ERROR("node", "E", "", FRAME("a.js", "Module.f", "x()"))},
        {ERROR("node", "E", "", FRAME("a.js", "Server.<anonymous>", "x()")),
         ERROR("node", "E", "", FRAME("a.js", "?", "x()"))},
        {ERROR("java", "E", "", FRAME("A.java", "lambda$run$0", "")),
         ERROR("java", "E", "", FRAME("A.java", "lambda$run$17", ""))},
        /* Frames of libraries do not count beside those of the application. */
        {ERROR("node", "E", "", FRAME("a.js", "f", "x()")),
         ERROR(
             "node", "E", "",
             FRAME(
                 "a.js", "f",
                 "x()") ",{\"filename\":\"/n/node_modules/pg/client.js\",\"function\":\"query\"}")},
        /* Without a stack the parameterised value counts. */
        {ERROR("node", "E", "user 12 of bob@example.com", ""),
         ERROR("node", "E", "user 7 of alice@example.org", "")},
        {MESSAGE("user 12 failed"), MESSAGE("user 13 failed")},
        {"{\"logentry\":{\"message\":\"user %s\",\"formatted\":\"user bob\"}}",
         "{\"logentry\":{\"message\":\"user %s\",\"formatted\":\"user alice\"}}"},
        /* A message whose stack the SDK made up is a message. */
        {"{\"message\":\"m 1\",\"exception\":{\"values\":[{\"value\":\"m 1\",\"mechanism\":"
         "{\"synthetic\":true},\"stacktrace\":{\"frames\":[{\"function\":\"a\"}]}}]}}",
         MESSAGE("m 2")},
        /* Equal members of a chain count once. */
        {"{\"exception\":[{\"type\":\"A\",\"value\":\"1\"},{\"type\":\"A\",\"value\":\"2\"}]}",
         "{\"exception\":[{\"type\":\"A\",\"value\":\"3\"}]}"},
        /* {{ default }} alone is no fingerprint. */
        {"{\"message\":\"m\",\"fingerprint\":[\"{{ default }}\"]}", MESSAGE("m")},
        {"{\"message\":\"m\",\"fingerprint\":[\"{{default}}\"]}", MESSAGE("m")},
        {"{\"message\":\"m\",\"fingerprint\":[]}", MESSAGE("m")},
        {"{\"message\":\"a\",\"fingerprint\":[\"x\"]}",
         "{\"message\":\"b\",\"fingerprint\":[\"x\"]}"},
        {"{\"message\":\"a\",\"tags\":{\"k\":\"v\"},\"fingerprint\":[\"{{ tags.k }}\"]}",
         "{\"message\":\"b\",\"tags\":[[\"k\",\"v\"]],\"fingerprint\":[\"{{tags.k}}\"]}"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        compare(pairs[i][0], pairs[i][1], true);
}

static void separates_different_problems(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {ERROR("node", "A", "", FRAME("a.js", "f", "x()")),
         ERROR("node", "B", "", FRAME("a.js", "f", "x()"))},
        {ERROR("node", "E", "", FRAME("a.js", "f", "x()")),
         ERROR("node", "E", "", FRAME("a.js", "g", "x()"))},
        {ERROR("node", "E", "", FRAME("a.js", "f", "x()")),
         ERROR("node", "E", "", FRAME("b.js", "f", "x()"))},
        {ERROR("node", "E", "", FRAME("a.js", "f", "x()")),
         ERROR("node", "E", "", FRAME("a.js", "f", "y()"))},
        {ERROR("node", "E", "one thing", ""), ERROR("node", "E", "another thing", "")},
        {ERROR("node", "E", "(reading 'foo')", ""), ERROR("node", "E", "(reading 'bar')", "")},
        {MESSAGE("a"), MESSAGE("b")},
        {"{\"message\":\"a\",\"logger\":\"x\"}", "{\"message\":\"a\",\"logger\":\"y\"}"},
        {"{\"exception\":[{\"type\":\"In1\"},{\"type\":\"Out\"}]}",
         "{\"exception\":[{\"type\":\"In2\"},{\"type\":\"Out\"}]}"},
        {"{\"message\":\"a\",\"fingerprint\":[\"{{ default }}\",\"x\"]}",
         "{\"message\":\"a\",\"fingerprint\":[\"{{ default }}\",\"y\"]}"},
        {"{\"message\":\"a\",\"fingerprint\":[\"{{ default }}\",\"x\"]}",
         "{\"message\":\"b\",\"fingerprint\":[\"{{ default }}\",\"x\"]}"},
        {"{\"message\":\"a\",\"fingerprint\":[\"{{ message }}\"]}",
         "{\"message\":\"b\",\"fingerprint\":[\"{{ message }}\"]}"},
        /* Parts do not run into each other. */
        {"{\"fingerprint\":[\"ab\",\"c\"]}", "{\"fingerprint\":[\"a\",\"bc\"]}"},
        /* "default" without braces is a literal, as Sentry has it. */
        {"{\"message\":\"a\",\"fingerprint\":[\"default\"]}", MESSAGE("a")},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        compare(pairs[i][0], pairs[i][1], false);
    struct print one = print_of(MESSAGE("a"), "web"), two = print_of(MESSAGE("a"), "api");
    assert_memory_not_equal(one.hash, two.hash, FINGERPRINT_SIZE);
}

static void explains_itself(void **state)
{
    (void)state;
    struct print print = print_of(
        ERROR("node", "TypeError", "v", FRAME("/srv/App-8f3a9b2c.js", "Object.total", "a  + b")),
        "web");
    assert_string_equal(print.parts, "project:3:web\nrules:2:v1\ntype:9:TypeError\n"
                                     "frame:18:app.js|total|a + b\n");
}

static void replaces_values(void **state)
{
    (void)state;
    static const struct {
        const char *text, *becomes;
    } cases[] = {
        {"user 42 failed", "user <int> failed"},
        {"user -42", "user <int>"},
        {"user-42", "user-<int>"},
        {"took 1.5 of 3e7", "took <float> of <float>"},
        {"waited 30s, 1.5ms and 2 days", "waited <duration>, <duration> and <int> days"},
        {"mail bob.smith+x@example.co.uk now", "mail <email> now"},
        {"release netpost@1.2.3", "release netpost@<float>.<int>"},
        {"GET https://x.io/a?b=1 failed", "GET <url> failed"},
        {"(https://x.io/a)", "(<url>)"},
        {"id 9ec79c33-ec99-42ab-8353-589fcb2e04dc", "id <uuid>"},
        {"at 0x1f4A", "at <hex>"},
        {"wallet 0x52908400098527886E0F7030069857D2E4169EE7", "wallet <hex>"},
        {"sha 9ec79c33ec9942ab8353589fcb2e04dc", "sha <hex>"},
        {"sha 9ec79c3", "sha <hex>"},
        {"deadbeef", "deadbeef"},
        {"12345678", "<int>"},
        {"10.0.0.7:8080 refused", "<ip> refused"},
        {"connect ECONNREFUSED ::1:5432", "connect ECONNREFUSED <ip>"},
        {"fe80::1ff:fe23:4567:890a", "<ip>"},
        {"2001:db8:0:0:0:0:2:1", "<ip>"},
        {"at 2026-11-21T18:04:37.690Z", "at <date>"},
        {"at 2026-11-21 18:04:37+02:00", "at <date>"},
        {"on 2026/11/21", "on <date>"},
        {"at 18:04:37", "at <date>"},
        {"app.js:10:30", "app.js:<int>:<int>"},
        {"utf8 user_42 v2 3rd 12abc", "utf8 user_42 v2 3rd 12abc"},
        {"amount='12'", "amount='<int>'"},
        {"reading 'foo'", "reading 'foo'"},
        {"\n\n one 1 \n\n two 2 \nthree 3", "one <int>\ntwo <int>"},
        {"", ""},
        {"  ", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer out;
        buffer_init(&out, 4096);
        parameterise(slice_of_string(cases[i].text), &out);
        if (!slice_equal_string(buffer_slice(&out), cases[i].becomes))
            fail_msg("\"%s\" became \"" SLICE_FMT "\"", cases[i].text,
                     SLICE_ARG(buffer_slice(&out)));
        buffer_release(&out);
    }
}

/* Whatever numbers fill a template, the answer is that of the template. */
static void ignores_the_numbers_of_a_template(void **state)
{
    (void)state;
    srand(7);
    for (int i = 0; i < 2000; i++) {
        char text[2][128];
        struct buffer out[2];
        for (int k = 0; k < 2; k++) {
            snprintf(text[k], sizeof text[k], "order %d of user-%u at 10.%d.%d.%d: %d.%03d in %dms",
                     rand() - rand(), (unsigned)rand(), rand() % 256, rand() % 256, rand() % 256,
                     rand(), rand() % 1000, rand());
            buffer_init(&out[k], 4096);
            parameterise(slice_of_string(text[k]), &out[k]);
        }
        if (!slice_equal(buffer_slice(&out[0]), buffer_slice(&out[1])))
            fail_msg("%s | %s", text[0], text[1]);
        buffer_release(&out[0]);
        buffer_release(&out[1]);
    }
}

static void titles_and_culprits(void **state)
{
    (void)state;
    static const struct {
        const char *event, *title, *culprit;
    } cases[] = {
        {ERROR("node", "TypeError", "no foo\\nmore", FRAME("/s/a.js", "f", "x()")),
         "TypeError: no foo", "f (a.js)"},
        {"{\"exception\":{\"type\":\"E\"},\"transaction\":\"GET /x\"}", "E", "GET /x"},
        {"{\"exception\":[{\"type\":\"In\",\"value\":\"i\"},{\"type\":\"Out\",\"value\":\"o\"}]}",
         "Out: o", ""},
        {MESSAGE("user 12 failed"), "user 12 failed", ""},
        {"{\"exception\":{\"value\":\"only\"}}", "only", ""},
        {"{}", "(no message)", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct print print = print_of(cases[i].event, "web");
        assert_string_equal(print.title, cases[i].title);
        assert_string_equal(print.culprit, cases[i].culprit);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_what_is_one_problem),
        cmocka_unit_test(separates_different_problems),
        cmocka_unit_test(explains_itself),
        cmocka_unit_test(replaces_values),
        cmocka_unit_test(ignores_the_numbers_of_a_template),
        cmocka_unit_test(titles_and_culprits),
    };
    return cmocka_run_group_tests_name("fingerprint", tests, NULL, NULL);
}
