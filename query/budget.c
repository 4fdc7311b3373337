/* budget: what keeps one query from hurting the rest.
 *
 * Time: a deadline, looked at once a series and every few hundred steps. Samples: those read from
 * the store. Memory: the arena of the query has a limit; scratch arenas get what is left of it, so
 * that the sum of all stays below; and all running queries together have one. Each refusal names the limit and the option that raises it.
 */
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include "query/eval.h"
#include "storage/base/clock.h"
#include "storage/base/number.h"

#define NOTE_BYTES_MAX 512
#define SEEN_MIN       16

bool promql_share_raise(struct promql_share *share, int64_t bytes)
{
    int64_t had = atomic_load(&share->bytes);
    while (had < bytes)
        if (atomic_compare_exchange_weak(&share->bytes, &had, bytes)) {
            int64_t before = atomic_fetch_add(&share->pool->bytes, bytes - had);
            return before + bytes - had <= share->pool->bytes_max;
        }
    return true;
}

void promql_share_return(struct promql_share *share)
{
    atomic_fetch_sub(&share->pool->bytes, atomic_exchange(&share->bytes, 0));
}

int promql_share_check(struct promql_share *share, size_t bytes, struct error *err)
{
    if (promql_share_raise(share, (int64_t)bytes))
        return 0;
    return error_set(err, ERROR_LIMIT,
                     "all running queries together would need more than %lld bytes of memory; ask "
                     "again later, or raise limits.query_memory_total",
                     (long long)share->pool->bytes_max);
}

/* Looked at as often as the time, so a query may be ahead by what one series takes. */
static int check_share(const struct eval *eval)
{
    size_t used = eval->arena->limit - eval_memory_left(eval);
    return eval->share ? promql_share_check(eval->share, used, eval->err) : 0;
}

int eval_check(struct eval *eval)
{
    if (eval->request->cancelled && atomic_load(eval->request->cancelled))
        return error_set(eval->err, ERROR_CANCELED,
                         "the query was cancelled: nobody waits for it any more");
    if (eval->request->deadline_ns == 0 || clock_monotonic_ns() < eval->request->deadline_ns)
        return check_share(eval);
    return error_set(eval->err, ERROR_TIMEOUT,
                     "query timed out in expression evaluation; narrow the range or the "
                     "selectors, or raise limits.query_timeout");
}

size_t eval_memory_left(const struct eval *eval)
{
    size_t used = eval->arena->used + eval->owned_bytes;
    for (const struct scratch *scratch = eval->scratches; scratch; scratch = scratch->outer)
        used += scratch->arena.used;
    return used < eval->arena->limit ? eval->arena->limit - used : 0;
}

int eval_fail_memory(struct eval *eval)
{
    return error_set(eval->err, ERROR_LIMIT,
                     "query processing would need more than %zu bytes of memory; narrow the range "
                     "or the selectors, or raise limits.query_memory",
                     eval->arena->limit);
}

int eval_count_samples(struct eval *eval, size_t count)
{
    eval->samples_read += (int64_t)count;
    if (eval->request->samples_max == 0 || eval->samples_read <= eval->request->samples_max)
        return 0;
    return error_set(eval->err, ERROR_LIMIT,
                     "query processing would load more than %lld samples into memory; narrow the "
                     "range or the selectors, or raise limits.query_samples",
                     (long long)eval->request->samples_max);
}

void scratch_open(struct eval *eval, struct scratch *scratch)
{
    arena_init(&scratch->arena, eval_memory_left(eval));
    scratch->outer = eval->scratches;
    eval->scratches = scratch;
}

void scratch_clear(struct eval *eval, struct scratch *scratch)
{
    arena_reset(&scratch->arena);
    scratch->arena.limit = eval_memory_left(eval);
}

void scratch_close(struct eval *eval, struct scratch *scratch)
{
    eval->scratches = scratch->outer;
    arena_release(&scratch->arena);
}

