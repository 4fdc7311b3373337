/* board: tables of alerts, one a rule, and the documents they are restored from.
 *
 *   key    alertstate/<rule id, 16 hex>/<XXH3 of the labels, 16 hex>
 *   value  [version u8][rule id u64le][phase u8][told u8][active][fired][keep][resolved][told at]
 *          [value f64le][labels prefixed][annotations prefixed]         (times are varints, ms)
 *
 * A rule's id covers its group, name and labels but not its expression, so that editing the query
 * or moving the file keeps the alerts. Alerts whose rule has gone stay as orphans until receivers
 * that were told "firing" have been told "resolved".
 */
#include "server/alert/board.h"

#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/log.h"

#define DOCUMENT_VERSION 1

const char *rule_health_name(enum rule_health health)
{
    static const char *const names[] = {
        [RULE_UNKNOWN] = "unknown", [RULE_OK] = "ok", [RULE_ERROR] = "err"};
    return names[health];
}

void instance_set_annotations(struct alert_instance *instance, struct slice annotations)
{
    char *copy = alloc_zeroed(annotations.len + 1, 1);
    if (annotations.len)
        memcpy(copy, annotations.at, annotations.len);
    free((void *)(uintptr_t)instance->annotations.at);
    instance->annotations = slice_make(copy, annotations.len);
}

void instance_free(struct alert_instance *instance)
{
    if (!instance)
        return;
    free((void *)(uintptr_t)instance->annotations.at);
    free(instance);
}

static void rule_run_release(struct rule_run *run)
{
    size_t cursor = 0;
    for (struct table_entry *e; (e = table_next(&run->instances, &cursor));)
        instance_free(e->value.pointer);
    table_release(&run->instances);
    free(run->problem);
    free(run->recorded);
}

static void set_up_groups(struct alert_board *board, struct rule_set *set)
{
    board->set = set;
    board->count = set->count;
    board->groups = alloc_zeroed(set->count + 1, sizeof *board->groups);
    for (size_t g = 0; g < set->count; g++) {
        struct group_run *group = &board->groups[g];
        group->group = &set->groups[g];
        group->rules = alloc_zeroed(group->group->count + 1, sizeof *group->rules);
        for (size_t i = 0; i < group->group->count; i++) {
            group->rules[i].rule = &group->group->rules[i];
            table_init(&group->rules[i].instances, 2 * ALERTS_PER_RULE);
        }
    }
}

static void release_groups(struct group_run *groups, size_t count)
{
    for (size_t g = 0; g < count; g++) {
        for (size_t i = 0; i < groups[g].group->count; i++)
            rule_run_release(&groups[g].rules[i]);
        free(groups[g].rules);
    }
    free(groups);
}

struct alert_board *board_new(struct rule_set *owned)
{
    struct alert_board *board = alloc_zeroed(1, sizeof *board);
    pthread_mutex_init(&board->mutex, NULL);
    table_init(&board->orphans.instances, 10 * ALERTS_PER_RULE);
    set_up_groups(board, owned);
    return board;
}

void board_free(struct alert_board *board)
{
    if (!board)
        return;
    release_groups(board->groups, board->count);
    rule_run_release(&board->orphans);
    rule_set_free(board->set);
    pthread_mutex_destroy(&board->mutex);
    free(board);
}

static struct rule_run *find_rule(struct alert_board *board, uint64_t id)
{
    for (size_t g = 0; g < board->count; g++)
        for (size_t i = 0; i < board->groups[g].group->count; i++)
            if (board->groups[g].rules[i].rule->id == id)
                return &board->groups[g].rules[i];
    return NULL;
}

/* Series of a recording rule that has gone: they end at the next evaluation of the orphans. */
static void abandon_records(struct alert_board *board, const struct rule_run *run)
{
    struct rule_run *orphans = &board->orphans;
    size_t count = orphans->recorded_count + run->recorded_count;
    if (!run->recorded_count)
        return;
    orphans->recorded = alloc_resize(orphans->recorded, count, sizeof *orphans->recorded);
    memcpy(orphans->recorded + orphans->recorded_count, run->recorded,
           run->recorded_count * sizeof *run->recorded);
    orphans->recorded_count = count;
}

static void move_to_orphans(struct alert_board *board, struct rule_run *run)
{
    abandon_records(board, run);
    size_t cursor = 0;
    bool fresh;
    for (struct table_entry *e; (e = table_next(&run->instances, &cursor));) {
        struct table_entry *to = table_insert(&board->orphans.instances, table_key(e), &fresh);
        if (!to)
            continue;
        if (!fresh)
            instance_free(to->value.pointer);
        to->value.pointer = e->value.pointer;
        e->value.pointer = NULL;
    }
}

