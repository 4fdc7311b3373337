/* postings: name -> value -> set of ids.
 *
 *   names["service"] -> { all: ids with any service, values["api"] -> {1, 2, 7}, ... }   (values.c)
 *
 * A missing label equals the empty string. A matcher that refuses the empty string keeps the union
 * of the values it accepts; one that accepts it removes the union of the values it refuses, which
 * leaves the series lacking the label in. Equality, `.*`, `.+` and plain alternations (`a|b|c`, most
 * of what dashboards send) look values up. Others run over the series which the matchers before left
 * over or, where these are many, over the distinct values that they have; most of those are decided by the
 * text a regex begins with (pattern.h).
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

#define NAMES_MAX      ((size_t)1 << 31)
#define VALUES_A_PAUSE 8192
#define NAMES_A_PAUSE  64                 /* each is a set of up to all series to look into */
#define REGEX_NS       ((int64_t)2000000) /* a pause after so much of them */
#define TRIES_MAX      3
#define SERIES_A_VALUE 2 /* up to so many it is faster to look at the series */
#define FOUND_MAX      256

struct postings_label {
    struct values values;
    roaring_bitmap_t *all;
};

void postings_init(struct postings *postings, const struct series *series)
{
    *postings = (struct postings){.series = series, .all = roaring_bitmap_create()};
    table_init(&postings->names, NAMES_MAX);
}

static void label_free(struct postings_label *label)
{
    values_release(&label->values);
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
        values_init(&label->values, postings->series, table_key(entry));
        label->all = roaring_bitmap_create();
        entry->value.pointer = label;
    }
    return entry->value.pointer;
}

/* Names are unique in what people send; should they not be, the first one counts, as in labels_find. */
static bool is_repeated(struct labels labels, size_t i)
{
    return i && slice_equal(labels.at[i].name, labels.at[i - 1].name);
}

void postings_add(struct postings *postings, uint32_t id, struct labels labels)
{
    roaring_bitmap_add(postings->all, id);
    for (size_t i = 0; i < labels.count; i++) {
        if (is_repeated(labels, i))
            continue;
        struct postings_label *label = label_make(postings, labels.at[i].name);
        values_add(&label->values, labels.at[i].value, id);
        roaring_bitmap_add(label->all, id);
    }
}

void postings_remove(struct postings *postings, uint32_t id, struct labels labels)
{
    roaring_bitmap_remove(postings->all, id);
    for (size_t i = 0; i < labels.count; i++) {
        struct table_entry *name = table_find(&postings->names, labels.at[i].name);
        if (!name || is_repeated(labels, i))
            continue;
        struct postings_label *label = name->value.pointer;
        roaring_bitmap_remove(label->all, id);
        postings->moved += values_remove(&label->values, labels.at[i].value, id);
        if (label->values.slots.count == 0) {
            label_free(label);
            table_remove(&postings->names, labels.at[i].name, NULL);
        }
    }
}

/* --- selecting --- */

