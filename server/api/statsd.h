/* statsd: what statsd senders, and who looks after them, ask the server.
 *
 *   GET /api/statsd/top?limit=20             busiest metrics and sources of the last 10 to 20 s, newest series
 *   GET /api/statsd/losses                   whatever did not become part of a series, counted; of each reason
 *                                            for which lines are refused the last line and its sender
 *   GET /api/statsd/explain?line=...&profile=etsy   how a line is read and which series it becomes, or why
 *                                            it is refused and at which byte; by default by the listeners' profiles
 *   GET /api/statsd/tap?prefix=api.          the lines that come in and start so, while they do: a JSON object
 *                                            a line (server/ingest/tap.h), until the client leaves
 *
 * Answers, but for the last, are in Prometheus' envelope. What came in is escaped (server/wire/printable.h), so that
 * they can be shown as they are. docs/STATSD.md has examples.
 */
#ifndef SERVER_API_STATSD_H
#define SERVER_API_STATSD_H

#include "server/ingest/feed.h"
#include "server/ingest/ingest.h"
#include "server/net/http.h"

/* Inputs beside statsd whose refusals are told, too. */
enum { STATSD_API_GRAPHITE, STATSD_API_INFLUX, STATSD_API_FEEDS };

/* The context of the routes. */
struct statsd_api {
    struct ingest *ingest;
    struct store *store;
    struct writer *writer;
    struct registry *registry; /* the writer thread's */
    struct statsd_api_feed {
        const struct feed_format *format;
        struct refusals *refusals;
    } feeds[STATSD_API_FEEDS];
};

extern const struct http_route statsd_routes[];
extern const size_t statsd_route_count;

/* statsd_tap.c */
void statsd_tap(const struct http_request *request, struct http_reply *reply);
/* statsd_explain.c */
void statsd_explain(const struct http_request *request, struct http_reply *reply);
/* statsd_outlook.c: adds to the object that is open what would become of a metric with these labels:
 * "fate" (known, new, overflow, dropped), "stored" and "why". */
void statsd_put_outlook(const struct statsd_api *api, struct json_writer *writer,
                        struct labels labels, enum series_kind kind, struct arena *arena);

#endif
