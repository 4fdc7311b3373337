/* postings: selectors and listings against a filter over plain label sets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "storage/index/postings.h"

#define SERIES 500

static struct labels all[SERIES]; /* count 0: removed or never there */
static uint32_t ids_of[SERIES];   /* in the store */
static struct arena arena;

static struct slice pick(const char *const *from, size_t count)
{
    return slice_of_string(from[(size_t)lrand48() % count]);
}

/* Random sets over few names and values, some of them rare; every series differs by its "id". */
static void make_labels(uint32_t id)
{
    static const char *const jobs[] = {"api", "web", "batch", "a.c", "abc"};
    static const char *const environments[] = {"prod", "staging"};
    struct label pairs[5];
    size_t count = 0;
    if (lrand48() % 10)
        pairs[count++] = (struct label){SLICE("env"), pick(environments, 2)};
    pairs[count++] = (struct label){SLICE("id"), arena_format(&arena, "%u", id)};
    if (lrand48() % 3)
        pairs[count++] = (struct label){SLICE("job"), pick(jobs, 5)};
    /* about as many as fit into the array of a few */
    pairs[count++] = (struct label){SLICE("rack"), arena_format(&arena, "%u", id % 15)};
    if (lrand48() % 40 == 0)
        pairs[count++] = (struct label){SLICE("rare"), SLICE("x")};
    all[id] = labels_copy(&arena, (struct labels){pairs, count});
}

/* --- series and their postings, as a store has them --- */

struct fixture {
    struct series series;
    struct postings postings;
};

static void open_fixture(struct fixture *fixture)
{
    series_init(&fixture->series, SIZE_MAX);
    postings_init(&fixture->postings, &fixture->series);
}

static void close_fixture(struct fixture *fixture)
{
    postings_release(&fixture->postings);
    series_release(&fixture->series);
}

static uint32_t add_series(struct fixture *fixture, struct labels labels)
{
    struct buffer bytes;
    uint32_t id;
    buffer_init(&bytes, SIZE_MAX);
    labels_encode(labels, &bytes);
    assert_true(series_add(&fixture->series, buffer_slice(&bytes), SERIES_GAUGE, &id));
    postings_add(&fixture->postings, id, labels);
    buffer_release(&bytes);
    return id;
}

static void remove_series(struct fixture *fixture, uint32_t id, struct labels labels)
{
    postings_remove(&fixture->postings, id, labels);
    series_remove(&fixture->series, id);
}

static bool nothing_happens(void *arg)
{
    (void)arg;
    return true;
}

static void assert_selects(const struct postings *postings, const struct matcher *matchers,
                           size_t count)
{
    struct postings_pause pause = {nothing_happens, NULL};
    roaring_bitmap_t *got = lrand48() % 2
                                ? postings_select(postings, matchers, count)
                                : postings_select_pausing(postings, matchers, count, &pause);
    uint64_t wanted = 0;
    for (uint32_t id = 0; id < SERIES; id++) {
        bool want = all[id].count && matchers_accept(matchers, count, all[id]);
        if (all[id].count && roaring_bitmap_contains(got, ids_of[id]) != want)
            fail_msg("series %u: %s\"%.*s\"", id, matcher_operator(matchers[0].type),
                     SLICE_ARG(matchers[0].value));
        wanted += want;
    }
    assert_int_equal(roaring_bitmap_get_cardinality(got), wanted);
    roaring_bitmap_free(got);
}

static const char *const names[] = {"job", "env", "id", "rare", "absent", "rack"};
static const char *const plain[] = {"", "api", "prod", "x", "7", "a.c", "nothing"};
static const char *const patterns[] = {
    "",        "api",     "api|web", "api|",   ".*",       ".+",       "a.c",     "a\\.c",
    "[a-b].*", "1.*",     "x?",      "prod|",  "(a|b)",    "(?i)PROD", "|",       "3|4|5",
    "^api$",   "ap.*",    "ap.+",    "abc.+",  "web",      "we?b",     "a\\.c.*", "a.*h",
    "pro[dx]", "1[0-9]*", "bat+ch",  "a\\w.*", "b{1}atch", "ab.*c"};

