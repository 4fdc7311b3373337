/* world: store, writer, sender without a channel, evaluator; the same parts that server.c puts together.
 */
#include "server/ruletest/world.h"

#include <stdio.h>
#include <stdlib.h>

#include "query/notation.h"
#include "query/parse.h"
#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "storage/kv/directory.h"

#define QUERY_TIMEOUT_MS 60000
#define QUERY_BYTES      ((size_t)512 << 20)
#define PATH_BYTES       4096

/* A series on its way in. */
struct feed {
    struct labels labels;
    struct notation_samples samples;
    enum series_kind kind;
    size_t next; /* the first sample that is not in the store yet */
};

struct world {
    char path[PATH_BYTES];
    struct store *store;
    struct writer *writer;
    struct sender *sender;
    struct alert_board *board;
    struct evaluator evaluator;
    struct feed *feeds;
    size_t feed_count;
    int64_t interval_ms;
    int64_t now_ms; /* as far as samples have come */
    char *external_url;
};

/* --- series --- */

static int read_kind(struct feed *feed, struct slice series, struct error *err)
{
    bool numbers = false, histograms = false;
    for (size_t i = 0; i < feed->samples.count; i++) {
        const struct notation_sample *s = &feed->samples.at[i];
        histograms |= s->kind == NOTATION_HISTOGRAM;
        numbers |= s->kind == NOTATION_NUMBER && !is_stale_nan(s->value);
    }
    feed->kind = histograms ? SERIES_HISTOGRAM : SERIES_GAUGE;
    if (!numbers || !histograms)
        return 0;
    return error_set(err, ERROR_BAD_DATA,
                     SLICE_FMT ": a series holds either numbers or histograms, not both",
                     SLICE_ARG(slice_head(series, 200)));
}

static int read_feeds(struct world *world, const struct test_group *group, struct arena *arena,
                      struct error *err)
{
    const struct test_series *series = group->series.at;
    world->feeds = alloc_zeroed(group->series.count + 1, sizeof *world->feeds);
    world->feed_count = group->series.count;
    for (size_t i = 0; i < group->series.count; i++) {
        struct feed *feed = &world->feeds[i];
        if (notation_labels(series[i].series, arena, &feed->labels, err) < 0 ||
            notation_samples(series[i].values, arena, &feed->samples, err) < 0 ||
            read_kind(feed, series[i].series, err) < 0)
            return -1;
    }
    return 0;
}

static void write_sample(struct store_batch *batch, uint32_t series, int64_t time_ms,
                         const struct notation_sample *sample)
{
    if (sample->kind == NOTATION_HISTOGRAM)
        store_batch_histogram(batch, series, time_ms, sample->histogram);
    else if (sample->kind == NOTATION_NUMBER)
        store_batch_value(batch, series, time_ms, sample->value);
}

static int write_feeds(void *arg, struct store_batch *batch, struct error *err)
{
    struct world *world = arg;
    for (size_t i = 0; i < world->feed_count; i++) {
        struct feed *feed = &world->feeds[i];
        uint32_t series;
        int64_t time_ms = (int64_t)feed->next * world->interval_ms;
        if (feed->next == feed->samples.count || time_ms > world->now_ms)
            continue;
        if (store_batch_intern(batch, feed->labels, feed->kind, &series, err) < 0)
            return -1;
        for (; feed->next < feed->samples.count && time_ms <= world->now_ms;
             feed->next++, time_ms += world->interval_ms)
            write_sample(batch, series, time_ms, &feed->samples.at[feed->next]);
    }
    return 0;
}

int world_advance(struct world *world, int64_t now_ms, struct error *err)
{
    world->now_ms = now_ms;
    return writer_call(world->writer, false, write_feeds, world, err);
}

/* --- opening and closing --- */

static int make_directory(struct world *world, struct error *err)
{
    const char *parent = getenv("TMPDIR");
    int len = snprintf(world->path, sizeof world->path, "%s/lapwing-test.XXXXXX",
                       parent && *parent ? parent : "/tmp");
    if (len < 0 || (size_t)len >= sizeof world->path || !mkdtemp(world->path)) {
        world->path[0] = 0;
        return error_set(err, ERROR_INTERNAL, "no directory can be made in TMPDIR (%s)",
                         parent && *parent ? parent : "/tmp");
    }
    return 0;
}

