/* notify: hand one body to one receiver over HTTP, and say what became of it. libcurl's home.
 *
 * A client keeps its connection between sends and belongs to one thread. Redirects are not
 * followed, certificates are checked, proxies of the environment are not used, and of the answer
 * only the first NOTIFY_ANSWER_MAX bytes are read.
 */
#ifndef SERVER_NOTIFY_NOTIFY_H
#define SERVER_NOTIFY_NOTIFY_H

#include <stdatomic.h>

#include "storage/base/error.h"

#define NOTIFY_ANSWER_MAX 65536 /* bytes */

enum notify_outcome {
    NOTIFY_DELIVERED,
    NOTIFY_RETRY,    /* nobody there, overloaded, or broken: worth another try */
    NOTIFY_REJECTED, /* the receiver will never take it */
};

struct notify_post {
    const char *url;
    const char *idempotency_key; /* the same for every attempt at one message */
    struct slice body;           /* JSON */
    int64_t timeout_ms;
    const atomic_bool *cancel; /* ends the attempt early; may be NULL */
};

struct notify_result {
    enum notify_outcome outcome;
    int64_t retry_after_ms; /* 0 = the receiver did not say */
    char why[256];          /* for the log, when not delivered */
};

struct notify_client;
struct notify_client *notify_client_new(void);
/* NULL is fine. */
void notify_client_free(struct notify_client *client);

void notify_send(struct notify_client *client, const struct notify_post *post,
                 struct notify_result *out);
/* 2xx is delivered; 408, 425, 429, 3xx and 5xx are worth a retry; other 4xx are not. */
enum notify_outcome notify_classify(long status);

#endif
