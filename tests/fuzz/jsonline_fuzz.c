/* Any line: what is taken prints to a line that is taken again and prints the same. */
#include <assert.h>

#include "server/wire/jsonline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print_again(struct json_parser *parser, struct arena *arena, struct buffer *text)
{
    struct jsonline line;
    struct error err;
    struct buffer again;
    buffer_init(&again, SIZE_MAX);
    enum jsonline_reject reject = jsonline_parse(parser, buffer_slice(text), arena, &line, &err);
    assert(reject == JSONLINE_OK);
    jsonline_print(&line, &again);
    assert(slice_equal(buffer_slice(text), buffer_slice(&again)));
    buffer_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_parser *parser = json_parser_new(16 << 20);
    struct slice text = slice_make(data, size);
    struct jsonline line;
    struct error err = {0};
    struct arena arena;
    struct buffer printed;
    arena_init(&arena, 64 << 20);
    buffer_init(&printed, SIZE_MAX);
    (void)jsonline_starts(text);
    enum jsonline_reject reject = jsonline_parse(parser, text, &arena, &line, &err);
    assert(reject < JSONLINE_REJECT_COUNT && (reject == JSONLINE_OK || err.text[0]));
    if (reject == JSONLINE_OK) {
        assert(line.labels.count >= 1 && line.labels.count <= LABELS_MAX && line.column.count);
        assert(!line.column.values == (line.kind == SERIES_HISTOGRAM));
        jsonline_print(&line, &printed);
        print_again(parser, &arena, &printed);
    }
    buffer_release(&printed);
    arena_release(&arena);
    json_parser_free(parser);
    return 0;
}
