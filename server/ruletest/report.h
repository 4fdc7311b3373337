/* report: expected and found, worded as promtool does. Pure; appends to a buffer. */
#ifndef SERVER_RULETEST_REPORT_H
#define SERVER_RULETEST_REPORT_H

#include "query/promql.h"
#include "storage/base/buffer.h"

struct described_alert {
    struct labels labels, annotations;
};

struct alert_list {
    struct described_alert *at;
    size_t count;
};

struct described_sample {
    struct labels labels;
    double value;
    const struct histogram *histogram; /* NULL: it is a number */
};

struct sample_list {
    struct described_sample *at;
    size_t count;
};

/* By labels; equal lists then hold equals at equal places. */
void alert_list_sort(struct alert_list *list);
void sample_list_sort(struct sample_list *list);
bool alert_list_equal(const struct alert_list *a, const struct alert_list *b);
/* NaN equals NaN; fuzzy: neighbouring numbers are equal. */
bool sample_list_equal(const struct sample_list *a, const struct sample_list *b, bool fuzzy);

/* A list over several lines, all but the first indented. */
void report_alerts(const struct alert_list *list, struct buffer *out);
/* "{a="b"} 1E+00, ..." or "nil". */
void report_samples(const struct sample_list *list, struct buffer *out);

#endif
