/* mapping: the table of what rules make of names, the mistakes in a file with their places, and the
 * trie against a walk through the rules one after the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/ingest/mapped.h"

static struct mapping *load(const char *text)
{
    struct mapping *mapping = NULL;
    struct error err = {0};
    if (mapping_parse(slice_of_string(text), "map.yaml", &mapping, &err))
        fail_msg("%s", err.text);
    return mapping;
}

static void print_labels(const struct mapping *mapping, uint16_t number,
                         const struct statsd_metric *metric, struct buffer *out)
{
    struct arena arena;
    struct labels labels;
    arena_init(&arena, 1 << 16);
    struct statsd_name name = statsd_split_name(metric->dialect, metric->name);
    if (mapped_at(mapping, number) && mapped_at(mapping, number)->drop)
        buffer_append_string(out, "drop");
    else if (mapped_labels(mapped_at(mapping, number), name, metric->tags, &arena, &labels))
        labels_print(labels, out);
    else
        buffer_append_string(out, "too much");
    arena_release(&arena);
}

/* The line as the mapping has it: name{labels}, "drop" or "too much". */
static void becomes(const struct mapping *mapping, const char *line, const char *expected)
{
    struct statsd_metric metric;
    struct buffer text;
    buffer_init(&text, 1 << 16);
    assert_int_equal(statsd_parse(&statsd_profiles[STATSD_UNION], slice_of_string(line), &metric),
                     0);
    print_labels(mapping, mapped_rule(mapping, &metric), &metric, &text);
    buffer_append_char(&text, '\0');
    if (strcmp(text.at, expected) != 0)
        fail_msg("%s: %s, not %s", line, text.at, expected);
    buffer_release(&text);
}

static const char rules_text[] =
    "defaults: {ttl: 1m20s, match_type: glob}\n"
    "mappings:\n"
    "- match: test.dispatcher.*.*.*\n"
    "  name: dispatcher_events_total\n"
    "  labels: {processor: $1, action: $2, outcome: $3, job: test_dispatcher}\n"
    "- match: \"*.signup.*.*\"\n"
    "  name: signup_events_total\n"
    "  labels: {provider: $2, outcome: \"${3}\", job: \"${1}_server\"}\n"
    "- {match: test.*.*.counter, name: \"${2}_total\", labels: {provider: \"$1\"}}\n"
    "- {match: only.counter, match_metric_type: counter, name: counted}\n"
    "- {match: only.timer, match_metric_type: timer, name: timed, ttl: 0}\n"
    "- {match: only.observer, match_metric_type: observer, name: observed}\n"
    "- {match: only.set, match_metric_type: set, name: members}\n"
    "- {match: only.gauge, match_metric_type: gauge, name: level, scale: 0.001}\n"
    "- {match: noisy.*, action: drop}\n"
    "- {match: noisy.kept, name: never_reached}\n"
    "- {match: keep.*, name: kept, labels: {env: rule, who: $1}, honor_labels: true}\n"
    "- {match: take.*, name: taken, labels: {env: rule, who: $1}}\n"
    "- {match: odd.*, name: odd, labels: {none: $2, cost: \"5$\", self: \"$0\", open: \"${1\"}}\n"
    "- {match: bare.*, name: $1}\n"
    "- {match: '^web\\.(\\w+)\\.(?P<code>\\d+)$', match_type: regex, name: 'web_${1}_total',\n"
    "   labels: {code: '${code}', class: '$2'}}\n"
    "- {match: '\\.internal\\.', match_type: regex, action: drop}\n";

