/* manager: the alert thread's clock.
 *
 *   commands (queue) --new rules--> [ alert thread: wait, evaluate the group that is due, repeat ]
 *
 * A group with interval i is evaluated at the times t with t mod i = offset, where the offset comes
 * from its name: groups are spread over the interval, and the same group keeps its grid over
 * restarts. A group that is late skips iterations, counted, and never runs one twice.
 */
#include "server/alert/manager.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "server/alert/evaluate.h"
#include "storage/base/alloc.h"
#include "storage/base/buffer.h"
#include "storage/base/clock.h"
#include "storage/base/log.h"
#include "storage/base/queue.h"

#define WAIT_MAX_MS     1000 /* so that steps of the wall clock are noticed */
#define FLUSHES_AWAITED 3    /* before a restored alert may be resolved by missing */

/* A reload: new rules, new settings. */
struct reload {
    struct rule_set *set;
    char *webhook_url;
    int64_t webhook_timeout_ms;
};

struct alerts {
    struct alert_board *board;
    struct sender *sender;
    struct evaluator evaluator; /* alert thread */
    struct queue *commands;     /* struct reload, owned */
    char *external_url;
    pthread_t thread;
};

static int64_t next_time(const struct group_run *group, int64_t now_ms)
{
    int64_t interval_ms = group->group->interval_ms;
    uint64_t hash = slice_hash(group->group->name);
    int64_t offset_ms = (int64_t)(hash % (uint64_t)interval_ms);
    int64_t past_ms = (now_ms - offset_ms) % interval_ms;
    return now_ms - past_ms + interval_ms;
}

static struct group_run *find_next(struct alert_board *board)
{
    struct group_run *next = NULL;
    for (size_t i = 0; i < board->count; i++)
        if (!next || board->groups[i].next_ms < next->next_ms)
            next = &board->groups[i];
    return next;
}

static void schedule_all(struct alert_board *board)
{
    for (size_t i = 0; i < board->count; i++)
        board->groups[i].next_ms = next_time(&board->groups[i], clock_now_ms());
}

static void run_group(struct alerts *alerts, struct group_run *group)
{
    int64_t due_ms = group->next_ms, interval_ms = group->group->interval_ms;
    evaluate_group(&alerts->evaluator, group, due_ms);
    group->next_ms = next_time(group, clock_now_ms());
    int64_t missed = (group->next_ms - due_ms) / interval_ms - 1;
    if (missed > 0) {
        evaluate_count_missed(missed);
        log_warn("group_late", "group=\"" SLICE_FMT "\" missed=%lld",
                 SLICE_ARG(slice_head(group->group->name, 200)), (long long)missed);
    }
}

static void reload_free(struct reload *reload)
{
    rule_set_free(reload->set);
    free(reload->webhook_url);
    free(reload);
}

static void obey(struct alerts *alerts, struct reload *reload)
{
    if (!reload)
        return;
    struct sender_options options = {reload->webhook_url, reload->webhook_timeout_ms};
    log_info("rules_reloaded", "groups=%zu rules=%zu", reload->set->count, reload->set->rule_count);
    sender_configure(alerts->sender, &options);
    board_replace(alerts->board, reload->set);
    reload->set = NULL;
    schedule_all(alerts->board);
    reload_free(reload);
}

/* A clock set back would leave groups waiting for a time long gone. */
static bool is_adrift(const struct group_run *group, int64_t now_ms)
{
    return group->next_ms - now_ms > 2 * group->group->interval_ms;
}

static void *run(void *arg)
{
    struct alerts *alerts = arg;
    schedule_all(alerts->board);
    while (!queue_is_closed(alerts->commands)) {
        int64_t now_ms = clock_now_ms();
        struct group_run *next = find_next(alerts->board);
        if (next && is_adrift(next, now_ms))
            schedule_all(alerts->board);
        evaluate_orphans(&alerts->evaluator, now_ms);
        int64_t wait_ms = next ? next->next_ms - now_ms : WAIT_MAX_MS;
        if (wait_ms > 0)
            obey(alerts, queue_pop_timeout(alerts->commands,
                                           wait_ms < WAIT_MAX_MS ? wait_ms : WAIT_MAX_MS));
        else
            run_group(alerts, next);
    }
    for (struct reload *reload; (reload = queue_try_pop(alerts->commands));)
        reload_free(reload);
    return NULL;
}

