/* huffman: canonical codes of at most nine bits, the first bit of a symbol in the highest bit of a byte.
 *
 *   code    first symbol, 8 bits | last, 8 bits
 *           | for each symbol from the first to the last: its length, next to that of the one before
 *             (10 counts as the length of one that does not occur, and is where it begins)
 *                 0            the same
 *                 10 sign      one more (0) or less (1)
 *                 11 length    4 bits
 *           padded to whole bytes
 *
 * Symbols are what is above the low bits of noise: a bell, so neighbours have lengths that are alike,
 * and the code takes two bits a symbol.
 */
#include "storage/code/huffman.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>

/* --- planning --- */

struct node {
    uint32_t weight;
    uint16_t parent; /* later in the array */
    uint8_t symbol;
    uint8_t depth;
};

static int compare_nodes(const void *a, const void *b)
{
    const struct node *x = a, *y = b;
    if (x->weight != y->weight)
        return x->weight < y->weight ? -1 : 1;
    return (int)x->symbol - (int)y->symbol;
}

/* The lighter one of the next leaf and the next inner node. */
static size_t take(const struct node *nodes, size_t *leaf, size_t leaves, size_t *inner, size_t end)
{
    if (*leaf < leaves && (*inner == end || nodes[*leaf].weight <= nodes[*inner].weight))
        return (*leaf)++;
    return (*inner)++;
}

/* Of leaves in ascending order; returns the depth of the deepest. */
static unsigned build_tree(struct node *nodes, size_t leaves)
{
    size_t leaf = 0, inner = leaves, end = leaves;
    unsigned deepest = 0;
    for (; end < 2 * leaves - 1; end++) {
        size_t a = take(nodes, &leaf, leaves, &inner, end);
        size_t b = take(nodes, &leaf, leaves, &inner, end);
        nodes[end] = (struct node){.weight = nodes[a].weight + nodes[b].weight};
        nodes[a].parent = nodes[b].parent = (uint16_t)end;
    }
    nodes[end - 1].depth = 0;
    for (size_t i = end - 1; i--;) {
        nodes[i].depth = (uint8_t)(nodes[nodes[i].parent].depth + 1);
        deepest = nodes[i].depth > deepest ? nodes[i].depth : deepest;
    }
    return deepest;
}

/* In the order of lengths, and of symbols among equals. */
static void assign_bits(struct huffman_code *code)
{
    unsigned next = 0;
    for (unsigned length = 1; length <= HUFFMAN_LENGTH_MAX; length++, next <<= 1)
        for (unsigned symbol = 0; symbol < HUFFMAN_SYMBOLS; symbol++)
            if (code->lengths[symbol] == length)
                code->bits[symbol] = (uint16_t)next++;
}

void huffman_plan(const uint32_t counts[HUFFMAN_SYMBOLS], struct huffman_code *out)
{
    struct node nodes[2 * HUFFMAN_SYMBOLS];
    size_t leaves = 0;
    *out = (struct huffman_code){.lengths = {0}};
    for (unsigned symbol = 0; symbol < HUFFMAN_SYMBOLS; symbol++)
        if (counts[symbol])
            nodes[leaves++] = (struct node){.weight = counts[symbol], .symbol = (uint8_t)symbol};
    assert(leaves);
    if (leaves == 1) /* a code of one symbol would have no bits */
        nodes[leaves++] = (struct node){.weight = 1, .symbol = (uint8_t)(nodes[0].symbol ^ 1)};
    qsort(nodes, leaves, sizeof *nodes, compare_nodes);
    /* Too deep: lighter weights are made more alike. */
    while (build_tree(nodes, leaves) > HUFFMAN_LENGTH_MAX)
        for (size_t i = 0; i < leaves; i++)
            nodes[i].weight = nodes[i].weight / 2 + 1;
    for (size_t i = 0; i < leaves; i++)
        out->lengths[nodes[i].symbol] = nodes[i].depth;
    assign_bits(out);
}

/* --- writing --- */

struct bit_writer {
    struct buffer *out;
    uint32_t pending;
    unsigned fill;
};

static void put_bits(struct bit_writer *writer, unsigned bits, unsigned width)
{
    writer->pending = writer->pending << width | bits;
    for (writer->fill += width; writer->fill >= 8; writer->fill -= 8)
        buffer_append_u8(writer->out, (uint8_t)(writer->pending >> (writer->fill - 8)));
}

static void pad_bits(struct bit_writer *writer)
{
    if (writer->fill)
        put_bits(writer, 0, 8 - writer->fill);
}

void huffman_append(struct buffer *out, const struct huffman_code *code, const uint8_t *symbols,
                    size_t count)
{
    struct bit_writer writer = {.out = out};
    for (size_t i = 0; i < count; i++)
        put_bits(&writer, code->bits[symbols[i]], code->lengths[symbols[i]]);
    pad_bits(&writer);
}

void huffman_append_code(struct buffer *out, const struct huffman_code *code)
{
    struct bit_writer writer = {.out = out};
    unsigned first = 0, last = HUFFMAN_SYMBOLS - 1, known = HUFFMAN_ABSENT;
    while (first < last && code->lengths[first] == 0)
        first++;
    while (last > first && code->lengths[last] == 0)
        last--;
    put_bits(&writer, first, 8);
    put_bits(&writer, last, 8);
    for (unsigned symbol = first; symbol <= last; symbol++) {
        unsigned length = code->lengths[symbol] ? code->lengths[symbol] : HUFFMAN_ABSENT;
        if (length == known)
            put_bits(&writer, 0, 1);
        else if (length == known + 1 || known == length + 1)
            put_bits(&writer, length > known ? 4 : 5, 3);
        else
            put_bits(&writer, 3 << 4 | length, 6);
        known = length;
    }
    pad_bits(&writer);
}
