/* logbatch: JSON log lines that go to the store together, and the counters of all log input.
 *
 * Whoever receives lines (TCP, HTTP) adds them to a batch; refused lines are counted by reason and
 * leave no trace in it. The batch is a writer job: it adds its records to the store's batch.
 * One thread at a time: the receiver until it submits the job, the writer until `done`.
 */
#ifndef SERVER_INGEST_LOGBATCH_H
#define SERVER_INGEST_LOGBATCH_H

#include "server/wire/jsonlog.h"
#include "server/writer.h"

struct logbatch {
    struct writer_job job; /* first: the job is the batch */
    struct arena arena;    /* labels; lines too where the receiver's memory goes away */
    struct record *records;
    size_t count, capacity;
    size_t bytes;      /* of the lines */
    bool copies_lines; /* the receiver's memory goes away before the job is done */
    void *owner;       /* the receiver's */
};

/* Registers the metrics. Set job.done, copies_lines and owner afterwards. */
void logbatch_init(struct logbatch *batch);
void logbatch_release(struct logbatch *batch);
/* Empties it; keeps the memory. */
void logbatch_reset(struct logbatch *batch);

/* Has the parser take the times of now: back to the retention (0 = for ever), ahead by a day. */
void logbatch_set_window(struct jsonlog *parser, int64_t retention_ms);
/* Adds the record of one line, or counts why not (*why as in jsonlog_parse). Unless the batch
 * copies lines, it must live until the batch is reset. */
enum jsonlog_status logbatch_add(struct logbatch *batch, struct jsonlog *parser, struct slice line,
                                 struct error *why);
/* Counts the records as stored (status 0) or as lost by the store. */
void logbatch_count_stored(const struct logbatch *batch, int status);

#endif
