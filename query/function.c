/* function: one row a function.
 *
 * To add one: a row here, its code, a test. The rows hold what Prometheus 3 calls stable, and
 * of its experimental functions those that people use.
 * The list is short and looked up once a call in a query text, so the search is linear.
 */
#include "query/function.h"

#include <math.h>

#include "query/call.h"

/* clang-format off: one line a row */
#define S VALUE_SCALAR
#define T VALUE_STRING
#define V VALUE_VECTOR
#define M VALUE_MATRIX

static const struct query_function functions[] = {
    /* name, arguments, their count, how many are optional (-1: the last repeats), result, code */
    {"abs", {V}, 1, 0, V, .math = fabs},
    {"absent", {V}, 1, 0, V, .stream = call_absent},
    {"absent_over_time", {M}, 1, 0, V, .stream = call_absent_over_time},
    {"acos", {V}, 1, 0, V, .math = acos},
    {"acosh", {V}, 1, 0, V, .math = acosh},
    {"asin", {V}, 1, 0, V, .math = asin},
    {"asinh", {V}, 1, 0, V, .math = asinh},
    {"atan", {V}, 1, 0, V, .math = atan},
    {"atanh", {V}, 1, 0, V, .math = atanh},
    {"avg_over_time", {M}, 1, 0, V, .window = window_avg, .window_histogram = window_histogram_avg},
    {"ceil", {V}, 1, 0, V, .math = ceil},
    {"changes",
     {M},
     1,
     0,
     V,
     .window = window_changes,
     .window_histogram = window_histogram_changes},
    {"clamp", {V, S, S}, 3, 0, V, .map = map_clamp},
    {"clamp_max", {V, S}, 2, 0, V, .map = map_clamp_max},
    {"clamp_min", {V, S}, 2, 0, V, .map = map_clamp_min},
    {"cos", {V}, 1, 0, V, .math = cos},
    {"cosh", {V}, 1, 0, V, .math = cosh},
    {"count_over_time",
     {M},
     1,
     0,
     V,
     .window = window_count,
     .window_histogram = window_histogram_count},
    {"day_of_month", {V}, 1, 1, V, .math = map_day_of_month, .uses_time = true},
    {"day_of_week", {V}, 1, 1, V, .math = map_day_of_week, .uses_time = true},
    {"day_of_year", {V}, 1, 1, V, .math = map_day_of_year, .uses_time = true},
    {"days_in_month", {V}, 1, 1, V, .math = map_days_in_month, .uses_time = true},
    {"deg", {V}, 1, 0, V, .math = map_deg},
    {"delta", {M}, 1, 0, V, .window = window_delta, .window_histogram = window_histogram_delta},
    {"deriv", {M}, 1, 0, V, .window = window_deriv},
    {"double_exponential_smoothing", {M, S, S}, 3, 0, V, .window = window_smoothing},
    {"exp", {V}, 1, 0, V, .math = exp},
    {"floor", {V}, 1, 0, V, .math = floor},
    {"histogram_avg", {V}, 1, 0, V, .summary = summary_avg},
    {"histogram_count", {V}, 1, 0, V, .summary = summary_count},
    {"histogram_fraction", {S, S, V}, 3, 0, V, .stream = call_histogram_fraction},
    {"histogram_quantile", {S, V}, 2, 0, V, .stream = call_histogram_quantile},
    {"histogram_stddev", {V}, 1, 0, V, .summary = summary_stddev},
    {"histogram_stdvar", {V}, 1, 0, V, .summary = summary_stdvar},
    {"histogram_sum", {V}, 1, 0, V, .summary = summary_sum},
    {"hour", {V}, 1, 1, V, .math = map_hour, .uses_time = true},
    {"idelta", {M}, 1, 0, V, .window = window_idelta, .window_histogram = window_histogram_idelta},
    {"increase",
     {M},
     1,
     0,
     V,
     .window = window_increase,
     .window_histogram = window_histogram_increase},
    {"irate", {M}, 1, 0, V, .window = window_irate, .window_histogram = window_histogram_irate},
    {"label_join", {V, T, T, T}, 4, -1, V, .stream = call_label_join, .keeps_name = true},
    {"label_replace", {V, T, T, T, T}, 5, 0, V, .stream = call_label_replace, .keeps_name = true},
    {"last_over_time",
     {M},
     1,
     0,
     V,
     .window = window_last,
     .window_histogram = window_histogram_last,
     .keeps_name = true},
    {"ln", {V}, 1, 0, V, .math = log},
    {"log10", {V}, 1, 0, V, .math = log10},
    {"log2", {V}, 1, 0, V, .math = log2},
    {"mad_over_time", {M}, 1, 0, V, .window = window_mad},
    {"max_over_time", {M}, 1, 0, V, .window = window_max, .window_histogram = window_histogram_max},
    {"min_over_time", {M}, 1, 0, V, .window = window_min, .window_histogram = window_histogram_min},
    {"minute", {V}, 1, 1, V, .math = map_minute, .uses_time = true},
    {"month", {V}, 1, 1, V, .math = map_month, .uses_time = true},
    {"pi", {0}, 0, 0, S, .scalar = call_pi},
    {"predict_linear", {M, S}, 2, 0, V, .window = window_predict_linear, .uses_time = true},
    {"present_over_time",
     {M},
     1,
     0,
     V,
     .window = window_present,
     .window_histogram = window_present},
    {"quantile_over_time",
     {S, M},
     2,
     0,
     V,
     .window = window_quantile,
     .window_histogram = window_histogram_quantile},
    {"rad", {V}, 1, 0, V, .math = map_rad},
    {"rate", {M}, 1, 0, V, .window = window_rate, .window_histogram = window_histogram_rate},
    {"resets", {M}, 1, 0, V, .window = window_resets, .window_histogram = window_histogram_resets},
    {"round", {V, S}, 2, 1, V, .map = map_round},
    {"scalar", {V}, 1, 0, S, .scalar = call_scalar},
    {"sgn", {V}, 1, 0, V, .math = map_sgn},
    {"sin", {V}, 1, 0, V, .math = sin},
    {"sinh", {V}, 1, 0, V, .math = sinh},
    {"sort", {V}, 1, 0, V, .stream = call_sort, .keeps_name = true},
    {"sort_desc", {V}, 1, 0, V, .stream = call_sort_desc, .keeps_name = true},
    {"sort_by_label", {V, T, T}, 3, -1, V, .stream = call_sort_by_label, .keeps_name = true},
    {"sort_by_label_desc",
     {V, T, T},
     3,
     -1,
     V,
     .stream = call_sort_by_label_desc,
     .keeps_name = true},
    {"sqrt", {V}, 1, 0, V, .math = sqrt},
    {"stddev_over_time", {M}, 1, 0, V, .window = window_stddev},
    {"stdvar_over_time", {M}, 1, 0, V, .window = window_stdvar},
    {"sum_over_time", {M}, 1, 0, V, .window = window_sum, .window_histogram = window_histogram_sum},
    {"tan", {V}, 1, 0, V, .math = tan},
    {"tanh", {V}, 1, 0, V, .math = tanh},
    {"time", {0}, 0, 0, S, .scalar = call_time, .uses_time = true},
    {"timestamp", {V}, 1, 0, V, .stream = call_timestamp, .uses_time = true},
    {"vector", {S}, 1, 0, V, .stream = call_vector},
    {"year", {V}, 1, 1, V, .math = map_year, .uses_time = true},
};
/* clang-format on */

#undef S
#undef T
#undef V
#undef M

const struct query_function *function_find(struct slice name)
{
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (slice_equal_string(name, functions[i].name))
            return &functions[i];
    return NULL;
}
