/* protobuf: one field at a time; see the header.
 *
 *   key varint | varint                     type 0
 *              | 8 bytes, little-endian     type 1
 *              | length varint, bytes       type 2
 *              | 4 bytes, little-endian     type 5
 */
#include "server/wire/protobuf.h"

static bool cut_value(struct slice *rest, struct protobuf_field *out)
{
    uint32_t small;
    switch (out->type) {
    case PROTOBUF_VARINT:
        return bytes_cut_varint(rest, &out->value);
    case PROTOBUF_FIXED64:
        return bytes_cut_u64le(rest, &out->value);
    case PROTOBUF_BYTES:
        return bytes_cut_prefixed(rest, &out->bytes);
    case PROTOBUF_FIXED32:
        if (!bytes_cut_u32le(rest, &small))
            return false;
        out->value = small;
        return true;
    }
    return false;
}

int protobuf_next(struct slice *rest, struct protobuf_field *out)
{
    uint64_t key;
    if (rest->len == 0)
        return 0;
    if (!bytes_cut_varint(rest, &key) || key >> 3 == 0)
        return -1;
    *out = (struct protobuf_field){.number = key >> 3, .type = (enum protobuf_type)(key & 7)};
    return cut_value(rest, out) ? 1 : -1;
}
