/* fingerprint: which error events are the same problem. Pure; any thread.
 *
 * The answer is a hash over the parts that tell problems apart; the parts themselves are readable
 * text, so that "why are these one issue?" has an answer.
 */
#ifndef SERVER_INGEST_FINGERPRINT_H
#define SERVER_INGEST_FINGERPRINT_H

#include "server/wire/sentry.h"

#define FINGERPRINT_SIZE       16        /* bytes of the hash */
#define FINGERPRINT_PARTS_MAX  (1 << 18) /* bytes of the parts; a good limit for the buffer */
#define FINGERPRINT_FRAMES_MAX 30        /* newest contributing frames of one exception */

/* Appends the parts to `parts` and hashes project, version and parts. */
void fingerprint_of(const struct error_event *event, struct slice project, struct buffer *parts,
                    uint8_t hash[FINGERPRINT_SIZE]);

/* One line for a list of issues: "TypeError: x is undefined", or the message's first line. */
void error_event_title(const struct error_event *event, struct buffer *out);
/* Where it happened: the transaction, else "function (file)" of the newest frame of the app. */
void error_event_culprit(const struct error_event *event, struct buffer *out);
/* The exception that heads the title: the outermost one the SDK did not make up; NULL when the
 * event is a message. */
const struct error_exception *error_event_main_exception(const struct error_event *event);

#endif
