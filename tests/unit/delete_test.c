/* delete: what is deleted is gone at once and for good, what is written afterwards is there; against a
 * naive map, through seals, jobs and reopening.
 */
#include "tests/unit/store_fixture.h"

#include "storage/base/alloc.h"
#include "storage/code/column.h"
#include "storage/key.h"

#define MINUTE_MS ((int64_t)60000)
#define ALL       INT64_MIN, INT64_MAX

/* {__name__=~"m|h", job=...} of the fixture: job is odd or even. */
static void delete_by(struct store *store, const char *label, const char *pattern, int64_t start_ms,
                      int64_t end_ms)
{
    struct matcher matcher;
    struct error err = {0};
    if (matcher_init(&matcher, MATCH_REGEX, slice_of_string(label), slice_of_string(pattern), &err))
        fail_msg("%s", err.text);
    struct store_query query = {
        .matchers = &matcher, .matcher_count = 1, .start_ms = start_ms, .end_ms = end_ms};
    if (store_delete_series(store, &query, 1, &err))
        fail_msg("%s", err.text);
    matcher_release(&matcher);
}

static void clean(struct store *store)
{
    struct error err = {0};
    int status;
    while ((status = store_clean_tombstones(store, &err)) == 1)
        ;
    if (status)
        fail_msg("%s", err.text);
}

static size_t count_selected(struct store *store, int64_t start_ms, int64_t end_ms)
{
    struct arena arena;
    struct error err = {0};
    struct store_selection found = {NULL, 0};
    struct store_query query = {.start_ms = start_ms, .end_ms = end_ms};
    arena_init(&arena, (size_t)1 << 24);
    if (store_select(store, &query, &arena, &found, &err))
        fail_msg("%s", err.text);
    arena_release(&arena);
    return found.count;
}

static size_t count_samples(struct store *store, uint32_t id)
{
    struct arena arena;
    struct error err = {0};
    struct store_column column = {.count = 0};
    struct store_reader *reader = store_reader_new(store);
    arena_init(&arena, (size_t)1 << 24);
    if (store_read(reader, (struct store_span){id, ALL}, &arena, &column, &err))
        fail_msg("%s", err.text);
    arena_release(&arena);
    store_reader_free(reader);
    return column.count;
}

static struct store *reopen(struct store *store)
{
    store_close(store);
    return open_store();
}

/* --- the model: for each series, the value at each minute, or nothing --- */

#define SERIES  12
#define MINUTES (3 * 24 * 60)

struct model {
    uint32_t ids[SERIES];
    bool there[SERIES][MINUTES];
    double values[SERIES][MINUTES];
    struct arena arena;
    int now; /* minute */
};

static int64_t time_of(int minute)
{
    return START_MS + minute * MINUTE_MS;
}

static enum series_kind kind_of(int series)
{
    return series % 4 == 3 ? SERIES_HISTOGRAM : SERIES_GAUGE;
}

static void put(struct model *model, struct store_batch *batch, int series, int minute)
{
    double value = (double)(lrand48() % 1000);
    model->there[series][minute] = true;
    model->values[series][minute] = value;
    if (kind_of(series) == SERIES_GAUGE) {
        store_batch_value(batch, model->ids[series], time_of(minute), value);
        return;
    }
    struct histogram histogram;
    histogram_init(&histogram);
    histogram_add(&histogram, 1 + value, 1);
    store_batch_histogram(batch, model->ids[series], time_of(minute), &histogram);
    histogram_release(&histogram);
}

/* Ids may have changed since: what was emptied may have been forgotten. */
static void model_intern(struct model *model, struct store_batch *batch)
{
    for (int i = 0; i < SERIES; i++)
        model->ids[i] = intern(batch, i % 3 ? "m" : "n", i, kind_of(i));
}

/* New samples, and now and then a run of old ones. */
static void model_write(struct model *model, struct store *store)
{
    struct store_batch *batch = store_batch_new(store);
    model_intern(model, batch);
    int until = model->now + 1 + (int)(lrand48() % 40);
    for (; model->now < until && model->now < MINUTES; model->now++)
        for (int i = 0; i < SERIES; i++)
            if (lrand48() % 10 >= i % 3)
                put(model, batch, i, model->now);
    clock_set_ms(time_of(model->now));
    if (lrand48() % 3 == 0) {
        int i = (int)(lrand48() % SERIES), from = (int)(lrand48() % model->now);
        for (int at = from; at < model->now && at < from + 50; at += 1 + (int)(lrand48() % 3))
            put(model, batch, i, at);
    }
    commit(store, batch);
    store_batch_free(batch);
}

