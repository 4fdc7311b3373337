/* How many live series a metric, and all with a prefix, may have. */
#include "tests/unit/store_fixture.h"

static int intern_one(struct store *store, const char *name, int number, struct error *err)
{
    struct store_batch *batch = store_batch_new(store);
    char text[16];
    uint32_t id;
    snprintf(text, sizeof text, "%d", number);
    struct label labels[] = {{SLICE(LABEL_NAME), slice_of_string(name)},
                             {SLICE("i"), slice_of_string(text)}};
    int status = store_batch_intern(batch, (struct labels){labels, 2}, SERIES_GAUGE, &id, err);
    if (!status)
        store_batch_value(batch, id, clock_now_ms(), 1);
    commit(store, batch);
    store_batch_free(batch);
    return status;
}

/* New series of a metric are refused while it has too many live ones; other metrics, known series
 * and the overflow series are not; and once the old ones are idle there is room again. */
static void a_metric_has_so_many_live_series(void **state)
{
    (void)state;
    struct error err = {0};
    struct store_options options = {.chunk_samples = 20, .series_per_metric_max = 10};
    struct store *store = open_with(options);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 10; i++)
            assert_int_equal(intern_one(store, "full", i, &err), 0);
        assert_int_equal(intern_one(store, "full", 10, &err), -1);
        assert_int_equal(err.kind, ERROR_LIMIT);
        assert_non_null(strstr(err.text, "the metric full has 10 live series"));
        assert_int_equal(intern_one(store, "other", 10, &err), 0);
        assert_true(store_metric_is_full(store, SLICE("full")));
        assert_false(store_metric_is_full(store, SLICE("other")));
        struct label overflow[] = {{SLICE(LABEL_NAME), SLICE("full")},
                                   {SLICE("__overflow__"), SLICE("true")}};
        uint32_t id;
        assert_int_equal(store_intern(store, (struct labels){overflow, 2}, SERIES_GAUGE, &id, &err),
                         0);
        store_close(store);
        store = open_with(options);
    }
    assert_int_equal(store_seal(store, &err), 0);
    clock_set_ms(START_MS + 2 * 3600000);
    assert_int_equal(store_maintain(store, clock_now_ms(), &err), 0);
    assert_int_equal(intern_one(store, "full", 10, &err), 0);
    store_close(store);
}

/* The same for all metrics with a prefix, whichever their names; the first limit that fits decides. */
static void a_prefix_has_so_many_live_series(void **state)
{
    (void)state;
    struct error err = {0};
    const struct store_prefix_limit limits[] = {{"api.v1+", 5}, {"api.", 10}};
    struct store_options options = {
        .chunk_samples = 20, .prefix_limits = limits, .prefix_limit_count = 2};
    struct store *store = open_with(options);
    struct slice prefix = SLICE("");
    char name[32];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 10; i++) {
            snprintf(name, sizeof name, "api.x%d", i / 2);
            assert_int_equal(intern_one(store, name, i, &err), 0);
        }
        assert_int_equal(intern_one(store, "api.x1", 10, &err), -1);
        assert_int_equal(err.kind, ERROR_LIMIT);
        assert_non_null(strstr(err.text, "begin with api. have 10 live series"));
        assert_int_equal(intern_one(store, "api.fresh", 0, &err), -1);
        assert_int_equal(intern_one(store, "apix", 10, &err), 0);
        for (int i = 0; i < 5; i++)
            assert_int_equal(intern_one(store, "api.v1+a", i, &err), 0);
        assert_int_equal(intern_one(store, "api.v1+b", 0, &err), -1);
        assert_true(store_prefix_is_full(store, SLICE("api.fresh"), &prefix));
        assert_true(slice_equal_string(prefix, "api."));
        assert_true(store_prefix_is_full(store, SLICE("api.v1+c"), &prefix));
        assert_true(slice_equal_string(prefix, "api.v1+"));
        assert_false(store_prefix_is_full(store, SLICE("apix"), &prefix));
        store_close(store);
        store = open_with(options);
    }
    assert_int_equal(store_seal(store, &err), 0);
    clock_set_ms(START_MS + 2 * 3600000);
    assert_int_equal(store_maintain(store, clock_now_ms(), &err), 0);
    assert_int_equal(intern_one(store, "api.fresh", 10, &err), 0);
    store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_metric_has_so_many_live_series, setup, teardown),
        cmocka_unit_test_setup_teardown(a_prefix_has_so_many_live_series, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
