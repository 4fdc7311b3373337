/* notice: events and service checks, on their way to become records and series.
 *
 *   _e{..}   record {type="event", level, host, service, environment}; statsd_events_total + 1
 *   _sc|..   statsd_service_check{check="name"} = 0..3; with a message also a record
 *
 * Records are gathered and handed to the writer without waiting for it: when it is behind, they
 * are dropped and counted, as everything over UDP. The series go the way of all statsd metrics.
 * Thread: the ingest worker that owns it; new, free: its owner, while the worker does not run.
 */
#ifndef SERVER_INGEST_NOTICE_H
#define SERVER_INGEST_NOTICE_H

#include "server/wire/statsd_notice.h"
#include "server/writer.h"

struct notices;

/* retention_ms: of log records; 0 = for ever. */
struct notices *notices_new(struct writer *writer, int64_t retention_ms);
/* Waits for the writer to be done with what was submitted. */
void notices_free(struct notices *notices);
/* Gathers the record and makes the metric that counts it; the metric borrows memory until the next
 * call. */
void notices_take_event(struct notices *notices, const struct statsd_notice *event,
                        struct statsd_metric *out);
void notices_take_check(struct notices *notices, const struct statsd_notice *check,
                        struct statsd_metric *out);
/* Hands over what was gathered. */
void notices_submit(struct notices *notices);

#endif
