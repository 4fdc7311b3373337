/* dataset: samples shaped like what statsd leaves behind, the same on every machine and run.
 *
 * For benches and tests that ask how many bytes a sample costs. Noise is independent from tick to
 * tick, which is harder to compress than most real data. A series depends on its index alone:
 * more series or more days only add to what is there. Pure functions; any thread.
 */
#ifndef BENCH_DATASET_H
#define BENCH_DATASET_H

#include <stddef.h>
#include <stdint.h>

#include "storage/histogram.h"

#define DATASET_STEP_MS     10000
#define DATASET_DAY_SAMPLES 8640
#define DATASET_SERIES      400

enum dataset_class {
    DATASET_SPARSE_COUNTER, /* cumulative; something happens in 0.5 to 10 % of the ticks */
    DATASET_BUSY_COUNTER, /* cumulative; 5 to 5,000 a tick, more by day; restarts from 0 at times */
    DATASET_COUNT_GAUGE,  /* distinct members a tick: plain noise around a level */
    DATASET_INT_GAUGE,    /* walks, or holds a value for minutes */
    DATASET_CONSTANT,
    DATASET_DECIMAL_GAUGE, /* walks in steps of 1, 2 or 3 decimals */
    DATASET_TIMER,         /* statistics of a timer, three decimals */
    DATASET_DOUBLE,        /* quotients: all 52 bits of them */
    DATASET_CLASS_COUNT,
};

/* "sparse_counter" and so on; also the metric's name. */
const char *dataset_class_name(enum dataset_class class);
/* The classes come in a fixed mixture of 20, 15, 15, 15, 10, 10, 12, 3 in a hundred series. */
enum dataset_class dataset_class_of(size_t series);
/* The first `count` samples of a series, DATASET_STEP_MS apart. */
void dataset_fill(size_t series, double *values, size_t count);

/* What a timer sends in one tick, added to *running (cumulative): `observations` around a level of
 * its own, in ms. */
void dataset_observe(size_t series, size_t tick, size_t observations, struct histogram *running);

#endif
