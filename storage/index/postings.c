/* postings: name -> value -> set of ids.
 *
 *   names["service"] -> { all: ids with any service, values["api"] -> {1, 2, 7}, ... }
 *
 * Most values of a high-cardinality label (a host, a path) belong to few series: a set of one lives
 * in the table entry itself, one of up to 32 is a plain array, and only more make a roaring bitmap,
 * which would spend some 60 bytes on an id that is alone in its range of 65,536.
 *
 *   entry   id << 1 | 1        one
 *           few * | 2          up to FEW_MAX, ascending or not
 *           bitmap *           more
 *
 * A missing label equals the empty string. A matcher that refuses the empty string keeps the union
 * of the values it accepts; one that accepts it removes the union of the values it refuses, which
 * leaves the series lacking the label in. Equality, `.*`, `.+` and plain alternations (`a|b|c`, most
 * of what dashboards send) look values up. Others run over the distinct values that belong to series
 * which the matchers before left over, and most of those are decided by the text a regex begins with
 * (pattern.h).
 *
 * A million values take a while, and so do a few with a regex that backtracks, in which the writer would
 * wait. So a reader may pause now and then, that is let go of the lock. What is added meanwhile may be seen or not; when values moved within the
 * table, the run begins anew, and after some tries goes on without pauses.
 */
#include "storage/index/postings.h"

#include <assert.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "storage/pattern.h"

#define VALUES_MAX     ((size_t)1 << 31)
#define FEW_MAX        32
#define VALUES_A_PAUSE 8192
#define REGEX_NS       ((int64_t)2000000) /* a pause after so much of them */
#define TRIES_MAX      3
#define FEW_TAG        ((uint64_t)2)

struct few {
    uint32_t count; /* > 0; there is room up to the next power of two */
    uint32_t ids[];
};

struct postings_label {
    struct table values; /* value -> its set */
    roaring_bitmap_t *all;
};

void postings_init(struct postings *postings)
{
    table_init(&postings->names, VALUES_MAX);
    postings->all = roaring_bitmap_create();
}

static bool is_single(const struct table_entry *entry)
{
    return entry->value.number & 1;
}

static uint32_t single_id(const struct table_entry *entry)
{
    return (uint32_t)(entry->value.number >> 1);
}

static bool is_few(const struct table_entry *entry)
{
    return (entry->value.number & 3) == FEW_TAG;
}

static struct few *few_of(const struct table_entry *entry)
{
    return (struct few *)(uintptr_t)(entry->value.number - FEW_TAG);
}

static void set_free(const struct table_entry *entry)
{
    if (is_few(entry))
        free(few_of(entry));
    else if (!is_single(entry))
        roaring_bitmap_free(entry->value.pointer);
}

static void label_free(struct postings_label *label)
{
    size_t cursor = 0;
    for (struct table_entry *entry; (entry = table_next(&label->values, &cursor));)
        set_free(entry);
    table_release(&label->values);
    roaring_bitmap_free(label->all);
    free(label);
}

void postings_release(struct postings *postings)
{
    size_t cursor = 0;
    for (struct table_entry *entry; (entry = table_next(&postings->names, &cursor));)
        label_free(entry->value.pointer);
    table_release(&postings->names);
    roaring_bitmap_free(postings->all);
    *postings = (struct postings){0};
}

/* --- adding and removing --- */

static struct postings_label *label_make(struct postings *postings, struct slice name)
{
    bool fresh;
    struct table_entry *entry = table_insert(&postings->names, name, &fresh);
    if (fresh) {
        struct postings_label *label = alloc_zeroed(1, sizeof *label);
        table_init(&label->values, VALUES_MAX);
        label->all = roaring_bitmap_create();
        entry->value.pointer = label;
    }
    return entry->value.pointer;
}

/* An array that is full becomes a bitmap. */
static void few_add(struct table_entry *entry, uint32_t id)
{
    struct few *few = few_of(entry);
    if (few->count == FEW_MAX) {
        roaring_bitmap_t *bitmap = roaring_bitmap_of_ptr(few->count, few->ids);
        roaring_bitmap_add(bitmap, id);
        free(few);
        entry->value.pointer = bitmap;
        return;
    }
    if (few->count >= 2 && (few->count & (few->count - 1)) == 0) {
        few = alloc_resize(few, sizeof *few + 2 * few->count * sizeof few->ids[0], 1);
        entry->value.number = (uint64_t)(uintptr_t)few + FEW_TAG;
    }
    few->ids[few->count++] = id;
}

