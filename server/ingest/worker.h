/* worker: one thread from its sockets to its aggregation table.
 *
 * Each worker has an event loop, a UDP socket and a TCP listener of its own on the shared
 * addresses (SO_REUSEPORT), and a table of its own. The first also serves the unix sockets.
 * Threads: open, request_swap, stop, free: the owner. The table: see server/ingest/intake.h.
 */
#ifndef SERVER_INGEST_WORKER_H
#define SERVER_INGEST_WORKER_H

#include "server/ingest/account.h"
#include "server/ingest/intake.h"
#include "server/ingest/rulebook.h"
#include "server/ingest/tap.h"
#include "server/writer.h"
#include "storage/base/queue.h"

#define WORKERS_MAX 64 /* as statsd.workers allows */

struct worker;

enum worker_transport {
    WORKER_UDP,
    WORKER_TCP,
    WORKER_UNIX,
    WORKER_UNIX_STREAM,
    WORKER_TRANSPORT_COUNT,
};
extern const char *const worker_transport_names[WORKER_TRANSPORT_COUNT];

struct worker_options {
    struct statsd_profile profiles[WORKER_TRANSPORT_COUNT];
    int fds[WORKER_TRANSPORT_COUNT]; /* bound, -1 = none; the worker takes them over */
    int64_t connection_max;          /* TCP and unix streams, over all workers */
    struct intake_options intake;    /* its mapping comes from the rulebook */
    struct rulebook *rulebook;       /* must outlive the worker */
    struct writer *writer;           /* of events and samples with a time */
    struct registry *registry;       /* for the writer; both must outlive the worker */
    int64_t retention_logs_ms;       /* theirs; 0 = for ever */
    struct taps *taps;               /* of all workers */
    struct queue *replies;           /* gets the struct worker * after each swap asked for */
    unsigned index;
};

/* Registers the figures of so many workers; first. */
void worker_register(size_t count);
/* Starts the thread. */
struct worker *worker_start(const struct worker_options *options);
/* The worker swaps its table soon and then pushes itself to `replies`; it also does when the
 * writer still held the other side, which is then what there is to fold. */
void worker_request_swap(struct worker *worker);
/* The worker reads what its sockets still hold, closes them, and ends. */
void worker_request_stop(struct worker *worker);
/* Waits for that end. The table stays. */
void worker_join(struct worker *worker);
/* The present one: other rules replace it at a swap. */
struct intake *worker_intake(struct worker *worker);
/* Any thread, until worker_free. */
struct account *worker_account(struct worker *worker);
/* After worker_join. */
void worker_free(struct worker *worker);

#endif
