/* offline: see the header. The work is done by storage/backup.c; here it is put into words.
 */
#include "server/offline.h"

#include <stdio.h>

#include "storage/backup.h"

static void print_place(void *arg, const char *text)
{
    (void)arg;
    printf("damaged: %s\n", text);
}

static void print_report(const char *verb, const char *path, const struct scrub_report *report)
{
    printf("%s %s: %llu rows, %llu bytes, digest %016llx, %llu damaged\n", verb, path,
           (unsigned long long)report->rows, (unsigned long long)report->bytes,
           (unsigned long long)report->digest, (unsigned long long)report->damaged);
}

int offline_check(const struct offline *offline, struct error *err)
{
    struct scrub_report report;
    struct scrub_options options = {.found = print_place};
    if (backup_check(offline->data, &options, &report, err))
        return -1;
    print_report("checked", offline->data, &report);
    return report.damaged > 0;
}

int offline_restore(const struct offline *offline, struct error *err)
{
    struct scrub_report report;
    struct backup_restore restore = {
        .path = offline->backup, .data = offline->data, .force = offline->force};
    if (!offline->backup)
        return error_set(err, ERROR_BAD_DATA, "--force goes with --restore BACKUP");
    if (backup_restore(&restore, &report, err))
        return -1;
    if (*restore.kept)
        printf("what was in %s is kept in %s\n", restore.data, restore.kept);
    print_report("restored", restore.data, &report);
    return 0;
}
