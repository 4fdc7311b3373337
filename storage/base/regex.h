/* regex: PCRE2 with the rules every user of it here needs.
 *
 * Patterns come from queries and config, so both compile size and match effort are limited, and
 * backreferences and look-around (which RE2, the dialect of our peers, lacks) are refused.
 * '.' matches newlines, and whole characters of UTF-8; in a subject that is not UTF-8, bytes. A compiled regex is immutable: any number of threads may match with it.
 */
#ifndef STORAGE_BASE_REGEX_H
#define STORAGE_BASE_REGEX_H

#include "storage/base/buffer.h"
#include "storage/base/error.h"

struct regex;

enum regex_flags {
    REGEX_ANCHORED = 1, /* must match the whole subject */
    REGEX_IGNORE_CASE = 2,
};

#define REGEX_GROUPS_MAX 32

/* The error names the position and the reason. */
MUST_USE int regex_compile(struct slice pattern, unsigned flags, struct regex **out,
                           struct error *err);
void regex_free(struct regex *regex);
/* Compiles and matches one: the code and the memory for it are there then, before somebody waits for the
 * first. */
void regex_warm(void);
/* True on a match. What cannot be decided within the limits of effort (only possible on subjects
 * over 2 KiB) counts as no match and in lapwing_regex_given_up_total. */
bool regex_match(const struct regex *regex, struct slice subject);
/* groups[0] is the whole match; unset groups are {NULL, 0}. Returns the number of groups filled
 * (at most count), 0 when there is no match. */
size_t regex_search(const struct regex *regex, struct slice subject, struct slice *groups,
                    size_t count);
/* Number of a named group, or -1. */
int regex_group(const struct regex *regex, struct slice name);
/* Names of capture groups: name of group i (1-based), empty when unnamed. */
struct slice regex_group_name(const struct regex *regex, size_t group);
size_t regex_group_count(const struct regex *regex);
/* Appends `replacement` with $1, ${1}, ${name} and $$ expanded from groups (Go's Expand rules). */
void regex_expand(const struct regex *regex, struct slice replacement, const struct slice *groups,
                  size_t count, struct buffer *out);

#endif
