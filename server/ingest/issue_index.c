/* issue_index: an array of rows, a table from id to place, and a scan.
 *
 *   rows   [ row row row ... row ]      removal moves the last row into the gap
 *            ^ by_id: "1f3a..." -> 0
 *
 * A listing walks all rows (a millisecond for 100,000 of them) and keeps the `limit` newest in a
 * heap whose root is the oldest kept; an ordered index would cost every event for the sake of a
 * page somebody opens now and then.
 */
#include "server/ingest/issue_index.h"

#include <assert.h>
#include <stdlib.h>

#include "storage/base/alloc.h"

void issue_index_init(struct issue_index *index, size_t count_max)
{
    *index = (struct issue_index){.rows = NULL};
    table_init(&index->by_id, count_max);
}

void issue_index_release(struct issue_index *index)
{
    for (size_t i = 0; i < index->count; i++)
        free(index->rows[i].text);
    free(index->rows);
    table_release(&index->by_id);
}

struct issue_row *issue_index_find(struct issue_index *index, const char *id)
{
    struct table_entry *entry = table_find(&index->by_id, slice_of_string(id));
    return entry ? &index->rows[entry->value.number] : NULL;
}

static struct issue_row *add_row(struct issue_index *index, const struct issue *issue)
{
    bool fresh;
    struct table_entry *entry = table_insert(&index->by_id, slice_of_string(issue->id), &fresh);
    if (!entry)
        return NULL;
    assert(fresh);
    if (index->count == index->capacity) {
        index->capacity = index->capacity ? index->capacity * 2 : 64;
        index->rows = alloc_resize(index->rows, index->capacity, sizeof *index->rows);
    }
    entry->value.number = index->count;
    struct issue_row *row = &index->rows[index->count++];
    *row = (struct issue_row){.project_len = (uint16_t)strlen(issue->project)};
    memcpy(row->id, issue->id, sizeof row->id);
    struct buffer text;
    buffer_init(&text, sizeof issue->project + sizeof issue->title);
    buffer_append_string(&text, issue->project);
    buffer_append_string(&text, issue->title);
    buffer_append_char(&text, '\0');
    row->text = alloc_resize(text.at, text.len, 1); /* the buffer's memory, to its exact size */
    return row;
}

int issue_index_put(struct issue_index *index, const struct issue *issue)
{
    assert(issue->id[0]);
    struct issue_row *row = issue_index_find(index, issue->id);
    if (!row)
        row = add_row(index, issue);
    if (!row)
        return -1;
    row->level = (uint8_t)issue->level;
    row->status = (uint8_t)issue->status;
    row->first_seen_ms = issue->first_seen_ms;
    row->last_seen_ms = issue->last_seen_ms;
    row->last_received_ms = issue->last_received_ms;
    return 0;
}

void issue_index_remove(struct issue_index *index, const char *id)
{
    struct table_entry removed;
    if (!table_remove(&index->by_id, slice_of_string(id), &removed))
        return;
    size_t place = removed.value.number;
    free(index->rows[place].text);
    if (place != --index->count) {
        index->rows[place] = index->rows[index->count];
        table_find(&index->by_id, slice_of_string(index->rows[place].id))->value.number = place;
    }
}

/* --- selecting --- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool contains_nocase(const char *text, struct slice part)
{
    for (; *text; text++) {
        size_t i = 0;
        while (i < part.len && lower(text[i]) == lower(part.at[i]) && text[i])
            i++;
        if (i == part.len)
            return true;
    }
    return part.len == 0;
}

static bool row_matches(const struct issue_row *row, const struct issue_filter *filter)
{
    if ((filter->level >= 0 && row->level != filter->level) ||
        (filter->status >= 0 && row->status != filter->status))
        return false;
    if (filter->project.len > 0 &&
        !slice_equal(filter->project, slice_make(row->text, row->project_len)))
        return false;
    return contains_nocase(row->text + row->project_len, filter->query);
}

/* Newer first; ids break ties so that pages are stable. */
static bool newer(const struct issue_row *a, const struct issue_row *b)
{
    if (a->last_seen_ms != b->last_seen_ms)
        return a->last_seen_ms > b->last_seen_ms;
    return memcmp(a->id, b->id, ISSUE_ID_LEN) < 0;
}

/* heap[0] is the oldest of those kept. */
static void sift_down(const struct issue_row **heap, size_t count, size_t at)
{
    for (;;) {
        size_t oldest = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++)
            if (newer(heap[oldest], heap[child]))
                oldest = child;
        if (oldest == at)
            return;
        const struct issue_row *swap = heap[at];
        heap[at] = heap[oldest];
        heap[oldest] = swap;
        at = oldest;
    }
}

static void sift_up(const struct issue_row **heap, size_t at)
{
    while (at > 0 && newer(heap[(at - 1) / 2], heap[at])) {
        const struct issue_row *swap = heap[at];
        heap[at] = heap[(at - 1) / 2];
        heap[(at - 1) / 2] = swap;
        at = (at - 1) / 2;
    }
}

size_t issue_index_select(const struct issue_index *index, const struct issue_filter *filter,
                          char (*ids)[ISSUE_ID_LEN + 1])
{
    size_t count = 0;
    if (filter->limit == 0)
        return 0;
    const struct issue_row **heap = alloc_zeroed(filter->limit, sizeof(const struct issue_row *));
    for (size_t i = 0; i < index->count; i++) {
        const struct issue_row *row = &index->rows[i];
        bool full = count == filter->limit;
        if ((full && !newer(row, heap[0])) || !row_matches(row, filter))
            continue;
        if (full) {
            heap[0] = row;
            sift_down(heap, count, 0);
        } else {
            heap[count] = row;
            sift_up(heap, count++);
        }
    }
    /* Taking the oldest off again and again fills the answer from its end. */
    for (size_t left = count; left > 0; left--) {
        memcpy(ids[left - 1], heap[0]->id, ISSUE_ID_LEN + 1);
        heap[0] = heap[left - 1];
        sift_down(heap, left - 1, 0);
    }
    free(heap);
    return count;
}
