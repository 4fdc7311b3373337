/* literal: the values of PromQL literals, and their canonical text. Pure; any thread.
 */
#ifndef QUERY_LITERAL_H
#define QUERY_LITERAL_H

#include "storage/base/arena.h"
#include "storage/base/buffer.h"
#include "storage/base/error.h"

/* A quoted string, quotes included: "..." and '...' with Go's escapes, `...` raw. The value lives
 * in the arena (or in `quoted`) and may hold any byte. The error is the bare reason. */
MUST_USE int literal_string(struct slice quoted, struct arena *arena, struct slice *out,
                            struct error *err);
/* 1, 1.5, 1e3, 0x1F, 017 (octal, as in Prometheus), Inf, NaN. */
MUST_USE int literal_number(struct slice text, double *out, struct error *err);
/* 1h30m: units y w d h m s ms, each at most once and in this order; milliseconds. */
MUST_USE int literal_duration(struct slice text, int64_t *out, struct error *err);

/* A label name as the path of a request carries it: U__a_2e_b__c stands for a.b_c. What is not in that
 * code stands for itself. In the arena, or in `text`. */
struct slice literal_path_name(struct slice text, struct arena *arena);

void literal_print_string(struct slice value, struct buffer *out);
/* ms >= 0; 5400000 -> 1h30m, 0 -> 0s. */
void literal_print_duration(int64_t ms, struct buffer *out);

#endif
