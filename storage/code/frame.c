/* frame: zstd with a context a thread, for making one costs as much as a column. */
#include "storage/code/frame.h"

#include <assert.h>
#include <pthread.h>
#include <zstd.h>

#define MATCH_MIN 7

struct contexts {
    ZSTD_CCtx *compress;
    ZSTD_DCtx *decompress;
};

static pthread_key_t contexts_key;
static pthread_once_t contexts_once = PTHREAD_ONCE_INIT;
static _Thread_local struct contexts contexts;

static void free_contexts(void *at)
{
    struct contexts *mine = at;
    ZSTD_freeCCtx(mine->compress);
    ZSTD_freeDCtx(mine->decompress);
    *mine = (struct contexts){0};
}

static void make_key(void)
{
    int status = pthread_key_create(&contexts_key, free_contexts);
    assert(status == 0);
}

static struct contexts *thread_contexts(void)
{
    if (contexts.compress)
        return &contexts;
    pthread_once(&contexts_once, make_key);
    contexts.compress = ZSTD_createCCtx();
    contexts.decompress = ZSTD_createDCtx();
    assert(contexts.compress && contexts.decompress);
    /* Matches shorter than seven bytes cost more than the Huffman codes they replace. */
    ZSTD_CCtx_setParameter(contexts.compress, ZSTD_c_strategy, ZSTD_fast);
    ZSTD_CCtx_setParameter(contexts.compress, ZSTD_c_minMatch, MATCH_MIN);
    ZSTD_CCtx_setParameter(contexts.compress, ZSTD_c_targetLength, 0);
    ZSTD_CCtx_setParameter(contexts.compress, ZSTD_c_hashLog, 12);
    ZSTD_CCtx_setParameter(contexts.compress, ZSTD_c_windowLog, 14);
    pthread_setspecific(contexts_key, &contexts);
    return &contexts;
}

void frame_append(struct buffer *out, const uint8_t *bytes, size_t count)
{
    char frame[ZSTD_COMPRESSBOUND(FRAME_COUNT_MAX)];
    assert(count <= FRAME_COUNT_MAX);
    size_t size = ZSTD_compress2(thread_contexts()->compress, frame, sizeof frame, bytes, count);
    assert(!ZSTD_isError(size));
    buffer_append_prefixed(out, slice_make(frame, size));
}

bool frame_cut(struct slice *rest, uint8_t *out, size_t count)
{
    struct slice frame;
    return bytes_cut_prefixed(rest, &frame) &&
           ZSTD_decompressDCtx(thread_contexts()->decompress, out, count, frame.at, frame.len) ==
               count;
}
