/* A disk that is nearly full: every surface that writes says so with status 503 and a sentence,
 * reading goes on, old data still leaves, and with room again all goes on by itself.
 *
 * The disk is filled by moving the store's reserve above what any disk has.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "server/api/health.h"
#include "server/api/import.h"
#include "server/api/logs.h"
#include "server/api/sentry.h"
#include "server/ingest/ingest.h"
#include "storage/store_state.h"
#include "tests/unit/store_fixture.h"

#define DAY_MS ((int64_t)86400000)

struct server {
    struct config config;
    struct store *store;
    struct writer *writer;
    struct registry *registry;
    struct issues *issues;
    struct stats *stats;
};

/* Only while the writer has nothing to do. */
static void fill_disk(struct server *server, bool full)
{
    server->store->disk_reserve = full ? UINT64_MAX - 1 : 1;
}

static void open_server(struct server *server)
{
    struct error err = {0};
    struct registry_options registry = {
        .idle_timeout_ms = DAY_MS, .series_max = 1000, .flush_interval_ms = 100};
    *server = (struct server){.config.statsd = {.udp = "",
                                                .tcp = "",
                                                .unix_path = "",
                                                .unix_stream_path = "",
                                                .mapping_file = "",
                                                .flush_interval_ms = 100},
                              .config.limits.query_memory_bytes = 64 << 20};
    clock_set_ms(0);
    server->store = open_with((struct store_options){.retention_raw_ms = 30 * DAY_MS});
    server->writer = writer_start(server->store, 64);
    server->registry = registry_new(server->store, &registry);
    server->stats = stats_new(server->store);
    import_init();
    sentry_init();
    struct issues_options issues = {.store = server->store,
                                    .writer = server->writer,
                                    .registry = server->registry,
                                    .retention_ms = DAY_MS,
                                    .issues_max = 100,
                                    .cache_max = 10};
    if (issues_open(&issues, &server->issues, &err))
        fail_msg("%s", err.text);
}

static void close_server(struct server *server)
{
    writer_stop(server->writer);
    issues_close(server->issues);
    registry_free(server->registry);
    stats_free(server->stats);
    store_close(server->store);
}

/* --- requests --- */

struct answer {
    int status;
    char body[2000];
};

static void ask(const struct http_route *route, void *context, const char *body,
                struct answer *answer)
{
    struct arena arena;
    struct http_param project = {SLICE("project"), SLICE("web")};
    struct http_request request = {.segments = &project,
                                   .segment_count = 1,
                                   .body = slice_of_string(body),
                                   .arena = &arena,
                                   .context = context};
    struct http_reply reply = {.status = 200};
    arena_init(&arena, 8 << 20);
    buffer_init(&reply.body, 1 << 20);
    route->handle(&request, &reply);
    answer->status = reply.status;
    snprintf(answer->body, sizeof answer->body, SLICE_FMT, SLICE_ARG(buffer_slice(&reply.body)));
    buffer_release(&reply.body);
    arena_release(&arena);
}

static const struct http_route *route_of(const struct http_route *routes, const char *pattern)
{
    while (strcmp(routes->pattern, pattern) != 0)
        routes++;
    return routes;
}

static void each_surface_says_so_and_recovers(void **state)
{
    (void)state;
    struct server server;
    struct answer answer;
    open_server(&server);
    struct logs_api logs = {server.writer, 1000, 0};
    struct import_api import = {
        .store = server.store, .writer = server.writer, .config = &server.config};
    const struct {
        const struct http_route *route;
        void *context;
        const char *body, *shape;
    } surfaces[] = {
        {logs_routes, &logs, "{\"service\":\"api\"}", "{\"status\":\"error\",\"errorType\":\"una"},
        {import_routes, &import, "a 1\n", "{\"status\":\"error\",\"errorType\":\"unavailable\""},
        {route_of(sentry_routes, "/api/{project}/store/"), server.issues, "{\"message\":\"x\"}",
         "{\"detail\":\""},
    };
    for (int round = 0; round < 4; round++) {
        clock_set_ms(START_MS + round); /* the same sample twice would have nothing to write */
        fill_disk(&server, round % 2 == 0);
        for (size_t i = 0; i < sizeof surfaces / sizeof surfaces[0]; i++) {
            ask(surfaces[i].route, surfaces[i].context, surfaces[i].body, &answer);
            assert_int_equal(answer.status, round % 2 == 0 ? 503 : 200);
            if (round % 2)
                continue;
            assert_non_null(strstr(answer.body, surfaces[i].shape));
            assert_non_null(strstr(answer.body, "is nearly full"));
            assert_non_null(strstr(answer.body, "free some"));
        }
    }
    close_server(&server);
}

