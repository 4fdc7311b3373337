/* option_state: what option.c (loading) and option_print.c share. Nobody else includes it. */
#ifndef STORAGE_BASE_OPTION_STATE_H
#define STORAGE_BASE_OPTION_STATE_H

#include "storage/base/option.h"

#define OPTION_BYTE_UNITS 5

struct option_unit {
    const char *suffix;
    int64_t unit;
};
extern const struct option_unit option_byte_units[OPTION_BYTE_UNITS];

/* What the row allows, for error texts and the documentation. */
void option_describe(const struct option *row, struct buffer *out);

#endif
