/* store_split: what the bytes of a data directory are for. Nobody else may have it open.
 *
 *   build/release/bench/store_split DIRECTORY
 *
 * Prints keys and values of each kind as they are handed to RocksDB, before its compression.
 */
#include <stdio.h>

#include "storage/kv/kv.h"

enum { RAW, ROLLUP_5M, ROLLUP_1H, SERIES, POSTINGS, OTHER, KINDS };

static const char *const names[KINDS] = {"raw", "5m", "1h", "series", "postings", "other"};

static int kind_of(enum kv_family family, struct slice key)
{
    if (family == KV_CHUNK && key.len)
        return key.at[0] == 0 ? RAW : key.at[0] == 1 ? ROLLUP_5M : ROLLUP_1H;
    return family == KV_SERIES ? SERIES : family == KV_POSTINGS ? POSTINGS : OTHER;
}

int main(int argc, char **argv)
{
    size_t bytes[KINDS] = {0}, rows[KINDS] = {0};
    struct kv *kv = NULL;
    struct error err = {0};
    if (argc != 2 || kv_open(argv[1], &kv, &err)) {
        fprintf(stderr, "%s\n", argc == 2 ? err.text : "usage: store_split DIRECTORY");
        return 1;
    }
    for (enum kv_family family = 0; family < KV_FAMILY_COUNT; family++) {
        struct kv_iterator *it = kv_iterate(kv, family, SLICE(""), SLICE(""));
        for (bool more = kv_seek_first(it); more; more = kv_next(it)) {
            int kind = kind_of(family, kv_key(it));
            bytes[kind] += kv_key(it).len + kv_value(it).len;
            rows[kind]++;
        }
        kv_iterator_free(it);
    }
    kv_close(kv);
    for (int kind = 0; kind < KINDS; kind++)
        printf("%s %zu %zu\n", names[kind], bytes[kind], rows[kind]);
    return 0;
}
