/* issue_expire: a bounded piece of forgetting a tick.
 *
 *   issue-seen/<day>/...      days before yesterday: oldest first, in key order
 *   issue-event/<id>/<n>      older than the retention: a cursor walks the index, and looks into
 *                             issues that are old enough to have such events
 *   issue/<id>, -users/<id>   nothing arrived for the whole retention, and no event is left
 *
 * A second cursor remembers how far the seen-documents are gone, so that a scan does not start on a
 * heap of deleted keys. What a failed commit leaves behind is found again on the next round, or
 * after the next start.
 */
#include "server/ingest/issue_state.h"

#define SEEN_DELETES_MAX  20000 /* a call */
#define EVENT_DELETES_MAX 5000
#define ROWS_MAX          2000 /* rows looked at */
#define SCANS_MAX         100  /* issues looked into */

struct expiry {
    struct issues *issues;
    struct store_batch *batch;
    int64_t cutoff_ms; /* received before: expired */
    int64_t first_day; /* of seen-documents that stay */
    size_t deletes_left;
    bool complete; /* everything under the prefix went */
};

static bool visit_seen(void *arg, struct slice key, struct slice value)
{
    struct expiry *expiry = arg;
    int64_t day;
    (void)value;
    if (expiry->deletes_left == 0 || (issue_seen_day(key, &day) && day >= expiry->first_day))
        return false;
    expiry->deletes_left--;
    store_batch_delete(expiry->batch, key);
    expiry->issues->seen_cursor_len = key.len < ISSUE_KEY_MAX ? key.len : 0;
    memcpy(expiry->issues->seen_cursor, key.at, expiry->issues->seen_cursor_len);
    return true;
}

static bool visit_event(void *arg, struct slice key, struct slice value)
{
    struct expiry *expiry = arg;
    struct issue_body body;
    bool readable = issue_body_decode(value, &body);
    if (expiry->deletes_left == 0 || (readable && body.received_ms >= expiry->cutoff_ms)) {
        expiry->complete = false;
        return false;
    }
    expiry->deletes_left--;
    store_batch_delete(expiry->batch, key);
    return true;
}

static int expire_events(struct expiry *expiry, const char *id, struct error *err)
{
    struct issue_key prefix = issue_event_prefix(id);
    struct store_scan scan = {.prefix = issue_key_slice(&prefix)};
    expiry->complete = true;
    return store_scan(expiry->issues->store, &scan, visit_event, expiry, err);
}

/* True when the row is gone, and another one may stand in its place. */
static bool expire_issue(struct expiry *expiry, const struct issue_row *row)
{
    struct issues *issues = expiry->issues;
    struct table_entry *cached = table_find(&issues->cache, slice_of_string(row->id));
    struct issue_entry *entry = cached ? cached->value.pointer : NULL;
    if (!expiry->complete || row->last_received_ms >= expiry->cutoff_ms ||
        (entry && entry->pins > 0))
        return false;
    struct issue_key key = issue_key_of(row->id), users = issue_users_key(row->id);
    store_batch_delete(expiry->batch, issue_key_slice(&key));
    store_batch_delete(expiry->batch, issue_key_slice(&users));
    if (entry)
        issue_entry_drop(issues, entry);
    char id[ISSUE_ID_LEN + 1];
    memcpy(id, row->id, sizeof id);
    issue_index_remove(&issues->index, id);
    metric_add(&issue_metrics[ISSUES_EXPIRED], 1);
    return true;
}

static int expire_rows(struct expiry *expiry, struct error *err)
{
    struct issues *issues = expiry->issues;
    size_t rows = issues->index.count < ROWS_MAX ? issues->index.count : ROWS_MAX;
    size_t scans = SCANS_MAX;
    for (; rows > 0 && scans > 0 && expiry->deletes_left > 0; rows--) {
        if (issues->expire_cursor >= issues->index.count)
            issues->expire_cursor = 0;
        struct issue_row *row = &issues->index.rows[issues->expire_cursor];
        /* first_seen is the client's clock; a day more forgives most of its errors. */
        if (row->first_seen_ms < expiry->cutoff_ms + ISSUE_DAY_MS) {
            scans--;
            if (expire_events(expiry, row->id, err) < 0)
                return -1;
            if (expire_issue(expiry, row))
                continue;
        }
        issues->expire_cursor++;
    }
    return 0;
}

int issues_maintain(struct issues *issues, struct store_batch *batch, int64_t now_ms,
                    struct error *err)
{
    struct expiry expiry = {
        .issues = issues,
        .batch = batch,
        .cutoff_ms = now_ms - issues->options.retention_ms,
        .first_day = now_ms / ISSUE_DAY_MS - 1,
        .deletes_left = SEEN_DELETES_MAX,
    };
    /* A copy: the visits move the cursor. */
    char from[ISSUE_KEY_MAX];
    memcpy(from, issues->seen_cursor, issues->seen_cursor_len);
    struct store_scan scan = {.prefix = SLICE(SEEN_PREFIX),
                              .from = slice_make(from, issues->seen_cursor_len)};
    if (store_scan(issues->store, &scan, visit_seen, &expiry, err) < 0)
        return error_wrap(err, "expiring the ids of error events");
    expiry.deletes_left = EVENT_DELETES_MAX;
    if (issues->index.count > 0 && expire_rows(&expiry, err) < 0)
        return error_wrap(err, "expiring error events");
    metric_set(&issue_metrics[ISSUES_KNOWN], (int64_t)issues->index.count);
    return 0;
}
