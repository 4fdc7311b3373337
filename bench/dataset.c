/* dataset: see the header for what it is for.
 *
 * A series has its own random numbers (SplitMix64, seeded by the index) and from them parameters:
 * level, rate, width of the noise. Then a small function for each class makes the next value from
 * the last. Normal numbers are sums of uniform ones, and the only function of libm is exp(), which
 * a uniform number is compared with: the values are the same everywhere.
 */
#include "bench/dataset.h"

#include <math.h>

struct random {
    uint64_t state;
};

static uint64_t random_bits(struct random *random)
{
    uint64_t x = random->state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* In [0, 1). */
static double random_unit(struct random *random)
{
    return (double)(random_bits(random) >> 11) / 9007199254740992.0;
}

/* Mean 0, deviation 1: twelve 16-bit uniforms. */
static double random_normal(struct random *random)
{
    double sum = 0;
    for (int i = 0; i < 3; i++) {
        uint64_t bits = random_bits(random);
        for (int j = 0; j < 4; j++, bits >>= 16)
            sum += (double)(bits & 0xffff) / 65536;
    }
    return sum - 6;
}

static double nearest(double value)
{
    return (double)(int64_t)(value + (value < 0 ? -0.5 : 0.5));
}

struct series {
    struct random random;
    uint64_t kind; /* random: which variety of its class it is */
    size_t tick;
    double level; /* a parameter; what it means is the class's business */
    double last;
};

/* Poisson; from 60 on a rounded normal number, which nobody can tell apart. */
static double random_poisson(struct random *random, double level)
{
    if (level >= 60) {
        double root = level / 8; /* Newton, so that no sqrt rounds differently */
        for (int i = 0; i < 20; i++)
            root = (root + level / root) / 2;
        double value = nearest(level + root * random_normal(random));
        return value < 0 ? 0 : value;
    }
    double product = random_unit(random), count = 0, limit = exp(-level);
    for (; product > limit; count++)
        product *= random_unit(random);
    return count;
}

/* --- the classes --- */

static double next_sparse(struct series *series)
{
    if (random_unit(&series->random) < 0.005 + series->level * 0.095)
        for (series->last++; random_unit(&series->random) < 0.4;)
            series->last++;
    return series->last;
}

/* A triangle over the day: 0.7 at midnight, 1.3 at noon. */
static double next_busy(struct series *series)
{
    size_t noon = DATASET_DAY_SAMPLES / 2, tick = series->tick % DATASET_DAY_SAMPLES;
    double day = (double)(tick < noon ? tick : DATASET_DAY_SAMPLES - tick) / (double)noon;
    double rate = series->level * (0.7 + 0.6 * day);
    if (random_bits(&series->random) % (DATASET_DAY_SAMPLES * 3) == 0)
        series->last = 0; /* the process was restarted */
    series->last += random_poisson(&series->random, rate);
    return series->last;
}

static double next_count(struct series *series)
{
    return random_poisson(&series->random, series->level);
}

static double next_int(struct series *series)
{
    if (series->kind % 2) { /* holds */
        if (random_bits(&series->random) % 40 == 0)
            series->last = nearest(series->level * random_unit(&series->random));
        return series->last;
    }
    if (random_bits(&series->random) % 3 == 0)
        series->last += nearest(3 * random_normal(&series->random));
    return series->last = series->last < 0 ? 0 : series->last;
}

static double next_constant(struct series *series)
{
    static const double constants[] = {0, 1, 42, 0.5, 16777216000};
    return constants[series->kind % (sizeof constants / sizeof *constants)];
}

/* Steps of 15, 80 and 400 of the last decimal; drawn back to the level. */
static double next_decimal(struct series *series)
{
    static const struct {
        double step, scale;
    } rows[] = {{15, 10}, {80, 100}, {400, 1000}};
    size_t row = series->kind % 3;
    double middle = nearest(series->level * rows[row].scale);
    if (series->tick == 0)
        series->last = middle;
    series->last +=
        nearest((middle - series->last) / 500 + rows[row].step * random_normal(&series->random));
    return series->last / rows[row].scale;
}

static double next_timer(struct series *series)
{
    double value = series->level * (1 + 0.08 * random_normal(&series->random));
    return nearest(value * 1000) / 1000;
}

static double next_double(struct series *series)
{
    double observations = 50 + (double)(random_bits(&series->random) % 101);
    double mean = series->level * (1 + 0.08 * random_normal(&series->random));
    return nearest(mean * observations * 1000) / 1000 / observations;
}

static const struct class_row {
    const char *name;
    size_t share; /* in a hundred */
    double level_min, level_max;
    double (*next)(struct series *series);
} classes[DATASET_CLASS_COUNT] = {
    [DATASET_SPARSE_COUNTER] = {"sparse_counter", 20, 0, 1, next_sparse},
    [DATASET_BUSY_COUNTER] = {"busy_counter", 15, 5, 5000, next_busy},
    [DATASET_COUNT_GAUGE] = {"count_gauge", 15, 2, 400, next_count},
    [DATASET_INT_GAUGE] = {"int_gauge", 15, 20, 2000, next_int},
    [DATASET_CONSTANT] = {"constant", 10, 0, 1, next_constant},
    [DATASET_DECIMAL_GAUGE] = {"decimal_gauge", 10, 20, 80, next_decimal},
    [DATASET_TIMER] = {"timer", 12, 5, 300, next_timer},
    [DATASET_DOUBLE] = {"double", 3, 5, 300, next_double},
};

const char *dataset_class_name(enum dataset_class class)
{
    return classes[class].name;
}

/* 37 and 100 have no common factor: a hundred neighbours are the mixture, well shuffled. */
enum dataset_class dataset_class_of(size_t series)
{
    size_t card = series * 37 % 100, class = 0;
    while (card >= classes[class].share)
        card -= classes[class ++].share;
    return (enum dataset_class) class;
}

static void series_init(struct series *series, size_t index)
{
    const struct class_row *row = &classes[dataset_class_of(index)];
    *series = (struct series){.random = {(uint64_t)index << 32}};
    double unit = random_unit(&series->random);
    /* Squared: small levels are more common than large ones. */
    series->level = row->level_min + (row->level_max - row->level_min) * unit * unit;
    series->kind = random_bits(&series->random);
    if (dataset_class_of(index) == DATASET_INT_GAUGE)
        series->last = nearest(series->level);
}

void dataset_fill(size_t series, double *values, size_t count)
{
    struct series state;
    const struct class_row *row = &classes[dataset_class_of(series)];
    series_init(&state, series);
    for (state.tick = 0; state.tick < count; state.tick++)
        values[state.tick] = row->next(&state);
}

void dataset_observe(size_t series, size_t tick, size_t observations, struct histogram *running)
{
    struct random random = {(uint64_t)series << 32 | tick};
    double level = 20 + (double)(series % 10) * 20;
    for (size_t i = 0; i < observations; i++) {
        double value = level * (1 + 0.3 * random_normal(&random));
        if (random_bits(&random) % 20 == 0) /* a slow one */
            value += level * 4 * random_unit(&random);
        histogram_add(running, nearest((value < 1 ? 1 : value) * 1000) / 1000, 1);
    }
}