static void model_delete(struct model *model, struct store *store)
{
    static const char *const jobs[] = {"odd", "even", "odd|even", "nobody"};
    size_t job = (size_t)lrand48() % 4;
    bool open = lrand48() % 4 == 0;
    int from = open ? 0 : (int)(lrand48() % (model->now + 1));
    int to = open ? MINUTES - 1 : from + (int)(lrand48() % 2000);
    delete_by(store, "job", jobs[job], open ? INT64_MIN : time_of(from),
              open ? INT64_MAX : time_of(to));
    for (int i = 0; i < SERIES; i++)
        if (job == 2 || (job == 0 && i % 2) || (job == 1 && i % 2 == 0))
            for (int at = from; at <= to && at < MINUTES; at++)
                model->there[i][at] = false;
}

static void check_series(const struct model *model, int series, const struct store_column *column)
{
    size_t n = 0;
    for (int at = 0; at < MINUTES; at++) {
        if (!model->there[series][at])
            continue;
        if (n == column->count || column->times[n] != time_of(at))
            fail_msg("series %d: minute %d is missing, or one too many is there", series, at);
        double got = column->values ? column->values[n] : column->histograms[n]->sum - 1;
        assert_true(got == model->values[series][at]);
        n++;
    }
    assert_int_equal(column->count, n);
}

static void check_last(const struct model *model, struct store *store, int series,
                       struct arena *arena)
{
    double value = 0;
    const struct histogram *histogram = NULL;
    int at = MINUTES;
    while (at && !model->there[series][at - 1])
        at--;
    assert_int_equal(store_last(store, model->ids[series], arena, &value, &histogram), at > 0);
    if (at)
        assert_true((histogram ? histogram->sum - 1 : value) == model->values[series][at - 1]);
}

static void model_check(struct model *model, struct store *store, struct store_reader *reader)
{
    struct arena *arena = &model->arena;
    struct store_column column;
    struct error err = {0};
    for (int i = 0; i < SERIES; i++) {
        arena_reset(arena);
        if (store_read(reader, (struct store_span){model->ids[i], ALL}, arena, &column, &err))
            fail_msg("%s", err.text);
        assert_int_equal(column.damaged, 0);
        check_series(model, i, &column);
        check_last(model, store, i, arena);
    }
}

static void reads_what_was_written_and_not_deleted(void **state)
{
    (void)state;
    struct error err = {0};
    struct model *model = alloc_zeroed(1, sizeof *model);
    struct store *store = open_store();
    struct store_reader *reader = store_reader_new(store);
    arena_init(&model->arena, (size_t)1 << 26);
    for (int step = 0; step < 250 && model->now < MINUTES; step++) {
        model_write(model, store);
        if (lrand48() % 4 == 0)
            model_delete(model, store);
        if (lrand48() % 3 == 0)
            model_check(model, store, reader);
        if (lrand48() % 3 == 0)
            assert_int_equal(store_maintain(store, time_of(model->now), &err), 0);
        if (lrand48() % 10 == 0)
            clean(store);
        if (lrand48() % 20 == 0)
            assert_int_equal(store_seal(store, &err), 0);
        if (lrand48() % 25 == 0) {
            store_reader_free(reader);
            store = reopen(store);
            reader = store_reader_new(store);
        }
    }
    clean(store);
    model_check(model, store, reader);
    store_reader_free(reader);
    store_close(store);
    arena_release(&model->arena);
    free(model);
}

/* --- single stories --- */

/* `count` minutes of two series each of "m" and "n", from START_MS on. */
static void write_two(struct store *store, int from, int count, uint32_t ids[4])
{
    struct store_batch *batch = store_batch_new(store);
    for (int i = 0; i < 4; i++)
        ids[i] = intern(batch, i < 2 ? "m" : "n", i, SERIES_COUNTER);
    for (int at = from; at < from + count; at++)
        for (int i = 0; i < 4; i++)
            store_batch_value(batch, ids[i], time_of(at), at);
    commit(store, batch);
    store_batch_free(batch);
    clock_set_ms(time_of(from + count));
}

