/* logkey: three ranges of one key space, told apart by the first byte.
 *
 *   hot      01 [sequence u64]                                     -> a batch of raw records
 *   header   02 [day u32][time_min u64][block id u64]              -> header of a sealed block
 *   column   03 [day u32][time_min u64][block id u64][column u8]   -> one column of it
 *
 * All integers big-endian; signed ones have their top bit flipped, so that byte order is time
 * order. Day first, so that retention drops whole files. Headers stand apart from the columns:
 * opening the store and asking for streams read only them.
 */
#include "storage/log/logkey.h"

#include <assert.h>

#define DAY_NS ((int64_t)86400 * 1000000000)

enum { KEY_HOT = 1, KEY_HEADER = 2, KEY_COLUMN = 3 };

int64_t logkey_day(int64_t time_ns)
{
    return time_ns / DAY_NS - (time_ns % DAY_NS < 0);
}

static void put_be(struct logkey *key, uint64_t value, unsigned bytes)
{
    assert(key->len + bytes <= sizeof key->at);
    while (bytes-- > 0)
        key->at[key->len++] = (char)(value >> (8 * bytes));
}

static struct logkey day_key(unsigned kind, int64_t day)
{
    struct logkey key = {.len = 0};
    put_be(&key, kind, 1);
    put_be(&key, (uint32_t)(int32_t)day ^ 0x80000000u, 4);
    return key;
}

static struct logkey block_key(unsigned kind, const struct logentry *entry)
{
    struct logkey key = day_key(kind, logkey_day(entry->time_min_ns));
    put_be(&key, (uint64_t)entry->time_min_ns ^ 1ull << 63, 8);
    put_be(&key, entry->id, 8);
    return key;
}

struct logkey logkey_hot(uint64_t sequence)
{
    struct logkey key = logkey_hot_first();
    put_be(&key, sequence, 8);
    return key;
}

bool logkey_read_hot(struct slice key, uint64_t *sequence)
{
    uint8_t kind;
    return bytes_cut_u8(&key, &kind) && kind == KEY_HOT && bytes_cut_u64be(&key, sequence) &&
           key.len == 0;
}

struct logkey logkey_header(const struct logentry *entry)
{
    return block_key(KEY_HEADER, entry);
}

struct logkey logkey_column(const struct logentry *entry, unsigned column)
{
    struct logkey key = block_key(KEY_COLUMN, entry);
    put_be(&key, column, 1);
    return key;
}

bool logkey_read_header(struct slice key, struct logentry *out)
{
    uint8_t kind;
    uint32_t day;
    uint64_t time;
    if (!bytes_cut_u8(&key, &kind) || kind != KEY_HEADER || !bytes_cut_u32be(&key, &day) ||
        !bytes_cut_u64be(&key, &time) || !bytes_cut_u64be(&key, &out->id))
        return false;
    out->time_min_ns = (int64_t)(time ^ 1ull << 63);
    return key.len == 0;
}

struct logkey logkey_hot_first(void)
{
    struct logkey key = {.len = 0};
    put_be(&key, KEY_HOT, 1);
    return key;
}

struct logkey logkey_header_day(int64_t day)
{
    return day_key(KEY_HEADER, day);
}

struct logkey logkey_column_day(int64_t day)
{
    return day_key(KEY_COLUMN, day);
}
