/* promql_files: runs tests/promql, *.test: series loaded, expressions, and what they must give. The
 * format is described in docs/TESTING.md; tests/e2e/test_promql_files.py asks Prometheus the same.
 *
 *   load 1m
 *     up{job="a"} 1x10                          indented lines belong to the statement above
 *   eval instant at 5m sum by (job) (up)
 *     {job="a"} 1
 *
 * A program with one test a file; each case that fails is told with file:line, what was expected and
 * what was found. A store serves a file until `clear`.
 */
#include <glob.h>

#include "query/notation.h"
#include "storage/base/yaml.h"
#include "tests/unit/promql_fixture.h"

#define FILES    "tests/promql/*.test"
#define CASE_MAX ((size_t)256 << 20)
/* Relative: sums may be added in another order than by hand. */
#define TOLERANCE 1e-12

/* What stands below an `eval`. */
struct wanted {
    struct wanted_series {
        struct labels labels;
        struct notation_samples samples;
    } * series;
    size_t count;
    enum value_type type; /* VALUE_VECTOR unless a bare number or string stands there */
    struct slice string;
    double number;
    bool fails, warns, informs, ordered;
    struct slice failure, warning, info; /* a part of the text */
};

struct reader {
    const char *path;
    struct slice rest; /* of the file */
    int line;
    struct fixture *fixture;
    struct arena arena; /* of the statement */
    struct buffer failures;
    size_t cases, failed;
};

static size_t all_cases;

/* --- lines --- */

/* The next line without its comment; false at the end. An indented line only when `indented`. */
static bool next_line(struct reader *r, bool indented, struct slice *out)
{
    while (r->rest.len) {
        struct slice rest = r->rest, line;
        slice_cut(&rest, '\n', &line);
        bool blank = !slice_trim(line).len || *slice_trim(line).at == '#';
        if (!blank && indented != (*line.at == ' '))
            return false;
        r->rest = rest;
        r->line++;
        if (blank)
            continue;
        *out = slice_trim(line);
        return true;
    }
    return false;
}

static void broken(const struct reader *r, const char *why)
{
    fail_msg("%s:%d: %s", r->path, r->line, why);
}

static bool cut_word(struct slice *rest, const char *word)
{
    struct slice w = slice_of_string(word);
    if (!slice_starts_with(*rest, w) || (rest->len > w.len && rest->at[w.len] != ' '))
        return false;
    *rest = slice_trim(slice_skip(*rest, w.len));
    return true;
}

/* A duration since 1970, with a sign or not, ms. */
static int64_t cut_time(struct reader *r, struct slice *rest)
{
    struct slice word;
    int64_t ms = 0;
    slice_cut(rest, ' ', &word);
    *rest = slice_trim(*rest);
    bool negative = word.len && *word.at == '-';
    if (!slice_to_duration_ms(slice_skip(word, negative), &ms))
        broken(r, "expected a time such as 0, 90s or 1h30m");
    return negative ? -ms : ms;
}

/* --- load --- */

/* What never falls is a counter. */
static enum series_kind kind_of(const struct notation_samples *samples)
{
    double last = -INFINITY;
    enum series_kind kind = SERIES_COUNTER;
    for (size_t i = 0; i < samples->count; i++) {
        const struct notation_sample *sample = &samples->at[i];
        if (sample->kind == NOTATION_HISTOGRAM)
            return SERIES_HISTOGRAM;
        if (sample->kind == NOTATION_NUMBER && sample->value < last)
            kind = SERIES_GAUGE;
        if (sample->kind == NOTATION_NUMBER)
            last = sample->value;
    }
    return kind;
}

static void load_series(struct reader *r, int64_t step_ms, struct slice line)
{
    struct error err;
    struct labels labels;
    struct notation_samples samples;
    uint32_t id;
    size_t length = notation_series_length(line);
    if (notation_labels(slice_head(line, length), &r->arena, &labels, &err) != 0 ||
        notation_samples(slice_skip(line, length), &r->arena, &samples, &err) != 0)
        broken(r, err.text);
    if (store_batch_intern(r->fixture->batch, labels, kind_of(&samples), &id, &err) != 0)
        broken(r, err.text);
    for (size_t i = 0; i < samples.count; i++) {
        const struct notation_sample *s = &samples.at[i];
        if (s->kind == NOTATION_HISTOGRAM)
            store_batch_histogram(r->fixture->batch, id, (int64_t)i * step_ms, s->histogram);
        else if (s->kind == NOTATION_NUMBER)
            store_batch_value(r->fixture->batch, id, (int64_t)i * step_ms, s->value);
    }
}

