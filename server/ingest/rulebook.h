/* rulebook: the mapping in force, from statsd.mapping_file; others take its place at a reload.
 *
 * Whoever follows it holds the mapping that it found, and looks now and then whether there is another.
 * Threads: any.
 */
#ifndef SERVER_INGEST_RULEBOOK_H
#define SERVER_INGEST_RULEBOOK_H

#include "server/wire/mapping.h"

struct rulebook;

/* With no rules. */
struct rulebook *rulebook_new(void);
void rulebook_free(struct rulebook *book);
/* Reads the file of the option, "" for none: NULL in *out. The caller holds what it gets. */
MUST_USE int rulebook_read(const char *path, struct mapping **out, struct error *err);
/* Puts it in force, and says so in the log. */
void rulebook_replace(struct rulebook *book, const char *path, struct mapping *owned);
/* The mapping in force, to be let go by mapping_free; NULL when there is none. */
struct mapping *rulebook_hold(struct rulebook *book);

#endif
