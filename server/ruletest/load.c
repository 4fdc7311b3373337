/* load: a pattern is made a path, and the paths it stands for are given to the daemon's own loader.
 */
#include "server/ruletest/load.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/base/alloc.h"

/* "dir/of/test.yaml", "rules/x.yaml" -> "dir/of/rules/x.yaml"; free it. */
static char *beside(const char *path, struct slice pattern)
{
    struct buffer text;
    const char *slash = strrchr(path, '/');
    buffer_init(&text, 65536);
    if (slash && (!pattern.len || *pattern.at != '/'))
        buffer_append(&text, path, (size_t)(slash - path) + 1);
    buffer_append_slice(&text, pattern);
    buffer_append_char(&text, 0);
    char *copy = alloc_string(text.overflow ? "" : text.at);
    buffer_release(&text);
    return copy;
}

int test_rules_load(const char *path, const struct test_file *file, struct rule_set **out,
                    struct error *err)
{
    const struct slice *patterns = file->rule_files.at;
    struct option_list list = {alloc_zeroed(file->rule_files.count + 1, sizeof *list.at), 0};
    for (size_t i = 0; i < file->rule_files.count; i++) {
        glob_t found = {0};
        char *pattern = beside(path, patterns[i]);
        if (glob(pattern, 0, NULL, &found) == 0)
            list.at[list.count++] = pattern;
        else
            free(pattern);
        globfree(&found);
    }
    int status = rule_set_load(&list, 60000, out, err);
    for (size_t i = 0; i < list.count; i++)
        free((void *)(uintptr_t)list.at[i]);
    free(list.at);
    return status;
}

void test_rules_warn(const char *path, const struct test_file *file)
{
    const struct slice *patterns = file->rule_files.at;
    for (size_t i = 0; i < file->rule_files.count; i++) {
        glob_t found = {0};
        char *pattern = beside(path, patterns[i]);
        if (glob(pattern, 0, NULL, &found) != 0)
            fprintf(stderr, "  WARNING: no file match pattern %s\n", pattern);
        globfree(&found);
        free(pattern);
    }
}
