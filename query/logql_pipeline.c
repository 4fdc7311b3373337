/* logql_pipeline: one function a stage; the parsers are in query/logql_extract.c.
 *
 *   record --> |= ... --> | json --> | status >= 500 --> | line_format ... --> row
 *              line        labels+     labels              line
 *
 * What cannot be compared sets __error__ and, as in Loki, lets the row pass, so that a query can
 * show it or drop it (`| __error__=""`).
 */
#include "query/logql_pipeline.h"

#include <ctype.h>

#include "query/logql_extract.h"

/* --- line filters --- */

static bool needle_matches(const struct logql_needle *needle, struct slice line)
{
    if (needle->regex)
        return regex_match(needle->regex, line);
    return needle->text.len == 0 || slice_find(line, needle->text) < line.len;
}

static bool run_line_filter(const struct logql_stage *stage, struct logql_row *row)
{
    bool any = false;
    for (size_t i = 0; i < stage->needle_count && !any; i++)
        any = needle_matches(&stage->needles[i], row->line);
    return any != stage->negative;
}

/* --- label filters --- */

static bool compare_numbers(enum logql_compare compare, double a, double b)
{
    switch (compare) {
    case COMPARE_EQ:
        return a == b;
    case COMPARE_NE:
        return a != b;
    case COMPARE_GT:
        return a > b;
    case COMPARE_GE:
        return a >= b;
    case COMPARE_LT:
        return a < b;
    case COMPARE_LE:
        return a <= b;
    }
    return false;
}

static bool read_number(enum logql_condition_kind kind, struct slice text, double *out)
{
    if (kind == CONDITION_DURATION)
        return logql_duration(text, out) || slice_to_double(text, out);
    if (kind == CONDITION_BYTES)
        return logql_bytes(text, out) || slice_to_double(text, out);
    return slice_to_double(text, out);
}

static bool run_leaf(const struct logql_condition *leaf, struct logql_row *row)
{
    struct slice value = logql_row_get(row, leaf->matcher.name);
    double number;
    if (leaf->kind == CONDITION_STRING)
        return matcher_accepts(&leaf->matcher, value);
    if (logql_row_find(row, LOGQL_ERROR_LABEL))
        return true; /* only strings can sort out what failed before */
    if (value.len == 0)
        return false;
    if (read_number(leaf->kind, value, &number))
        return compare_numbers(leaf->compare, number, leaf->value);
    logql_row_fail(row, SLICE("LabelFilterErr"));
    return true;
}

static bool run_condition(const struct logql_condition *condition, struct logql_row *row)
{
    if (condition->kind == CONDITION_AND)
        return run_condition(condition->left, row) && run_condition(condition->right, row);
    if (condition->kind == CONDITION_OR)
        return run_condition(condition->left, row) || run_condition(condition->right, row);
    return run_leaf(condition, row);
}

static bool run_label_filter(const struct logql_stage *stage, struct logql_row *row)
{
    return run_condition(stage->condition, row);
}

/* --- templates --- */

static void change_case(char *at, size_t len, bool upper)
{
    for (size_t i = 0; i < len; i++)
        at[i] = (char)(upper ? toupper((unsigned char)at[i]) : tolower((unsigned char)at[i]));
}

static void replace_all(struct slice text, struct slice from, struct slice to, struct buffer *out)
{
    while (from.len && text.len) {
        size_t at = slice_find(text, from);
        buffer_append_slice(out, slice_head(text, at));
        if (at == text.len)
            return;
        buffer_append_slice(out, to);
        text = slice_skip(text, at + from.len);
    }
    buffer_append_slice(out, text);
}

/* Changes what stands in *out from `start` on. */
static void apply(struct logql_row *row, const struct logql_piece *piece, size_t start,
                  struct buffer *out)
{
    struct slice value = SLICE("");
    if (out->overflow)
        return;
    if (out->len > start)
        value = slice_make(out->at + start, out->len - start);
    if (piece->function == TEMPLATE_LOWER || piece->function == TEMPLATE_UPPER) {
        if (value.len)
            change_case(out->at + start, value.len, piece->function == TEMPLATE_UPPER);
        return;
    }
    struct slice old = arena_copy(&row->arena, value);
    out->len = start;
    if (piece->function == TEMPLATE_REPLACE)
        replace_all(old, piece->text, piece->to, out);
    else if (piece->function == TEMPLATE_DEFAULT)
        buffer_append_slice(out, old.len ? old : piece->text);
    else if (piece->function == TEMPLATE_TRUNC)
        buffer_append_slice(out, slice_head(old, piece->number));
    else
        buffer_append_slice(out, slice_trim(old));
}