static void entry_add(struct table_entry *entry, bool fresh, uint32_t id)
{
    if (fresh) {
        entry->value.number = (uint64_t)id << 1 | 1;
        return;
    }
    if (is_single(entry)) {
        struct few *few = alloc_resize(NULL, sizeof *few + 2 * sizeof few->ids[0], 1);
        few->count = 1;
        few->ids[0] = single_id(entry);
        entry->value.number = (uint64_t)(uintptr_t)few + FEW_TAG;
    }
    if (is_few(entry))
        few_add(entry, id);
    else
        roaring_bitmap_add(entry->value.pointer, id);
}

void postings_add(struct postings *postings, uint32_t id, struct labels labels)
{
    bool fresh;
    roaring_bitmap_add(postings->all, id);
    for (size_t i = 0; i < labels.count; i++) {
        struct postings_label *label = label_make(postings, labels.at[i].name);
        struct table_entry *entry = table_insert(&label->values, labels.at[i].value, &fresh);
        entry_add(entry, fresh, id);
        roaring_bitmap_add(label->all, id);
    }
}

/* True when it became empty, and is freed. The room stays that of a larger count. */
static bool few_remove(struct few *few, uint32_t id)
{
    uint32_t place = 0;
    while (place < few->count && few->ids[place] != id)
        place++;
    if (place == few->count)
        return false;
    few->ids[place] = few->ids[--few->count];
    if (few->count)
        return false;
    free(few);
    return true;
}

/* True when the entry's set became empty. */
static bool entry_remove(struct table_entry *entry, uint32_t id)
{
    if (is_single(entry))
        return single_id(entry) == id;
    if (is_few(entry))
        return few_remove(few_of(entry), id);
    roaring_bitmap_remove(entry->value.pointer, id);
    if (!roaring_bitmap_is_empty(entry->value.pointer))
        return false;
    roaring_bitmap_free(entry->value.pointer);
    return true;
}

void postings_remove(struct postings *postings, uint32_t id, struct labels labels)
{
    roaring_bitmap_remove(postings->all, id);
    for (size_t i = 0; i < labels.count; i++) {
        struct table_entry *name = table_find(&postings->names, labels.at[i].name);
        if (!name)
            continue;
        struct postings_label *label = name->value.pointer;
        struct table_entry *entry = table_find(&label->values, labels.at[i].value);
        roaring_bitmap_remove(label->all, id);
        if (entry && entry_remove(entry, id)) {
            table_remove(&label->values, labels.at[i].value, NULL);
            postings->moved++;
        }
        if (label->values.count == 0) {
            label_free(label);
            table_remove(&postings->names, labels.at[i].name, NULL);
        }
    }
}

/* --- selecting --- */

static void collect(roaring_bitmap_t *into, const struct table_entry *entry)
{
    if (!entry)
        return;
    if (is_single(entry))
        roaring_bitmap_add(into, single_id(entry));
    else if (is_few(entry))
        roaring_bitmap_add_many(into, few_of(entry)->count, few_of(entry)->ids);
    else
        roaring_bitmap_or_inplace(into, entry->value.pointer);
}

static bool few_occur(const struct few *few, const roaring_bitmap_t *ids)
{
    for (uint32_t i = 0; i < few->count; i++)
        if (roaring_bitmap_contains(ids, few->ids[i]))
            return true;
    return false;
}

static bool occurs(const struct table_entry *entry, const roaring_bitmap_t *ids)
{
    if (!ids)
        return true;
    if (is_single(entry))
        return roaring_bitmap_contains(ids, single_id(entry));
    return is_few(entry) ? few_occur(few_of(entry), ids)
                         : roaring_bitmap_intersect(ids, entry->value.pointer);
}

static bool is_literal(struct slice pattern)
{
    for (size_t i = 0; i < pattern.len; i++)
        if (strchr("\\^$.[]()?*+{}", pattern.at[i]))
            return false;
    return true;
}

/* Adds the ids whose (non-empty) value the pattern's alternatives name. */
static void collect_alternatives(roaring_bitmap_t *into, const struct postings_label *label,
                                 struct slice pattern)
{
    for (bool more = true; more;) {
        struct slice value;
        more = slice_cut(&pattern, '|', &value);
        collect(into, table_find(&label->values, value));
    }
}

/* Adds the ids of the values that the matcher accepts (wanted) or refuses (not wanted), as far as they can
 * be looked up; *scan = true when they cannot. */
