/* sample: the few facts about samples that everything shares; declared in storage/store.h. */
#include "storage/code/column.h"
#include "storage/store.h"

double stale_nan(void)
{
    return double_of_bits(STALE_NAN_BITS);
}

bool is_stale_nan(double value)
{
    return double_bits(value) == STALE_NAN_BITS;
}

const char *series_kind_name(enum series_kind kind)
{
    static const char *const names[] = {
        [SERIES_COUNTER] = "counter",
        [SERIES_GAUGE] = "gauge",
        [SERIES_HISTOGRAM] = "histogram",
        [SERIES_SET] = "gauge",
    };
    return names[kind];
}
