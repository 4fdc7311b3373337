/* issue_document: keys and values of the documents that hold issues. Pure; any thread.
 *
 *   issue/<id>                          struct issue, msgpack map
 *   issue-users/<id>                    distinct users, see storage/sketch.h
 *   issue-event/<id>/<number>           one kept body; number = the issue's count at that event,
 *                                       16 hex digits, so that key order is order of arrival
 *   issue-seen/<day>/<project>/<event>  the event id was recorded on this day (8 hex digits, days
 *                                       since 1970); the value is the issue's id
 */
#ifndef SERVER_INGEST_ISSUE_DOCUMENT_H
#define SERVER_INGEST_ISSUE_DOCUMENT_H

#include "server/ingest/issue.h"

#define ISSUE_KEY_MAX   160 /* bytes of the longest key */
#define ISSUE_PREFIX    "issue/"
#define SEEN_PREFIX     "issue-seen/"
#define ISSUE_DAY_MS    INT64_C(86400000)
#define ISSUE_BYTES_MAX 8192 /* of an encoded issue */

/* A key on the stack. */
struct issue_key {
    char text[ISSUE_KEY_MAX];
    size_t len;
};

static inline struct slice issue_key_slice(const struct issue_key *key)
{
    return slice_make(key->text, key->len);
}

struct issue_key issue_key_of(const char *id);
struct issue_key issue_users_key(const char *id);
struct issue_key issue_event_key(const char *id, uint64_t number);
struct issue_key issue_event_prefix(const char *id);
struct issue_key issue_seen_key(int64_t day, struct slice project, const char *event_id);
/* The day of a seen key; false when it is not one. */
MUST_USE bool issue_seen_day(struct slice key, int64_t *day);

void issue_encode(const struct issue *issue, struct buffer *out);
/* Unknown members are skipped; false when it is no such document. */
MUST_USE bool issue_decode(struct slice bytes, struct issue *out);

void issue_body_encode(const struct issue_event *event, struct buffer *out);
/* Slices point into bytes. */
MUST_USE bool issue_body_decode(struct slice bytes, struct issue_body *out);

#endif
