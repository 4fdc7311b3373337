/* rewrite: one day of one series, from chunks to columns and back.
 *
 *   chunk 1 | chunk 2 | ... | chunk n   ->   times, values   ->   as few chunks as hold them
 *
 * Everything goes through one RocksDB batch of the caller, so that a kill leaves the old chunks or
 * the new ones. A chunk that begins where an old one did replaces it: in a batch the put comes after
 * the delete.
 *
 * Chunks of one day normally follow one another. Should two overlap, their samples are sorted, and
 * of two with one time stamp that of the later chunk stays.
 */
#include "storage/rewrite.h"

#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/log.h"
#include "storage/code/chunk.h"
#include "storage/key.h"
#include "storage/store_state.h"

#define ROWS_MIN       512
#define CHUNKS_MIN     32
#define SAVING_PERCENT 3

/* --- reading --- */

struct loading {
    struct arena *arena;
    struct day_samples *out;
    size_t rows, offsets; /* room */
    bool sorted;
};

/* The array in twice the room: arenas cannot grow what they gave. */
static void *grown(struct arena *arena, const void *from, size_t used, size_t size)
{
    void *to = arena_alloc(arena, size);
    if (to && used)
        memcpy(to, from, used);
    return to;
}

static bool make_rows(struct loading *loading, size_t count)
{
    struct day_samples *out = loading->out;
    size_t rows = loading->rows ? loading->rows : ROWS_MIN;
    if (out->count + count <= loading->rows)
        return true;
    while (rows < out->count + count)
        rows *= 2;
    loading->rows = rows;
    out->times = grown(loading->arena, out->times, out->count * sizeof *out->times,
                       rows * sizeof *out->times);
    if (out->histograms)
        out->hists = grown(loading->arena, out->hists, out->count * sizeof *out->hists,
                           rows * sizeof *out->hists);
    else
        out->values = grown(loading->arena, out->values, out->count * sizeof *out->values,
                            rows * sizeof *out->values);
    if (out->sketches)
        out->sketches = grown(loading->arena, out->sketches, out->count * sizeof *out->sketches,
                              rows * sizeof *out->sketches);
    return out->times && (out->histograms ? out->hists != NULL : out->values != NULL) &&
           !loading->arena->exhausted;
}

/* The sketches of a chunk whose samples are the rows from out->count on. */
static bool load_sketches(struct loading *loading, const struct chunk *chunk)
{
    struct day_samples *out = loading->out;
    if (!out->sketches) {
        out->sketches = arena_alloc(loading->arena, loading->rows * sizeof *out->sketches);
        for (size_t i = 0; out->sketches && i < out->count; i++)
            out->sketches[i] = SLICE("");
    }
    struct slice *at = out->sketches ? out->sketches + out->count : NULL;
    if (!at || !chunk_sketches(chunk, at))
        return false;
    for (size_t i = 0; i < chunk->count; i++)
        if (at[i].len)
            at[i] = arena_copy(loading->arena, at[i]);
    return !loading->arena->exhausted;
}

static bool push_offset(struct loading *loading, uint32_t offset)
{
    struct day_samples *out = loading->out;
    if (out->chunks == loading->offsets) {
        loading->offsets = loading->offsets ? loading->offsets * 2 : CHUNKS_MIN;
        out->offsets = grown(loading->arena, out->offsets, out->chunks * sizeof *out->offsets,
                             loading->offsets * sizeof *out->offsets);
    }
    if (!out->offsets)
        return false;
    out->offsets[out->chunks++] = offset;
    return true;
}

/* False: the bytes are damaged, or the arena is exhausted. */
static bool load_chunk(struct loading *loading, const struct chunk *chunk)
{
    struct day_samples *out = loading->out;
    if (out->count && chunk->histograms != out->histograms)
        return false;
    out->histograms = chunk->histograms;
    if (!make_rows(loading, chunk->count) || !chunk_times(chunk, out->times + out->count))
        return false;
    if (!(out->histograms ? chunk_histograms(chunk, loading->arena, out->hists + out->count)
                          : chunk_values(chunk, out->values + out->count)))
        return false;
    if ((chunk->sketches.len || out->sketches) && !load_sketches(loading, chunk))
        return false;
    if (out->count && out->times[out->count] <= out->times[out->count - 1])
        loading->sorted = false;
    out->count += chunk->count;
    return true;
}

static int compare_rows(const void *a, const void *b, void *arg)
{
    const int64_t *times = arg;
    const uint32_t *i = a, *j = b;
    if (times[*i] != times[*j])
        return times[*i] < times[*j] ? -1 : 1;
    return *i < *j ? -1 : 1;
}

