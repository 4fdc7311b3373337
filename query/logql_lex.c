/* logql_lex: tokens, positions and literals of LogQL.
 *
 *   sum by (level) (rate({app="x"} |= `y` | json | took > 1.5s [5m]))
 *   word word sign word sign word sign ... string sign   number
 *
 * A comment runs from # to the end of the line. Durations and sizes are numbers with letters behind
 * them; which of them is meant, the grammar decides.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

#include "query/literal.h"
#include "query/logql_parser.h"

/* Longer signs first. */
static const struct slice signs[] = {
    SLICE_LIT("|="), SLICE_LIT("|~"), SLICE_LIT("!="), SLICE_LIT("!~"), SLICE_LIT("=~"),
    SLICE_LIT("=="), SLICE_LIT(">="), SLICE_LIT("<="), SLICE_LIT("|"),  SLICE_LIT("="),
    SLICE_LIT(">"),  SLICE_LIT("<"),  SLICE_LIT("{"),  SLICE_LIT("}"),  SLICE_LIT("("),
    SLICE_LIT(")"),  SLICE_LIT("["),  SLICE_LIT("]"),  SLICE_LIT(","),  SLICE_LIT("+"),
    SLICE_LIT("-"),  SLICE_LIT("*"),  SLICE_LIT("/"),  SLICE_LIT("%"),  SLICE_LIT("^"),
};

static void position(const struct logql_parser *parser, const char *at, int *line, int *column)
{
    *line = *column = 1;
    for (const char *c = parser->text.at; c < at; c++) {
        *column = *c == '\n' ? 1 : *column + 1;
        *line += *c == '\n';
    }
}

int logql_fail(struct logql_parser *parser, const char *format, ...)
{
    char what[512];
    int line, column;
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    position(parser, parser->token.text.at, &line, &column);
    return error_set(parser->err, ERROR_BAD_DATA, "parse error at line %d, col %d: %s", line,
                     column, what);
}

int logql_unexpected(struct logql_parser *parser, const char *expected)
{
    struct slice text = slice_head(parser->token.text, 40);
    if (parser->token.kind == LOGQL_TOKEN_END)
        return logql_fail(parser, "the query ends here; expected %s", expected);
    return logql_fail(parser, "unexpected `" SLICE_FMT "`; expected %s", SLICE_ARG(text), expected);
}

int logql_count_operator(struct logql_parser *parser)
{
    if (parser->operators++ < LOGQL_OPERATORS_MAX)
        return 0;
    return logql_fail(parser, "more than %d operators", LOGQL_OPERATORS_MAX);
}

int logql_too_large(struct logql_parser *parser)
{
    return error_set(parser->err, ERROR_LIMIT, "the query needs too much memory to be read");
}

static void skip_blank(struct slice *rest)
{
    while (rest->len && (isspace((unsigned char)rest->at[0]) || rest->at[0] == '#')) {
        struct slice comment;
        if (rest->at[0] == '#')
            slice_cut(rest, '\n', &comment);
        else
            *rest = slice_skip(*rest, 1);
    }
}

/* Length of the string at the front, quotes included; 0 when it does not end. */
static size_t string_length(struct slice rest)
{
    char quote = rest.at[0];
    for (size_t i = 1; i < rest.len; i++) {
        if (rest.at[i] == quote)
            return i + 1;
        if (rest.at[i] == '\\' && quote != '`')
            i++;
    }
    return 0;
}

static size_t word_length(struct slice rest, bool number)
{
    size_t i = 0;
    while (i < rest.len) {
        unsigned char c = (unsigned char)rest.at[i];
        if (!isalnum(c) && c != '_' && !(number && (c == '.' || c >= 0x80)))
            break;
        i++;
    }
    return i;
}

static int take(struct logql_parser *parser, enum logql_token_kind kind, size_t len)
{
    parser->token = (struct logql_token){kind, slice_head(parser->rest, len)};
    parser->rest = slice_skip(parser->rest, len);
    return 0;
}

int logql_advance(struct logql_parser *parser)
{
    skip_blank(&parser->rest);
    struct slice rest = parser->rest;
    if (rest.len == 0)
        return take(parser, LOGQL_TOKEN_END, 0);
    unsigned char c = (unsigned char)rest.at[0];
    if (c == '"' || c == '`' || c == '\'') {
        size_t len = string_length(rest);
        take(parser, LOGQL_TOKEN_STRING, len);
        return len ? 0 : logql_fail(parser, "this string has no closing quote");
    }
    if (isalpha(c) || c == '_')
        return take(parser, LOGQL_TOKEN_WORD, word_length(rest, false));
    if (isdigit(c) || (c == '.' && rest.len > 1 && isdigit((unsigned char)rest.at[1])))
        return take(parser, LOGQL_TOKEN_NUMBER, word_length(rest, true));
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++)
        if (slice_starts_with(rest, signs[i]))
            return take(parser, LOGQL_TOKEN_SIGN, signs[i].len);
    take(parser, LOGQL_TOKEN_SIGN, 1);
    return logql_fail(parser, "unexpected character");
}

