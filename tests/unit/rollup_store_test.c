/* rollup_store: buckets are those of all samples ever written, whatever state their days are in.
 *
 * Random series of every kind, open, sealed, late, closed, stale, reopened, their samples gone: each
 * answer is compared with a plain fold of what was written.
 */
#include "tests/unit/store_fixture.h"

#include <math.h>

#include "storage/base/alloc.h"
#include "storage/key.h"
#include "storage/rollup.h"
#include "storage/store_state.h"

#define SERIES      12
#define SAMPLES_MAX 20000
#define PARTS_MAX   100
#define DAY_MS      ((int64_t)86400000)
#define FIRST_DAY   ((START_MS / DAY_MS) * DAY_MS)

/* --- the model --- */

struct model_series {
    uint32_t id;
    enum series_kind kind;
    size_t count;
    int64_t times[SAMPLES_MAX]; /* sorted */
    double values[SAMPLES_MAX];
    const struct histogram *at[SAMPLES_MAX]; /* histograms; NULL: stale marker */
    struct histogram running;
    double last;
};

struct model {
    struct model_series series[SERIES];
    struct arena arena;
    int64_t now_ms;
    int64_t kept_from; /* samples before have left, and their buckets remain */
    struct store *store;
    struct store_reader *reader;
    size_t thinned;                          /* how often some of the samples were read */
    size_t read_from[1 << STORE_TIER_COUNT]; /* how often from which tiers */
};

static struct model *model_new(void)
{
    struct model *model = alloc_zeroed(1, sizeof *model);
    struct store_batch *batch;
    arena_init(&model->arena, (size_t)1 << 30);
    model->now_ms = FIRST_DAY + DAY_MS / 2;
    model->kept_from = FIRST_DAY;
    clock_set_ms(model->now_ms);
    model->store = open_store();
    model->reader = store_reader_new(model->store);
    batch = store_batch_new(model->store);
    for (int i = 0; i < SERIES; i++) {
        struct model_series *series = &model->series[i];
        series->kind = (enum series_kind)(1 + i % 4);
        series->id = intern(batch, "m", i, series->kind);
        histogram_init(&series->running);
    }
    commit(model->store, batch);
    store_batch_free(batch);
    return model;
}

static void model_free(struct model *model)
{
    store_reader_free(model->reader);
    store_close(model->store);
    for (int i = 0; i < SERIES; i++)
        histogram_release(&model->series[i].running);
    arena_release(&model->arena);
    free(model);
}

/* The place of this time; what is there is replaced, or pushed back. */
static size_t place_for(struct model_series *series, int64_t time_ms)
{
    size_t at = series->count;
    while (at && series->times[at - 1] >= time_ms)
        at--;
    if (at < series->count && series->times[at] == time_ms)
        return at;
    assert_true(series->count < SAMPLES_MAX);
    size_t behind = series->count++ - at;
    memmove(series->times + at + 1, series->times + at, behind * sizeof *series->times);
    memmove(series->values + at + 1, series->values + at, behind * sizeof *series->values);
    memmove(series->at + at + 1, series->at + at, behind * sizeof *series->at);
    series->times[at] = time_ms;
    return at;
}

static double next_value(struct model_series *series)
{
    if (series->kind == SERIES_COUNTER)
        series->last = lrand48() % 60 ? series->last + (double)(lrand48() % 20) : 0;
    else if (series->kind == SERIES_GAUGE)
        series->last = (double)(lrand48() % 10000) / 100;
    else
        series->last = drand48();
    return series->last;
}

static const struct histogram *next_histogram(struct model *model, struct model_series *series)
{
    if (lrand48() % 60 == 0)
        histogram_reset(&series->running);
    series->running.min = series->running.max = NAN;
    for (long n = lrand48() % 4; n; n--)
        histogram_add(&series->running, exp(drand48() * 4) - 5, 1);
    return histogram_copy(&model->arena, &series->running);
}

static void append(struct model *model, struct store_batch *batch, struct model_series *series,
                   int64_t time_ms)
{
    bool stale = lrand48() % 40 == 0;
    size_t at = place_for(series, time_ms);
    series->at[at] = NULL;
    series->values[at] = stale_nan();
    if (!stale && series->kind == SERIES_HISTOGRAM) {
        series->at[at] = next_histogram(model, series);
        store_batch_histogram(batch, series->id, time_ms, series->at[at]);
        return;
    }
    if (!stale)
        series->values[at] = next_value(series);
    store_batch_value(batch, series->id, time_ms, series->values[at]);
}

/* --- what is wanted --- */

