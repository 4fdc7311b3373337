/* outbox: see the header.
 *
 *   key    outbox/00000019a8c3f2d1
 *   value  [version u8][group u64le][created varint][attempts varint][channel prefixed][body ...]
 *
 * A thousand entries at most: linear scans are fine. Dead letters are not kept; they are logged.
 */
#include "server/alert/outbox.h"

#include <assert.h>
#include <stdlib.h>

#include "storage/base/alloc.h"

#define OUTBOX_VERSION 1

static const int64_t delays_ms[] = {5000, 30000, 120000, 300000, 900000, 1800000, 3600000};

void outbox_key(uint64_t sequence, struct buffer *out)
{
    buffer_append_format(out, OUTBOX_PREFIX "%016llx", (unsigned long long)sequence);
}

void outbox_encode(const struct outbox_message *message, struct buffer *out)
{
    buffer_append_u8(out, OUTBOX_VERSION);
    buffer_append_u64le(out, message->group);
    buffer_append_varint_signed(out, message->created_ms);
    buffer_append_varint_signed(out, message->attempts);
    buffer_append_prefixed(out, message->channel);
    buffer_append_slice(out, message->body);
}

static bool cut_sequence(struct slice key, uint64_t *out)
{
    struct slice digits = slice_skip(key, strlen(OUTBOX_PREFIX));
    if (!slice_starts_with(key, SLICE(OUTBOX_PREFIX)) || digits.len != 16)
        return false;
    *out = 0;
    for (size_t i = 0; i < digits.len; i++) {
        const char *hex = "0123456789abcdef";
        const char *hit = digits.at[i] ? strchr(hex, digits.at[i]) : NULL;
        if (!hit)
            return false;
        *out = *out << 4 | (uint64_t)(hit - hex);
    }
    return true;
}

bool outbox_decode(struct slice key, struct slice value, struct outbox_message *out)
{
    uint8_t version;
    if (!cut_sequence(key, &out->sequence) || !bytes_cut_u8(&value, &version) ||
        version != OUTBOX_VERSION || !bytes_cut_u64le(&value, &out->group) ||
        !bytes_cut_varint_signed(&value, &out->created_ms) ||
        !bytes_cut_varint_signed(&value, &out->attempts) ||
        !bytes_cut_prefixed(&value, &out->channel))
        return false;
    out->body = value;
    return true;
}

int64_t outbox_retry_delay_ms(int64_t attempts, int64_t age_ms, int64_t retry_after_ms)
{
    assert(attempts >= 1);
    if (age_ms >= OUTBOX_KEPT_MS)
        return -1;
    size_t last = sizeof delays_ms / sizeof *delays_ms - 1;
    int64_t delay_ms = delays_ms[(uint64_t)attempts - 1 < last ? (size_t)attempts - 1 : last];
    if (retry_after_ms > OUTBOX_RETRY_MAX_MS)
        retry_after_ms = OUTBOX_RETRY_MAX_MS;
    return retry_after_ms > delay_ms ? retry_after_ms : delay_ms;
}

void outbox_release(struct outbox *outbox)
{
    free(outbox->at);
    *outbox = (struct outbox){0};
}

void outbox_add(struct outbox *outbox, struct outbox_entry entry)
{
    assert(!outbox->count || outbox->at[outbox->count - 1].sequence < entry.sequence);
    if (outbox->count == outbox->capacity) {
        outbox->capacity = outbox->capacity ? 2 * outbox->capacity : 16;
        outbox->at = alloc_resize(outbox->at, outbox->capacity, sizeof *outbox->at);
    }
    outbox->at[outbox->count++] = entry;
}

static bool is_oldest_of_group(const struct outbox *outbox, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (outbox->at[i].group == outbox->at[index].group)
            return false;
    return true;
}

struct outbox_entry *outbox_next(struct outbox *outbox, int64_t now_ms, int64_t *wait_ms)
{
    *wait_ms = -1;
    for (size_t i = 0; i < outbox->count; i++) {
        struct outbox_entry *entry = &outbox->at[i];
        int64_t left_ms = entry->due_ms - now_ms;
        if (*wait_ms >= 0 && left_ms >= *wait_ms)
            continue;
        if (!is_oldest_of_group(outbox, i))
            continue;
        if (left_ms <= 0)
            return entry;
        *wait_ms = left_ms;
    }
    return NULL;
}

void outbox_remove(struct outbox *outbox, const struct outbox_entry *entry)
{
    size_t index = (size_t)(entry - outbox->at);
    assert(index < outbox->count);
    outbox->count--;
    memmove(&outbox->at[index], &outbox->at[index + 1],
            (outbox->count - index) * sizeof *outbox->at);
}
