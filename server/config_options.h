/* config_options: the table of options, for config_load.c alone. */
#ifndef SERVER_CONFIG_OPTIONS_H
#define SERVER_CONFIG_OPTIONS_H

#include "server/config.h"

extern const struct option config_options[];
extern const size_t config_option_count;

#endif
