/* intake_table: names come and go by the thousand; those that stay are found, once, in tables that grow and
 * shrink under them. */
#include "tests/unit/registry_fixture.h"

#include "server/ingest/intake_state.h"

#define NAMES  6000
#define ROUNDS 5
#define TICKS                                                                                      \
    80 /* of a round: in 30 idle names may leave, in 16 more the whole table is swept twice */

static int set_up_roomy(void **state)
{
    if (set_up(state))
        return -1;
    struct fixture *fixture = *state;
    close_all(fixture);
    fixture->store_options.series_max = fixture->store_options.series_per_metric_max = NAMES + 1000;
    fixture->options.series_max = NAMES + 1000;
    fixture->options.idle_timeout_ms = 1ll << 40;
    open_all(fixture);
    return 0;
}

static void add_one(struct intake *table, int name)
{
    char line[64];
    struct statsd_metric metric;
    snprintf(line, sizeof line, "name.%d.%d:1|c|#host:x", name % 7, name);
    assert_int_equal(statsd_parse(&statsd_profiles[STATSD_UNION], slice_of_string(line), &metric),
                     STATSD_ACCEPTED);
    intake_add(table, &metric, 1);
}

/* What its neighbours' leaving has made unfindable would be made a second time. */
static void those_that_stay_are_found_when_others_leave(void **state)
{
    struct fixture *fixture = *state;
    const struct intake_options roomy = {
        .entries_max = 100000, .key_bytes_max = 1 << 24, .sketch_bytes_max = 1 << 24};
    struct intake *table = intake_new(&roomy);
    int total = 0;
    char wanted[32];
    srandom(11);
    for (int round = 0; round < ROUNDS; round++) {
        int part = 2 + (int)random() % 6;
        for (int tick = 0; tick < TICKS; tick++) {
            for (int name = 0; name < NAMES; name += tick ? part : 1) {
                add_one(table, name);
                total += name == 0;
            }
            if (tick == 0)
                assert_int_equal(table->count, NAMES);
            assert_true(intake_swap(table));
            intake_fold(table, fixture->registry);
        }
        assert_int_equal(table->count, (NAMES + part - 1) / part);
    }
    flush(fixture, T0);
    snprintf(wanted, sizeof wanted, "-1:0 0:%d", total);
    assert_string_equal(samples(fixture, "name.0.0", "host", "x"), wanted);
    intake_free(table);
}

/* Slots tell 16 bits of a hash; of so many names some share them with a neighbour. */
static void names_whose_hashes_begin_alike_stay_apart(void **state)
{
    (void)state;
    const struct intake_options roomy = {
        .entries_max = 1000000, .key_bytes_max = 1 << 28, .sketch_bytes_max = 1 << 24};
    struct intake *table = intake_new(&roomy);
    for (int again = 0; again < 2; again++)
        for (int name = 0; name < 300000; name++)
            add_one(table, name);
    assert_int_equal(table->count, 300000);
    for (size_t i = 0; i < table->capacity; i++)
        if (table->slots[i].word)
            assert_true(slot_entry(table->slots[i])->cells[0].value == 2);
    intake_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(those_that_stay_are_found_when_others_leave, set_up_roomy,
                                        tear_down),
        cmocka_unit_test(names_whose_hashes_begin_alike_stay_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
