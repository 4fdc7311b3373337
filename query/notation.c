/* notation: an item is cut at a space, a sample is cut from an item.
 *
 *   item      := "_" [ times ] | sample [ ("+" | "-") sample ] [ times ]      times := "x" digits
 *   sample    := number | "stale" | "{{" { key ":" ( number | list ) } "}}"
 *
 *   5x3           5 5 5 5            one more than it says, as promtool does: the first is time 0
 *   1+2x3         1 3 5 7            added again and again, so that rounding is promtool's, too
 *   _x3           _ _ _
 *
 * Of a histogram's keys counter_reset_hint is read and forgotten: the store finds resets by itself.
 * Absent: custom_values, because the store keeps exponential buckets only.
 */
#include "query/notation.h"

#include <ctype.h>

#include "query/histogram_math.h"
#include "query/lex.h"
#include "query/literal.h"
#include "query/parse.h"
#include "storage/base/number.h"
#include "storage/store.h"

struct notation {
    struct slice text;
    struct slice rest;
    struct arena *arena;
    struct notation_samples *out;
    struct error *err;
};

static int refuse(const struct notation *n, const char *what)
{
    size_t at = n->text.len - n->rest.len;
    size_t len = 0;
    while (len < n->rest.len && len < 40 && !isspace((unsigned char)n->rest.at[len]))
        len++;
    if (!len)
        return lex_fail(n->text, at, n->err, "unexpected end of series values, %s", what);
    return lex_fail(n->text, at, n->err, "unexpected \"" SLICE_FMT "\" in series values, %s",
                    SLICE_ARG(slice_head(n->rest, len)), what);
}

static void skip_space(struct notation *n)
{
    while (n->rest.len && isspace((unsigned char)*n->rest.at))
        n->rest = slice_skip(n->rest, 1);
}

static bool at_item_end(const struct notation *n)
{
    return !n->rest.len || isspace((unsigned char)*n->rest.at);
}

static bool cut(struct notation *n, const char *word)
{
    if (!slice_starts_with(n->rest, slice_of_string(word)))
        return false;
    n->rest = slice_skip(n->rest, strlen(word));
    return true;
}

/* --- numbers --- */

/* Bytes of the number at the front, without a sign; the x of "1x5" and the - of "1-2x5" end it. */
static size_t number_length(struct slice s)
{
    size_t i = 0;
    if (s.len >= 3 && (slice_equal_nocase(slice_head(s, 3), SLICE("inf")) ||
                       slice_equal_nocase(slice_head(s, 3), SLICE("nan"))))
        return 3;
    while (i < s.len && (isdigit((unsigned char)s.at[i]) || s.at[i] == '.'))
        i++;
    if (!i || i == s.len || (s.at[i] != 'e' && s.at[i] != 'E'))
        return i;
    size_t e = i + 1;
    e += e < s.len && (s.at[e] == '+' || s.at[e] == '-');
    if (e == s.len || !isdigit((unsigned char)s.at[e]))
        return i;
    while (e < s.len && isdigit((unsigned char)s.at[e]))
        e++;
    return e;
}

static bool cut_number(struct notation *n, double *out)
{
    struct slice rest = n->rest;
    struct error ignored;
    bool negative = rest.len && *rest.at == '-';
    if (negative || (rest.len && *rest.at == '+'))
        rest = slice_skip(rest, 1);
    size_t len = number_length(rest);
    if (!len || literal_number(slice_head(rest, len), out, &ignored) < 0)
        return false;
    if (negative)
        *out = -*out;
    n->rest = slice_skip(rest, len);
    return true;
}

static bool cut_count(struct notation *n, uint64_t *out)
{
    size_t len = 0;
    while (len < n->rest.len && isdigit((unsigned char)n->rest.at[len]))
        len++;
    if (!slice_to_u64(slice_head(n->rest, len), out))
        return false;
    n->rest = slice_skip(n->rest, len);
    return true;
}

/* --- histograms --- */

/* What the keys of one histogram say; where its buckets begin may stand behind them. */
struct description {
    struct histogram *histogram;
    double schema, offset, n_offset;
    struct histogram_side positive, negative;
};

