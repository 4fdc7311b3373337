/* encoding: gzip, deflate, zstd and snappy into a bounded buffer.
 *
 * Output grows by STEP at a time under the buffer's limit, so a bomb costs its limit and no more,
 * whatever its header claims. `deflate` is zlib format by the standard and raw deflate in some
 * clients; the first byte tells them apart. Several gzip members or zstd frames in a row are one
 * body.
 *
 * snappy is the block format, as remote write sends it.
 *
 * Deliberately absent: br (no client of ours was seen to send it) and lists of codings.
 */
#include "server/net/encoding.h"

#include <assert.h>
#include <snappy-c.h>
#include <stdlib.h>
#define ZLIB_CONST /* zlib only reads its input */
#include <zlib.h>
#include <zstd.h>

#include "storage/base/alloc.h"

#define STEP        ((size_t)64 << 10)
#define WINDOW_GZIP (15 + 16) /* zlib: window bits, + 16 for the gzip format */
#define WINDOW_ZLIB 15
#define WINDOW_RAW  (-15)
/* A zstd frame may ask for a window of gigabytes; 8 MiB is what the format tells decoders to offer. */
#define ZSTD_WINDOW_LOG_MAX 23

enum coding {
    CODING_UNKNOWN,
    CODING_IDENTITY,
    CODING_GZIP,
    CODING_DEFLATE,
    CODING_ZSTD,
    CODING_SNAPPY
};

