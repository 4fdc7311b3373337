/* logql_parse_stage: the stages of a pipeline, one rule a function.
 *
 *   |= "a" or "b"     != `x`     |~ "re"     !~ "re"           line filters
 *   | json [name[="path"], ...]     | logfmt [name[="key"], ...]
 *   | regexp "(?P<name>..)"         | pattern "<ip> - <_> <method>"
 *   | label = "v" and (other > 10ms or size <= 5KB)            label filters; a comma is `and`
 *   | line_format "{{.a}}"          | label_format a=b, c="{{.d}}"
 *   | keep a, b="v"     | drop a    | decolorize     | unwrap label | unwrap duration(label)
 */
#include <string.h>

#include "query/logql_parser.h"

#define NEEDLES_MAX 32
#define PARAMS_MAX  64

static int add_stage(struct logql_parser *parser, struct logql_stage ***tail,
                     enum logql_stage_kind kind, struct logql_stage **out)
{
    struct logql_stage *stage = *out = arena_zeroed(parser->arena, 1, sizeof *stage);
    if (!stage)
        return logql_too_large(parser);
    stage->kind = kind;
    **tail = stage;
    *tail = &stage->next;
    return 0;
}

/* --- line filters --- */

static bool is_line_filter(const struct logql_parser *parser)
{
    return logql_is_sign(parser, "|=") || logql_is_sign(parser, "!=") ||
           logql_is_sign(parser, "|~") || logql_is_sign(parser, "!~");
}

static int parse_line_filter(struct logql_parser *parser, struct logql_stage ***tail)
{
    struct logql_stage *stage;
    struct logql_needle *needles = arena_zeroed(parser->arena, NEEDLES_MAX, sizeof *needles);
    bool regex = parser->token.text.at[1] == '~';
    bool negative = parser->token.text.at[0] == '!';
    if (!needles)
        return logql_too_large(parser);
    if (add_stage(parser, tail, STAGE_LINE_FILTER, &stage) || logql_advance(parser))
        return -1;
    stage->needles = needles;
    stage->negative = negative;
    for (bool more = true; more;) {
        struct logql_token at = parser->token;
        struct logql_needle *needle = &needles[stage->needle_count];
        if (stage->needle_count++ == NEEDLES_MAX)
            return logql_fail(parser, "more than %d alternatives", NEEDLES_MAX);
        if (logql_take_string(parser, &needle->text))
            return -1;
        struct logql_token next = parser->token;
        parser->token = at;
        if (regex && logql_compile(parser, needle->text, 0, &needle->regex))
            return -1;
        parser->token = next;
        more = logql_is_word(parser, "or");
        if (more && logql_advance(parser))
            return -1;
    }
    return 0;
}

/* --- label filters --- */

static const struct {
    const char *sign;
    enum logql_compare compare;
} compares[] = {
    {"=", COMPARE_EQ},  {"==", COMPARE_EQ}, {"!=", COMPARE_NE}, {">", COMPARE_GT},
    {">=", COMPARE_GE}, {"<", COMPARE_LT},  {"<=", COMPARE_LE},
};

static int parse_filter_value(struct logql_parser *parser, struct logql_condition *leaf)
{
    bool negative = logql_is_sign(parser, "-");
    if (negative && logql_advance(parser))
        return -1;
    struct slice text = parser->token.text;
    if (parser->token.kind != LOGQL_TOKEN_NUMBER)
        return logql_unexpected(parser, "a string, a number, a duration or a size");
    if (slice_to_double(text, &leaf->value))
        leaf->kind = CONDITION_NUMBER;
    else if (logql_duration(text, &leaf->value))
        leaf->kind = CONDITION_DURATION;
    else if (logql_bytes(text, &leaf->value))
        leaf->kind = CONDITION_BYTES;
    else
        return logql_fail(parser, "`" SLICE_FMT "` is no number, duration (10ms) or size (5KB)",
                          SLICE_ARG(slice_head(text, 40)));
    if (negative)
        leaf->value = -leaf->value;
    return logql_advance(parser);
}

