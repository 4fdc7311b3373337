/* Any bytes: labels are sorted, distinct and named; histograms have sorted buckets with counts. */
#include <assert.h>

#include "server/wire/remote_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_side(const struct histogram_side *side)
{
    assert(side->count <= HISTOGRAM_BUCKETS_MAX);
    for (size_t i = 0; i < side->count; i++) {
        assert(side->at[i].count > 0);
        assert(i == 0 || side->at[i - 1].index < side->at[i].index);
    }
}

static void check_series(const struct remote_series *series)
{
    assert(series->labels.count >= 1 && series->labels.count <= LABELS_MAX);
    assert(labels_get(series->labels, SLICE(LABEL_NAME)).len);
    for (size_t i = 0; i < series->labels.count; i++) {
        assert(series->labels.at[i].name.len && series->labels.at[i].value.len);
        assert(i == 0 ||
               slice_compare(series->labels.at[i - 1].name, series->labels.at[i].name) < 0);
    }
    for (size_t i = 0; i < series->count; i++) {
        const struct histogram *histogram = series->samples[i].histogram;
        if (!histogram)
            continue;
        assert(series->histograms);
        assert(histogram->schema >= HISTOGRAM_SCHEMA_MIN &&
               histogram->schema <= HISTOGRAM_SCHEMA_MAX);
        check_side(&histogram->positive);
        check_side(&histogram->negative);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct remote_write reader;
    struct remote_series series;
    enum remote_reject reject;
    struct arena arena;
    size_t count = 0;
    arena_init(&arena, 16 << 20);
    remote_write_init(&reader, slice_make(data, size));
    while (remote_write_next(&reader, &arena, &series, &reject)) {
        assert(reject < REMOTE_REJECT_COUNT);
        assert(++count <= size + 1);
        if (series.count)
            check_series(&series);
    }
    assert(reader.rest.len == 0);
    arena_release(&arena);
    return 0;
}
