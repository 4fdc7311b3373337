/* frequent: space-saving (Metwally, Agrawal, El Abbadi 2005) in sets of eight, as a cache has them.
 *
 *   set   [ hash x 8 | count x 8 | error x 8 ]      key's low bits choose the set
 *           ^ one cache line: all that a hit looks at, and the next one, which it changes
 *
 * A key that is not there takes the place of the one with the smallest count in its set and goes on
 * from that count, which is the error it may have. The original searches all places for the
 * smallest; here it is one set, so that a miss costs as little as a hit, and the promise holds for
 * each set by itself: what has more than an eighth of its set's traffic is there.
 */
#include "server/ingest/frequent.h"

#include <assert.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "storage/base/alloc.h"

#define WAYS 8

struct set {
    uint64_t hash[WAYS]; /* 0 = free */
    uint64_t count[WAYS];
    uint64_t error[WAYS];
};

struct text {
    uint8_t len;
    char at[FREQUENT_KEY_MAX];
};

struct period {
    struct set *sets;
    struct text *texts; /* WAYS a set */
};

struct frequent {
    size_t set_count;
    struct period now, before;
    int64_t number;   /* of the period that is now, since the clock's beginning */
    int64_t start_ms; /* of it all */
};

static void period_init(struct period *period, size_t set_count)
{
    period->sets = alloc_zeroed(set_count, sizeof *period->sets);
    period->texts = alloc_zeroed(set_count * WAYS, sizeof *period->texts);
}

static void period_release(struct period *period)
{
    free(period->sets);
    free(period->texts);
}

struct frequent *frequent_new(size_t set_count)
{
    assert(set_count && (set_count & (set_count - 1)) == 0);
    struct frequent *frequent = alloc_zeroed(1, sizeof *frequent);
    frequent->set_count = set_count;
    period_init(&frequent->now, set_count);
    period_init(&frequent->before, set_count);
    return frequent;
}

void frequent_free(struct frequent *frequent)
{
    if (!frequent)
        return;
    period_release(&frequent->now);
    period_release(&frequent->before);
    free(frequent);
}

/* The older period becomes the new one, empty. */
static void turn(struct frequent *frequent)
{
    struct period fresh = frequent->before;
    memset(fresh.sets, 0, frequent->set_count * sizeof *fresh.sets);
    frequent->before = frequent->now;
    frequent->now = fresh;
}

void frequent_tick(struct frequent *frequent, int64_t now_ms)
{
    int64_t number = now_ms / FREQUENT_PERIOD_MS;
    if (!frequent->start_ms)
        frequent->start_ms = now_ms;
    if (number != frequent->number)
        turn(frequent);
    if (number > frequent->number + 1) /* what would be "before" ended too long ago */
        turn(frequent);
    frequent->number = number;
}

/* The key's place in its set, perhaps taken from another. */
static size_t place_of(struct set *set, uint64_t hash, bool *fresh)
{
    size_t least = 0;
    *fresh = false;
    for (size_t i = 0; i < WAYS; i++)
        if (set->hash[i] == hash)
            return i;
    for (size_t i = 1; i < WAYS; i++)
        if (set->count[i] < set->count[least])
            least = i;
    set->hash[least] = hash;
    set->error[least] = set->count[least];
    *fresh = true;
    return least;
}

void frequent_add(struct frequent *frequent, struct slice key, uint64_t count)
{
    uint64_t hash = XXH3_64bits(key.at, key.len) | 1; /* never 0 */
    size_t index = (hash >> 1) & (frequent->set_count - 1);
    struct set *set = &frequent->now.sets[index];
    bool fresh;
    size_t place = place_of(set, hash, &fresh);
    set->count[place] += count;
    if (!fresh)
        return;
    struct text *text = &frequent->now.texts[index * WAYS + place];
    struct slice kept = slice_head(key, FREQUENT_KEY_MAX);
    text->len = (uint8_t)kept.len;
    if (kept.len)
        memcpy(text->at, kept.at, kept.len);
}

static size_t list_period(const struct period *period, size_t places, struct frequent_key *out,
                          size_t room)
{
    size_t count = 0;
    for (size_t i = 0; i < places && count < room; i++) {
        const struct set *set = &period->sets[i / WAYS];
        if (!set->hash[i % WAYS])
            continue;
        struct frequent_key *key = &out[count++];
        key->hash = set->hash[i % WAYS];
        key->count = set->count[i % WAYS];
        key->error = set->error[i % WAYS];
        key->len = period->texts[i].len;
        memcpy(key->text, period->texts[i].at, key->len);
    }
    return count;
}

size_t frequent_list(const struct frequent *frequent, struct frequent_key *out, size_t room)
{
    size_t places = frequent->set_count * WAYS;
    size_t count = list_period(&frequent->now, places, out, room);
    return count + list_period(&frequent->before, places, out + count, room - count);
}

int64_t frequent_span_ms(const struct frequent *frequent, int64_t now_ms)
{
    int64_t begun_ms = (frequent->number - 1) * FREQUENT_PERIOD_MS;
    return now_ms - (begun_ms > frequent->start_ms ? begun_ms : frequent->start_ms);
}

static int by_hash(const void *a, const void *b)
{
    const struct frequent_key *x = a, *y = b;
    return (x->hash > y->hash) - (x->hash < y->hash);
}

static int by_count(const void *a, const void *b)
{
    const struct frequent_key *x = a, *y = b;
    return x->count != y->count ? (x->count < y->count) - (x->count > y->count) : by_hash(a, b);
}

size_t frequent_merge(struct frequent_key *keys, size_t count)
{
    size_t kept = 0;
    qsort(keys, count, sizeof *keys, by_hash);
    for (size_t i = 0; i < count; i++) {
        if (kept && keys[kept - 1].hash == keys[i].hash) {
            keys[kept - 1].count += keys[i].count;
            keys[kept - 1].error += keys[i].error;
        } else {
            keys[kept++] = keys[i];
        }
    }
    qsort(keys, kept, sizeof *keys, by_count);
    return kept;
}
