/* health: see the header. Handlers run on the HTTP workers.
 *
 * A check is a row: a name and a function that says how that part is. The whole is as well as its
 * worst part. Deliberately absent: checks of what the clients send (that is for alert rules).
 */
#include "server/api/health.h"

#include <stdio.h>

#include "server/version.h"
#include "storage/base/clock.h"
#include "storage/base/json.h"

#define WHY_BYTES     600
#define DAMAGES_SHOWN 20

enum status { HEALTHY, DEGRADED, DOWN };

static const char *const status_names[] = {
    [HEALTHY] = "healthy", [DEGRADED] = "degraded", [DOWN] = "down"};

struct check {
    const char *name;
    /* `why` becomes a sentence for anything but HEALTHY. */
    enum status (*run)(struct health_api *api, char why[WHY_BYTES]);
};

static enum status check_phase(struct health_api *api, char why[WHY_BYTES])
{
    int phase = atomic_load(&api->phase);
    if (phase == HEALTH_READY)
        return HEALTHY;
    snprintf(why, WHY_BYTES, "the server is %s",
             phase == HEALTH_STARTING ? "starting" : "stopping");
    return DOWN;
}

static enum status read_store(struct health_api *api, int64_t *took_ns, char why[WHY_BYTES])
{
    struct buffer value;
    struct error err = {0};
    int64_t start = clock_monotonic_ns();
    buffer_init(&value, 64);
    int status = store_get(api->store, SLICE("health/none"), &value, &err);
    buffer_release(&value);
    *took_ns = clock_monotonic_ns() - start;
    if (status < 0)
        snprintf(why, WHY_BYTES, "the store cannot be read: %.200s", err.text);
    return status < 0 ? DOWN : HEALTHY;
}

static enum status check_store(struct health_api *api, char why[WHY_BYTES])
{
    int64_t took_ns;
    return read_store(api, &took_ns, why);
}

/* Full means that the store refuses to write, while it can still be read. */
static enum status check_disk(struct health_api *api, char why[WHY_BYTES])
{
    struct error err = {0};
    if (store_check_disk(api->store, &err) == 0)
        return HEALTHY;
    snprintf(why, WHY_BYTES, "%.250s", err.text);
    return DEGRADED;
}

/* The rest is answered; damage needs a person. */
static enum status check_data(struct health_api *api, char why[WHY_BYTES])
{
    char first[DAMAGE_TEXT_BYTES];
    size_t count = store_damage(api->store, 0, first);
    if (count == 0)
        return HEALTHY;
    snprintf(why, WHY_BYTES, "damaged in %zu place%s: %s; run lapwing check-data", count,
             count > 1 ? "s" : "", first);
    return DEGRADED;
}

static const struct check checks[] = {
    {"server", check_phase},
    {"store", check_store},
    {"disk", check_disk},
    {"data", check_data},
};
#define CHECK_COUNT (sizeof checks / sizeof checks[0])

/* `worst_why` is that of the first of the worst. */
static enum status check_all(struct health_api *api, char worst_why[WHY_BYTES])
{
    enum status worst = HEALTHY;
    worst_why[0] = 0;
    for (size_t i = 0; i < CHECK_COUNT; i++) {
        char why[WHY_BYTES] = "";
        enum status status = checks[i].run(api, why);
        if (status > worst)
            memcpy(worst_why, why, WHY_BYTES);
        worst = status > worst ? status : worst;
    }
    return worst;
}

/* --- JSON --- */

/* "3d 4h 5m 6s", without leading zeros. */
static void put_uptime(struct json_writer *writer, const struct health_api *api)
{
    static const struct {
        int64_t seconds;
        char letter;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    char text[96] = "";
    size_t len = 0;
    int64_t ms = (clock_monotonic_ns() - api->start_ns) / 1000000, left = ms / 1000;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (len || left >= units[i].seconds || units[i].seconds == 1)
            len += (size_t)snprintf(text + len, sizeof text - len, "%s%lld%c", len ? " " : "",
                                    (long long)(left / units[i].seconds), units[i].letter);
        left %= units[i].seconds;
    }
    json_field_int(writer, "uptime", ms);
    json_field_string(writer, "uptime_human", slice_make(text, len));
}

static void put_status(struct json_writer *writer, enum status status)
{
    json_field_string(writer, "status", slice_of_string(status_names[status]));
}

static void get_health(const struct http_request *request, struct http_reply *reply)
{
    struct health_api *api = request->context;
    struct json_writer writer;
    char why[WHY_BYTES];
    enum status status = check_all(api, why);
    reply->status = status == DOWN ? 503 : 200;
    json_writer_init(&writer, &reply->body);
    json_begin_object(&writer);
    put_status(&writer, status);
    if (*why)
        json_field_string(&writer, "message", slice_of_string(why));
    put_uptime(&writer, api);
    json_field_string(&writer, "version", SLICE(LAPWING_VERSION));
    json_end_object(&writer);
}

