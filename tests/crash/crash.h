/* crash: what the parts of the store's crash harness share; store_crash.c says how they play together.
 *
 *   model.c     what the store must hold, in plain arrays, and what each operation does to it
 *   schedule.c  makes operations out of a seed and the model
 *   execute.c   carries them out on a store
 *   compare.c   reads everything back and compares; buckets.c those of the rollups
 *   death.c     dies at a system call or at an instant
 *
 * The same seed and the same model make the same operation, so that the process that dies need not
 * send what it did: a journal of kinds and seeds is enough for the one that remembers.
 */
#ifndef TESTS_CRASH_CRASH_H
#define TESTS_CRASH_CRASH_H

#include <stdatomic.h>

#include "storage/store.h"

#define SLOTS         32 /* series at a time */
#define DOCUMENTS     40
#define GROUPS        4 /* values of the label group */
#define DAY_MS        ((int64_t)86400000)
#define EVER_MS       ((int64_t)1 << 50)
#define MINUTE_MS     ((int64_t)60000)
#define START_MS      (19700 * DAY_MS)
#define LINE_DAYS     3  /* retention of log lines */
#define FORGET_DAYS   10 /* the model forgets what is older; nothing is known of it any more */
#define OP_SAMPLES    4096
#define OP_RECORDS    24
#define OP_DOCUMENTS  4
#define OP_BIRTHS     4
#define DOCUMENT_SIZE 300

/* --- the model --- */

/* Of a histogram series `bits` is a number from which model_histogram makes the histogram. */
struct sample {
    int64_t time_ms;
    uint64_t bits;
};

struct slot {
    uint32_t serial; /* label n; 0: nothing here */
    enum series_kind kind;
    struct sample *at; /* by time */
    size_t count, capacity;
    int64_t newest_ms; /* of all ever written */
    double level;      /* what its next value starts from */
    bool retired;      /* not written any more */
};

struct line {
    int64_t time_ns;
    uint32_t serial;
};

/* Both ends included. */
struct deletion {
    bool group;      /* of all series with that label group, else of one */
    uint32_t number; /* of the group or series */
    int64_t start_ms, end_ms;
};

/* Times of a series that changed when the samples may have left: buckets cannot follow. Where some was
 * deleted they are left out; what came late at the midnight that raw samples begin with may be missing
 * in the bucket that it ends. */
struct doubt {
    uint32_t serial;
    bool deleted;
    int64_t start_ms, end_ms;
};

struct model {
    struct doubt *doubts;
    size_t doubt_count, doubt_capacity;
    struct slot slots[SLOTS];
    uint32_t serials; /* given out */
    struct line *lines;
    size_t line_count, line_capacity;
    uint32_t line_serials;
    uint64_t documents[DOCUMENTS]; /* 0: absent; else what document_text makes its value from */
    uint64_t commits;              /* so many were made; a document says so */
    int64_t now_ms;
    int64_t retained_ms; /* as of this time retention may have been carried out */
};

void model_init(struct model *model);
/* A copy of its own. */
void model_copy(const struct model *model, struct model *out);
void model_release(struct model *model);
/* Makes the histogram that `bits` stands for; release it. Each bucket grows with them. */
void model_histogram(uint64_t bits, struct histogram *out);
/* Appends the code of the sketch that a sample of a set has beside its number; nothing when it has none. */
void model_sketch(struct sample sample, struct buffer *out);
double bits_double(uint64_t bits);
uint64_t double_bits_of(double value);
/* The first sample at or after this time. */
size_t slot_find(const struct slot *slot, int64_t time_ms);
/* Appends or overwrites. */
void slot_put(struct slot *slot, struct sample sample);
/* Retention as of this time may have been carried out. */
void model_expect_retention(struct model *model, int64_t now_ms);
/* How long what is kept of a series, in days; one group has a rule of its own. */
int64_t retention_days(uint32_t serial, enum store_tier tier);
#define SHORT_GROUP 3 /* the group with the rule */
/* From then on all of a tier must be there: the beginning of a day. */
int64_t model_exact_from(const struct model *model, uint32_t serial, enum store_tier tier);
int64_t model_lines_from(const struct model *model);
/* The doubt that there is about [start, end] of the series, or NULL; those of late samples first. */
const struct doubt *model_doubt(const struct model *model, uint32_t serial, int64_t start_ms,
                                int64_t end_ms);

/* --- operations --- */

enum op_kind {
    OP_TICK,
    OP_LEAP, /* a tick after midnight */
    OP_DOCUMENT,
    OP_RECORD,
    OP_LATE, /* samples among those that are there */
    OP_BULK, /* many of one series */
    OP_MAINTAIN,
    OP_SEAL,
    OP_COMPACT,
    OP_DELETE,
    OP_CLEAN, /* carries deletions out to their end */
    OP_BACKUP,
    OP_KINDS,
};
extern const char *const op_names[OP_KINDS];

#define JOURNAL_MAX 65536
struct entry {
    uint64_t seed;
    enum op_kind kind;
};

struct birth {
    int slot;
    uint32_t serial;
    enum series_kind kind;
};

struct op_sample {
    int slot;
    struct sample sample;
};

struct op_document {
    int key;
    uint64_t seed; /* 0: delete */
};

