/* Fuzz: a line of series notation. What is refused has a place; what is accepted is bounded, and
 * its histograms read back the same from what they print as. */
#include <assert.h>

#include "query/notation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_histogram(const struct histogram *histogram, struct arena *arena)
{
    struct buffer first, second;
    struct notation_samples again;
    struct error err = {0};
    buffer_init(&first, 1 << 20);
    buffer_init(&second, 1 << 20);
    notation_print_histogram(histogram, &first);
    /* A bucket far away prints as a long list. */
    if (!first.overflow && notation_samples(buffer_slice(&first), arena, &again, &err) == 0) {
        assert(again.count == 1 && again.at[0].kind == NOTATION_HISTOGRAM);
        notation_print_histogram(again.at[0].histogram, &second);
        assert(slice_equal(buffer_slice(&first), buffer_slice(&second)));
    }
    buffer_release(&second);
    buffer_release(&first);
}

static void check_samples(const struct notation_samples *samples, struct arena *arena)
{
    assert(samples->count <= NOTATION_SAMPLES_MAX);
    for (size_t i = 0; i < samples->count && i < 8; i++)
        if (samples->at[i].kind == NOTATION_HISTOGRAM)
            check_histogram(samples->at[i].histogram, arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_make(data, size);
    struct error err = {0};
    struct arena arena;
    struct labels labels;
    struct notation_samples samples;
    arena_init(&arena, 64 << 20);
    size_t length = notation_series_length(text);
    assert(length <= size);
    if (notation_labels(slice_head(text, length), &arena, &labels, &err) < 0)
        assert(strstr(err.text, "parse error"));
    else
        assert(labels.count <= size);
    if (notation_samples(slice_skip(text, length), &arena, &samples, &err) < 0)
        assert(strstr(err.text, "parse error"));
    else
        check_samples(&samples, &arena);
    arena_release(&arena);
    return 0;
}
