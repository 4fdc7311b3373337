/* lex: see the header.
 *
 *   sum by (job) (rate(api.latency{code=~"5.."}[5m:30s] offset 1m)) # comment
 *   ^^^ ^^ ^^^^^  ^^^^ ^^^^^^^^^^^ ^^^^  ^^^^^  ^^ ^^^
 *   word          identifier       ASSIGN.. STRING DURATION COLON
 *
 * Words are looked up in a table, case-insensitively, only outside braces. An unclosed bracket is
 * reported where the text ends, an unmatched one where it stands, so that most broken queries get
 * the same sentence as from Prometheus. Deliberately absent: history and series descriptions, the
 * test-only second language of Prometheus' lexer.
 */
#include "query/lex.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

static const struct {
    struct slice text;
    enum token_kind kind;
} words[] = {
    {SLICE_LIT("and"), TOKEN_AND},
    {SLICE_LIT("or"), TOKEN_OR},
    {SLICE_LIT("unless"), TOKEN_UNLESS},
    {SLICE_LIT("atan2"), TOKEN_ATAN2},
    {SLICE_LIT("sum"), TOKEN_SUM},
    {SLICE_LIT("avg"), TOKEN_AVG},
    {SLICE_LIT("min"), TOKEN_MIN},
    {SLICE_LIT("max"), TOKEN_MAX},
    {SLICE_LIT("count"), TOKEN_COUNT},
    {SLICE_LIT("group"), TOKEN_GROUP},
    {SLICE_LIT("stddev"), TOKEN_STDDEV},
    {SLICE_LIT("stdvar"), TOKEN_STDVAR},
    {SLICE_LIT("topk"), TOKEN_TOPK},
    {SLICE_LIT("bottomk"), TOKEN_BOTTOMK},
    {SLICE_LIT("quantile"), TOKEN_QUANTILE},
    {SLICE_LIT("count_values"), TOKEN_COUNT_VALUES},
    {SLICE_LIT("limitk"), TOKEN_LIMITK},
    {SLICE_LIT("limit_ratio"), TOKEN_LIMIT_RATIO},
    {SLICE_LIT("by"), TOKEN_BY},
    {SLICE_LIT("without"), TOKEN_WITHOUT},
    {SLICE_LIT("on"), TOKEN_ON},
    {SLICE_LIT("ignoring"), TOKEN_IGNORING},
    {SLICE_LIT("group_left"), TOKEN_GROUP_LEFT},
    {SLICE_LIT("group_right"), TOKEN_GROUP_RIGHT},
    {SLICE_LIT("bool"), TOKEN_BOOL},
    {SLICE_LIT("offset"), TOKEN_OFFSET},
    {SLICE_LIT("start"), TOKEN_START},
    {SLICE_LIT("end"), TOKEN_FINISH},
    {SLICE_LIT("inf"), TOKEN_NUMBER},
    {SLICE_LIT("nan"), TOKEN_NUMBER},
};

static const struct {
    struct slice text;
    enum token_kind kind;
} marks[] = {
    /* Two characters before one. */
    {SLICE_LIT("=="), TOKEN_EQ},         {SLICE_LIT("!="), TOKEN_NE},
    {SLICE_LIT("<="), TOKEN_LE},         {SLICE_LIT("</"), TOKEN_TRIM_UPPER},
    {SLICE_LIT(">/"), TOKEN_TRIM_LOWER}, {SLICE_LIT(">="), TOKEN_GE},
    {SLICE_LIT("<"), TOKEN_LT},          {SLICE_LIT(">"), TOKEN_GT},
    {SLICE_LIT("="), TOKEN_ASSIGN},      {SLICE_LIT("+"), TOKEN_ADD},
    {SLICE_LIT("-"), TOKEN_SUB},         {SLICE_LIT("*"), TOKEN_MUL},
    {SLICE_LIT("/"), TOKEN_DIV},         {SLICE_LIT("%"), TOKEN_MOD},
    {SLICE_LIT("^"), TOKEN_POW},         {SLICE_LIT("@"), TOKEN_AT},
    {SLICE_LIT(","), TOKEN_COMMA},
};

static const struct {
    struct slice text;
    enum token_kind kind;
} brace_marks[] = {
    {SLICE_LIT("=~"), TOKEN_MATCH_REGEX}, {SLICE_LIT("!~"), TOKEN_MATCH_NOT_REGEX},
    {SLICE_LIT("!="), TOKEN_NE},          {SLICE_LIT("="), TOKEN_ASSIGN},
    {SLICE_LIT(","), TOKEN_COMMA},
};