static struct matcher random_matcher(void)
{
    struct matcher matcher;
    struct error err = {0};
    enum matcher_type type = (enum matcher_type)(lrand48() % 4);
    bool regex = type == MATCH_REGEX || type == MATCH_NOT_REGEX;
    struct slice value = regex ? pick(patterns, sizeof patterns / sizeof *patterns)
                               : pick(plain, sizeof plain / sizeof *plain);
    if (matcher_init(&matcher, type, pick(names, 6), value, &err))
        fail_msg("%s", err.text);
    return matcher;
}

static void strike(void *arg, struct slice text)
{
    assert_true(table_remove(arg, text, NULL)); /* expected, and only once */
}

static void assert_listing(const struct postings *postings)
{
    struct matcher matcher = random_matcher();
    roaring_bitmap_t *ids = postings_select(postings, &matcher, 1);
    for (size_t n = 0; n < 5; n++) {
        struct slice name = slice_of_string(names[n]);
        struct table want;
        table_init(&want, 1000);
        for (uint32_t id = 0; id < SERIES; id++) {
            bool fresh;
            struct slice value = labels_get(all[id], name);
            if (value.len && roaring_bitmap_contains(ids, ids_of[id]))
                assert_non_null(table_insert(&want, value, &fresh));
        }
        struct postings_listing listing = {.text = strike, .arg = &want};
        postings_values(postings, name, ids, &listing);
        assert_int_equal(want.count, 0);
        table_release(&want);
    }
    roaring_bitmap_free(ids);
    matcher_release(&matcher);
}

static void selects_what_a_filter_selects(void **state)
{
    (void)state;
    struct fixture fixture;
    arena_init(&arena, (size_t)1 << 26);
    open_fixture(&fixture);
    for (int round = 0; round < 4000; round++) {
        uint32_t id = (uint32_t)lrand48() % SERIES;
        if (all[id].count) {
            if (lrand48() % 3 == 0) {
                remove_series(&fixture, ids_of[id], all[id]);
                all[id].count = 0;
            }
        } else {
            make_labels(id);
            ids_of[id] = add_series(&fixture, all[id]);
        }
        if (round % 4)
            continue;
        struct matcher matchers[3] = {random_matcher(), random_matcher(), random_matcher()};
        assert_selects(&fixture.postings, matchers, 1 + (size_t)(lrand48() % 3));
        for (int i = 0; i < 3; i++)
            matcher_release(&matchers[i]);
        assert_listing(&fixture.postings);
    }
    for (uint32_t id = 0; id < SERIES; id++)
        if (all[id].count)
            remove_series(&fixture, ids_of[id], all[id]);
    assert_int_equal(fixture.postings.names.count, 0);
    assert_true(roaring_bitmap_is_empty(fixture.postings.all));
    close_fixture(&fixture);
    arena_release(&arena);
}

/* --- pauses --- */

#define MANY 40000

/* A writer that makes and forgets series of its own in each pause. */
struct meddler {
    struct fixture *fixture;
    uint32_t next, forgotten;
    int pauses;
};

static uint32_t sharing = 1; /* series that have the same host */

static bool is_odd(uint32_t id)
{
    return id / sharing % 2;
}

struct host {
    char text[24], id[12];
    struct label pairs[2];
};

static struct labels host_of(struct host *host, const char *kind, uint32_t id)
{
    snprintf(host->text, sizeof host->text, "%s-%u", kind, id / sharing);
    snprintf(host->id, sizeof host->id, "%u", id);
    host->pairs[0] = (struct label){SLICE("host"), slice_of_string(host->text)};
    host->pairs[1] = (struct label){SLICE("id"), slice_of_string(host->id)};
    return (struct labels){host->pairs, 2};
}

static void add_host(struct fixture *fixture, uint32_t id, const char *kind)
{
    struct host host;
    assert_int_equal(add_series(fixture, host_of(&host, kind, id)), id);
}

