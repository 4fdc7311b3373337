/* promql_store: what the targets that evaluate PromQL share: a small store, and what every answer
 * must look like.
 *
 *   m{x}     gauges: gaps, a stale marker, NaN, infinity      b{le,x}  classic buckets
 *   n{x}     a gauge that falls                               h{x}     histograms, one reset, both signs
 *   c{x,y}   counters of 240 samples, in chunks, with resets  w{x}     floats in one series, histograms in another
 */
#ifndef TESTS_FUZZ_PROMQL_STORE_H
#define TESTS_FUZZ_PROMQL_STORE_H

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "query/promql.h"
#include "storage/base/log.h"

static char path[] = "/tmp/lapwing-fuzz-XXXXXX";
static struct store *store;

static void clean(void)
{
    char command[64];
    store_close(store);
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    if (system(command) != 0)
        abort();
}

static uint32_t series(struct store_batch *batch, const char *name, const char *x, const char *le)
{
    struct label pairs[4] = {{SLICE(LABEL_NAME), slice_of_string(name)}};
    struct error err;
    uint32_t id;
    size_t count = 1;
    if (le)
        pairs[count++] = (struct label){SLICE("le"), slice_of_string(le)};
    pairs[count++] = (struct label){SLICE("x"), slice_of_string(x)};
    bool histogram = strcmp(name, "h") == 0 || strcmp(x, "histogram") == 0;
    if (strcmp(name, "c") == 0)
        pairs[count++] = (struct label){SLICE("y"), slice_of_string("z")};
    if (store_batch_intern(batch, (struct labels){pairs, count},
                           histogram ? SERIES_HISTOGRAM : SERIES_GAUGE, &id, &err) != 0)
        abort();
    return id;
}

static void put_floats(struct store_batch *batch, uint32_t id, double start, double step)
{
    for (int i = 0; i < 40; i++) {
        double value = start + step * (i % 17);
        if (i % 11 == 10)
            continue;
        if (i == 25)
            value = stale_nan();
        if (i == 31)
            value = step > 5 ? INFINITY : NAN;
        store_batch_value(batch, id, i * 10000, value);
    }
}

static void put_histograms(struct store_batch *batch, uint32_t id, double scale)
{
    struct histogram histogram;
    histogram_init(&histogram);
    for (int i = 0; i < 40; i++) {
        if (i == 20)
            histogram_reset(&histogram);
        histogram_add(&histogram, scale * (i - 10), 1 + i % 3);
        if (i == 30)
            store_batch_value(batch, id, i * 10000, stale_nan());
        else
            store_batch_histogram(batch, id, i * 10000, &histogram);
    }
    histogram_release(&histogram);
}

/* Whole halves, so that sums do not depend on the order of their terms. */
static void put_counter(struct store_batch *batch, uint32_t id, double step, int reset)
{
    double value = 1000;
    for (int i = 0; i < 240; i++) {
        value = i == reset ? 0 : value + step * (i % 5);
        if (i < 60 || i > 80 || reset)
            store_batch_value(batch, id, i * 2000, value);
    }
}

static void open_store(void)
{
    struct error err;
    log_set_level(LOG_ERROR);
    if (!mkdtemp(path))
        abort();
    struct store_options options = {
        .path = path, .series_max = 100, .retention_raw_ms = INT64_C(1) << 50};
    if (store_open(&options, &store, &err) != 0)
        abort();
    atexit(clean);
    struct store_batch *batch = store_batch_new(store);
    put_floats(batch, series(batch, "m", "a", NULL), 0, 1);
    put_floats(batch, series(batch, "m", "b", NULL), -3, 7);
    put_floats(batch, series(batch, "n", "a", NULL), 100, -2);
    put_floats(batch, series(batch, "b", "a", "0.5"), 1, 2);
    put_floats(batch, series(batch, "b", "a", "2"), 1, 4);
    put_floats(batch, series(batch, "b", "a", "+Inf"), 2, 4);
    put_histograms(batch, series(batch, "h", "a", NULL), 0.5);
    put_histograms(batch, series(batch, "h", "b", NULL), 900);
    put_counter(batch, series(batch, "c", "a", NULL), 1.5, 0);
    put_counter(batch, series(batch, "c", "b", NULL), 20, 100);
    put_counter(batch, series(batch, "w", "float", NULL), 3, 0);
    put_histograms(batch, series(batch, "w", "histogram", NULL), 7);
    if (store_commit(store, batch, false, &err) != 0)
        abort();
    store_batch_free(batch);
}

static void check_series(const struct promql_series *s, const struct promql_request *request)
{
    assert(s->count > 0);
    assert((s->values == NULL) != (s->histograms == NULL));
    assert(s->labels.count <= LABELS_MAX);
    for (size_t i = 1; i < s->labels.count; i++)
        assert(slice_compare(s->labels.at[i - 1].name, s->labels.at[i].name) < 0);
    for (size_t i = 0; i < s->labels.count; i++)
        assert(s->labels.at[i].value.len > 0);
    for (size_t i = 0; i < s->count; i++) {
        assert(i == 0 || s->times[i - 1] < s->times[i]);
        assert(request->step_ms == 0 ||
               (s->times[i] >= request->start_ms && s->times[i] <= request->end_ms));
        assert(s->values ? !is_stale_nan(s->values[i]) : s->histograms[i] != NULL);
    }
}

#endif