static void collect(roaring_bitmap_t *into, const struct postings_label *label, struct slice value)
{
    struct idset set;
    if (values_find(&label->values, value, &set))
        idset_collect(set, into);
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
        collect(into, label, value);
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
        collect(into, label, matcher->value);
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
        collect(into, label, slice_make(pattern.prefix, pattern.prefix_len));
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

/* False ends the scan: nobody waits for it any more. */
static bool take_pause(struct scan *scan)
{
    bool more = scan->pause->pause(scan->pause->arg);
    scan->paused_ns = clock_monotonic_ns();
    return more;
}

/* Looks at the series one by one. They are in the order of their texts in memory, and those that come or
 * go during a pause do no harm. */
static void scan_series(struct scan *scan, const roaring_bitmap_t *ids, roaring_bitmap_t *into)
{
    const struct series *series = scan->postings->series;
    uint32_t found[FOUND_MAX];
    size_t count = 0;
    roaring_uint32_iterator_t it;
    for (roaring_init_iterator(ids, &it); it.has_value; roaring_advance_uint32_iterator(&it)) {
        const struct series_row *row = series_row(series, it.current_value);
        if (row &&
            accepts(scan, labels_find(series_labels(row), scan->matcher->name)) == scan->wanted)
            found[count++] = it.current_value;
        if (count == FOUND_MAX) {
            roaring_bitmap_add_many(into, count, found);
            count = 0;
        }
        if (is_due(scan) && !take_pause(scan))
            break;
    }
    roaring_bitmap_add_many(into, count, found);
}

/* Looks at the values one by one. False when they moved during a pause, so that some may have been
 * passed over. */
static bool run_scan(struct scan *scan, roaring_bitmap_t *into)
{
    const struct postings_label *label = find_label(scan->postings, scan->matcher->name);
    uint64_t moved = scan->postings->moved;
    size_t cursor = 0, capacity = label ? label->values.slots.capacity : 0;
    while (label) {
        struct idset set;
        if (!values_next(&label->values, &cursor, &set))
            break;
        if ((!scan->ids || idset_meets(set, scan->ids)) &&
            accepts(scan, values_text(&label->values, set)) == scan->wanted)
            idset_collect(set, into);
        if (!is_due(scan))
            continue;
        if (!take_pause(scan))
            return true;
        label = find_label(scan->postings, scan->matcher->name);
        if (!label || label->values.slots.capacity != capacity || scan->postings->moved != moved)
            return false;
    }
    return true;
}

/* The series to look at, where that is less work than all values of the label; else NULL. */
static roaring_bitmap_t *few_series(const struct scan *scan)
{
    const struct postings_label *label = find_label(scan->postings, scan->matcher->name);
    const roaring_bitmap_t *ids = scan->ids ? scan->ids : label->all;
    if (roaring_bitmap_and_cardinality(label->all, ids) >
        label->values.slots.count * SERIES_A_VALUE)
        return NULL;
    return roaring_bitmap_and(label->all, ids);
}

static void scan_values(struct scan *scan, roaring_bitmap_t *into)
{
    if (scan->matcher->regex)
        pattern_read(&scan->pattern, scan->matcher->value);
    roaring_bitmap_t *ids = few_series(scan);
    if (ids) {
        scan_series(scan, ids, into);
        roaring_bitmap_free(ids);
        return;
    }
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

uint64_t postings_count(const struct postings *postings, struct slice name, struct slice value)
{
    const struct postings_label *label = find_label(postings, name);
    struct idset set;
    return label && values_find(&label->values, value, &set) ? idset_count(set) : 0;
}

void postings_census(const struct postings *postings, const struct postings_visitor *visitor)
{
    size_t names = 0;
    for (struct table_entry *name; (name = table_next(&postings->names, &names));) {
        const struct postings_label *label = name->value.pointer;
        struct postings_count all = {.name = table_key(name), .series = label->values.slots.count};
        struct idset set;
        size_t values = 0;
        while (values_next(&label->values, &values, &set)) {
            struct slice text = values_text(&label->values, set);
            struct postings_count count = {all.name, text, idset_count(set), 0};
            all.bytes += text.len;
            visitor->value(visitor->arg, &count);
        }
        visitor->label(visitor->arg, &all);
    }
}

/* --- listing --- */

/* As run_scan: false when the names moved during a pause. */
static bool list_names(const struct postings *postings, const roaring_bitmap_t *ids,
                       const struct postings_listing *listing)
{
    const struct postings_pause *pause = listing->pause;
    const struct table *names = &postings->names;
    uint64_t moved = postings->moved;
    size_t cursor = 0, seen = 0, capacity = names->capacity;
    for (struct table_entry *entry; (entry = table_next(names, &cursor));) {
        const struct postings_label *label = entry->value.pointer;
        if (!ids || roaring_bitmap_intersect(ids, label->all))
            listing->text(listing->arg, table_key(entry));
        if (!pause || ++seen % NAMES_A_PAUSE)
            continue;
        if (!pause->pause(pause->arg))
            return true;
        if (names->capacity != capacity || postings->moved != moved)
            return false;
    }
    return true;
}

/* The same for values. */
static bool list_values(const struct postings *postings, struct slice name,
                        const roaring_bitmap_t *ids, const struct postings_listing *listing)
{
    const struct postings_label *label = find_label(postings, name);
    const struct postings_pause *pause = listing->pause;
    uint64_t moved = postings->moved;
    size_t cursor = 0, seen = 0, capacity = label ? label->values.slots.capacity : 0;
    while (label) {
        struct idset set;
        if (!values_next(&label->values, &cursor, &set))
            break;
        if (!ids || idset_meets(set, ids))
            listing->text(listing->arg, values_text(&label->values, set));
        if (!pause || ++seen % VALUES_A_PAUSE)
            continue;
        if (!pause->pause(pause->arg))
            return true;
        label = find_label(postings, name);
        if (!label || label->values.slots.capacity != capacity || postings->moved != moved)
            return false;
    }
    return true;
}

/* name NULL: the names. */
static bool list_once(const struct postings *postings, const struct slice *name,
                      const roaring_bitmap_t *ids, const struct postings_listing *listing)
{
    return name ? list_values(postings, *name, ids, listing) : list_names(postings, ids, listing);
}

static void list_all(const struct postings *postings, const struct slice *name,
                     const roaring_bitmap_t *ids, const struct postings_listing *listing)
{
    struct postings_listing last = *listing;
    for (int tries = 0; listing->pause && tries < TRIES_MAX; tries++) {
        if (list_once(postings, name, ids, listing))
            return;
        listing->again(listing->arg);
    }
    last.pause = NULL;
    bool whole = list_once(postings, name, ids, &last);
    assert(whole);
}

void postings_names(const struct postings *postings, const roaring_bitmap_t *ids,
                    const struct postings_listing *listing)
{
    list_all(postings, NULL, ids, listing);
}

void postings_values(const struct postings *postings, struct slice name,
                     const roaring_bitmap_t *ids, const struct postings_listing *listing)
{
    list_all(postings, &name, ids, listing);
}

/* --- counting bytes --- */

size_t postings_bytes(const struct postings *postings)
{
    size_t bytes = roaring_bitmap_size_in_bytes(postings->all), cursor = 0;
    for (struct table_entry *name; (name = table_next(&postings->names, &cursor));) {
        const struct postings_label *label = name->value.pointer;
        bytes += roaring_bitmap_size_in_bytes(label->all) + values_bytes(&label->values);
    }
    return bytes;
}
