/* message: what a notification says, before a channel puts it into its own words. Plain data.
 */
#ifndef SERVER_NOTIFY_MESSAGE_H
#define SERVER_NOTIFY_MESSAGE_H

#include "server/wire/timestamp.h"
#include "storage/labels.h"

struct message_alert {
    bool resolved;
    struct labels labels;
    struct labels annotations;
    int64_t starts_at_ms;
    int64_t ends_at_ms; /* 0 while firing */
};

struct message {
    struct slice receiver;
    struct labels group;        /* what its alerts have in common by rule: alertname */
    struct slice external_url;  /* where this server can be reached */
    struct slice generator_url; /* where the expression can be looked at */
    const struct message_alert *alerts;
    size_t count;
};

#define TIME_TEXT_MAX TIMESTAMP_TEXT_SIZE

/* "2026-01-02T03:04:05.678Z", without the fraction when it is zero. 0 gives "0001-01-01T00:00:00Z",
 * which is how Go, and so every receiver of these messages, says "never". */
const char *time_text(int64_t time_ms, char out[TIME_TEXT_MAX]);
/* Alertmanager's: FNV-1a over the sorted labels, 0xff behind each name and value. */
uint64_t labels_fingerprint(struct labels labels);
/* {}:{alertname="x"}, Alertmanager's name for a group. */
void message_group_key(const struct message *message, struct buffer *out);

#endif
