/* quotient: value = p / 10^exponent / q, give or take some units in the last place.
 *
 *   exponent u8 | q | m | r | ulps | exceptions varint | bits u64le for each
 *
 *   q      the denominator; 0: an exception, no quotient of that kind
 *   m      the value times 10^exponent, rounded: noise around a level, as for any decimal
 *   r      p - m * q, within half of q
 *   ulps   the value's bits less those of the quotient; sums of decimals are off by a few
 *
 * All four are dense columns (storage/code/dense.h). p and q are found by the continued fraction of
 * value * 10^exponent: of all fractions with small denominators at most one is as near as a double
 * can tell, so a number that is no quotient is rarely taken for one, and then it only costs bits:
 * the quotient is computed again, and what differs from the value is kept. Which entries the exceptions
 * are only the whole of q tells; chunks of version 2 and before did not say when there are none.
 */
#include "storage/code/quotient.h"

#include <assert.h>
#include <math.h>

#include "storage/code/column.h"

#define Q_MAX      4096
#define ULPS_MAX   15
#define TERMS_MAX  24 /* of a continued fraction with such denominators */
#define NEAR       0x1p-50
#define X_MIN      1e-6
#define P_MAX      0x1p53
#define PROBES     64
#define PROBES_MIN 56

struct quotient {
    int64_t q, m, r, ulps;
};

static double quotient_of(int64_t p, int exponent, int64_t q)
{
    return column_of_scaled(p, exponent) / (double)q;
}

/* The fraction with the least denominator that is as near to x as rounding may have put it; x is 0
 * or X_MIN to P_MAX / Q_MAX. */
static bool find_fraction(double x, int64_t *p, int64_t *q)
{
    double rest = x;
    int64_t p0 = 0, q0 = 1, p1 = 1, q1 = 0;
    for (int i = 0; i < TERMS_MAX; i++) {
        double whole = floor(rest);
        if (whole * (double)p1 + (double)p0 >= P_MAX || whole * (double)q1 + (double)q0 > Q_MAX)
            return false;
        int64_t p2 = (int64_t)whole * p1 + p0, q2 = (int64_t)whole * q1 + q0;
        p0 = p1, q0 = q1, p1 = p2, q1 = q2;
        if (fabs((double)p1 - x * (double)q1) <= x * (double)q1 * NEAR) {
            *p = p1, *q = q1;
            return true;
        }
        rest = 1 / (rest - whole);
    }
    return false;
}

static bool find_quotient(double value, int exponent, struct quotient *out)
{
    double x = fabs(value) * column_power(exponent);
    int64_t p, q, sign = value < 0 ? -1 : 1;
    if (!((x == 0 || x >= X_MIN) && x < P_MAX / Q_MAX) || !find_fraction(x, &p, &q))
        return false;
    out->q = q;
    out->m = sign * (int64_t)(x + 0.5);
    out->r = sign * p - out->m * q;
    uint64_t quotient = double_bits(quotient_of(sign * p, exponent, q));
    out->ulps = (int64_t)(double_bits(value) - quotient);
    return out->ulps >= -ULPS_MAX && out->ulps <= ULPS_MAX;
}

/* The exponent that makes the shortest quotients of some of the values; -1: they are none. */
static int find_exponent(const double *values, size_t count)
{
    int best = -1;
    double best_bits = INFINITY;
    for (int exponent = 0; exponent <= COLUMN_EXPONENT_MAX; exponent++) {
        size_t found = 0;
        double bits = 0;
        for (size_t i = 0; i < PROBES; i++) {
            struct quotient quotient;
            if (!find_quotient(values[i * count / PROBES], exponent, &quotient))
                continue;
            found++;
            bits += 2 * log2((double)quotient.q) + exponent * log2(10);
        }
        if (found < PROBES_MIN || bits / (double)found >= best_bits)
            continue;
        best = exponent;
        best_bits = bits / (double)found;
    }
    return best;
}

bool quotient_append(struct buffer *out, const double *values, size_t count)
{
    int64_t q[DENSE_COUNT_MAX], m[DENSE_COUNT_MAX], r[DENSE_COUNT_MAX], ulps[DENSE_COUNT_MAX];
    assert(count > 0 && count <= DENSE_COUNT_MAX);
    int exponent = find_exponent(values, count);
    if (exponent < 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        struct quotient quotient;
        if (!find_quotient(values[i], exponent, &quotient))
            quotient = (struct quotient){.q = 0, .m = i ? m[i - 1] : 0};
        q[i] = quotient.q;
        m[i] = quotient.m;
        r[i] = quotient.r;
        ulps[i] = quotient.ulps;
    }
    buffer_append_u8(out, (uint8_t)exponent);
    dense_append(out, q, count);
    dense_append(out, m, count);
    dense_append(out, r, count);
    dense_append(out, ulps, count);
    size_t exceptions = 0;
    for (size_t i = 0; i < count; i++)
        exceptions += q[i] == 0;
    buffer_append_varint(out, exceptions);
    for (size_t i = 0; i < count; i++)
        if (q[i] == 0)
            buffer_append_u64le(out, double_bits(values[i]));
    return true;
}

/* Arithmetic modulo 2^64, for the bytes may be anybody's. */
static int64_t multiply_add(int64_t a, int64_t b, int64_t c)
{
    return (int64_t)((uint64_t)a * (uint64_t)b + (uint64_t)c);
}

static bool cut_exceptions(struct slice *rest, struct slice denominators, double *out,
                           struct part part)
{
    int64_t q[DENSE_COUNT_MAX];
    uint64_t bits;
    if (!dense_cut(&denominators, q, part.count))
        return false;
    for (size_t i = 0; i < part.count; i++) {
        if (q[i])
            continue;
        if (!bytes_cut_u64le(rest, &bits))
            return false;
        if (i >= part.from && i < part.to)
            out[i - part.from] = double_of_bits(bits);
    }
    return true;
}

bool quotient_cut(struct slice *rest, double *out, struct part part, bool counted)
{
    int64_t q[DENSE_COUNT_MAX], m[DENSE_COUNT_MAX], r[DENSE_COUNT_MAX], ulps[DENSE_COUNT_MAX];
    uint8_t exponent;
    uint64_t exceptions = part.count; /* at most */
    struct slice denominators;
    if (!bytes_cut_u8(rest, &exponent) || exponent > COLUMN_EXPONENT_MAX)
        return false;
    denominators = *rest;
    if (!dense_cut_part(rest, q, part) || !dense_cut_part(rest, m, part) ||
        !dense_cut_part(rest, r, part) || !dense_cut_part(rest, ulps, part) ||
        (counted && !bytes_cut_varint(rest, &exceptions)))
        return false;
    for (size_t i = part.from; i < part.to; i++) {
        double value = quotient_of(multiply_add(m[i], q[i], r[i]), exponent, q[i]);
        out[i - part.from] = double_of_bits(double_bits(value) + (uint64_t)ulps[i]);
    }
    return exceptions == 0 || cut_exceptions(rest, denominators, out, part);
}
