/* slice: a view of bytes somebody else owns. Passed by value everywhere.
 *
 * A slice never owns and is never NUL-terminated by promise. Cursor functions ("cut") take bytes
 * from the front of *rest and are what every parser is made of. Pure; any thread.
 */
#ifndef STORAGE_BASE_SLICE_H
#define STORAGE_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MUST_USE __attribute__((warn_unused_result))

struct slice {
    const char *at;
    size_t len;
};

/* A slice of a string literal; usable in const tables. */
#define SLICE_LIT(text)                                                                            \
    {                                                                                              \
        (text), sizeof(text) - 1                                                                   \
    }
#define SLICE(text)      ((struct slice)SLICE_LIT(text))
#define SLICE_FMT        "%.*s"
#define SLICE_ARG(slice) (int)(slice).len, (slice).at

static inline struct slice slice_make(const void *at, size_t len)
{
    return (struct slice){(const char *)at, len};
}

static inline struct slice slice_of_string(const char *text)
{
    return (struct slice){text, text ? strlen(text) : 0};
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static inline bool slice_equal_string(struct slice a, const char *text)
{
    return slice_equal(a, slice_of_string(text));
}

/* memcmp order, shorter first on a common prefix: <0, 0, >0. */
static inline int slice_compare(struct slice a, struct slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.at, b.at, n) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static inline bool slice_starts_with(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.at, prefix.at, prefix.len) == 0);
}

/* Without the first n bytes. NULL + 0 is undefined in C, so an empty step leaves `at` alone. */
static inline struct slice slice_skip(struct slice s, size_t n)
{
    if (n > s.len)
        n = s.len;
    return n ? (struct slice){s.at + n, s.len - n} : s;
}

static inline struct slice slice_head(struct slice s, size_t n)
{
    return (struct slice){s.at, n < s.len ? n : s.len};
}

/* Cuts *rest at the first separator: *out is what stood before it, *rest what follows.
 * Without a separator *out takes all, *rest becomes empty, and the answer is false. */
static inline bool slice_cut(struct slice *rest, char separator, struct slice *out)
{
    const char *hit = rest->len ? (const char *)memchr(rest->at, separator, rest->len) : NULL;
    if (!hit) {
        *out = *rest;
        *rest = slice_skip(*rest, rest->len);
        return false;
    }
    *out = slice_make(rest->at, (size_t)(hit - rest->at));
    *rest = slice_skip(*rest, out->len + 1);
    return true;
}

/* Without spaces, tabs, CR and LF at both ends. */
struct slice slice_trim(struct slice s);
bool slice_equal_nocase(struct slice a, struct slice b);
/* The first place of `needle`, or s.len when absent. */
size_t slice_find(struct slice s, struct slice needle);

/* Length of the valid UTF-8 sequence at the front; 0 when there is none (overlong forms, surrogates
 * and code points beyond U+10FFFF included). */
size_t slice_utf8_length(struct slice s);
bool slice_is_utf8(struct slice s);
/* The code point at the front; U+FFFD where there is no valid sequence. */
uint32_t slice_utf8_point(struct slice s);

/* Whole-slice number parsers: false (and *out untouched) on empty input, rest bytes or overflow. */
MUST_USE bool slice_to_u64(struct slice s, uint64_t *out);
MUST_USE bool slice_to_i64(struct slice s, int64_t *out);
/* Decimal or scientific; "inf"/"nan" and overflow to infinity are refused. Locale-free. */
MUST_USE bool slice_to_double(struct slice s, double *out);
/* "250ms", "10s", "1h30m", "7d", "1w", "1y" -> milliseconds. y = 365 d. A bare "0" is legal. */
MUST_USE bool slice_to_duration_ms(struct slice s, int64_t *out);
/* Levenshtein's edit distance, to find what somebody may have meant; a text of so many bytes is that far away
 * from all others. */
#define SLICE_DISTANCE_MAX 256
size_t slice_distance(struct slice a, struct slice b);

#endif