void lexer_init(struct lexer *lexer, struct slice text)
{
    *lexer = (struct lexer){.text = text};
}

int lex_fail(struct slice text, size_t at, struct error *err, const char *format, ...)
{
    char reason[900];
    size_t line = 1, line_start = 0;
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    for (size_t i = 0; i < at && i < text.len; i++) {
        if (text.at[i] == '\n') {
            line++;
            line_start = i + 1;
        }
    }
    return error_set(err, ERROR_BAD_DATA, "%zu:%zu: parse error: %s", line, at - line_start + 1,
                     reason);
}

static bool is_name_start(char c)
{
    return isalpha((unsigned char)c) || c == '_';
}

static bool is_name_rest(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* Code points that show nothing, or something else than they are: pasted from a web page, they are
 * what is wrong with a query that looks right. Pairs of first and last. */
static const uint32_t invisible[][2] = {
    {0, 0x1f},        {0x7f, 0xa0},     {0xad, 0xad},       {0x1680, 0x1680},
    {0x180e, 0x180e}, {0x2000, 0x200f}, {0x2028, 0x202f},   {0x205f, 0x206f},
    {0x3000, 0x3000}, {0xfeff, 0xfeff}, {0xe0000, 0xe0fff},
};

static bool is_visible(uint32_t point)
{
    for (size_t i = 0; i < sizeof invisible / sizeof invisible[0]; i++)
        if (point >= invisible[i][0] && point <= invisible[i][1])
            return false;
    return true;
}

/* The character at the front in single quotes, as Go's %q has it. */
static void quote_character(struct slice rest, char *out, size_t size)
{
    static const char letters[] = "abfnrtv\\'";
    static const char values[] = "\a\b\f\n\r\t\v\\'";
    char c = rest.at[0];
    const char *hit = c ? strchr(values, c) : NULL;
    size_t bytes = slice_utf8_length(rest);
    uint32_t point = slice_utf8_point(rest);
    if (hit)
        snprintf(out, size, "'\\%c'", letters[hit - values]);
    else if (bytes == 0)
        snprintf(out, size, "'\xef\xbf\xbd'"); /* U+FFFD, which stands for a stray byte */
    else if (is_visible(point))
        snprintf(out, size, "'" SLICE_FMT "'", (int)bytes, rest.at);
    else if (point < 0x80)
        snprintf(out, size, "'\\x%02x'", point);
    else
        snprintf(out, size, point < 0x10000 ? "'\\u%04x'" : "'\\U%08x'", point);
}

static int fail_character(const struct lexer *lexer, struct error *err, const char *what,
                          struct slice rest)
{
    char quoted[16];
    quote_character(rest, quoted, sizeof quoted);
    return lex_fail(lexer->text, lexer->at, err, "unexpected %s: %s", what, quoted);
}

static void take(struct lexer *lexer, struct token *out, enum token_kind kind, size_t size)
{
    *out = (struct token){kind, lexer->at, slice_make(lexer->text.at + lexer->at, size)};
    lexer->at += size;
}

static void skip_blank(struct lexer *lexer)
{
    while (lexer->at < lexer->text.len) {
        char c = lexer->text.at[lexer->at];
        if (c == '#') {
            while (lexer->at < lexer->text.len && lexer->text.at[lexer->at] != '\n')
                lexer->at++;
        } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
            lexer->at++;
        } else {
            return;
        }
    }
}

static int lex_end(struct lexer *lexer, struct token *out, struct error *err)
{
    if (lexer->in_braces)
        return lex_fail(lexer->text, lexer->at, err, "unexpected end of input inside braces");
    if (lexer->parens)
        return lex_fail(lexer->text, lexer->at, err, "unclosed left parenthesis");
    if (lexer->in_brackets)
        return lex_fail(lexer->text, lexer->at, err, "unclosed left bracket");
    take(lexer, out, TOKEN_END, 0);
    return 0;
}

static int lex_string(struct lexer *lexer, struct slice rest, struct token *out, struct error *err)
{
    char quote = rest.at[0];
    size_t i = 1;
    while (i < rest.len && rest.at[i] != quote && (quote == '`' || rest.at[i] != '\n'))
        i += rest.at[i] == '\\' && quote != '`' ? 2 : 1;
    if (i >= rest.len || rest.at[i] != quote)
        return lex_fail(lexer->text, lexer->at, err, "unterminated %s string",
                        quote == '`' ? "raw" : "quoted");
    take(lexer, out, TOKEN_STRING, i + 1);
    return 0;
}

