/* buckets: what the store says of a series in buckets, whether from rollups or folded on the way,
 * against a plain fold of the model.
 *
 * A bucket (end - width, end] that lies where its tier is kept must be there and right. One of which a
 * deletion took samples when the raw ones may have left already may be left out. Sums may differ by rounding, nothing else may.
 */
#include <math.h>

#include "tests/crash/crash.h"

struct fold {
    size_t from, to; /* samples of the slot */
    uint64_t count;
    int64_t first_ms, last_ms;
    uint64_t first, last; /* bits */
    double min, max, sum, drop;
    bool ended;
};

static struct fold fold_samples(const struct slot *slot, size_t from, size_t to)
{
    struct fold fold = {.from = from, .to = to, .min = NAN, .max = NAN};
    for (size_t i = from; i < to; i++) {
        struct sample sample = slot->at[i];
        fold.ended = sample.bits == STALE_NAN_BITS;
        if (fold.ended)
            continue;
        double value =
            slot->kind == SERIES_HISTOGRAM ? (double)sample.bits : bits_double(sample.bits);
        double before = slot->kind == SERIES_HISTOGRAM ? (double)fold.last : bits_double(fold.last);
        if (fold.count && value < before)
            fold.drop += before;
        if (fold.count++ == 0) {
            fold.first_ms = sample.time_ms;
            fold.first = sample.bits;
        }
        fold.last_ms = sample.time_ms;
        fold.last = sample.bits;
        fold.min = fmin(fold.min, value);
        fold.max = fmax(fold.max, value);
        fold.sum += value;
    }
    return fold;
}

static bool close_to(double a, double b, double scale)
{
    return fabs(a - b) <= 1e-9 * fmax(fabs(scale), 1);
}

static bool same_histogram(const struct histogram *got, uint64_t bits)
{
    struct histogram want;
    if (!got)
        return false;
    model_histogram(bits, &want);
    bool same = histogram_equal(got, &want);
    histogram_release(&want);
    return same;
}

/* NULL, or what differs. */
static const char *value_difference(const struct fold *fold, const struct store_buckets *buckets,
                                    size_t i)
{
    double scale = fmax(fabs(fold->min), fabs(fold->max)) * (double)fold->count;
    if (double_bits_of(buckets->first[i]) != fold->first ||
        double_bits_of(buckets->last[i]) != fold->last)
        return "the bucket has another first or last value";
    if (buckets->min[i] != fold->min || buckets->max[i] != fold->max)
        return "the bucket has other extremes";
    if (!close_to(buckets->sum[i], fold->sum, scale))
        return "the bucket has another sum";
    if (buckets->drop && !close_to(buckets->drop[i], fold->drop, scale))
        return "the bucket has another loss by resets";
    return NULL;
}

/* The loss by resets is a sum of histograms, each the same multiple of its number; its count tells. */
static const char *histogram_difference(const struct fold *fold,
                                        const struct store_buckets *buckets, size_t i,
                                        const struct slot *slot)
{
    const struct histogram *drop = buckets->drop_histogram ? buckets->drop_histogram[i] : NULL;
    double lost = 0, before = 0;
    if (!same_histogram(buckets->first_histogram[i], fold->first) ||
        !same_histogram(buckets->last_histogram[i], fold->last))
        return "the bucket has another first or last histogram";
    for (size_t at = fold->from; at < fold->to; at++) {
        if (slot->at[at].bits == STALE_NAN_BITS)
            continue;
        struct histogram histogram;
        model_histogram(slot->at[at].bits, &histogram);
        if (histogram.count < before)
            lost += before;
        before = histogram.count;
        histogram_release(&histogram);
    }
    if (!close_to(drop ? drop->count : 0, lost, lost))
        return "the bucket has another loss by resets";
    return NULL;
}

static const char *difference(const struct fold *fold, const struct store_buckets *buckets,
                              size_t i, const struct slot *slot)
{
    if (buckets->counts[i] != fold->count)
        return "the bucket has another count";
    if (buckets->ended[i] != fold->ended)
        return "the bucket ends with a stale marker, or should";
    if (fold->count == 0)
        return NULL;
    if (buckets->first_ms[i] != fold->first_ms || buckets->last_ms[i] != fold->last_ms)
        return "the bucket has other times";
    return slot->kind == SERIES_HISTOGRAM ? histogram_difference(fold, buckets, i, slot)
                                          : value_difference(fold, buckets, i);
}

struct walk {
    const struct comparison *c;
    const struct slot *slot;
    int64_t width_ms, from_ms; /* buckets that begin before that are not compared */
    const struct store_buckets *buckets;
    size_t got; /* the next of them */
};

static bool is_compared(const struct walk *walk, int64_t end_ms, bool there)
{
    const struct doubt *doubt =
        model_doubt(walk->c->model, walk->slot->serial, end_ms - walk->width_ms + 1, end_ms);
    return end_ms - walk->width_ms >= walk->from_ms && (!doubt || (there && doubt->deleted));
}

