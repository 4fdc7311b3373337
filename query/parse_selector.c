/* parse_selector: what reads the store, and what may follow it.
 *
 *   api.latency{code=~"5..", "x.y"!="z"} [5m]     offset 1m  @ 1700000000
 *   {"my metric", a="b"}                 [1h:30s]            @ end()
 *   name        matchers                 range    modifiers, either order
 *
 * The name becomes a matcher on __name__, the first of the list. Suffixes bind tighter than any
 * operator, so they are read right behind an operand; only [range:step] may follow any operand,
 * the others insist on a selector or a subquery.
 */
#include <math.h>

#include "query/literal.h"
#include "query/parser.h"

#define LABEL_CONTEXT "label matching"
/* Leaves room to add offsets and ranges to milliseconds in 63 bits, and to print them exactly. */
#define AT_SECONDS_MAX 9e12

struct matcher_list {
    struct matcher at[QUERY_LIST_MAX];
    size_t count;
    bool named; /* at[0] is the metric's name, from before the braces or quoted inside */
};

static void release_matchers(struct matcher_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        matcher_release(&list->at[i]);
}

static bool take_match_operator(struct parser *parser, enum matcher_type *out)
{
    static const struct {
        enum token_kind token;
        enum matcher_type type;
    } operators[] = {
        {TOKEN_ASSIGN, MATCH_EQUAL},
        {TOKEN_NE, MATCH_NOT_EQUAL},
        {TOKEN_MATCH_REGEX, MATCH_REGEX},
        {TOKEN_MATCH_NOT_REGEX, MATCH_NOT_REGEX},
    };
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        if (parser_accept(parser, operators[i].token)) {
            *out = operators[i].type;
            return true;
        }
    }
    return false;
}

static int finish_matcher(struct parser *parser, size_t at, struct matcher *out)
{
    struct error inner;
    if (matcher_init(out, out->type, out->name, out->value, &inner) == 0)
        return 0;
    matcher_release(out);
    return lex_fail(parser->lexer.text, at, parser->err, "error parsing regexp: %s", inner.text);
}

/* A metric name goes to the front, wherever it stood; check.c refuses a second one. */
static void add_name(struct matcher_list *list, struct slice name)
{
    size_t at = list->named ? 1 : 0;
    memmove(list->at + at + 1, list->at + at, (list->count - at) * sizeof list->at[0]);
    list->at[at] = (struct matcher){.type = MATCH_EQUAL, .name = SLICE(LABEL_NAME), .value = name};
    list->count++;
    list->named = true;
}

/* The operator and value of a matcher whose label name stood at `at`. */
static int parse_condition(struct parser *parser, struct matcher_list *list, struct slice name,
                           size_t at)
{
    struct matcher *out = &list->at[list->count];
    *out = (struct matcher){.name = name};
    if (name.len == 0)
        return lex_fail(parser->lexer.text, at, parser->err, "a label name may not be empty");
    if (!take_match_operator(parser, &out->type))
        return parser_unexpected(parser, LABEL_CONTEXT, "label matching operator");
    if (parser->token.kind != TOKEN_STRING)
        return parser_unexpected(parser, LABEL_CONTEXT, "string");
    if (parser_string(parser, &out->value) < 0 || finish_matcher(parser, at, out) < 0)
        return -1;
    list->count++;
    return 0;
}

/* label op "value", or a metric name in quotes. */
static int parse_matcher(struct parser *parser, struct matcher_list *list)
{
    size_t at = parser->token.at;
    struct slice name = parser->token.text;
    if (list->count == QUERY_LIST_MAX)
        return lex_fail(parser->lexer.text, at, parser->err,
                        "a selector may have at most %d matchers", QUERY_LIST_MAX);
    if (parser->token.kind == TOKEN_STRING) {
        if (parser_string(parser, &name) < 0)
            return -1;
        if (parser->token.kind == TOKEN_COMMA || parser->token.kind == TOKEN_RIGHT_BRACE) {
            add_name(list, name);
            return 0;
        }
    } else if (!parser_accept(parser, TOKEN_IDENTIFIER)) {
        return parser_unexpected(parser, LABEL_CONTEXT, "identifier or \"}\"");
    }
    return parse_condition(parser, list, name, at);
}