static size_t count_digits(struct slice s, size_t i)
{
    size_t start = i;
    while (i < s.len && isdigit((unsigned char)s.at[i]))
        i++;
    return i - start;
}

/* Digits with single underscores between them: 1_000_000. */
static size_t count_grouped(struct slice s, size_t i, int (*is_digit)(int))
{
    size_t start = i;
    for (; i < s.len; i++) {
        bool underscore = s.at[i] == '_' && i > start && i + 1 < s.len && s.at[i - 1] != '_' &&
                          is_digit((unsigned char)s.at[i + 1]);
        if (!underscore && !is_digit((unsigned char)s.at[i]))
            break;
    }
    return i - start;
}

/* 123  1_000  1.5  .5  5.  1e-3  0x1F  0x_1F: the extent only. */
static size_t number_size(struct slice rest)
{
    size_t i;
    if (rest.len > 1 && rest.at[0] == '0' && (rest.at[1] == 'x' || rest.at[1] == 'X')) {
        bool underscore = rest.len > 3 && rest.at[2] == '_' && isxdigit((unsigned char)rest.at[3]);
        i = underscore ? 3 : 2;
        return i + count_grouped(rest, i, isxdigit);
    }
    i = count_grouped(rest, 0, isdigit);
    if (i < rest.len && rest.at[i] == '.')
        i += 1 + count_grouped(rest, i + 1, isdigit);
    if (i < rest.len && (rest.at[i] == 'e' || rest.at[i] == 'E')) {
        i++;
        if (i < rest.len && (rest.at[i] == '+' || rest.at[i] == '-'))
            i++;
        i += count_grouped(rest, i, isdigit);
    }
    return i;
}

/* The units of a duration, and the digits between them, from byte i on: 1h30m behind the 1. Returns where
 * Prometheus stops to read; *whole: it takes that for a duration. Which of them are, literal.h says. */
static size_t scan_units(struct slice rest, size_t i, bool *whole)
{
    static const char units[] = "ysmhdw"; /* a year comes first, if at all */
    for (const char *taken = units; i < rest.len; taken = units + 1) {
        if (!rest.at[i] || !strchr(taken, rest.at[i]))
            break;
        i += i + 1 < rest.len && rest.at[i + 1] == 's' ? 2 : 1;
        size_t digits = count_digits(rest, i);
        if (digits == 0) {
            *whole = i == rest.len || !is_name_rest(rest.at[i]);
            return *whole ? i : i + 1;
        }
        i += digits;
    }
    *whole = false;
    return i;
}

static int lex_number(struct lexer *lexer, struct slice rest, struct token *out, struct error *err)
{
    enum token_kind kind = TOKEN_NUMBER;
    size_t size = number_size(rest);
    if (size < rest.len && is_name_rest(rest.at[size])) {
        bool whole;
        for (int i = 0; i < 2 && size < rest.len && rest.at[size] == '_'; i++)
            size++;
        size = scan_units(rest, size, &whole);
        if (!whole)
            return lex_fail(lexer->text, lexer->at, err,
                            "bad number or duration syntax: \"" SLICE_FMT "\"",
                            SLICE_ARG(slice_head(rest, size)));
        kind = TOKEN_DURATION;
    }
    lexer->in_range = false;
    take(lexer, out, kind, size);
    return 0;
}

static enum token_kind word_kind(struct slice word)
{
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (slice_equal_nocase(words[i].text, word))
            return words[i].kind;
    return TOKEN_IDENTIFIER;
}

/* A bare metric name: [a-zA-Z_:] then [a-zA-Z0-9_:], and dots with such a character behind them. */
static size_t metric_size(struct slice rest, bool *plain)
{
    size_t i = 0;
    *plain = true;
    if (rest.len == 0 || !(is_name_start(rest.at[0]) || rest.at[0] == ':'))
        return 0;
    for (; i < rest.len; i++) {
        char c = rest.at[i];
        bool dot =
            c == '.' && i + 1 < rest.len && (is_name_rest(rest.at[i + 1]) || rest.at[i + 1] == ':');
        if (c == ':' || dot)
            *plain = false;
        else if (!is_name_rest(c))
            break;
    }
    return i;
}

