/* issue: error events, grouped and counted.
 *
 * struct issues belongs to the writer thread: recording, expiry and the in-memory index are jobs
 * there, so that counts need no lock and an answer follows a durable commit. The functions below
 * may be called by any other thread (they wait for the writer or read committed documents), except
 * issues_maintain, which is for writer jobs.
 */
#ifndef SERVER_INGEST_ISSUE_H
#define SERVER_INGEST_ISSUE_H

#include "server/ingest/fingerprint.h"
#include "server/ingest/registry.h"
#include "server/writer.h"

#define ISSUE_ID_LEN      16 /* hex digits */
#define PROJECT_BYTES_MAX 64

enum issue_status { ISSUE_UNRESOLVED, ISSUE_STATUS_COUNT };
/* "unresolved". */
const char *issue_status_name(enum issue_status status);

/* Plain data; texts are NUL-terminated, cut at a UTF-8 boundary. Title, culprit, type and value
 * are those of the first event; level, platform, release and environment those of the newest. */
struct issue {
    char id[ISSUE_ID_LEN + 1];
    uint8_t hash[FINGERPRINT_SIZE];
    char project[PROJECT_BYTES_MAX + 1];
    char title[402];
    char culprit[402];
    char type[162];
    char value[402];
    char platform[34];
    char first_release[202];
    char release[202];
    char environment[66];
    char last_event[EVENT_ID_LEN + 1];
    enum error_level level;
    enum issue_status status;
    uint64_t count;  /* events, exact */
    uint64_t stored; /* of which bodies were kept */
    uint64_t users;  /* distinct; exact up to 256, then within about 1 % */
    int64_t first_seen_ms, last_seen_ms;
    int64_t last_received_ms;
};

/* One event to record. Slices are borrowed until issues_record returns. */
struct issue_event {
    struct slice project; /* at most PROJECT_BYTES_MAX bytes, no '/' */
    char id[EVENT_ID_LEN + 1];
    uint8_t hash[FINGERPRINT_SIZE];
    enum error_level level;
    int64_t time_ms, received_ms;
    uint64_t user; /* hash; 0 = none */
    struct slice title, culprit, type, value, platform, release, environment;
    struct slice body; /* JSON text, stored as it came */
    /* Out: this id was there already, so nothing was counted. */
    bool duplicate;
};

/* Copies with a NUL, cut at a UTF-8 boundary, control characters as spaces. */
void issue_text_copy(char *to, size_t size, struct slice from);

struct issues;

/* Store, writer and registry must outlive the issues. */
struct issues_options {
    struct store *store;
    struct writer *writer;
    struct registry *registry;
    int64_t retention_ms; /* of bodies, and of issues nothing arrives for */
    size_t issues_max;    /* beyond it new problems share one issue that says so */
    size_t cache_max;     /* issues held in full; all of them in the index */
};

/* Builds the index from the store. */
MUST_USE int issues_open(const struct issues_options *options, struct issues **out,
                         struct error *err);
/* After the writer has stopped. NULL is fine. */
void issues_close(struct issues *issues);

/* All of them or none; on 0 they are durable. Also counts
 * lapwing_error_events_total{project,level,release,environment}. */
MUST_USE int issues_record(struct issues *issues, struct issue_event *events, size_t count,
                           struct error *err);

struct issue_filter {
    struct slice project; /* empty = any */
    struct slice query;   /* part of the title, ignoring ASCII case; empty = any */
    int level;            /* enum error_level, -1 = any */
    int status;           /* enum issue_status, -1 = any */
    size_t limit;         /* at most ISSUES_LIMIT_MAX */
};
#define ISSUES_LIMIT_MAX 1000

/* Visits matching issues, the one seen last first. */
MUST_USE int issues_list(struct issues *issues, const struct issue_filter *filter,
                         void (*visit)(void *arg, const struct issue *issue), void *arg,
                         struct error *err);
/* 1 found, 0 there is none of that id, -1 error. */
MUST_USE int issues_get(struct issues *issues, struct slice id, struct issue *out,
                        struct error *err);

/* A kept body. Slices are valid during the visit. */
struct issue_body {
    struct slice event_id;
    int64_t time_ms, received_ms;
    struct slice body;
};
/* Visits kept events of an issue, newest first, until visit returns false. */
MUST_USE int issues_events(struct issues *issues, struct slice id,
                           bool (*visit)(void *arg, const struct issue_body *event), void *arg,
                           struct error *err);

/* Writer job, once a tick: deletes a bounded number of expired bodies, issues and event ids. */
MUST_USE int issues_maintain(struct issues *issues, struct store_batch *batch, int64_t now_ms,
                             struct error *err);

#endif
