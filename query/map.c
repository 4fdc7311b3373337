/* map: functions that turn one number into one number, step by step.
 *
 * The row is changed in place on its way to the sink. Histogram points have no number and fall
 * out, except for the summaries (histogram_count and so on), for which it is the other way round.
 * Dates are computed from the day count of the proleptic Gregorian calendar, always UTC.
 */
#include <math.h>

#include "query/call.h"

#define PARAMS_MAX 2

/* --- numbers --- */

double map_sgn(double value)
{
    return value > 0 ? 1 : value < 0 ? -1 : value;
}

double map_deg(double value)
{
    return value * 180 / M_PI;
}

double map_rad(double value)
{
    return value * M_PI / 180;
}

/* Halves go up. Multiplying by the inverse keeps round(x, 0.1) free of 0.30000000000000004. */
double map_round(double value, const double *params, size_t count)
{
    double inverse = 1 / (count ? params[0] : 1);
    return floor(value * inverse + 0.5) / inverse;
}

/* As Go's math.Max and math.Min, which clamp here: an infinity in their direction wins, even over NaN. */
static double larger(double a, double b)
{
    if (a == INFINITY || b == INFINITY)
        return INFINITY;
    return isnan(a) || isnan(b) ? NAN : fmax(a, b);
}

static double smaller(double a, double b)
{
    if (a == -INFINITY || b == -INFINITY)
        return -INFINITY;
    return isnan(a) || isnan(b) ? NAN : fmin(a, b);
}

double map_clamp(double value, const double *params, size_t count)
{
    (void)count;
    if (params[1] < params[0])
        return point_absent();
    return larger(params[0], smaller(params[1], value));
}

double map_clamp_min(double value, const double *params, size_t count)
{
    (void)count;
    return larger(params[0], value);
}

double map_clamp_max(double value, const double *params, size_t count)
{
    (void)count;
    return smaller(params[0], value);
}

/* --- dates --- */

#define SECONDS_FAR 1e15 /* some 30 million years: still exact in the integers below */

struct date {
    int64_t year;
    int month, day; /* from 1 */
    int64_t days;   /* since 1970-01-01 */
    int64_t second; /* of the day */
};

static bool leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int64_t floor_divide(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Years run from March, so that the leap day is the last; 400 years are 146,097 days. */
static bool date_of(double seconds, struct date *out)
{
    if (!(fabs(seconds) < SECONDS_FAR))
        return false;
    int64_t whole = (int64_t)seconds;
    out->days = floor_divide(whole, 86400);
    out->second = whole - out->days * 86400;
    int64_t shifted = out->days + 719468; /* days since 0000-03-01 */
    int64_t era = floor_divide(shifted, 146097);
    int64_t day_of_era = shifted - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t march_month = (5 * day + 2) / 153;
    out->day = (int)(day - (153 * march_month + 2) / 5) + 1;
    out->month = (int)(march_month < 10 ? march_month + 3 : march_month - 9);
    out->year = year_of_era + era * 400 + (out->month <= 2);
    return true;
}

double map_day_of_month(double seconds)
{
    struct date date;
    return date_of(seconds, &date) ? (double)date.day : NAN;
}

double map_day_of_week(double seconds)
{
    struct date date; /* 1970-01-01 was a Thursday */
    return date_of(seconds, &date) ? (double)(((date.days + 4) % 7 + 7) % 7) : NAN;
}

double map_day_of_year(double seconds)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    struct date date;
    if (!date_of(seconds, &date))
        return NAN;
    return before[date.month - 1] + date.day + (date.month > 2 && leap(date.year));
}

double map_days_in_month(double seconds)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    struct date date;
    if (!date_of(seconds, &date))
        return NAN;
    return days[date.month - 1] + (date.month == 2 && leap(date.year));
}

double map_hour(double seconds)
{
    struct date date;
    return date_of(seconds, &date) ? floor((double)date.second / 3600) : NAN;
}

double map_minute(double seconds)
{
    struct date date;
    return date_of(seconds, &date) ? floor((double)(date.second % 3600) / 60) : NAN;
}

