/* Any datagram: every line is refused for a reason, or is one sane reading. */
#include "server/wire/graphite.h"
#include "tests/fuzz/timed_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_make(data, size), line;
    struct timed_line out;
    struct arena arena;
    size_t lines = 0;
    arena_init(&arena, 1 << 20);
    while (graphite_cut_line(&text, &line)) {
        assert(line.len && ++lines <= size);
        arena_reset(&arena);
        enum graphite_reject reject = graphite_parse(line, &arena, &out);
        assert(reject < GRAPHITE_REJECT_COUNT);
        if (reject)
            continue;
        assert(out.count == 1 && out.unsupported == 0);
        check_line(&out);
    }
    assert(text.len == 0);
    arena_release(&arena);
    return 0;
}
