/* active: see the header.
 *
 * A query is ended through the flag that its connection would set by closing, so the engines know
 * one way to be told. Listing and ending hold the mutex, and so does active_end: an entry that is
 * looked at cannot leave the stack meanwhile.
 */
#include "server/api/active.h"

#include <stdio.h>

#include "storage/base/clock.h"
#include "storage/base/json.h"
#include "storage/base/log.h"

#define LOGGED_BYTES_MAX 500 /* of a slow query's text */

void active_init(struct active_queries *active, int64_t slow_ms)
{
    *active = (struct active_queries){.slow_ms = slow_ms};
    pthread_mutex_init(&active->mutex, NULL);
}

void active_release(struct active_queries *active)
{
    pthread_mutex_destroy(&active->mutex);
}

void active_begin(struct active_queries *active, struct active_query *query)
{
    query->began_ms = clock_now_ms();
    query->began_ns = clock_monotonic_ns();
    pthread_mutex_lock(&active->mutex);
    query->id = ++active->last_id;
    query->next = active->first;
    active->first = query;
    pthread_mutex_unlock(&active->mutex);
}

static int64_t age_ms(const struct active_query *query)
{
    return (clock_monotonic_ns() - query->began_ns) / 1000000;
}

void active_end(struct active_queries *active, struct active_query *query, const char *failed)
{
    pthread_mutex_lock(&active->mutex);
    struct active_query **at = &active->first;
    while (*at != query)
        at = &(*at)->next;
    *at = query->next;
    pthread_mutex_unlock(&active->mutex);
    if (active->slow_ms == 0 || age_ms(query) < active->slow_ms)
        return;
    log_warn("slow_query",
             "took_ms=%lld language=%s start_ms=%lld end_ms=%lld step_ms=%lld peer=" SLICE_FMT
             " %s%s query=" SLICE_FMT,
             (long long)age_ms(query), query->language, (long long)query->start_ms,
             (long long)query->end_ms, (long long)query->step_ms, SLICE_ARG(query->request->peer),
             failed ? "error=" : "ok", failed ? failed : "",
             SLICE_ARG(slice_head(query->text, LOGGED_BYTES_MAX)));
}

/* --- routes --- */

static void put_query(struct json_writer *writer, const struct active_query *query)
{
    char id[24];
    snprintf(id, sizeof id, "%llu", (unsigned long long)query->id);
    json_begin_object(writer);
    json_field_string(writer, "id", slice_of_string(id));
    json_field_string(writer, "language", slice_of_string(query->language));
    json_field_string(writer, "query", query->text);
    json_field_int(writer, "start_ms", query->start_ms);
    json_field_int(writer, "end_ms", query->end_ms);
    json_field_int(writer, "step_ms", query->step_ms);
    json_field_int(writer, "began_ms", query->began_ms);
    json_field_int(writer, "duration_ms", age_ms(query));
    json_field_string(writer, "remote_addr", query->request->peer);
    json_end_object(writer);
}

static void get_active(const struct http_request *request, struct http_reply *reply)
{
    struct active_queries *active = request->context;
    struct json_writer writer;
    json_writer_init(&writer, &reply->body);
    json_begin_object(&writer);
    json_field_string(&writer, "status", SLICE("success"));
    json_key(&writer, SLICE("data"));
    json_begin_array(&writer);
    pthread_mutex_lock(&active->mutex);
    for (const struct active_query *query = active->first; query; query = query->next)
        put_query(&writer, query);
    pthread_mutex_unlock(&active->mutex);
    json_end_array(&writer);
    json_end_object(&writer);
}

static bool end_query(struct active_queries *active, uint64_t id)
{
    bool found = false;
    pthread_mutex_lock(&active->mutex);
    for (struct active_query *query = active->first; query && !found; query = query->next) {
        found = query->id == id;
        if (found)
            atomic_store(query->request->cancelled, true);
    }
    pthread_mutex_unlock(&active->mutex);
    return found;
}

static void delete_active(const struct http_request *request, struct http_reply *reply)
{
    struct slice text = http_get_segment(request, "id");
    struct error err;
    uint64_t id;
    if (slice_to_u64(text, &id) && end_query(request->context, id)) {
        reply->status = 204;
        return;
    }
    error_set(&err, ERROR_NOT_FOUND,
              "no query with the id " SLICE_FMT " is running; GET /api/v1/status/active_queries "
              "lists those that are",
              SLICE_ARG(slice_head(text, 30)));
    http_refuse_json(reply, &err);
}

const struct http_route active_routes[] = {
    {.methods = HTTP_GET, .pattern = "/api/v1/status/active_queries", .handle = get_active},
    {.methods = HTTP_DELETE,
     .pattern = "/api/v1/status/active_queries/{id}",
     .handle = delete_active},
};
const size_t active_route_count = sizeof active_routes / sizeof active_routes[0];
