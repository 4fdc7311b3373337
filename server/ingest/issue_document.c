/* issue_document: one table describes the issue document; encoding and decoding walk it.
 *
 *   {"v":1, "id":"1f..", "hash":<16 bytes>, "project":"web", ..., "count":42, ...}
 *
 * msgpack with short names: a member may be added without touching what is stored, and a reader
 * skips what it does not know. An event's body stays the JSON text the client sent, beside the
 * few members a list needs; RocksDB compresses it.
 */
#include "server/ingest/issue_document.h"

#include <assert.h>
#include <msgpack.h>
#include <stdarg.h>
#include <stdio.h>

#define DOCUMENT_VERSION 1

enum member_type {
    MEMBER_TEXT,
    MEMBER_HASH,
    MEMBER_UINT,
    MEMBER_TIME,
    MEMBER_LEVEL,
    MEMBER_STATUS
};

static const struct member {
    const char *name;
    enum member_type type;
    size_t offset;
    size_t size; /* of the text, NUL included */
} members[] = {
#define TEXT(name, field)                                                                          \
    {                                                                                              \
        name, MEMBER_TEXT, offsetof(struct issue, field), sizeof((struct issue *)0)->field         \
    }
#define NUMBER(name, type, field)                                                                  \
    {                                                                                              \
        name, type, offsetof(struct issue, field), 0                                               \
    }
    TEXT("id", id),
    NUMBER("hash", MEMBER_HASH, hash),
    TEXT("project", project),
    TEXT("title", title),
    TEXT("culprit", culprit),
    TEXT("type", type),
    TEXT("value", value),
    TEXT("platform", platform),
    TEXT("first_release", first_release),
    TEXT("release", release),
    TEXT("environment", environment),
    TEXT("last_event", last_event),
    NUMBER("level", MEMBER_LEVEL, level),
    NUMBER("status", MEMBER_STATUS, status),
    NUMBER("count", MEMBER_UINT, count),
    NUMBER("stored", MEMBER_UINT, stored),
    NUMBER("users", MEMBER_UINT, users),
    NUMBER("first_seen", MEMBER_TIME, first_seen_ms),
    NUMBER("last_seen", MEMBER_TIME, last_seen_ms),
    NUMBER("last_received", MEMBER_TIME, last_received_ms),
#undef TEXT
#undef NUMBER
};
#define MEMBER_COUNT (sizeof members / sizeof *members)

/* --- keys --- */

static struct issue_key key_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

static struct issue_key key_format(const char *format, ...)
{
    struct issue_key key;
    va_list args;
    va_start(args, format);
    int len = vsnprintf(key.text, sizeof key.text, format, args);
    va_end(args);
    assert(len > 0 && (size_t)len < sizeof key.text);
    key.len = (size_t)len;
    return key;
}

struct issue_key issue_key_of(const char *id)
{
    return key_format(ISSUE_PREFIX "%s", id);
}

struct issue_key issue_users_key(const char *id)
{
    return key_format("issue-users/%s", id);
}

struct issue_key issue_event_key(const char *id, uint64_t number)
{
    return key_format("issue-event/%s/%016llx", id, (unsigned long long)number);
}

struct issue_key issue_event_prefix(const char *id)
{
    return key_format("issue-event/%s/", id);
}

struct issue_key issue_seen_key(int64_t day, struct slice project, const char *event_id)
{
    return key_format(SEEN_PREFIX "%08llx/" SLICE_FMT "/%s", (unsigned long long)day,
                      SLICE_ARG(slice_head(project, PROJECT_BYTES_MAX)), event_id);
}

bool issue_seen_day(struct slice key, int64_t *day)
{
    struct slice rest = slice_skip(key, sizeof SEEN_PREFIX - 1);
    uint64_t value = 0;
    if (!slice_starts_with(key, SLICE(SEEN_PREFIX)) || rest.len < 9 || rest.at[8] != '/')
        return false;
    for (size_t i = 0; i < 8; i++) {
        char c = rest.at[i];
        unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a' + 10);
        if (digit > 15)
            return false;
        value = value * 16 + digit;
    }
    *day = (int64_t)value;
    return true;
}

/* --- values --- */

static int write_bytes(void *data, const char *bytes, size_t len)
{
    buffer_append(data, bytes, len);
    return 0;
}

static void pack_text(msgpack_packer *packer, struct slice text)
{
    msgpack_pack_str(packer, text.len);
    msgpack_pack_str_body(packer, text.at ? text.at : "", text.len);
}

static void pack_member(msgpack_packer *packer, const struct issue *issue,
                        const struct member *member)
{
    const char *at = (const char *)issue + member->offset;
    uint64_t number;
    pack_text(packer, slice_of_string(member->name));
    switch (member->type) {
    case MEMBER_TEXT:
        pack_text(packer, slice_of_string(at));
        break;
    case MEMBER_HASH:
        msgpack_pack_bin(packer, FINGERPRINT_SIZE);
        msgpack_pack_bin_body(packer, at, FINGERPRINT_SIZE);
        break;
    case MEMBER_UINT:
    case MEMBER_TIME:
        memcpy(&number, at, sizeof number);
        msgpack_pack_uint64(packer, number);
        break;
    case MEMBER_LEVEL:
        pack_text(packer, slice_of_string(error_level_name(issue->level)));
        break;
    case MEMBER_STATUS:
        pack_text(packer, slice_of_string(issue_status_name(issue->status)));
        break;
    }
}

