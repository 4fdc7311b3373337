/* huffman_read: symbols out of streams; storage/code/huffman.c draws the code.
 *
 * Nine bits at a time are looked up. A symbol's place in the bits is known only when the one before it
 * has been looked up, which takes a processor longer than all else there is to do: it can do four
 * streams at once. Of a stream alone it does four quarters at once, and where they begin is guessed.
 * Codes fall into step: whoever begins in the middle of a symbol reads some wrong ones, two mostly, and
 * then comes to where one really begins. The right ones before that are read once more, from the end of
 * the quarter before. A code that never falls into step, of equal lengths, is read one by one.
 *
 *   first quarter    |================|
 *   gap                               |==|
 *   second quarter                  xxx==|=============|
 *   gap                                                |=|
 *   third quarter                                    xx==|==============|
 */
#include <assert.h>
#include <endian.h>

#include "storage/code/huffman.h"

#define WORD_BITS   57 /* that eight bytes hold wherever they begin */
#define STEP        (WORD_BITS / HUFFMAN_LENGTH_MAX)
#define LENGTH_BITS 6 /* that a length takes at most */
#define LANES       4
#define ALONE_MIN   64  /* symbols: shorter streams gain nothing */
#define ALONE_MAX   512 /* longer ones do not come alone */
#define ALONE_BITS  (ALONE_MAX * HUFFMAN_LENGTH_MAX)

_Static_assert(STEP == 6, "what read_step is unrolled to");

/* --- the code --- */

typedef uint16_t entries __attribute__((vector_size(HUFFMAN_FILL * sizeof(uint16_t))));

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
    size_t counts[HUFFMAN_ABSENT + 1]; /* of symbols of that length */
};