static void read_load(struct reader *r, struct slice rest)
{
    int64_t step_ms = cut_time(r, &rest);
    struct slice line;
    while (next_line(r, true, &line))
        load_series(r, step_ms, line);
    fixture_commit(r->fixture);
}

/* --- what is expected --- */

static struct slice unquote(struct reader *r, struct slice quoted)
{
    if (quoted.len && (quoted.len < 2 || *quoted.at != '"' || quoted.at[quoted.len - 1] != '"'))
        broken(r, "expected a text in double quotes");
    return quoted.len ? slice_make(quoted.at + 1, quoted.len - 2) : quoted;
}

static void read_expect(struct reader *r, struct slice rest, struct wanted *w)
{
    if (cut_word(&rest, "fail")) {
        w->fails = true;
        w->failure = unquote(r, rest);
    } else if (cut_word(&rest, "warn")) {
        w->warns = true;
        w->warning = unquote(r, rest);
    } else if (cut_word(&rest, "info")) {
        w->informs = true;
        w->info = unquote(r, rest);
    } else if (cut_word(&rest, "ordered")) {
        w->ordered = true;
    } else {
        broken(r, "expected fail, warn, info or ordered");
    }
}

static void read_series(struct reader *r, struct slice line, struct wanted *w)
{
    struct error err;
    struct wanted_series *s = &w->series[w->count++];
    size_t length = notation_series_length(line);
    if (notation_labels(slice_head(line, length), &r->arena, &s->labels, &err) != 0 ||
        notation_samples(slice_skip(line, length), &r->arena, &s->samples, &err) != 0)
        broken(r, err.text);
}

static void read_wanted(struct reader *r, struct wanted *w)
{
    struct slice line;
    struct notation_samples scalar;
    *w = (struct wanted){.type = VALUE_VECTOR};
    w->series = arena_alloc(&r->arena, 1000 * sizeof *w->series);
    while (next_line(r, true, &line)) {
        if (cut_word(&line, "expect")) {
            read_expect(r, line, w);
        } else if (cut_word(&line, "unlike")) {
            continue; /* for the test that asks Prometheus */
        } else if (*line.at == '"') {
            w->type = VALUE_STRING;
            w->string = unquote(r, line);
        } else if (strchr("+-.0123456789NI", *line.at) &&
                   notation_samples(line, &r->arena, &scalar, NULL) == 0) {
            w->type = VALUE_SCALAR;
            read_series(r, arena_format(&r->arena, "{} " SLICE_FMT, SLICE_ARG(line)), w);
        } else {
            read_series(r, line, w);
        }
    }
}

/* --- comparing --- */

static bool same_number(double a, double b)
{
    double larger = fmax(fabs(a), fabs(b));
    return a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= TOLERANCE * larger;
}

static bool same_side(const struct histogram_side *a, const struct histogram_side *b)
{
    size_t i = 0, j = 0;
    for (;; i++, j++) {
        while (i < a->count && a->at[i].count == 0)
            i++;
        while (j < b->count && b->at[j].count == 0)
            j++;
        if (i == a->count || j == b->count)
            return i == a->count && j == b->count;
        if (a->at[i].index != b->at[j].index || !same_number(a->at[i].count, b->at[j].count))
            return false;
    }
}

static bool same_histogram(const struct histogram *a, const struct histogram *b)
{
    return a->schema == b->schema && same_number(a->count, b->count) &&
           same_number(a->sum, b->sum) && same_number(a->zero_count, b->zero_count) &&
           a->zero_threshold == b->zero_threshold && same_side(&a->positive, &b->positive) &&
           same_side(&a->negative, &b->negative);
}

static bool same_sample(const struct notation_sample *a, const struct notation_sample *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == NOTATION_HISTOGRAM)
        return same_histogram(a->histogram, b->histogram);
    return a->kind == NOTATION_GAP || same_number(a->value, b->value);
}

/* The answer in the shape of what is expected: a sample a step. Series of the same labels (numbers,
 * histograms) become one. */
struct found {
    struct wanted_series *at;
    size_t count;
};

static struct wanted_series *found_series(struct reader *r, struct found *found,
                                          struct labels labels, size_t steps)
{
    for (size_t i = 0; i < found->count; i++)
        if (labels_equal(found->at[i].labels, labels))
            return &found->at[i];
    struct wanted_series *s = &found->at[found->count++];
    s->labels = labels;
    s->samples.count = steps;
    s->samples.at = arena_zeroed(&r->arena, steps, sizeof *s->samples.at);
    assert_non_null(s->samples.at);
    return s;
}

