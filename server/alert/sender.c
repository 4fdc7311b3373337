/* sender: take the oldest due entry, read its body from the store, send, write down how it went.
 *
 *   alert thread --- entry (after the commit) ---> queue ---> outbox entries ---> libcurl
 *                                                                 |
 *                    writer <--- delete, or attempts + 1 ---------+
 *
 * One attempt at a time: there is one receiver. The order within a group is outbox.c's business.
 * When the deletion of a delivered message fails the entry is kept and sent again: rather twice
 * than never.
 */
#include "server/alert/sender.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "server/notify/notify.h"
#include "server/notify/webhook.h"
#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "storage/base/log.h"
#include "storage/base/metric.h"
#include "storage/base/queue.h"
#include "storage/base/table.h"

#define IDLE_WAIT_MS  60000
#define CLOSE_WAIT_MS 3000 /* for the attempt that runs; cut off, it is made again at the start */

enum {
    SENT_DELIVERED,
    SENT_RETRIED,
    SENT_REJECTED,
    SENT_EXPIRED,
    SENT_DROPPED,
    OUTBOX_LENGTH,
    SEND_SECONDS
};

#define SENT_HELP "Notification attempts by channel and outcome."
static struct metric sender_metrics[] = {
    [SENT_DELIVERED] = {"lapwing_notifications_total", METRIC_COUNTER,
                        "channel=\"webhook\",outcome=\"delivered\"", SENT_HELP, 0, 0},
    [SENT_RETRIED] = {"lapwing_notifications_total", METRIC_COUNTER,
                      "channel=\"webhook\",outcome=\"retried\"", SENT_HELP, 0, 0},
    [SENT_REJECTED] = {"lapwing_notifications_total", METRIC_COUNTER,
                       "channel=\"webhook\",outcome=\"rejected\"", SENT_HELP, 0, 0},
    [SENT_EXPIRED] = {"lapwing_notifications_total", METRIC_COUNTER,
                      "channel=\"webhook\",outcome=\"expired\"", SENT_HELP, 0, 0},
    [SENT_DROPPED] = {"lapwing_notifications_total", METRIC_COUNTER,
                      "channel=\"webhook\",outcome=\"dropped\"", SENT_HELP, 0, 0},
    [OUTBOX_LENGTH] = {"lapwing_notification_queue_length", METRIC_GAUGE, NULL,
                       "Messages waiting in the outbox.", 0, 0},
    [SEND_SECONDS] = {"lapwing_notification_seconds_total", METRIC_COUNTER, NULL,
                      "Time spent in attempts to send.", 1e-9, 0},
};

/* One row: the next channel adds a format and a place for its settings. */
static const struct channel {
    const char *name;
    void (*format)(const struct message *message, struct buffer *out);
} channels[] = {{"webhook", webhook_format}};

/* What the alert thread hands over. */
struct incoming {
    char *webhook_url; /* owned; NULL: a new entry, otherwise new settings */
    int64_t webhook_timeout_ms;
    struct outbox_entry entry;
};

struct sender {
    struct store *store;
    struct writer *writer;
    bool has_channel;       /* alert thread */
    uint64_t next_sequence; /* alert thread */
    atomic_size_t waiting;  /* messages in the outbox or on their way into it */
    struct queue *incoming; /* struct incoming, owned */
    struct outbox outbox;   /* notify thread from here on */
    char *webhook_url;
    int64_t webhook_timeout_ms;
    struct notify_client *client;
    struct buffer document;
    atomic_bool cancel;
    struct timespec end; /* of the attempt in flight, once hurried */
    pthread_t thread;
};

/* --- for the alert thread --- */

bool sender_has_channel(const struct sender *sender)
{
    return sender->has_channel;
}

size_t sender_room(const struct sender *sender)
{
    size_t waiting = atomic_load(&sender->waiting);
    return waiting < OUTBOX_COUNT_MAX ? OUTBOX_COUNT_MAX - waiting : 0;
}

int sender_compose(struct sender *sender, const struct message *content, struct arena *arena,
                   struct outbox_message *out)
{
    const struct channel *channel = &channels[0];
    struct buffer body, group;
    buffer_init(&body, OUTBOX_BODY_MAX);
    buffer_init(&group, OUTBOX_BODY_MAX);
    channel->format(content, &body);
    buffer_append_string(&group, channel->name);
    message_group_key(content, &group);
    *out = (struct outbox_message){
        .sequence = sender->next_sequence++,
        .group = slice_hash(buffer_slice(&group)),
        .created_ms = clock_now_ms(),
        .channel = slice_of_string(channel->name),
        .body = arena_copy(arena, buffer_slice(&body)),
    };
    int status = body.overflow || !out->body.at ? -1 : 0;
    buffer_release(&group);
    buffer_release(&body);
    return status;
}

