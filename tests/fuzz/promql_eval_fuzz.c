/* Any query text the parser takes is evaluated, as an instant and as a range query, over a small
 * store with floats, histograms, gaps, markers and resets, under a tight budget. It must answer or
 * refuse with a sentence; answers must be well-formed. */
#include "query/parse.h"
#include "storage/base/clock.h"
#include "tests/fuzz/promql_store.h"

#define MEMORY_BYTES ((size_t)4 << 20)
#define SAMPLES_MAX  20000
#define DEADLINE_NS  INT64_C(300000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(const struct plan *plan, struct promql_request request)
{
    struct arena arena;
    struct promql_result result;
    struct error err = {0};
    arena_init(&arena, MEMORY_BYTES);
    request.plan = plan;
    request.samples_max = SAMPLES_MAX;
    request.deadline_ns = clock_monotonic_ns() + DEADLINE_NS;
    if (promql_run(store, &request, &arena, &result, &err) != 0) {
        assert(err.kind != ERROR_NONE && err.kind != ERROR_INTERNAL);
        assert(err.text[0]);
    } else {
        for (size_t i = 0; i < result.count; i++)
            check_series(&result.series[i], &request);
        for (size_t i = 1; i < result.count && request.step_ms; i++)
            assert(labels_compare(result.series[i - 1].labels, result.series[i].labels) <= 0);
    }
    arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct plan *plan;
    struct error err;
    if (!store)
        open_store();
    arena_init(&arena, MEMORY_BYTES);
    if (parse_promql(slice_make(data, size), &arena, &plan, &err) == 0) {
        run(plan, (struct promql_request){.start_ms = 300000, .end_ms = 300000});
        run(plan, (struct promql_request){.start_ms = 0, .end_ms = 400000, .step_ms = 25000});
        plan_release(plan);
    }
    arena_release(&arena);
    return 0;
}