static void test_rules(void **state)
{
    (void)state;
    struct mapping *mapping = load(rules_text);
    static const char *const cases[][2] = {
        {"test.dispatcher.Foo.send.success:1|c",
         "dispatcher_events_total{action=\"send\", job=\"test_dispatcher\", outcome=\"success\", "
         "processor=\"Foo\"}"},
        {"shop.signup.facebook.failure:1|c",
         "signup_events_total{job=\"shop_server\", outcome=\"failure\", provider=\"facebook\"}"},
        {"test.signup.a.b:1|c",
         "signup_events_total{job=\"test_server\", outcome=\"b\", provider=\"a\"}"},
        {"test.a.b.counter:1|c", "b_total{provider=\"a\"}"},
        {"test.a..counter:1|c", "_total{provider=\"a\"}"}, /* a field may be empty */
        {"test.dispatcher.Foo.send:1|c", "test.dispatcher.Foo.send{}"},
        {"test.dispatcher.Foo.send.success.x:1|c", "test.dispatcher.Foo.send.success.x{}"},
        {"plain:1|c|#a:b", "plain{a=\"b\"}"},
        {"only.counter:1|c", "counted{}"},
        {"only.counter:1|m", "counted{}"},
        {"only.counter:1|C", "counted{}"},
        {"only.counter:1|g", "only.counter{}"},
        {"only.counter:1|ms", "only.counter{}"},
        {"only.timer:1|h", "timed{}"},
        {"only.timer:1|c", "only.timer{}"},
        {"only.observer:1|d", "observed{}"},
        {"only.set:1|s", "members{}"},
        {"only.set:1|c", "only.set{}"},
        {"only.gauge:1|g", "level{}"},
        {"noisy.x:1|c", "drop"},
        {"noisy.kept:1|c", "drop"},
        {"keep.me:1|c|#env:line,zone:z", "kept{env=\"line\", who=\"me\", zone=\"z\"}"},
        {"take.me:1|c|#env:line,zone:z", "taken{env=\"rule\", who=\"me\", zone=\"z\"}"},
        {"take.me,zone=n,env=n:1|c", "taken{env=\"rule\", who=\"me\", zone=\"n\"}"},
        {"take[zone=n].me:1|c", "taken{env=\"rule\", who=\"me\", zone=\"n\"}"},
        {"take.a b:1|c", "taken{env=\"rule\", who=\"a_b\"}"}, /* as it is stored */
        {"odd.x:1|c", "odd{cost=\"5$\", open=\"${1\"}"},
        {"bare.x:1|c", "x{}"},
        {"bare.:1|c", "bare.{}"},
        {"web.get.404:1|c", "web_get_total{class=\"404\", code=\"404\"}"},
        {"web.get.x:1|c", "web.get.x{}"},
        {"a.internal.b:1|c", "drop"},
        {"bare.internal:1|c", "internal{}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        becomes(mapping, cases[i][0], cases[i][1]);
    assert_int_equal(mapping->rules[0].ttl_ms, 80000);
    assert_int_equal(mapping->rules[4].ttl_ms, 0);
    assert_int_equal(mapping->unused, 0);
    mapping_free(mapping);
    becomes(NULL, "take.me:1|c", "take.me{}");
}

static void test_globs_come_before_regular_expressions(void **state)
{
    (void)state;
    struct mapping *mapping = load("mappings:\n"
                                   "- {match: ., match_type: regex, action: drop, name: dropped}\n"
                                   "- {match: a.*, name: a}\n"
                                   "- {match: a, name: one_field}\n");
    becomes(mapping, "a.b:1|c", "a{}");
    becomes(mapping, "a:1|c", "one_field{}");
    becomes(mapping, "b:1|c", "drop");
    mapping_free(mapping);
}

static void test_order(void **state)
{
    (void)state;
    const char *rules = "- {match: a.*.*, name: first}\n"
                        "- {match: a.b.*, name: second}\n"
                        "- {match: a.b.c, name: third}\n"
                        "- {match: a.*.d, name: fourth}\n";
    char text[512];
    for (int unordered = 0; unordered < 2; unordered++) {
        snprintf(text, sizeof text, "mappings:\n%sdefaults: {glob_disable_ordering: %s}\n", rules,
                 unordered ? "true" : "false");
        struct mapping *mapping = load(text);
        becomes(mapping, "a.b.c:1|c", unordered ? "third{}" : "first{}");
        becomes(mapping, "a.b.d:1|c", unordered ? "second{}" : "first{}");
        becomes(mapping, "a.x.d:1|c", unordered ? "fourth{}" : "first{}");
        becomes(mapping, "a.x.y:1|c", "first{}");
        mapping_free(mapping);
    }
}

/* --- mistakes --- */

static void test_mistakes(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"mapings: []", "map.yaml:1:1: unknown key \"mapings\"; did you mean \"mappings\"?"},
        {"mappings:\n- match: a.b\n  nam: x",
         "map.yaml:3:3: unknown key \"nam\"; did you mean \"name\"?"},
        {"defaults: {match_typ: glob}", "map.yaml:1:12: unknown key \"match_typ\""},
        {"defaults: {match_type: globe}", "map.yaml:1:24: expected glob or regex"},
        {"mappings:\n- {name: x}", "map.yaml:2:3: this rule has no match"},
        {"mappings:\n- {match: a.b}", "map.yaml:2:3: this rule has no name"},
        {"mappings:\n- {match: a.b*, name: x}", "map.yaml:2:11: in a glob, what stands"},
        {"mappings:\n- {match: ., name: x}", "map.yaml:2:11: in a glob, what stands"},
        {"mappings:\n- {match: a b.c, name: x}", "map.yaml:2:11: no name has whitespace"},
        {"mappings:\n- {match: a.b, name: x y}", "map.yaml:2:3: the name of this rule has white"},
        {"mappings:\n- {match: 'a(', match_type: regex, name: x}", "map.yaml:2:11: "},
        {"mappings:\n- {match: a.b, name: x, labels: {0a: b}}", "map.yaml:2:34: \"0a\" is no name"},
        {"mappings:\n- {match: a.b, name: x, labels: {__name__: b}}",
         "map.yaml:2:34: \"__name__\""},
        {"mappings:\n- {match: a.b, name: x, ttl: soon}", "map.yaml:2:30: expected a duration"},
        {"mappings:\n- {match: a.b, name: x, scale: 0}", "map.yaml:2:32: expected a number above"},
        {"mappings:\n- {match: a.b, name: x, action: keep}", "map.yaml:2:33: expected map or drop"},
        {"mappings:\n- {match: a.b, name: x, honor_labels: 1}", "map.yaml:2:39: expected true or"},
        {"mappings:\n- {match: a.b, name: x, match_metric_type: x}",
         "map.yaml:2:44: expected coun"},
        {"mappings:\n- {match: a.b, name: x, observer_type: x}", "map.yaml:2:40: expected summary"},
        {"mappings:\n- {match: a.b, name: x, buckets: 3}", "map.yaml:2:34: expected a list"},
        {"mappings:\n- {match: a.b, name: x, summary_options: {quantile: []}}",
         "map.yaml:2:43: unknown key \"quantile\"; did you mean \"quantiles\"?"},
        {"mappings: 3", "map.yaml:1:11: expected a list here"},
        {"mappings:\n- {match: *.b, name: x}", "map.yaml:2:"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mapping *mapping = NULL;
        struct error err = {0};
        if (mapping_parse(slice_of_string(cases[i][0]), "map.yaml", &mapping, &err) == 0)
            fail_msg("%s: accepted", cases[i][0]);
        if (strncmp(err.text, cases[i][1], strlen(cases[i][1])) != 0)
            fail_msg("%s: %s, not %s", cases[i][0], err.text, cases[i][1]);
    }
}

static void test_what_has_no_effect(void **state)
{
    (void)state;
    static const struct {
        const char *keys;
        enum mapping_unused noted;
    } cases[] = {
        {"observer_type: histogram", MAPPING_UNUSED_OBSERVER_TYPE},
        {"timer_type: summary", MAPPING_UNUSED_OBSERVER_TYPE},
        {"buckets: [1, 2]", MAPPING_UNUSED_BUCKETS},
        {"histogram_options: {buckets: [1]}", MAPPING_UNUSED_BUCKETS},
        {"histogram_options: {native_histogram_bucket_factor: 1.1}", MAPPING_UNUSED_BUCKETS},
        {"quantiles: [{quantile: 0.99, error: 0.001}]", MAPPING_UNUSED_QUANTILES},
        {"summary_options: {quantiles: [], max_age: 30s, age_buckets: 3, buf_cap: 9}",
         MAPPING_UNUSED_QUANTILES},
    };
    char text[256];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(text, sizeof text, "defaults: {%s}", cases[i].keys);
        struct mapping *mapping = load(text);
        assert_int_equal(mapping->unused, 1u << cases[i].noted);
        mapping_free(mapping);
        snprintf(text, sizeof text, "mappings: [{match: a.b, name: x, help: h, %s}]",
                 cases[i].keys);
        mapping = load(text);
        assert_int_equal(mapping->unused, 1u << cases[i].noted | 1u << MAPPING_UNUSED_HELP);
        assert_int_equal(mapping->count, 1);
        mapping_free(mapping);
    }
    struct mapping *empty = load("");
    becomes(empty, "a.b:1|c", "a.b{}");
    mapping_free(empty);
}

