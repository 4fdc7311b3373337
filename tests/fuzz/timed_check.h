/* What holds of every reading, whatever the bytes were. */
#ifndef TESTS_FUZZ_TIMED_CHECK_H
#define TESTS_FUZZ_TIMED_CHECK_H

#include <assert.h>
#include <math.h>

#include "server/wire/timed.h"

static void check_text(struct slice text)
{
    assert(text.len);
    while (text.len) {
        size_t step = slice_utf8_length(text);
        assert(step && !(step == 1 && ((unsigned char)text.at[0] < ' ' || text.at[0] == 0x7f)));
        text = slice_skip(text, step);
    }
}

static void check_sample(const struct timed_sample *sample)
{
    struct labels labels = sample->labels;
    assert(isfinite(sample->value));
    assert(labels.count >= 1 && labels.count <= LABELS_MAX);
    assert(labels_get(labels, SLICE(LABEL_NAME)).len);
    for (size_t i = 0; i < labels.count; i++) {
        check_text(labels.at[i].name);
        check_text(labels.at[i].value);
        assert(i == 0 || slice_compare(labels.at[i - 1].name, labels.at[i].name) < 0);
    }
}

static void check_line(const struct timed_line *line)
{
    for (size_t i = 0; i < line->count; i++)
        check_sample(&line->samples[i]);
    assert(!line->has_time || (line->time_ms >= -TIMED_MS_MAX && line->time_ms <= TIMED_MS_MAX));
}

#endif
