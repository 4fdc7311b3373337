/* store_fixture: a store in a directory of its own, for the tests of the store. */
#ifndef TESTS_UNIT_STORE_FIXTURE_H
#define TESTS_UNIT_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "storage/base/clock.h"
#include "storage/store.h"
#include "tests/unit/scratch_dir.h"

#define START_MS ((int64_t)1700000000000)

static char path[SCRATCH_DIR_BYTES];

static inline int setup(void **state)
{
    (void)state;
    clock_set_ms(START_MS);
    return scratch_dir_make(path, "store_test");
}

static inline int teardown(void **state)
{
    (void)state;
    return scratch_dir_remove(path);
}

static inline struct store *open_with(struct store_options options)
{
    struct store *store = NULL;
    struct error err = {0};
    options.path = path;
    options.series_max = options.series_max ? options.series_max : 10000;
    if (store_open(&options, &store, &err))
        fail_msg("%s", err.text);
    return store;
}

static inline struct store *open_store(void)
{
    return open_with((struct store_options){.chunk_samples = 20});
}

static inline void commit(struct store *store, struct store_batch *batch)
{
    struct error err = {0};
    if (store_commit(store, batch, false, &err))
        fail_msg("%s", err.text);
}

/* {__name__=name, job=job, i=number} */
static inline uint32_t intern(struct store_batch *batch, const char *name, int number,
                              enum series_kind kind)
{
    char text[16];
    uint32_t id;
    struct error err = {0};
    snprintf(text, sizeof text, "%d", number);
    struct label labels[] = {{SLICE(LABEL_NAME), slice_of_string(name)},
                             {SLICE("i"), slice_of_string(text)},
                             {SLICE("job"), number % 2 ? SLICE("odd") : SLICE("even")}};
    if (store_batch_intern(batch, (struct labels){labels, 3}, kind, &id, &err))
        fail_msg("%s", err.text);
    return id;
}

#endif
