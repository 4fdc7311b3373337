/* issue: records events, one writer job a request.
 *
 *   request thread            writer thread
 *   issues_record --job-->    run:   prepare   look up every event id and issue; may refuse
 *        .                           apply     count, put documents into the batch; cannot fail
 *        .                    (commit of the whole group)
 *        <-----finished---    done:  unpin, and add to the series of events; after a failed commit
 *                                    forget what was applied
 *
 * Between run and commit the memory is ahead of the store, so entries stay pinned in the cache and
 * event ids stay in `pending` until done: the next job of the same group sees them there.
 *
 * An event id counts once a project: its seen-document is looked for under today and yesterday,
 * hence for 24 to 48 hours. Every event counts; bodies are kept for the first 100 of an issue, then
 * for every 2nd, 4th, 8th ... as the count doubles.
 *
 * Absent: states other than unresolved, merging, releases in order, rate limits a project.
 */
#include "server/ingest/issue.h"

#include <assert.h>
#include <stdlib.h>

#include "server/ingest/issue_state.h"
#include "storage/base/alloc.h"
#include "storage/base/queue.h"

#define STORED_ALWAYS 100
#define PENDING_MAX   (1 << 20)

struct metric issue_metrics[ISSUES_METRIC_COUNT] = {
    [ISSUES_KNOWN] = {.name = "lapwing_issues",
                      .kind = METRIC_GAUGE,
                      .help = "Error issues known."},
    [ISSUES_CREATED] = {.name = "lapwing_issues_created_total",
                        .kind = METRIC_COUNTER,
                        .help = "Error issues seen for the first time."},
    [ISSUES_EXPIRED] = {.name = "lapwing_issues_expired_total",
                        .kind = METRIC_COUNTER,
                        .help = "Error issues deleted after retention.errors without an event."},
    [ISSUES_DUPLICATES] = {.name = "lapwing_error_event_duplicates_total",
                           .kind = METRIC_COUNTER,
                           .help = "Error events whose id was there already; not counted again."},
    [ISSUES_SAMPLED_OUT] = {.name = "lapwing_error_event_bodies_skipped_total",
                            .kind = METRIC_COUNTER,
                            .help = "Error events counted without keeping their body."},
    [ISSUES_OVERFLOW] = {.name = "lapwing_error_events_overflow_total",
                         .kind = METRIC_COUNTER,
                         .help = "Error events counted in the shared issue, beyond the limit of "
                                 "issues."},
};

const char *issue_status_name(enum issue_status status)
{
    static const char *const names[ISSUE_STATUS_COUNT] = {[ISSUE_UNRESOLVED] = "unresolved"};
    return names[status];
}

/* --- a job --- */

struct recording {
    struct writer_job job; /* first: the job is the record */
    struct issues *issues;
    struct issue_event *events;
    size_t count;
    size_t prepared; /* events whose entry (or NULL for duplicates) is below */
    struct issue_entry **entries;
    bool applied;
    int status;
    struct error *err;
    struct queue *finished; /* one item: the record itself */
};

static struct slice pending_key(const struct issue_event *event, char out[ISSUE_KEY_MAX])
{
    struct issue_key key = issue_seen_key(0, event->project, event->id);
    memcpy(out, key.text, key.len);
    return slice_make(out, key.len);
}

/* 1 when this event id is there already, 0 when not, -1 on errors. */
static int is_seen(struct issues *issues, const struct issue_event *event, struct error *err)
{
    char text[ISSUE_KEY_MAX];
    if (table_find(&issues->pending, pending_key(event, text)))
        return 1;
    int64_t today = event->received_ms / ISSUE_DAY_MS;
    for (int64_t day = today; day >= today - 1; day--) {
        struct issue_key key = issue_seen_key(day, event->project, event->id);
        buffer_reset(&issues->scratch);
        int found = store_get(issues->store, issue_key_slice(&key), &issues->scratch, err);
        if (found != 0)
            return found;
    }
    return 0;
}

static int prepare(struct recording *record, struct error *err)
{
    struct issues *issues = record->issues;
    for (; record->prepared < record->count; record->prepared++) {
        struct issue_event *event = &record->events[record->prepared];
        int seen = is_seen(issues, event, err);
        if (seen < 0)
            return -1;
        event->duplicate = seen > 0;
        if (event->duplicate)
            continue;
        struct issue_entry *entry = issue_entry_of(issues, event, err);
        if (!entry)
            return -1;
        entry->pins++;
        record->entries[record->prepared] = entry;
        char text[ISSUE_KEY_MAX];
        bool fresh;
        if (!table_insert(&issues->pending, pending_key(event, text), &fresh))
            return error_set(err, ERROR_LIMIT, "too many events are being written; send it again");
    }
    return 0;
}

