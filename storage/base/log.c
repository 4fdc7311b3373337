/* log: one write(2) a line, so that lines of several threads never mix. */
#include "storage/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "storage/base/clock.h"

#define LINE_BYTES_MAX 2048

static _Atomic int log_threshold = LOG_INFO;

void log_set_level(enum log_level level)
{
    atomic_store(&log_threshold, (int)level);
}

/* True when this line may pass; *held is then how many the site kept back before it. */
static int site_admits(struct log_site *site, int64_t now_ms, uint32_t *held)
{
    *held = 0;
    if (atomic_exchange(&site->second, now_ms / 1000) != now_ms / 1000) {
        atomic_store(&site->lines, 0);
        *held = atomic_exchange(&site->suppressed, 0);
    }
    if (atomic_fetch_add(&site->lines, 1) < LOG_BURST)
        return 1;
    atomic_fetch_add(&site->suppressed, 1);
    return 0;
}

void log_write(struct log_site *site, enum log_level level, const char *event, const char *format,
               ...)
{
    static const char *const names[] = {"debug", "info ", "warn ", "error"};
    char line[LINE_BYTES_MAX];
    int64_t now_ms = clock_real_ms();
    uint32_t held;
    if ((int)level < atomic_load_explicit(&log_threshold, memory_order_relaxed) ||
        !site_admits(site, now_ms, &held))
        return;
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    size_t len = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &utc);
    len += (size_t)snprintf(line + len, sizeof line - len, ".%03dZ %s %s ", (int)(now_ms % 1000),
                            names[level], event);
    if (held)
        len += (size_t)snprintf(line + len, sizeof line - len, "suppressed=%u ", held);
    va_list args;
    va_start(args, format);
    int more = vsnprintf(line + len, sizeof line - len - 1, format, args);
    va_end(args);
    if (more > 0)
        len += (size_t)more;
    if (len > sizeof line - 2)
        len = sizeof line - 2;
    line[len++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, len);
    (void)written; /* nowhere left to complain */
}
