/* logql_parse_template: the small languages inside strings.
 *
 *   {{.status}} {{ .path | trunc 20 | lower }} {{ replace "a" "b" .x }} {{ __line__ }}
 *   FIELD       FIELD TRUNC LOWER              FIELD REPLACE            FIELD
 *
 *   <ip> - <_> [<_>] "<method> <path>"        captures, and the texts between them
 *
 * Both become a list of pieces. Of Go's templates there are labels, pipes and six functions;
 * conditions, variables and loops are absent, and named as such.
 */
#include "query/logql_parser.h"

#define PIECES_MAX 128

struct pieces {
    struct logql_piece *at;
    size_t count;
};

static struct logql_piece *add_piece(struct logql_parser *parser, struct pieces *pieces,
                                     enum logql_function function)
{
    if (!pieces->at)
        pieces->at = arena_zeroed(parser->arena, PIECES_MAX, sizeof *pieces->at);
    if (!pieces->at || pieces->count == PIECES_MAX) {
        logql_fail(parser, "the template has more than %d parts", PIECES_MAX);
        return NULL;
    }
    struct logql_piece *piece = &pieces->at[pieces->count++];
    piece->function = function;
    return piece;
}

/* Functions of a template: how many arguments come before the value. */
static const struct {
    const char *name;
    enum logql_function function;
    int args;
} functions[] = {
    {"lower", TEMPLATE_LOWER, 0},     {"upper", TEMPLATE_UPPER, 0},
    {"ToLower", TEMPLATE_LOWER, 0},   {"ToUpper", TEMPLATE_UPPER, 0},
    {"trim", TEMPLATE_TRIM, 0},       {"trunc", TEMPLATE_TRUNC, 1},
    {"replace", TEMPLATE_REPLACE, 2}, {"default", TEMPLATE_DEFAULT, 1},
};

static void skip_spaces(struct slice *rest)
{
    while (rest->len && rest->at[0] == ' ')
        *rest = slice_skip(*rest, 1);
}

/* The next word of an action: .name, function, "string" or number; empty at the end. */
static int cut_action_word(struct logql_parser *parser, struct slice *rest, struct slice *out)
{
    size_t len = 0;
    skip_spaces(rest);
    if (rest->len && (rest->at[0] == '"' || rest->at[0] == '`')) {
        const char *end = memchr(rest->at + 1, rest->at[0], rest->len - 1);
        if (!end)
            return logql_fail(parser, "a string in the template has no closing quote");
        len = (size_t)(end - rest->at) + 1;
    } else {
        while (len < rest->len && rest->at[len] != ' ' && rest->at[len] != '|')
            len++;
    }
    *out = slice_head(*rest, len);
    *rest = slice_skip(*rest, len);
    skip_spaces(rest);
    return 0;
}

static int take_argument(struct logql_parser *parser, struct logql_piece *piece, int index,
                         struct slice word)
{
    uint64_t number;
    bool quoted = word.len >= 2 && (word.at[0] == '"' || word.at[0] == '`');
    if (piece->function == TEMPLATE_TRUNC) {
        if (!slice_to_u64(word, &number))
            return logql_fail(parser, "trunc needs a number: {{ trunc 20 .name }}");
        piece->number = (size_t)number;
        return 0;
    }
    if (!quoted)
        return logql_fail(parser, "template functions need quoted arguments, then the label: "
                                  "{{ replace \"a\" \"b\" .name }}");
    word = slice_make(word.at + 1, word.len - 2);
    if (index == 0)
        piece->text = word;
    else
        piece->to = word;
    return 0;
}

static int parse_field(struct logql_parser *parser, struct slice word, struct pieces *pieces)
{
    bool line = slice_equal(word, SLICE("__line__"));
    if (!line && (word.len < 2 || word.at[0] != '.'))
        return logql_fail(parser,
                          "a template can use .LABEL, __line__ and lower, upper, trim, "
                          "trunc, replace, default; not `" SLICE_FMT "`",
                          SLICE_ARG(slice_head(word, 40)));
    struct logql_piece *piece = add_piece(parser, pieces, TEMPLATE_FIELD);
    if (!piece)
        return -1;
    piece->text = line ? SLICE("") : slice_skip(word, 1);
    return 0;
}

