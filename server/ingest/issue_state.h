/* issue_state: what issue.c (recording), issue_cache.c, issue_read.c and issue_expire.c share.
 *
 * Nobody else includes it. Thread: writer, but for the constant pointers.
 */
#ifndef SERVER_INGEST_ISSUE_STATE_H
#define SERVER_INGEST_ISSUE_STATE_H

#include "server/ingest/issue_document.h"
#include "server/ingest/issue_index.h"
#include "storage/base/metric.h"
#include "storage/sketch.h"

enum {
    ISSUES_KNOWN,
    ISSUES_CREATED,
    ISSUES_EXPIRED,
    ISSUES_DUPLICATES,
    ISSUES_SAMPLED_OUT,
    ISSUES_OVERFLOW,
    ISSUES_METRIC_COUNT,
};

extern struct metric issue_metrics[ISSUES_METRIC_COUNT];

/* An issue in full. It is pinned while a job that changed it waits for its commit. */
struct issue_entry {
    struct issue issue;
    struct sketch users;
    uint64_t users_saved; /* the estimate that was written last */
    unsigned pins;
    bool dirty;                        /* changed by the job that runs, not yet in the batch */
    bool stale;                        /* a commit failed: what is here never happened */
    struct issue_entry *newer, *older; /* in the order of use */
};

struct issues {
    struct store *store;
    struct writer *writer;
    struct registry *registry;
    struct issues_options options;
    struct issue_index index;
    struct table cache; /* id -> struct issue_entry */
    struct issue_entry *newest, *oldest;
    struct table pending; /* project/event id of events whose commit is under way */
    size_t expire_cursor; /* place in index.rows */
    /* The last seen-key deleted; what stands before it is gone. */
    char seen_cursor[ISSUE_KEY_MAX];
    size_t seen_cursor_len;
    struct buffer scratch;
};

/* The entry an event belongs to, made when the problem is new (count 0 until applied). The caller
 * pins it at once. NULL with *err set when the store fails. */
struct issue_entry *issue_entry_of(struct issues *issues, const struct issue_event *event,
                                   struct error *err);
/* The job that pinned it is through. */
void issue_entry_unpin(struct issues *issues, struct issue_entry *entry, bool failed);
/* Drops an unpinned issue from memory; it is read again when needed. */
void issue_entry_drop(struct issues *issues, struct issue_entry *entry);
/* Reads the committed document. 1 found, 0 absent, -1 error. */
MUST_USE int issue_load(struct store *store, const char *id, struct issue *out, struct error *err);

#endif
