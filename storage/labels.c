/* labels: see the header. Sets are small (a handful of pairs), so everything is linear. */
#include "storage/labels.h"

#include <stdlib.h>

static int compare_names(const void *a, const void *b)
{
    return slice_compare(((const struct label *)a)->name, ((const struct label *)b)->name);
}

void labels_sort(struct label *at, size_t count)
{
    /* Nearly sorted and tiny in practice: insertion beats qsort. */
    for (size_t i = 1; i < count; i++) {
        struct label moving = at[i];
        size_t j = i;
        for (; j > 0 && compare_names(&at[j - 1], &moving) > 0; j--)
            at[j] = at[j - 1];
        at[j] = moving;
    }
}

struct slice labels_get(struct labels labels, struct slice name)
{
    for (size_t i = 0; i < labels.count; i++)
        if (slice_equal(labels.at[i].name, name))
            return labels.at[i].value;
    return SLICE("");
}

bool labels_equal(struct labels a, struct labels b)
{
    return a.count == b.count && labels_compare(a, b) == 0;
}

int labels_compare(struct labels a, struct labels b)
{
    for (size_t i = 0; i < a.count && i < b.count; i++) {
        int order = slice_compare(a.at[i].name, b.at[i].name);
        if (order == 0)
            order = slice_compare(a.at[i].value, b.at[i].value);
        if (order != 0)
            return order;
    }
    return (a.count > b.count) - (a.count < b.count);
}

void labels_encode(struct labels labels, struct buffer *out)
{
    for (size_t i = 0; i < labels.count; i++) {
        buffer_append_prefixed(out, labels.at[i].name);
        buffer_append_prefixed(out, labels.at[i].value);
    }
}

bool labels_decode(struct slice bytes, struct arena *arena, struct labels *out)
{
    struct label pairs[LABELS_MAX];
    size_t count = 0;
    while (bytes.len) {
        if (count == LABELS_MAX || !bytes_cut_prefixed(&bytes, &pairs[count].name) ||
            !bytes_cut_prefixed(&bytes, &pairs[count].value))
            return false;
        count++;
    }
    struct label *at = arena_alloc(arena, count * sizeof *at);
    if (!at)
        return false;
    if (count)
        memcpy(at, pairs, count * sizeof *at);
    *out = (struct labels){at, count};
    return true;
}

struct slice labels_find(struct slice bytes, struct slice name)
{
    struct slice found, value;
    while (bytes.len && bytes_cut_prefixed(&bytes, &found) && bytes_cut_prefixed(&bytes, &value))
        if (slice_equal(found, name))
            return value;
    return SLICE("");
}

struct labels labels_copy(struct arena *arena, struct labels labels)
{
    struct label *at = arena_alloc(arena, labels.count * sizeof *at);
    if (!at)
        return (struct labels){NULL, 0};
    for (size_t i = 0; i < labels.count; i++) {
        at[i].name = arena_copy(arena, labels.at[i].name);
        at[i].value = arena_copy(arena, labels.at[i].value);
    }
    return (struct labels){at, labels.count};
}

static void print_pairs(struct labels labels, bool with_name, struct buffer *out)
{
    bool first = true;
    buffer_append_char(out, '{');
    for (size_t i = 0; i < labels.count; i++) {
        if (!with_name && slice_equal(labels.at[i].name, SLICE(LABEL_NAME)))
            continue;
        if (!first)
            buffer_append_string(out, ", ");
        first = false;
        buffer_append_slice(out, labels.at[i].name);
        buffer_append_char(out, '=');
        json_append_quoted(out, labels.at[i].value);
    }
    buffer_append_char(out, '}');
}

void labels_print(struct labels labels, struct buffer *out)
{
    buffer_append_slice(out, labels_get(labels, SLICE(LABEL_NAME)));
    print_pairs(labels, false, out);
}

void labels_print_pairs(struct labels labels, struct buffer *out)
{
    print_pairs(labels, true, out);
}

void labels_put_json(struct labels labels, struct json_writer *writer)
{
    json_begin_object(writer);
    for (size_t i = 0; i < labels.count; i++) {
        json_key(writer, labels.at[i].name);
        json_put_string(writer, labels.at[i].value);
    }
    json_end_object(writer);
}

void labels_print_json(struct labels labels, struct buffer *out)
{
    struct json_writer writer;
    json_writer_init(&writer, out);
    labels_put_json(labels, &writer);
}