void issue_encode(const struct issue *issue, struct buffer *out)
{
    msgpack_packer packer;
    msgpack_packer_init(&packer, out, write_bytes);
    msgpack_pack_map(&packer, MEMBER_COUNT + 1);
    pack_text(&packer, SLICE("v"));
    msgpack_pack_int(&packer, DOCUMENT_VERSION);
    for (size_t i = 0; i < MEMBER_COUNT; i++)
        pack_member(&packer, issue, &members[i]);
}

static struct slice text_of(const msgpack_object *value)
{
    if (value->type == MSGPACK_OBJECT_STR)
        return slice_make(value->via.str.ptr, value->via.str.size);
    if (value->type == MSGPACK_OBJECT_BIN)
        return slice_make(value->via.bin.ptr, value->via.bin.size);
    return (struct slice){NULL, 0};
}

static bool read_status(struct slice text, enum issue_status *out)
{
    for (unsigned i = 0; i < ISSUE_STATUS_COUNT; i++) {
        if (slice_equal_string(text, issue_status_name((enum issue_status)i))) {
            *out = (enum issue_status)i;
            return true;
        }
    }
    return false;
}

static bool read_member(const struct member *member, const msgpack_object *value,
                        struct issue *issue)
{
    char *at = (char *)issue + member->offset;
    struct slice text = text_of(value);
    switch (member->type) {
    case MEMBER_TEXT:
        issue_text_copy(at, member->size, text);
        return true;
    case MEMBER_HASH:
        if (text.len == FINGERPRINT_SIZE)
            memcpy(at, text.at, text.len);
        return text.len == FINGERPRINT_SIZE;
    case MEMBER_UINT:
    case MEMBER_TIME:
        if (value->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
            memcpy(at, &value->via.u64, sizeof value->via.u64);
        return value->type == MSGPACK_OBJECT_POSITIVE_INTEGER;
    case MEMBER_LEVEL:
        return error_level_parse(text, &issue->level);
    case MEMBER_STATUS:
        return read_status(text, &issue->status);
    }
    return false;
}

static bool read_issue(const msgpack_object *map, struct issue *out)
{
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        const msgpack_object_kv *pair = &map->via.map.ptr[i];
        for (size_t m = 0; m < MEMBER_COUNT; m++) {
            if (slice_equal_string(text_of(&pair->key), members[m].name) &&
                !read_member(&members[m], &pair->val, out))
                return false;
        }
    }
    return out->id[0] != '\0';
}

/* Unpacks one object of the wanted type and gives it to read. */
static bool unpack(struct slice bytes, msgpack_object_type type,
                   bool (*read)(const msgpack_object *object, void *out), void *out)
{
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    bool good =
        msgpack_unpack_next(&unpacked, bytes.at, bytes.len, NULL) == MSGPACK_UNPACK_SUCCESS &&
        unpacked.data.type == type && read(&unpacked.data, out);
    msgpack_unpacked_destroy(&unpacked);
    return good;
}

static bool read_issue_object(const msgpack_object *object, void *out)
{
    return read_issue(object, out);
}

bool issue_decode(struct slice bytes, struct issue *out)
{
    *out = (struct issue){.level = LEVEL_ERROR};
    return unpack(bytes, MSGPACK_OBJECT_MAP, read_issue_object, out);
}

/* [1, event id, time, received, body] */
void issue_body_encode(const struct issue_event *event, struct buffer *out)
{
    msgpack_packer packer;
    msgpack_packer_init(&packer, out, write_bytes);
    msgpack_pack_array(&packer, 5);
    msgpack_pack_int(&packer, DOCUMENT_VERSION);
    pack_text(&packer, slice_of_string(event->id));
    msgpack_pack_uint64(&packer, (uint64_t)event->time_ms);
    msgpack_pack_uint64(&packer, (uint64_t)event->received_ms);
    pack_text(&packer, event->body);
}

static bool read_body(const msgpack_object *object, void *out)
{
    struct issue_body *body = out;
    const msgpack_object *at = object->via.array.ptr;
    if (object->via.array.size < 5 || at[2].type != MSGPACK_OBJECT_POSITIVE_INTEGER ||
        at[3].type != MSGPACK_OBJECT_POSITIVE_INTEGER)
        return false;
    body->event_id = text_of(&at[1]);
    body->time_ms = (int64_t)at[2].via.u64;
    body->received_ms = (int64_t)at[3].via.u64;
    body->body = text_of(&at[4]);
    return body->event_id.len > 0 && body->body.len > 0;
}

bool issue_body_decode(struct slice bytes, struct issue_body *out)
{
    return unpack(bytes, MSGPACK_OBJECT_ARRAY, read_body, out);
}

void issue_text_copy(char *to, size_t size, struct slice from)
{
    size_t len = from.len < size - 1 ? from.len : size - 1;
    while (len < from.len && len > 0 && ((unsigned char)from.at[len] & 0xc0) == 0x80)
        len--;
    for (size_t i = 0; i < len; i++)
        to[i] = (unsigned char)from.at[i] < ' ' ? ' ' : from.at[i];
    memset(to + len, 0, size - len);
}