static void lex_word(struct lexer *lexer, struct slice rest, struct token *out)
{
    bool plain;
    size_t size = metric_size(rest, &plain);
    take(lexer, out, plain ? word_kind(slice_head(rest, size)) : TOKEN_METRIC, size);
}

static int lex_in_braces(struct lexer *lexer, struct slice rest, struct token *out,
                         struct error *err)
{
    size_t size = 0;
    if (rest.at[0] == '}') {
        lexer->in_braces = false;
        take(lexer, out, TOKEN_RIGHT_BRACE, 1);
        return 0;
    }
    if (rest.at[0] == '{')
        return lex_fail(lexer->text, lexer->at, err, "unexpected left brace '{'");
    if (rest.at[0] == '"' || rest.at[0] == '\'' || rest.at[0] == '`')
        return lex_string(lexer, rest, out, err);
    if (is_name_start(rest.at[0])) {
        while (size < rest.len && is_name_rest(rest.at[size]))
            size++;
        take(lexer, out, TOKEN_IDENTIFIER, size);
        return 0;
    }
    for (size_t i = 0; i < sizeof brace_marks / sizeof brace_marks[0]; i++) {
        if (slice_starts_with(rest, brace_marks[i].text)) {
            take(lexer, out, brace_marks[i].kind, brace_marks[i].text.len);
            return 0;
        }
    }
    if (rest.at[0] == '!' && rest.len > 1)
        return fail_character(lexer, err, "character after '!' inside braces", slice_skip(rest, 1));
    return fail_character(lexer, err, "character inside braces", rest);
}

/* Brackets hold numbers and a colon. Prometheus' experimental arithmetic of durations has more between
 * them; its lexer comes first, so its sentences do. */
static int check_in_brackets(const struct lexer *lexer, struct slice rest, struct error *err)
{
    char c = rest.len ? rest.at[0] : '\0';
    if (lexer->in_range && rest.len == 0)
        return lex_fail(lexer->text, lexer->at, err,
                        "unexpected end of input in duration expression");
    if (lexer->in_range && c == ':')
        return lex_fail(lexer->text, lexer->at, err,
                        "unexpected colon before duration in duration expression");
    if (lexer->in_range && !isdigit((unsigned char)c) && !strchr("](.)+-*/%^,", c))
        return fail_character(lexer, err, "character in duration expression", rest);
    if (c == ':' && lexer->had_colon)
        return lex_fail(lexer->text, lexer->at, err, "unexpected colon ':'");
    if (!is_name_start(c))
        return 0;
    return lex_fail(lexer->text, lexer->at, err, "unexpected character: '%c', expected ':'", c);
}

/* ( ) { [ ] and, in brackets, the colon. 1: taken, 0: none of them, -1: unmatched. */
static int lex_bracket(struct lexer *lexer, struct slice rest, struct token *out, struct error *err)
{
    switch (rest.at[0]) {
    case '(':
        lexer->parens++;
        take(lexer, out, TOKEN_LEFT_PAREN, 1);
        return 1;
    case ')':
        if (lexer->parens == 0) {
            lexer->at++; /* Prometheus points behind it */
            return lex_fail(lexer->text, lexer->at, err, "unexpected right parenthesis ')'");
        }
        lexer->parens--;
        take(lexer, out, TOKEN_RIGHT_PAREN, 1);
        return 1;
    case '{':
        lexer->in_braces = true;
        take(lexer, out, TOKEN_LEFT_BRACE, 1);
        return 1;
    case '[':
        if (lexer->in_brackets)
            return lex_fail(lexer->text, lexer->at, err, "unexpected left bracket '['");
        lexer->in_brackets = lexer->in_range = true;
        lexer->had_colon = false;
        take(lexer, out, TOKEN_LEFT_BRACKET, 1);
        return 1;
    case ']':
        if (!lexer->in_brackets)
            return lex_fail(lexer->text, lexer->at, err, "unexpected right bracket ']'");
        lexer->in_brackets = false;
        take(lexer, out, TOKEN_RIGHT_BRACKET, 1);
        return 1;
    case ':':
        if (!lexer->in_brackets)
            return 0;
        lexer->had_colon = true;
        take(lexer, out, TOKEN_COLON, 1);
        return 1;
    default:
        return 0;
    }
}