static int read_number(struct notation *n, void *into)
{
    return cut_number(n, into) ? 0 : refuse(n, "expected a number");
}

static int read_buckets(struct notation *n, void *into)
{
    struct histogram_side *side = into;
    if (!cut(n, "["))
        return refuse(n, "expected [ and counts");
    side->at = arena_zeroed(n->arena, NOTATION_BUCKETS_MAX, sizeof *side->at);
    if (!side->at)
        return lex_fail(n->text, 0, n->err, "the series values are too large");
    for (skip_space(n); !cut(n, "]"); skip_space(n)) {
        if (side->count == NOTATION_BUCKETS_MAX)
            return refuse(n, "which is one bucket too many");
        if (!cut_number(n, &side->at[side->count].count))
            return refuse(n, "expected a count or ]");
        side->count++;
    }
    return 0;
}

static int read_hint(struct notation *n, void *into)
{
    (void)into;
    static const char *const hints[] = {"unknown", "reset", "not_reset", "gauge"};
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++)
        if (cut(n, hints[i]))
            return 0;
    return refuse(n, "expected unknown, reset, not_reset or gauge");
}

static int read_custom(struct notation *n, void *into)
{
    (void)into;
    return refuse(n, "but buckets of custom_values are not kept here");
}

static int set_offset(const struct notation *n, struct histogram_side *side, double offset)
{
    if (offset != (double)(int32_t)offset || offset < -100000 || offset > 100000)
        return lex_fail(n->text, 0, n->err, "a histogram's offset is out of range");
    for (size_t i = 0; i < side->count; i++)
        side->at[i].index = (int32_t)offset + (int32_t)i;
    return 0;
}