/* Sorts the rows by time; of equal times the last one read stays. */
static bool sort_rows(struct loading *loading)
{
    struct day_samples *out = loading->out, in = *out;
    uint32_t *order = arena_alloc(loading->arena, in.count * sizeof *order);
    loading->rows = 0;
    /* The array of sketches is grown like the others, from nothing. */
    *out = (struct day_samples){
        .histograms = in.histograms, .offsets = in.offsets, .sketches = in.sketches};
    if (!order || !make_rows(loading, in.count))
        return false;
    for (uint32_t i = 0; i < in.count; i++)
        order[i] = i;
    qsort_r(order, in.count, sizeof *order, compare_rows, in.times);
    for (size_t i = 0; i < in.count; i++) {
        if (out->count && out->times[out->count - 1] == in.times[order[i]])
            out->count--;
        out->times[out->count] = in.times[order[i]];
        if (in.sketches)
            out->sketches[out->count] = in.sketches[order[i]];
        if (in.histograms)
            out->hists[out->count++] = in.hists[order[i]];
        else
            out->values[out->count++] = in.values[order[i]];
    }
    out->chunks = in.chunks;
    out->bytes = in.bytes;
    out->damaged = in.damaged;
    return true;
}

static int too_large(struct error *err)
{
    return error_set(err, ERROR_LIMIT, "one day of one series does not fit into memory");
}

static void strike_deleted(const struct store *store, struct rewrite_day at,
                           struct day_samples *samples)
{
    struct time_ranges deleted = {.count = 0};
    struct time_range day = {partition_start(at.day), partition_start(at.day + 1) - 1};
    tombstones_of(&store->tombstones, at.series, day, &deleted);
    if (deleted.count)
        samples->count =
            time_ranges_strike(&deleted,
                               &(struct sample_arrays){samples->times, samples->values,
                                                       samples->hists, samples->sketches},
                               samples->count);
    time_ranges_release(&deleted);
}

int rewrite_read(const struct rewrite_source *source, struct rewrite_day at, struct arena *arena,
                 struct day_samples *out, struct error *err)
{
    struct loading loading = {.arena = arena, .out = out, .sorted = true};
    struct kv_iterator *it = source->chunks;
    struct chunk_key key = {.partition = at.day, .series = at.series};
    struct key_bytes from = key_of_chunk(key);
    struct chunk chunk;
    *out = (struct day_samples){0};
    bool more = kv_seek(it, key_slice(&from));
    for (; more && key_parse_chunk(kv_key(it), &key) && key.series == at.series &&
           key.partition == at.day && !(source->first_only && out->bytes);
         more = kv_next(it)) {
        bool sound =
            chunk_open(kv_value(it), chunk_key_time(key), &chunk) && load_chunk(&loading, &chunk);
        out->bytes += kv_value(it).len;
        if (arena->exhausted || (sound && !push_offset(&loading, key.offset_ms)))
            return too_large(err);
        if (sound)
            continue;
        out->damaged++;
        store_note_damaged(source->store, key);
    }
    int unreadable = more ? 0 : kv_iterator_damage(it, err);
    if (unreadable < 0)
        return -1;
    out->damaged += unreadable > 0;
    if (!loading.sorted && !sort_rows(&loading))
        return too_large(err);
    strike_deleted(source->store, at, out);
    return 0;
}

int rewrite_load(struct store *store, struct rewrite_day at, struct arena *arena,
                 struct day_samples *out, struct error *err)
{
    struct chunk_key key = {.partition = at.day, .series = at.series};
    struct key_bytes from = key_of_chunk(key);
    key.series++;
    struct key_bytes to = key_of_chunk(key);
    struct rewrite_source source = {
        store, kv_iterate(store->kv, KV_CHUNK, key_slice(&from), key_slice(&to)), false};
    int status = rewrite_read(&source, at, arena, out, err);
    kv_iterator_free(source.chunks);
    return status;
}

/* --- writing --- */

/* The samples as chunks: where each piece begins among the rows and in the bytes. */
struct encoded {
    struct buffer bytes;
    struct piece {
        size_t row, rows;
        size_t at, len;
    } * pieces;
    size_t count;
    size_t capacity;
};

static void push_piece(struct encoded *encoded, size_t row, size_t rows, size_t at)
{
    if (encoded->count == encoded->capacity) {
        encoded->capacity = encoded->capacity ? encoded->capacity * 2 : 8;
        encoded->pieces = alloc_resize(encoded->pieces, encoded->capacity, sizeof *encoded->pieces);
    }
    encoded->pieces[encoded->count++] = (struct piece){row, rows, at, encoded->bytes.len - at};
}

