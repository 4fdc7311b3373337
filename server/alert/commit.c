/* commit: compose -> one batch -> apply.
 *
 *   alert thread            writer thread                       alert thread
 *   messages for what  -->  alertstate/... put or delete   -->  board (under its mutex)
 *   is due                  outbox/...     put                  sender: entries
 *                           ALERTS{...}    1 or a stale marker
 *                           ALERTS_FOR_STATE{...}
 *
 * The batch is fsynced only when an alert moved or a message goes out; the samples of ALERTS alone
 * ride with whatever the writer commits next.
 */
#include "server/alert/commit.h"

#include <ctype.h>
#include <stdlib.h>

#include "server/alert/builder.h"
#include "storage/base/alloc.h"
#include "storage/base/log.h"

#define MESSAGE_ALERTS_MAX 64

/* --- composing --- */

/* A link that shows what the expression gives now. */
static struct slice generator_url(struct committer *committer, const struct rule *rule)
{
    struct buffer url;
    buffer_init(&url, 65536);
    buffer_append_format(&url, "%s/api/v1/query?query=", committer->external_url);
    for (size_t i = 0; rule && i < rule->query.len; i++) {
        unsigned char c = (unsigned char)rule->query.at[i];
        if (isalnum(c) || strchr("-_.~", c))
            buffer_append_char(&url, (char)c);
        else
            buffer_append_format(&url, "%%%02X", c);
    }
    struct slice copy = arena_copy(committer->arena, buffer_slice(&url));
    buffer_release(&url);
    return copy;
}

static bool describe(struct committer *committer, const struct alert_change *change,
                     struct message_alert *out)
{
    const struct alert_state *state = &change->after;
    *out = (struct message_alert){
        .resolved = state->phase != ALERT_FIRING,
        .labels = change->labels,
        .starts_at_ms = state->fired_at_ms,
        .ends_at_ms = state->phase != ALERT_FIRING ? state->resolved_at_ms : 0,
    };
    return labels_decode(change->annotations, committer->arena, &out->annotations);
}

/* One message for the given changes; fewer of them when it would grow too large. Returns how many
 * it took; 0 when not even one fits. */
static size_t compose_message(struct committer *committer, struct alert_commit *commit,
                              struct alert_change *const *due, size_t count)
{
    struct message_alert alerts[MESSAGE_ALERTS_MAX];
    struct label name = {SLICE("alertname"), labels_get(due[0]->labels, SLICE("alertname"))};
    struct message message = {
        .receiver = SLICE("webhook"),
        .group = {&name, 1},
        .external_url = slice_of_string(committer->external_url),
        .generator_url = generator_url(committer, commit->run->rule),
        .alerts = alerts,
    };
    for (size_t i = 0; i < count; i++)
        if (!describe(committer, due[i], &alerts[i]))
            return 0;
    for (; count > 0; count /= 2) {
        message.count = count;
        if (sender_compose(committer->sender, &message, committer->arena,
                           &commit->messages[commit->message_count]) == 0) {
            commit->message_count++;
            return count;
        }
    }
    return 0;
}

static void mark_told(struct alert_change *const *due, size_t count, int64_t now_ms)
{
    for (size_t i = 0; i < count; i++) {
        due[i]->after.told = alert_due(&due[i]->after, now_ms);
        due[i]->after.told_at_ms = now_ms;
    }
}

/* The alerts of a rule share a message; those of deleted rules may have different names. */
static void compose_messages(struct committer *committer, struct alert_commit *commit)
{
    size_t room = sender_room(committer->sender), due_count = 0;
    size_t batch_max = commit->run->rule ? MESSAGE_ALERTS_MAX : 1;
    struct alert_change **due =
        arena_zeroed(committer->arena, commit->count + 1, sizeof(struct alert_change *));
    for (size_t i = 0; due && i < commit->count; i++)
        if (alert_due(&commit->changes[i].after, commit->now_ms) != ALERT_SAY_NOTHING)
            due[due_count++] = &commit->changes[i];
    if (!due_count || !sender_has_channel(committer->sender))
        return;
    commit->messages = arena_zeroed(committer->arena, due_count, sizeof *commit->messages);
    for (size_t next = 0; commit->messages && next < due_count;) {
        if (commit->message_count >= room) {
            sender_drop("the outbox is full; tried again at the next evaluation");
            return;
        }
        size_t left = due_count - next;
        size_t taken =
            compose_message(committer, commit, &due[next], left < batch_max ? left : batch_max);
        if (!taken)
            sender_drop("the alert's labels and annotations are too large for a message");
        taken += !taken;
        mark_told(&due[next], taken, commit->now_ms);
        next += taken;
    }
}

