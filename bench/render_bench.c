/* render_bench: what a point of a large answer costs to print.
 *
 * The answer of {__name__=~"..."} over a day at a step of a minute: 400 series x 1,440 points. Prints
 * CPU nanoseconds a point (least of five runs) for values of each shape.
 */
#include <stdio.h>
#include <stdlib.h>

#include "query/render.h"
#include "storage/base/alloc.h"

#include <time.h>

#define SERIES   400
#define STEPS    1440
#define START_MS INT64_C(1700000000000)
#define RUNS     5

static double uniform(void)
{
    return (double)rand() / (double)RAND_MAX;
}

static double counter(void)
{
    return (double)(rand() % 100000000);
}

static double hundredths(void)
{
    return (double)(rand() % 1000000) / 100;
}

static double fraction(void)
{
    return uniform() * 100;
}

static double mixed(void)
{
    static double (*const shapes[])(void) = {counter, hundredths, fraction};
    return shapes[rand() % 3]();
}

static int64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void measure(const char *name, double (*shape)(void), const int64_t *times)
{
    struct label pairs[] = {{SLICE_LIT("__name__"), SLICE_LIT("app_requests_total")},
                            {SLICE_LIT("instance"), SLICE_LIT("host-17:9100")}};
    struct promql_series *series = alloc_zeroed(SERIES, sizeof *series);
    double *values = alloc_zeroed((size_t)SERIES * STEPS, sizeof *values);
    struct promql_result result = {.type = VALUE_MATRIX, .series = series, .count = SERIES};
    struct buffer out;
    int64_t least = INT64_MAX;
    for (size_t i = 0; i < SERIES; i++)
        series[i] = (struct promql_series){{pairs, 2}, STEPS, times, values + i * STEPS, NULL};
    for (size_t i = 0; i < (size_t)SERIES * STEPS; i++)
        values[i] = shape();
    buffer_init(&out, SIZE_MAX);
    for (int run = 0; run < RUNS; run++) {
        buffer_reset(&out);
        int64_t began = cpu_ns();
        render_data(&result, 0, 0, &out);
        int64_t took = cpu_ns() - began;
        least = took < least ? took : least;
    }
    printf("  %-12s %6.1f ns a point, %5.1f bytes\n", name,
           (double)least / (SERIES * (double)STEPS), (double)out.len / (SERIES * (double)STEPS));
    buffer_release(&out);
    free(values);
    free(series);
}

int main(void)
{
    int64_t times[STEPS];
    for (size_t i = 0; i < STEPS; i++)
        times[i] = START_MS + (int64_t)i * 60000;
    printf("rendering %d series x %d points\n", SERIES, STEPS);
    measure("counters", counter, times);
    measure("hundredths", hundredths, times);
    measure("fractions", fraction, times);
    measure("mixed", mixed, times);
    return 0;
}