static void encode(struct encoded *encoded, const struct day_samples *samples)
{
    /* As few as may be, and of one size. */
    size_t limit = samples->histograms ? CHUNK_HISTOGRAMS_MAX
                   : samples->sketches ? CHUNK_SKETCHES_MAX
                                       : CHUNK_VALUES_MAX;
    size_t chunks = (samples->count + limit - 1) / limit;
    size_t most = chunks ? (samples->count + chunks - 1) / chunks : 0;
    *encoded = (struct encoded){.count = 0};
    buffer_init(&encoded->bytes, SIZE_MAX);
    for (size_t row = 0, rows; row < samples->count; row += rows) {
        size_t at = encoded->bytes.len, left = samples->count - row;
        const int64_t *times = samples->times + row;
        rows = left < most ? left : most;
        if (samples->histograms) {
            while (!chunk_histograms_fit(samples->hists + row, rows))
                rows = (rows + 1) / 2;
            chunk_append_histograms(&encoded->bytes, times, samples->hists + row, rows);
        } else {
            chunk_append_set(&encoded->bytes, times, samples->values + row,
                             samples->sketches ? samples->sketches + row : NULL, rows);
        }
        push_piece(encoded, row, rows, at);
    }
}

static void encoded_release(struct encoded *encoded)
{
    buffer_release(&encoded->bytes);
    free(encoded->pieces);
}

/* The old chunks go, the new ones come. */
static void stage(struct store *store, struct kv_batch *batch, struct rewrite_day at,
                  const struct day_samples *samples, const struct encoded *encoded)
{
    struct chunk_key key = {.partition = at.day, .series = at.series};
    for (size_t i = 0; i < samples->chunks; i++) {
        key.offset_ms = samples->offsets[i];
        struct key_bytes bytes = key_of_chunk(key);
        kv_batch_delete(store->kv, batch, KV_CHUNK, key_slice(&bytes));
    }
    for (size_t i = 0; i < encoded->count; i++) {
        const struct piece *piece = &encoded->pieces[i];
        key.offset_ms = (uint32_t)(samples->times[piece->row] - partition_start(at.day));
        struct key_bytes bytes = key_of_chunk(key);
        kv_batch_put(store->kv, batch, KV_CHUNK, key_slice(&bytes),
                     slice_make(encoded->bytes.at + piece->at, piece->len));
    }
    metric_add(&store_metrics[STORE_CHUNKS], (int64_t)encoded->count);
    metric_add(&store_metrics[STORE_CHUNK_SAMPLES], (int64_t)samples->count);
    metric_add(&store_metrics[STORE_CHUNK_BYTES], (int64_t)encoded->bytes.len);
}

void rewrite_stage(struct store *store, struct kv_batch *batch, struct rewrite_day at,
                   const struct day_samples *samples)
{
    struct encoded encoded;
    encode(&encoded, samples);
    stage(store, batch, at, samples, &encoded);
    pthread_rwlock_wrlock(&store->lock);
    for (size_t i = 0; i < encoded.count; i++) {
        const struct piece *piece = &encoded.pieces[i];
        partitions_mark(&store->partitions, at.series, samples->times[piece->row],
                        samples->times[piece->row + piece->rows - 1]);
    }
    pthread_rwlock_unlock(&store->lock);
    encoded_release(&encoded);
}

bool rewrite_stage_smaller(struct store *store, struct kv_batch *batch, struct rewrite_day at,
                           const struct day_samples *samples)
{
    struct encoded encoded;
    struct partition *partition = partitions_get(&store->partitions, at.day);
    if (samples->chunks < 2 || samples->damaged || !partition)
        return false;
    encode(&encoded, samples);
    bool smaller = encoded.bytes.len * 100 < samples->bytes * (100 - SAVING_PERCENT);
    if (smaller) {
        stage(store, batch, at, samples, &encoded);
        pthread_rwlock_wrlock(&store->lock);
        for (size_t i = 0; i < encoded.count; i++) {
            const struct piece *piece = &encoded.pieces[i];
            partition_stretch(partition, (uint32_t)(samples->times[piece->row + piece->rows - 1] -
                                                    samples->times[piece->row]));
        }
        pthread_rwlock_unlock(&store->lock);
    }
    encoded_release(&encoded);
    return smaller;
}

void rewrite_publish(struct store *store, const uint32_t *series, size_t count)
{
    store->seal_count++;
    for (size_t i = 0; i < count; i++) {
        struct head_series *head = head_get(&store->head, series[i]);
        if (head)
            head_note_seal(head, store->seal_count);
    }
}