/* Passes over buckets that end before. */
static int skip_to(struct walk *walk, int64_t end_ms)
{
    for (; walk->got < walk->buckets->count && walk->buckets->end_ms[walk->got] < end_ms;
         walk->got++)
        if (is_compared(walk, walk->buckets->end_ms[walk->got], true))
            return differs(walk->c, "wrong", walk->slot, walk->buckets->end_ms[walk->got],
                           "a bucket of samples nobody wrote");
    return 0;
}

/* One bucket of the model. */
static int compare_fold(struct walk *walk, const struct fold *fold, int64_t end_ms)
{
    if (skip_to(walk, end_ms))
        return -1;
    bool there = walk->got < walk->buckets->count && walk->buckets->end_ms[walk->got] == end_ms;
    size_t got = walk->got;
    walk->got += there;
    if (!is_compared(walk, end_ms, there))
        return 0;
    if (!there)
        return differs(walk->c, "lost", walk->slot, end_ms, "the bucket that ends here is missing");
    const char *what = difference(fold, walk->buckets, got, walk->slot);
    shared->buckets++;
    return what ? differs(walk->c, "wrong", walk->slot, end_ms, what) : 0;
}

static int walk_buckets(struct walk *walk)
{
    const struct slot *slot = walk->slot;
    int64_t width_ms = walk->width_ms;
    for (size_t from = 0; from < slot->count;) {
        int64_t end = (slot->at[from].time_ms + width_ms - 1) / width_ms * width_ms;
        size_t to = slot_find(slot, end + 1);
        struct fold fold = fold_samples(slot, from, to);
        if (compare_fold(walk, &fold, end))
            return -1;
        from = to;
    }
    return skip_to(walk, INT64_MAX);
}

static int compare_all(const struct comparison *c, const struct slot *slot, enum store_tier tier,
                       const struct store_buckets *buckets)
{
    struct walk walk = {.c = c,
                        .slot = slot,
                        .width_ms = tier == STORE_5M ? STORE_5M_MS : STORE_1H_MS,
                        .from_ms = model_exact_from(c->model, slot->serial, tier),
                        .buckets = buckets};
    return walk_buckets(&walk);
}

static int compare_tier(struct comparison *c, const struct slot *slot, uint32_t id,
                        enum store_tier tier)
{
    int64_t width = tier == STORE_5M ? STORE_5M_MS : STORE_1H_MS;
    struct store_buckets buckets;
    struct store_span span = {id, 0, c->model->now_ms + DAY_MS};
    span.end_ms -= span.end_ms % width;
    arena_reset(&c->arena);
    if (store_read_buckets(c->reader, (struct store_tier_span){span, .tier = tier}, &c->arena,
                           &buckets, c->err))
        return -1;
    if (buckets.damaged)
        return differs(c, "lost", slot, 0, "a chunk below the buckets is damaged");
    return compare_all(c, slot, tier, &buckets);
}

int compare_no_buckets(const struct comparison *c, const struct slot *slot)
{
    const struct store_buckets none = {.count = 0};
    return compare_all(c, slot, STORE_5M, &none) || compare_all(c, slot, STORE_1H, &none) ? -1 : 0;
}

/* One window of any alignment. */
static int compare_pieces(struct comparison *c, const struct slot *slot, uint32_t id)
{
    struct store_buckets pieces;
    int64_t from = model_exact_from(c->model, slot->serial, STORE_RAW);
    int64_t range = c->model->now_ms - from + 1;
    if (range <= 0)
        return 0; /* a backup from before time leapt */
    int64_t start = from + random_below(&c->random, range);
    int64_t end = start + random_below(&c->random, range);
    uint64_t count = 0;
    double sum = 0;
    arena_reset(&c->arena);
    if (store_read_pieces(c->reader, (struct store_span){id, start, end}, &c->arena, &pieces,
                          c->err))
        return -1;
    struct fold fold = fold_samples(slot, slot_find(slot, start + 1), slot_find(slot, end + 1));
    for (size_t i = 0; i < pieces.count; i++) {
        count += pieces.counts[i];
        sum += pieces.sum && pieces.counts[i] ? pieces.sum[i] : 0;
    }
    double scale = fmax(fabs(fold.min), fabs(fold.max)) * (double)fold.count;
    if (count != fold.count)
        return differs(c, "wrong", slot, start, "the pieces from here have another count");
    if (count && pieces.sum && !close_to(sum, fold.sum, scale))
        return differs(c, "wrong", slot, start, "the pieces from here have another sum");
    return 0;
}

int compare_buckets(struct comparison *c, const struct slot *slot, uint32_t id)
{
    return compare_tier(c, slot, id, STORE_5M) || compare_tier(c, slot, id, STORE_1H) ||
                   compare_pieces(c, slot, id)
               ? -1
               : 0;
}
