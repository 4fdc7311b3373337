/* message: the small facts about alerts that several channels share. */
#include "server/notify/message.h"

#include "storage/base/json.h"

const char *time_text(int64_t time_ms, char out[TIME_TEXT_MAX])
{
    if (time_ms <= 0)
        return "0001-01-01T00:00:00Z";
    timestamp_print(time_ms, out);
    size_t len = strlen(out) - 1; /* without the Z */
    while (out[len - 1] == '0' && time_ms % 1000)
        len--;
    if (time_ms % 1000 == 0)
        len -= strlen(".000");
    out[len] = 'Z';
    out[len + 1] = 0;
    return out;
}

static uint64_t fnv1a(uint64_t hash, struct slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        hash = (hash ^ (unsigned char)bytes.at[i]) * 1099511628211u;
    return hash;
}

uint64_t labels_fingerprint(struct labels labels)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < labels.count; i++) {
        hash = fnv1a(fnv1a(hash, labels.at[i].name), SLICE("\xff"));
        hash = fnv1a(fnv1a(hash, labels.at[i].value), SLICE("\xff"));
    }
    return hash;
}

void message_group_key(const struct message *message, struct buffer *out)
{
    buffer_append_string(out, "{}:{");
    for (size_t i = 0; i < message->group.count; i++) {
        buffer_append_string(out, i ? ", " : "");
        buffer_append_slice(out, message->group.at[i].name);
        buffer_append_char(out, '=');
        json_append_quoted(out, message->group.at[i].value);
    }
    buffer_append_char(out, '}');
}