struct op {
    enum op_kind kind;
    bool commits; /* it is one batch */
    bool sync;
    int64_t now_ms;
    struct birth births[OP_BIRTHS];
    size_t birth_count;
    struct op_sample samples[OP_SAMPLES];
    size_t sample_count;
    struct line lines[OP_RECORDS];
    size_t line_count;
    struct op_document documents[OP_DOCUMENTS];
    size_t document_count;
    struct deletion deletion; /* OP_DELETE */
};

/* xorshift64*; never 0. */
uint64_t random_next(uint64_t *state);
/* [0, n) */
int64_t random_below(uint64_t *state, int64_t n);

/* schedule.c: `favourite` comes more often. */
enum op_kind op_choose(uint64_t *random, enum op_kind favourite);
void op_make(const struct model *model, enum op_kind kind, uint64_t seed, struct op *op);
/* What of an operation that retention is going to drop is not applied. */
void model_apply(struct model *model, const struct op *op);
/* The text of a document, of length *len. */
void document_text(uint64_t seed, char text[DOCUMENT_SIZE], size_t *len);

/* --- on the store --- */

#define LABELS_OF_SERIES 4
struct series_name {
    char number[16], group[16];
    struct label at[LABELS_OF_SERIES];
};
struct labels series_labels_of(const struct slot *slot, struct series_name *name);
struct labels stream_labels(uint32_t serial, struct label at[2]);
void line_text(uint32_t serial, char text[128]);
/* One operation; the phase is announced meanwhile. Ends the process when the store refuses. */
void op_execute(struct store *store, const struct model *model, const struct op *op);

/* One comparison. */
struct comparison {
    const struct model *model;
    struct store *store;
    struct store_reader *reader;
    struct arena arena; /* of one series */
    uint64_t random;
    struct error *err;
};
/* "lost: series 17 (gauge) at 1702080000000 (day 19700 + 0 ms): what"; -1. */
int differs(const struct comparison *c, const char *kind, const struct slot *slot, int64_t time_ms,
            const char *what);
/* buckets.c: what the store says of a series in buckets and pieces, against a fold of the model. */
int compare_buckets(struct comparison *c, const struct slot *slot, uint32_t id);
/* The same for a series that the store does not know: it must have none. */
int compare_no_buckets(const struct comparison *c, const struct slot *slot);
/* compare.c: 0 when the store holds what the model says, else -1 and what differs. */
int compare(const struct model *model, struct store *store, struct error *err);
/* prefix.c: the store must be what the model becomes by a number of the operations that follow: by
 * `needed` of them at least. Applies that many and returns how many; -1 and what differs. */
struct prefix {
    const struct entry *at;
    size_t count, needed;
    int64_t now_ms; /* until then retention may have been carried out */
};
int64_t compare_prefix(struct model *model, struct store *store, const struct prefix *prefix,
                       struct error *err);

/* --- who dies when --- */

enum phase {
    PHASE_OPEN,
    PHASE_COMPARE,
    PHASE_READY, /* between operations */
    PHASE_COMMIT,
    PHASE_LATE,
    PHASE_BULK,
    PHASE_MAINTAIN,
    PHASE_RETENTION,
    PHASE_CLOSING,
    PHASE_SEAL,
    PHASE_COMPACT,
    PHASE_DELETE,
    PHASE_CLEAN,
    PHASE_BACKUP, /* while others go on */
    PHASE_STOP,
    PHASE_COUNT,
};
extern const char *const phase_names[PHASE_COUNT];

/* backup.c: a backup in a thread of its own, while operations go on. `path` must be absolute. */
void backup_start(struct store *store, const char *path, const struct model *model);
/* Once it is finished it is opened and compared. -1 and what differs. */
int backup_look(struct error *err);

/* Between the one that dies and the one that remembers. */
struct shared {
    _Atomic size_t begun; /* entries */
    _Atomic size_t done;
    _Atomic size_t synced;  /* those below survive a power loss */
    _Atomic int64_t now_ms; /* of the last one begun */
    _Atomic bool compared;  /* the store was as it must be, after `kept` pending entries */
    _Atomic int phase;
    _Atomic bool backing_up;
    uint64_t backups; /* compared */
    size_t kept;
    uint64_t samples, buckets, lines; /* compared */
    /* What the longest visit of a phase was so far: calls that change a file, microseconds. */
    _Atomic int64_t longest_calls[PHASE_COUNT], longest_us[PHASE_COUNT];
    _Atomic uint64_t log_inode;  /* of the database's log that was synced last */
    _Atomic uint64_t log_synced; /* and so many bytes of it */
    struct entry journal[JOURNAL_MAX];
};
extern struct shared *shared;

enum death_kind {
    DEATH_INSTANT, /* after some microseconds */
    DEATH_CALL,    /* before the n-th call that changes a file */
    DEATH_TORN,    /* in the middle of it, when it is a write */
};
struct death {
    enum death_kind kind;
    enum phase phase; /* counted from its beginning, */
    int visit;        /* the n-th */
    int64_t after;    /* microseconds or calls */
    bool again;       /* should the phase end before: at its next visit */
};
/* Who is going to die, and when. */
void death_plan(struct death death);
/* Dies `us` microseconds from now, whatever is planned. */
void death_at(int64_t us);
/* The operation that has this phase, or OP_TICK. */
enum op_kind op_of_phase(enum phase phase);
/* A phase took so long and so many calls; what later deaths are planned by. */
void phase_note(enum phase phase, int64_t us, int64_t calls);
/* Announces a phase. */
void phase_enter(enum phase phase);

#endif