static struct slice expand(struct logql_row *row, const struct logql_piece *pieces, size_t count)
{
    struct buffer out;
    size_t start = 0;
    buffer_init(&out, LOGQL_LINE_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct logql_piece *piece = &pieces[i];
        if (piece->function != TEMPLATE_TEXT && piece->function != TEMPLATE_FIELD) {
            apply(row, piece, start, &out);
            continue;
        }
        start = out.len;
        if (piece->function == TEMPLATE_TEXT)
            buffer_append_slice(&out, piece->text);
        else
            buffer_append_slice(&out,
                                piece->text.len ? logql_row_get(row, piece->text) : row->line);
    }
    struct slice copy = arena_copy(&row->arena, buffer_slice(&out));
    buffer_release(&out);
    return copy;
}

static bool run_line_format(const struct logql_stage *stage, struct logql_row *row)
{
    row->line = expand(row, stage->pieces, stage->piece_count);
    return true;
}

static bool run_label_format(const struct logql_stage *stage, struct logql_row *row)
{
    for (size_t i = 0; i < stage->param_count; i++) {
        const struct logql_param *param = &stage->params[i];
        if (param->pieces) {
            logql_row_set(row, param->name, expand(row, param->pieces, param->piece_count));
            continue;
        }
        struct slice value = logql_row_get(row, param->text);
        if (value.len && !slice_equal(param->name, param->text)) {
            /* A copy: the value may lie in the JSON parser, and a stream's label outlives it. */
            logql_row_set(row, param->name, arena_copy(&row->arena, value));
            logql_row_set(row, param->text, SLICE(""));
        }
    }
    return true;
}

/* --- keep, drop, decolorize, unwrap --- */

static bool is_named(const struct logql_stage *stage, const struct label *label)
{
    for (size_t i = 0; i < stage->param_count; i++)
        if (slice_equal(stage->params[i].name, label->name) &&
            (!stage->params[i].matcher || matcher_accepts(stage->params[i].matcher, label->value)))
            return true;
    return false;
}

static bool run_keep(const struct logql_stage *stage, struct logql_row *row)
{
    bool keep = stage->kind == STAGE_KEEP;
    for (size_t i = row->count; i-- > 0;) {
        bool special = keep && slice_starts_with(row->labels[i].name, SLICE("__error"));
        if (!special && is_named(stage, &row->labels[i]) != keep)
            logql_row_remove(row, i);
    }
    return true;
}

/* Without ANSI sequences: ESC [ parameters letter. */
static bool run_decolorize(const struct logql_stage *stage, struct logql_row *row)
{
    struct slice line = row->line;
    (void)stage;
    if (!line.len || !memchr(line.at, 0x1b, line.len))
        return true;
    char *at = arena_alloc(&row->arena, line.len);
    size_t len = 0;
    for (size_t i = 0; at && i < line.len; i++) {
        if (line.at[i] != 0x1b || i + 1 == line.len || line.at[i + 1] != '[') {
            at[len++] = line.at[i];
            continue;
        }
        for (i += 2; i < line.len && !isalpha((unsigned char)line.at[i]);)
            i++;
    }
    row->line = slice_make(at, len);
    return true;
}

static bool run_unwrap(const struct logql_stage *stage, struct logql_row *row)
{
    static const enum logql_condition_kind kinds[] = {
        [UNWRAP_NUMBER] = CONDITION_NUMBER,
        [UNWRAP_DURATION] = CONDITION_DURATION,
        [UNWRAP_BYTES] = CONDITION_BYTES,
    };
    struct slice value = logql_row_get(row, stage->label);
    if (value.len == 0)
        return false; /* a line without the label has no sample */
    if (!read_number(kinds[stage->unwrap], value, &row->value))
        logql_row_fail(row, SLICE("SampleExtractionErr"));
    /* The label has become the value; it would make a series of each number. */
    struct label *label = logql_row_find(row, stage->label);
    if (label)
        logql_row_remove(row, (size_t)(label - row->labels));
    return true;
}

/* --- the pipeline --- */

static bool (*const run_stage[])(const struct logql_stage *stage, struct logql_row *row) = {
    [STAGE_LINE_FILTER] = run_line_filter,
    [STAGE_LABEL_FILTER] = run_label_filter,
    [STAGE_JSON] = logql_run_json,
    [STAGE_LOGFMT] = logql_run_logfmt,
    [STAGE_REGEXP] = logql_run_regexp,
    [STAGE_PATTERN] = logql_run_pattern,
    [STAGE_LINE_FORMAT] = run_line_format,
    [STAGE_LABEL_FORMAT] = run_label_format,
    [STAGE_KEEP] = run_keep,
    [STAGE_DROP] = run_keep,
    [STAGE_DECOLORIZE] = run_decolorize,
    [STAGE_UNWRAP] = run_unwrap,
};

bool logql_pipeline_run(const struct logql_pipeline *pipeline, const struct record *record,
                        struct logql_row *row)
{
    arena_reset(&row->arena);
    row->time_ns = record->time_ns;
    row->line = record->line;
    row->count = row->stream_count = record->stream.count;
    if (record->stream.count)
        memcpy(row->labels, record->stream.at, record->stream.count * sizeof row->labels[0]);
    for (const struct logql_stage *stage = pipeline->stages; stage; stage = stage->next)
        if (!run_stage[stage->kind](stage, row))
            return false;
    return true;
}
