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

static inline double protobuf_double(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
