/* groups: see the header. The key of a group are the canonical bytes of the labels that it keeps. */
#include "query/groups.h"

#include <assert.h>

#include "query/eval.h"

void groups_init(struct groups *groups, const struct plan_names *names, bool keep)
{
    *groups = (struct groups){.names = names, .keep = keep};
    table_init(&groups->index, SIZE_MAX);
    buffer_init(&groups->key, SIZE_MAX);
}

void groups_release(struct groups *groups)
{
    buffer_release(&groups->key);
    table_release(&groups->index);
}

struct table_entry *groups_entry(struct groups *groups, struct labels labels, bool *fresh)
{
    buffer_reset(&groups->key);
    labels_project_key(labels, groups->names, groups->keep, &groups->key);
    struct table_entry *entry = table_insert(&groups->index, buffer_slice(&groups->key), fresh);
    assert(entry);
    return entry;
}

size_t groups_number(struct groups *groups, struct labels labels)
{
    bool fresh;
    struct table_entry *entry = groups_entry(groups, labels, &fresh);
    if (fresh)
        entry->value.number = groups->count++;
    return (size_t)entry->value.number;
}
