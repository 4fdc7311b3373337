/* mapped: what the mapping file (server/wire/mapping.h) makes of statsd metrics.
 *
 * The rule of a name is found once, when it is new, and kept as a number by whoever keeps the name.
 * Everything here takes a mapping that is NULL, and the number 0, for none. Any thread.
 */
#ifndef SERVER_INGEST_MAPPED_H
#define SERVER_INGEST_MAPPED_H

#include "server/wire/mapping.h"
#include "server/wire/statsd.h"

/* Registers the figures. */
void mapped_init(void);
/* The number of the rule for a raw name, whose tags do not take part. */
uint16_t mapped_rule(const struct mapping *mapping, const struct statsd_metric *metric);
/* Whether the rule drops the line, which is then counted. */
bool mapped_drops(const struct mapping *mapping, uint16_t rule);
/* Multiplies the metric's value by the rule's scale. False when that leaves the range of numbers,
 * which is counted. */
bool mapped_scale(const struct mapping *mapping, uint16_t rule, struct statsd_metric *metric);
/* As statsd_labels, with the name and the labels that the rule gives. */
MUST_USE bool mapped_labels(const struct mapping_rule *rule, struct statsd_name name,
                            struct slice tags, struct arena *arena, struct labels *out);
/* NULL for number 0. */
const struct mapping_rule *mapped_at(const struct mapping *mapping, uint16_t rule);

#endif