/* --- writing (writer thread) --- */

static bool is_forgotten(const struct committer *committer, const struct alert_commit *commit,
                         const struct alert_change *change)
{
    bool awaits = change->after.told == ALERT_SAY_FIRING && sender_has_channel(committer->sender);
    return !awaits && (change->after.phase == ALERT_INACTIVE || !commit->run->rule);
}

static bool has_moved(const struct alert_change *change)
{
    const struct alert_state *a = &change->before, *b = &change->after;
    return a->phase != b->phase || a->told != b->told || a->active_at_ms != b->active_at_ms ||
           a->fired_at_ms != b->fired_at_ms || a->keep_since_ms != b->keep_since_ms ||
           a->resolved_at_ms != b->resolved_at_ms || a->told_at_ms != b->told_at_ms;
}

struct job {
    const struct committer *committer;
    struct alert_commit *commit;
    struct store_batch *batch;
};

static void write_state(struct job *job, const struct alert_change *change)
{
    struct buffer key, value;
    buffer_init(&key, 128);
    buffer_init(&value, 4 * ALERT_LABELS_BYTES);
    alert_document_key(change->rule_id, change->key, &key);
    if (is_forgotten(job->committer, job->commit, change)) {
        store_batch_delete(job->batch, buffer_slice(&key));
    } else {
        struct alert_document document = {change->rule_id, change->after, change->key,
                                          change->annotations};
        alert_document_encode(&document, &value);
        store_batch_put(job->batch, buffer_slice(&key), buffer_slice(&value));
    }
    buffer_release(&value);
    buffer_release(&key);
}

/* A sample of one of the alert's own series, unless the store refuses it; the alert does not depend
 * on it. Without a phase the series has no alertstate. */
static void write_alert_sample(struct job *job, const struct alert_change *change,
                               const char *phase, double value)
{
    struct label_builder builder;
    uint32_t series;
    builder_init(&builder, change->labels);
    builder_set(&builder, SLICE(LABEL_NAME), phase ? SLICE("ALERTS") : SLICE("ALERTS_FOR_STATE"));
    builder_set(&builder, SLICE("alertstate"), slice_of_string(phase));
    if (store_batch_intern(job->batch, builder_labels(&builder), SERIES_GAUGE, &series,
                           &job->commit->refused) == 0)
        store_batch_value(job->batch, series, job->commit->sample_ms, value);
}

/* ALERTS{alertstate=...} = 1, and ALERTS_FOR_STATE = since when, in seconds. */
static void write_change(struct job *job, const struct alert_change *change)
{
    enum alert_phase before = change->before.phase, after = change->after.phase;
    bool was = alert_is_active(before), is = alert_is_active(after);
    if (has_moved(change) || is_forgotten(job->committer, job->commit, change))
        write_state(job, change);
    if (was && before != after)
        write_alert_sample(job, change, alert_phase_name(before), stale_nan());
    if (is)
        write_alert_sample(job, change, alert_phase_name(after), 1);
    int64_t since_s = change->after.active_at_ms / 1000;
    if (is || was)
        write_alert_sample(job, change, NULL, is ? (double)since_s : stale_nan());
}