/* Every event of the first hundred, then one of 2, 4, 8 ... as the count doubles. */
static bool keeps_body(uint64_t count)
{
    uint64_t step = 1;
    while (count > STORED_ALWAYS * step)
        step *= 2;
    return count % step == 0;
}

/* The user set is written when it is exact, or when its estimate has moved by a hundredth. */
static void count_user(struct issues *issues, struct issue_entry *entry, uint64_t user,
                       struct store_batch *batch)
{
    if (user == 0)
        return;
    sketch_add_hash(&entry->users, user);
    uint64_t estimate = (uint64_t)sketch_estimate(&entry->users);
    if (estimate > entry->issue.users)
        entry->issue.users = estimate;
    bool exact = entry->users.registers == NULL;
    if (estimate == entry->users_saved ||
        (!exact && estimate < entry->users_saved + entry->users_saved / 100))
        return;
    struct issue_key key = issue_users_key(entry->issue.id);
    buffer_reset(&issues->scratch);
    sketch_encode(&entry->users, &issues->scratch);
    store_batch_put(batch, issue_key_slice(&key), buffer_slice(&issues->scratch));
    entry->users_saved = estimate;
}

static void count_series(struct issues *issues, const struct issue_event *event)
{
    struct label labels[5];
    size_t count = 0;
    labels[count++] = (struct label){SLICE(LABEL_NAME), SLICE("lapwing_error_events_total")};
    if (event->environment.len > 0)
        labels[count++] = (struct label){SLICE("environment"), event->environment};
    labels[count++] =
        (struct label){SLICE("level"), slice_of_string(error_level_name(event->level))};
    labels[count++] = (struct label){SLICE("project"), event->project};
    if (event->release.len > 0)
        labels[count++] = (struct label){SLICE("release"), event->release};
    registry_count(issues->registry, (struct labels){labels, count}, 1);
}

static void update_issue(struct issue *issue, const struct issue_event *event)
{
    issue->count++;
    issue->level = event->level;
    if (event->time_ms < issue->first_seen_ms)
        issue->first_seen_ms = event->time_ms;
    if (event->time_ms > issue->last_seen_ms)
        issue->last_seen_ms = event->time_ms;
    if (event->received_ms > issue->last_received_ms)
        issue->last_received_ms = event->received_ms;
    issue_text_copy(issue->platform, sizeof issue->platform, event->platform);
    issue_text_copy(issue->release, sizeof issue->release, event->release);
    issue_text_copy(issue->environment, sizeof issue->environment, event->environment);
    issue_text_copy(issue->last_event, sizeof issue->last_event, slice_of_string(event->id));
}

static void apply_event(struct issues *issues, const struct issue_event *event,
                        struct issue_entry *entry, struct store_batch *batch)
{
    struct issue *issue = &entry->issue;
    metric_add(&issue_metrics[ISSUES_CREATED], issue->count == 0);
    update_issue(issue, event);
    if (keeps_body(issue->count)) {
        struct issue_key key = issue_event_key(issue->id, issue->count);
        issue->stored++;
        buffer_reset(&issues->scratch);
        issue_body_encode(event, &issues->scratch);
        store_batch_put(batch, issue_key_slice(&key), buffer_slice(&issues->scratch));
    } else {
        metric_add(&issue_metrics[ISSUES_SAMPLED_OUT], 1);
    }
    struct issue_key seen =
        issue_seen_key(event->received_ms / ISSUE_DAY_MS, event->project, event->id);
    store_batch_put(batch, issue_key_slice(&seen), slice_make(issue->id, ISSUE_ID_LEN));
    count_user(issues, entry, event->user, batch);
    entry->dirty = true;
}

static void write_entry(struct issues *issues, struct issue_entry *entry, struct store_batch *batch)
{
    struct issue_key key = issue_key_of(entry->issue.id);
    buffer_reset(&issues->scratch);
    issue_encode(&entry->issue, &issues->scratch);
    store_batch_put(batch, issue_key_slice(&key), buffer_slice(&issues->scratch));
    int put = issue_index_put(&issues->index, &entry->issue);
    assert(put == 0); /* it has had its place since prepare */
    entry->dirty = false;
}

