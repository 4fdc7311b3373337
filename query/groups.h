/* groups: what by(..), without(..), on(..) and ignoring(..) make of label sets, by number or anything else.
 *
 *   by (job)   {job="a",host="1"} -> 0   {job="b",host="1"} -> 1   {job="a",host="2"} -> 0
 *
 * What belongs to a group lies with the caller. Thread: that of the query.
 */
#ifndef QUERY_GROUPS_H
#define QUERY_GROUPS_H

#include "query/plan.h"
#include "storage/base/table.h"

struct groups {
    const struct plan_names *names;
    bool keep;    /* by and on; otherwise all labels but these and the name */
    size_t count; /* numbers given */
    struct table index;
    struct buffer key;
};

/* names is borrowed until the release. */
void groups_init(struct groups *groups, const struct plan_names *names, bool keep);
void groups_release(struct groups *groups);
/* The group's entry, whose value is the caller's to set when it is fresh. */
struct table_entry *groups_entry(struct groups *groups, struct labels labels, bool *fresh);
/* The number of the group, which is that value. One that is new gets the count before the call. */
size_t groups_number(struct groups *groups, struct labels labels);

#endif
