/* Any text: either a positioned error, or a plan whose canonical text is a fixed point: it parses,
 * and prints as itself. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "query/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print(const struct plan *plan, struct buffer *out)
{
    buffer_reset(out);
    plan_print(plan, out);
}

static void check_fixed_point(const struct plan *plan)
{
    struct buffer first, second;
    struct arena arena;
    struct error err;
    struct plan *again;
    arena_init(&arena, 64 << 20);
    buffer_init(&first, 1 << 22);
    buffer_init(&second, 1 << 22);
    print(plan, &first);
    /* Quoting and spelling out may make a text longer than what is accepted. */
    if (!first.overflow && first.len <= QUERY_TEXT_MAX) {
        if (parse_promql(buffer_slice(&first), &arena, &again, &err) < 0) {
            fprintf(stderr, "%.*s\n%s\n", SLICE_ARG(buffer_slice(&first)), err.text);
            abort();
        }
        print(again, &second);
        assert(slice_equal(buffer_slice(&first), buffer_slice(&second)));
        assert(again->type == plan->type);
        plan_release(again);
    }
    buffer_release(&first);
    buffer_release(&second);
    arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_make(data, size);
    struct arena arena;
    struct error err = {0};
    struct plan *plan;
    arena_init(&arena, 16 << 20);
    if (parse_promql(text, &arena, &plan, &err) == 0) {
        assert(plan->start <= plan->end && plan->end <= size);
        check_fixed_point(plan);
        plan_release(plan);
    } else {
        assert(err.kind == ERROR_BAD_DATA || err.kind == ERROR_LIMIT);
        assert(err.text[0]);
    }
    arena_reset(&arena);
    if (parse_selector(text, &arena, &plan, &err) == 0) {
        assert(plan->kind == PLAN_SELECTOR);
        plan_release(plan);
    }
    arena_release(&arena);
    return 0;
}