static int lex_mark(struct lexer *lexer, struct slice rest, struct token *out, struct error *err)
{
    if (rest.len > 1 &&
        ((rest.at[0] == '=' && rest.at[1] == '~') || (rest.at[0] == '!' && rest.at[1] != '='))) {
        char what[] = "character after '?'";
        what[sizeof what - 3] = rest.at[0];
        return fail_character(lexer, err, what, slice_skip(rest, 1));
    }
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        if (slice_starts_with(rest, marks[i].text)) {
            take(lexer, out, marks[i].kind, marks[i].text.len);
            return 0;
        }
    }
    return fail_character(lexer, err, "character", rest);
}

int lex_next(struct lexer *lexer, struct token *out, struct error *err)
{
    skip_blank(lexer);
    *out = (struct token){TOKEN_ERROR, lexer->at, SLICE("")};
    struct slice rest = slice_skip(lexer->text, lexer->at);
    if (lexer->in_brackets && check_in_brackets(lexer, rest, err) < 0)
        return -1;
    if (rest.len == 0)
        return lex_end(lexer, out, err);
    if (lexer->in_braces)
        return lex_in_braces(lexer, rest, out, err);
    int taken = lex_bracket(lexer, rest, out, err);
    if (taken != 0)
        return taken < 0 ? -1 : 0;
    char c = rest.at[0];
    if (c == '"' || c == '\'' || c == '`')
        return lex_string(lexer, rest, out, err);
    if (isdigit((unsigned char)c) ||
        (c == '.' && rest.len > 1 && isdigit((unsigned char)rest.at[1])))
        return lex_number(lexer, rest, out, err);
    if (is_name_start(c) || c == ':') {
        lex_word(lexer, rest, out);
        return 0;
    }
    return lex_mark(lexer, rest, out, err);
}

bool token_is_operator(enum token_kind kind)
{
    return kind >= TOKEN_ADD && kind <= TOKEN_UNLESS;
}

bool token_is_aggregate(enum token_kind kind)
{
    return kind >= TOKEN_SUM && kind <= TOKEN_LIMIT_RATIO;
}

bool token_is_word(const struct token *token)
{
    return token->text.len && is_name_start(token->text.at[0]) && token->kind != TOKEN_METRIC &&
           token->kind != TOKEN_NUMBER; /* Inf and NaN */
}

bool name_is_label(struct slice name)
{
    if (name.len == 0 || !is_name_start(name.at[0]))
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!is_name_rest(name.at[i]))
            return false;
    return true;
}

bool name_is_bare_metric(struct slice name)
{
    bool plain;
    return name.len && metric_size(name, &plain) == name.len &&
           !(plain && word_kind(name) != TOKEN_IDENTIFIER);
}

/* Go's %.10q: at most ten bytes, quotes escaped. */
static void describe_quoted(struct slice text, bool cut, char *out, size_t size)
{
    bool long_text = cut && text.len > 10;
    size_t used = (size_t)snprintf(out, size, "\"");
    text = slice_head(text, long_text ? 10 : text.len);
    for (size_t i = 0; i < text.len && used + 8 < size; i++) {
        if (text.at[i] == '"' || text.at[i] == '\\')
            out[used++] = '\\';
        out[used++] = text.at[i];
    }
    snprintf(out + used, size - used, long_text ? "\"..." : "\"");
}

void token_describe(const struct token *token, char *out, size_t size)
{
    char quoted[256];
    bool name = token->kind == TOKEN_IDENTIFIER || token->kind == TOKEN_METRIC;
    const char *what = token->kind == TOKEN_IDENTIFIER ? "identifier "
                       : token->kind == TOKEN_METRIC   ? "metric identifier "
                       : token->kind == TOKEN_STRING   ? "string "
                       : token->kind == TOKEN_NUMBER   ? "number "
                       : token->kind == TOKEN_DURATION ? "duration "
                                                       : "";
    if (token->kind == TOKEN_END)
        snprintf(out, size, "end of input");
    else if (token_is_operator(token->kind) || token->kind == TOKEN_MATCH_REGEX ||
             token->kind == TOKEN_MATCH_NOT_REGEX)
        snprintf(out, size, "<op:" SLICE_FMT ">", SLICE_ARG(token->text));
    else if (token_is_aggregate(token->kind))
        snprintf(out, size, "<aggr:" SLICE_FMT ">", SLICE_ARG(token->text));
    else if (token->kind >= TOKEN_BY && token->kind < TOKEN_START)
        snprintf(out, size, "<" SLICE_FMT ">", SLICE_ARG(token->text));
    else {
        describe_quoted(token->text, !name, quoted, sizeof quoted);
        snprintf(out, size, "%s%s", what, quoted);
    }
}
