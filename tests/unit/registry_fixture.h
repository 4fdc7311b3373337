/* registry_fixture: a registry on a store in a directory of its own, and what its series hold. */
#ifndef TESTS_UNIT_REGISTRY_FIXTURE_H
#define TESTS_UNIT_REGISTRY_FIXTURE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/ingest/registry_state.h"
#include "tests/unit/scratch_dir.h"

#define TICK 10000
#define T0   (1000000 * (int64_t)TICK)

struct fixture {
    char path[SCRATCH_DIR_BYTES];
    struct store_options store_options;
    struct registry_options options;
    struct store *store;
    struct registry *registry;
    struct arena arena;
};

static inline void open_all(struct fixture *fixture)
{
    struct error err = {0};
    if (store_open(&fixture->store_options, &fixture->store, &err))
        fail_msg("%s", err.text);
    fixture->registry = registry_new(fixture->store, &fixture->options);
}

static inline void close_all(struct fixture *fixture)
{
    registry_free(fixture->registry);
    store_close(fixture->store);
}

static inline int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_int_equal(scratch_dir_make(fixture->path, "registry_test"), 0);
    fixture->store_options = (struct store_options){.path = fixture->path,
                                                    .series_max = 100,
                                                    .series_per_metric_max = 5,
                                                    .retention_raw_ms = 1ll << 50};
    fixture->options = (struct registry_options){
        .idle_timeout_ms = 3 * TICK, .series_max = 100, .flush_interval_ms = TICK};
    arena_init(&fixture->arena, 1 << 24);
    open_all(fixture);
    *state = fixture;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *fixture = *state;
    close_all(fixture);
    arena_release(&fixture->arena);
    assert_int_equal(scratch_dir_remove(fixture->path), 0);
    free(fixture);
    return 0;
}

static inline void flush(struct fixture *fixture, int64_t tick_ms)
{
    struct error err = {0};
    struct store_batch *batch = store_batch_new(fixture->store);
    registry_flush(fixture->registry, batch, tick_ms);
    if (!store_batch_is_empty(batch) && store_commit(fixture->store, batch, false, &err))
        fail_msg("%s", err.text);
    store_batch_free(batch);
}

/* As flush, but the store refuses. */
static inline void lose_flush(struct fixture *fixture, int64_t tick_ms)
{
    struct store_batch *batch = store_batch_new(fixture->store);
    registry_flush(fixture->registry, batch, tick_ms);
    store_batch_free(batch);
    registry_flush_failed(fixture->registry);
}

/* Labels of "name" or "name,key,value". */
struct named {
    struct label pairs[2];
    struct labels labels;
};

static inline struct labels named(struct named *out, const char *name, const char *key,
                                  const char *value)
{
    out->pairs[0] = (struct label){SLICE(LABEL_NAME), slice_of_string(name)};
    out->pairs[1] = (struct label){slice_of_string(key), slice_of_string(value)};
    out->labels = (struct labels){out->pairs, key ? 2 : 1};
    return out->labels;
}

static inline void count(struct fixture *fixture, const char *name, double n)
{
    struct named at;
    registry_count(fixture->registry, named(&at, name, NULL, NULL), n);
}

static inline void move_gauge(struct fixture *fixture, struct labels labels, double delta)
{
    struct registry_ref ref = registry_lookup(fixture->registry, labels, SERIES_GAUGE);
    registry_gauge_add_at(fixture->registry, ref, delta);
}

static inline void observe(struct fixture *fixture, double value)
{
    struct named h;
    struct histogram delta;
    histogram_init(&delta);
    histogram_add(&delta, value, 1);
    struct registry_ref ref =
        registry_lookup(fixture->registry, named(&h, "h", NULL, NULL), SERIES_HISTOGRAM);
    registry_histogram_at(fixture->registry, ref, &delta);
    histogram_release(&delta);
}

static inline void add_members(struct fixture *fixture, struct labels labels,
                               const struct sketch *members)
{
    struct registry_ref ref = registry_lookup(fixture->registry, labels, SERIES_SET);
    registry_set_at(fixture->registry, ref, members);
}

/* All samples of the series whose label `key` is `value` ("" = absent), as "tick:value ..." with
 * ticks relative to T0; histograms show count/sum. */
static inline const char *samples(struct fixture *fixture, const char *name, const char *key,
                                  const char *value)
{
    struct matcher matchers[2];
    struct store_selection selection;
    struct store_column column;
    struct error err = {0};
    struct buffer text;
    assert_int_equal(
        matcher_init(&matchers[0], MATCH_EQUAL, SLICE(LABEL_NAME), slice_of_string(name), &err), 0);
    assert_int_equal(
        matcher_init(&matchers[1], MATCH_EQUAL, slice_of_string(key), slice_of_string(value), &err),
        0);
    arena_reset(&fixture->arena);
    assert_int_equal(store_select(fixture->store,
                                  &(struct store_query){.matchers = matchers,
                                                        .matcher_count = 2,
                                                        .start_ms = 0,
                                                        .end_ms = INT64_MAX},
                                  &fixture->arena, &selection, &err),
                     0);
    if (selection.count != 1)
        return selection.count ? "several" : "none";
    struct store_reader *reader = store_reader_new(fixture->store);
    assert_int_equal(store_read(reader, (struct store_span){selection.at[0].id, 0, INT64_MAX},
                                &fixture->arena, &column, &err),
                     0);
    buffer_init(&text, 4096);
    for (size_t i = 0; i < column.count; i++) {
        const char *space = i ? " " : "";
        long long tick = (column.times[i] - T0) / TICK;
        if (selection.at[0].kind == SERIES_HISTOGRAM && !column.histograms[i])
            buffer_append_format(&text, "%s%lld:end", space, tick);
        else if (selection.at[0].kind == SERIES_HISTOGRAM)
            buffer_append_format(&text, "%s%lld:%g/%g", space, tick, column.histograms[i]->count,
                                 column.histograms[i]->sum);
        else if (is_stale_nan(column.values[i]))
            buffer_append_format(&text, "%s%lld:end", space, tick);
        else
            buffer_append_format(&text, "%s%lld:%.12g", space, tick, column.values[i]);
    }
    const char *out = arena_copy_string(&fixture->arena, buffer_slice(&text)).at;
    buffer_release(&text);
    store_reader_free(reader);
    return out;
}

#endif
