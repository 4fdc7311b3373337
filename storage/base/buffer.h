/* buffer: growable bytes with a mandatory maximum.
 *
 * Appending beyond the maximum appends nothing and sets `overflow`, which stays set: writers
 * append freely and check once at the end. One thread at a time.
 */
#ifndef STORAGE_BASE_BUFFER_H
#define STORAGE_BASE_BUFFER_H

#include "storage/base/slice.h"

struct buffer {
    char *at;
    size_t len;
    size_t capacity;
    size_t limit; /* bytes */
    bool overflow;
};

void buffer_init(struct buffer *buffer, size_t limit);
/* Empties it; keeps the memory. */
void buffer_reset(struct buffer *buffer);
void buffer_release(struct buffer *buffer);

char *buffer_grow(struct buffer *buffer, size_t size); /* buffer_reserve, when it has to */
/* Room for `size` more bytes at at+len, or NULL and overflow. Does not change len. */
MUST_USE static inline char *buffer_reserve(struct buffer *buffer, size_t size)
{
    /* The capacity is never above the limit. */
    if (size > buffer->capacity - buffer->len || buffer->overflow || !buffer->at)
        return buffer_grow(buffer, size);
    return buffer->at + buffer->len;
}

static inline void buffer_append(struct buffer *buffer, const void *at, size_t len)
{
    char *room = len ? buffer_reserve(buffer, len) : NULL;
    if (room) {
        memcpy(room, at, len);
        buffer->len += len;
    }
}

void buffer_append_format(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static inline void buffer_append_slice(struct buffer *buffer, struct slice s)
{
    buffer_append(buffer, s.at, s.len);
}

static inline void buffer_append_string(struct buffer *buffer, const char *text)
{
    buffer_append(buffer, text, strlen(text));
}

static inline void buffer_append_char(struct buffer *buffer, char c)
{
    buffer_append(buffer, &c, 1);
}

/* Of two forms that end the buffer, the first from `first` on and the other from `second`, the
 * shorter one stays. */
void buffer_keep_shorter(struct buffer *buffer, size_t first, size_t second);

static inline struct slice buffer_slice(const struct buffer *buffer)
{
    return slice_make(buffer->at, buffer->len);
}

/* Fixed-width integers; BE sorts in byte order, LE is the storage order of values. */
void buffer_append_u8(struct buffer *buffer, uint8_t value);
void buffer_append_u32le(struct buffer *buffer, uint32_t value);
void buffer_append_u64le(struct buffer *buffer, uint64_t value);
/* LEB128, 1-10 bytes; the signed form is zigzag. */
void buffer_append_varint(struct buffer *buffer, uint64_t value);
void buffer_append_varint_signed(struct buffer *buffer, int64_t value);
/* varint length, then the bytes. */
void buffer_append_prefixed(struct buffer *buffer, struct slice s);

/* The readers cut from the front of *rest; false when it is too short (rest then undefined). */
MUST_USE bool bytes_cut_u8(struct slice *rest, uint8_t *out);
MUST_USE bool bytes_cut_u32be(struct slice *rest, uint32_t *out);
MUST_USE bool bytes_cut_u64be(struct slice *rest, uint64_t *out);
MUST_USE bool bytes_cut_u32le(struct slice *rest, uint32_t *out);
MUST_USE bool bytes_cut_u64le(struct slice *rest, uint64_t *out);
MUST_USE bool bytes_cut_long_varint(struct slice *rest, uint64_t *out); /* of any length */
MUST_USE static inline bool bytes_cut_varint(struct slice *rest, uint64_t *out)
{
    if (rest->len == 0 || (unsigned char)rest->at[0] >= 0x80)
        return bytes_cut_long_varint(rest, out);
    *out = (unsigned char)rest->at[0];
    *rest = slice_skip(*rest, 1);
    return true;
}
MUST_USE bool bytes_cut_varint_signed(struct slice *rest, int64_t *out);
MUST_USE bool bytes_cut_slice(struct slice *rest, size_t len, struct slice *out);
MUST_USE bool bytes_cut_prefixed(struct slice *rest, struct slice *out);

#endif
