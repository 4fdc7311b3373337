/* mapping: rules that give dotted statsd names a name and labels, as statsd_exporter's mapping file
 * has them. What a line's tags add to that is not known here (server/ingest/mapped.h).
 *
 *   match: test.dispatcher.*.*      name: dispatches      labels: {processor: "$1", action: "$2"}
 *   test.dispatcher.Foo.send   ->   dispatches{processor="Foo", action="send"}
 *
 * Globs are asked first: of those that match the first in the file wins, or, where the file disables
 * ordering, the one whose leftmost fields are written out. Only what no glob matches goes to the
 * regular expressions, in their order; they match anywhere in the name.
 * Immutable once loaded: any number of threads may ask, and hold it while others already follow its
 * successor. Pure, but for mapping_load.
 * Source: statsd_exporter's README.md.
 */
#ifndef SERVER_WIRE_MAPPING_H
#define SERVER_WIRE_MAPPING_H

#include "storage/base/regex.h"
#include "storage/base/table.h"
#include "storage/labels.h"

#define MAPPING_RULES_MAX     10000
#define MAPPING_FIELDS_MAX    64   /* of a glob */
#define MAPPING_EXPANSION_MAX 4096 /* bytes of a name or label value */

enum mapping_type {
    MAPPING_COUNTER,
    MAPPING_GAUGE,
    MAPPING_OBSERVER, /* timers, histograms, distributions */
    MAPPING_SET,
    MAPPING_TYPE_COUNT,
};
#define MAPPING_ANY_TYPE ((1u << MAPPING_TYPE_COUNT) - 1)

struct mapping_rule {
    struct slice match;
    struct regex *regex;  /* NULL: match is a glob */
    struct slice name;    /* a template: $1, ${1} */
    struct labels labels; /* their values are templates */
    unsigned types;       /* bits 1 << enum mapping_type */
    double scale;         /* values are multiplied by it; > 0 */
    int64_t ttl_ms;       /* 0 = as the server's configuration has it */
    bool drop;
    bool honor_labels; /* tags of the line win over labels */
};

/* Rules have numbers from 1 on, in the order of the file; 0 is none. */
struct mapping_node {
    uint32_t star;                      /* the node behind a *; 0 = none */
    uint32_t rule[MAPPING_TYPE_COUNT];  /* that ends here */
    uint32_t first[MAPPING_TYPE_COUNT]; /* lowest here and below; UINT32_MAX = none */
};

struct mapping {
    _Atomic unsigned holders;
    struct arena arena;         /* all texts */
    struct mapping_rule *rules; /* rules[0] is that of number 1 */
    uint32_t count;
    bool unordered;
    unsigned unused;            /* bits of enum mapping_unused */
    struct mapping_node *nodes; /* nodes[0] is the root */
    uint32_t node_count, node_capacity;
    struct table edges; /* node and field -> node */
};

/* Keys that are read and have no effect. */
enum mapping_unused {
    MAPPING_UNUSED_OBSERVER_TYPE,
    MAPPING_UNUSED_BUCKETS,
    MAPPING_UNUSED_QUANTILES,
    MAPPING_UNUSED_HELP,
    MAPPING_UNUSED_COUNT,
};
extern const char *const mapping_unused_names[MAPPING_UNUSED_COUNT];

/* Reads the file. The error is a sentence with file:line:column. */
MUST_USE int mapping_load(const char *path, struct mapping **out, struct error *err);
/* The same from a text; `name` stands in errors. */
MUST_USE int mapping_parse(struct slice text, const char *name, struct mapping **out,
                           struct error *err);
/* One holder more; returns the mapping. NULL is fine. */
struct mapping *mapping_hold(struct mapping *mapping);
/* A holder less: the last one frees it. NULL is fine. */
void mapping_free(struct mapping *mapping);

/* The number of the rule for a name, 0 when none matches. */
uint32_t mapping_find(const struct mapping *mapping, struct slice name, enum mapping_type type);
/* Whether this rule's glob matches: what mapping_find is, one rule at a time. */
bool mapping_glob_matches(struct slice glob, struct slice name);
/* What the rule makes of a name that it matches. The labels are in the order of the rule, without
 * empty ones; a name that comes out empty stays what it was. False when something is too long. */
struct mapped_name {
    struct slice name;
    struct labels labels;
};
MUST_USE bool mapping_expand(const struct mapping_rule *rule, struct slice name,
                             struct arena *arena, struct mapped_name *out);

/* --- for the loader --- */

struct mapping *mapping_new(void);
/* Adds a rule, whose texts are in the arena; it takes over the regex. */
void mapping_add(struct mapping *mapping, const struct mapping_rule *rule);

#endif
