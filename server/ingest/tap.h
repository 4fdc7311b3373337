/* tap: lines as they come in, for people who watch.
 *
 * A worker asks taps_any once a batch, which is all that taps cost while nobody watches. While
 * somebody does, it offers whole batches; lines that start with a tap's prefix are copied into the
 * tap's buffer, of TAP_BYTES_MAX. What does not fit, because the reader is slow, is dropped and
 * counted, and the reader is told. Ingest never waits.
 * Threads: any; one lock for all taps.
 */
#ifndef SERVER_INGEST_TAP_H
#define SERVER_INGEST_TAP_H

#include <stdatomic.h>

#include "server/net/peer.h"
#include "storage/base/buffer.h"
#include "storage/base/error.h"

#define TAPS_MAX      8
#define TAP_BYTES_MAX ((size_t)256 << 10)
#define TAP_LINE_MAX  8192 /* bytes shown of a line */

struct taps;
struct tap;

struct taps *taps_new(void);
/* All taps must be closed. */
void taps_free(struct taps *taps);
/* Ends all taps: their next read says so. */
void taps_end(struct taps *taps);
bool taps_any(const struct taps *taps);
/* Lines of one sender, the transport a static string. */
void taps_offer(struct taps *taps, const char *transport, const struct peer *peer,
                struct slice lines);

/* NULL, with the error set, when too many are open. The prefix is copied; at most TAP_LINE_MAX. */
MUST_USE struct tap *tap_open(struct taps *taps, struct slice prefix, struct error *err);
void tap_close(struct tap *tap);
/* Appends what came since the last read, a JSON object a line:
 *   {"line":"a:1|c","source":"127.0.0.1:4242","transport":"udp"}
 *   {"dropped":17}
 * The line is escaped (server/wire/printable.h). False once all taps have ended. */
MUST_USE bool tap_read(struct tap *tap, struct buffer *out);

#endif
