/* view_points: the points of one stored series, a window a step.
 *
 * For view.c. One thread at a time. Points without a value are left as they are: NaN.
 */
#ifndef QUERY_VIEW_POINTS_H
#define QUERY_VIEW_POINTS_H

#include "query/etsy.h"
#include "query/view.h"

struct view_reading {
    const struct view_request *request;
    struct store_reader *reader;
    struct arena scratch; /* of one series */
    struct arena window;  /* of one window */
    int64_t first_ms;     /* of the points */
    size_t points;
    int64_t samples_read;
    struct error *err;
};

void view_reading_init(struct view_reading *reading, const struct view_request *request,
                       struct error *err);
void view_reading_release(struct view_reading *reading);

/* Adds sign * what the counter rose by. */
MUST_USE int view_add_rises(struct view_reading *reading, uint32_t series, double sign,
                            double *rises);
/* What the gauge was at the end of each window. */
MUST_USE int view_put_readings(struct view_reading *reading, uint32_t series, double *out);
/* How many different members the set got. */
MUST_USE int view_put_members(struct view_reading *reading, uint32_t series, double *out);

struct view_wanted {
    struct etsy_statistic statistic;
    double *values;
};
MUST_USE int view_put_timers(struct view_reading *reading, uint32_t series,
                             const struct view_wanted *wanted, size_t count);

#endif
