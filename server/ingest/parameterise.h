/* parameterise: a message with its values replaced by what they are, so that messages which
 * differ only in values become equal. Pure; any thread.
 *
 *   user 42 (bob@example.com) timed out after 30s  ->  user <int> (<email>) timed out after <duration>
 */
#ifndef SERVER_INGEST_PARAMETERISE_H
#define SERVER_INGEST_PARAMETERISE_H

#include "storage/base/buffer.h"

#define PARAMETERISE_BYTES_MAX 1024 /* of the input that are looked at */
#define PARAMETERISE_LINES_MAX 2    /* non-empty ones */

/* Appends the first lines of `text`, trimmed, joined by '\n', with values replaced. */
void parameterise(struct slice text, struct buffer *out);

#endif
