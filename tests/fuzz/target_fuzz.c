/* Bytes up to a zero are a path, those behind it a name: paths keep their form, and a node matches what its
 * regular expression matches. Paths without parentheses may as well be times. */
#include <assert.h>

#include "query/etsy.h"
#include "query/target.h"
#include "server/wire/graphite_time.h"
#include "storage/base/regex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_plain(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] >= 0x80 || text.at[i] == '.')
            return false;
    return true;
}

static void compare(struct slice node, struct slice text)
{
    struct regex *regex;
    struct buffer pattern;
    struct error err;
    buffer_init(&pattern, 1 << 16);
    target_write_regex(&node, 1, &pattern);
    /* It does not compile with a class like [z-a]. */
    if (regex_compile(buffer_slice(&pattern), REGEX_ANCHORED, &regex, &err) == 0) {
        if (is_plain(node) && is_plain(text) && text.len < 64)
            assert(target_matches(node, text) == regex_match(regex, text));
        regex_free(regex);
    }
    buffer_release(&pattern);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice name = slice_make(data, size), path;
    struct target *targets;
    struct etsy_statistic statistic;
    struct arena arena;
    struct error err;
    size_t count;
    int64_t ms;
    slice_cut(&name, '\0', &path);
    arena_init(&arena, 1 << 22);
    if (target_expand(path, &arena, &targets, &count, &err) == 0) {
        assert(count >= 1 && count <= TARGET_PATHS_MAX);
        for (size_t i = 0; i < count; i++) {
            assert(targets[i].count >= 1 && targets[i].count <= TARGET_NODES_MAX);
            for (size_t k = 0; k < targets[i].count; k++)
                assert(targets[i].nodes[k].len &&
                       !memchr(targets[i].nodes[k].at, '.', targets[i].nodes[k].len));
        }
        compare(targets[0].nodes[0], name);
    }
    if (graphite_time(path, 1656581400000, &ms))
        assert(ms > -((int64_t)1 << 60) && ms < ((int64_t)1 << 60));
    if (etsy_find(path, &statistic))
        assert(statistic.percent >= -100 && statistic.percent <= 100);
    arena_release(&arena);
    return 0;
}
