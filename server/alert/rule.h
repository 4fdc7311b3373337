/* rule: Prometheus rule files, read and checked as a whole before anything uses them.
 *
 *   groups:
 *     - name: api
 *       interval: 30s
 *       rules:
 *         - alert: HighErrorRate
 *           expr: sum(rate(api.errors[5m])) > 1
 *           for: 2m
 *           labels: { severity: page }
 *           annotations: { summary: "{{ $value }} errors a second" }
 *
 * A set is immutable once loaded and may be read by any thread until rule_set_free.
 */
#ifndef SERVER_ALERT_RULE_H
#define SERVER_ALERT_RULE_H

#include "query/plan.h"
#include "server/keys.h"
#include "storage/base/option.h"

#define RULE_FILE_MAX   (4 << 20) /* bytes */
#define RULE_FILES_MAX  256
#define RULE_COUNT_MAX  10000          /* in all files */
#define RULE_LABELS_MAX KEYS_PAIRS_MAX /* labels, or annotations, of one rule */

struct rule {
    bool recording; /* `record`: name is a metric; otherwise `alert` */
    struct slice name;
    struct slice query; /* expr in canonical form */
    struct plan *plan;  /* a scalar or an instant vector */
    int64_t for_ms, keep_firing_for_ms;
    struct labels labels;      /* values are templates; the group's are merged in */
    struct labels annotations; /* the same; sorted by name */
    uint64_t id; /* stays the same while group, name and labels do: state is kept under it */
};

struct rule_group {
    struct slice name;
    struct slice file;
    int64_t interval_ms;
    int64_t query_offset_ms; /* evaluated that much in the past */
    int64_t limit;           /* alerts or series a rule may give; 0 = no limit */
    struct rule *rules;
    size_t count;
};

struct rule_set {
    struct arena arena;
    struct rule_group *groups;
    size_t count;
    size_t capacity;
    size_t rule_count;
    int64_t interval_ms; /* for groups that name none */
};

/* Reads every file that the globs match. The error is a sentence with
 * file:line:column. A pattern without wildcards must exist. */
MUST_USE int rule_set_load(const struct option_list *globs, int64_t interval_ms,
                           struct rule_set **out, struct error *err);
/* An empty set, and one file's text added to it: for the loader, tests and fuzzing. After a
 * failure the set holds part of the file; free it. */
struct rule_set *rule_set_new(int64_t interval_ms);
MUST_USE int rule_set_add(struct rule_set *set, struct slice text, const char *name,
                          struct error *err);
/* NULL is fine. */
void rule_set_free(struct rule_set *set);

#endif
