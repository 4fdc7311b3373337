/* Any text: every sample has sorted, distinct, non-empty labels with a name, and a sane time. */
#include <assert.h>

#include "server/wire/openmetrics.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_sample(const struct openmetrics_sample *sample)
{
    struct labels labels = sample->labels;
    assert(labels.count >= 1 && labels.count <= LABELS_MAX);
    assert(labels_get(labels, SLICE(LABEL_NAME)).len);
    for (size_t i = 0; i < labels.count; i++) {
        assert(labels.at[i].name.len && labels.at[i].value.len);
        assert(i == 0 || slice_compare(labels.at[i - 1].name, labels.at[i].name) < 0);
    }
    assert(!sample->has_time ||
           (sample->time_ms > -(INT64_MAX / 2) && sample->time_ms < INT64_MAX / 2));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct openmetrics reader;
    struct openmetrics_sample sample;
    enum openmetrics_reject reject;
    struct arena arena;
    size_t lines = 0;
    arena_init(&arena, 16 << 20);
    openmetrics_init(&reader, slice_make(data, size));
    while (openmetrics_next(&reader, &arena, &sample, &reject)) {
        assert(reject < OPENMETRICS_REJECT_COUNT);
        assert(++lines <= size);
        if (reject == OPENMETRICS_OK)
            check_sample(&sample);
    }
    assert(reader.rest.len == 0);
    arena_release(&arena);
    return 0;
}