static int parse_matchers(struct parser *parser, struct matcher_list *list)
{
    while (!parser_accept(parser, TOKEN_RIGHT_BRACE)) {
        if (parse_matcher(parser, list) < 0)
            return -1;
        if (!parser_accept(parser, TOKEN_COMMA) && parser->token.kind != TOKEN_RIGHT_BRACE)
            return parser_unexpected(parser, LABEL_CONTEXT, "\",\" or \"}\"");
    }
    return 0;
}

static struct plan *selector_of(struct parser *parser, size_t start,
                                const struct matcher_list *list)
{
    struct plan *plan = parser_node(parser, PLAN_SELECTOR, VALUE_VECTOR, start);
    struct matcher *matchers = parser_alloc(parser, list->count, sizeof *matchers);
    struct selector_link *link = parser_alloc(parser, 1, sizeof *link);
    if (!plan || !matchers || !link)
        return NULL;
    memcpy(matchers, list->at, list->count * sizeof *matchers);
    plan->selector.matchers = matchers;
    plan->selector.matcher_count = list->count;
    plan->end = parser->end;
    *link = (struct selector_link){plan, parser->selectors};
    parser->selectors = link;
    return plan;
}

struct plan *parse_vector_selector(struct parser *parser)
{
    struct matcher_list list = {.count = 0};
    struct plan *plan = NULL;
    size_t start = parser->token.at;
    int status = 0;
    if (parser->token.kind != TOKEN_LEFT_BRACE) {
        add_name(&list, parser->token.text);
        parser_advance(parser);
    }
    if (status == 0 && parser_accept(parser, TOKEN_LEFT_BRACE))
        status = parse_matchers(parser, &list);
    if (status == 0)
        plan = selector_of(parser, start, &list);
    if (!plan)
        release_matchers(&list);
    return plan;
}

/* [-+] duration or number of seconds. */
static int parse_span(struct parser *parser, bool with_sign, int64_t *out_ms)
{
    double seconds;
    bool negative = false;
    if (with_sign && !parser_accept(parser, TOKEN_ADD))
        negative = parser_accept(parser, TOKEN_SUB);
    if (parser->token.kind != TOKEN_NUMBER && parser->token.kind != TOKEN_DURATION)
        return parser_unexpected(parser, with_sign ? "offset" : "subquery or range selector",
                                 "number or duration");
    size_t at = parser->token.at;
    if (parser_number(parser, &seconds) < 0)
        return -1;
    if (!(seconds * 1000 < (double)(INT64_MAX / 1000000)))
        return lex_fail(parser->lexer.text, at, parser->err, "duration out of range");
    *out_ms = (int64_t)llround(seconds * 1000);
    if (!with_sign && *out_ms <= 0)
        return lex_fail(parser->lexer.text, at, parser->err, "duration must be greater than 0");
    if (negative)
        *out_ms = -*out_ms;
    return 0;
}

static int range_allowed(struct parser *parser, const struct plan *operand, size_t at)
{
    const char *reason = NULL;
    if (operand->kind != PLAN_SELECTOR || operand->selector.range_ms)
        reason = "ranges only allowed for vector selectors";
    else if (operand->offset_ms)
        reason = "no offset modifiers allowed before range";
    else if (operand->at == AT_TIME) /* start() and end() may stand there */
        reason = "no @ modifiers allowed before range";
    return reason ? lex_fail(parser->lexer.text, at, parser->err, "%s", reason) : 0;
}

/* Behind the opening bracket, which stood at `at`. */
static struct plan *parse_brackets(struct parser *parser, struct plan *operand, size_t at)
{
    int64_t range_ms = 0, step_ms = 0;
    if (parse_span(parser, false, &range_ms) < 0)
        return NULL;
    if (parser_accept(parser, TOKEN_RIGHT_BRACKET)) {
        if (range_allowed(parser, operand, at) < 0)
            return NULL;
        operand->selector.range_ms = range_ms;
        operand->type = VALUE_MATRIX;
        operand->end = parser->end;
        return operand;
    }
    if (!parser_accept(parser, TOKEN_COLON)) {
        parser_unexpected(parser, "subquery or range", "\":\" or \"]\"");
        return NULL;
    }
    if (parser->token.kind != TOKEN_RIGHT_BRACKET && parse_span(parser, false, &step_ms) < 0)
        return NULL;
    if (!parser_accept(parser, TOKEN_RIGHT_BRACKET)) {
        parser_unexpected(parser, "subquery selector", "\"]\"");
        return NULL;
    }
    struct plan *plan = parser_node(parser, PLAN_SUBQUERY, VALUE_MATRIX, operand->start);
    if (!plan)
        return NULL;
    plan->subquery.child = operand;
    plan->subquery.range_ms = range_ms;
    plan->subquery.step_ms = step_ms;
    plan->end = parser->end;
    return plan;
}