static void get_db(const struct http_request *request, struct http_reply *reply)
{
    struct json_writer writer;
    char why[WHY_BYTES] = "";
    int64_t took_ns;
    enum status status = read_store(request->context, &took_ns, why);
    reply->status = status == DOWN ? 503 : 200;
    json_writer_init(&writer, &reply->body);
    json_begin_object(&writer);
    put_status(&writer, status);
    json_field_double(&writer, "latency", (double)took_ns / 1e6);
    json_field_bool(&writer, "connected", status != DOWN);
    if (*why)
        json_field_string(&writer, "error", slice_of_string(why));
    json_end_object(&writer);
}

static void get_live(const struct http_request *request, struct http_reply *reply)
{
    (void)request;
    buffer_append_string(&reply->body, "{\"status\":\"healthy\"}");
}

static void get_ready(const struct http_request *request, struct http_reply *reply)
{
    struct json_writer writer;
    char why[WHY_BYTES] = "";
    enum status status = check_phase(request->context, why);
    reply->status = status == HEALTHY ? 200 : 503;
    json_writer_init(&writer, &reply->body);
    json_begin_object(&writer);
    put_status(&writer, status);
    json_field_bool(&writer, "ready", status == HEALTHY);
    json_end_object(&writer);
}

static void put_checks(struct json_writer *writer, struct health_api *api)
{
    json_key(writer, SLICE("checks"));
    json_begin_object(writer);
    for (size_t i = 0; i < CHECK_COUNT; i++) {
        char why[WHY_BYTES] = "";
        enum status status = checks[i].run(api, why);
        json_key(writer, slice_of_string(checks[i].name));
        json_begin_object(writer);
        put_status(writer, status);
        if (*why)
            json_field_string(writer, "message", slice_of_string(why));
        json_end_object(writer);
    }
    json_end_object(writer);
}

static void put_damage(struct json_writer *writer, struct store *store)
{
    char text[DAMAGE_TEXT_BYTES];
    json_key(writer, SLICE("damage"));
    json_begin_array(writer);
    for (size_t i = 0; i < DAMAGES_SHOWN && store_damage(store, i, text) > i; i++)
        json_put_string(writer, slice_of_string(text));
    json_end_array(writer);
}

static void get_detailed(const struct http_request *request, struct http_reply *reply)
{
    struct health_api *api = request->context;
    struct json_writer writer;
    struct store_stats store;
    char why[WHY_BYTES];
    enum status status = check_all(api, why);
    reply->status = status == DOWN ? 503 : 200;
    store_stats(api->store, &store);
    json_writer_init(&writer, &reply->body);
    json_begin_object(&writer);
    put_status(&writer, status);
    put_uptime(&writer, api);
    json_field_string(&writer, "version", SLICE(LAPWING_VERSION));
    put_checks(&writer, api);
    put_damage(&writer, api->store);
    json_field_int(&writer, "memory_bytes", stats_resident_bytes());
    json_field_int(&writer, "series", (int64_t)store.series);
    json_field_int(&writer, "head_samples", (int64_t)store.head_samples);
    json_field_int(&writer, "disk_bytes", (int64_t)store.disk_bytes);
    json_end_object(&writer);
}

/* --- texts --- */

static void get_metrics(const struct http_request *request, struct http_reply *reply)
{
    struct health_api *api = request->context;
    reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
    stats_render(api->stats, &reply->body);
}

static void get_healthy_text(const struct http_request *request, struct http_reply *reply)
{
    (void)request;
    reply->content_type = "text/plain; charset=utf-8";
    buffer_append_string(&reply->body, "lapwing is Healthy.\n");
}

static void get_ready_text(const struct http_request *request, struct http_reply *reply)
{
    char why[WHY_BYTES] = "";
    bool ready = check_phase(request->context, why) == HEALTHY;
    reply->status = ready ? 200 : 503;
    reply->content_type = "text/plain; charset=utf-8";
    buffer_append_format(&reply->body, "%s.\n", ready ? "lapwing is Ready" : why);
}

const struct http_route health_routes[] = {
    {.methods = HTTP_GET, .pattern = "/-/healthy", .handle = get_healthy_text},
    {.methods = HTTP_GET, .pattern = "/-/ready", .handle = get_ready_text},
    {.methods = HTTP_GET, .pattern = "/api/health", .handle = get_health},
    {.methods = HTTP_GET, .pattern = "/api/health/db", .handle = get_db},
    {.methods = HTTP_GET, .pattern = "/api/health/metrics", .handle = get_metrics},
    {.methods = HTTP_GET, .pattern = "/api/monitoring/health/live", .handle = get_live},
    {.methods = HTTP_GET, .pattern = "/api/monitoring/health/ready", .handle = get_ready},
    {.methods = HTTP_GET, .pattern = "/api/monitoring/health/detailed", .handle = get_detailed},
    {.methods = HTTP_GET, .pattern = "/api/monitoring/metrics", .handle = get_metrics},
    {.methods = HTTP_GET, .pattern = "/metrics", .handle = get_metrics},
};
const size_t health_route_count = sizeof health_routes / sizeof health_routes[0];
