/* labels: a sorted set of name/value pairs; what identifies a series or a log stream.
 *
 * Sorted by name (byte order), names unique, no empty values. The metric name is the label
 * "__name__". The canonical bytes (varint length, name, varint length, value, ...) are equal for
 * equal sets and are what hashes, keys and the series table use. Plain data; the slices belong to
 * whoever made them.
 */
#ifndef STORAGE_LABELS_H
#define STORAGE_LABELS_H

#include "storage/base/arena.h"
#include "storage/base/buffer.h"
#include "storage/base/json.h"

#define LABEL_NAME "__name__"
#define LABELS_MAX 64 /* pairs in one set */

struct label {
    struct slice name;
    struct slice value;
};

struct labels {
    const struct label *at;
    size_t count;
};

/* Sorts in place by name. */
void labels_sort(struct label *at, size_t count);
/* The value, or an empty slice when absent. */
struct slice labels_get(struct labels labels, struct slice name);
bool labels_equal(struct labels a, struct labels b);
/* Order by name, value, name, value ...; <0, 0, >0. */
int labels_compare(struct labels a, struct labels b);
/* Canonical bytes; labels must be sorted. */
void labels_encode(struct labels labels, struct buffer *out);
/* The pairs point into `bytes`; the array lives in arena. False on malformed bytes or > LABELS_MAX. */
MUST_USE bool labels_decode(struct slice bytes, struct arena *arena, struct labels *out);
/* As labels_get, of canonical bytes. */
struct slice labels_find(struct slice bytes, struct slice name);
/* A deep copy in the arena. */
struct labels labels_copy(struct arena *arena, struct labels labels);
/* name{a="b",c="d"} for people; values escaped as in PromQL. */
void labels_print(struct labels labels, struct buffer *out);
/* {__name__="name", a="b"}, as Prometheus' errors have it. */
void labels_print_pairs(struct labels labels, struct buffer *out);
/* {"a":"b","c":"d"}, as a value of the writer. */
void labels_put_json(struct labels labels, struct json_writer *writer);
void labels_print_json(struct labels labels, struct buffer *out);

#endif
