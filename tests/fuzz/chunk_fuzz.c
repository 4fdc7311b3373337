/* chunk_fuzz: every decoder of the store on arbitrary bytes, and round trips of arbitrary samples.
 *
 * The first byte chooses; checksums are put right first, or nothing would get past them.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <xxhash.h>

#include "storage/code/chunk.h"
#include "storage/code/dense.h"
#include "storage/code/histogram_code.h"
#include "storage/code/pack.h"
#include "storage/code/split.h"
#include "storage/headlog.h"

#define SAMPLES_MAX 600

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy whose u32le at `at` is the checksum of what follows it. */
static void sign(struct buffer *out, struct slice bytes, size_t at, uint64_t seed)
{
    buffer_init(out, SIZE_MAX);
    buffer_append_slice(out, bytes);
    if (out->len < at + 4)
        return;
    uint32_t sum = (uint32_t)XXH3_64bits_withSeed(out->at + at + 4, out->len - at - 4, seed);
    memcpy(out->at + at, &sum, sizeof sum);
}

static void check_histograms(const struct histogram *const *at, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t j = 1; at[i] && j < at[i]->positive.count; j++)
            assert(at[i]->positive.at[j - 1].index < at[i]->positive.at[j].index);
}

/* What can be read whole can be read in part. */
static void check_part(const struct chunk *chunk, const double *values)
{
    double some[CHUNK_SAMPLES_MAX];
    struct part part = {chunk->count, chunk->count / 3, chunk->count - chunk->count / 5};
    bool sound = chunk_values_of(chunk, part, some);
    assert(sound && memcmp(some, values + part.from, (part.to - part.from) * sizeof *some) == 0);
}

/* Where the times are what the header says. */
static void check_times_within(const struct chunk *chunk, const int64_t *times)
{
    int64_t some[CHUNK_SAMPLES_MAX];
    size_t from = chunk->count / 3, to = chunk->count - chunk->count / 5;
    struct part part;
    if (times[0] != chunk->start_ms || times[chunk->count - 1] != chunk->end_ms)
        return;
    bool sound = chunk_times_within(chunk, times[from], times[to - 1], some, &part);
    assert(sound && part.from == from && part.to == to);
    assert(memcmp(some, times + from, (to - from) * sizeof *some) == 0);
}

/* As storage/code/chunk.c has it. */
static uint64_t seed_of(char version, char type)
{
    uint64_t with_type = (uint8_t)type;
    return version < 2 ? 0 : version == 2 ? with_type : (uint64_t)version << 8 | with_type;
}

static void decode_chunk(struct slice bytes)
{
    struct buffer signed_bytes;
    struct chunk chunk;
    struct arena arena;
    int64_t times[CHUNK_SAMPLES_MAX];
    double values[CHUNK_SAMPLES_MAX];
    const struct histogram *histograms[CHUNK_SAMPLES_MAX];
    sign(&signed_bytes, bytes, 2, bytes.len > 1 ? seed_of(bytes.at[0], bytes.at[1]) : 0);
    arena_init(&arena, (size_t)1 << 24);
    if (chunk_open(buffer_slice(&signed_bytes), 1700000000000, &chunk)) {
        if (chunk_times(&chunk, times)) {
            for (size_t i = 1; i < chunk.count; i++)
                assert(times[i - 1] < times[i]);
            check_times_within(&chunk, times);
        }
        if (chunk.histograms && chunk_histograms(&chunk, &arena, histograms))
            check_histograms(histograms, chunk.count);
        if (!chunk.histograms && chunk_values(&chunk, values))
            check_part(&chunk, values);
    }
    arena_release(&arena);
    buffer_release(&signed_bytes);
}

static bool is_within(struct slice inner, struct slice outer)
{
    return inner.at >= outer.at && inner.len <= (size_t)(outer.at + outer.len - inner.at);
}

static void decode_headlog(struct slice bytes)
{
    struct buffer signed_bytes;
    struct headlog_reader reader;
    uint64_t bits;
    struct slice code;
    if (bytes.len > 4096) /* a few bytes may stand for millions of equal rows: slow, not wrong */
        return;
    sign(&signed_bytes, bytes, 0, 0);
    if (headlog_open(&reader, buffer_slice(&signed_bytes)))
        while (reader.next < reader.count && headlog_next(&reader, &bits, &code))
            assert(code.len == 0 || is_within(code, buffer_slice(&signed_bytes)));
    headlog_release(&reader);
    buffer_release(&signed_bytes);
}

