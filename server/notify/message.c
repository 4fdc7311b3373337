/* message: the small facts about alerts that several channels share. */
#include "server/notify/message.h"

#include <stdio.h>
#include <time.h>

#include "storage/base/json.h"

const char *time_text(int64_t time_ms, char out[TIME_TEXT_MAX])
{
    struct tm parts;
    time_t seconds = (time_t)(time_ms / 1000);
    int fraction = (int)(time_ms % 1000);
    if (time_ms <= 0 || !gmtime_r(&seconds, &parts))
        return "0001-01-01T00:00:00Z";
    size_t len = strftime(out, TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &parts);
    if (fraction) {
        len += (size_t)snprintf(out + len, TIME_TEXT_MAX - len, ".%03d", fraction);
        while (out[len - 1] == '0')
            len--;
    }
    snprintf(out + len, TIME_TEXT_MAX - len, "Z");
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