static void collect_values(roaring_bitmap_t *into, const struct postings_label *label,
                           const struct matcher *matcher, bool wanted, bool *scan)
{
    bool negative = matcher->type == MATCH_NOT_EQUAL || matcher->type == MATCH_NOT_REGEX;
    bool equality = matcher->type == MATCH_EQUAL || matcher->type == MATCH_NOT_EQUAL;
    /* Either way it is the named values that are to be collected, so look them up. */
    if (wanted != negative && equality) {
        collect(into, table_find(&label->values, matcher->value));
        return;
    }
    if (wanted != negative && is_literal(matcher->value)) {
        collect_alternatives(into, label, matcher->value);
        return;
    }
    struct pattern pattern = {.rest = PATTERN_REGEX};
    if (!equality)
        pattern_read(&pattern, matcher->value);
    if (wanted != negative && pattern.rest == PATTERN_NOTHING) { /* `a\.b` */
        collect(into, table_find(&label->values, slice_make(pattern.prefix, pattern.prefix_len)));
        return;
    }
    bool any = slice_equal(matcher->value, equality ? SLICE("") : SLICE(".+")) ||
               (!equality && slice_equal(matcher->value, SLICE(".*")));
    if (any) { /* ="" and !="", .+ and .*: all values or none */
        bool accepts_values = equality ? negative : !negative;
        if (accepts_values == wanted)
            roaring_bitmap_or_inplace(into, label->all);
        return;
    }
    *scan = true;
}

/* --- scanning the values of a label --- */

/* What it takes to run over the values of one label. */
struct scan {
    const struct postings *postings;
    const struct matcher *matcher;
    bool wanted;                 /* collect those accepted, or those refused */
    const roaring_bitmap_t *ids; /* only these matter; NULL = all */
    const struct postings_pause *pause;
    struct pattern pattern;
    size_t seen;
    int64_t paused_ns;
};

static bool accepts(const struct scan *scan, struct slice value)
{
    switch (scan->matcher->type) {
    case MATCH_REGEX:
        return pattern_accepts(&scan->pattern, scan->matcher->regex, value);
    case MATCH_NOT_REGEX:
        return !pattern_accepts(&scan->pattern, scan->matcher->regex, value);
    case MATCH_EQUAL:
    case MATCH_NOT_EQUAL:
        break;
    }
    return matcher_accepts(scan->matcher, value);
}

static const struct postings_label *find_label(const struct postings *postings, struct slice name)
{
    const struct table_entry *entry = table_find(&postings->names, name);
    return entry ? entry->value.pointer : NULL;
}

static bool is_due(struct scan *scan)
{
    if (!scan->pause)
        return false;
    return ++scan->seen % VALUES_A_PAUSE == 0 ||
           (scan->matcher->regex && clock_monotonic_ns() - scan->paused_ns >= REGEX_NS);
}

/* False when the values moved during a pause, so that some may have been passed over. */
static bool run_scan(struct scan *scan, roaring_bitmap_t *into)
{
    const struct postings_label *label = find_label(scan->postings, scan->matcher->name);
    uint64_t moved = scan->postings->moved;
    size_t cursor = 0, capacity = label ? label->values.capacity : 0;
    while (label) {
        const struct table_entry *entry = table_next(&label->values, &cursor);
        if (!entry)
            break;
        if (occurs(entry, scan->ids) && accepts(scan, table_key(entry)) == scan->wanted)
            collect(into, entry);
        if (!is_due(scan))
            continue;
        if (!scan->pause->pause(scan->pause->arg))
            return true;
        scan->paused_ns = clock_monotonic_ns();
        label = find_label(scan->postings, scan->matcher->name);
        if (!label || label->values.capacity != capacity || scan->postings->moved != moved)
            return false;
    }
    return true;
}

static void scan_values(struct scan *scan, roaring_bitmap_t *into)
{
    if (scan->matcher->regex)
        pattern_read(&scan->pattern, scan->matcher->value);
    for (int tries = 0; scan->pause && tries < TRIES_MAX; tries++)
        if (run_scan(scan, into))
            return;
    scan->pause = NULL;
    bool whole = run_scan(scan, into);
    assert(whole);
}

/* --- selecting --- */

static void narrow(const struct postings *postings, roaring_bitmap_t *ids,
                   const struct matcher *matcher, const struct postings_pause *pause)
{
    const struct postings_label *label = find_label(postings, matcher->name);
    bool accepts_missing = matcher_accepts(matcher, SLICE("")), scan = false;
    if (!label) {
        if (!accepts_missing)
            roaring_bitmap_clear(ids);
        return;
    }
    bool all = roaring_bitmap_get_cardinality(ids) == roaring_bitmap_get_cardinality(postings->all);
    roaring_bitmap_t *set = roaring_bitmap_create();
    collect_values(set, label, matcher, !accepts_missing, &scan);
    if (scan) {
        struct scan values = {.postings = postings,
                              .matcher = matcher,
                              .wanted = !accepts_missing,
                              .ids = all ? NULL : ids,
                              .pause = pause,
                              .paused_ns = pause ? clock_monotonic_ns() : 0};
        scan_values(&values, set);
    }
    if (accepts_missing)
        roaring_bitmap_andnot_inplace(ids, set);
    else
        roaring_bitmap_and_inplace(ids, set);
    roaring_bitmap_free(set);
}