/* name op value, the name already taken. */
static int parse_leaf(struct logql_parser *parser, struct slice name, struct logql_condition **out)
{
    struct logql_condition *leaf = *out = arena_zeroed(parser->arena, 1, sizeof *leaf);
    struct slice sign = parser->token.text;
    if (!leaf)
        return logql_too_large(parser);
    leaf->kind = CONDITION_STRING;
    leaf->matcher.name = name;
    bool known = logql_is_sign(parser, "=~") || logql_is_sign(parser, "!~");
    for (size_t i = 0; i < sizeof compares / sizeof compares[0] && !known; i++)
        if (logql_is_sign(parser, compares[i].sign)) {
            leaf->compare = compares[i].compare;
            known = true;
        }
    if (!known)
        return logql_unexpected(parser, "one of = != =~ !~ == > >= < <=");
    if (logql_advance(parser))
        return -1;
    if (parser->token.kind != LOGQL_TOKEN_STRING)
        return parse_filter_value(parser, leaf);
    struct logql_token at = parser->token;
    if (logql_take_string(parser, &leaf->matcher.value))
        return -1;
    struct logql_token next = parser->token;
    parser->token = at;
    bool negative = sign.at[0] == '!';
    if (sign.at[sign.len - 1] == '~') {
        leaf->matcher.type = negative ? MATCH_NOT_REGEX : MATCH_REGEX;
        if (logql_compile(parser, leaf->matcher.value, REGEX_ANCHORED, &leaf->matcher.regex))
            return -1;
    } else if (sign.at[0] == '=' || negative) {
        leaf->matcher.type = negative ? MATCH_NOT_EQUAL : MATCH_EQUAL;
    } else {
        return logql_fail(parser, "strings can only be compared with = != =~ !~");
    }
    parser->token = next;
    return 0;
}

static int parse_or(struct logql_parser *parser, struct logql_condition **out);

static int parse_unit(struct logql_parser *parser, struct logql_condition **out)
{
    struct slice name = SLICE("");
    if (!logql_is_sign(parser, "("))
        return logql_take_word(parser, &name) || parse_leaf(parser, name, out) ? -1 : 0;
    if (++parser->depth > LOGQL_DEPTH_MAX)
        return logql_fail(parser, "more than %d levels of nesting", LOGQL_DEPTH_MAX);
    if (logql_advance(parser) || parse_or(parser, out))
        return -1;
    parser->depth--;
    return logql_expect(parser, ")");
}

static int join(struct logql_parser *parser, enum logql_condition_kind kind,
                struct logql_condition **left, struct logql_condition *right)
{
    struct logql_condition *both = arena_zeroed(parser->arena, 1, sizeof *both);
    if (!both)
        return logql_too_large(parser);
    if (logql_count_operator(parser))
        return -1;
    both->kind = kind;
    both->left = *left;
    both->right = right;
    *left = both;
    return 0;
}

/* After the first leaf, which *out holds. */
static int parse_and_rest(struct logql_parser *parser, struct logql_condition **out)
{
    while (logql_is_word(parser, "and") || logql_is_sign(parser, ",")) {
        struct logql_condition *right = NULL;
        if (logql_advance(parser) || parse_unit(parser, &right) ||
            join(parser, CONDITION_AND, out, right))
            return -1;
    }
    return 0;
}

static int parse_or_rest(struct logql_parser *parser, struct logql_condition **out)
{
    if (parse_and_rest(parser, out))
        return -1;
    while (logql_is_word(parser, "or")) {
        struct logql_condition *right = NULL;
        if (logql_advance(parser) || parse_unit(parser, &right) || parse_and_rest(parser, &right) ||
            join(parser, CONDITION_OR, out, right))
            return -1;
    }
    return 0;
}

static int parse_or(struct logql_parser *parser, struct logql_condition **out)
{
    return parse_unit(parser, out) || parse_or_rest(parser, out) ? -1 : 0;
}

static int add_condition(struct logql_parser *parser, struct logql_stage ***tail,
                         const struct logql_condition *condition)
{
    struct logql_stage *stage;
    if (add_stage(parser, tail, STAGE_LABEL_FILTER, &stage))
        return -1;
    stage->condition = condition;
    return 0;
}

/* --- stages with a keyword --- */

/* name[="expression"], ...; none at all is fine when `optional`. */
static int parse_params(struct logql_parser *parser, struct logql_stage *stage, bool optional)
{
    struct logql_param *params = arena_zeroed(parser->arena, PARAMS_MAX, sizeof *params);
    if (!params)
        return logql_too_large(parser);
    stage->params = params;
    if (optional && parser->token.kind != LOGQL_TOKEN_WORD)
        return 0;
    for (;;) {
        if (stage->param_count == PARAMS_MAX)
            return logql_fail(parser, "more than %d labels", PARAMS_MAX);
        struct logql_param *param = &params[stage->param_count++];
        if (logql_take_word(parser, &param->name))
            return -1;
        param->text = param->name;
        if (logql_is_sign(parser, "=") &&
            (logql_advance(parser) || logql_take_string(parser, &param->text)))
            return -1;
        if (!logql_is_sign(parser, ","))
            return 0;
        if (logql_advance(parser))
            return -1;
    }
}

