/* lex: PromQL text -> tokens, one at a time.
 *
 * A token borrows the text. The lexer tracks brackets, because what a character means depends on
 * them: inside {} words are plain labels, inside [] a colon separates range and step. It makes no
 * sense of literals beyond their extent; query/literal.h reads their values. Pure; any thread.
 */
#ifndef QUERY_LEX_H
#define QUERY_LEX_H

#include "storage/base/error.h"

/* Operators and aggregations stand in the order of their enums in query/plan.h. */
enum token_kind {
    TOKEN_END,
    TOKEN_ERROR, /* lex_next failed */
    TOKEN_IDENTIFIER,
    TOKEN_METRIC, /* an identifier with ':' or '.' in it */
    TOKEN_STRING, /* quotes included */
    TOKEN_NUMBER,
    TOKEN_DURATION,
    TOKEN_LEFT_PAREN,
    TOKEN_RIGHT_PAREN,
    TOKEN_LEFT_BRACE,
    TOKEN_RIGHT_BRACE,
    TOKEN_LEFT_BRACKET,
    TOKEN_RIGHT_BRACKET,
    TOKEN_COMMA,
    TOKEN_COLON,
    TOKEN_AT,
    TOKEN_ASSIGN,
    TOKEN_MATCH_REGEX,
    TOKEN_MATCH_NOT_REGEX,
    TOKEN_ADD,
    TOKEN_SUB,
    TOKEN_MUL,
    TOKEN_DIV,
    TOKEN_MOD,
    TOKEN_POW,
    TOKEN_ATAN2,
    TOKEN_TRIM_UPPER,
    TOKEN_TRIM_LOWER,
    TOKEN_EQ,
    TOKEN_NE,
    TOKEN_LT,
    TOKEN_LE,
    TOKEN_GT,
    TOKEN_GE,
    TOKEN_AND,
    TOKEN_OR,
    TOKEN_UNLESS,
    TOKEN_SUM,
    TOKEN_AVG,
    TOKEN_MIN,
    TOKEN_MAX,
    TOKEN_COUNT,
    TOKEN_GROUP,
    TOKEN_STDDEV,
    TOKEN_STDVAR,
    TOKEN_TOPK,
    TOKEN_BOTTOMK,
    TOKEN_QUANTILE,
    TOKEN_COUNT_VALUES,
    TOKEN_LIMITK,
    TOKEN_LIMIT_RATIO,
    TOKEN_BY,
    TOKEN_WITHOUT,
    TOKEN_ON,
    TOKEN_IGNORING,
    TOKEN_GROUP_LEFT,
    TOKEN_GROUP_RIGHT,
    TOKEN_BOOL,
    TOKEN_OFFSET,
    TOKEN_START,
    TOKEN_FINISH, /* the word "end" */
};

struct token {
    enum token_kind kind;
    size_t at; /* byte offset in the text */
    struct slice text;
};

struct lexer {
    struct slice text;
    size_t at;
    size_t parens;
    bool in_braces;
    bool in_brackets;
    bool in_range;  /* behind the bracket, before the number */
    bool had_colon; /* between the brackets */
};

void lexer_init(struct lexer *lexer, struct slice text);
/* TOKEN_END at the end of the text, again and again. -1: a TOKEN_ERROR, and *err holds
 * "line:column: parse error: ..." as Prometheus words it. */
MUST_USE int lex_next(struct lexer *lexer, struct token *out, struct error *err);
/* Sets ERROR_BAD_DATA with the position of byte `at`; returns -1. */
int lex_fail(struct slice text, size_t at, struct error *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Writes how Prometheus names a token in an error: `identifier "foo"`, `<by>`, `<op:+>`. */
void token_describe(const struct token *token, char *out, size_t size);
bool token_is_operator(enum token_kind kind);
bool token_is_aggregate(enum token_kind kind);
/* A keyword, word operator or aggregation, which the grammar allows in place of a label name. */
bool token_is_word(const struct token *token);
/* [a-zA-Z_][a-zA-Z0-9_]* */
bool name_is_label(struct slice name);
/* Can stand bare as a metric name: identifier parts with ':' and dots between, no keyword. */
bool name_is_bare_metric(struct slice name);

#endif
