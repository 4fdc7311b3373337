/* pattern: what a regular expression says without being run: the text that all it accepts begin with.
 *
 * Pure functions.
 */
#ifndef STORAGE_PATTERN_H
#define STORAGE_PATTERN_H

#include "storage/base/regex.h"

#define PATTERN_PREFIX_MAX 256 /* bytes; of longer ones the rest is left to the regex */

enum pattern_rest {
    PATTERN_NOTHING,   /* the prefix alone is accepted */
    PATTERN_ANYTHING,  /* what follows does not matter: `abc.*` */
    PATTERN_SOMETHING, /* but there must be something: `abc.+` */
    PATTERN_REGEX,     /* ask the regex */
};

struct pattern {
    char prefix[PATTERN_PREFIX_MAX];
    size_t prefix_len;
    enum pattern_rest rest;
};

/* `text` is that of a regex that compiles, anchored at both ends. */
void pattern_read(struct pattern *pattern, struct slice text);
/* The same answer as the regex gives. */
bool pattern_accepts(const struct pattern *pattern, const struct regex *regex, struct slice value);

#endif
