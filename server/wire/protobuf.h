/* protobuf: cursor functions over the protocol-buffer wire format.
 *
 * A message is a run of fields: a key (number << 3 | type), then what the type says. Unknown fields
 * are for the caller to pass over, groups are refused. Pure; any thread.
 * Source: the "Encoding" page of the protocol buffer documentation.
 */
#ifndef SERVER_WIRE_PROTOBUF_H
#define SERVER_WIRE_PROTOBUF_H

#include "storage/base/buffer.h"

enum protobuf_type {
    PROTOBUF_VARINT = 0,
    PROTOBUF_FIXED64 = 1,
    PROTOBUF_BYTES = 2, /* also strings, messages and packed lists */
    PROTOBUF_FIXED32 = 5,
};

struct protobuf_field {
    uint64_t number;
    enum protobuf_type type;
    uint64_t value;     /* of the three numeric types */
    struct slice bytes; /* of PROTOBUF_BYTES, in the message */
};

/* Cuts the next field. 1: there is one, 0: the message is over, -1: it is malformed. */
MUST_USE int protobuf_next(struct slice *rest, struct protobuf_field *out);

static inline bool protobuf_is(const struct protobuf_field *field, uint64_t number,
                               enum protobuf_type type)
{
    return field->number == number && field->type == type;
}

static inline int64_t protobuf_zigzag(uint64_t value)
{
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

/* Appends a field. A message within a message is bytes. */
static inline void protobuf_put_varint(struct buffer *out, uint64_t number, uint64_t value)
{
    buffer_append_varint(out, number << 3 | PROTOBUF_VARINT);
    buffer_append_varint(out, value);
}

static inline void protobuf_put_double(struct buffer *out, uint64_t number, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    buffer_append_varint(out, number << 3 | PROTOBUF_FIXED64);
    buffer_append_u64le(out, bits);
}

static inline void protobuf_put_bytes(struct buffer *out, uint64_t number, struct slice bytes)
{
    buffer_append_varint(out, number << 3 | PROTOBUF_BYTES);
    buffer_append_prefixed(out, bytes);
}

static inline uint64_t protobuf_unzigzag(int64_t value)
{
    return (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
}

static inline double protobuf_double(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
