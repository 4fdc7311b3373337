/* report: see the header.
 *
 *           exp:[                                exp: {job="a"} 7E+00
 *               0:                               got: nil
 *                 Labels:{alertname="High"}
 *                 Annotations:{}
 *               ],
 */
#include "server/ruletest/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "query/literal.h"
#include "query/notation.h"
#include "storage/base/number.h"

#define INDENT "            "

/* --- comparing --- */

static int compare_alerts(const void *a, const void *b)
{
    const struct described_alert *x = a, *y = b;
    int order = labels_compare(x->labels, y->labels);
    return order ? order : labels_compare(x->annotations, y->annotations);
}

static int compare_samples(const void *a, const void *b)
{
    return labels_compare(((const struct described_sample *)a)->labels,
                          ((const struct described_sample *)b)->labels);
}

void alert_list_sort(struct alert_list *list)
{
    if (list->count)
        qsort(list->at, list->count, sizeof *list->at, compare_alerts);
}

void sample_list_sort(struct sample_list *list)
{
    if (list->count)
        qsort(list->at, list->count, sizeof *list->at, compare_samples);
}

bool alert_list_equal(const struct alert_list *a, const struct alert_list *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!labels_equal(a->at[i].labels, b->at[i].labels) ||
            !labels_equal(a->at[i].annotations, b->at[i].annotations))
            return false;
    return true;
}

static bool same_number(double a, double b, bool fuzzy)
{
    if (a == b || (isnan(a) && isnan(b)))
        return true;
    return fuzzy && (nextafter(a, INFINITY) == b || nextafter(a, -INFINITY) == b);
}

/* By what they print as: empty buckets do not count. */
static bool same_histogram(const struct histogram *a, const struct histogram *b)
{
    struct buffer x, y;
    buffer_init(&x, 1 << 20);
    buffer_init(&y, 1 << 20);
    notation_print_histogram(a, &x);
    notation_print_histogram(b, &y);
    bool same = !x.overflow && slice_equal(buffer_slice(&x), buffer_slice(&y));
    buffer_release(&y);
    buffer_release(&x);
    return same;
}

bool sample_list_equal(const struct sample_list *a, const struct sample_list *b, bool fuzzy)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        const struct described_sample *x = &a->at[i], *y = &b->at[i];
        if (!labels_equal(x->labels, y->labels) || !x->histogram != !y->histogram)
            return false;
        if (x->histogram ? !same_histogram(x->histogram, y->histogram)
                         : !same_number(x->value, y->value, fuzzy))
            return false;
    }
    return true;
}

/* --- wording --- */

/* {a="b", c="d"}, the name among the labels. */
static void put_labels(struct labels labels, struct buffer *out)
{
    buffer_append_char(out, '{');
    for (size_t i = 0; i < labels.count; i++) {
        buffer_append_format(out, "%s" SLICE_FMT "=", i ? ", " : "", SLICE_ARG(labels.at[i].name));
        literal_print_string(labels.at[i].value, out);
    }
    buffer_append_char(out, '}');
}

/* Go's 'E' form with the fewest digits: 1.5E+00. */
static void put_number(double value, struct buffer *out)
{
    char text[40];
    if (!isfinite(value)) {
        number_print(value, NUMBER_TEXT, out);
        return;
    }
    for (int precision = 0; precision < 18; precision++) {
        snprintf(text, sizeof text, "%.*E", precision, value);
        if (strtod(text, NULL) == value)
            break;
    }
    buffer_append_string(out, text);
}

void report_samples(const struct sample_list *list, struct buffer *out)
{
    if (!list->count)
        buffer_append_string(out, "nil");
    for (size_t i = 0; i < list->count; i++) {
        buffer_append_string(out, i ? ", " : "");
        put_labels(list->at[i].labels, out);
        buffer_append_char(out, ' ');
        if (list->at[i].histogram)
            notation_print_histogram(list->at[i].histogram, out);
        else
            put_number(list->at[i].value, out);
    }
}

void report_alerts(const struct alert_list *list, struct buffer *out)
{
    if (!list->count) {
        buffer_append_string(out, "[]");
        return;
    }
    buffer_append_char(out, '[');
    for (size_t i = 0; i < list->count; i++) {
        buffer_append_format(out, "%s\n" INDENT "%zu:\n" INDENT "  Labels:", i ? "," : "", i);
        put_labels(list->at[i].labels, out);
        buffer_append_string(out, "\n" INDENT "  Annotations:");
        put_labels(list->at[i].annotations, out);
    }
    buffer_append_string(out, "\n" INDENT "]");
}