void board_replace(struct alert_board *board, struct rule_set *owned)
{
    pthread_mutex_lock(&board->mutex);
    struct group_run *old = board->groups;
    struct rule_set *old_set = board->set;
    size_t old_count = board->count;
    set_up_groups(board, owned);
    for (size_t g = 0; g < old_count; g++)
        for (size_t i = 0; i < old[g].group->count; i++) {
            struct rule_run *from = &old[g].rules[i];
            struct rule_run *to = find_rule(board, from->rule->id);
            if (!to || to->rule->recording != from->rule->recording) {
                move_to_orphans(board, from);
                continue;
            }
            const struct rule *rule = to->rule;
            struct rule_run empty = *to;
            *to = *from;
            to->rule = rule;
            empty.rule = from->rule;
            *from = empty;
        }
    release_groups(old, old_count);
    rule_set_free(old_set);
    pthread_mutex_unlock(&board->mutex);
}

enum alert_phase rule_run_phase(const struct rule_run *run)
{
    enum alert_phase worst = ALERT_INACTIVE;
    size_t cursor = 0;
    for (struct table_entry *e; (e = table_next(&run->instances, &cursor));) {
        const struct alert_instance *instance = e->value.pointer;
        if (instance->state.phase == ALERT_FIRING)
            return ALERT_FIRING;
        if (instance->state.phase == ALERT_PENDING)
            worst = ALERT_PENDING;
    }
    return worst;
}

void rule_run_set_problem(struct rule_run *run, const char *problem)
{
    free(run->problem);
    run->problem = problem ? alloc_string(problem) : NULL;
    run->health = problem ? RULE_ERROR : RULE_OK;
}

/* --- documents --- */

void alert_document_key(uint64_t rule_id, struct slice labels, struct buffer *out)
{
    buffer_append_format(out, ALERT_STATE_PREFIX "%016llx/%016llx", (unsigned long long)rule_id,
                         (unsigned long long)slice_hash(labels));
}

void alert_document_encode(const struct alert_document *document, struct buffer *out)
{
    const struct alert_state *state = &document->state;
    uint64_t bits;
    memcpy(&bits, &state->value, sizeof bits);
    buffer_append_u8(out, DOCUMENT_VERSION);
    buffer_append_u64le(out, document->rule_id);
    buffer_append_u8(out, (uint8_t)state->phase);
    buffer_append_u8(out, (uint8_t)state->told);
    buffer_append_varint_signed(out, state->active_at_ms);
    buffer_append_varint_signed(out, state->fired_at_ms);
    buffer_append_varint_signed(out, state->keep_since_ms);
    buffer_append_varint_signed(out, state->resolved_at_ms);
    buffer_append_varint_signed(out, state->told_at_ms);
    buffer_append_u64le(out, bits);
    buffer_append_prefixed(out, document->labels);
    buffer_append_prefixed(out, document->annotations);
}

static bool decode_state(struct slice *rest, struct alert_state *state)
{
    uint8_t phase, told;
    uint64_t bits;
    if (!bytes_cut_u8(rest, &phase) || phase > ALERT_RESOLVED || !bytes_cut_u8(rest, &told) ||
        told > ALERT_SAY_RESOLVED || !bytes_cut_varint_signed(rest, &state->active_at_ms) ||
        !bytes_cut_varint_signed(rest, &state->fired_at_ms) ||
        !bytes_cut_varint_signed(rest, &state->keep_since_ms) ||
        !bytes_cut_varint_signed(rest, &state->resolved_at_ms) ||
        !bytes_cut_varint_signed(rest, &state->told_at_ms) || !bytes_cut_u64le(rest, &bits))
        return false;
    state->phase = (enum alert_phase)phase;
    state->told = (enum alert_word)told;
    memcpy(&state->value, &bits, sizeof bits);
    return true;
}

bool alert_document_decode(struct slice value, struct alert_document *out)
{
    uint8_t version;
    return bytes_cut_u8(&value, &version) && version == DOCUMENT_VERSION &&
           bytes_cut_u64le(&value, &out->rule_id) && decode_state(&value, &out->state) &&
           bytes_cut_prefixed(&value, &out->labels) &&
           bytes_cut_prefixed(&value, &out->annotations) && value.len == 0;
}

static bool restore(void *arg, struct slice key, struct slice value)
{
    struct alert_board *board = arg;
    struct alert_document document;
    bool fresh;
    if (!alert_document_decode(value, &document)) {
        log_error("alert_unreadable", "key=\"" SLICE_FMT "\"", SLICE_ARG(key));
        return true;
    }
    struct rule_run *run = find_rule(board, document.rule_id);
    struct table *table =
        run && !run->rule->recording ? &run->instances : &board->orphans.instances;
    struct table_entry *e = table_insert(table, document.labels, &fresh);
    if (!e || !fresh)
        return true;
    struct alert_instance *instance = alloc_zeroed(1, sizeof *instance);
    instance->state = document.state;
    instance->restored = true;
    instance->rule_id = document.rule_id;
    instance_set_annotations(instance, document.annotations);
    e->value.pointer = instance;
    return true;
}

int board_restore(struct alert_board *board, struct store *store, struct error *err)
{
    struct store_scan scan = {.prefix = SLICE(ALERT_STATE_PREFIX)};
    if (store_scan(store, &scan, restore, board, err) < 0)
        return error_wrap(err, "the alert states cannot be read");
    return 0;
}
