/* ranking: a bitmap over the sorted values of a series.
 *
 *   samples  5  1  4  1  3  9      in order of time; the window is 4 1 3
 *   place    4  0  3  1  2  5
 *   sorted   1  1  3  4  5  9
 *   present  0  1  1  1  0  0      the k-th set bit is the k-th smallest of the window
 *                ^ cursor: the word, and how many bits are set before it
 *
 * From one window to the next a quantile moves by a few places, so that the cursor nearly always
 * finds it in the word where it stands or the next one. Sorting is by radix, the values turned into
 * integers of the same order.
 */
#include "query/ranking.h"

#include <math.h>
#include <string.h>

#define WORD_BITS  64
#define DIGIT_BITS 8
#define DIGITS     (64 / DIGIT_BITS)
#define RADIX      (1 << DIGIT_BITS)

struct ranked {
    uint64_t key;
    uint32_t sample;
};

/* --- sorting --- */

/* Orders as numbers do, NaN before all of them. */
static uint64_t key_of(double value)
{
    uint64_t bits, sign = (uint64_t)1 << 63;
    memcpy(&bits, &value, sizeof bits);
    if (isnan(value))
        return 0;
    return bits & sign ? ~bits : bits | sign;
}

static size_t digit_of(uint64_t key, int digit)
{
    return key >> (digit * DIGIT_BITS) & (RADIX - 1);
}

static void count_digits(const struct ranked *at, size_t count, uint32_t counts[DIGITS][RADIX])
{
    memset(counts, 0, sizeof(uint32_t[DIGITS][RADIX]));
    for (size_t i = 0; i < count; i++)
        for (int digit = 0; digit < DIGITS; digit++)
            counts[digit][digit_of(at[i].key, digit)]++;
}

/* The least significant digit first; a digit that all share is passed over. Answers where the sorted
 * ones are. */
static struct ranked *sort(struct ranked *at, struct ranked *spare, size_t count)
{
    uint32_t counts[DIGITS][RADIX];
    count_digits(at, count, counts);
    for (int digit = 0; digit < DIGITS; digit++) {
        uint32_t *next = counts[digit], sum = 0;
        if (next[digit_of(at[0].key, digit)] == count)
            continue;
        for (size_t i = 0; i < RADIX; i++) {
            uint32_t here = next[i];
            next[i] = sum;
            sum += here;
        }
        for (size_t i = 0; i < count; i++)
            spare[next[digit_of(at[i].key, digit)]++] = at[i];
        struct ranked *sorted = spare;
        spare = at;
        at = sorted;
    }
    return at;
}

bool ranking_make(struct arena *arena, const double *values, size_t count, struct ranking *out)
{
    size_t words = (count + WORD_BITS - 1) / WORD_BITS;
    double *sorted = arena_alloc(arena, count * sizeof *sorted);
    uint32_t *place = arena_alloc(arena, count * sizeof *place);
    struct ranked *at = arena_alloc(arena, count * sizeof *at);
    struct ranked *spare = arena_alloc(arena, count * sizeof *spare);
    *out = (struct ranking){.sorted = sorted, .place = place};
    out->present = arena_zeroed(arena, words, sizeof *out->present);
    if (!sorted || !place || !at || !spare || !out->present || count > UINT32_MAX)
        return false;
    for (size_t i = 0; i < count; i++)
        at[i] = (struct ranked){key_of(values[i]), (uint32_t)i};
    if (count)
        at = sort(at, spare, count);
    for (size_t i = 0; i < count; i++) {
        sorted[i] = values[at[i].sample];
        place[at[i].sample] = (uint32_t)i;
    }
    return true;
}

/* --- moving --- */

void ranking_move(struct ranking *ranking, size_t first, size_t end)
{
    size_t gone = first < ranking->end ? first : ranking->end;
    for (size_t i = ranking->first; i < gone; i++) {
        size_t word = ranking->place[i] / WORD_BITS;
        ranking->present[word] &= ~((uint64_t)1 << ranking->place[i] % WORD_BITS);
        ranking->below -= word < ranking->word;
    }
    for (size_t i = first > ranking->end ? first : ranking->end; i < end; i++) {
        size_t word = ranking->place[i] / WORD_BITS;
        ranking->present[word] |= (uint64_t)1 << ranking->place[i] % WORD_BITS;
        ranking->below += word < ranking->word;
    }
    ranking->first = first;
    ranking->end = end;
}

/* --- asking --- */

static size_t bits_set(uint64_t word)
{
    return (size_t)__builtin_popcountll(word);
}

/* The place of the value of rank k: the (k + 1)-th set bit. */
static size_t place_of_rank(struct ranking *ranking, size_t k)
{
    while (ranking->below > k)
        ranking->below -= bits_set(ranking->present[--ranking->word]);
    for (;;) {
        size_t bits = bits_set(ranking->present[ranking->word]);
        if (ranking->below + bits > k)
            break;
        ranking->below += bits;
        ranking->word++;
    }
    uint64_t word = ranking->present[ranking->word];
    for (size_t skip = k - ranking->below; skip > 0; skip--)
        word &= word - 1;
    return ranking->word * WORD_BITS + (size_t)__builtin_ctzll(word);
}

static size_t next_place(const struct ranking *ranking, size_t place)
{
    size_t at = place / WORD_BITS;
    uint64_t word = ranking->present[at] & ~(uint64_t)1 << place % WORD_BITS;
    while (!word)
        word = ranking->present[++at];
    return at * WORD_BITS + (size_t)__builtin_ctzll(word);
}

double ranking_quantile(struct ranking *ranking, double q)
{
    size_t count = ranking->end - ranking->first;
    double rank = q * (double)(count - 1);
    size_t lower = (size_t)rank, place = place_of_rank(ranking, lower);
    double value = ranking->sorted[place];
    double next = lower + 1 < count ? ranking->sorted[next_place(ranking, place)] : value;
    return quantile_between(value, next, rank - (double)lower);
}

void ranking_values(const struct ranking *ranking, double *out)
{
    size_t left = ranking->end - ranking->first;
    for (size_t at = 0; left; at++)
        for (uint64_t word = ranking->present[at]; word; word &= word - 1, left--)
            *out++ = ranking->sorted[at * WORD_BITS + (size_t)__builtin_ctzll(word)];
}
