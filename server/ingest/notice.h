/* notice: what is not aggregated: events, service checks, and samples with a time of their own.
 *
 *   _e{..}   record {type="event", level, host, service, environment}; statsd_events_total + 1
 *   _sc|..   statsd_service_check{check="name"} = 0..3; with a message also a record
 *
 *   |T..     registry_dated
 *
 * They are gathered and handed to the writer without waiting for it: while it is busy they wait, some
 * thousands of them, and beyond that they are dropped and counted, as everything over UDP. The two series
 * go the way of all statsd metrics.
 * Thread: the ingest worker that owns it; new, free: its owner, while the worker does not run.
 */
#ifndef SERVER_INGEST_NOTICE_H
#define SERVER_INGEST_NOTICE_H

#include "server/ingest/mapped.h"
#include "server/ingest/registry.h"
#include "server/wire/statsd_notice.h"
#include "server/writer.h"

struct notices;

/* retention_ms: of log records; 0 = for ever. */
struct notices *notices_new(struct writer *writer, struct registry *registry, int64_t retention_ms);
/* Rules for samples with a time; they outlive the notices. */
void notices_set_mapping(struct notices *notices, const struct mapping *mapping);
/* Waits for the writer to be done with what was submitted. */
void notices_free(struct notices *notices);
/* What counts an event, and what a check is as a reading: pure. *tags gets those of the sender and ours, and
 * the metric borrows it and the notice. */
struct statsd_metric notice_event_metric(const struct statsd_notice *event, struct buffer *tags);
struct statsd_metric notice_check_metric(const struct statsd_notice *check, struct buffer *tags);

/* Gathers the record and makes the metric that counts it; the metric borrows memory until the next
 * call. */
void notices_take_event(struct notices *notices, const struct statsd_notice *event,
                        struct statsd_metric *out);
void notices_take_check(struct notices *notices, const struct statsd_notice *check,
                        struct statsd_metric *out);
/* Gathers a counter or gauge that has a time, with all its values; it is used up. */
void notices_take_dated(struct notices *notices, struct statsd_metric *metric);
/* Hands over what was gathered; false while the writer is busy: then ask again soon. */
bool notices_submit(struct notices *notices);
/* The same, waiting for the writer. */
void notices_finish(struct notices *notices);

#endif