static void deleted_series_are_not_selected_nor_after_reopening(void **state)
{
    (void)state;
    uint32_t ids[4];
    struct store *store = open_store();
    write_two(store, 0, 100, ids);
    delete_by(store, LABEL_NAME, "m", INT64_MIN, time_of(100));
    assert_int_equal(count_selected(store, ALL), 2);
    assert_int_equal(count_samples(store, ids[0]), 0);
    assert_int_equal(count_samples(store, ids[2]), 100);
    store = reopen(store);
    assert_int_equal(count_selected(store, ALL), 2);
    assert_int_equal(count_samples(store, ids[0]), 0);
    clean(store);
    assert_int_equal(count_samples(store, ids[0]), 0);
    assert_int_equal(count_samples(store, ids[2]), 100);
    store_close(store);
}

static void deletions_for_ever_one_after_the_other(void **state)
{
    (void)state;
    uint32_t ids[4];
    struct store *store = open_store();
    write_two(store, 0, 100, ids);
    delete_by(store, "i", "0", ALL);
    delete_by(store, "i", "2", ALL);
    delete_by(store, "i", "3", ALL);
    for (int round = 0; round < 2; round++, store = reopen(store))
        for (int i = 0; i < 4; i++)
            assert_int_equal(count_samples(store, ids[i]), i == 1 ? 100 : 0);
    store_close(store);
}

static void emptied_series_are_forgotten_and_their_ids_never_come_back(void **state)
{
    (void)state;
    uint32_t ids[4], again[4];
    struct store *store = open_store();
    write_two(store, 0, 30, ids);
    delete_by(store, LABEL_NAME, "n", ALL);
    clock_set_ms(time_of(40));
    clean(store);
    assert_true(store_labels(store, ids[1]).len > 0);
    assert_int_equal(store_labels(store, ids[2]).len + store_labels(store, ids[3]).len, 0);
    store = reopen(store);
    write_two(store, 40, 10, again);
    assert_true(again[0] == ids[0] && again[1] == ids[1]);
    assert_true(again[2] > ids[3] && again[3] > ids[3]);
    store = reopen(store);
    assert_int_equal(count_samples(store, again[0]), 40);
    assert_int_equal(count_samples(store, again[3]), 10);
    store_close(store);
}

static void a_series_that_goes_on_is_kept(void **state)
{
    (void)state;
    uint32_t ids[4];
    struct store *store = open_store();
    write_two(store, 0, 30, ids);
    delete_by(store, LABEL_NAME, ".*", ALL);
    write_two(store, 30, 5, ids);
    clock_set_ms(time_of(40));
    clean(store);
    for (int i = 0; i < 4; i++)
        assert_int_equal(count_samples(store, ids[i]), 5);
    assert_int_equal(count_selected(store, ALL), 4);
    store_close(store);
}

static void what_is_written_into_a_deleted_range_is_there(void **state)
{
    (void)state;
    struct error err = {0};
    uint32_t ids[4];
    struct store *store = open_store();
    write_two(store, 0, 2000, ids);
    delete_by(store, LABEL_NAME, "m", time_of(100), time_of(1900));
    assert_int_equal(count_samples(store, ids[0]), 199);
    write_two(store, 200, 50, ids);
    assert_int_equal(count_samples(store, ids[0]), 249);
    assert_int_equal(store_seal(store, &err), 0);
    assert_int_equal(count_samples(store, ids[0]), 249);
    store = reopen(store);
    assert_int_equal(count_samples(store, ids[0]), 249);
    clean(store);
    assert_int_equal(count_samples(store, ids[0]), 249);
    assert_int_equal(count_samples(store, ids[2]), 2000);
    store_close(store);
}

static void a_reader_that_was_open_before_sees_the_deletion(void **state)
{
    (void)state;
    struct error err = {0};
    uint32_t ids[4];
    struct store_column column;
    struct arena arena;
    struct store *store = open_store();
    struct store_reader *reader = store_reader_new(store);
    arena_init(&arena, (size_t)1 << 24);
    write_two(store, 0, 300, ids);
    assert_int_equal(store_seal(store, &err), 0);
    assert_int_equal(store_read(reader, (struct store_span){ids[0], ALL}, &arena, &column, &err),
                     0);
    assert_int_equal(column.count, 300);
    delete_by(store, LABEL_NAME, "m", time_of(10), time_of(19));
    assert_int_equal(store_read(reader, (struct store_span){ids[0], ALL}, &arena, &column, &err),
                     0);
    assert_int_equal(column.count, 290);
    clean(store); /* the tombstone is gone, the snapshot is old */
    assert_int_equal(store_read(reader, (struct store_span){ids[0], ALL}, &arena, &column, &err),
                     0);
    assert_int_equal(column.count, 290);
    arena_release(&arena);
    store_reader_free(reader);
    store_close(store);
}

