/* metric: the daemon's own counters and gauges, declared as const-shaped tables.
 *
 *   static struct metric flush_metrics[] = {
 *       [FLUSH_TICKS] = {"lapwing_flush_ticks_total", METRIC_COUNTER, NULL, "Flush ticks done."},
 *   };
 *   metric_register(flush_metrics, 1);   once, at start
 *   metric_add(&flush_metrics[FLUSH_TICKS], 1);
 *
 * Values are relaxed atomics: any thread may add. Rows of one name stand together in their table
 * and differ in `labels`. server/stats renders them as /metrics and feeds them to the store.
 */
#ifndef STORAGE_BASE_METRIC_H
#define STORAGE_BASE_METRIC_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE };

struct metric {
    const char *name;
    enum metric_kind kind;
    const char *labels; /* `reason="no_colon"`, or NULL */
    const char *help;
    double scale; /* value shown = raw * scale; 0 means 1 (1e-9 for seconds kept in ns) */
    _Atomic int64_t raw;
};

static inline void metric_add(struct metric *metric, int64_t n)
{
    atomic_fetch_add_explicit(&metric->raw, n, memory_order_relaxed);
}

static inline void metric_set(struct metric *metric, int64_t value)
{
    atomic_store_explicit(&metric->raw, value, memory_order_relaxed);
}

static inline double metric_value(const struct metric *metric)
{
    double raw = (double)atomic_load_explicit(&metric->raw, memory_order_relaxed);
    return metric->scale != 0 ? raw * metric->scale : raw;
}

/* The table must live as long as the process. Registering the same table again is harmless. */
void metric_register(struct metric *rows, size_t count);
/* Calls visit for every row of every table, in the order of registration. */
void metric_each(void (*visit)(const struct metric *metric, void *arg), void *arg);

#endif
