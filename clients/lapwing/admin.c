/* admin: what an operator asks of the store.
 *
 *   compact, backup, check-data        the server does it; this waits and says how it went
 *   restore, check-data DIR            there is no server: lapwingd is run for it, the one that lies
 *                                      beside this program, or else the one on the PATH
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clients/lapwing/cli.h"

/* A number of the answer's data, 0 when it is not there. */
static double number_of(const cJSON *json, const char *name)
{
    const cJSON *data = cJSON_GetObjectItemCaseSensitive(json, "data");
    const cJSON *number = cJSON_GetObjectItemCaseSensitive(data, name);
    return cJSON_IsNumber(number) ? number->valuedouble : 0;
}

/* The string, or "". */
static const char *text_of(const cJSON *json, const char *name)
{
    const cJSON *data = cJSON_GetObjectItemCaseSensitive(json, "data");
    const cJSON *text = cJSON_GetObjectItemCaseSensitive(data, name);
    return cJSON_IsString(text) ? text->valuestring : "";
}

int command_compact(const struct cli *cli)
{
    char *body;
    if (http_post_patiently(cli, "/api/v1/admin/tsdb/compact", "", &body))
        return 1;
    cJSON *json = json_of(body);
    if (json)
        printf("compacted in %.1f s, %.1f MiB on disk\n", number_of(json, "took_ms") / 1e3,
               number_of(json, "disk_bytes") / (1 << 20));
    free(body);
    cJSON_Delete(json);
    return json ? 0 : 1;
}

/* --- backup --- */

/* {"dir":"..."}, the path made absolute: the server runs somewhere else. Free it. */
static char *backup_request(const char *path)
{
    char here[PATH_MAX] = "", whole[2 * PATH_MAX];
    if (path[0] != '/' && !getcwd(here, sizeof here)) {
        perror("lapwing: where am I");
        return NULL;
    }
    snprintf(whole, sizeof whole, "%s%s%s", here, *here ? "/" : "", path);
    cJSON *json = must(cJSON_CreateObject());
    must(cJSON_AddStringToObject(json, "dir", whole));
    char *text = must(cJSON_PrintUnformatted(json));
    cJSON_Delete(json);
    return text;
}

static int require_argument(const struct cli *cli, const char *what)
{
    if (cli->argument_count == 1)
        return 0;
    fprintf(stderr, "lapwing: name one directory: %s\n", what);
    return 2;
}

int command_backup(const struct cli *cli)
{
    char *body, *request;
    if (require_argument(cli, "lapwing backup DIR"))
        return 2;
    request = backup_request(cli->arguments[0]);
    if (!request || http_post_patiently(cli, "/api/v1/admin/backup", request, &body)) {
        free(request);
        return 1;
    }
    cJSON *json = json_of(body);
    if (json)
        printf("%s: %.0f rows, %.1f MiB, digest %s\n", text_of(json, "dir"),
               number_of(json, "rows"), number_of(json, "bytes") / (1 << 20),
               text_of(json, "digest"));
    free(request);
    free(body);
    cJSON_Delete(json);
    return json ? 0 : 1;
}

/* --- what needs no server --- */

int become_daemon(char *const *arguments)
{
    char path[PATH_MAX + 16];
    ssize_t len = readlink("/proc/self/exe", path, PATH_MAX);
    path[len > 0 ? len : 0] = 0;
    char *slash = strrchr(path, '/');
    if (slash) {
        memcpy(slash + 1, "lapwingd", sizeof "lapwingd");
        execv(path, arguments);
    }
    execvp("lapwingd", arguments);
    fprintf(stderr,
            "lapwing: cannot run lapwingd, which does this: %s; install it beside lapwing\n",
            strerror(errno));
    return 1;
}

int command_restore(const struct cli *cli)
{
    if (require_argument(cli, "lapwing restore DIR --data DATA"))
        return 2;
    if (!cli->data) {
        fputs("lapwing: say with --data which directory the data shall be in\n", stderr);
        return 2;
    }
    char name[] = "lapwingd", restore[] = "--restore", data[] = "--data", force[] = "--force";
    char *path = must(strdup(cli->data));
    char *arguments[] = {name, restore, cli->arguments[0], data, path, cli->force ? force : NULL,
                         NULL};
    int status = become_daemon(arguments);
    free(path);
    return status;
}

static int check_online(const struct cli *cli)
{
    char *body;
    const cJSON *place;
    if (http_post_patiently(cli, "/api/v1/admin/check", "", &body))
        return 2;
    cJSON *json = json_of(body);
    const cJSON *data = cJSON_GetObjectItemCaseSensitive(json, "data");
    cJSON_ArrayForEach(place, cJSON_GetObjectItemCaseSensitive(data, "damage"))
        printf("damaged: %s\n", cJSON_IsString(place) ? place->valuestring : "");
    double damaged = number_of(json, "damaged");
    if (json)
        printf("checked %s: %.0f rows, %.0f bytes, digest %s, %.0f damaged\n", cli->url,
               number_of(json, "rows"), number_of(json, "bytes"), text_of(json, "digest"), damaged);
    free(body);
    cJSON_Delete(json);
    return json ? damaged > 0 : 2;
}

int command_check_data(const struct cli *cli)
{
    char name[] = "lapwingd", check[] = "--check-data", data[] = "--data";
    if (cli->argument_count == 0)
        return check_online(cli);
    if (require_argument(cli, "lapwing check-data [DIR]"))
        return 2;
    char *arguments[] = {name, check, data, cli->arguments[0], NULL};
    return become_daemon(arguments);
}