static int parse_offset(struct parser *parser, struct plan *operand)
{
    int64_t offset_ms = 0;
    if (parse_span(parser, true, &offset_ms) < 0)
        return -1;
    if (operand->kind != PLAN_SELECTOR && operand->kind != PLAN_SUBQUERY)
        return lex_fail(parser->lexer.text, operand->start, parser->err,
                        "offset modifier must be preceded by an instant vector selector or range "
                        "vector selector or a subquery");
    if (operand->offset_ms)
        return lex_fail(parser->lexer.text, operand->start, parser->err,
                        "offset may not be set multiple times");
    operand->offset_ms = offset_ms;
    operand->end = parser->end;
    return 0;
}

/* As Go prints numbers with %f. */
static int fail_time(struct parser *parser, const struct plan *operand, double seconds)
{
    static const char text[] = "timestamp out of bounds for @ modifier";
    if (isfinite(seconds))
        return lex_fail(parser->lexer.text, operand->start, parser->err, "%s: %f", text, seconds);
    return lex_fail(parser->lexer.text, operand->start, parser->err, "%s: %s", text,
                    isnan(seconds) ? "NaN"
                    : seconds > 0  ? "+Inf"
                                   : "-Inf");
}

/* Behind the @ of the operand: [-+] seconds, start() or end(). */
static int parse_time(struct parser *parser, const struct plan *operand, enum plan_at *out,
                      int64_t *out_ms)
{
    double seconds;
    bool negative = false;
    enum token_kind kind = parser->token.kind;
    if (kind == TOKEN_START || kind == TOKEN_FINISH) {
        parser_advance(parser);
        *out = kind == TOKEN_START ? AT_START : AT_END;
        if (!parser_accept(parser, TOKEN_LEFT_PAREN) || !parser_accept(parser, TOKEN_RIGHT_PAREN))
            return parser_unexpected(parser, "@", "timestamp");
        return 0;
    }
    if (!parser_accept(parser, TOKEN_ADD))
        negative = parser_accept(parser, TOKEN_SUB);
    if (parser->token.kind != TOKEN_NUMBER && parser->token.kind != TOKEN_DURATION)
        return parser_unexpected(parser, "@", "timestamp");
    if (parser_number(parser, &seconds) < 0)
        return -1;
    seconds = negative ? -seconds : seconds;
    if (!(fabs(seconds) <= AT_SECONDS_MAX))
        return fail_time(parser, operand, seconds);
    *out = AT_TIME;
    *out_ms = (int64_t)llround(seconds * 1000);
    return 0;
}

static int parse_at(struct parser *parser, struct plan *operand)
{
    enum plan_at at = AT_NONE;
    int64_t at_ms = 0;
    if (parse_time(parser, operand, &at, &at_ms) < 0)
        return -1;
    if (operand->kind != PLAN_SELECTOR && operand->kind != PLAN_SUBQUERY)
        return lex_fail(parser->lexer.text, operand->start, parser->err,
                        "@ modifier must be preceded by an instant vector selector or range "
                        "vector selector or a subquery");
    if (operand->at != AT_NONE)
        return lex_fail(parser->lexer.text, operand->start, parser->err,
                        "@ <timestamp> may not be set multiple times");
    operand->at = at;
    operand->at_ms = at_ms;
    operand->end = parser->end;
    return 0;
}

struct plan *parse_suffixes(struct parser *parser, struct plan *operand)
{
    for (int count = 0; operand; count++) {
        size_t at = parser->token.at;
        if (count == QUERY_DEPTH_MAX) {
            lex_fail(parser->lexer.text, at, parser->err, "more than %d suffixes in a row",
                     QUERY_DEPTH_MAX);
            return NULL;
        }
        if (parser_accept(parser, TOKEN_LEFT_BRACKET)) {
            operand = parse_brackets(parser, operand, at);
        } else if (parser_accept(parser, TOKEN_OFFSET)) {
            if (parse_offset(parser, operand) < 0)
                return NULL;
        } else if (parser_accept(parser, TOKEN_AT)) {
            if (parse_at(parser, operand) < 0)
                return NULL;
        } else {
            break;
        }
    }
    return operand;
}
