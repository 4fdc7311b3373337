/* Fuzz: a configuration text. What is accepted prints to a text that is accepted and prints the
 * same; what is refused has a sentence. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print(const struct config *config, struct buffer *out)
{
    buffer_init(out, 16 << 20);
    config_print(config, out);
    assert(!out->overflow);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct config config;
    struct error err = {0};
    arena_init(&arena, 64 << 20);
    if (config_parse(slice_make(data, size), "fuzz", &arena, &config, &err) != 0) {
        assert(err.kind != ERROR_NONE && strlen(err.text) > 8);
    } else {
        struct buffer first, second;
        print(&config, &first);
        int status = config_parse(buffer_slice(&first), "again", &arena, &config, &err);
        assert(status == 0);
        print(&config, &second);
        assert(slice_equal(buffer_slice(&first), buffer_slice(&second)));
        buffer_release(&first);
        buffer_release(&second);
    }
    arena_release(&arena);
    return 0;
}
