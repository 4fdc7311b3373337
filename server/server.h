/* server: the daemon's parts, wired together; who owns what and in which order it stops.
 *
 * One per process. Open, run and close are for the main thread.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "server/config.h"

struct server;

struct server_options {
    const char *config_path; /* NULL = defaults */
    const char *data_dir;    /* overrides the file's; NULL = as configured */
};

/* Reads the configuration and the override into *out. */
MUST_USE int server_configure(const struct server_options *options, struct arena *arena,
                              struct config *out, struct error *err);
/* Opens the store, starts the threads, binds all sockets. The error says what to change. */
MUST_USE int server_open(const struct server_options *options, struct server **out,
                         struct error *err);
/* Serves until SIGTERM or SIGINT. From then on a second one ends the process at once, status 1. */
void server_run(struct server *server);
/* Drains in the pipeline's order, so that all that was received is in the store. NULL is fine. */
void server_close(struct server *server);

#endif
