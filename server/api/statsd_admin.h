/* statsd_admin: the administration port of npm's statsd (8126), for the scripts that know it.
 *
 *   stats  counters  timers  gauges  delcounters NAME...  deltimers NAME...  delgauges NAME...
 *   health [up|down]  config  help  quit
 *
 * A command a line; answers end with "END" and an empty line where statsd's do. Names have their tags
 * as Graphite writes them: name;key=value. Deleting ends a series: it leaves memory with a stale
 * marker, its past stays. No password, so it is for loopback addresses.
 * A thread of its own; open and close belong to the main thread.
 */
#ifndef SERVER_API_STATSD_ADMIN_H
#define SERVER_API_STATSD_ADMIN_H

#include "server/config.h"
#include "server/ingest/registry.h"
#include "server/writer.h"

struct statsd_admin;

struct statsd_admin_parts {
    const struct config *config;
    struct writer *writer;
    struct registry *registry; /* the writer thread's; all must outlive the port */
};

/* NULL in *out when statsd.admin is "", or its default address is taken (logged). */
MUST_USE int statsd_admin_open(const struct statsd_admin_parts *parts, struct statsd_admin **out,
                               struct error *err);
/* -1 when there is none. */
int statsd_admin_port(const struct statsd_admin *admin);
void statsd_admin_close(struct statsd_admin *admin);

#endif
