/* ingest: statsd from its sockets to the store; owner of the workers and of the flush tick.
 *
 * At each multiple of statsd.flush_interval on the wall clock all workers swap their tables, and
 * one synced batch takes everything to the store. The ticks also serve whoever else feeds the
 * registry, so they go on when statsd has no sockets at all.
 * Threads: open, ports, close: main. Inside: N workers and one flusher.
 */
#ifndef SERVER_INGEST_INGEST_H
#define SERVER_INGEST_INGEST_H

#include "server/config.h"
#include "server/ingest/account.h"
#include "server/ingest/registry.h"
#include "server/ingest/rulebook.h"
#include "server/ingest/tap.h"
#include "server/writer.h"

struct ingest;

struct ingest_parts {
    const struct config *config;
    struct writer *writer;
    struct registry *registry; /* all three must outlive the ingest */
    /* Writer thread, at each tick before the registry is flushed; may be NULL. */
    void (*on_tick)(void *arg, struct registry *registry);
    void *arg;
};

/* Reads statsd.mapping_file, NULL for none. The caller holds what it gets. */
MUST_USE int ingest_read_mapping(const struct config *config, struct mapping **out,
                                 struct error *err);
/* Binds the sockets and starts the threads. The error says which address is to blame. */
MUST_USE int ingest_open(const struct ingest_parts *parts, struct ingest **out, struct error *err);
/* The ports in use (for port 0); -1 = off. */
int ingest_udp_port(const struct ingest *ingest);
int ingest_tcp_port(const struct ingest *ingest);
/* What a worker knows of its senders, until the close; NULL when there is no such worker. Any thread. */
struct account *ingest_account(const struct ingest *ingest, size_t worker);
/* The taps of all listeners; they must be closed before the ingest. Any thread. */
struct taps *ingest_taps(const struct ingest *ingest);
/* What a listener (enum worker_transport) takes; NULL when it is off. */
const struct statsd_profile *ingest_profile(const struct ingest *ingest, int transport);
/* Other rules, in force from the next tick on: what came before it is stored as it was meant. Any thread. */
void ingest_replace_mapping(struct ingest *ingest, const struct config *config,
                            struct mapping *owned);
/* The rules in force, to be let go by mapping_free; NULL when there are none. Any thread. */
struct mapping *ingest_mapping(const struct ingest *ingest);
/* Stops the sockets, reads what the kernel still holds, and commits the unfinished tick at the
 * present time. The writer must still run. NULL is fine. */
void ingest_close(struct ingest *ingest);

#endif