static void many_deletions_and_many_series(void **state)
{
    (void)state;
    struct store *store = open_store();
    struct store_batch *batch = store_batch_new(store);
    uint32_t ids[3000];
    for (int i = 0; i < 3000; i++) {
        ids[i] = intern(batch, "m", i, SERIES_GAUGE);
        for (int at = 0; at < 4; at++)
            store_batch_value(batch, ids[i], time_of(at * 700), i);
    }
    commit(store, batch);
    store_batch_free(batch);
    for (int i = 0; i < 250; i++) /* more than may wait */
        delete_by(store, "i", "7", time_of(i), time_of(i));
    assert_int_equal(count_samples(store, ids[7]), 3);
    delete_by(store, "job", "odd", time_of(1), time_of(2500));
    delete_by(store, "i", "[0-9]{3}", ALL);
    clean(store);
    for (int i = 0; i < 3000; i++)
        assert_int_equal(count_samples(store, ids[i]), i >= 100 && i < 1000 ? 0
                                                       : i == 7             ? 0
                                                       : i % 2              ? 1
                                                                            : 4);
    store_close(store);
}

/* --- buckets --- */

#define DAY    (24 * 60)
#define MONTHS (40 * DAY)

/* Samples each 10 minutes of 40 days of two series, closed; with `raw_days` only of the last days. */
static struct store *open_month(uint32_t ids[2], int raw_days)
{
    struct error err = {0};
    struct store *store = open_store();
    struct store_batch *batch = store_batch_new(store);
    clock_set_ms(time_of(MONTHS));
    for (int i = 0; i < 2; i++) {
        ids[i] = intern(batch, i ? "n" : "m", i, SERIES_COUNTER);
        for (int at = 0; at < MONTHS; at += 10)
            store_batch_value(batch, ids[i], time_of(at), at);
    }
    commit(store, batch);
    store_batch_free(batch);
    assert_int_equal(store_compact(store, &err), 0);
    struct store_retention retention = {.ms = {[STORE_RAW] = (int64_t)raw_days * PARTITION_MS}};
    assert_int_equal(store_set_retention(store, &retention, &err), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(store_compact(store, &err), 0);
    return store;
}

/* The samples that the buckets of an hour count, in all and in the minutes [from, to]. */
static size_t count_in_buckets(struct store *store, uint32_t id, int from, int to, size_t *inside)
{
    struct arena arena;
    struct error err = {0};
    struct store_buckets buckets = {.count = 0};
    struct store_reader *reader = store_reader_new(store);
    int64_t start = time_of(0) / STORE_1H_MS * STORE_1H_MS;
    struct store_span span = {id, start, start + (int64_t)(MONTHS + 120) * MINUTE_MS};
    size_t count = 0;
    span.end_ms = span.end_ms / STORE_1H_MS * STORE_1H_MS;
    *inside = 0;
    arena_init(&arena, (size_t)1 << 26);
    if (store_read_buckets(reader, (struct store_tier_span){span, .tier = STORE_1H}, &arena,
                           &buckets, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < buckets.count; i++) {
        count += buckets.counts[i];
        if (buckets.end_ms[i] - STORE_1H_MS < time_of(to) && buckets.end_ms[i] >= time_of(from))
            *inside += buckets.counts[i];
    }
    arena_release(&arena);
    store_reader_free(reader);
    return count;
}

static void buckets_follow_deletions_of_samples(void **state)
{
    (void)state;
    struct error err = {0};
    uint32_t ids[2];
    size_t inside;
    struct store *store = open_month(ids, 0);
    size_t all = MONTHS / 10, gone = (9 * DAY - 5 * DAY + 600) / 10 + 1;
    assert_int_equal(count_in_buckets(store, ids[0], 0, MONTHS, &inside), all);
    delete_by(store, LABEL_NAME, "m", time_of(5 * DAY), time_of(9 * DAY + 600));
    for (int round = 0; round < 4; round++) {
        assert_int_equal(count_in_buckets(store, ids[0], 0, MONTHS, &inside), all - gone);
        assert_int_equal(count_in_buckets(store, ids[1], 0, MONTHS, &inside), all);
        if (round == 0)
            clean(store);
        if (round == 1)
            assert_int_equal(store_compact(store, &err), 0);
        if (round == 2)
            store = reopen(store);
    }
    store_close(store);
}

static void buckets_without_samples_are_deleted(void **state)
{
    (void)state;
    uint32_t ids[2];
    size_t inside, other, all = MONTHS / 10;
    int from = 5 * DAY, to = 9 * DAY + 600;
    struct store *store = open_month(ids, 2);
    assert_int_equal(count_in_buckets(store, ids[0], from, to, &inside), all);
    delete_by(store, LABEL_NAME, "m", time_of(from), time_of(to));
    size_t thinned = count_samples(store, ids[1]) - count_samples(store, ids[0]);
    assert_true(thinned > 0);
    for (int round = 0; round < 3; round++) {
        size_t left = count_in_buckets(store, ids[0], from, to, &inside);
        assert_int_equal(inside, 0);
        assert_true(left < all - (size_t)(to - from) / 10 &&
                    left > all - (size_t)(to - from) / 10 - 20);
        assert_int_equal(count_in_buckets(store, ids[1], from, to, &other), all);
        assert_int_equal(count_samples(store, ids[1]) - count_samples(store, ids[0]), thinned);
        if (round == 0)
            clean(store);
        if (round == 1)
            store = reopen(store);
    }
    delete_by(store, LABEL_NAME, "m", INT64_MIN, time_of(MONTHS));
    assert_int_equal(count_selected(store, ALL), 1);
    assert_int_equal(count_in_buckets(store, ids[0], 0, MONTHS, &inside), 0);
    clean(store);
    clock_set_ms(time_of(MONTHS + 10));
    clean(store);
    assert_int_equal(count_selected(store, ALL), 1);
    assert_int_equal(store_labels(store, ids[0]).len, 0);
    assert_int_equal(count_in_buckets(store, ids[1], from, to, &other), all);
    store_close(store);
}

/* A series whose only samples lie within an hour of which a deletion takes a part: the hour's bucket
 * goes whole, those of five minutes stay, and the deletions that follow must find them. */
static void buckets_of_one_tier_may_be_all_that_is_left(void **state)
{
    (void)state;
    struct error err = {0};
    struct store *store = open_store();
    struct store_batch *batch = store_batch_new(store);
    uint32_t brief = intern(batch, "m", 0, SERIES_COUNTER);
    uint32_t other = intern(batch, "n", 1, SERIES_COUNTER);
    int64_t hour = START_MS - START_MS % STORE_1H_MS + STORE_1H_MS;
    for (int at = 1; at <= 60; at++)
        store_batch_value(batch, brief, hour + at * MINUTE_MS, at);
    for (int at = 0; at < 6 * DAY; at += 10)
        store_batch_value(batch, other, time_of(at), at);
    clock_set_ms(time_of(6 * DAY));
    commit(store, batch);
    store_batch_free(batch);
    struct store_retention retention = {.ms = {[STORE_RAW] = 2 * PARTITION_MS}};
    assert_int_equal(store_set_retention(store, &retention, &err), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(store_compact(store, &err), 0);
    assert_int_equal(count_samples(store, brief), 24); /* two a bucket */
    delete_by(store, LABEL_NAME, "m", hour + 31 * MINUTE_MS, hour + 60 * MINUTE_MS);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(count_samples(store, brief), 12);
        clean(store);
        clock_set_ms(time_of(6 * DAY + 10));
        clean(store);
        store = reopen(store);
    }
    delete_by(store, LABEL_NAME, "m", hour + 16 * MINUTE_MS, hour + 30 * MINUTE_MS);
    clean(store);
    assert_int_equal(count_samples(store, brief), 6);
    store_close(store);
}

int main(void)
{
    srand48(5);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_what_was_written_and_not_deleted, setup, teardown),
        cmocka_unit_test_setup_teardown(deleted_series_are_not_selected_nor_after_reopening, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(deletions_for_ever_one_after_the_other, setup, teardown),
        cmocka_unit_test_setup_teardown(emptied_series_are_forgotten_and_their_ids_never_come_back,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_series_that_goes_on_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_written_into_a_deleted_range_is_there, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_reader_that_was_open_before_sees_the_deletion, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(many_deletions_and_many_series, setup, teardown),
        cmocka_unit_test_setup_teardown(buckets_follow_deletions_of_samples, setup, teardown),
        cmocka_unit_test_setup_teardown(buckets_without_samples_are_deleted, setup, teardown),
        cmocka_unit_test_setup_teardown(buckets_of_one_tier_may_be_all_that_is_left, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