static void add_hosts(struct fixture *fixture, const char *even, const char *odd)
{
    open_fixture(fixture);
    for (uint32_t id = 0; id < MANY; id++)
        add_host(fixture, id, is_odd(id) ? odd : even);
}

static bool meddle(void *arg)
{
    struct meddler *meddler = arg;
    meddler->pauses++;
    for (int i = 0; i < 3000; i++)
        add_host(meddler->fixture, meddler->next++, "new");
    for (int i = 0; i < 100; i++) { /* among the first, of which every second matches */
        struct host host;
        uint32_t id = meddler->forgotten++;
        remove_series(meddler->fixture, id, host_of(&host, is_odd(id) ? "odd" : "even", id));
    }
    return true;
}

static bool pause_once(void *arg)
{
    ++*(int *)arg;
    return false;
}

static void selecting_ends_when_nobody_waits(void **state)
{
    (void)state;
    struct fixture fixture;
    struct matcher matcher;
    struct error err = {0};
    int pauses = 0;
    add_hosts(&fixture, "odd", "odd");
    assert_int_equal(matcher_init(&matcher, MATCH_REGEX, SLICE("host"), SLICE("od[d]-.*"), &err),
                     0);
    struct postings_pause pause = {pause_once, &pauses};
    roaring_bitmap_t *ids = postings_select_pausing(&fixture.postings, &matcher, 1, &pause);
    assert_int_equal(pauses, 1);
    assert_true(roaring_bitmap_get_cardinality(ids) < MANY);
    roaring_bitmap_free(ids);
    matcher_release(&matcher);
    close_fixture(&fixture);
}

static void assert_selects_in_pauses(void)
{
    struct fixture fixture;
    struct matcher matcher;
    struct error err = {0};
    add_hosts(&fixture, "even", "odd");
    assert_int_equal(matcher_init(&matcher, MATCH_REGEX, SLICE("host"), SLICE("ev[e]n-.*"), &err),
                     0);
    struct meddler meddler = {&fixture, MANY, 0, 0};
    struct postings_pause pause = {meddle, &meddler};
    roaring_bitmap_t *ids = postings_select_pausing(&fixture.postings, &matcher, 1, &pause);
    assert_true(meddler.pauses > 0);
    for (uint32_t id = 0; id < meddler.next; id++)
        assert_int_equal(roaring_bitmap_contains(ids, id),
                         id >= meddler.forgotten && id < MANY && !is_odd(id));
    roaring_bitmap_free(ids);
    matcher_release(&matcher);
    close_fixture(&fixture);
}

/* Where each series has a host of its own, and where several share one, which are looked at by value. */
static void selecting_lets_the_writer_in(void **state)
{
    (void)state;
    assert_selects_in_pauses();
    sharing = 4;
    assert_selects_in_pauses();
    sharing = 1;
}

/* --- listing --- */

struct listed {
    struct table values;
    int again;
};

static void take_value(void *arg, struct slice text)
{
    bool fresh;
    assert_non_null(table_insert(&((struct listed *)arg)->values, text, &fresh));
    assert_true(fresh);
}

static void forget_values(void *arg)
{
    struct listed *listed = arg;
    table_release(&listed->values);
    table_init(&listed->values, SIZE_MAX);
    listed->again++;
}

static bool grow(void *arg)
{
    struct meddler *meddler = arg;
    meddler->pauses++;
    for (int i = 0; i < 300; i++)
        add_host(meddler->fixture, meddler->next++, "new");
    return true;
}

/* What was there all the time is listed, and nothing twice, whatever comes and goes in the pauses. */
static void assert_listed(bool (*change)(void *arg), bool moves)
{
    struct fixture fixture;
    struct listed listed = {.again = 0};
    add_hosts(&fixture, "even", "odd");
    table_init(&listed.values, SIZE_MAX);
    struct meddler meddler = {&fixture, MANY, 0, 0};
    struct postings_pause pause = {change, &meddler};
    struct postings_listing listing = {take_value, forget_values, &listed, &pause};
    postings_values(&fixture.postings, SLICE("host"), NULL, &listing);
    assert_true(meddler.pauses > 0);
    assert_int_equal(listed.again > 0, moves);
    for (uint32_t id = meddler.forgotten; id < MANY; id++) {
        char text[24];
        snprintf(text, sizeof text, "%s-%u", id % 2 ? "odd" : "even", id);
        assert_non_null(table_find(&listed.values, slice_of_string(text)));
    }
    table_release(&listed.values);
    close_fixture(&fixture);
}

