/* option: a configuration struct described by a table; parse, check, print and document from it.
 *
 * Each row gives a dotted YAML path, where the value lives in the struct, its type, default, unit
 * and bounds. Nothing here knows which options exist.
 */
#ifndef STORAGE_BASE_OPTION_H
#define STORAGE_BASE_OPTION_H

#include "storage/base/arena.h"
#include "storage/base/buffer.h"
#include "storage/base/error.h"
#include "storage/base/yaml.h"

enum option_type {
    OPTION_STRING,   /* const char *, never NULL; "" when unset */
    OPTION_INT,      /* int64_t */
    OPTION_DURATION, /* int64_t, milliseconds; written as 10s, 1h30m, 30d */
    OPTION_BYTES,    /* int64_t; written as 64KiB, 16MiB, or a plain number */
    OPTION_BOOL,     /* bool */
    OPTION_ADDRESS,  /* const char * "host:port", "" = off; the port is checked */
    OPTION_CHOICE,   /* int64_t index into `choices` */
    OPTION_LIST,     /* struct option_list of strings */
    OPTION_ROWS,     /* struct option_rows: a list of maps, each read by a table of its own */
};

struct option_list {
    const char **at;
    size_t count;
};

struct option_rows {
    const void *at; /* elements of option.row_size bytes */
    size_t count;
};

struct option {
    const char *path; /* "statsd.flush_interval" */
    enum option_type type;
    size_t offset;              /* in the configuration struct */
    const char *fallback;       /* the default, as it would stand in YAML; NULL in ROWS: zero */
    int64_t min, max;           /* INT, DURATION (ms), BYTES; 0,0 = unbounded */
    const char *const *choices; /* CHOICE: NULL-terminated */
    const char *unit;           /* for the documentation; may be NULL */
    const char *help;           /* one sentence */
    bool reloadable;
    bool required; /* in ROWS: must stand in every map */
    /* STRING: looks at a value that was given; the error gets the place in front. May be NULL. */
    int (*check)(struct slice text, struct error *err);
    const struct option *rows; /* ROWS: the table of one map; paths are relative to it */
    size_t row_count;
    size_t row_size;
};

struct option_source {
    const struct yaml_node *map; /* NULL = defaults only */
    const char *name;            /* the file's, for error texts */
    struct arena *arena;         /* where strings live */
};

/* Fills *config from the table's defaults, then from the YAML map. ${NAME} in scalars expands from
 * the environment. An unknown key fails with file:line:column and the nearest known key. */
MUST_USE int option_load(const struct option *table, size_t count,
                         const struct option_source *source, void *config, struct error *err);
/* The configuration as YAML that option_load would read back to the same values. */
void option_print(const struct option *table, size_t count, const void *config, struct buffer *out);
/* A Markdown table: key, type, default, bounds, reloadable, help. */
void option_document(const struct option *table, size_t count, struct buffer *out);

#endif
