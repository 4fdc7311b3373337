/* slabs: things of all sizes come and go, none lies on another, and the memory goes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "storage/base/slabs.h"

#define THINGS 20000

static struct {
    unsigned char *at; /* NULL = none; filled with its index */
    size_t size;
} things[THINGS];

static void take(struct slabs *slabs, size_t i)
{
    things[i].size = 1 + (size_t)lrand48() % (lrand48() % 10 ? 120 : 400);
    things[i].at = slabs_take(slabs, things[i].size);
    assert_int_equal((uintptr_t)things[i].at % 8, 0);
    for (size_t k = 0; k < things[i].size; k++)
        assert_int_equal(things[i].at[k], 0);
    memset(things[i].at, (int)(i % 251) + 1, things[i].size);
}

static void give(struct slabs *slabs, size_t i)
{
    for (size_t k = 0; k < things[i].size; k++)
        assert_int_equal(things[i].at[k], i % 251 + 1);
    slabs_give(slabs, things[i].at, things[i].size);
    things[i].at = NULL;
}

static void things_come_and_go(void **state)
{
    (void)state;
    struct slabs slabs = {.count = 0};
    for (int round = 0; round < 6; round++) {
        for (int n = 0; n < THINGS; n++) {
            size_t i = (size_t)lrand48() % THINGS;
            if (!things[i].at)
                take(&slabs, i);
            else if (lrand48() % 6 < round)
                give(&slabs, i);
        }
    }
    for (size_t i = 0; i < THINGS; i++)
        if (things[i].at)
            give(&slabs, i);
    assert_in_range(slabs.count, 1, SLABS_CLASSES); /* one of a size is kept */
    slabs_release(&slabs);
}

static void a_slab_is_full_of_things(void **state)
{
    (void)state;
    struct slabs slabs = {.count = 0};
    static void *at[10000];
    for (size_t i = 0; i < 10000; i++) {
        at[i] = slabs_take(&slabs, 60);
        assert_int_equal((uintptr_t)at[i] % 64, 0); /* a cache line each */
    }
    assert_in_range(slabs.count, 19, 20); /* of 32 KiB */
    for (size_t i = 0; i < 10000; i++)
        slabs_give(&slabs, at[(i * 7919) % 10000], 60);
    assert_int_equal(slabs.count, 1);
    slabs_release(&slabs);
    assert_int_equal(slabs.count, 0);
}

int main(void)
{
    srand48(8);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(things_come_and_go),
        cmocka_unit_test(a_slab_is_full_of_things),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
