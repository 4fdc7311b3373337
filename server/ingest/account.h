/* account: what one ingest worker knows of its senders: who sends most, which metrics are busiest, and
 * of each reason for which a line is refused the last such line and who sent it.
 *
 * How much is lost is not told here, but by the counters on /metrics; this says who and what. The worker
 * gives it a sample of each batch, so that it costs the same whatever a batch holds.
 * Threads: all functions but new and free take a lock: any.
 */
#ifndef SERVER_INGEST_ACCOUNT_H
#define SERVER_INGEST_ACCOUNT_H

#include "server/ingest/frequent.h"
#include "server/ingest/refusal.h"
#include "server/wire/statsd.h"

#define ACCOUNT_KEYS_MAX 1024

/* Reasons are those of the parser (enum statsd_reject) and these. */
enum account_reason {
    ACCOUNT_STREAM_TOO_LONG = STATSD_REJECT_COUNT, /* a line, over a connection */
    ACCOUNT_TRUNCATED,                             /* a datagram */
    ACCOUNT_REASON_COUNT,
};
/* As in the label of lapwing_statsd_rejects_total. */
const char *account_reason_name(unsigned reason);

enum account_list {
    ACCOUNT_METRICS, /* names, without tags */
    ACCOUNT_SOURCES, /* by metrics; keys are struct peer without a port */
    ACCOUNT_REFUSED, /* sources, by lines refused */
    ACCOUNT_LIST_COUNT,
};

struct account;

struct account *account_new(void);
void account_free(struct account *account);

/* A metric of a batch stands for all of it. */
void account_metric(struct account *account, const struct statsd_metric *metric, uint64_t count);
/* The sender of some metrics. */
void account_source(struct account *account, const struct peer *peer, uint64_t count);
/* A line that was refused. */
void account_refused(struct account *account, unsigned reason, const char *transport,
                     const struct peer *peer, struct slice line);
/* Lets the periods go on; before reading, and now and then. */
void account_tick(struct account *account, int64_t now_ms);

void account_last_refusal(struct account *account, unsigned reason, struct refusal *out);
/* Appends up to `room` keys; see frequent_list. */
size_t account_list(struct account *account, enum account_list list, struct frequent_key *out,
                    size_t room);
/* Since when the lists count. */
int64_t account_span_ms(struct account *account, int64_t now_ms);

#endif
