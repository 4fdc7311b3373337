/* option_print: the table of options in words: what a row allows, a configuration as YAML that loads back
 * to the same values, and the documentation.
 */
#include "storage/base/option_state.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const struct option_unit option_byte_units[OPTION_BYTE_UNITS] = {
    {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1}};

static const struct option_unit duration_units[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

static void print_bytes(int64_t value, struct buffer *out)
{
    size_t i = 0;
    while (value % option_byte_units[i].unit != 0)
        i++;
    const char *suffix =
        option_byte_units[i].unit == 1 || value == 0 ? "" : option_byte_units[i].suffix;
    buffer_append_format(out, "%lld%s",
                         (long long)(*suffix ? value / option_byte_units[i].unit : value), suffix);
}

static void print_duration(int64_t value, struct buffer *out)
{
    if (value == 0)
        buffer_append_string(out, "0s");
    for (size_t i = 0; i < COUNT(duration_units); i++) {
        int64_t whole = value / duration_units[i].unit;
        if (whole)
            buffer_append_format(out, "%lld%s", (long long)whole, duration_units[i].suffix);
        value -= whole * duration_units[i].unit;
    }
}

/* What the row allows, for error texts and the documentation. */
void option_describe(const struct option *row, struct buffer *out)
{
    static const char *const kinds[] = {
        [OPTION_STRING] = "text",
        [OPTION_INT] = "a whole number",
        [OPTION_DURATION] = "a duration like 10s or 1h30m",
        [OPTION_BYTES] = "a size like 64KiB or 16MiB",
        [OPTION_BOOL] = "true or false",
        [OPTION_ADDRESS] = "an address like 127.0.0.1:8125, or \"\" for off",
        [OPTION_CHOICE] = "one of ",
        [OPTION_LIST] = "a list of texts",
        [OPTION_ROWS] = "a list of maps",
    };
    void (*print)(int64_t, struct buffer *) =
        row->type == OPTION_BYTES ? print_bytes : print_duration;
    buffer_append_string(out, kinds[row->type]);
    for (size_t i = 0; row->type == OPTION_CHOICE && row->choices[i]; i++)
        buffer_append_format(out, "%s%s", i ? ", " : "", row->choices[i]);
    if (row->min == 0 && row->max == 0)
        return;
    if (row->type == OPTION_INT) {
        buffer_append_format(out, " from %lld to %lld", (long long)row->min, (long long)row->max);
        return;
    }
    buffer_append_string(out, " from ");
    print(row->min, out);
    buffer_append_string(out, " to ");
    print(row->max, out);
}

/* Double-quoted YAML in which ${ does not expand. */
static void print_quoted(const char *text, struct buffer *out)
{
    buffer_append_char(out, '"');
    for (const char *c = text; *c; c++) {
        if (c[0] == '$' && c[1] == '{')
            buffer_append_char(out, '$');
        if (*c == '"' || *c == '\\')
            buffer_append_char(out, '\\');
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            buffer_append_format(out, "\\x%02x", (unsigned char)*c);
        else
            buffer_append_char(out, *c);
    }
    buffer_append_char(out, '"');
}

static void print_list(const struct option_list *list, struct buffer *out)
{
    buffer_append_char(out, '[');
    for (size_t i = 0; i < list->count; i++) {
        buffer_append_string(out, i ? ", " : "");
        print_quoted(list->at[i], out);
    }
    buffer_append_char(out, ']');
}

static void print_value(const struct option *row, const char *at, struct buffer *out);

/* True when the value of a row of a list of maps was left out. */
static bool is_left_out(const struct option *row, const char *at)
{
    int64_t number;
    memcpy(&number, at, sizeof number);
    return !row->fallback && number == 0;
}

/* [{match: "...", raw: 3d}, ...] */
static void print_rows(const struct option *row, const struct option_rows *rows, struct buffer *out)
{
    buffer_append_char(out, '[');
    for (size_t i = 0; i < rows->count; i++) {
        const char *element = (const char *)rows->at + i * row->row_size;
        size_t printed = 0;
        buffer_append_string(out, i ? ", {" : "{");
        for (size_t k = 0; k < row->row_count; k++) {
            const struct option *part = &row->rows[k];
            if (is_left_out(part, element + part->offset))
                continue;
            buffer_append_format(out, "%s%s: ", printed++ ? ", " : "", part->path);
            print_value(part, element + part->offset, out);
        }
        buffer_append_char(out, '}');
    }
    buffer_append_char(out, ']');
}

static void print_value(const struct option *row, const char *at, struct buffer *out)
{
    int64_t number = 0;
    switch (row->type) {
    case OPTION_STRING:
    case OPTION_ADDRESS:
        print_quoted(*(const char *const *)(const void *)at, out);
        return;
    case OPTION_BOOL:
        buffer_append_string(out, *(const bool *)at ? "true" : "false");
        return;
    case OPTION_LIST:
        print_list((const struct option_list *)(const void *)at, out);
        return;
    case OPTION_ROWS:
        print_rows(row, (const struct option_rows *)(const void *)at, out);
        return;
    case OPTION_INT:
    case OPTION_DURATION:
    case OPTION_BYTES:
    case OPTION_CHOICE:
        memcpy(&number, at, sizeof number);
        break;
    }
    if (row->type == OPTION_DURATION)
        print_duration(number, out);
    else if (row->type == OPTION_BYTES)
        print_bytes(number, out);
    else if (row->type == OPTION_CHOICE)
        buffer_append_string(out, row->choices[number]);
    else
        buffer_append_format(out, "%lld", (long long)number);
}

/* Opens the sections in which `path` lies and `previous` does not; leaves the last word in *path. */
static int print_sections(struct slice *path, struct slice previous, struct buffer *out)
{
    struct slice word, other = {"", 0};
    int depth = 0;
    bool same = true;
    while (memchr(path->at, '.', path->len)) {
        bool other_is_section = slice_cut(&previous, '.', &other);
        slice_cut(path, '.', &word);
        same = same && other_is_section && slice_equal(word, other);
        if (!same)
            buffer_append_format(out, "%*s" SLICE_FMT ":\n", depth * 2, "", SLICE_ARG(word));
        depth++;
    }
    return depth;
}

void option_print(const struct option *table, size_t count, const void *config, struct buffer *out)
{
    for (size_t i = 0; i < count; i++) {
        struct slice path = slice_of_string(table[i].path);
        struct slice previous = slice_of_string(i ? table[i - 1].path : "");
        int depth = print_sections(&path, previous, out);
        buffer_append_format(out, "%*s" SLICE_FMT ": ", depth * 2, "", SLICE_ARG(path));
        print_value(&table[i], (const char *)config + table[i].offset, out);
        buffer_append_char(out, '\n');
    }
}

/* `prefix` is the path of the list of maps that the table belongs to, or "". */
static void document_rows(const struct option *table, size_t count, const char *prefix,
                          struct buffer *out)
{
    for (size_t i = 0; i < count; i++) {
        const struct option *row = &table[i];
        buffer_append_format(out, "| `%s%s%s` | ", prefix, *prefix ? "[]." : "", row->path);
        if (row->fallback)
            buffer_append_format(out, "`%s`", *row->fallback ? row->fallback : "\"\"");
        buffer_append_string(out, " | ");
        option_describe(row, out);
        if (row->unit)
            buffer_append_format(out, ", %s", row->unit);
        buffer_append_format(out, " | %s | %s |\n", row->reloadable ? "yes" : "no", row->help);
        if (row->type == OPTION_ROWS)
            document_rows(row->rows, row->row_count, row->path, out);
    }
}

void option_document(const struct option *table, size_t count, struct buffer *out)
{
    buffer_append_string(out, "| key | default | allowed | reload | meaning |\n"
                              "|---|---|---|---|---|\n");
    document_rows(table, count, "", out);
}
