/* clock: the only source of time. Any thread.
 *
 * clock_now_ms is the wall clock that data and schedules see; a test may set it. clock_real_ms and
 * clock_monotonic_ns are never faked: log lines and durations use them.
 */
#ifndef STORAGE_BASE_CLOCK_H
#define STORAGE_BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds since 1970, UTC. */
int64_t clock_now_ms(void);
int64_t clock_real_ms(void);
int64_t clock_monotonic_ns(void);
/* CPU time of the calling thread, in nanoseconds. */
int64_t clock_thread_cpu_ns(void);
/* Tests: fixes clock_now_ms at this instant; 0 returns to the real clock. */
void clock_set_ms(int64_t now_ms);

#endif