static struct found read_found(struct reader *r, const struct promql_request *request,
                               const struct promql_result *result)
{
    int64_t step_ms = request->step_ms ? request->step_ms : 1;
    size_t steps = (size_t)((request->end_ms - request->start_ms) / step_ms) + 1;
    struct found found = {arena_zeroed(&r->arena, result->count + 1, sizeof *found.at), 0};
    for (size_t i = 0; i < result->count; i++) {
        const struct promql_series *series = &result->series[i];
        struct wanted_series *s = found_series(r, &found, series->labels, steps);
        for (size_t k = 0; k < series->count; k++)
            s->samples.at[(size_t)((series->times[k] - request->start_ms) / step_ms)] =
                (struct notation_sample){
                    .kind = series->values ? NOTATION_NUMBER : NOTATION_HISTOGRAM,
                    .value = series->values ? series->values[k] : 0,
                    .histogram = series->values ? NULL : series->histograms[k],
                };
    }
    return found;
}

static bool same_series(const struct wanted_series *a, const struct wanted_series *b)
{
    if (!labels_equal(a->labels, b->labels) || a->samples.count != b->samples.count)
        return false;
    for (size_t i = 0; i < a->samples.count; i++)
        if (!same_sample(&a->samples.at[i], &b->samples.at[i]))
            return false;
    return true;
}

static bool is_found(const struct wanted *w, const struct found *found)
{
    if (w->count != found->count)
        return false;
    for (size_t i = 0; i < w->count; i++) {
        size_t at = w->ordered ? i : 0;
        while (at < found->count && !labels_equal(found->at[at].labels, w->series[i].labels))
            at += w->ordered ? found->count : 1;
        if (at >= found->count || !same_series(&w->series[i], &found->at[at]))
            return false;
    }
    return true;
}

/* --- telling --- */

static void print_sample(const struct notation_sample *s, struct buffer *out)
{
    buffer_append_char(out, ' ');
    if (s->kind == NOTATION_GAP)
        buffer_append_char(out, '_');
    else if (s->kind == NOTATION_HISTOGRAM)
        notation_print_histogram(s->histogram, out);
    else
        number_print(s->value, NUMBER_TEXT, out);
}

static void print_list(const char *title, const struct wanted_series *at, size_t count,
                       struct buffer *out)
{
    for (size_t i = 0; i < count; i++) {
        buffer_append_format(out, "    %s ", title);
        labels_print(at[i].labels, out);
        for (size_t k = 0; k < at[i].samples.count; k++)
            print_sample(&at[i].samples.at[k], out);
        buffer_append_char(out, '\n');
    }
    if (!count)
        buffer_append_format(out, "    %s nothing\n", title);
}

static struct buffer *complain(struct reader *r, int line, struct slice expr)
{
    r->failed++;
    buffer_append_format(&r->failures, "%s:%d: " SLICE_FMT "\n", r->path, line, SLICE_ARG(expr));
    return &r->failures;
}

/* --- eval --- */

static bool is_told(bool wanted, struct slice part, const struct slice *texts, size_t count)
{
    if (wanted != (count > 0))
        return false;
    bool told = !wanted || !part.len;
    for (size_t i = 0; i < count; i++)
        told |= slice_find(texts[i], part) < texts[i].len;
    return told;
}

static void check_notes(struct reader *r, int line, struct slice expr, const struct wanted *w,
                        const struct promql_result *result)
{
    if (is_told(w->warns, w->warning, result->warnings, result->warning_count) &&
        is_told(w->informs, w->info, result->infos, result->info_count))
        return;
    struct buffer *out = complain(r, line, expr);
    buffer_append_string(out, "    other warnings or infos than expected:\n");
    for (size_t i = 0; i < result->warning_count; i++)
        buffer_append_format(out, "    warn " SLICE_FMT "\n", SLICE_ARG(result->warnings[i]));
    for (size_t i = 0; i < result->info_count; i++)
        buffer_append_format(out, "    info " SLICE_FMT "\n", SLICE_ARG(result->infos[i]));
}

static void check_result(struct reader *r, int line, const struct wanted *w,
                         const struct promql_request *request, const struct promql_result *result)
{
    struct slice expr =
        arena_format(&r->arena, "at or from %lld s", (long long)(request->start_ms / 1000));
    enum value_type type = request->step_ms ? VALUE_MATRIX : w->type;
    struct found found = read_found(r, request, result);
    if (result->type == type && is_found(w, &found) && slice_equal(w->string, result->string))
        return;
    struct buffer *out = complain(r, line, expr);
    if (result->type != type)
        buffer_append_format(out, "    expected a %s, found a %s\n", value_type_name(type),
                             value_type_name(result->type));
    if (w->string.len || result->string.len)
        buffer_append_format(out, "    expected \"" SLICE_FMT "\", found \"" SLICE_FMT "\"\n",
                             SLICE_ARG(w->string), SLICE_ARG(result->string));
    print_list("expected", w->series, w->count, out);
    print_list("found   ", found.at, found.count, out);
}

