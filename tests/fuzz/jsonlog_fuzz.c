/* jsonlog: any body. What is cut lies in the body, in order; what is accepted is within the
 * window, sorted, bounded, and is the line itself.
 */
#include <assert.h>

#include "server/wire/jsonlog.h"

#define LINE_MAX ((size_t)4096)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_record(const struct record *record, struct slice line,
                         const struct jsonlog_window *window)
{
    assert(record->time_ns >= window->oldest_ns && record->time_ns < window->newest_ns);
    assert(slice_equal(record->line, line) && line.len <= LINE_MAX);
    for (size_t i = 0; i < record->stream.count; i++) {
        struct label label = record->stream.at[i];
        assert(label.value.len > 0 && label.value.len <= JSONLOG_LABEL_MAX);
        assert(i == 0 || slice_compare(record->stream.at[i - 1].name, label.name) < 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct jsonlog *jsonlog;
    static struct arena arena;
    static const struct jsonlog_window window = {1795283795000000000, 1695283795000000000,
                                                 1795370195000000000};
    struct jsonlog_body body;
    struct slice line, text = slice_make(data, size);
    if (!jsonlog) {
        jsonlog = jsonlog_new(LINE_MAX);
        jsonlog_set_window(jsonlog, &window);
        arena_init(&arena, 1 << 20);
    }
    const char *end = text.at;
    jsonlog_body_init(&body, text);
    while (jsonlog_body_next(&body, &line)) {
        struct record record;
        struct error why = {0};
        assert(line.at >= end && line.at + line.len <= text.at + text.len);
        end = line.at + line.len;
        arena_reset(&arena);
        if (jsonlog_parse(jsonlog, line, &arena, &record, &why) == JSONLOG_OK)
            check_record(&record, line, &window);
        else
            assert(why.text[0]);
    }
    return 0;
}