static void test_what_is_too_much(void **state)
{
    (void)state;
    struct buffer text, line;
    buffer_init(&text, 1 << 16);
    buffer_init(&line, 1 << 16);
    buffer_append_string(&text, "mappings:\n- {match: a.*, name: b, labels: {own: x}}\n"
                                "- {match: long.*, name: c, labels: {l: \"");
    for (int i = 0; i < 100; i++)
        buffer_append_string(&text, "$1");
    buffer_append_string(&text, "\"}}\n");
    buffer_append_char(&text, '\0');
    struct mapping *mapping = load(text.at);
    buffer_append_string(&line, "a.x:1|c|#");
    for (int i = 0; i < LABELS_MAX - 2; i++)
        buffer_append_format(&line, "k%d:v,", i);
    buffer_append_char(&line, '\0');
    becomes(mapping, line.at, "too much");
    buffer_reset(&line);
    buffer_append_string(&line, "long.");
    for (int i = 0; i < 100; i++)
        buffer_append_char(&line, 'y');
    buffer_append_format(&line, ":1|c");
    buffer_append_char(&line, '\0');
    becomes(mapping, line.at, "too much");
    mapping_free(mapping);
    buffer_release(&text);
    buffer_release(&line);
}

/* --- the trie --- */

#define RULES  40
#define ROUNDS 300
#define NAMES  60

