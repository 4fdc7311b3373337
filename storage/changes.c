/* changes: see the header.
 *
 *   number   3    7    8   12           a change that touches 25 takes the places of those that
 *   low     10   20   30   40           touched later times: for whoever asks from a number
 *            |    |    '----'--- 25     below, its time is the earlier one; above, only it counts
 *
 * So the list rises in both, and the answer is the first entry above the number: a binary search. Live
 * data makes an entry a commit. When the list is full, neighbours among the older half become one with
 * the later number and the earlier time, which answers too early a time at worst.
 */
#include "storage/changes.h"

static void thin(struct changes *changes)
{
    size_t half = changes->count / 2, kept = 0;
    for (size_t i = 0; i + 1 < half; i += 2)
        changes->at[kept++] = (struct change){changes->at[i + 1].number, changes->at[i].low_ms};
    for (size_t i = half & ~(size_t)1; i < changes->count; i++)
        changes->at[kept++] = changes->at[i];
    changes->count = kept;
}

void changes_add(struct changes *changes, int64_t low_ms)
{
    while (changes->count && changes->at[changes->count - 1].low_ms >= low_ms)
        changes->count--;
    if (changes->count == CHANGES_MAX)
        thin(changes);
    changes->at[changes->count++] = (struct change){++changes->last, low_ms};
}

int64_t changes_since(const struct changes *changes, uint64_t number)
{
    size_t from = 0, to = changes->count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (changes->at[middle].number > number)
            to = middle;
        else
            from = middle + 1;
    }
    return from < changes->count ? changes->at[from].low_ms : INT64_MAX;
}
