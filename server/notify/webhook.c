/* webhook: the body that Alertmanager has sent to webhooks since its version 4.
 *
 *   {"version":"4","groupKey":"{}:{alertname=\"X\"}","truncatedAlerts":0,"status":"firing",
 *    "receiver":"webhook","groupLabels":{},"commonLabels":{},"commonAnnotations":{},
 *    "externalURL":"","alerts":[{"status","labels","annotations","startsAt","endsAt",
 *    "generatorURL","fingerprint"}]}
 *
 * "firing" stands as the message's status while any of its alerts fires.
 * Source: prometheus.io, Alertmanager configuration, webhook_config.
 */
#include "server/notify/webhook.h"

#include <stdio.h>

#include "storage/base/json.h"

static void put_labels(struct json_writer *w, const char *key, struct labels labels)
{
    json_key(w, slice_of_string(key));
    labels_put_json(labels, w);
}

static const struct labels *pairs_of(const struct message_alert *alert, bool annotations)
{
    return annotations ? &alert->annotations : &alert->labels;
}

/* The pairs that every alert of the message has. */
static void put_common(struct json_writer *w, const char *key, const struct message *message,
                       bool annotations)
{
    const struct labels *first = pairs_of(&message->alerts[0], annotations);
    json_key(w, slice_of_string(key));
    json_begin_object(w);
    for (size_t i = 0; i < first->count; i++) {
        size_t same = 1;
        while (same < message->count &&
               slice_equal(
                   first->at[i].value,
                   labels_get(*pairs_of(&message->alerts[same], annotations), first->at[i].name)))
            same++;
        if (same < message->count)
            continue;
        json_key(w, first->at[i].name);
        json_put_string(w, first->at[i].value);
    }
    json_end_object(w);
}

static void put_alert(struct json_writer *w, const struct message *message,
                      const struct message_alert *alert)
{
    char time[TIME_TEXT_MAX], fingerprint[17];
    snprintf(fingerprint, sizeof fingerprint, "%016llx",
             (unsigned long long)labels_fingerprint(alert->labels));
    json_begin_object(w);
    json_field_string(w, "status", alert->resolved ? SLICE("resolved") : SLICE("firing"));
    put_labels(w, "labels", alert->labels);
    put_labels(w, "annotations", alert->annotations);
    json_field_string(w, "startsAt", slice_of_string(time_text(alert->starts_at_ms, time)));
    json_field_string(w, "endsAt", slice_of_string(time_text(alert->ends_at_ms, time)));
    json_field_string(w, "generatorURL", message->generator_url);
    json_field_string(w, "fingerprint", slice_of_string(fingerprint));
    json_end_object(w);
}

void webhook_format(const struct message *message, struct buffer *out)
{
    struct json_writer w;
    struct buffer group_key;
    bool firing = false;
    for (size_t i = 0; i < message->count; i++)
        firing |= !message->alerts[i].resolved;
    buffer_init(&group_key, 65536);
    message_group_key(message, &group_key);
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_field_string(&w, "version", SLICE("4"));
    json_field_string(&w, "groupKey", buffer_slice(&group_key));
    json_field_int(&w, "truncatedAlerts", 0);
    json_field_string(&w, "status", firing ? SLICE("firing") : SLICE("resolved"));
    json_field_string(&w, "receiver", message->receiver);
    put_labels(&w, "groupLabels", message->group);
    put_common(&w, "commonLabels", message, false);
    put_common(&w, "commonAnnotations", message, true);
    json_field_string(&w, "externalURL", message->external_url);
    json_key(&w, SLICE("alerts"));
    json_begin_array(&w);
    for (size_t i = 0; i < message->count; i++)
        put_alert(&w, message, &message->alerts[i]);
    json_end_array(&w);
    json_end_object(&w);
    buffer_release(&group_key);
}
