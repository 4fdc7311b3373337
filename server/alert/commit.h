/* commit: what one evaluation of one rule changes, written at once and only then believed.
 *
 * Alert states, outgoing messages and the samples of ALERTS (or of a recording rule) go into one
 * batch. When it is durable the board is changed and the sender told; when it fails nothing has
 * happened, and the next evaluation finds the same work again.
 * Thread: alert.
 */
#ifndef SERVER_ALERT_COMMIT_H
#define SERVER_ALERT_COMMIT_H

#include "server/alert/board.h"
#include "server/alert/sender.h"

struct alert_change {
    struct alert_instance *instance; /* NULL = a new one */
    uint64_t rule_id;
    bool present;             /* in this evaluation's result */
    struct labels labels;     /* the alert's; at most LABELS_MAX - 2 */
    struct slice key;         /* the same, encoded */
    struct slice annotations; /* encoded */
    struct alert_state before, after;
};

struct recorded_sample {
    struct labels labels;
    double value;
    const struct histogram *histogram; /* NULL: it is a number */
};

struct alert_commit {
    struct rule_run *run;
    int64_t now_ms;    /* of the evaluation */
    int64_t sample_ms; /* now_ms minus the group's query_offset */
    struct alert_change *changes;
    size_t count;
    struct recorded_sample *records;
    size_t record_count;
    /* Filled in on the way. */
    struct outbox_message *messages;
    size_t message_count;
    uint32_t *recorded; /* the series of the records, sorted; the rule's own once committed */
    size_t recorded_count;
    struct error refused; /* a series that the store would not take */
};

struct committer {
    struct store *store;
    struct writer *writer;
    struct sender *sender;
    struct alert_board *board;
    const char *external_url;
    struct arena *arena; /* for messages; lives until after the commit */
};

/* Composes messages, writes, applies. -1 = nothing was written. */
MUST_USE int commit_run(struct committer *committer, struct alert_commit *commit,
                        struct error *err);

#endif
