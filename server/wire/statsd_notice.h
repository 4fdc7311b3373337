/* statsd_notice: the two lines of DogStatsD that are no metrics. Pure.
 *
 *   _e{5,4}:title|text|d:1656581400|h:host|k:key|p:low|s:source|t:error|#tag:value
 *   _sc|name|2|d:1656581400|h:host|#tag:value|m:message
 *
 * Lengths are bytes (or units of UTF-16, as some clients count), so that titles and texts may hold any byte
 * but a line feed (they write it \n).
 * Fields come in any order, the last of a kind wins, unknown ones are ignored and told.
 * Source: DogStatsD datagram format.
 */
#ifndef SERVER_WIRE_STATSD_NOTICE_H
#define SERVER_WIRE_STATSD_NOTICE_H

#include "server/wire/statsd.h"

#define STATSD_HOST_MAX 256 /* bytes */

enum statsd_alert { STATSD_INFO, STATSD_SUCCESS, STATSD_WARNING, STATSD_ERROR, STATSD_ALERT_COUNT };
extern const char *const statsd_alert_names[STATSD_ALERT_COUNT]; /* as sent: "info" ... */

enum statsd_status { STATSD_OK, STATSD_WARN, STATSD_CRITICAL, STATSD_UNKNOWN, STATSD_STATUS_COUNT };
extern const char *const statsd_status_names[STATSD_STATUS_COUNT];

/* What both have. Slices point into the line. */
struct statsd_notice {
    struct slice name;   /* of a check */
    struct slice title;  /* of an event */
    struct slice text;   /* of an event, or a check's message */
    struct slice host;   /* empty = not said */
    struct slice key;    /* of an event: what it is aggregated by */
    struct slice source; /* of an event */
    struct slice tags;   /* raw, without '#' */
    int64_t time_s;      /* since 1970; 0 = now */
    enum statsd_alert alert;
    enum statsd_status status;
    bool low_priority;
    uint8_t ignored; /* bits 1 << enum statsd_ignored */
};

/* Lines for which statsd_parse said STATSD_EVENT and STATSD_SERVICE_CHECK. */
enum statsd_reject statsd_parse_event(struct slice line, struct statsd_notice *out);
enum statsd_reject statsd_parse_check(struct slice line, struct statsd_notice *out);

#endif
