/* board: the live side of a rule set: what each rule found last, and the alerts it holds.
 *
 * The alert thread alone changes it, and does so under `mutex`; it may read without. Others read
 * under the mutex (alerts_visit), and so see every rule as one evaluation left it.
 */
#ifndef SERVER_ALERT_BOARD_H
#define SERVER_ALERT_BOARD_H

#include <pthread.h>

#include "server/alert/rule.h"
#include "server/alert/state.h"
#include "storage/base/table.h"
#include "storage/store.h"

#define ALERT_STATE_PREFIX "alertstate/"
#define ALERTS_PER_RULE    ((size_t)10000)
#define ALERT_LABELS_BYTES ((size_t)65536) /* of one alert's labels, or annotations, encoded */

struct alert_instance {
    struct alert_state state;
    uint64_t rule_id;         /* its document stands under it */
    struct slice annotations; /* labels_encode'd; owned */
    bool restored;            /* not seen by an evaluation of this run yet */
};

enum rule_health { RULE_UNKNOWN, RULE_OK, RULE_ERROR };
/* "unknown", "ok", "err". */
const char *rule_health_name(enum rule_health health);

struct rule_run {
    const struct rule *rule; /* NULL: the alerts of rules that are gone */
    struct table instances;  /* labels_encode'd -> struct alert_instance, owned */
    enum rule_health health;
    char *problem; /* owned; NULL while healthy */
    int64_t evaluated_at_ms;
    int64_t evaluation_ns; /* how long it took */
    uint32_t *recorded; /* series a recording rule wrote last, sorted (not the orphans'); owned */
    size_t recorded_count;
};

struct group_run {
    const struct rule_group *group;
    struct rule_run *rules; /* group->count */
    int64_t next_ms;        /* when to evaluate */
    int64_t evaluated_at_ms;
    int64_t evaluation_ns;
};

struct alert_board {
    pthread_mutex_t mutex;
    struct rule_set *set; /* owned */
    struct group_run *groups;
    size_t count;
    struct rule_run orphans;
};

/* Takes the set. */
struct alert_board *board_new(struct rule_set *owned);
void board_free(struct alert_board *board);
/* Reads the alert states of earlier runs. Those of rules that are gone become orphans. */
MUST_USE int board_restore(struct alert_board *board, struct store *store, struct error *err);
/* Replaces the rules by those of another set; rules with the same id keep what they know. */
void board_replace(struct alert_board *board, struct rule_set *owned);

/* The worst of a rule's alerts: firing, pending or inactive. */
enum alert_phase rule_run_phase(const struct rule_run *run);
void rule_run_set_problem(struct rule_run *run, const char *problem);
/* Copies. */
void instance_set_annotations(struct alert_instance *instance, struct slice annotations);
void instance_free(struct alert_instance *instance);

/* --- the document of one alert --- */

struct alert_document {
    uint64_t rule_id;
    struct alert_state state;
    struct slice labels;      /* encoded */
    struct slice annotations; /* encoded */
};
void alert_document_key(uint64_t rule_id, struct slice labels, struct buffer *out);
void alert_document_encode(const struct alert_document *document, struct buffer *out);
/* The slices point into `value`. False on malformed bytes. */
MUST_USE bool alert_document_decode(struct slice value, struct alert_document *out);

#endif