void sender_add(struct sender *sender, const struct outbox_message *message)
{
    struct incoming *incoming = alloc_zeroed(1, sizeof *incoming);
    incoming->entry.sequence = message->sequence;
    incoming->entry.group = message->group;
    atomic_fetch_add(&sender->waiting, 1);
    if (queue_push(sender->incoming, incoming) < 0)
        free(incoming); /* closing: the document waits for the next start */
}

void sender_configure(struct sender *sender, const struct sender_options *options)
{
    struct incoming *incoming = alloc_zeroed(1, sizeof *incoming);
    sender->has_channel = options->webhook_url[0] != 0;
    incoming->webhook_url = alloc_string(options->webhook_url);
    incoming->webhook_timeout_ms = options->webhook_timeout_ms;
    if (queue_push(sender->incoming, incoming) < 0) {
        free(incoming->webhook_url);
        free(incoming);
    }
}

void sender_drop(const char *reason)
{
    metric_add(&sender_metrics[SENT_DROPPED], 1);
    log_warn("notification_dropped", "reason=\"%s\"", reason);
}

/* --- the notify thread --- */

static int64_t steady_ms(void)
{
    return clock_monotonic_ns() / 1000000;
}

struct outcome {
    const struct outbox_message *message;
    bool finished;
};

static int write_outcome(void *arg, struct store_batch *batch, struct error *err)
{
    const struct outcome *outcome = arg;
    struct buffer key, value;
    (void)err;
    buffer_init(&key, 64);
    buffer_init(&value, OUTBOX_BODY_MAX + 1024);
    outbox_key(outcome->message->sequence, &key);
    if (outcome->finished) {
        store_batch_delete(batch, buffer_slice(&key));
    } else {
        outbox_encode(outcome->message, &value);
        store_batch_put(batch, buffer_slice(&key), buffer_slice(&value));
    }
    buffer_release(&value);
    buffer_release(&key);
    return 0;
}

static void settle(struct sender *sender, struct outbox_entry *entry,
                   const struct outbox_message *message, int64_t delay_ms)
{
    struct error err = {0};
    struct outcome outcome = {message, delay_ms < 0};
    entry->due_ms = steady_ms() + delay_ms;
    if (writer_call(sender->writer, false, write_outcome, &outcome, &err) < 0) {
        log_error("outbox_write", "error=\"%s\"", err.text);
        if (outcome.finished)
            entry->due_ms = steady_ms() + outbox_retry_delay_ms(1, 0, 0);
        return;
    }
    if (outcome.finished) {
        outbox_remove(&sender->outbox, entry);
        atomic_fetch_sub(&sender->waiting, 1);
    }
}

static void send_message(struct sender *sender, struct outbox_entry *entry,
                         struct outbox_message *message)
{
    struct notify_result result = {.outcome = NOTIFY_RETRY, .why = "alerting.webhook.url is empty"};
    char key[40];
    int64_t started_ns = clock_monotonic_ns(), delay_ms = -1;
    snprintf(key, sizeof key, "lapwing-%016llx", (unsigned long long)message->sequence);
    struct notify_post post = {sender->webhook_url, key, message->body, sender->webhook_timeout_ms,
                               &sender->cancel};
    if (sender->webhook_url[0])
        notify_send(sender->client, &post, &result);
    if (atomic_load(&sender->cancel) && result.outcome == NOTIFY_RETRY)
        return;
    metric_add(&sender_metrics[SEND_SECONDS], clock_monotonic_ns() - started_ns);
    int row = SENT_DELIVERED;
    if (result.outcome == NOTIFY_REJECTED)
        row = SENT_REJECTED;
    if (result.outcome == NOTIFY_RETRY) {
        message->attempts++;
        delay_ms = outbox_retry_delay_ms(message->attempts, clock_now_ms() - message->created_ms,
                                         result.retry_after_ms);
        row = delay_ms < 0 ? SENT_EXPIRED : SENT_RETRIED;
    }
    metric_add(&sender_metrics[row], 1);
    if (row != SENT_DELIVERED)
        log_warn("notification_failed", "key=%s attempt=%lld next_ms=%lld reason=\"%s\"", key,
                 (long long)message->attempts, (long long)delay_ms, result.why);
    settle(sender, entry, message, delay_ms);
}

static void attempt(struct sender *sender, struct outbox_entry *entry)
{
    struct error err = {0};
    struct outbox_message message;
    struct buffer key;
    buffer_init(&key, 64);
    buffer_reset(&sender->document);
    outbox_key(entry->sequence, &key);
    int found = store_get(sender->store, buffer_slice(&key), &sender->document, &err);
    if (found < 0) {
        log_error("outbox_read", "error=\"%s\"", err.text);
        entry->due_ms = steady_ms() + outbox_retry_delay_ms(1, 0, 0);
    } else if (found == 0 ||
               !outbox_decode(buffer_slice(&key), buffer_slice(&sender->document), &message)) {
        log_error("outbox_lost", "sequence=%llu", (unsigned long long)entry->sequence);
        outbox_remove(&sender->outbox, entry);
        atomic_fetch_sub(&sender->waiting, 1);
    } else {
        send_message(sender, entry, &message);
    }
    buffer_release(&key);
}