bool logql_is_sign(const struct logql_parser *parser, const char *sign)
{
    return parser->token.kind == LOGQL_TOKEN_SIGN && slice_equal_string(parser->token.text, sign);
}

bool logql_is_word(const struct logql_parser *parser, const char *word)
{
    return parser->token.kind == LOGQL_TOKEN_WORD && slice_equal_string(parser->token.text, word);
}

int logql_expect(struct logql_parser *parser, const char *sign)
{
    char quoted[16];
    snprintf(quoted, sizeof quoted, "`%s`", sign);
    if (!logql_is_sign(parser, sign))
        return logql_unexpected(parser, quoted);
    return logql_advance(parser);
}

int logql_take_word(struct logql_parser *parser, struct slice *out)
{
    if (parser->token.kind != LOGQL_TOKEN_WORD)
        return logql_unexpected(parser, "a label name");
    *out = parser->token.text;
    return logql_advance(parser);
}

int logql_take_string(struct logql_parser *parser, struct slice *out)
{
    struct error why = {0};
    if (parser->token.kind != LOGQL_TOKEN_STRING)
        return logql_unexpected(parser, "a quoted string");
    if (literal_string(parser->token.text, parser->arena, out, &why))
        return logql_fail(parser, "%s", why.text);
    return logql_advance(parser);
}

int logql_take_number(struct logql_parser *parser, double *out)
{
    bool negative = logql_is_sign(parser, "-");
    if (negative && logql_advance(parser))
        return -1;
    if (parser->token.kind != LOGQL_TOKEN_NUMBER || !slice_to_double(parser->token.text, out))
        return logql_unexpected(parser, "a number");
    if (negative)
        *out = -*out;
    return logql_advance(parser);
}

/* --- numbers with units --- */

struct unit {
    struct slice name;
    double factor;
};

/* "1h30m", "1.5 KB": numbers, each with its unit, added up. */
static bool cut_units(struct slice text, const struct unit *units, size_t count, double *out)
{
    double total = 0;
    bool negative = text.len && text.at[0] == '-';
    if (negative)
        text = slice_skip(text, 1);
    if (text.len == 0)
        return false;
    while (text.len) {
        size_t digits = 0, letters, row = 0;
        double number;
        while (digits < text.len &&
               (isdigit((unsigned char)text.at[digits]) || text.at[digits] == '.'))
            digits++;
        letters = digits;
        while (letters < text.len && !isdigit((unsigned char)text.at[letters]))
            letters++;
        struct slice unit = slice_trim(slice_make(text.at + digits, letters - digits));
        while (row < count && !slice_equal(units[row].name, unit))
            row++;
        if (row == count || !slice_to_double(slice_head(text, digits), &number))
            return false;
        total += number * units[row].factor;
        text = slice_skip(text, letters);
    }
    *out = negative ? -total : total;
    return true;
}

bool logql_duration(struct slice text, double *out)
{
    static const struct unit units[] = {
        {SLICE_LIT("ns"), 1e-9},        {SLICE_LIT("us"), 1e-6}, {SLICE_LIT("\xc2\xb5s"), 1e-6},
        {SLICE_LIT("\xce\xbcs"), 1e-6}, {SLICE_LIT("ms"), 1e-3}, {SLICE_LIT("s"), 1},
        {SLICE_LIT("m"), 60},           {SLICE_LIT("h"), 3600},  {SLICE_LIT("d"), 86400},
        {SLICE_LIT("w"), 604800},
    };
    return cut_units(text, units, sizeof units / sizeof units[0], out);
}

bool logql_bytes(struct slice text, double *out)
{
    static const struct unit units[] = {
        {SLICE_LIT("B"), 1},
        {SLICE_LIT("b"), 1},
        {SLICE_LIT("k"), 1e3},
        {SLICE_LIT("K"), 1e3},
        {SLICE_LIT("kB"), 1e3},
        {SLICE_LIT("KB"), 1e3},
        {SLICE_LIT("kb"), 1e3},
        {SLICE_LIT("M"), 1e6},
        {SLICE_LIT("MB"), 1e6},
        {SLICE_LIT("mb"), 1e6},
        {SLICE_LIT("G"), 1e9},
        {SLICE_LIT("GB"), 1e9},
        {SLICE_LIT("gb"), 1e9},
        {SLICE_LIT("TB"), 1e12},
        {SLICE_LIT("tb"), 1e12},
        {SLICE_LIT("KiB"), 1024},
        {SLICE_LIT("kib"), 1024},
        {SLICE_LIT("MiB"), 1048576},
        {SLICE_LIT("mib"), 1048576},
        {SLICE_LIT("GiB"), 1073741824},
        {SLICE_LIT("gib"), 1073741824},
        {SLICE_LIT("TiB"), 1099511627776},
    };
    return cut_units(text, units, sizeof units / sizeof units[0], out);
}
