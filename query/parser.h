/* parser: the state of one parse, shared by the files that make up the parser and by nobody else.
 *
 * parse.c            operators, aggregations, calls
 * parse_selector.c   selectors, ranges, subqueries, offset and @
 * check.c            types of operands and arguments, once the tree stands
 */
#ifndef QUERY_PARSER_H
#define QUERY_PARSER_H

#include "query/lex.h"
#include "query/parse.h"

/* Depth of the tree: left-associative chains (a + b + c ...) nest without parentheses. */
#define QUERY_TREE_MAX 512

struct selector_link { /* so that a failed parse can free the regexes it compiled */
    struct plan *selector;
    struct selector_link *next;
};

struct parser {
    struct lexer lexer;
    struct token token; /* the next one, not yet consumed; TOKEN_ERROR: *err is set */
    size_t end;         /* where the last consumed token ended */
    struct arena *arena;
    struct error *err;
    struct selector_link *selectors;
    int depth;
    int aggregations; /* that are open */
};

/* Everything below sets *parser->err when it returns -1 or NULL. */

void parser_advance(struct parser *parser);
/* Consumes the token if it is of that kind. */
bool parser_accept(struct parser *parser, enum token_kind kind);
/* "unexpected TOKEN in CONTEXT, expected WHAT" (both may be NULL: the context is then the aggregation
 * around it, if any), or the lexer's own error about the token. Returns -1. */
int parser_unexpected(struct parser *parser, const char *context, const char *expected);
/* A zeroed node that starts at byte `start`. */
struct plan *parser_node(struct parser *parser, enum plan_kind kind, enum value_type type,
                         size_t start);
/* Zeroed memory that lives as long as the plan. */
void *parser_alloc(struct parser *parser, size_t count, size_t size);
/* Consumes a TOKEN_STRING. */
MUST_USE int parser_string(struct parser *parser, struct slice *out);
/* Consumes a TOKEN_NUMBER or TOKEN_DURATION, as seconds. */
MUST_USE int parser_number(struct parser *parser, double *out);

/* The selector starts at the current token: a name, or an opening brace. */
struct plan *parse_vector_selector(struct parser *parser);
/* What may follow an operand: [range], [range:step], offset, @. */
struct plan *parse_suffixes(struct parser *parser, struct plan *operand);

/* Types and argument counts of the whole tree. */
MUST_USE int check_plan(struct parser *parser, const struct plan *root);

#endif
