/* issue_index: what a listing filters and sorts by, for every issue, in memory.
 *
 * About 300 bytes an issue; the rest is read from the store for the rows that are shown.
 * Thread: writer.
 */
#ifndef SERVER_INGEST_ISSUE_INDEX_H
#define SERVER_INGEST_ISSUE_INDEX_H

#include "server/ingest/issue.h"
#include "storage/base/table.h"

struct issue_row {
    char id[ISSUE_ID_LEN + 1];
    uint8_t level;
    uint8_t status;
    uint16_t project_len;
    char *text; /* owned: project, then title, NUL-terminated */
    int64_t first_seen_ms, last_seen_ms, last_received_ms;
};

struct issue_index {
    struct issue_row *rows; /* in no order */
    size_t count, capacity;
    struct table by_id; /* id -> place in rows */
};

void issue_index_init(struct issue_index *index, size_t count_max);
void issue_index_release(struct issue_index *index);

/* NULL when absent. Valid until the next put or remove. */
struct issue_row *issue_index_find(struct issue_index *index, const char *id);
/* Adds or updates; -1 when there is no room for another one. */
MUST_USE int issue_index_put(struct issue_index *index, const struct issue *issue);
void issue_index_remove(struct issue_index *index, const char *id);

/* The rows that match, the one seen last first; at most filter->limit ids. Returns their number. */
size_t issue_index_select(const struct issue_index *index, const struct issue_filter *filter,
                          char (*ids)[ISSUE_ID_LEN + 1]);

#endif
