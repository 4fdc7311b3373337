/* shape_fixture: columns of doubles of the shapes there are, with everything odd among them. */
#ifndef TESTS_UNIT_SHAPE_FIXTURE_H
#define TESTS_UNIT_SHAPE_FIXTURE_H

#include <math.h>
#include <stdlib.h>

#include "storage/code/column.h"
#include "storage/store.h"

static inline uint64_t random_bits(void)
{
    return (uint64_t)mrand48() << 32 ^ (uint64_t)(uint32_t)mrand48();
}

static const double specials[] = {0.0,    -0.0,    INFINITY, -INFINITY, NAN, 1e308,  5e-324,
                                  0x1p53, -0x1p53, 0x1p63,   1e-7,      0.1, 1.0 / 3};

static inline double special(void)
{
    size_t i = (size_t)lrand48() % (sizeof specials / sizeof *specials + 2);
    if (i < sizeof specials / sizeof *specials)
        return specials[i];
    return i & 1 ? stale_nan() : double_of_bits(0x7ff8000000000000u | random_bits() >> 13);
}

enum shape { SHAPE_CONST, SHAPE_INT, SHAPE_COUNTER, SHAPE_DECIMAL, SHAPE_FULL, SHAPE_ANY, SHAPES };

static inline double next_value(enum shape shape, double last)
{
    switch (shape) {
    case SHAPE_CONST:
        return 42.5;
    case SHAPE_INT:
        return (double)(lrand48() % 1000 - 500);
    case SHAPE_COUNTER:
        return last + (double)(lrand48() % 4 == 0 ? lrand48() % 100 : 0);
    case SHAPE_DECIMAL:
        return (double)(lrand48() % 100000) / 100;
    case SHAPE_FULL:
        return drand48();
    case SHAPE_ANY:
    case SHAPES:
        break;
    }
    return double_of_bits(random_bits());
}

static inline void fill(double *values, size_t count, enum shape shape, int special_one_in)
{
    double last = 1000;
    for (size_t i = 0; i < count; i++) {
        values[i] = last = next_value(shape, last);
        if (special_one_in && lrand48() % special_one_in == 0)
            values[i] = special();
    }
}

#endif