static int read_key(struct notation *n, struct description *d)
{
    const struct {
        const char *name;
        int (*read)(struct notation *n, void *into);
        void *into;
    } keys[] = {
        {"schema:", read_number, &d->schema},
        {"sum:", read_number, &d->histogram->sum},
        {"count:", read_number, &d->histogram->count},
        {"z_bucket:", read_number, &d->histogram->zero_count},
        {"z_bucket_w:", read_number, &d->histogram->zero_threshold},
        {"buckets:", read_buckets, &d->positive},
        {"offset:", read_number, &d->offset},
        {"n_buckets:", read_buckets, &d->negative},
        {"n_offset:", read_number, &d->n_offset},
        {"counter_reset_hint:", read_hint, NULL},
        {"custom_values:", read_custom, NULL},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (cut(n, keys[i].name))
            return keys[i].read(n, keys[i].into);
    return refuse(n, "expected a key of a histogram such as schema, sum, count or buckets");
}

/* Behind "{{". */
static struct histogram *cut_histogram(struct notation *n)
{
    struct histogram *h = arena_zeroed(n->arena, 1, sizeof *h);
    struct description d = {.histogram = h};
    if (!h)
        return NULL;
    histogram_init(h);
    h->zero_threshold = 0;
    for (skip_space(n); !cut(n, "}}"); skip_space(n))
        if (read_key(n, &d) < 0)
            return NULL;
    if (d.schema != (double)(int)d.schema || d.schema < HISTOGRAM_SCHEMA_MIN ||
        d.schema > HISTOGRAM_SCHEMA_MAX) {
        lex_fail(n->text, 0, n->err, "a histogram's schema must lie between %d and %d",
                 HISTOGRAM_SCHEMA_MIN, HISTOGRAM_SCHEMA_MAX);
        return NULL;
    }
    if (set_offset(n, &d.positive, d.offset) < 0 || set_offset(n, &d.negative, d.n_offset) < 0)
        return NULL;
    h->schema = (int)d.schema;
    h->positive = d.positive;
    h->negative = d.negative;
    /* Copied without the room that the lists had. */
    h = histogram_copy(n->arena, h);
    if (!h)
        lex_fail(n->text, 0, n->err, "the series values are too large");
    return h;
}

/* --- items --- */

static int add(struct notation *n, const struct notation_sample *sample)
{
    struct notation_samples *out = n->out;
    if (out->count == NOTATION_SAMPLES_MAX)
        return refuse(n, "where there are too many samples already");
    if (out->count == out->capacity) {
        size_t capacity = out->capacity ? 2 * out->capacity : 64;
        struct notation_sample *at = arena_alloc(n->arena, capacity * sizeof *at);
        if (!at)
            return lex_fail(n->text, 0, n->err, "the series values are too large");
        if (out->count)
            memcpy(at, out->at, out->count * sizeof *at);
        out->at = at;
        out->capacity = capacity;
    }
    out->at[out->count++] = *sample;
    return 0;
}

static int cut_sample(struct notation *n, struct notation_sample *out)
{
    *out = (struct notation_sample){.kind = NOTATION_NUMBER};
    if (cut(n, "{{")) {
        out->kind = NOTATION_HISTOGRAM;
        out->histogram = cut_histogram(n);
        return out->histogram ? 0 : -1;
    }
    if (cut(n, "stale"))
        out->value = stale_nan();
    else if (!cut_number(n, &out->value))
        return refuse(n, "expected number or \"stale\"");
    return 0;
}

/* "+delta" or "-delta" behind a sample, if there is one. */
static int cut_delta(struct notation *n, const struct notation_sample *sample,
                     struct notation_sample *delta, double *sign)
{
    *sign = 0;
    if (!n->rest.len || (*n->rest.at != '+' && *n->rest.at != '-'))
        return 0;
    *sign = *n->rest.at == '+' ? 1 : -1;
    struct slice before = n->rest;
    n->rest = slice_skip(n->rest, 1);
    if (cut_sample(n, delta) < 0)
        return -1;
    if (delta->kind == sample->kind && n->rest.len && *n->rest.at == 'x')
        return 0;
    n->rest = before;
    return refuse(n, "expected the like of the sample and how many times: +1x5");
}

static int advance(struct notation *n, struct notation_sample *sample,
                   const struct notation_sample *delta, double sign)
{
    if (sample->kind == NOTATION_NUMBER) {
        sample->value += sign * delta->value;
        return 0;
    }
    sample->histogram = histogram_combine(n->arena, sample->histogram, delta->histogram, sign);
    return sample->histogram ? 0 : lex_fail(n->text, 0, n->err, "the series values are too large");
}

/* "x5" behind an item, if it is there. */
static int cut_times(struct notation *n, uint64_t *out)
{
    struct slice before = n->rest;
    if (!cut(n, "x"))
        return 0;
    if (!cut_count(n, out))
        return refuse(n, "expected how many times");
    if (*out < NOTATION_SAMPLES_MAX - n->out->count)
        return 0;
    n->rest = before;
    return refuse(n, "which makes too many samples");
}

static int cut_gaps(struct notation *n)
{
    uint64_t times = 1;
    if (cut_times(n, &times) < 0)
        return -1;
    if (!at_item_end(n))
        return refuse(n, "expected a space behind _");
    for (uint64_t i = 0; i < times; i++)
        if (add(n, &(struct notation_sample){.kind = NOTATION_GAP}) < 0)
            return -1;
    return 0;
}

static int cut_item(struct notation *n)
{
    struct notation_sample sample, delta;
    double sign;
    uint64_t times = 0;
    if (cut(n, "_"))
        return cut_gaps(n);
    if (cut_sample(n, &sample) < 0 || cut_delta(n, &sample, &delta, &sign) < 0 ||
        cut_times(n, &times) < 0)
        return -1;
    if (!at_item_end(n))
        return refuse(n, "expected number or \"stale\"");
    if (add(n, &sample) < 0)
        return -1;
    for (uint64_t i = 0; i < times; i++)
        if ((sign != 0 && advance(n, &sample, &delta, sign) < 0) || add(n, &sample) < 0)
            return -1;
    return 0;
}

int notation_samples(struct slice text, struct arena *arena, struct notation_samples *out,
                     struct error *err)
{
    struct notation n = {.text = text, .rest = text, .arena = arena, .out = out, .err = err};
    *out = (struct notation_samples){NULL, 0, 0};
    for (skip_space(&n); n.rest.len; skip_space(&n))
        if (cut_item(&n) < 0)
            return -1;
    return 0;
}

/* --- the series --- */

size_t notation_series_length(struct slice text)
{
    size_t i = 0;
    while (i < text.len && isspace((unsigned char)text.at[i]))
        i++;
    size_t begin = i;
    while (i < text.len && text.at[i] != '{' && !isspace((unsigned char)text.at[i]))
        i++;
    if (i == text.len || text.at[i] != '{')
        return i > begin ? i : 0;
    char quote = 0;
    for (i++; i < text.len; i++) {
        char c = text.at[i];
        if (quote && quote != '`' && c == '\\')
            i++;
        else if (quote)
            quote = c == quote ? 0 : quote;
        else if (c == '}')
            return i + 1;
        else if (c == '"' || c == '\'' || c == '`')
            quote = c;
    }
    return text.len;
}

/* The equalities of a selector as labels; an empty value is no label. */
static int take_matchers(const struct plan *plan, struct label *at, size_t *used, struct error *err)
{
    for (size_t i = 0; i < plan->selector.matcher_count; i++) {
        const struct matcher *m = &plan->selector.matchers[i];
        if (m->type != MATCH_EQUAL)
            return lex_fail(m->name, 0, err, "a series has labels with =, not with %s",
                            matcher_operator(m->type));
        if (m->value.len)
            at[(*used)++] = (struct label){m->name, m->value};
    }
    labels_sort(at, *used);
    for (size_t i = 1; i < *used; i++)
        if (slice_equal(at[i - 1].name, at[i].name))
            return lex_fail(at[i].name, 0, err, "label \"" SLICE_FMT "\" is there twice",
                            SLICE_ARG(slice_head(at[i].name, 80)));
    return 0;
}

int notation_labels(struct slice text, struct arena *arena, struct labels *out, struct error *err)
{
    struct slice bare = slice_trim(text);
    struct plan *plan;
    *out = (struct labels){NULL, 0};
    if (!bare.len || (*bare.at == '{' && slice_equal_string(slice_trim(slice_skip(bare, 1)), "}")))
        return 0;
    if (parse_selector(text, arena, &plan, err) < 0)
        return -1;
    size_t used = 0;
    struct label *at = arena_zeroed(arena, plan->selector.matcher_count, sizeof *at);
    int status = at ? take_matchers(plan, at, &used, err)
                    : lex_fail(text, 0, err, "the series is too large");
    plan_release(plan);
    *out = (struct labels){at, used};
    return status;
}

/* --- printing --- */

static void print_key(const char *key, double value, struct buffer *out)
{
    if (value == 0)
        return;
    buffer_append_format(out, "%s%s:", out->len > 2 ? " " : "", key);
    number_print(value, NUMBER_TEXT, out);
}

static void print_side(const char *prefix, const struct histogram_side *side, struct buffer *out)
{
    size_t first = 0, end = side->count;
    while (first < end && side->at[first].count == 0)
        first++;
    while (end > first && side->at[end - 1].count == 0)
        end--;
    if (first == end)
        return;
    if (side->at[first].index)
        buffer_append_format(out, "%s%soffset:%d", out->len > 2 ? " " : "", prefix,
                             (int)side->at[first].index);
    buffer_append_format(out, "%s%sbuckets:[", out->len > 2 ? " " : "", prefix);
    for (size_t i = first; i < end && !out->overflow; i++) {
        for (int32_t gap = i > first ? side->at[i - 1].index + 1 : side->at[i].index;
             gap < side->at[i].index && !out->overflow; gap++)
            buffer_append_string(out, "0 ");
        number_print(side->at[i].count, NUMBER_TEXT, out);
        buffer_append_char(out, i + 1 < end ? ' ' : ']');
    }
}

void notation_print_histogram(const struct histogram *h, struct buffer *out)
{
    struct buffer text;
    buffer_init(&text, out->limit);
    buffer_append_string(&text, "{{");
    print_key("schema", h->schema, &text);
    print_key("count", h->count, &text);
    print_key("sum", h->sum, &text);
    print_key("z_bucket", h->zero_count, &text);
    print_key("z_bucket_w", h->zero_threshold, &text);
    print_side("", &h->positive, &text);
    print_side("n_", &h->negative, &text);
    buffer_append_string(&text, "}}");
    buffer_append_slice(out, buffer_slice(&text));
    out->overflow |= text.overflow;
    buffer_release(&text);
}