roaring_bitmap_t *postings_select_pausing(const struct postings *postings,
                                          const struct matcher *matchers, size_t count,
                                          const struct postings_pause *pause)
{
    roaring_bitmap_t *ids = roaring_bitmap_copy(postings->all);
    /* Lookups first: they leave fewer ids whose values regexes run over. */
    for (int regexes = 0; regexes < 2; regexes++)
        for (size_t i = 0; i < count && !roaring_bitmap_is_empty(ids); i++)
            if ((matchers[i].regex != NULL) == (regexes == 1))
                narrow(postings, ids, &matchers[i], pause);
    if (pause)
        roaring_bitmap_and_inplace(ids, postings->all);
    return ids;
}

roaring_bitmap_t *postings_select(const struct postings *postings, const struct matcher *matchers,
                                  size_t count)
{
    return postings_select_pausing(postings, matchers, count, NULL);
}

/* --- counting --- */

static uint64_t entry_count(const struct table_entry *entry)
{
    if (is_single(entry))
        return 1;
    return is_few(entry) ? few_of(entry)->count
                         : roaring_bitmap_get_cardinality(entry->value.pointer);
}

uint64_t postings_count(const struct postings *postings, struct slice name, struct slice value)
{
    const struct table_entry *label = table_find(&postings->names, name);
    const struct postings_label *of = label ? label->value.pointer : NULL;
    const struct table_entry *entry = of ? table_find(&of->values, value) : NULL;
    return entry ? entry_count(entry) : 0;
}

void postings_census(const struct postings *postings, const struct postings_visitor *visitor)
{
    size_t names = 0;
    for (struct table_entry *name; (name = table_next(&postings->names, &names));) {
        const struct postings_label *label = name->value.pointer;
        struct postings_count all = {.name = table_key(name), .series = label->values.count};
        size_t values = 0;
        for (struct table_entry *entry; (entry = table_next(&label->values, &values));) {
            struct postings_count count = {all.name, table_key(entry), entry_count(entry), 0};
            all.bytes += entry->key_len;
            visitor->value(visitor->arg, &count);
        }
        visitor->label(visitor->arg, &all);
    }
}

/* --- listing --- */

void postings_names(const struct postings *postings, const roaring_bitmap_t *ids,
                    void (*visit)(void *arg, struct slice text), void *arg)
{
    size_t cursor = 0;
    for (struct table_entry *entry; (entry = table_next(&postings->names, &cursor));) {
        const struct postings_label *label = entry->value.pointer;
        if (!ids || roaring_bitmap_intersect(ids, label->all))
            visit(arg, table_key(entry));
    }
}

/* As run_scan: false when the values moved during a pause. */
static bool list_values(const struct postings *postings, struct slice name,
                        const roaring_bitmap_t *ids, const struct postings_listing *listing)
{
    const struct postings_label *label = find_label(postings, name);
    const struct postings_pause *pause = listing->pause;
    uint64_t moved = postings->moved;
    size_t cursor = 0, seen = 0, capacity = label ? label->values.capacity : 0;
    while (label) {
        const struct table_entry *entry = table_next(&label->values, &cursor);
        if (!entry)
            break;
        if (occurs(entry, ids))
            listing->text(listing->arg, table_key(entry));
        if (!pause || ++seen % VALUES_A_PAUSE)
            continue;
        if (!pause->pause(pause->arg))
            return true;
        label = find_label(postings, name);
        if (!label || label->values.capacity != capacity || postings->moved != moved)
            return false;
    }
    return true;
}

void postings_values(const struct postings *postings, struct slice name,
                     const roaring_bitmap_t *ids, const struct postings_listing *listing)
{
    struct postings_listing last = *listing;
    for (int tries = 0; listing->pause && tries < TRIES_MAX; tries++) {
        if (list_values(postings, name, ids, listing))
            return;
        listing->again(listing->arg);
    }
    last.pause = NULL;
    bool whole = list_values(postings, name, ids, &last);
    assert(whole);
}

/* --- counting bytes --- */

static size_t set_bytes(const struct table_entry *entry)
{
    if (is_single(entry))
        return 0;
    if (is_few(entry))
        return sizeof(struct few) + few_of(entry)->count * sizeof(uint32_t);
    return roaring_bitmap_size_in_bytes(entry->value.pointer);
}

size_t postings_bytes(const struct postings *postings)
{
    size_t bytes = roaring_bitmap_size_in_bytes(postings->all), cursor = 0;
    for (struct table_entry *name; (name = table_next(&postings->names, &cursor));) {
        const struct postings_label *label = name->value.pointer;
        size_t at = 0;
        bytes += roaring_bitmap_size_in_bytes(label->all);
        bytes += label->values.capacity * sizeof *label->values.entries;
        for (struct table_entry *entry; (entry = table_next(&label->values, &at));)
            bytes += entry->key_len + 1 + set_bytes(entry);
    }
    return bytes;
}