/* Groups in the order of group_eval_order; those that it does not name count as the first one, as
 * in promtool. */
static size_t place_of(const struct test_file *file, struct slice name)
{
    const struct slice *order = file->group_order.at;
    for (size_t i = 0; i < file->group_order.count; i++)
        if (slice_equal(order[i], name))
            return i;
    return 0;
}

static void sort_groups(struct rule_set *set, const struct test_file *file)
{
    for (size_t i = 1; i < set->count; i++) {
        struct rule_group group = set->groups[i];
        size_t place = place_of(file, group.name), at = i;
        for (; at > 0 && place_of(file, set->groups[at - 1].name) > place; at--)
            set->groups[at] = set->groups[at - 1];
        set->groups[at] = group;
    }
}

static int open_engine(struct world *world, const struct world_options *options, struct error *err)
{
    static const struct sender_options nobody = {"", 1000};
    struct store_options store = {
        .path = world->path, .series_max = 10000000, .retention_raw_ms = INT64_C(1) << 50};
    if (store_open(&store, &world->store, err) < 0)
        return -1;
    world->writer = writer_start(world->store, 16);
    if (sender_open(world->store, world->writer, &nobody, &world->sender, err) < 0)
        return -1;
    world->evaluator = (struct evaluator){
        .committer = {.store = world->store,
                      .writer = world->writer,
                      .sender = world->sender,
                      .board = world->board,
                      .external_url = world->external_url},
        .external_labels = options->group->external_labels,
        .subquery_step_ms = options->file->evaluation_interval_ms,
        .query_memory_bytes = QUERY_BYTES,
        .query_timeout_ms = QUERY_TIMEOUT_MS,
    };
    return 0;
}

int world_open(const struct world_options *options, struct arena *arena, struct world **out,
               struct error *err)
{
    struct world *world = alloc_zeroed(1, sizeof *world);
    struct slice url = arena_copy_string(arena, options->group->external_url);
    sort_groups(options->owned_rules, options->file);
    world->board = board_new(options->owned_rules);
    world->external_url = alloc_string(url.at ? url.at : "");
    world->interval_ms = options->group->interval_ms;
    world->now_ms = -1;
    if (read_feeds(world, options->group, arena, err) < 0 || make_directory(world, err) < 0 ||
        open_engine(world, options, err) < 0) {
        world_close(world);
        return -1;
    }
    *out = world;
    return 0;
}

void world_close(struct world *world)
{
    struct error ignored;
    if (!world)
        return;
    sender_close(world->sender);
    writer_stop(world->writer);
    if (world->store)
        store_close(world->store);
    if (world->path[0] && directory_remove(world->path, &ignored) < 0)
        fprintf(stderr, "%s\n", ignored.text);
    board_free(world->board);
    free(world->external_url);
    free(world->feeds);
    free(world);
}

/* --- what happens in it --- */

void world_evaluate(struct world *world, int64_t now_ms)
{
    for (size_t i = 0; i < world->board->count; i++)
        evaluate_group(&world->evaluator, &world->board->groups[i], now_ms);
}

const struct alert_board *world_board(const struct world *world)
{
    return world->board;
}

int world_query(struct world *world, const struct expr_case *expr, struct arena *arena,
                struct promql_result *out, struct error *err)
{
    struct plan *plan;
    if (parse_promql(expr->expr, arena, &plan, err) < 0)
        return -1;
    struct promql_request request = {
        .plan = plan,
        .start_ms = expr->eval_ms,
        .end_ms = expr->eval_ms,
        .subquery_step_ms = world->evaluator.subquery_step_ms,
        .deadline_ns = clock_monotonic_ns() + (int64_t)QUERY_TIMEOUT_MS * 1000000,
    };
    int status = promql_run(world->store, &request, arena, out, err);
    if (status == 0 && out->type != VALUE_VECTOR && out->type != VALUE_SCALAR)
        status = error_set(err, ERROR_BAD_DATA, "rule result is not a vector or scalar");
    plan_release(plan);
    return status;
}