/* New settings may be the repair that everything waits for: all of it is due. */
static void take_settings(struct sender *sender, struct incoming *incoming)
{
    free(sender->webhook_url);
    sender->webhook_url = incoming->webhook_url;
    sender->webhook_timeout_ms = incoming->webhook_timeout_ms;
    for (size_t i = 0; i < sender->outbox.count; i++)
        sender->outbox.at[i].due_ms = steady_ms();
}

static void take(struct sender *sender, struct incoming *incoming)
{
    if (!incoming)
        return;
    incoming->entry.due_ms = steady_ms();
    if (incoming->webhook_url)
        take_settings(sender, incoming);
    else
        outbox_add(&sender->outbox, incoming->entry);
    free(incoming);
}

static void *run(void *arg)
{
    struct sender *sender = arg;
    while (!queue_is_closed(sender->incoming)) {
        int64_t wait_ms;
        for (struct incoming *i; (i = queue_try_pop(sender->incoming));)
            take(sender, i);
        struct outbox_entry *entry = outbox_next(&sender->outbox, steady_ms(), &wait_ms);
        metric_set(&sender_metrics[OUTBOX_LENGTH], (int64_t)sender->outbox.count);
        if (entry)
            attempt(sender, entry);
        else
            take(sender,
                 queue_pop_timeout(sender->incoming,
                                   wait_ms < 0 || wait_ms > IDLE_WAIT_MS ? IDLE_WAIT_MS : wait_ms));
    }
    for (struct incoming *i; (i = queue_try_pop(sender->incoming));)
        take(sender, i);
    return NULL;
}

/* --- opening and closing --- */

static bool restore(void *arg, struct slice key, struct slice value)
{
    struct sender *sender = arg;
    struct outbox_message message;
    if (!outbox_decode(key, value, &message)) {
        log_error("outbox_unreadable", "key=\"" SLICE_FMT "\"", SLICE_ARG(key));
        return true;
    }
    outbox_add(&sender->outbox, (struct outbox_entry){message.sequence, message.group, 0});
    if (sender->next_sequence <= message.sequence)
        sender->next_sequence = message.sequence + 1;
    return true;
}

static void sender_free(struct sender *sender)
{
    queue_free(sender->incoming);
    outbox_release(&sender->outbox);
    notify_client_free(sender->client);
    buffer_release(&sender->document);
    free(sender->webhook_url);
    free(sender);
}

int sender_open(struct store *store, struct writer *writer, const struct sender_options *options,
                struct sender **out, struct error *err)
{
    struct sender *sender = alloc_zeroed(1, sizeof *sender);
    struct store_scan scan = {.prefix = SLICE(OUTBOX_PREFIX)};
    sender->store = store;
    sender->writer = writer;
    sender->has_channel = options->webhook_url[0] != 0;
    sender->webhook_url = alloc_string(options->webhook_url);
    sender->webhook_timeout_ms = options->webhook_timeout_ms;
    /* Starting from the clock keeps keys apart from those of messages long delivered. */
    sender->next_sequence = (uint64_t)clock_real_ms() * 1000;
    sender->incoming = queue_new(2 * OUTBOX_COUNT_MAX, NULL, NULL);
    sender->client = notify_client_new();
    buffer_init(&sender->document, OUTBOX_BODY_MAX + 1024);
    metric_register(sender_metrics, sizeof sender_metrics / sizeof *sender_metrics);
    if (store_scan(store, &scan, restore, sender, err) < 0) {
        sender_free(sender);
        return error_wrap(err, "the outbox cannot be read");
    }
    atomic_store(&sender->waiting, sender->outbox.count);
    if (sender->outbox.count)
        log_info("outbox_restored", "messages=%zu", sender->outbox.count);
    if (pthread_create(&sender->thread, NULL, run, sender) != 0) {
        sender_free(sender);
        return error_set(err, ERROR_INTERNAL, "the notify thread cannot be started");
    }
    pthread_setname_np(sender->thread, "notify");
    *out = sender;
    return 0;
}

void sender_hurry(struct sender *sender)
{
    if (queue_is_closed(sender->incoming))
        return;
    clock_gettime(CLOCK_REALTIME, &sender->end);
    sender->end.tv_sec += CLOSE_WAIT_MS / 1000;
    queue_close(sender->incoming);
}

void sender_close(struct sender *sender)
{
    if (!sender)
        return;
    sender_hurry(sender);
    if (pthread_timedjoin_np(sender->thread, NULL, &sender->end) != 0) {
        atomic_store(&sender->cancel, true);
        pthread_join(sender->thread, NULL);
    }
    sender_free(sender);
}
