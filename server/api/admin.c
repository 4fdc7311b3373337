/* admin: see the header. The work is the store's; here it is cut into writer jobs, so that ticks
 * and other writes come in between, and said in Prometheus' envelope.
 */
#include "server/api/admin.h"

#include "storage/base/clock.h"
#include "storage/base/json.h"
#include "storage/base/log.h"

/* False, with the refusal in *err, while another one is at work. */
static bool begin(struct admin_api *api, struct error *err)
{
    if (!atomic_exchange(&api->busy, true))
        return true;
    error_set(err, ERROR_UNAVAILABLE,
              "another compaction or backup is under way; try again when it is done");
    return false;
}

static void end(struct admin_api *api)
{
    atomic_store(&api->busy, false);
}

/* --- compaction --- */

struct step {
    struct store *store;
    size_t phase;
    bool more;
};

static int compact_step(void *arg, struct error *err)
{
    struct step *step = arg;
    int status = store_compact_step(step->store, &step->phase, err);
    step->more = status == 1;
    return status < 0 ? -1 : 0;
}

static int compact(struct admin_api *api, struct error *err)
{
    struct step step = {.store = api->store, .more = true};
    while (step.more)
        if (writer_tidy(api->writer, compact_step, &step, err))
            return -1;
    return store_compact_tables(api->store, err);
}

static void post_compact(const struct http_request *request, struct http_reply *reply)
{
    struct admin_api *api = request->context;
    struct error err = {0};
    struct json_writer writer;
    struct store_stats stats;
    int64_t start = clock_monotonic_ns();
    int status = -1;
    if (begin(api, &err)) {
        status = compact(api, &err);
        end(api);
    }
    if (status) {
        http_refuse_json(reply, &err);
        return;
    }
    int64_t took_ms = (clock_monotonic_ns() - start) / 1000000;
    store_stats(api->store, &stats);
    log_info("compacted", "took_ms=%lld disk_bytes=%llu", (long long)took_ms,
             (unsigned long long)stats.disk_bytes);
    json_writer_init(&writer, &reply->body);
    json_begin_object(&writer);
    json_field_string(&writer, "status", SLICE("success"));
    json_key(&writer, SLICE("data"));
    json_begin_object(&writer);
    json_field_int(&writer, "took_ms", took_ms);
    json_field_int(&writer, "disk_bytes", (int64_t)stats.disk_bytes);
    json_end_object(&writer);
    json_end_object(&writer);
}

const struct http_route admin_routes[] = {
    {.methods = HTTP_POST | HTTP_PUT,
     .pattern = "/api/v1/admin/tsdb/compact",
     .handle = post_compact},
};
const size_t admin_route_count = sizeof admin_routes / sizeof admin_routes[0];