static void listing_lets_the_writer_in(void **state)
{
    (void)state;
    assert_listed(grow, false);
    assert_listed(meddle, true);
}

static void listing_ends_when_nobody_waits(void **state)
{
    (void)state;
    struct fixture fixture;
    struct listed listed = {.again = 0};
    int pauses = 0;
    add_hosts(&fixture, "odd", "odd");
    table_init(&listed.values, SIZE_MAX);
    struct postings_pause pause = {pause_once, &pauses};
    struct postings_listing listing = {take_value, forget_values, &listed, &pause};
    postings_values(&fixture.postings, SLICE("host"), NULL, &listing);
    assert_int_equal(pauses, 1);
    assert_true(listed.values.count < MANY);
    table_release(&listed.values);
    close_fixture(&fixture);
}

#define NAMES 1000

static struct labels name_labels(uint32_t number, struct label *pair, char text[24])
{
    snprintf(text, 24, "n%u", number);
    *pair = (struct label){slice_of_string(text), SLICE("v")};
    return (struct labels){pair, 1};
}

static void add_names(struct fixture *fixture)
{
    open_fixture(fixture);
    for (uint32_t i = 0; i < NAMES; i++) {
        char text[24];
        struct label pair;
        assert_int_equal(add_series(fixture, name_labels(i, &pair, text)), i);
    }
}

static bool forget_a_name(void *arg)
{
    struct meddler *meddler = arg;
    char text[24];
    struct label pair;
    uint32_t number = meddler->forgotten++;
    meddler->pauses++;
    remove_series(meddler->fixture, number, name_labels(number, &pair, text));
    return true;
}

static bool leave_names(void *arg)
{
    ((struct meddler *)arg)->pauses++;
    return true;
}

/* As for values: names that go move others, and the run begins anew. */
static void listing_names_lets_the_writer_in(void **state)
{
    static bool (*const changes[])(void *arg) = {forget_a_name, leave_names};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct fixture fixture;
        struct listed listed = {.again = 0};
        struct meddler meddler = {&fixture, NAMES, 0, 0};
        struct postings_pause pause = {changes[i], &meddler};
        struct postings_listing listing = {take_value, forget_values, &listed, &pause};
        add_names(&fixture);
        table_init(&listed.values, SIZE_MAX);
        postings_names(&fixture.postings, NULL, &listing);
        assert_true(meddler.pauses > 0);
        assert_int_equal(listed.again > 0, changes[i] == forget_a_name);
        assert_int_equal(listed.values.count, NAMES - meddler.forgotten);
        table_release(&listed.values);
        close_fixture(&fixture);
    }
}

static void listing_names_ends_when_nobody_waits(void **state)
{
    (void)state;
    struct fixture fixture;
    struct listed listed = {.again = 0};
    int pauses = 0;
    struct postings_pause pause = {pause_once, &pauses};
    struct postings_listing listing = {take_value, forget_values, &listed, &pause};
    add_names(&fixture);
    table_init(&listed.values, SIZE_MAX);
    postings_names(&fixture.postings, NULL, &listing);
    assert_int_equal(pauses, 1);
    assert_true(listed.values.count < NAMES);
    table_release(&listed.values);
    close_fixture(&fixture);
}

int main(void)
{
    srand48(4);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(selecting_lets_the_writer_in),
        cmocka_unit_test(selecting_ends_when_nobody_waits),
        cmocka_unit_test(listing_lets_the_writer_in),
        cmocka_unit_test(listing_ends_when_nobody_waits),
        cmocka_unit_test(listing_names_lets_the_writer_in),
        cmocka_unit_test(listing_names_ends_when_nobody_waits),
        cmocka_unit_test(selects_what_a_filter_selects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
