/* log: the daemon's own log, key=value lines on stderr.
 *
 *   2026-01-02T03:04:05.678Z info  flush series=120 points=240 took_ms=1.2
 *
 * The event name comes first. Each call site is limited to LOG_BURST lines a second; what was held
 * back is reported on the next line that passes. Any thread.
 */
#ifndef STORAGE_BASE_LOG_H
#define STORAGE_BASE_LOG_H

#include <stdatomic.h>
#include <stdint.h>

#define LOG_BURST 20

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_site {
    _Atomic int64_t second;
    _Atomic uint32_t lines;
    _Atomic uint32_t suppressed;
};

/* Lines below this level are not written. The default is LOG_INFO. */
void log_set_level(enum log_level level);
void log_write(struct log_site *site, enum log_level level, const char *event, const char *format,
               ...) __attribute__((format(printf, 4, 5)));

/* A call site needs a static of its own, hence macros. `format` may be "". */
#define LOG_AT(level, event, ...)                                                                  \
    do {                                                                                           \
        static struct log_site site_;                                                              \
        log_write(&site_, (level), (event), __VA_ARGS__);                                          \
    } while (0)
#define log_debug(event, ...) LOG_AT(LOG_DEBUG, event, __VA_ARGS__)
#define log_info(event, ...)  LOG_AT(LOG_INFO, event, __VA_ARGS__)
#define log_warn(event, ...)  LOG_AT(LOG_WARN, event, __VA_ARGS__)
#define log_error(event, ...) LOG_AT(LOG_ERROR, event, __VA_ARGS__)

#endif