/* A health page that says "healthy" while everything is refused would be no help. */
static void health_says_so(void **state)
{
    (void)state;
    struct server server;
    struct answer answer;
    open_server(&server);
    struct health_api health = {.store = server.store, .stats = server.stats};
    atomic_store(&health.phase, HEALTH_READY);
    const struct http_route *detailed = route_of(health_routes, "/api/monitoring/health/detailed");
    for (int full = 0; full < 2; full++) {
        fill_disk(&server, full);
        ask(detailed, &health, "", &answer);
        assert_int_equal(answer.status, 200);
        assert_int_equal(strstr(answer.body, "nearly full") != NULL, full);
        assert_non_null(strstr(answer.body, full ? "\"status\":\"degraded\"" : "healthy"));
    }
    close_server(&server);
}

/* A thread that always has a write waiting, all of which fail. */
struct writes {
    struct server *server;
    _Atomic bool stop;
};

static int put_document(void *arg, struct store_batch *batch, struct error *err)
{
    (void)arg, (void)err;
    store_batch_put(batch, SLICE("key"), SLICE("value"));
    return 0;
}

static void *write_always(void *arg)
{
    struct writes *writes = arg;
    struct error err = {0};
    while (!atomic_load(&writes->stop))
        assert(writer_call(writes->server->writer, false, put_document, NULL, &err) < 0);
    return NULL;
}

static void count_issue(void *arg, const struct issue *issue)
{
    (void)issue;
    ++*(int *)arg;
}

/* The list comes by way of the writer, and shares a commit with what is refused. */
static void issues_are_listed(void **state)
{
    (void)state;
    struct server server;
    struct answer answer;
    struct error err = {0};
    struct writes writes = {.server = &server};
    pthread_t threads[4];
    open_server(&server);
    ask(route_of(sentry_routes, "/api/{project}/store/"), server.issues, "{\"message\":\"x\"}",
        &answer);
    fill_disk(&server, true);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_always, &writes), 0);
    for (int i = 0; i < 500; i++) {
        const struct issue_filter all = {.level = -1, .status = -1, .limit = 10};
        int count = 0;
        if (issues_list(server.issues, &all, count_issue, &count, &err))
            fail_msg("%s", err.text);
        assert_int_equal(count, 1);
    }
    atomic_store(&writes.stop, true);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    close_server(&server);
}

/* --- ticks --- */

static size_t days_kept(struct server *server)
{
    pthread_rwlock_rdlock(&server->store->lock);
    size_t count = server->store->partitions.count;
    pthread_rwlock_unlock(&server->store->lock);
    return count;
}

static int put_old(void *arg, struct store_batch *batch, struct error *err)
{
    (void)arg, (void)err;
    uint32_t id = intern(batch, "old", 1, SERIES_GAUGE);
    store_batch_value(batch, id, clock_now_ms() - 20 * DAY_MS, 1);
    return 0;
}

static void old_data_leaves_a_full_disk(void **state)
{
    (void)state;
    struct server server;
    struct ingest *ingest;
    struct error err = {0};
    open_server(&server);
    assert_int_equal(writer_call(server.writer, true, put_old, NULL, &err), 0);
    assert_int_equal(store_seal(server.store, &err), 0);
    assert_int_equal(days_kept(&server), 1);
    fill_disk(&server, true);
    server.store->keep.ms[STORE_RAW] = 10 * DAY_MS;
    server.store->retained_ms = INT64_MIN;
    const struct ingest_parts parts = {
        .config = &server.config, .writer = server.writer, .registry = server.registry};
    assert_int_equal(ingest_open(&parts, &ingest, &err), 0);
    while (days_kept(&server) > 0) /* the flushes fail meanwhile */
        sched_yield();
    ingest_close(ingest);
    close_server(&server);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(each_surface_says_so_and_recovers),
        CASE(health_says_so),
        CASE(issues_are_listed),
        CASE(old_data_leaves_a_full_disk),
    };
    return cmocka_run_group_tests_name("full_disk", tests, NULL, NULL);
}