double map_month(double seconds)
{
    struct date date;
    return date_of(seconds, &date) ? (double)date.month : NAN;
}

double map_year(double seconds)
{
    struct date date;
    return date_of(seconds, &date) ? (double)date.year : NAN;
}

/* --- histograms --- */

double summary_count(const struct histogram *histogram)
{
    return histogram->count;
}

double summary_sum(const struct histogram *histogram)
{
    return histogram->sum;
}

double summary_avg(const struct histogram *histogram)
{
    return histogram->sum / histogram->count;
}

static void add_square(double square[2], double middle, double count, double mean)
{
    double distance = middle - mean;
    if (count != 0)
        sum_add(&square[0], &square[1], count * distance * distance);
}

/* Each observation counts as the geometric middle of its bucket. */
static double middle_of(int schema, int32_t index)
{
    return sqrt(histogram_bound(schema, index) * histogram_bound(schema, index - 1));
}

double summary_stdvar(const struct histogram *histogram)
{
    double mean = histogram->sum / histogram->count, square[2] = {0};
    const struct histogram_side *negative = &histogram->negative, *positive = &histogram->positive;
    for (size_t i = negative->count; i--;)
        add_square(square, -middle_of(histogram->schema, negative->at[i].index),
                   negative->at[i].count, mean);
    add_square(square, 0, histogram->zero_count, mean);
    for (size_t i = 0; i < positive->count; i++)
        add_square(square, middle_of(histogram->schema, positive->at[i].index),
                   positive->at[i].count, mean);
    return (square[0] + square[1]) / histogram->count;
}

double summary_stddev(const struct histogram *histogram)
{
    return sqrt(summary_stdvar(histogram));
}

/* --- the walk --- */

struct map_sink {
    struct sink sink;
    struct eval *eval;
    const struct query_function *function;
    const struct grid *grid;
    const double *params[PARAMS_MAX]; /* one a step each */
    size_t param_count;
    struct sink *out;
};

static double map_one(const struct map_sink *self, double value, size_t step)
{
    if (self->function->math)
        return self->function->math(value);
    double params[PARAMS_MAX] = {0};
    for (size_t i = 0; i < self->param_count; i++)
        params[i] = self->params[i][step];
    return self->function->map(value, params, self->param_count);
}

static int map_take(struct sink *sink, struct row *row)
{
    struct map_sink *self = (struct map_sink *)sink;
    for (size_t i = 0; i < self->grid->steps; i++) {
        const struct histogram *histogram = row_histogram(row, i);
        if (self->function->summary)
            row->values[i] = histogram ? self->function->summary(histogram) : point_absent();
        else if (!point_is_absent(row->values[i]))
            row->values[i] = map_one(self, row->values[i], i);
    }
    row->histograms = NULL;
    if (!self->function->keeps_name)
        row->labels = labels_without_name(self->eval->arena, row->labels);
    return self->out->take(self->out, row);
}

/* hour() and its kin without an argument speak of the step itself. */
static int map_time(struct map_sink *self)
{
    struct row row;
    if (!row_make(self->eval->arena, self->grid, &row))
        return eval_fail_memory(self->eval);
    row.labels = (struct labels){NULL, 0};
    for (size_t i = 0; i < self->grid->steps; i++)
        row.values[i] = (double)grid_time(self->grid, i) / 1000;
    return map_take(&self->sink, &row);
}

int map_rows(struct eval *eval, const struct plan *plan, const struct grid *grid, struct sink *sink)
{
    struct map_sink self = {.sink = {map_take},
                            .eval = eval,
                            .function = plan->call.function,
                            .grid = grid,
                            .out = sink};
    if (plan->call.arg_count == 0)
        return map_time(&self);
    for (size_t i = 1; i < plan->call.arg_count; i++) {
        const double *param = eval_scalar_new(eval, plan->call.args[i], grid);
        if (!param)
            return -1;
        self.params[self.param_count++] = param;
    }
    return eval_rows(eval, plan->call.args[0], grid, &self.sink);
}
