/* notice: while the writer is busy records and dated samples wait; beyond that they are dropped and counted, and
 * what the writer takes is stored once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/ingest/notice.h"
#include "server/ingest/registry_state.h"
#include "storage/base/metric.h"
#include "storage/base/queue.h"
#include "tests/unit/scratch_dir.h"

struct figure {
    const char *name, *labels;
    double value;
};

static void find_figure(const struct metric *metric, void *arg)
{
    struct figure *figure = arg;
    if (strcmp(metric->name, figure->name) == 0 &&
        (!figure->labels || strcmp(metric->labels, figure->labels) == 0))
        figure->value = metric_value(metric);
}

static int figure(const char *name, const char *labels)
{
    struct figure figure = {.name = name, .labels = labels};
    metric_each(find_figure, &figure);
    return (int)figure.value;
}

/* A job that keeps the writer until it is let go. */
struct gate {
    struct writer_job job;
    struct queue *entered, *open;
};

static int wait_at(struct writer_job *job, struct store_batch *batch, struct error *err)
{
    struct gate *gate = (struct gate *)job;
    (void)batch, (void)err;
    assert_int_equal(queue_push(gate->entered, gate), 0);
    queue_pop(gate->open);
    return 0;
}

static void let_go(struct writer_job *job, int status, const struct error *err)
{
    (void)job, (void)status, (void)err;
}

/* Two records, two samples. */
static bool take_all_kinds(struct notices *notices)
{
    struct statsd_notice notice;
    struct statsd_metric metric;
    const struct statsd_profile *profile = &statsd_profiles[STATSD_DOGSTATSD];
    assert_int_equal(statsd_parse_event(SLICE("_e{1,1}:a|b|#k:v"), &notice), STATSD_ACCEPTED);
    notices_take_event(notices, &notice, &metric);
    assert_true(slice_equal(metric.tags, SLICE("k:v,alert_type:info")));
    assert_int_equal(statsd_parse_check(SLICE("_sc|db,x|2|h:w|m:no"), &notice), STATSD_ACCEPTED);
    notices_take_check(notices, &notice, &metric);
    assert_true(slice_equal(metric.tags, SLICE("host:w,check:db_x")) && metric.value == 2);
    assert_int_equal(statsd_parse(profile, SLICE("a:1:2|g|T5"), &metric), STATSD_ACCEPTED);
    notices_take_dated(notices, &metric);
    return notices_submit(notices);
}

static int lost(const char *name)
{
    return figure(name, "reason=\"writer_busy\"");
}

#define RECORDS_LOST "lapwing_statsd_records_dropped_total"
#define DATED_LOST   "lapwing_statsd_dated_dropped_total"
#define BURST        1000
#define BURSTS       10

static void a_busy_writer_costs_nothing_until_much_waits(void **state)
{
    (void)state;
    char path[SCRATCH_DIR_BYTES];
    struct store *store;
    struct error err = {0};
    assert_int_equal(scratch_dir_make(path, "notice_test"), 0);
    const struct store_options store_options = {
        .path = path, .series_max = 100, .retention_raw_ms = 1ll << 50};
    if (store_open(&store_options, &store, &err))
        fail_msg("%s", err.text);
    struct registry *registry = registry_new(
        store, &(struct registry_options){
                   .idle_timeout_ms = 1000, .series_max = 100, .flush_interval_ms = 1000});
    struct writer *writer = writer_start(store, 1);
    struct gate gate = {.job = {.run = wait_at, .done = let_go},
                        .entered = queue_new(1, NULL, NULL),
                        .open = queue_new(1, NULL, NULL)};
    assert_int_equal(writer_submit(writer, &gate.job), 0);
    queue_pop(gate.entered);
    struct notices *notices = notices_new(writer, registry, 0);
    assert_true(take_all_kinds(notices)); /* it waits in the writer's queue */
    for (int i = 1; i < BURST; i++)
        assert_false(take_all_kinds(notices));
    assert_int_equal(lost(RECORDS_LOST) + lost(DATED_LOST), 0);
    for (int i = BURST; i < BURSTS * BURST; i++)
        assert_false(take_all_kinds(notices));
    assert_in_range(lost(RECORDS_LOST), 1, 2 * (BURSTS - 1) * BURST);
    assert_in_range(lost(DATED_LOST), 1, 2 * (BURSTS - 1) * BURST);
    assert_int_equal(queue_push(gate.open, &gate), 0);
    notices_free(notices);
    assert_int_equal(figure("lapwing_statsd_records_total", NULL) + lost(RECORDS_LOST),
                     2 * BURSTS * BURST);
    assert_int_equal((int)registry->dated_count + lost(DATED_LOST), 2 * BURSTS * BURST);
    writer_stop(writer);
    registry_free(registry);
    store_close(store);
    queue_free(gate.entered);
    queue_free(gate.open);
    assert_int_equal(scratch_dir_remove(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_busy_writer_costs_nothing_until_much_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
