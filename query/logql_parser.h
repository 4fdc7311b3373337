/* logql_parser: what the two halves of the LogQL parser share. Private to them.
 */
#ifndef QUERY_LOGQL_PARSER_H
#define QUERY_LOGQL_PARSER_H

#include "query/logql.h"

enum logql_token_kind {
    LOGQL_TOKEN_END,
    LOGQL_TOKEN_WORD,
    LOGQL_TOKEN_STRING, /* quotes included */
    LOGQL_TOKEN_NUMBER, /* digits and what sticks to them: 5, 1.5e3, 10ms, 2KiB */
    LOGQL_TOKEN_SIGN,   /* | |= { ( == and so on */
};

struct logql_token {
    enum logql_token_kind kind;
    struct slice text;
};

struct logql_regexes {
    struct regex *regex;
    struct logql_regexes *next;
};

struct logql_parser {
    struct slice text;
    struct slice rest;
    struct logql_token token; /* the one looked at */
    struct arena *arena;
    struct error *err;
    struct logql_regexes *regexes;
    unsigned depth;
    unsigned operators; /* so far */
};

/* All return 0 or -1 with *err set. */
MUST_USE int logql_advance(struct logql_parser *parser);
/* "parse error at line 1, col 12: ..." at the current token. Always -1. */
int logql_fail(struct logql_parser *parser, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same, complaining of the current token: "unexpected X, expected Y". */
int logql_unexpected(struct logql_parser *parser, const char *expected);
/* Counts one more operator; fails beyond LOGQL_OPERATORS_MAX. */
MUST_USE int logql_count_operator(struct logql_parser *parser);
/* The arena is exhausted. */
int logql_too_large(struct logql_parser *parser);
bool logql_is_sign(const struct logql_parser *parser, const char *sign);
bool logql_is_word(const struct logql_parser *parser, const char *word);
/* Skips the sign, or fails. */
MUST_USE int logql_expect(struct logql_parser *parser, const char *sign);
MUST_USE int logql_take_word(struct logql_parser *parser, struct slice *out);
MUST_USE int logql_take_string(struct logql_parser *parser, struct slice *out);
/* [-]number */
MUST_USE int logql_take_number(struct logql_parser *parser, double *out);
/* Compiles; the regex belongs to the parse. */
MUST_USE int logql_compile(struct logql_parser *parser, struct slice pattern, unsigned flags,
                           struct regex **out);
MUST_USE int logql_parse_matcher(struct logql_parser *parser, struct matcher *out);

/* The stages after a selector, as long as there are any. */
MUST_USE int logql_parse_stages(struct logql_parser *parser, struct logql_pipeline *pipeline);
/* "{{.a | lower}} text" */
MUST_USE int logql_parse_template(struct logql_parser *parser, struct slice text,
                                  const struct logql_piece **out, size_t *count);
/* "<ip> - <_>": TEXT and FIELD pieces. */
MUST_USE int logql_parse_pattern(struct logql_parser *parser, struct slice text,
                                 const struct logql_piece **out, size_t *count);

#endif