static int parse_json(struct logql_parser *parser, struct logql_stage *stage)
{
    return parse_params(parser, stage, true);
}

static int parse_logfmt(struct logql_parser *parser, struct logql_stage *stage)
{
    /* --strict and --keep-empty are accepted; both make no difference to what we extract. */
    while (logql_is_sign(parser, "-")) {
        struct slice flag;
        if (logql_advance(parser) || logql_expect(parser, "-") || logql_take_word(parser, &flag))
            return -1;
        if (logql_is_sign(parser, "-") && (logql_advance(parser) || logql_take_word(parser, &flag)))
            return -1;
    }
    return parse_params(parser, stage, true);
}

static int parse_regexp(struct logql_parser *parser, struct logql_stage *stage)
{
    struct slice text;
    struct regex *regex = NULL;
    struct logql_token at = parser->token;
    if (logql_take_string(parser, &text))
        return -1;
    struct logql_token next = parser->token;
    parser->token = at;
    if (logql_compile(parser, text, 0, &regex))
        return -1;
    bool named = false;
    for (size_t i = 1; i <= regex_group_count(regex); i++)
        named |= regex_group_name(regex, i).len > 0;
    if (!named)
        return logql_fail(parser, "the regexp captures nothing; name a group (?P<like_this>..)");
    stage->regex = regex;
    parser->token = next;
    return 0;
}

/* A string that `parse` turns into pieces; what is wrong in it is told at the string's place. */
static int parse_pieces(struct logql_parser *parser,
                        int (*parse)(struct logql_parser *parser, struct slice text,
                                     const struct logql_piece **pieces, size_t *count),
                        const struct logql_piece **pieces, size_t *count)
{
    struct slice text;
    struct logql_token at = parser->token;
    if (logql_take_string(parser, &text))
        return -1;
    struct logql_token next = parser->token;
    parser->token = at;
    if (parse(parser, text, pieces, count))
        return -1;
    parser->token = next;
    return 0;
}

static int parse_pattern_stage(struct logql_parser *parser, struct logql_stage *stage)
{
    return parse_pieces(parser, logql_parse_pattern, &stage->pieces, &stage->piece_count);
}

static int parse_line_format(struct logql_parser *parser, struct logql_stage *stage)
{
    return parse_pieces(parser, logql_parse_template, &stage->pieces, &stage->piece_count);
}

static int parse_label_format(struct logql_parser *parser, struct logql_stage *stage)
{
    struct logql_param *params = arena_zeroed(parser->arena, PARAMS_MAX, sizeof *params);
    if (!params)
        return logql_too_large(parser);
    stage->params = params;
    for (;;) {
        if (stage->param_count == PARAMS_MAX)
            return logql_fail(parser, "more than %d labels", PARAMS_MAX);
        struct logql_param *param = &params[stage->param_count++];
        if (logql_take_word(parser, &param->name) || logql_expect(parser, "="))
            return -1;
        if (parser->token.kind == LOGQL_TOKEN_WORD) {
            if (logql_take_word(parser, &param->text))
                return -1;
        } else if (parse_pieces(parser, logql_parse_template, &param->pieces,
                                &param->piece_count)) {
            return -1;
        }
        if (!logql_is_sign(parser, ","))
            return 0;
        if (logql_advance(parser))
            return -1;
    }
}

/* keep and drop: names, or matchers that must hold as well. */
static int parse_keep(struct logql_parser *parser, struct logql_stage *stage)
{
    struct logql_param *params = arena_zeroed(parser->arena, PARAMS_MAX, sizeof *params);
    if (!params)
        return logql_too_large(parser);
    stage->params = params;
    for (;;) {
        struct logql_condition *leaf = NULL;
        if (stage->param_count == PARAMS_MAX)
            return logql_fail(parser, "more than %d labels", PARAMS_MAX);
        struct logql_param *param = &params[stage->param_count++];
        if (logql_take_word(parser, &param->name))
            return -1;
        if (!logql_is_sign(parser, ",") && !logql_is_sign(parser, "|") &&
            parser->token.kind == LOGQL_TOKEN_SIGN &&
            (logql_is_sign(parser, "=") || logql_is_sign(parser, "!=") ||
             logql_is_sign(parser, "=~") || logql_is_sign(parser, "!~"))) {
            if (parse_leaf(parser, param->name, &leaf))
                return -1;
            if (leaf->kind != CONDITION_STRING)
                return logql_unexpected(parser, "a quoted string");
            param->matcher = &leaf->matcher;
        }
        if (!logql_is_sign(parser, ","))
            return 0;
        if (logql_advance(parser))
            return -1;
    }
}