static bool cut_lengths(struct slice *rest, struct lengths *out)
{
    uint8_t first, last;
    unsigned length = HUFFMAN_ABSENT;
    size_t bit = 0;
    if (!bytes_cut_u8(rest, &first) || !bytes_cut_u8(rest, &last) || first > last)
        return false;
    out->first = first;
    out->last = last;
    memset(out->counts, 0, sizeof out->counts);
    for (unsigned symbol = first; symbol <= last;) {
        uint64_t word = load_bits(*rest, bit);
        unsigned ready = WORD_BITS / LENGTH_BITS;
        for (; ready && symbol <= last; ready--) {
            const struct length_row *row = &length_rows[word >> 61];
            length = (length & row->keep) + (unsigned)row->add +
                     ((unsigned)(word >> (64 - LENGTH_BITS)) & row->absolute);
            if (length == 0 || length > HUFFMAN_ABSENT)
                return false;
            out->at[symbol++] = (uint8_t)length;
            out->counts[length]++;
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
    size_t places[HUFFMAN_ABSENT + 1], count = 0;
    for (unsigned length = 1; length <= HUFFMAN_ABSENT; length++) {
        places[length] = count;
        count += lengths->counts[length];
    }
    for (unsigned symbol = lengths->first; symbol <= lengths->last; symbol++)
        out[places[lengths->at[symbol]]++] = (uint8_t)symbol;
    return count - lengths->counts[HUFFMAN_ABSENT];
}

/* Each symbol's entries may write over what follows them, which comes later. False unless they fill the
 * table. */
static bool fill_table(const struct lengths *lengths, const uint8_t *symbols, size_t count,
                       struct huffman_table *out)
{
    size_t place = 0, size = (size_t)1 << HUFFMAN_LENGTH_MAX;
    for (size_t i = 0; i < count; i++) {
        unsigned length = lengths->at[symbols[i]];
        uint16_t entry = (uint16_t)(symbols[i] << 8 | length);
        entries all = entry - (entries){0};
        size_t end = place + (size >> length);
        if (end > size)
            return false;
        for (size_t at = place; at < end; at += HUFFMAN_FILL)
            memcpy(out->at + at, &all, sizeof all);
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

/* --- streams --- */

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

/* --- a stream alone --- */

/* Where all but the first begin is a guess; the first one is not in here. */
struct quarters {
    size_t size; /* symbols of one */
    size_t ends[LANES];
    uint8_t symbols[ALONE_MAX];
    uint16_t at[ALONE_BITS * (LANES + 1) / LANES]; /* by bit: which symbol begins there; 0: none */
    char padded[ALONE_BITS / 8 + sizeof(uint64_t)];
};

/* As load_bits(), of bytes that zeros follow. */
static inline uint64_t load_padded(struct slice bytes, size_t bit)
{
    uint64_t word;
    size_t at = bit / 8 < bytes.len ? bit / 8 : bytes.len;
    memcpy(&word, bytes.at + at, sizeof word);
    return be64toh(word) << (bit & 7);
}

/* Reads STEP symbols, which begin at `bit`; returns where they end. */
static inline size_t guess_step(const struct huffman_table *table, struct slice bytes, size_t bit,
                                struct quarters *out, size_t at)
{
    uint64_t word = load_padded(bytes, bit);
#pragma GCC unroll 6
    for (size_t i = 0; i < STEP; i++) {
        unsigned entry = table->at[word >> (64 - HUFFMAN_LENGTH_MAX)], length = entry & 63;
        out->symbols[at + i] = (uint8_t)(entry >> 8);
        out->at[bit] = (uint16_t)(at + i);
        word <<= length;
        bit += length;
    }
    return bit;
}

static void read_quarters(const struct huffman_table *table, const struct huffman_stream *stream,
                          struct quarters *out)
{
    struct slice bytes = stream->bytes;
    size_t wanted = bytes.len * stream->count / stream->of, ends[LANES];
    size_t steps = stream->count / (LANES * STEP), size = steps * STEP;
    memset(out->at, 0, (bytes.len * 8 + WORD_BITS) * sizeof *out->at);
    for (size_t lane = 0; lane < LANES; lane++)
        ends[lane] = wanted * lane / LANES * 8;
    for (size_t at = 0; at < size; at += STEP) {
        ends[0] += read_step(table, load_padded(bytes, ends[0]), stream->out + at, STEP);
        for (size_t lane = 1; lane < LANES; lane++)
            ends[lane] = guess_step(table, bytes, ends[lane], out, lane * size + at);
    }
    out->size = size;
    memcpy(out->ends, ends, sizeof ends);
}

/* Reads symbols up to one that is known, at most STEP; returns how many. */
static size_t read_gap(const struct huffman_table *table, const struct huffman_stream *stream,
                       const struct quarters *known, size_t from, size_t *bit)
{
    uint64_t word = load_padded(stream->bytes, *bit);
    size_t i = from, end = from + STEP < stream->count ? from + STEP : stream->count;
    for (; i < end && !known->at[*bit]; i++) {
        unsigned entry = table->at[word >> (64 - HUFFMAN_LENGTH_MAX)], length = entry & 63;
        stream->out[i] = (uint8_t)(entry >> 8);
        word <<= length;
        *bit += length;
    }
    return i - from;
}

/* The quarters, and what lies between the end of one and where the next has fallen into step. */
static bool read_alone(const struct huffman_table *table, struct huffman_stream stream)
{
    struct quarters quarters;
    size_t bits = stream.bytes.len * 8;
    memcpy(quarters.padded, stream.bytes.at, stream.bytes.len);
    memset(quarters.padded + stream.bytes.len, 0, sizeof(uint64_t));
    stream.bytes.at = quarters.padded;
    read_quarters(table, &stream, &quarters);
    size_t i = quarters.size, bit = quarters.ends[0];
    while (i < stream.count && bit < bits) {
        size_t place = quarters.at[bit];
        if (place == 0) {
            i += read_gap(table, &stream, &quarters, i, &bit);
            continue;
        }
        size_t lane = place / quarters.size, known = (lane + 1) * quarters.size - place;
        if (quarters.ends[lane] > bits)
            break;
        size_t left = stream.count - i, taken = known < left ? known : left;
        memcpy(stream.out + i, quarters.symbols + place, taken);
        bit = quarters.ends[lane];
        i += taken;
    }
    read_rest(table, &stream, i, &bit);
    return bit <= bits;
}

/* --- all of them --- */

/* From symbol `from` and that bit on. */
static bool read_one(const struct huffman_table *table, const struct huffman_stream *stream,
                     size_t from, size_t bit)
{
    size_t bits = stream->bytes.len * 8;
    if (from == 0 && stream->count >= ALONE_MIN && stream->of <= ALONE_MAX && bits <= ALONE_BITS)
        return read_alone(table, *stream);
    read_rest(table, stream, from, &bit);
    return bit <= bits;
}

bool huffman_read(const struct huffman_table *table, const struct huffman_stream *streams,
                  size_t count)
{
    for (size_t i = 0, lanes; i < count; i += lanes) {
        size_t bits[LANES] = {0}, from = 0;
        lanes = count - i < LANES ? 1 : LANES;
        if (lanes == LANES)
            from = read_lanes(table, streams + i, bits);
        for (size_t lane = 0; lane < lanes; lane++)
            if (!read_one(table, &streams[i + lane], from, bits[lane]))
                return false;
    }
    return true;
}