static struct store_column model_column(const struct model_series *series, int64_t start_ms,
                                        int64_t end_ms)
{
    size_t from = 0, to = series->count;
    while (from < to && series->times[from] <= start_ms)
        from++;
    while (to > from && series->times[to - 1] > end_ms)
        to--;
    bool histograms = series->kind == SERIES_HISTOGRAM;
    return (struct store_column){.count = to - from,
                                 .times = series->times + from,
                                 .values = histograms ? NULL : series->values + from,
                                 .histograms = histograms ? series->at + from : NULL};
}

static bool same(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static bool close_to(double a, double b)
{
    return same(a, b) || fabs(a - b) <= 1e-12 * fmax(fabs(a), fabs(b)) + 1e-9;
}

static bool same_histogram(const struct histogram *a, const struct histogram *b)
{
    return !a || !b ? a == b : histogram_equal(a, b);
}

static void assert_bucket(const struct store_buckets *got, const struct rollup *want, size_t i)
{
    assert_int_equal(got->end_ms[i], want->end_ms[i]);
    assert_int_equal(got->counts[i], want->counts[i]);
    assert_int_equal(got->ended[i], want->ended[i]);
    if (want->counts[i] == 0)
        return;
    assert_int_equal(got->first_ms[i], want->first_ms[i]);
    assert_int_equal(got->last_ms[i], want->last_ms[i]);
    assert_true(same(got->min[i], want->min[i]) && same(got->max[i], want->max[i]));
    if (want->histograms) {
        assert_true(same_histogram(got->first_histogram[i], want->first_histogram[i]));
        assert_true(same_histogram(got->last_histogram[i], want->last_histogram[i]));
        assert_true(same_histogram(got->drop_histogram[i], want->drop_histogram[i]));
        return;
    }
    assert_true(same(got->first[i], want->first[i]) && same(got->last[i], want->last[i]));
    assert_true(close_to(got->sum[i], want->sum[i]));
    assert_true(!got->drop || same(got->drop[i], want->drop[i]));
}

static void check_buckets(struct model *model, const struct model_series *series,
                          enum store_tier tier, struct store_span span, struct arena *arena)
{
    struct store_buckets got;
    struct rollup want;
    struct error err = {0};
    struct store_column column = model_column(series, span.start_ms, span.end_ms);
    rollup_init(&want);
    rollup_reset(&want, series->kind == SERIES_HISTOGRAM, rollup_tier_ms[tier]);
    assert_true(rollup_add_column(&want, &column, arena));
    if (store_read_buckets(model->reader, (struct store_tier_span){span, .tier = tier}, arena, &got,
                           &err))
        fail_msg("%s", err.text);
    assert_int_equal(got.count, want.count);
    for (size_t i = 0; i < want.count; i++)
        assert_bucket(&got, &want, i);
    model->read_from[got.tiers]++;
    assert_int_equal(got.damaged, 0);
    assert_int_equal(got.coarse_ms, 0);
    if (series->kind == SERIES_COUNTER && got.count)
        assert_non_null(got.drop);
    rollup_release(&want);
}

/* What the pieces say together, in terms of one wide bucket. */
static void assert_whole(const struct store_buckets *got, const struct rollup *want)
{
    uint64_t count = 0;
    double sum = 0, drop = 0, min = NAN, max = NAN;
    size_t first = SIZE_MAX, last = 0;
    for (size_t i = 0; i < got->count; i++) {
        count += got->counts[i];
        if (got->counts[i] == 0)
            continue;
        if (got->drop)
            drop += got->drop[i] +
                    (first != SIZE_MAX && got->first[i] < got->last[last] ? got->last[last] : 0);
        sum += got->sum ? got->sum[i] : 0;
        min = fmin(min, got->min[i]);
        max = fmax(max, got->max[i]);
        first = first == SIZE_MAX ? i : first;
        last = i;
    }
    assert_int_equal(count, want->count ? want->counts[0] : 0);
    if (count == 0)
        return;
    assert_true(same(min, want->min[0]) && same(max, want->max[0]));
    assert_int_equal(got->first_ms[first], want->first_ms[0]);
    assert_int_equal(got->last_ms[last], want->last_ms[0]);
    if (want->histograms) {
        assert_true(same_histogram(got->first_histogram[first], want->first_histogram[0]));
        assert_true(same_histogram(got->last_histogram[last], want->last_histogram[0]));
        return;
    }
    assert_true(same(got->first[first], want->first[0]) && same(got->last[last], want->last[0]));
    assert_true(close_to(sum, want->sum[0]));
    assert_true(!got->drop || close_to(drop, want->drop[0]));
}

/* All pieces together are the samples in the window. */
static void check_pieces(struct model *model, const struct model_series *series,
                         struct store_span span, struct arena *arena)
{
    struct store_buckets got;
    struct rollup want;
    struct error err = {0};
    struct store_column column = model_column(series, span.start_ms, span.end_ms);
    rollup_init(&want);
    rollup_reset(&want, series->kind == SERIES_HISTOGRAM, (int64_t)1 << 50);
    assert_true(rollup_add_column(&want, &column, arena));
    if (store_read_pieces(model->reader, span, arena, &got, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < got.count; i++) {
        assert_true(i == 0 || got.last_ms[i] > got.last_ms[i - 1]);
        assert_true(got.last_ms[i] > span.start_ms && got.last_ms[i] <= span.end_ms);
        assert_int_equal(got.end_ms[i], got.last_ms[i]);
    }
    if (series->kind == SERIES_COUNTER && got.count)
        assert_non_null(got.drop);
    assert_whole(&got, &want);
    rollup_release(&want);
}

static bool is_sample(const struct model_series *series, const struct store_column *got, size_t i)
{
    struct store_column at = model_column(series, got->times[i] - 1, got->times[i]);
    if (got->histograms)
        return at.count && same_histogram(got->histograms[i], at.histograms[0]);
    return at.count && (same(got->values[i], at.values[0]));
}

static bool is_marker(const struct store_column *got, size_t i)
{
    return got->histograms ? !got->histograms[i] : is_stale_nan(got->values[i]);
}

/* Samples are those written; where they have left, some of them. Markers may have moved there. */
static void check_samples(struct model *model, const struct model_series *series,
                          struct store_span span, struct arena *arena)
{
    struct store_column got, want = model_column(series, span.start_ms - 1, span.end_ms);
    struct error err = {0};
    if (store_read(model->reader, span, arena, &got, &err))
        fail_msg("%s", err.text);
    size_t left = 0, old = 0, old_want = 0;
    for (; old_want < want.count && want.times[old_want] <= model->kept_from; old_want++)
        ;
    for (; old < got.count && got.times[old] <= model->kept_from; old++)
        left += !is_marker(&got, old);
    assert_int_equal(got.count - old, want.count - old_want);
    for (size_t i = 0; i < got.count; i++)
        assert_true((i < old && is_marker(&got, i)) || is_sample(series, &got, i));
    assert_true(old <= 2 * old_want);
    assert_true(got.coarse_ms == 0 || got.coarse_ms == STORE_5M_MS);
    assert_true(span.start_ms > model->kept_from ? got.coarse_ms == 0 : left == 0 || got.coarse_ms);
    model->thinned += left > 0 && left < old_want;
}

static struct store_span random_span(const struct model *model, uint32_t id, int64_t width_ms)
{
    int64_t length = model->now_ms - FIRST_DAY + 2 * DAY_MS;
    int64_t a = FIRST_DAY - DAY_MS + (int64_t)(drand48() * (double)length);
    int64_t b = FIRST_DAY - DAY_MS + (int64_t)(drand48() * (double)length);
    struct store_span span = {id, a < b ? a : b, a < b ? b : a};
    if (lrand48() % 3 == 0) /* whole days */
        width_ms = DAY_MS;
    span.start_ms -= span.start_ms % width_ms;
    span.end_ms -= span.end_ms % width_ms;
    return span;
}

static void check(struct model *model)
{
    struct arena arena;
    arena_init(&arena, (size_t)1 << 30);
    for (int i = 0; i < SERIES; i++) {
        const struct model_series *series = &model->series[i];
        struct store_span all = {series->id, 0, FIRST_DAY + 100 * DAY_MS};
        for (enum store_tier tier = STORE_5M; tier < STORE_TIER_COUNT; tier++) {
            arena_reset(&arena);
            check_buckets(model, series, tier, all, &arena);
            check_buckets(model, series, tier, random_span(model, series->id, rollup_tier_ms[tier]),
                          &arena);
        }
        check_pieces(model, series, all, &arena);
        struct store_span window = random_span(model, series->id, 1);
        if (window.start_ms > model->kept_from)
            check_pieces(model, series, window, &arena);
        check_samples(model, series, random_span(model, series->id, 1), &arena);
    }
    arena_release(&arena);
}

/* --- what happens --- */

static int64_t next_gap(void)
{
    switch (lrand48() % 12) {
    case 0:
        return lrand48() % (int64_t)(DAY_MS / 3);
    case 1:
        return lrand48() % 3600000;
    }
    return lrand48() % 2 ? 60000 : 1 + lrand48() % 200000;
}

/* Now and then exactly on a border, the last of a day among them. */
static int64_t snap(int64_t time_ms)
{
    switch (lrand48() % 10) {
    case 0:
        return bucket_end(time_ms, STORE_5M_MS);
    case 1:
        return bucket_end(time_ms, STORE_1H_MS);
    case 2:
        return time_ms % DAY_MS > DAY_MS * 9 / 10 ? bucket_end(time_ms, DAY_MS) : time_ms;
    }
    return time_ms;
}

static void write_some(struct model *model)
{
    struct store_batch *batch = store_batch_new(model->store);
    for (long n = 1 + lrand48() % 40; n; n--) {
        int64_t next = snap(model->now_ms + next_gap());
        model->now_ms = next > model->now_ms ? next : model->now_ms + 1;
        for (int i = 0; i < SERIES; i++)
            if (lrand48() % 4 >= i % 3)
                append(model, batch, &model->series[i], model->now_ms);
    }
    clock_set_ms(model->now_ms);
    commit(model->store, batch);
    store_batch_free(batch);
}

/* Anywhere in the past, over what is there as well. */
static void write_late(struct model *model)
{
    struct store_batch *batch = store_batch_new(model->store);
    for (long n = 1 + lrand48() % 6; n; n--) {
        struct model_series *series = &model->series[lrand48() % SERIES];
        int64_t span_ms = model->now_ms - model->kept_from;
        int64_t time_ms = model->kept_from + (int64_t)(drand48() * (double)span_ms);
        if (series->count && lrand48() % 2)
            time_ms = series->times[(size_t)lrand48() % series->count];
        if (time_ms <= model->kept_from)
            continue;
        append(model, batch, series, snap(time_ms) < model->now_ms ? snap(time_ms) : time_ms);
    }
    commit(model->store, batch);
    store_batch_free(batch);
}

static void reopen(struct model *model)
{
    store_reader_free(model->reader);
    store_close(model->store);
    model->store = open_store();
    model->reader = store_reader_new(model->store);
}

static size_t stale_series(const struct store *store)
{
    size_t stale = 0;
    for (size_t i = 0; i < store->partitions.count; i++)
        if (store->partitions.at[i].closed)
            stale += roaring_bitmap_get_cardinality(store->partitions.at[i].stale);
    return stale;
}

static void close_all(struct model *model)
{
    struct error err = {0};
    assert_int_equal(store_seal(model->store, &err), 0);
    store_close_again(model->store);
    int status;
    do
        status = store_close_some(model->store, model->now_ms, &err);
    while (status == 1);
    if (status)
        fail_msg("%s", err.text);
    assert_int_equal(stale_series(model->store), 0);
}

/* A call takes its part of a pass by the clock; a part is one drop at least. */
static int retain_all(struct store *store, int64_t now_ms, struct error *err)
{
    int status = 1;
    for (int parts = 0; status == 1 && parts < PARTS_MAX; parts++)
        status = store_retain_some(store, now_ms, err);
    return status;
}

/* The samples of the oldest days leave, as retention makes them. */
static void drop_days(struct model *model)
{
    struct error err = {0};
    uint32_t keep = partition_of(model->now_ms - (int64_t)(2 + lrand48() % 3) * DAY_MS);
    if (partition_start(keep) <= model->kept_from)
        return;
    for (uint32_t day = partition_of(model->kept_from); day < keep; day++)
        (void)store_day_may_leave(model->store, day);
    close_all(model);
    for (uint32_t day = partition_of(model->kept_from); day < keep; day++)
        assert_true(store_day_may_leave(model->store, day));
    model->store->keep.ms[STORE_RAW] = model->now_ms - partition_start(keep);
    assert_int_equal(retain_all(model->store, model->now_ms, &err), 0);
    model->store->keep.ms[STORE_RAW] = 0;
    model->kept_from = partition_start(keep);
}

static void act(struct model *model)
{
    struct error err = {0};
    switch (lrand48() % 14) {
    case 13:
        drop_days(model);
        break;
    case 0:
        close_all(model);
        break;
    case 1:
        reopen(model);
        break;
    case 2:
        assert_int_equal(store_seal(model->store, &err), 0);
        break;
    case 3:
        write_late(model);
        break;
    case 4:
    case 5:
        assert_int_equal(store_maintain(model->store, model->now_ms, &err), 0);
        break;
    default:
        write_some(model);
    }
}

static void buckets_are_those_of_all_samples(void **state)
{
    (void)state;
    struct model *model = model_new();
    for (int step = 0; step < 240; step++) {
        act(model);
        if (step % 4 == 0)
            check(model);
    }
    close_all(model);
    check(model);
    reopen(model);
    check(model);
    /* every way to answer was taken */
    assert_true(model->thinned > 20);
    assert_true(model->read_from[1 << STORE_RAW] > 100);
    for (enum store_tier tier = STORE_5M; tier < STORE_TIER_COUNT; tier++) {
        assert_true(model->read_from[1 << tier] > 100);
        assert_true(model->read_from[1 << tier | 1 << STORE_RAW] > 100);
    }
    model_free(model);
}

int main(void)
{
    const char *seed = getenv("SEED");
    srand48(seed ? strtol(seed, NULL, 10) : 17);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(buckets_are_those_of_all_samples, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