static int parse_decolorize(struct logql_parser *parser, struct logql_stage *stage)
{
    (void)parser, (void)stage;
    return 0;
}

static int parse_unwrap(struct logql_parser *parser, struct logql_stage *stage)
{
    struct slice word;
    if (logql_take_word(parser, &word))
        return -1;
    stage->label = word;
    if (!logql_is_sign(parser, "("))
        return 0;
    if (slice_equal(word, SLICE("bytes")))
        stage->unwrap = UNWRAP_BYTES;
    else if (slice_equal(word, SLICE("duration")) || slice_equal(word, SLICE("duration_seconds")))
        stage->unwrap = UNWRAP_DURATION;
    else
        return logql_fail(parser, "unwrap knows duration(label), duration_seconds(label) and "
                                  "bytes(label)");
    if (logql_advance(parser) || logql_take_word(parser, &stage->label))
        return -1;
    return logql_expect(parser, ")");
}

static const struct {
    const char *word;
    enum logql_stage_kind kind;
    int (*parse)(struct logql_parser *parser, struct logql_stage *stage);
} stages[] = {
    {"json", STAGE_JSON, parse_json},
    {"logfmt", STAGE_LOGFMT, parse_logfmt},
    {"regexp", STAGE_REGEXP, parse_regexp},
    {"pattern", STAGE_PATTERN, parse_pattern_stage},
    {"line_format", STAGE_LINE_FORMAT, parse_line_format},
    {"label_format", STAGE_LABEL_FORMAT, parse_label_format},
    {"keep", STAGE_KEEP, parse_keep},
    {"drop", STAGE_DROP, parse_keep},
    {"decolorize", STAGE_DECOLORIZE, parse_decolorize},
    {"unwrap", STAGE_UNWRAP, parse_unwrap},
};

/* After the |. A word that is compared with something is a label, whatever it is called. */
static int parse_pipe(struct logql_parser *parser, struct logql_pipeline *pipeline,
                      struct logql_stage ***tail)
{
    struct logql_condition *condition = NULL;
    if (logql_is_sign(parser, "(")) {
        if (parse_or(parser, &condition))
            return -1;
        return add_condition(parser, tail, condition);
    }
    struct logql_token word = parser->token;
    struct slice name = SLICE("");
    if (word.kind != LOGQL_TOKEN_WORD)
        return logql_unexpected(parser, "a parser such as json, or a label filter");
    if (logql_take_word(parser, &name))
        return -1;
    bool compared =
        parser->token.kind == LOGQL_TOKEN_SIGN && strchr("=!<>", parser->token.text.at[0]);
    for (size_t i = 0; i < sizeof stages / sizeof stages[0] && !compared; i++) {
        struct logql_stage *stage;
        if (!slice_equal_string(name, stages[i].word))
            continue;
        if (add_stage(parser, tail, stages[i].kind, &stage) || stages[i].parse(parser, stage))
            return -1;
        if (stage->kind == STAGE_UNWRAP)
            pipeline->unwrap = stage;
        return 0;
    }
    if (!compared && parser->token.kind != LOGQL_TOKEN_SIGN) {
        parser->token = word;
        return logql_fail(parser, "there is no stage `" SLICE_FMT "`",
                          SLICE_ARG(slice_head(name, 40)));
    }
    if (parse_leaf(parser, name, &condition) || parse_or_rest(parser, &condition))
        return -1;
    return add_condition(parser, tail, condition);
}

int logql_parse_stages(struct logql_parser *parser, struct logql_pipeline *pipeline)
{
    struct logql_stage **tail = &pipeline->stages;
    for (;;) {
        if (is_line_filter(parser)) {
            if (parse_line_filter(parser, &tail))
                return -1;
        } else if (logql_is_sign(parser, "|")) {
            if (logql_advance(parser) || parse_pipe(parser, pipeline, &tail))
                return -1;
        } else {
            return 0;
        }
    }
}
