/* huffman: bytes in few bits, by one code for all streams of a column, which end at bytes.
 *
 * The code is planned from counts and written once; each stream can then be read alone, and several
 * at once in less time than one after the other. Pure functions; any thread.
 */
#ifndef STORAGE_CODE_HUFFMAN_H
#define STORAGE_CODE_HUFFMAN_H

#include "storage/base/buffer.h"

#define HUFFMAN_SYMBOLS 256
/* Bits of a symbol. With ten all takes 0.07 % less, and the table twice the time. */
#define HUFFMAN_LENGTH_MAX 9
#define HUFFMAN_ABSENT     (HUFFMAN_LENGTH_MAX + 1) /* written for a symbol that does not occur */

/* To write with. */
struct huffman_code {
    uint8_t lengths[HUFFMAN_SYMBOLS]; /* 0: does not occur */
    uint16_t bits[HUFFMAN_SYMBOLS];
};

/* To read with: for whatever the next bits are, the symbol that they begin with and its length. */
#define HUFFMAN_FILL 16 /* entries written at once */
struct huffman_table {
    uint16_t at[(1 << HUFFMAN_LENGTH_MAX) + HUFFMAN_FILL]; /* symbol << 8 | length */
};

/* One stream to be read. */
struct huffman_stream {
    struct slice bytes;
    uint8_t *out;
    size_t count; /* of symbols wanted, the first ones */
    size_t of;    /* those that the bytes hold, about: where to look for the last one */
};

/* A code for symbols that occur so often; at least one does. */
void huffman_plan(const uint32_t counts[HUFFMAN_SYMBOLS], struct huffman_code *out);
void huffman_append_code(struct buffer *out, const struct huffman_code *code);
/* Padded to whole bytes. */
void huffman_append(struct buffer *out, const struct huffman_code *code, const uint8_t *symbols,
                    size_t count);

/* Cuts a code from the front of *rest. False on malformed bytes. */
MUST_USE bool huffman_cut_table(struct slice *rest, struct huffman_table *out);
/* Reads all streams. False when one is longer than its bytes. */
MUST_USE bool huffman_read(const struct huffman_table *table, const struct huffman_stream *streams,
                           size_t count);

#endif
