/* histogram_bounds: constant tables of histogram.c; nobody else needs them. */
#ifndef STORAGE_HISTOGRAM_BOUNDS_H
#define STORAGE_HISTOGRAM_BOUNDS_H

#include <stdint.h>

#define HISTOGRAM_BOUNDS 256 /* buckets a power of two at schema 8 */

extern const double histogram_bound_table[HISTOGRAM_BOUNDS + 1]; /* the last one is 1 */
extern const uint16_t histogram_hint_table[HISTOGRAM_BOUNDS];

#endif
