/* matcher: one condition on a label; shared by PromQL, LogQL and the index.
 *
 * A missing label counts as the empty string, as in Prometheus. Regexes are anchored.
 */
#ifndef STORAGE_MATCHER_H
#define STORAGE_MATCHER_H

#include "storage/base/error.h"
#include "storage/base/regex.h"
#include "storage/labels.h"

enum matcher_type { MATCH_EQUAL, MATCH_NOT_EQUAL, MATCH_REGEX, MATCH_NOT_REGEX };

struct matcher {
    enum matcher_type type;
    struct slice name;
    struct slice value;
    struct regex *regex; /* MATCH_REGEX and MATCH_NOT_REGEX; owned */
};

/* Compiles the regex where there is one; name and value are borrowed. */
MUST_USE int matcher_init(struct matcher *matcher, enum matcher_type type, struct slice name,
                          struct slice value, struct error *err);
void matcher_release(struct matcher *matcher);
bool matcher_accepts(const struct matcher *matcher, struct slice value);
bool matchers_accept(const struct matcher *matchers, size_t count, struct labels labels);
/* "=", "!=", "=~", "!~" */
const char *matcher_operator(enum matcher_type type);

#endif
