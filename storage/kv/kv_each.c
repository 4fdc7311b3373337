/* kv_each: every row that can be read, whatever is damaged.
 *
 *   rows │ rows │ DAMAGED BLOCK │ rows │ rows
 *             ^ last row read         ^ found by probing
 *
 * An iterator that meets a block with a wrong checksum stops, and there is no call to go on behind
 * it. But a seek to any key beyond the block works. So keys are taken as numbers of 256 bits, a probe
 * gallops from the last row in steps that double until a seek succeeds, and halving the last step
 * finds the border. A row or two at the border may share their first 32 bytes with damaged ones and
 * are passed over too. A table that cannot be opened at all looks like one large block, or, on level
 * 0, like the whole family.
 */
#include <stdlib.h>

#include "storage/kv/kv_state.h"

#define NUMBER_BYTES 32
#define NUMBER_BITS  (8 * NUMBER_BYTES)
#define PLACES_MAX   1000

struct number {
    unsigned char at[NUMBER_BYTES]; /* big-endian: sorts as the key does */
};

static struct number number_of(struct slice key)
{
    struct number number = {{0}};
    if (key.len)
        memcpy(number.at, key.at, key.len < NUMBER_BYTES ? key.len : NUMBER_BYTES);
    return number;
}

static struct slice number_slice(const struct number *number)
{
    return slice_make((const char *)number->at, NUMBER_BYTES);
}

/* number + 2^bit, or the largest there is. */
static struct number number_add(struct number number, unsigned bit)
{
    unsigned carry = 1u << bit % 8;
    for (size_t i = NUMBER_BYTES - 1 - bit / 8; carry && i < NUMBER_BYTES; i--) {
        carry += number.at[i];
        number.at[i] = (unsigned char)carry;
        carry >>= 8;
    }
    if (carry)
        memset(number.at, 0xff, NUMBER_BYTES);
    return number;
}

/* One walk. */
struct walk {
    struct kv *kv;
    const struct kv_range *range;
    bool (*visit)(void *arg, struct slice key, struct slice value);
    void *arg;
    struct kv_iterator *it;
    struct buffer last; /* key of the row read last */
};

/* With a new iterator: one that has failed does not always say so again. False: it failed. */
static bool can_seek(struct walk *walk, const struct number *to)
{
    struct error unused;
    kv_iterator_renew(walk->it);
    return kv_seek(walk->it, number_slice(to)) || kv_iterator_check(walk->it, &unused) == 0;
}

/* Positions the iterator, which has failed behind `last`, on the next row that can be read. False:
 * there is none. */
static bool pass_damage(struct walk *walk)
{
    struct number base = number_of(buffer_slice(&walk->last)), good;
    unsigned bit = 0;
    for (;; bit++) {
        if (bit == NUMBER_BITS)
            return false;
        good = number_add(base, bit);
        if (can_seek(walk, &good))
            break;
    }
    /* base + 2^(bit-1) failed: from there on, take each smaller step that still fails. */
    struct number bad = bit ? number_add(base, bit - 1) : base;
    while (bit-- > 0) {
        struct number middle = number_add(bad, bit);
        if (memcmp(middle.at, good.at, NUMBER_BYTES) >= 0)
            continue;
        if (can_seek(walk, &middle))
            good = middle;
        else
            bad = middle;
    }
    return can_seek(walk, &good) && kv_seek(walk->it, number_slice(&good));
}

/* Visits the rows up to the next damage or the end. False: the visitor wants no more. */
static bool visit_sound(struct walk *walk, bool more)
{
    for (; more; more = kv_next(walk->it)) {
        buffer_reset(&walk->last);
        buffer_append_slice(&walk->last, kv_key(walk->it));
        if (!walk->visit(walk->arg, kv_key(walk->it), kv_value(walk->it)))
            return false;
    }
    return true;
}

/* Tells why the iterator stopped. False: it has come to its end. */
static bool tell_damage(const struct walk *walk)
{
    struct error err = {0};
    if (kv_iterator_check(walk->it, &err) == 0)
        return false;
    if (walk->range->on_damage)
        walk->range->on_damage(walk->arg, &err);
    else
        damage_note(&walk->kv->damages, DAMAGE_TABLE, "%s", err.text);
    return true;
}

static int run_walk(struct walk *walk)
{
    int places = 0;
    bool more = kv_seek_first(walk->it);
    while (visit_sound(walk, more) && tell_damage(walk)) {
        more = ++places < PLACES_MAX && pass_damage(walk);
        if (!more)
            break;
    }
    return places;
}

int kv_each(struct kv *kv, const struct kv_range *range,
            bool (*visit)(void *arg, struct slice key, struct slice value), void *arg,
            struct error *err)
{
    struct walk walk = {.kv = kv, .range = range, .visit = visit, .arg = arg};
    walk.it = kv_iterate(kv, range->family, range->from, range->to);
    int places = kv_iterator_refused(walk.it, err);
    buffer_init(&walk.last, SIZE_MAX);
    buffer_append_slice(&walk.last, range->from);
    if (!places)
        places = run_walk(&walk);
    buffer_release(&walk.last);
    kv_iterator_free(walk.it);
    return places;
}
