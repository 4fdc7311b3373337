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

#include "storage/kv_state.h"

#define NUMBER_BYTES 32
#define NUMBER_BITS  (8 * NUMBER_BYTES)
#define PLACES_MAX   1000

struct number {
    unsigned char at[NUMBER_BYTES]; /* big-endian: sorts as the key does */
};

static struct number number_of(struct slice key)
{
    struct number number = {{0}};
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

static bool can_seek(struct kv_iterator *it, struct slice key)
{
    struct error unused;
    return kv_seek(it, key) || kv_iterator_check(it, &unused) == 0;
}

/* Positions the iterator, which has failed behind `last`, on the next row that can be read. */
static bool pass_damage(struct kv_iterator *it, struct slice last)
{
    struct number base = number_of(last), good;
    unsigned bit = 0;
    for (;; bit++) {
        if (bit == NUMBER_BITS)
            return false;
        good = number_add(base, bit);
        if (can_seek(it, number_slice(&good)))
            break;
    }
    /* base + 2^(bit-1) failed: from there on, take each smaller step that still fails. */
    struct number bad = bit ? number_add(base, bit - 1) : base;
    while (bit-- > 0) {
        struct number middle = number_add(bad, bit);
        if (memcmp(middle.at, good.at, NUMBER_BYTES) >= 0)
            continue;
        if (can_seek(it, number_slice(&middle)))
            good = middle;
        else
            bad = middle;
    }
    return kv_seek(it, number_slice(&good));
}

/* Notes why the iterator stopped. False: it has come to its end. */
static bool note_damage(struct kv *kv, const struct kv_iterator *it)
{
    struct error err = {0};
    if (kv_iterator_check(it, &err) == 0)
        return false;
    damage_note(&kv->damages, DAMAGE_TABLE, "%s", err.text);
    return true;
}

int kv_each(struct kv *kv, const struct kv_range *range,
            bool (*visit)(void *arg, struct slice key, struct slice value), void *arg,
            struct error *err)
{
    struct buffer last;
    struct kv_iterator *it = kv_iterate(kv, range->family, range->from, range->to);
    int places = 0;
    int status = kv_iterator_refused(it, err);
    buffer_init(&last, SIZE_MAX);
    buffer_append_slice(&last, range->from);
    bool more = !status && kv_seek_first(it);
    while (!status) {
        while (more) {
            buffer_reset(&last);
            buffer_append_slice(&last, kv_key(it));
            if (!visit(arg, kv_key(it), kv_value(it)))
                break;
            more = kv_next(it);
        }
        if (more || !note_damage(kv, it))
            break;
        more = ++places < PLACES_MAX && pass_damage(it, buffer_slice(&last));
        if (!more)
            break;
    }
    buffer_release(&last);
    kv_iterator_free(it);
    return status ? -1 : places;
}