static int compare_series(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void write_records(struct job *job)
{
    struct alert_commit *commit = job->commit;
    /* Only this thread looks while the alert thread waits for it. */
    const struct rule_run *run = commit->run;
    uint32_t *now = alloc_zeroed(commit->record_count + 1, sizeof *now);
    size_t count = 0;
    for (size_t i = 0; i < commit->record_count; i++) {
        const struct recorded_sample *sample = &commit->records[i];
        enum series_kind kind = sample->histogram ? SERIES_HISTOGRAM : SERIES_GAUGE;
        uint32_t *series = &now[count];
        if (store_batch_intern(job->batch, sample->labels, kind, series, &commit->refused) < 0)
            continue;
        if (sample->histogram)
            store_batch_histogram(job->batch, *series, commit->sample_ms, sample->histogram);
        else
            store_batch_value(job->batch, *series, commit->sample_ms, sample->value);
        count++;
    }
    qsort(now, count, sizeof *now, compare_series);
    for (size_t i = 0; i < run->recorded_count; i++)
        if (!bsearch(&run->recorded[i], now, count, sizeof *now, compare_series))
            store_batch_value(job->batch, run->recorded[i], commit->sample_ms, stale_nan());
    commit->recorded = now;
    commit->recorded_count = count;
}

static void write_message(struct job *job, const struct outbox_message *message)
{
    struct buffer key, value;
    buffer_init(&key, 64);
    buffer_init(&value, OUTBOX_BODY_MAX + 1024);
    outbox_key(message->sequence, &key);
    outbox_encode(message, &value);
    store_batch_put(job->batch, buffer_slice(&key), buffer_slice(&value));
    buffer_release(&value);
    buffer_release(&key);
}

static int write_all(void *arg, struct store_batch *batch, struct error *err)
{
    struct job *job = arg;
    (void)err;
    job->batch = batch;
    for (size_t i = 0; i < job->commit->count; i++)
        write_change(job, &job->commit->changes[i]);
    for (size_t i = 0; i < job->commit->message_count; i++)
        write_message(job, &job->commit->messages[i]);
    if (job->commit->record_count || job->commit->run->recorded_count)
        write_records(job);
    return 0;
}

/* --- applying --- */

static void apply_change(struct committer *committer, struct alert_commit *commit,
                         const struct alert_change *change)
{
    struct table *table = &commit->run->instances;
    struct alert_instance *instance = change->instance;
    bool fresh;
    if (is_forgotten(committer, commit, change)) {
        if (instance && table_remove(table, change->key, NULL))
            instance_free(instance);
        return;
    }
    if (!instance) {
        struct table_entry *e = table_insert(table, change->key, &fresh);
        if (!e)
            return;
        e->value.pointer = instance = alloc_zeroed(1, sizeof *instance);
        instance->rule_id = change->rule_id;
    }
    instance->state = change->after;
    if (change->present) {
        instance->restored = false;
        instance_set_annotations(instance, change->annotations);
    }
}

static void apply_records(struct alert_commit *commit)
{
    struct rule_run *run = commit->run;
    free(run->recorded);
    run->recorded = commit->recorded;
    run->recorded_count = commit->recorded_count;
}

/* Whether there is anything to write, and whether it may not be lost. */
static bool has_work(const struct committer *committer, const struct alert_commit *commit,
                     bool *sync)
{
    bool work = commit->record_count || commit->run->recorded_count;
    *sync = commit->message_count > 0;
    for (size_t i = 0; i < commit->count; i++) {
        const struct alert_change *change = &commit->changes[i];
        bool moved = has_moved(change) || is_forgotten(committer, commit, change);
        *sync |= moved;
        work |= moved || alert_is_active(change->after.phase);
    }
    return work || *sync;
}

int commit_run(struct committer *committer, struct alert_commit *commit, struct error *err)
{
    struct job job = {committer, commit, NULL};
    bool sync;
    compose_messages(committer, commit);
    if (has_work(committer, commit, &sync) &&
        writer_call(committer->writer, sync, write_all, &job, err) < 0) {
        free(commit->recorded);
        return error_wrap(err, "the outcome cannot be stored");
    }
    pthread_mutex_lock(&committer->board->mutex);
    for (size_t i = 0; i < commit->count; i++)
        apply_change(committer, commit, &commit->changes[i]);
    pthread_mutex_unlock(&committer->board->mutex);
    apply_records(commit);
    for (size_t i = 0; i < commit->message_count; i++)
        sender_add(committer->sender, &commit->messages[i]);
    return 0;
}
