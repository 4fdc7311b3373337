/* issue_read: what the API shows.
 *
 * A list asks the writer thread for ids (its index is in memory and filters in about a millisecond)
 * and then reads those documents on the caller's thread. A single issue and its events are read
 * from committed documents without the writer.
 */
#include <stdlib.h>

#include "server/ingest/issue_state.h"
#include "storage/base/alloc.h"

struct selection {
    struct issues *issues;
    const struct issue_filter *filter;
    char (*ids)[ISSUE_ID_LEN + 1];
    size_t count;
    bool done;
};

static int run_select(void *arg, struct store_batch *batch, struct error *err)
{
    struct selection *selection = arg;
    (void)batch;
    (void)err;
    selection->count =
        issue_index_select(&selection->issues->index, selection->filter, selection->ids);
    selection->done = true;
    return 0;
}

int issues_list(struct issues *issues, const struct issue_filter *filter,
                void (*visit)(void *arg, const struct issue *issue), void *arg, struct error *err)
{
    struct issue_filter bounded = *filter;
    if (bounded.limit > ISSUES_LIMIT_MAX)
        bounded.limit = ISSUES_LIMIT_MAX;
    struct selection selection = {.issues = issues, .filter = &bounded};
    selection.ids = alloc_zeroed(bounded.limit + 1, sizeof *selection.ids);
    int status = writer_call(issues->writer, false, run_select, &selection, err);
    if (selection.done)
        status = 0; /* a full disk fails those who write in the same commit, not who reads */
    for (size_t i = 0; i < selection.count && status == 0; i++) {
        struct issue issue;
        /* 0: it expired meanwhile, or its first commit failed. */
        int found = issue_load(issues->store, selection.ids[i], &issue, err);
        if (found > 0)
            visit(arg, &issue);
        status = found < 0 ? -1 : 0;
    }
    free(selection.ids);
    return status;
}

/* Ids come from a URL: only well-formed ones become keys. */
static bool read_id(struct slice text, char id[ISSUE_ID_LEN + 1])
{
    if (text.len != ISSUE_ID_LEN)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!strchr("0123456789abcdef", text.at[i]) || text.at[i] == '\0')
            return false;
    memcpy(id, text.at, ISSUE_ID_LEN);
    id[ISSUE_ID_LEN] = '\0';
    return true;
}

int issues_get(struct issues *issues, struct slice id, struct issue *out, struct error *err)
{
    char key[ISSUE_ID_LEN + 1];
    return read_id(id, key) ? issue_load(issues->store, key, out, err) : 0;
}

struct reading {
    bool (*visit)(void *arg, const struct issue_body *event);
    void *arg;
};

static bool visit_body(void *arg, struct slice key, struct slice value)
{
    struct reading *reading = arg;
    struct issue_body body;
    (void)key;
    return !issue_body_decode(value, &body) || reading->visit(reading->arg, &body);
}

int issues_events(struct issues *issues, struct slice id,
                  bool (*visit)(void *arg, const struct issue_body *event), void *arg,
                  struct error *err)
{
    char text[ISSUE_ID_LEN + 1];
    struct reading reading = {visit, arg};
    if (!read_id(id, text))
        return 0;
    struct issue_key prefix = issue_event_prefix(text);
    struct store_scan scan = {.prefix = issue_key_slice(&prefix), .backward = true};
    return store_scan(issues->store, &scan, visit_body, &reading, err);
}