static void decode_codes(struct slice bytes)
{
    struct histogram running;
    bool stale;
    histogram_init(&running);
    while (bytes.len && histogram_code_cut(&bytes, &running, &stale)) {
        const struct histogram *const at[] = {&running};
        check_histograms(at, 1);
    }
    histogram_release(&running);
}

/* The bytes as samples: two for the gap to the sample before, eight for the value. */
static void round_trip(struct slice bytes)
{
    int64_t times[SAMPLES_MAX], times_back[SAMPLES_MAX], time = 1700000000000;
    double values[SAMPLES_MAX], values_back[SAMPLES_MAX];
    struct buffer out;
    struct chunk chunk;
    size_t count = 0;
    for (; bytes.len >= 10 && count < SAMPLES_MAX; bytes = slice_skip(bytes, 10), count++) {
        uint16_t gap;
        memcpy(&gap, bytes.at, 2);
        memcpy(&values[count], bytes.at + 2, 8);
        if (gap & 1) /* half of them decimals, which random bits never are */
            values[count] = rint(fmod(values[count], 1e6)) / 100;
        times[count] = time += 1 + gap;
    }
    if (count == 0)
        return;
    buffer_init(&out, SIZE_MAX);
    chunk_append_values(&out, times, values, count);
    bool sound = chunk_open(buffer_slice(&out), times[0], &chunk) &&
                 chunk_times(&chunk, times_back) && chunk_values(&chunk, values_back);
    assert(sound && chunk.count == count && chunk.end_ms == times[count - 1]);
    assert(memcmp(times, times_back, count * sizeof *times) == 0);
    assert(memcmp(values, values_back, count * sizeof *values) == 0);
    buffer_release(&out);
}

static void round_trip_integers(struct slice bytes)
{
    int64_t values[SAMPLES_MAX], back[SAMPLES_MAX];
    struct buffer out;
    size_t count = bytes.len / 8 < SAMPLES_MAX ? bytes.len / 8 : SAMPLES_MAX;
    if (count)
        memcpy(values, bytes.at, count * sizeof *values);
    buffer_init(&out, SIZE_MAX);
    pack_append(&out, values, count);
    struct slice rest = buffer_slice(&out);
    bool sound = pack_cut(&rest, back, count);
    assert(sound && rest.len == 0 && memcmp(values, back, count * sizeof *values) == 0);
    buffer_reset(&out);
    if (count)
        dense_append(&out, values, count);
    rest = buffer_slice(&out);
    sound = count == 0 || dense_cut(&rest, back, count);
    assert(sound && rest.len == 0 && memcmp(values, back, count * sizeof *values) == 0);
    if (count >= SPLIT_COUNT_MIN) {
        buffer_reset(&out);
        split_append(&out, values, count, count % 2);
        rest = buffer_slice(&out);
        struct part part = {count, count / 3, count - count / 5};
        sound = split_cut(&rest, back, part);
        assert(sound && rest.len == 0);
        assert(memcmp(values + part.from, back + part.from,
                      (part.to - part.from) * sizeof *values) == 0);
    }
    buffer_release(&out);
}

/* Whatever a column is, its parts are those of the whole, and end where it does. */
static void check_dense_part(struct slice bytes, const int64_t *values, size_t count, size_t left)
{
    int64_t some[DENSE_COUNT_MAX];
    struct part part = {count, count / 3, count - count / 5};
    bool sound = dense_cut_part(&bytes, some, part);
    assert(sound && bytes.len == left);
    assert(memcmp(some + part.from, values + part.from, (part.to - part.from) * sizeof *values) ==
           0);
}

/* Two bytes for the count, then a column of one kind and the other. */
static void decode_columns(struct slice bytes)
{
    int64_t values[DENSE_COUNT_MAX];
    double numbers[COLUMN_COUNT_MAX];
    uint16_t count;
    if (bytes.len < 2)
        return;
    memcpy(&count, bytes.at, 2);
    bytes = slice_skip(bytes, 2);
    struct slice rest = bytes;
    if (dense_cut(&rest, values, count)) {
        assert(count && rest.len < bytes.len);
        check_dense_part(bytes, values, count, rest.len);
    }
    rest = bytes;
    if (count && column_cut(&rest, numbers, count))
        assert(rest.len < bytes.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const targets[])(struct slice) = {decode_chunk,        decode_headlog,
                                                    decode_codes,        round_trip,
                                                    round_trip_integers, decode_columns};
    if (size)
        targets[data[0] % (sizeof targets / sizeof *targets)](slice_make(data + 1, size - 1));
    return 0;
}
