/* replay: gives a fuzz target a plain main, so that its corpus and past crashes run in every
 * `make test` with the server's own compiler.
 *
 *   chunk_fuzz DIR|FILE...     feeds every file below the arguments to the target
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_BYTES_MAX (1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return 1;
    }
    uint8_t *room = malloc(INPUT_BYTES_MAX);
    if (!room)
        abort();
    size_t size = fread(room, 1, INPUT_BYTES_MAX, file);
    fclose(file);
    /* A buffer of the exact size lets AddressSanitizer see one byte too many. */
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact)
        abort();
    memcpy(exact, room, size);
    free(room);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return 0;
}

static int replay_path(const char *path, size_t *count)
{
    DIR *dir = opendir(path);
    if (!dir) {
        (*count)++;
        return replay_file(path);
    }
    int failed = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char below[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
        failed |= replay_path(below, count);
    }
    closedir(dir);
    return failed;
}

int main(int argc, char **argv)
{
    size_t count = 0;
    int failed = argc < 2;
    for (int i = 1; i < argc; i++)
        failed |= replay_path(argv[i], &count);
    if (count == 0) {
        fprintf(stderr, "usage: %s DIR|FILE... (at least one input)\n", argv[0]);
        return 2;
    }
    printf("%s: %zu inputs\n", argv[0], count);
    return failed;
}
