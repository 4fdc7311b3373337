/* sender: the thread that empties the outbox.
 *
 * It learns of a message after the batch that wrote it was committed, sends it, and deletes it or
 * notes the failed attempt. What an earlier run left behind is tried again at once.
 * Thread: "notify" owns everything inside; the functions between open and close
 * are for the alert thread.
 */
#ifndef SERVER_ALERT_SENDER_H
#define SERVER_ALERT_SENDER_H

#include "server/alert/outbox.h"
#include "server/notify/message.h"
#include "server/writer.h"

struct sender;

struct sender_options {
    const char *webhook_url; /* "" = no channel: nothing is to be sent. Copied. */
    int64_t webhook_timeout_ms;
};

/* Reads the outbox and starts the thread. */
MUST_USE int sender_open(struct store *store, struct writer *writer,
                         const struct sender_options *options, struct sender **out,
                         struct error *err);
/* New settings; what waits is tried with them at once. */
void sender_configure(struct sender *sender, const struct sender_options *options);
/* Whether anybody is to be told at all. */
bool sender_has_channel(const struct sender *sender);
/* Messages that may still be added; 0 = the outbox is full. */
size_t sender_room(const struct sender *sender);
/* Puts the content into the channel's words: a new message, its body in the arena. -1 when the body
 * is larger than OUTBOX_BODY_MAX or the arena is exhausted. */
MUST_USE int sender_compose(struct sender *sender, const struct message *content,
                            struct arena *arena, struct outbox_message *out);
/* After the commit. */
void sender_add(struct sender *sender, const struct outbox_message *message);
/* Counts and logs a message that cannot be sent at all, or not now. */
void sender_drop(const char *reason);

/* Starts no further attempt, and gives the one in flight 3 s from now. */
void sender_hurry(struct sender *sender);
/* Hurries, unless that was said before, and joins. The rest stays in the outbox. NULL is fine. */
void sender_close(struct sender *sender);

#endif
