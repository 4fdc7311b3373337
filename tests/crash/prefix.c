/* prefix: which of the operations that may be there are there.
 *
 * Each commit writes its number into a document, so that one look tells how far the commits go. Those
 * operations behind the last one that are no commits (deletions, say) show only in what they do:
 * with and without them are tried in turn.
 */
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "tests/crash/crash.h"

/* The number of commits that the store has; -1 when it cannot be read. */
static int64_t read_commits(struct store *store, struct error *err)
{
    struct buffer value;
    buffer_init(&value, 64);
    int status = store_get(store, SLICE("commits"), &value, err);
    buffer_append(&value, "", 1);
    int64_t commits = status == 1 ? strtoll(value.at, NULL, 10) : status;
    buffer_release(&value);
    return commits;
}

/* Applies entries until the model has as many commits as the store. */
static int64_t follow_commits(struct model *model, struct store *store, const struct prefix *prefix,
                              struct op *op, struct error *err)
{
    size_t kept = 0;
    int64_t commits = read_commits(store, err);
    if (commits < (int64_t)model->commits)
        return error_set(err, ERROR_INTERNAL, "lost: commits %lld to %llu, which were there before",
                         (long long)commits + 1, (unsigned long long)model->commits);
    while ((int64_t)model->commits < commits && kept < prefix->count) {
        op_make(model, prefix->at[kept].kind, prefix->at[kept].seed, op);
        model_apply(model, op);
        kept++;
    }
    if ((int64_t)model->commits != commits)
        return error_set(err, ERROR_INTERNAL, "wrong: commit %lld was never begun",
                         (long long)commits);
    return (int64_t)kept;
}

/* All failures count: which of the tries should have succeeded is not known. */
static void note_failure(struct error *err, const struct error *why)
{
    struct error before = *err;
    if (!why->text[0])
        return;
    if (before.text[0])
        error_set(err, ERROR_INTERNAL, "%.400s; with the next operation %.400s", before.text,
                  why->text);
    else
        *err = *why;
}

/* Tries one after the other, up to the next commit. */
static int64_t try_each(struct model *model, struct store *store, const struct prefix *prefix,
                        size_t kept, struct op *op, struct error *err)
{
    for (;; kept++) {
        struct error why = {0};
        bool more = kept < prefix->count;
        if (more)
            op_make(model, prefix->at[kept].kind, prefix->at[kept].seed, op);
        model_expect_retention(model, prefix->now_ms);
        if (kept >= prefix->needed && compare(model, store, &why) == 0)
            return (int64_t)kept;
        note_failure(err, &why);
        if (kept < prefix->needed && op->commits)
            return error_set(err, ERROR_INTERNAL, "lost: commit %llu, which was acknowledged",
                             (unsigned long long)model->commits + 1);
        if (!more || op->commits)
            return -1;
        model_apply(model, op);
    }
}

int64_t compare_prefix(struct model *model, struct store *store, const struct prefix *prefix,
                       struct error *err)
{
    struct op *op = alloc_zeroed(1, sizeof *op);
    int64_t kept = follow_commits(model, store, prefix, op, err);
    if (kept >= 0)
        kept = try_each(model, store, prefix, (size_t)kept, op, err);
    free(op);
    return kept;
}