/* Dotted, of few letters, so that rules overlap; one in three fields is a star where allowed. */
static struct slice random_dotted(char *at, bool stars)
{
    size_t len = 0, fields = 1 + (size_t)(rand() % 5);
    for (size_t i = 0; i < fields; i++) {
        if (i)
            at[len++] = '.';
        at[len++] = (char)(stars && rand() % 3 == 0 ? '*' : 'a' + rand() % 3);
    }
    return slice_make(at, len);
}

/* A star counts as later than a letter at the first field where two globs differ. */
static bool is_more_literal(struct slice a, struct slice b)
{
    size_t i = 0;
    while (i < a.len && i < b.len && a.at[i] == b.at[i])
        i++;
    return i < a.len && i < b.len && b.at[i] == '*';
}

static uint32_t find_naively(const struct mapping *mapping, struct slice name, unsigned type)
{
    uint32_t best = 0;
    for (uint32_t i = 0; i < mapping->count; i++) {
        const struct mapping_rule *rule = &mapping->rules[i];
        if (!(rule->types >> type & 1) || !mapping_glob_matches(rule->match, name))
            continue;
        if (!best ||
            (mapping->unordered && is_more_literal(rule->match, mapping->rules[best - 1].match)))
            best = i + 1;
    }
    return best;
}

static void test_trie_finds_what_a_walk_finds(void **state)
{
    (void)state;
    char texts[RULES][16], given[16];
    size_t found = 0;
    srand(7);
    for (int round = 0; round < ROUNDS; round++) {
        struct mapping *mapping = mapping_new();
        mapping->unordered = round % 2;
        for (int i = 0; i < RULES; i++) {
            struct mapping_rule rule = {.match = random_dotted(texts[i], true),
                                        .name = SLICE("x"),
                                        .types = 1u + (unsigned)rand() % MAPPING_ANY_TYPE,
                                        .scale = 1};
            mapping_add(mapping, &rule);
        }
        for (int i = 0; i < NAMES; i++) {
            struct slice name = random_dotted(given, false);
            enum mapping_type type = (enum mapping_type)(rand() % MAPPING_TYPE_COUNT);
            uint32_t expected = find_naively(mapping, name, type);
            assert_int_equal(mapping_find(mapping, name, type), expected);
            found += expected != 0;
        }
        mapping_free(mapping);
    }
    assert_in_range(found, ROUNDS * NAMES / 4, ROUNDS * NAMES - ROUNDS);
}

static void test_many_overlapping_rules_end(void **state)
{
    (void)state;
    char text[MAPPING_FIELDS_MAX * 2];
    struct mapping *mapping = mapping_new();
    for (uint32_t i = 0; i < 4096; i++) { /* all patterns of 12 fields, each a or * */
        size_t len = 0;
        for (int bit = 0; bit < 12; bit++) {
            text[len++] = i >> bit & 1 ? '*' : 'a';
            text[len++] = '.';
        }
        text[len++] = 'z';
        struct mapping_rule rule = {.match = arena_copy(&mapping->arena, slice_make(text, len)),
                                    .name = SLICE("x"),
                                    .types = MAPPING_ANY_TYPE};
        mapping_add(mapping, &rule);
    }
    struct slice deep = SLICE("a.a.a.a.a.a.a.a.a.a.a.a.z"),
                 none = SLICE("a.a.a.a.a.a.a.a.a.a.a.a.y");
    assert_int_equal(mapping_find(mapping, deep, MAPPING_GAUGE), 1);
    assert_int_equal(mapping_find(mapping, none, MAPPING_GAUGE), 0);
    mapping_free(mapping);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_globs_come_before_regular_expressions),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_what_has_no_effect),
        cmocka_unit_test(test_what_is_too_much),
        cmocka_unit_test(test_trie_finds_what_a_walk_finds),
        cmocka_unit_test(test_many_overlapping_rules_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