static void check_failure(struct reader *r, int line, struct slice expr, const struct wanted *w,
                          const struct error *err)
{
    struct slice text = slice_of_string(err->text);
    if (!w->fails)
        buffer_append_format(complain(r, line, expr), "    failed: %s\n", err->text);
    else if (w->failure.len && slice_find(text, w->failure) == text.len)
        buffer_append_format(complain(r, line, expr), "    failed otherwise: %s\n", err->text);
}

static void run_case(struct reader *r, struct promql_request *request, struct slice expr)
{
    struct error err;
    struct wanted w;
    struct arena work;
    struct plan *plan = NULL;
    struct promql_result result;
    int line = r->line;
    read_wanted(r, &w);
    arena_init(&work, CASE_MAX);
    int status = parse_promql(expr, &work, &plan, &err);
    request->plan = plan;
    if (status == 0)
        status = promql_run(r->fixture->store, request, &work, &result, &err);
    if (status != 0) {
        check_failure(r, line, expr, &w, &err);
    } else if (w.fails) {
        buffer_append_string(complain(r, line, expr), "    did not fail\n");
    } else {
        check_result(r, line, &w, request, &result);
        check_notes(r, line, expr, &w, &result);
    }
    plan_release(plan);
    arena_release(&work);
    r->cases++;
}

static void read_eval(struct reader *r, struct slice rest)
{
    struct promql_request request = {0};
    if (cut_word(&rest, "instant") && cut_word(&rest, "at")) {
        request.start_ms = request.end_ms = cut_time(r, &rest);
    } else {
        bool range = cut_word(&rest, "range") && cut_word(&rest, "from");
        if (range)
            request.start_ms = cut_time(r, &rest);
        range = range && cut_word(&rest, "to");
        if (range)
            request.end_ms = cut_time(r, &rest);
        if (!range || !cut_word(&rest, "step"))
            broken(r, "expected: eval instant at T EXPR, or eval range from T to T step T EXPR");
        request.step_ms = cut_time(r, &rest);
    }
    run_case(r, &request, rest);
}

/* --- files --- */

static void read_statement(struct reader *r, struct slice line)
{
    arena_reset(&r->arena);
    if (cut_word(&line, "load")) {
        read_load(r, line);
    } else if (cut_word(&line, "eval")) {
        read_eval(r, line);
    } else if (cut_word(&line, "settle")) {
        struct error err;
        if (store_compact(r->fixture->store, &err) != 0)
            broken(r, err.text);
    } else if (cut_word(&line, "clear")) {
        fixture_free(r->fixture);
        r->fixture = fixture_new();
    } else {
        broken(r, "expected load, eval, settle or clear at the beginning of a line");
    }
}

static void run_file(void **state)
{
    struct reader r = {.path = *state, .fixture = fixture_new()};
    struct arena text;
    struct error err;
    struct slice line;
    arena_init(&text, 16 << 20);
    arena_init(&r.arena, CASE_MAX);
    buffer_init(&r.failures, 1 << 20);
    if (file_read(r.path, 8 << 20, &text, &r.rest, &err) != 0)
        fail_msg("%s", err.text);
    while (next_line(&r, false, &line))
        read_statement(&r, line);
    if (r.rest.len)
        broken(&r, "an indented line belongs to no statement");
    all_cases += r.cases;
    if (r.failed)
        fail_msg("%zu of %zu cases fail\n" SLICE_FMT, r.failed, r.cases,
                 SLICE_ARG(buffer_slice(&r.failures)));
    assert_true(r.cases > 0);
    buffer_release(&r.failures);
    arena_release(&r.arena);
    arena_release(&text);
    fixture_free(r.fixture);
}

int main(int argc, char **argv)
{
    glob_t found = {0};
    const char *pattern = argc > 1 ? argv[1] : FILES;
    if (glob(pattern, 0, NULL, &found) != 0) {
        fprintf(stderr, "no file matches %s\n", pattern);
        return 1;
    }
    struct CMUnitTest *tests = calloc(found.gl_pathc, sizeof *tests);
    for (size_t i = 0; i < found.gl_pathc; i++)
        tests[i] = (struct CMUnitTest){
            .name = found.gl_pathv[i], .test_func = run_file, .initial_state = found.gl_pathv[i]};
    int failed = _cmocka_run_group_tests("promql files", tests, found.gl_pathc, NULL, NULL);
    printf("# %zu cases in %zu files\n", all_cases, found.gl_pathc);
    free(tests);
    globfree(&found);
    return failed;
}