static int load(const struct config *config, struct rule_set **out, struct error *err)
{
    return rule_set_load(&config->rule_files, config->alerting.evaluation_interval_ms, out, err);
}

int alerts_check(const struct config *config, struct error *err)
{
    struct rule_set *set;
    if (load(config, &set, err) < 0)
        return -1;
    rule_set_free(set);
    return 0;
}

static void set_up_evaluator(struct alerts *alerts, const struct config *config,
                             struct store *store, struct writer *writer)
{
    struct buffer url;
    buffer_init(&url, 4096);
    buffer_append_format(&url, "http://%s", config->http.listen);
    buffer_append_char(&url, 0);
    alerts->external_url = alloc_string(url.at);
    buffer_release(&url);
    alerts->evaluator = (struct evaluator){
        .committer = {.store = store,
                      .writer = writer,
                      .sender = alerts->sender,
                      .board = alerts->board,
                      .external_url = alerts->external_url},
        .query_samples_max = config->limits.query_samples,
        .query_memory_bytes = config->limits.query_memory_bytes,
        .query_timeout_ms = config->limits.query_timeout_ms,
        .grace_until_ms = clock_now_ms() + FLUSHES_AWAITED * config->statsd.flush_interval_ms,
    };
}

static void alerts_free(struct alerts *alerts)
{
    sender_close(alerts->sender);
    board_free(alerts->board);
    queue_free(alerts->commands);
    free(alerts->external_url);
    free(alerts);
}

int alerts_open(const struct config *config, struct store *store, struct writer *writer,
                struct alerts **out, struct error *err)
{
    struct rule_set *set;
    if (load(config, &set, err) < 0)
        return -1;
    struct alerts *alerts = alloc_zeroed(1, sizeof *alerts);
    struct sender_options options = {config->alerting.webhook.url,
                                     config->alerting.webhook.timeout_ms};
    evaluate_open();
    alerts->board = board_new(set);
    alerts->commands = queue_new(16, NULL, NULL);
    if (board_restore(alerts->board, store, err) < 0 ||
        sender_open(store, writer, &options, &alerts->sender, err) < 0) {
        alerts_free(alerts);
        return -1;
    }
    set_up_evaluator(alerts, config, store, writer);
    if (pthread_create(&alerts->thread, NULL, run, alerts) != 0) {
        alerts_free(alerts);
        return error_set(err, ERROR_INTERNAL, "the alert thread cannot be started");
    }
    pthread_setname_np(alerts->thread, "alert");
    log_info("alerting", "groups=%zu rules=%zu webhook=%s", set->count, set->rule_count,
             sender_has_channel(alerts->sender) ? "yes" : "no");
    *out = alerts;
    return 0;
}

int alerts_reload(struct alerts *alerts, const struct config *config, struct error *err)
{
    struct rule_set *set;
    if (load(config, &set, err) < 0)
        return -1;
    struct reload *reload = alloc_zeroed(1, sizeof *reload);
    reload->set = set;
    reload->webhook_url = alloc_string(config->alerting.webhook.url);
    reload->webhook_timeout_ms = config->alerting.webhook.timeout_ms;
    if (queue_push(alerts->commands, reload) < 0) {
        reload_free(reload);
        return error_set(err, ERROR_UNAVAILABLE, "the server is stopping");
    }
    return 0;
}

void alerts_hurry(struct alerts *alerts)
{
    if (alerts)
        sender_hurry(alerts->sender);
}

void alerts_close(struct alerts *alerts)
{
    if (!alerts)
        return;
    queue_close(alerts->commands);
    atomic_store(&alerts->evaluator.cancelled, true);
    pthread_join(alerts->thread, NULL);
    alerts_free(alerts);
}

void alerts_visit(struct alerts *alerts, void (*visit)(const struct alert_board *board, void *arg),
                  void *arg)
{
    pthread_mutex_lock(&alerts->board->mutex);
    visit(alerts->board, arg);
    pthread_mutex_unlock(&alerts->board->mutex);
}
