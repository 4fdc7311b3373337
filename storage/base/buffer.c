/* buffer: doubling growth under a hard limit, and the byte codecs that every format here uses.
 *
 * The integer readers and writers stand side by side so that each pair can be checked by eye.
 */
#include "storage/base/buffer.h"

#include <assert.h>
#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/base/alloc.h"

#define CAPACITY_MIN ((size_t)256)

void buffer_init(struct buffer *buffer, size_t limit)
{
    *buffer = (struct buffer){.limit = limit};
}

void buffer_reset(struct buffer *buffer)
{
    buffer->len = 0;
    buffer->overflow = false;
}

void buffer_release(struct buffer *buffer)
{
    free(buffer->at);
    *buffer = (struct buffer){.limit = buffer->limit};
}

char *buffer_grow(struct buffer *buffer, size_t size)
{
    if (buffer->overflow || size > buffer->limit || buffer->len > buffer->limit - size) {
        buffer->overflow = true;
        return NULL;
    }
    size_t need = buffer->len + size;
    if (need > buffer->capacity || !buffer->at) {
        size_t capacity = buffer->capacity ? buffer->capacity : CAPACITY_MIN;
        while (capacity < need)
            capacity *= 2;
        buffer->capacity = capacity < buffer->limit ? capacity : buffer->limit;
        buffer->at = alloc_resize(buffer->at, buffer->capacity ? buffer->capacity : 1, 1);
    }
    return buffer->at + buffer->len;
}

void buffer_append_format(struct buffer *buffer, const char *format, ...)
{
    va_list args, again;
    size_t left = buffer->overflow ? 0 : buffer->capacity - buffer->len;
    char *room = left ? buffer->at + buffer->len : NULL;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(room, left, format, args); /* it mostly fits at once */
    va_end(args);
    assert(len >= 0);
    if ((size_t)len >= left && (room = buffer_reserve(buffer, (size_t)len + 1)))
        vsnprintf(room, (size_t)len + 1, format, again);
    if (room)
        buffer->len += (size_t)len;
    va_end(again);
}

void buffer_keep_shorter(struct buffer *buffer, size_t first, size_t second)
{
    size_t size = buffer->len - second;
    if (buffer->overflow || size >= second - first) {
        buffer->len = second;
        return;
    }
    memmove(buffer->at + first, buffer->at + second, size);
    buffer->len = first + size;
}

void buffer_append_u8(struct buffer *buffer, uint8_t value)
{
    buffer_append(buffer, &value, 1);
}

bool bytes_cut_u8(struct slice *rest, uint8_t *out)
{
    if (rest->len < 1)
        return false;
    *out = (uint8_t)rest->at[0];
    *rest = slice_skip(*rest, 1);
    return true;
}

bool bytes_cut_u32be(struct slice *rest, uint32_t *out)
{
    struct slice raw;
    if (!bytes_cut_slice(rest, sizeof *out, &raw))
        return false;
    memcpy(out, raw.at, sizeof *out);
    *out = be32toh(*out);
    return true;
}

bool bytes_cut_u64be(struct slice *rest, uint64_t *out)
{
    struct slice raw;
    if (!bytes_cut_slice(rest, sizeof *out, &raw))
        return false;
    memcpy(out, raw.at, sizeof *out);
    *out = be64toh(*out);
    return true;
}

void buffer_append_u32le(struct buffer *buffer, uint32_t value)
{
    value = htole32(value);
    buffer_append(buffer, &value, sizeof value);
}

bool bytes_cut_u32le(struct slice *rest, uint32_t *out)
{
    struct slice raw;
    if (!bytes_cut_slice(rest, sizeof *out, &raw))
        return false;
    memcpy(out, raw.at, sizeof *out);
    *out = le32toh(*out);
    return true;
}

void buffer_append_u64le(struct buffer *buffer, uint64_t value)
{
    value = htole64(value);
    buffer_append(buffer, &value, sizeof value);
}

bool bytes_cut_u64le(struct slice *rest, uint64_t *out)
{
    struct slice raw;
    if (!bytes_cut_slice(rest, sizeof *out, &raw))
        return false;
    memcpy(out, raw.at, sizeof *out);
    *out = le64toh(*out);
    return true;
}

void buffer_append_varint(struct buffer *buffer, uint64_t value)
{
    char bytes[10];
    size_t len = 0;
    while (value >= 0x80) {
        bytes[len++] = (char)(value | 0x80);
        value >>= 7;
    }
    bytes[len++] = (char)value;
    buffer_append(buffer, bytes, len);
}

/* The seven low bits of each of eight bytes, next to each other. */
static uint64_t join_sevens(uint64_t word)
{
    word = (word & 0x007f007f007f007f) | (word & 0x7f007f007f007f00) >> 1;
    word = (word & 0x00003fff00003fff) | (word & 0x3fff00003fff0000) >> 2;
    return (word & 0x000000000fffffff) | (word & 0x0fffffff00000000) >> 4;
}

/* Of up to eight bytes at once. False when it is longer, or the bytes end. */
static bool cut_varint_word(struct slice *rest, uint64_t *out)
{
    uint64_t word;
    if (rest->len < sizeof word)
        return false;
    memcpy(&word, rest->at, sizeof word);
    word = le64toh(word);
    uint64_t last = ~word & 0x8080808080808080; /* in the last byte, and those beyond */
    if (last == 0)
        return false;
    *out = join_sevens(word & (last ^ (last - 1)));
    *rest = slice_skip(*rest, (size_t)__builtin_ctzll(last) / 8 + 1);
    return true;
}

bool bytes_cut_long_varint(struct slice *rest, uint64_t *out)
{
    uint64_t value = 0;
    if (cut_varint_word(rest, out))
        return true;
    for (size_t i = 0; i < rest->len && i < 10; i++) {
        uint64_t byte = (unsigned char)rest->at[i];
        if (i == 9 && byte > 1)
            return false;
        value |= (byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *out = value;
            *rest = slice_skip(*rest, i + 1);
            return true;
        }
    }
    return false;
}

void buffer_append_varint_signed(struct buffer *buffer, int64_t value)
{
    buffer_append_varint(buffer, ((uint64_t)value << 1) ^ (uint64_t)(value >> 63));
}

bool bytes_cut_varint_signed(struct slice *rest, int64_t *out)
{
    uint64_t zigzag;
    if (!bytes_cut_varint(rest, &zigzag))
        return false;
    *out = (int64_t)(zigzag >> 1) ^ -(int64_t)(zigzag & 1);
    return true;
}

void buffer_append_prefixed(struct buffer *buffer, struct slice s)
{
    buffer_append_varint(buffer, s.len);
    buffer_append_slice(buffer, s);
}

bool bytes_cut_slice(struct slice *rest, size_t len, struct slice *out)
{
    if (rest->len < len)
        return false;
    *out = slice_head(*rest, len);
    *rest = slice_skip(*rest, len);
    return true;
}

bool bytes_cut_prefixed(struct slice *rest, struct slice *out)
{
    uint64_t len;
    return bytes_cut_varint(rest, &len) && len <= rest->len &&
           bytes_cut_slice(rest, (size_t)len, out);
}
