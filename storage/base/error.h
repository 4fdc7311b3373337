/* error: a sentence for the operator or the client, set where the fault is known.
 *
 * Control plane only (config, open, query, notify). Functions return 0 or a negative value and
 * leave *err alone on success; callers add context with error_wrap on the way up. The kind decides
 * the HTTP status and Prometheus' errorType.
 */
#ifndef STORAGE_BASE_ERROR_H
#define STORAGE_BASE_ERROR_H

#include "storage/base/slice.h"

enum error_kind {
    ERROR_NONE,
    ERROR_BAD_DATA,    /* the request or file is wrong: 400 */
    ERROR_EXECUTION,   /* well-formed, but cannot be evaluated: 422 */
    ERROR_NOT_FOUND,   /* 404 */
    ERROR_TOO_LARGE,   /* 413 */
    ERROR_LIMIT,       /* a rate or resource limit: 429 */
    ERROR_TIMEOUT,     /* 503 */
    ERROR_CANCELED,    /* 499 */
    ERROR_UNAVAILABLE, /* 503 */
    ERROR_INTERNAL,    /* ours: 500 */
};

struct error {
    enum error_kind kind;
    char text[1024];
};

/* Always returns -1, so that a function may `return error_set(...)`. err may be NULL. */
int error_set(struct error *err, enum error_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts "context: " before the text. Always returns -1. */
int error_wrap(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