static enum coding coding_of(struct slice name)
{
    static const struct {
        struct slice name;
        enum coding coding;
    } rows[] = {
        {SLICE_LIT(""), CODING_IDENTITY},       {SLICE_LIT("identity"), CODING_IDENTITY},
        {SLICE_LIT("gzip"), CODING_GZIP},       {SLICE_LIT("x-gzip"), CODING_GZIP},
        {SLICE_LIT("deflate"), CODING_DEFLATE}, {SLICE_LIT("zstd"), CODING_ZSTD},
        {SLICE_LIT("snappy"), CODING_SNAPPY},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (slice_equal_nocase(rows[i].name, name))
            return rows[i].coding;
    return CODING_UNKNOWN;
}

bool encoding_is_known(struct slice name)
{
    return coding_of(name) != CODING_UNKNOWN;
}

bool encoding_is_identity(struct slice name)
{
    return coding_of(name) == CODING_IDENTITY;
}

static int fail_damaged(struct error *err, const char *format)
{
    return error_set(err, ERROR_BAD_DATA,
                     "the body is not valid %s (its Content-Encoding); it ends early or is damaged",
                     format);
}

static int fail_large(const struct buffer *out, struct error *err)
{
    return error_set(err, ERROR_TOO_LARGE, "the decompressed body is larger than %zu bytes",
                     out->limit);
}

/* Room for up to STEP more bytes; NULL at the limit. */
static char *step(struct buffer *out, size_t *size)
{
    size_t left = out->limit - out->len;
    *size = left < STEP ? left : STEP;
    return *size ? buffer_reserve(out, *size) : NULL;
}

/* One zlib stream from the front of *rest. */
static int inflate_stream(z_stream *stream, struct slice *rest, struct buffer *out,
                          struct error *err)
{
    int status = Z_OK;
    stream->next_in = (const unsigned char *)rest->at;
    stream->avail_in = (unsigned)rest->len;
    while (status != Z_STREAM_END) {
        size_t size;
        unsigned char end_probe;
        char *room = step(out, &size);
        stream->next_out = room ? (unsigned char *)room : &end_probe;
        stream->avail_out = room ? (unsigned)size : 1;
        status = inflate(stream, Z_NO_FLUSH);
        size_t made = (room ? size : 1) - stream->avail_out;
        if (!room && made)
            return fail_large(out, err);
        out->len += made;
        if (status != Z_OK && status != Z_STREAM_END)
            return fail_damaged(err, "gzip or deflate");
    }
    *rest = slice_skip(*rest, rest->len - stream->avail_in);
    return 0;
}

static int inflate_zlib(struct slice body, int window, struct buffer *out, struct error *err)
{
    z_stream stream = {0};
    int status = inflateInit2(&stream, window);
    assert(status == Z_OK);
    do {
        status = inflate_stream(&stream, &body, out, err);
    } while (status == 0 && window == WINDOW_GZIP && body.len && inflateReset(&stream) == Z_OK);
    inflateEnd(&stream);
    if (status == 0 && body.len)
        return fail_damaged(err, "gzip or deflate");
    return status;
}

static int inflate_zstd_frames(ZSTD_DStream *stream, struct slice body, struct buffer *out,
                               struct error *err)
{
    ZSTD_inBuffer in = {body.at, body.len, 0};
    size_t hint = 1;
    while (in.pos < in.size || hint != 0) {
        size_t size, before = in.pos;
        char end_probe;
        char *room = step(out, &size);
        ZSTD_outBuffer to = {room ? room : &end_probe, room ? size : 1, 0};
        hint = ZSTD_decompressStream(stream, &to, &in);
        if (ZSTD_isError(hint) || (hint != 0 && to.pos == 0 && in.pos == before))
            return fail_damaged(err, "zstd");
        if (!room && to.pos)
            return fail_large(out, err);
        out->len += to.pos;
    }
    return 0;
}

static int inflate_zstd(struct slice body, struct buffer *out, struct error *err)
{
    ZSTD_DStream *stream = ZSTD_createDStream();
    assert(stream);
    ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
    int status = inflate_zstd_frames(stream, body, out, err);
    ZSTD_freeDStream(stream);
    return status;
}

static int inflate_snappy(struct slice body, struct buffer *out, struct error *err)
{
    size_t size;
    if (snappy_uncompressed_length(body.at, body.len, &size) != SNAPPY_OK)
        return fail_damaged(err, "snappy");
    if (size > out->limit - out->len)
        return fail_large(out, err);
    char *room = buffer_reserve(out, size);
    if (!room || snappy_uncompress(body.at, body.len, room, &size) != SNAPPY_OK)
        return fail_damaged(err, "snappy");
    out->len += size;
    return 0;
}

/* zlib format: low nibble 8, and the two header bytes are a multiple of 31. */
static bool looks_like_zlib(struct slice body)
{
    if (body.len < 2)
        return false;
    unsigned first = (unsigned char)body.at[0], second = (unsigned char)body.at[1];
    return (first & 0x0f) == 8 && (first << 8 | second) % 31 == 0;
}

int encoding_inflate(struct slice name, struct slice body, struct buffer *out, struct error *err)
{
    switch (coding_of(name)) {
    case CODING_GZIP:
        return inflate_zlib(body, WINDOW_GZIP, out, err);
    case CODING_DEFLATE:
        return inflate_zlib(body, looks_like_zlib(body) ? WINDOW_ZLIB : WINDOW_RAW, out, err);
    case CODING_ZSTD:
        return inflate_zstd(body, out, err);
    case CODING_SNAPPY:
        return inflate_snappy(body, out, err);
    case CODING_IDENTITY:
        buffer_append_slice(out, body);
        return out->overflow ? fail_large(out, err) : 0;
    case CODING_UNKNOWN:
        break;
    }
    return error_set(err, ERROR_BAD_DATA,
                     "the Content-Encoding is not known here; use gzip, deflate, zstd or snappy");
}

bool encoding_gzip(struct slice body, struct buffer *out)
{
    z_stream stream = {0};
    int status = deflateInit2(&stream, 1, Z_DEFLATED, WINDOW_GZIP, 8, Z_DEFAULT_STRATEGY);
    assert(status == Z_OK);
    size_t bound = deflateBound(&stream, (unsigned long)body.len);
    char *room = body.len < UINT32_MAX && bound < UINT32_MAX ? buffer_reserve(out, bound) : NULL;
    bool done = false;
    if (room) {
        stream.next_in = (const unsigned char *)body.at;
        stream.avail_in = (unsigned)body.len;
        stream.next_out = (unsigned char *)room;
        stream.avail_out = (unsigned)bound;
        done = deflate(&stream, Z_FINISH) == Z_STREAM_END;
        out->len += done ? bound - stream.avail_out : 0;
    }
    deflateEnd(&stream);
    return done;
}

struct gzip {
    z_stream stream;
};

struct gzip *gzip_new(void)
{
    struct gzip *gzip = alloc_zeroed(1, sizeof *gzip);
    int status = deflateInit2(&gzip->stream, 1, Z_DEFLATED, WINDOW_GZIP, 8, Z_DEFAULT_STRATEGY);
    assert(status == Z_OK);
    return gzip;
}

void gzip_free(struct gzip *gzip)
{
    if (!gzip)
        return;
    deflateEnd(&gzip->stream);
    free(gzip);
}

bool gzip_append(struct gzip *gzip, struct slice part, bool last, struct buffer *out)
{
    z_stream *stream = &gzip->stream;
    assert(part.len < UINT32_MAX);
    stream->next_in = (const unsigned char *)part.at;
    stream->avail_in = (unsigned)part.len;
    do {
        char *room = buffer_reserve(out, STEP);
        if (!room)
            return false;
        stream->next_out = (unsigned char *)room;
        stream->avail_out = (unsigned)STEP;
        int status = deflate(stream, last ? Z_FINISH : Z_SYNC_FLUSH);
        assert(status != Z_STREAM_ERROR);
        out->len += STEP - stream->avail_out;
    } while (stream->avail_out == 0);
    return true;
}

bool encoding_snappy(struct slice body, struct buffer *out)
{
    size_t size = snappy_max_compressed_length(body.len);
    char *room = buffer_reserve(out, size);
    if (!room || snappy_compress(body.at, body.len, room, &size) != SNAPPY_OK)
        return false;
    out->len += size;
    return true;
}
