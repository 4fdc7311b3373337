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
 *
 * Reading looks up nine bits at a time. A symbol's place in the bits is known only when the one before
 * it has been looked up, which takes a processor longer than all else there is to do: it can do four
 * streams at once.
 */
#include "storage/code/huffman.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>

#define ABSENT      (HUFFMAN_LENGTH_MAX + 1)
#define WORD_BITS   57 /* that eight bytes hold wherever they begin */
#define STEP        (WORD_BITS / HUFFMAN_LENGTH_MAX)
#define LENGTH_BITS 6 /* that a length takes at most */
#define LANES       4

_Static_assert(STEP == 6, "what read_step is unrolled to");

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
    unsigned first = 0, last = HUFFMAN_SYMBOLS - 1, known = ABSENT;
    while (first < last && code->lengths[first] == 0)
        first++;
    while (last > first && code->lengths[last] == 0)
        last--;
    put_bits(&writer, first, 8);
    put_bits(&writer, last, 8);
    for (unsigned symbol = first; symbol <= last; symbol++) {
        unsigned length = code->lengths[symbol] ? code->lengths[symbol] : ABSENT;
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

/* --- reading --- */

/* The bits from `bit` on, WORD_BITS at least, in the high bits; zeros follow the last byte. */
static inline uint64_t load_bits(struct slice bytes, size_t bit)
{
    uint64_t word = 0;
    size_t at = bit / 8, left = at < bytes.len ? bytes.len - at : 0;
    if (left >= sizeof word)
        memcpy(&word, bytes.at + at, sizeof word);
    else if (left)
        memcpy(&word, bytes.at + at, left);
    return be64toh(word) << (bit & 7);
}

/* By the next three bits: how a length follows from the one before. */
static const struct length_row {
    uint8_t width; /* bits taken */
    uint8_t keep;  /* of the length before */
    int8_t add;
    uint8_t absolute; /* of the last bits taken */
} length_rows[] = {{1, 15, 0, 0}, {1, 15, 0, 0},  {1, 15, 0, 0}, {1, 15, 0, 0},
                   {3, 15, 1, 0}, {3, 15, -1, 0}, {6, 0, 0, 15}, {6, 0, 0, 15}};

/* The symbols that may occur, and the lengths of all of them. */
struct lengths {
    unsigned first, last;
    uint8_t at[HUFFMAN_SYMBOLS];
};

static bool cut_lengths(struct slice *rest, struct lengths *out)
{
    uint8_t first, last;
    unsigned length = ABSENT;
    size_t bit = 0;
    if (!bytes_cut_u8(rest, &first) || !bytes_cut_u8(rest, &last) || first > last)
        return false;
    out->first = first;
    out->last = last;
    for (unsigned symbol = first; symbol <= last;) {
        uint64_t word = load_bits(*rest, bit);
        unsigned ready = WORD_BITS / LENGTH_BITS;
        for (; ready && symbol <= last; ready--) {
            const struct length_row *row = &length_rows[word >> 61];
            length = (length & row->keep) + (unsigned)row->add +
                     ((unsigned)(word >> (64 - LENGTH_BITS)) & row->absolute);
            if (length == 0 || length > ABSENT)
                return false;
            out->at[symbol++] = (uint8_t)length;
            word <<= row->width;
            bit += row->width;
        }
    }
    if (bit > rest->len * 8)
        return false;
    *rest = slice_skip(*rest, (bit + 7) / 8);
    return true;
}

/* The symbols in the order of their lengths. Returns how many occur. */
static size_t sort_symbols(const struct lengths *lengths, uint8_t *out)
{
    size_t places[ABSENT + 2] = {0};
    for (unsigned symbol = lengths->first; symbol <= lengths->last; symbol++)
        places[lengths->at[symbol] + 1]++;
    for (unsigned length = 1; length <= ABSENT; length++)
        places[length] += places[length - 1];
    size_t count = places[ABSENT];
    for (unsigned symbol = lengths->first; symbol <= lengths->last; symbol++)
        out[places[lengths->at[symbol]]++] = (uint8_t)symbol;
    return count;
}

/* Each symbol's entries may write over what follows them, which comes later. False unless they fill the
 * table. */
static bool fill_table(const struct lengths *lengths, const uint8_t *symbols, size_t count,
                       struct huffman_table *out)
{
    size_t place = 0, size = (size_t)1 << HUFFMAN_LENGTH_MAX;
    for (size_t i = 0; i < count; i++) {
        unsigned length = lengths->at[symbols[i]];
        uint64_t entry = (uint64_t)symbols[i] << 8 | length;
        uint64_t entries = entry * 0x0001000100010001u;
        size_t end = place + (size >> length);
        if (end > size)
            return false;
        for (size_t at = place; at < end; at += HUFFMAN_FILL)
            memcpy(out->at + at, &entries, sizeof entries);
        place = end;
    }
    return place == size;
}

bool huffman_cut_table(struct slice *rest, struct huffman_table *out)
{
    struct lengths lengths;
    uint8_t symbols[HUFFMAN_SYMBOLS];
    if (!cut_lengths(rest, &lengths))
        return false;
    return fill_table(&lengths, symbols, sort_symbols(&lengths, symbols), out);
}

/* The next n symbols, at most STEP. */
static inline size_t read_step(const struct huffman_table *table, uint64_t word, uint8_t *out,
                               size_t n)
{
    size_t bits = 0;
#pragma GCC unroll 6 /* STEP: the compiler would not of itself */
    for (size_t i = 0; i < n; i++) {
        unsigned entry = table->at[word >> (64 - HUFFMAN_LENGTH_MAX)], length = entry & 63;
        out[i] = (uint8_t)(entry >> 8);
        word <<= length;
        bits += length;
    }
    return bits;
}

/* From symbol `from` and bit *bit on to the end. */
static void read_rest(const struct huffman_table *table, const struct huffman_stream *stream,
                      size_t from, size_t *bit)
{
    size_t i = from;
    for (; i + STEP <= stream->count; i += STEP)
        *bit += read_step(table, load_bits(stream->bytes, *bit), stream->out + i, STEP);
    *bit += read_step(table, load_bits(stream->bytes, *bit), stream->out + i, stream->count - i);
}

/* Of LANES streams as many symbols as the shortest has, or nearly so. Returns how many. */
static size_t read_lanes(const struct huffman_table *table, const struct huffman_stream *streams,
                         size_t bits[LANES])
{
    size_t steps = streams[0].count / STEP;
    for (size_t lane = 1; lane < LANES; lane++)
        if (streams[lane].count / STEP < steps)
            steps = streams[lane].count / STEP;
    for (size_t step = 0; step < steps; step++)
        for (size_t lane = 0; lane < LANES; lane++)
            bits[lane] += read_step(table, load_bits(streams[lane].bytes, bits[lane]),
                                    streams[lane].out + step * STEP, STEP);
    return steps * STEP;
}

bool huffman_read(const struct huffman_table *table, const struct huffman_stream *streams,
                  size_t count)
{
    for (size_t i = 0, lanes; i < count; i += lanes) {
        size_t bits[LANES] = {0}, from = 0;
        lanes = count - i < LANES ? 1 : LANES;
        if (lanes == LANES)
            from = read_lanes(table, streams + i, bits);
        for (size_t lane = 0; lane < lanes; lane++) {
            const struct huffman_stream *stream = &streams[i + lane];
            read_rest(table, stream, from, &bits[lane]);
            if (bits[lane] > stream->bytes.len * 8)
                return false;
        }
    }
    return true;
}
