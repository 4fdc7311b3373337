/* config_options: the table of options, for config_load.c alone, and what its parts share. */
#ifndef SERVER_CONFIG_OPTIONS_H
#define SERVER_CONFIG_OPTIONS_H

#include "server/config.h"

#define KIB ((int64_t)1 << 10)
#define MIB ((int64_t)1 << 20)
#define GIB ((int64_t)1 << 30)

#define SECOND ((int64_t)1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

extern const struct option config_options[];
extern const size_t config_option_count;

/* Of one map in a list. */
#define CONFIG_RETENTION_OPTIONS 4
extern const struct option config_retention_options[CONFIG_RETENTION_OPTIONS];
#define CONFIG_PREFIX_OPTIONS 2
extern const struct option config_prefix_options[CONFIG_PREFIX_OPTIONS];

#endif
