/* Any body, the first byte choosing the precision: no line is lost or read twice, and each is refused for
 * a reason or gives sane readings. */
#include "server/wire/influx.h"
#include "tests/fuzz/timed_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t count_feeds(struct slice text)
{
    size_t feeds = 0;
    for (size_t i = 0; i < text.len; i++)
        feeds += text.at[i] == '\n';
    return feeds;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct influx_options options = {.extra = {SLICE("db"), SLICE("d")}};
    struct slice line, text = slice_make(data, size);
    if (size == 0)
        return 0;
    options.precision = (enum influx_precision)(data[0] % (INFLUX_H + 1));
    struct influx_lines lines = {.rest = text = slice_skip(text, 1)};
    struct timed_line out;
    struct arena arena;
    arena_init(&arena, 16 << 20);
    while (influx_cut_line(&lines, &line)) {
        assert(line.len && line.at[0] != '#');
        assert(lines.number == 1 + count_feeds(slice_make(text.at, (size_t)(line.at - text.at))));
        arena_reset(&arena);
        enum influx_reject reject = influx_parse(line, &options, &arena, &out);
        assert(reject < INFLUX_REJECT_COUNT && reject != INFLUX_NO_MEMORY);
        if (reject)
            continue;
        assert(out.count + out.unsupported > 0 && out.count <= INFLUX_FIELDS_MAX);
        check_line(&out);
    }
    assert(lines.rest.len == 0);
    arena_release(&arena);
    return 0;
}