/* Appends where the part stands in the query, as far as there is room. */
static size_t note_position(struct slice query, const struct plan *at, char *text, size_t len)
{
    size_t line = 1, column = 1;
    if (!at || query.len == 0)
        return len;
    for (size_t i = 0; i < at->start && i < query.len; i++) {
        column = query.at[i] == '\n' ? 1 : column + 1;
        line += query.at[i] == '\n';
    }
    int more = snprintf(text + len, NOTE_BYTES_MAX - len, " (%zu:%zu)", line, column);
    return len + (size_t)more < NOTE_BYTES_MAX ? len + (size_t)more : len;
}

/* The place of the hash, or the empty one where it belongs. */
static uint64_t *seen_place(const struct notes *notes, uint64_t hash)
{
    size_t at = hash % notes->seen_capacity;
    while (notes->seen[at] && notes->seen[at] != hash)
        at = (at + 1) % notes->seen_capacity;
    return &notes->seen[at];
}

static bool seen_grow(struct arena *arena, struct notes *notes)
{
    struct notes old = *notes;
    if (2 * notes->seen_count < notes->seen_capacity)
        return true;
    size_t capacity = old.seen_capacity ? 2 * old.seen_capacity : SEEN_MIN;
    uint64_t *seen = arena_zeroed(arena, capacity, sizeof *seen);
    if (!seen)
        return false;
    notes->seen = seen;
    notes->seen_capacity = capacity;
    for (size_t i = 0; i < old.seen_capacity; i++)
        if (old.seen[i])
            *seen_place(notes, old.seen[i]) = old.seen[i];
    return true;
}

/* False when it was there already; it is not when memory is out, which ends the query. */
static bool seen_add(struct arena *arena, struct notes *notes, uint64_t hash)
{
    if (!seen_grow(arena, notes))
        return false;
    uint64_t *place = seen_place(notes, hash);
    if (*place)
        return false;
    *place = hash;
    notes->seen_count++;
    return true;
}

void notes_count(struct eval *eval, struct notes *notes, const struct notes *more)
{
    for (size_t i = 0; i < more->seen_capacity; i++)
        if (more->seen[i])
            seen_add(eval->arena, notes, more->seen[i]);
}

static void note(struct eval *eval, struct notes *notes, const struct plan *at, const char *format,
                 va_list args)
{
    char text[NOTE_BYTES_MAX];
    int written = vsnprintf(text, sizeof text, format, args);
    if (written < 0)
        return;
    size_t len = (size_t)written < sizeof text ? (size_t)written : sizeof text - 1;
    struct slice s = slice_make(text, note_position(eval->request->text, at, text, len));
    if (seen_add(eval->arena, notes, slice_hash(s) | 1) && notes->count < NOTES_MAX)
        notes->at[notes->count++] = arena_copy(eval->arena, s);
}

void eval_warn(struct eval *eval, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    note(eval, &eval->warnings, NULL, format, args);
    va_end(args);
}

void eval_warn_outside(struct eval *eval, const struct plan *param, int max, const double *values,
                       size_t steps)
{
    const char *what = max == 1 ? "quantile" : "percentile";
    for (size_t i = 0; i < steps; i++) {
        if (values[i] >= 0 && values[i] <= max)
            continue;
        struct buffer text;
        buffer_init(&text, NUMBER_TEXT_MAX);
        number_print(values[i], NUMBER_TEXT, &text);
        eval_warn_at(eval, param,
                     "PromQL warning: %s value should be between 0 and %d, got " SLICE_FMT, what,
                     max, SLICE_ARG(buffer_slice(&text)));
        buffer_release(&text);
    }
}

void eval_info(struct eval *eval, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    note(eval, &eval->infos, NULL, format, args);
    va_end(args);
}

void eval_warn_at(struct eval *eval, const struct plan *at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    note(eval, &eval->warnings, at, format, args);
    va_end(args);
}

void eval_info_at(struct eval *eval, const struct plan *at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    note(eval, &eval->infos, at, format, args);
    va_end(args);
}
