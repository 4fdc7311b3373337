/* outbox: messages that have been decided but not yet delivered.
 *
 * A message is a document, written in the same batch as the alert states it reports, and deleted
 * after the receiver took it: at least once, over restarts. In memory there is an entry a message,
 * which says when it is due. Messages of one group leave in the order they were written, so that a
 * "resolved" never overtakes its "firing".
 * Pure data structure and codecs; one thread at a time.
 */
#ifndef SERVER_ALERT_OUTBOX_H
#define SERVER_ALERT_OUTBOX_H

#include "storage/base/buffer.h"

#define OUTBOX_PREFIX       "outbox/"
#define OUTBOX_COUNT_MAX    ((size_t)1000)
#define OUTBOX_BODY_MAX     ((size_t)2 << 20) /* bytes */
#define OUTBOX_KEPT_MS      (24 * INT64_C(3600000))
#define OUTBOX_RETRY_MAX_MS INT64_C(3600000)

struct outbox_message {
    uint64_t sequence; /* order, and with it the identity towards the receiver */
    uint64_t group;    /* hash of channel and group key */
    int64_t created_ms;
    int64_t attempts; /* that failed */
    struct slice channel;
    struct slice body;
};

/* "outbox/" and 16 hexadecimal digits. */
void outbox_key(uint64_t sequence, struct buffer *out);
void outbox_encode(const struct outbox_message *message, struct buffer *out);
/* The slices point into `value`. False on malformed bytes. */
MUST_USE bool outbox_decode(struct slice key, struct slice value, struct outbox_message *out);

/* The pause before the next attempt after `attempts` (>= 1) failed ones: 5 s, 30 s, 2 m, 5 m, 15 m,
 * 30 m, then 1 h; longer when the receiver asked for it (0 = it did not). -1 = give up. */
int64_t outbox_retry_delay_ms(int64_t attempts, int64_t age_ms, int64_t retry_after_ms);

struct outbox_entry {
    uint64_t sequence;
    uint64_t group;
    int64_t due_ms; /* any clock, the same for all */
};

struct outbox {
    struct outbox_entry *at; /* by sequence */
    size_t count;
    size_t capacity;
};

void outbox_release(struct outbox *outbox);
/* Sequences grow from call to call. */
void outbox_add(struct outbox *outbox, struct outbox_entry entry);
/* The entry to send now: due, and the oldest of its group; NULL when there is none, and then
 * *wait_ms says in how long there may be (-1 = the outbox is empty). Valid until the next change. */
struct outbox_entry *outbox_next(struct outbox *outbox, int64_t now_ms, int64_t *wait_ms);
void outbox_remove(struct outbox *outbox, const struct outbox_entry *entry);

#endif
