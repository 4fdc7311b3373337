/* logtcp: newline-delimited JSON logs over TCP, on a thread of its own.
 *
 * Lines become batches, batches writer jobs. Only a few batches exist: while all of them wait for
 * the writer the thread stops reading, and the senders' kernels hold the rest. Nothing is answered;
 * what is refused is counted by reason.
 */
#ifndef SERVER_INGEST_LOGTCP_H
#define SERVER_INGEST_LOGTCP_H

#include "server/writer.h"

struct logtcp;

struct logtcp_options {
    const char *listen; /* "127.0.0.1:5170"; port 0 = any */
    int64_t line_max;   /* bytes */
    int64_t connection_max;
    int64_t retention_ms; /* older records are refused; 0 = none */
};

/* The writer must outlive it. */
MUST_USE int logtcp_open(const struct logtcp_options *options, struct writer *writer,
                         struct logtcp **out, struct error *err);
/* The port in use. */
int logtcp_port(const struct logtcp *tcp);
/* Stops listening, reads what the kernel still holds, waits until all of it is committed. NULL is
 * fine. */
void logtcp_close(struct logtcp *tcp);

#endif
