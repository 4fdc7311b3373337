/* retention: tells the store what the configuration says of how long samples are kept. */
#ifndef SERVER_RETENTION_H
#define SERVER_RETENTION_H

#include "server/config.h"
#include "server/writer.h"

/* Before the writer runs. */
MUST_USE int retention_apply(const struct config *config, struct store *store, struct error *err);
/* Any thread but the writer's: the same while the server runs. */
MUST_USE int retention_reload(const struct config *config, struct store *store,
                              struct writer *writer, struct error *err);

#endif
