/* tap: records in a bounded buffer, made into text by the reader.
 *
 *   pending  [ length transport peer line | length transport peer line | ... ]      at most TAP_BYTES_MAX
 *
 * A reader swaps the buffer for its other one under the lock and words the records outside of it, so
 * that a worker waits for a swap at most.
 */
#include "server/ingest/tap.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "server/wire/printable.h"
#include "server/wire/statsd.h"
#include "storage/base/alloc.h"
#include "storage/base/json.h"

struct tap {
    struct taps *taps;
    char *prefix;
    size_t prefix_len;
    struct buffer pending; /* under the lock */
    struct buffer taken;   /* the reader's */
    struct buffer text;    /* the reader's */
    uint64_t dropped;      /* under the lock */
};

struct taps {
    pthread_mutex_t lock;
    struct tap *at[TAPS_MAX]; /* NULL = free */
    _Atomic unsigned count;
    bool ended;
};

struct record {
    const char *transport;
    struct peer peer;
    uint32_t len; /* of the line, which follows */
};

struct taps *taps_new(void)
{
    struct taps *taps = alloc_zeroed(1, sizeof *taps);
    pthread_mutex_init(&taps->lock, NULL);
    return taps;
}

void taps_free(struct taps *taps)
{
    if (!taps)
        return;
    assert(atomic_load(&taps->count) == 0);
    pthread_mutex_destroy(&taps->lock);
    free(taps);
}

void taps_end(struct taps *taps)
{
    pthread_mutex_lock(&taps->lock);
    taps->ended = true;
    pthread_mutex_unlock(&taps->lock);
}

bool taps_any(const struct taps *taps)
{
    return atomic_load_explicit(&taps->count, memory_order_relaxed) > 0;
}

/* --- the workers' side --- */

static void offer_line(struct tap *tap, struct record record, struct slice line)
{
    struct slice kept = slice_head(line, TAP_LINE_MAX);
    if (!slice_starts_with(line, slice_make(tap->prefix, tap->prefix_len)))
        return;
    if (tap->pending.len + sizeof record + kept.len > TAP_BYTES_MAX) {
        tap->dropped++;
        return;
    }
    record.len = (uint32_t)kept.len;
    buffer_append(&tap->pending, &record, sizeof record);
    buffer_append_slice(&tap->pending, kept);
}

void taps_offer(struct taps *taps, const char *transport, const struct peer *peer,
                struct slice lines)
{
    const struct record record = {transport, *peer, 0};
    struct slice line;
    pthread_mutex_lock(&taps->lock);
    while (statsd_cut_line(&lines, &line))
        for (size_t i = 0; i < TAPS_MAX; i++)
            if (taps->at[i])
                offer_line(taps->at[i], record, line);
    pthread_mutex_unlock(&taps->lock);
}

/* --- the reader's --- */

/* Under the lock. */
static struct tap **free_place(struct taps *taps)
{
    for (size_t i = 0; i < TAPS_MAX; i++)
        if (!taps->at[i])
            return &taps->at[i];
    return NULL;
}

struct tap *tap_open(struct taps *taps, struct slice prefix, struct error *err)
{
    struct tap *tap = NULL;
    char *text = alloc_zeroed(prefix.len + 1, 1);
    if (prefix.len)
        memcpy(text, prefix.at, prefix.len);
    pthread_mutex_lock(&taps->lock);
    struct tap **place = free_place(taps);
    if (place) {
        tap = *place = alloc_zeroed(1, sizeof *tap);
        tap->taps = taps;
        tap->prefix = text;
        tap->prefix_len = prefix.len;
        buffer_init(&tap->pending, TAP_BYTES_MAX);
        buffer_init(&tap->taken, TAP_BYTES_MAX);
        buffer_init(&tap->text, 4 * TAP_LINE_MAX);
        atomic_fetch_add(&taps->count, 1);
    }
    pthread_mutex_unlock(&taps->lock);
    if (tap)
        return tap;
    free(text);
    error_set(err, ERROR_UNAVAILABLE, "%d taps are open, which is the most; close another one",
              TAPS_MAX);
    return NULL;
}

void tap_close(struct tap *tap)
{
    struct taps *taps = tap->taps;
    pthread_mutex_lock(&taps->lock);
    for (size_t i = 0; i < TAPS_MAX; i++)
        if (taps->at[i] == tap)
            taps->at[i] = NULL;
    atomic_fetch_sub(&taps->count, 1);
    pthread_mutex_unlock(&taps->lock);
    free(tap->prefix);
    buffer_release(&tap->pending);
    buffer_release(&tap->taken);
    buffer_release(&tap->text);
    free(tap);
}

static void word_record(struct tap *tap, const struct record *record, struct slice line,
                        struct buffer *out)
{
    struct json_writer writer;
    char source[PEER_TEXT_MAX];
    peer_print(&record->peer, source);
    buffer_reset(&tap->text);
    printable_append(&tap->text, line);
    json_writer_init(&writer, out);
    json_begin_object(&writer);
    json_field_string(&writer, "line", buffer_slice(&tap->text));
    json_field_string(&writer, "source", slice_of_string(source));
    json_field_string(&writer, "transport", slice_of_string(record->transport));
    json_end_object(&writer);
    buffer_append_char(out, '\n');
}

bool tap_read(struct tap *tap, struct buffer *out)
{
    struct taps *taps = tap->taps;
    pthread_mutex_lock(&taps->lock);
    struct buffer full = tap->pending;
    uint64_t dropped = tap->dropped;
    bool ended = taps->ended;
    tap->pending = tap->taken;
    tap->dropped = 0;
    pthread_mutex_unlock(&taps->lock);
    for (struct slice rest = buffer_slice(&full); rest.len;) {
        struct record record;
        memcpy(&record, rest.at, sizeof record);
        rest = slice_skip(rest, sizeof record);
        word_record(tap, &record, slice_head(rest, record.len), out);
        rest = slice_skip(rest, record.len);
    }
    if (dropped)
        buffer_append_format(out, "{\"dropped\":%llu}\n", (unsigned long long)dropped);
    buffer_reset(&full);
    tap->taken = full;
    return !ended;
}