/* One function with its arguments; the value, when it is named here, goes before it. */
static int parse_call(struct logql_parser *parser, struct slice word, struct slice *rest,
                      struct pieces *pieces, bool piped)
{
    size_t row = 0, count = sizeof functions / sizeof functions[0];
    while (row < count && !slice_equal_string(word, functions[row].name))
        row++;
    if (row == count)
        return piped ? logql_fail(parser, "there is no template function `" SLICE_FMT "`",
                                  SLICE_ARG(slice_head(word, 40)))
                     : parse_field(parser, word, pieces);
    struct logql_piece call = {.function = functions[row].function};
    for (int i = 0; i < functions[row].args; i++)
        if (cut_action_word(parser, rest, &word) || take_argument(parser, &call, i, word))
            return -1;
    if (!piped && (cut_action_word(parser, rest, &word) || parse_field(parser, word, pieces)))
        return -1;
    struct logql_piece *piece = add_piece(parser, pieces, call.function);
    if (!piece)
        return -1;
    *piece = call;
    return 0;
}

/* .label | function arg | function */
static int parse_action(struct logql_parser *parser, struct slice action, struct pieces *pieces)
{
    struct slice word = SLICE("");
    for (bool piped = false; !piped || action.len; piped = true) {
        if (cut_action_word(parser, &action, &word) ||
            parse_call(parser, word, &action, pieces, piped))
            return -1;
        if (action.len && action.at[0] != '|')
            return logql_fail(parser, "unexpected text in {{ }}; functions are joined by `|`");
        if (action.len)
            action = slice_skip(action, 1);
    }
    return 0;
}

static int add_text(struct logql_parser *parser, struct pieces *pieces, struct slice text)
{
    if (text.len == 0)
        return 0;
    struct logql_piece *piece = add_piece(parser, pieces, TEMPLATE_TEXT);
    if (!piece)
        return -1;
    piece->text = text;
    return 0;
}

int logql_parse_template(struct logql_parser *parser, struct slice text,
                         const struct logql_piece **out, size_t *count)
{
    struct pieces pieces = {NULL, 0};
    while (text.len) {
        size_t start = slice_find(text, SLICE("{{"));
        if (add_text(parser, &pieces, slice_head(text, start)))
            return -1;
        text = slice_skip(text, start);
        if (text.len == 0)
            break;
        text = slice_skip(text, 2);
        size_t end = slice_find(text, SLICE("}}"));
        if (end == text.len)
            return logql_fail(parser, "{{ without }} in the template");
        if (parse_action(parser, slice_trim(slice_head(text, end)), &pieces))
            return -1;
        text = slice_skip(text, end + 2);
    }
    *out = pieces.at;
    *count = pieces.count;
    return 0;
}

int logql_parse_pattern(struct logql_parser *parser, struct slice text,
                        const struct logql_piece **out, size_t *count)
{
    struct pieces pieces = {NULL, 0};
    bool after_capture = false, any = false;
    while (text.len) {
        size_t start = slice_find(text, SLICE("<"));
        size_t end = slice_find(slice_skip(text, start), SLICE(">"));
        if (start + end >= text.len) /* no capture any more */
            start = text.len;
        if (add_text(parser, &pieces, slice_head(text, start)))
            return -1;
        after_capture = after_capture && start == 0;
        text = slice_skip(text, start);
        if (text.len == 0)
            break;
        if (after_capture)
            return logql_fail(parser, "two captures of a pattern need some text between them");
        struct logql_piece *piece = add_piece(parser, &pieces, TEMPLATE_FIELD);
        if (!piece)
            return -1;
        piece->text = slice_make(text.at + 1, end - 1);
        if (slice_equal(piece->text, SLICE("_")))
            piece->text = SLICE("");
        any |= piece->text.len > 0;
        after_capture = true;
        text = slice_skip(text, end + 1);
    }
    if (!any)
        return logql_fail(parser, "the pattern captures nothing; name a part <like_this>");
    *out = pieces.at;
    *count = pieces.count;
    return 0;
}
