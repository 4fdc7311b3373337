/* admin: see the header. The work is the store's; here it is cut into writer jobs, so that ticks
 * and other writes come in between, and said in Prometheus' envelope.
 */
#include "server/api/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "storage/backup.h"
#include "storage/base/clock.h"
#include "storage/base/json.h"
#include "storage/base/log.h"

#define BODY_BYTES_MAX ((size_t)64 << 10)
#define PLACES_MAX     1000 /* listed in an answer */

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

/* {"status":"success","data":{ */
static void begin_answer(struct json_writer *writer, struct http_reply *reply)
{
    json_writer_init(writer, &reply->body);
    json_begin_object(writer);
    json_field_string(writer, "status", SLICE("success"));
    json_key(writer, SLICE("data"));
    json_begin_object(writer);
}

static void end_answer(struct json_writer *writer)
{
    json_end_object(writer);
    json_end_object(writer);
}

static int64_t ms_since(int64_t start_ns)
{
    return (clock_monotonic_ns() - start_ns) / 1000000;
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
    int64_t took_ms = ms_since(start);
    store_stats(api->store, &stats);
    log_info("compacted", "took_ms=%lld disk_bytes=%llu", (long long)took_ms,
             (unsigned long long)stats.disk_bytes);
    begin_answer(&writer, reply);
    json_field_int(&writer, "took_ms", took_ms);
    json_field_int(&writer, "disk_bytes", (int64_t)stats.disk_bytes);
    end_answer(&writer);
}

/* --- backups --- */

static int create_backup(struct admin_api *api, const char *path, struct scrub_report *report,
                         struct error *err)
{
    if (!begin(api, err))
        return -1;
    int64_t start = clock_monotonic_ns();
    int status = backup_create(api->store, path, report, err);
    end(api);
    if (status)
        log_error("backup", "path=%s error=\"%s\"", path, err->text);
    else
        log_info("backup", "path=%s rows=%llu took_ms=%lld", path, (unsigned long long)report->rows,
                 (long long)ms_since(start));
    return status;
}

static void put_report(struct json_writer *writer, const struct scrub_report *report)
{
    char digest[17];
    snprintf(digest, sizeof digest, "%016llx", (unsigned long long)report->digest);
    json_field_int(writer, "rows", (int64_t)report->rows);
    json_field_int(writer, "bytes", (int64_t)report->bytes);
    json_field_string(writer, "digest", slice_of_string(digest));
}

static int parse_dir(struct json_parser *parser, struct slice text, char out[DIRECTORY_PATH_BYTES],
                     struct error *err)
{
    struct json body;
    struct slice dir;
    if (json_parse(parser, text, &body, err))
        return -1;
    if (!json_string(json_get(body, "dir"), &dir) || dir.len >= DIRECTORY_PATH_BYTES ||
        memchr(dir.at, 0, dir.len))
        return error_set(err, ERROR_BAD_DATA, "the body has no \"dir\", the directory to make");
    memcpy(out, dir.at, dir.len);
    out[dir.len] = 0;
    return 0;
}

/* The "dir" of the body. Only as JSON, which no web page can send here without being asked first. */
static int read_dir(const struct http_request *request, char out[DIRECTORY_PATH_BYTES],
                    struct error *err)
{
    struct slice type = SLICE("");
    if (!http_get_header(request, "Content-Type", &type) ||
        !slice_starts_with(type, SLICE("application/json")))
        return error_set(err, ERROR_BAD_DATA,
                         "send {\"dir\":\"/absolute/path\"} with the header Content-Type: "
                         "application/json");
    struct json_parser *parser = json_parser_new(BODY_BYTES_MAX);
    int status = parse_dir(parser, request->body, out, err);
    json_parser_free(parser);
    return status;
}

static void post_backup(const struct http_request *request, struct http_reply *reply)
{
    struct error err = {0};
    struct json_writer writer;
    struct scrub_report report;
    char path[DIRECTORY_PATH_BYTES];
    if (read_dir(request, path, &err) || create_backup(request->context, path, &report, &err)) {
        http_refuse_json(reply, &err);
        return;
    }
    begin_answer(&writer, reply);
    json_field_string(&writer, "dir", slice_of_string(path));
    put_report(&writer, &report);
    end_answer(&writer);
}

/* Prometheus' shape: the name alone. */
static void post_snapshot(const struct http_request *request, struct http_reply *reply)
{
    struct admin_api *api = request->context;
    struct error err = {0};
    struct json_writer writer;
    struct scrub_report report;
    char real[DIRECTORY_PATH_BYTES], path[2 * DIRECTORY_PATH_BYTES], name[64];
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t len = strftime(name, sizeof name, "%Y%m%dT%H%M%SZ", &utc);
    snprintf(name + len, sizeof name - len, "-%09ld", now.tv_nsec);
    if (!realpath(api->data_dir, real))
        real[0] = 0;
    snprintf(path, sizeof path, "%s/snapshots/%s", real, name);
    if (create_backup(api, path, &report, &err)) {
        http_refuse_json(reply, &err);
        return;
    }
    begin_answer(&writer, reply);
    json_field_string(&writer, "name", slice_of_string(name));
    end_answer(&writer);
}

/* --- the check --- */

/* The answer being written, and how many places it lists. */
struct listing {
    struct json_writer writer;
    size_t count;
};

static void list_place(void *arg, const char *text)
{
    struct listing *listing = arg;
    if (listing->count++ < PLACES_MAX)
        json_put_string(&listing->writer, slice_of_string(text));
}

static void post_check(const struct http_request *request, struct http_reply *reply)
{
    struct admin_api *api = request->context;
    struct error err = {0};
    struct listing listing = {.count = 0};
    struct scrub_report report;
    struct scrub_options options = {
        .found = list_place, .arg = &listing, .cancelled = request->cancelled};
    int status = -1;
    begin_answer(&listing.writer, reply);
    json_key(&listing.writer, SLICE("damage"));
    json_begin_array(&listing.writer);
    if (begin(api, &err)) {
        status = store_check(api->store, &options, &report, &err);
        end(api);
    }
    json_end_array(&listing.writer);
    if (status) {
        buffer_reset(&reply->body);
        http_refuse_json(reply, &err);
        return;
    }
    json_field_int(&listing.writer, "damaged", (int64_t)report.damaged);
    put_report(&listing.writer, &report);
    end_answer(&listing.writer);
}

const struct http_route admin_routes[] = {
    {.methods = HTTP_POST | HTTP_PUT,
     .pattern = "/api/v1/admin/tsdb/compact",
     .handle = post_compact},
    {.methods = HTTP_POST | HTTP_PUT,
     .pattern = "/api/v1/admin/tsdb/snapshot",
     .handle = post_snapshot},
    {.methods = HTTP_POST, .pattern = "/api/v1/admin/backup", .handle = post_backup},
    {.methods = HTTP_POST, .pattern = "/api/v1/admin/check", .handle = post_check},
};
const size_t admin_route_count = sizeof admin_routes / sizeof admin_routes[0];
