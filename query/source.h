/* source: how the series of a selector come out of the store. For range.c only, and the tests of
 * the choice.
 */
#ifndef QUERY_SOURCE_H
#define QUERY_SOURCE_H

#include "query/call.h"

enum source { SOURCE_SAMPLES, SOURCE_5M, SOURCE_1H, SOURCE_PIECES };

/* The windows of all steps: (start_ms, end_ms], moved on by step_ms. */
struct source_windows {
    int64_t start_ms, end_ms; /* of the first */
    int64_t step_ms;
    size_t steps;
    bool instant; /* only the newest sample of each window is asked for */
};

/* The coarsest source from which every window can be answered exactly. Pure. */
enum source source_choose(const struct source_windows *windows);

/* What is done with each series of a selector; memory of the column is in the scratch. */
struct reading {
    struct eval *eval;
    const struct grid *grid;
    struct range range;
    enum source source;
    struct coarse coarse; /* of the series under way */
    struct scratch scratch;
    void *out; /* struct sink or struct samples_sink */
    bool instant, sample_time;
    bool sketches; /* of sets are wanted */
    bool of_counters;
    int64_t before_ms;                      /* read from that much before the first window on */
    const struct bucket_function *function; /* of windows */
    int (*take)(struct reading *reading, struct labels labels, const struct store_column *column);
    int (*take_buckets)(struct reading *reading, struct labels labels,
                        const struct store_buckets *buckets);
};

/* --- coarse.c --- */
/* Says in infos that the answer is approximate where only buckets of this width are left. */
void coarse_note(struct eval *eval, int64_t width_ms);
/* The last border of the width that is not after `time_ms`. */
int64_t coarse_border(int64_t time_ms, int64_t width_ms);
/* How far an instant selector looks back at that time. */
int64_t coarse_lookback(const struct coarse *coarse, int64_t now_ms, int64_t lookback_ms);
/* Appends the samples after `after_ms`, each as a bucket of its own. False when memory is out. */
MUST_USE bool coarse_append(struct arena *arena, const struct store_column *column,
                            int64_t after_ms, struct store_buckets *buckets);

/* --- parallel.c --- */
/* Reads the first *done series by several threads: all of them, or none where that does not pay, or as
 * far as it went well. */
MUST_USE int reading_parallel(struct reading *reading, const struct store_selection *selection,
                              size_t *done);

/* --- source.c --- */
MUST_USE int reading_one(struct reading *reading, const struct store_series *series);
/* Hands every series that matches and has something in the windows to `take` or `take_buckets`. */
MUST_USE int reading_run(struct reading *reading, const struct plan *plan);

#endif