static int record_run(struct writer_job *job, struct store_batch *batch, struct error *err)
{
    struct recording *record = (struct recording *)job;
    struct issues *issues = record->issues;
    if (prepare(record, err) < 0)
        return -1;
    record->applied = true;
    for (size_t i = 0; i < record->count; i++) {
        if (record->entries[i])
            apply_event(issues, &record->events[i], record->entries[i], batch);
        else
            metric_add(&issue_metrics[ISSUES_DUPLICATES], 1);
    }
    for (size_t i = 0; i < record->count; i++)
        if (record->entries[i] && record->entries[i]->dirty)
            write_entry(issues, record->entries[i], batch);
    metric_set(&issue_metrics[ISSUES_KNOWN], (int64_t)issues->index.count);
    return 0;
}

static void record_done(struct writer_job *job, int status, const struct error *err)
{
    struct recording *record = (struct recording *)job;
    for (size_t i = 0; i < record->count; i++) {
        char text[ISSUE_KEY_MAX];
        if (!record->entries[i])
            continue;
        table_remove(&record->issues->pending, pending_key(&record->events[i], text), NULL);
        if (status == 0) /* not earlier: a client sends again what was refused */
            count_series(record->issues, &record->events[i]);
        issue_entry_unpin(record->issues, record->entries[i], record->applied && status < 0);
    }
    record->status = status;
    if (status && record->err)
        *record->err = *err;
    int pushed = queue_push(record->finished, record);
    assert(pushed == 0);
}

int issues_record(struct issues *issues, struct issue_event *events, size_t count,
                  struct error *err)
{
    struct recording record = {.job = {.run = record_run, .done = record_done},
                               .issues = issues,
                               .events = events,
                               .count = count,
                               .entries = alloc_zeroed(count ? count : 1, sizeof *record.entries),
                               .err = err,
                               .finished = queue_new(1, NULL, NULL)};
    if (writer_submit(issues->writer, &record.job) < 0)
        record.status =
            error_set(err, ERROR_UNAVAILABLE, "the server is shutting down; send the event again");
    else
        (void)queue_pop(record.finished);
    queue_free(record.finished);
    free(record.entries);
    return record.status;
}

/* --- open and close --- */

struct opening {
    struct issues *issues;
    struct error *err;
    int status;
};

static bool visit_document(void *arg, struct slice key, struct slice value)
{
    struct opening *opening = arg;
    struct issue issue;
    if (!issue_decode(value, &issue))
        opening->status =
            error_set(opening->err, ERROR_INTERNAL,
                      "the document " SLICE_FMT " is unreadable; restore a backup", SLICE_ARG(key));
    else if (issue_index_put(&opening->issues->index, &issue) < 0)
        opening->status = error_set(opening->err, ERROR_LIMIT,
                                    "the store holds more than %zu issues, the limit of this "
                                    "server",
                                    opening->issues->options.issues_max);
    return opening->status == 0;
}

int issues_open(const struct issues_options *options, struct issues **out, struct error *err)
{
    struct issues *issues = alloc_zeroed(1, sizeof *issues);
    *issues = (struct issues){.store = options->store,
                              .writer = options->writer,
                              .registry = options->registry,
                              .options = *options};
    metric_register(issue_metrics, ISSUES_METRIC_COUNT);
    issue_index_init(&issues->index, options->issues_max + 1);
    table_init(&issues->cache, SIZE_MAX);
    table_init(&issues->pending, PENDING_MAX);
    buffer_init(&issues->scratch, EVENT_BYTES_MAX + 65536);
    struct opening opening = {issues, err, 0};
    struct store_scan scan = {.prefix = SLICE(ISSUE_PREFIX)};
    if (store_scan(issues->store, &scan, visit_document, &opening, err) < 0 || opening.status < 0) {
        issues_close(issues);
        return error_wrap(err, "reading the error issues");
    }
    metric_set(&issue_metrics[ISSUES_KNOWN], (int64_t)issues->index.count);
    *out = issues;
    return 0;
}

void issues_close(struct issues *issues)
{
    if (!issues)
        return;
    while (issues->oldest)
        issue_entry_drop(issues, issues->oldest);
    issue_index_release(&issues->index);
    table_release(&issues->cache);
    table_release(&issues->pending);
    buffer_release(&issues->scratch);
    free(issues);
}
