/* issues: the list of error issues, or one of them with its newest events. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/lapwing/cli.h"

static const char *const columns[] = {"id",    "project", "level",     "count",
                                      "users", "status",  "last_seen", "title"};
#define COLUMN_COUNT (sizeof columns / sizeof columns[0])

static void add_field(struct grid *grid, const cJSON *object, const char *key)
{
    char number[40];
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, key);
    if (cJSON_IsNumber(value))
        snprintf(number, sizeof number, "%.0f", value->valuedouble);
    grid_add(grid, cJSON_IsString(value)   ? value->valuestring
                   : cJSON_IsNumber(value) ? number
                                           : "");
}

static void print_list(const cJSON *json, enum output output)
{
    struct grid *grid = grid_new(COLUMN_COUNT);
    const cJSON *issues = cJSON_GetObjectItemCaseSensitive(json, "issues"), *issue;
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        grid_add(grid, columns[i]);
    cJSON_ArrayForEach(issue, issues)
    {
        for (size_t i = 0; i < COLUMN_COUNT; i++)
            add_field(grid, issue, columns[i]);
    }
    if (cJSON_GetArraySize(issues) == 0 && output == OUTPUT_TABLE)
        fputs("lapwing: there are no issues\n", stderr);
    else
        grid_print(grid, output);
    grid_free(grid);
}

static int list(const struct cli *cli)
{
    const struct parameter parameters[] = {{"limit", cli->limit}, {"project", cli->project}};
    char *body;
    if (http_get(cli, "/api/issues", parameters, 2, &body))
        return 1;
    if (cli->output == OUTPUT_JSON) {
        puts(body);
        free(body);
        return 0;
    }
    cJSON *json = json_of(body);
    free(body);
    if (!json)
        return 1;
    print_list(json, cli->output);
    cJSON_Delete(json);
    return 0;
}

static int show(const struct cli *cli, const char *id)
{
    char path[200], *body;
    if (strlen(id) > 100 || strpbrk(id, "/?#% ")) {
        fprintf(stderr, "lapwing: \"%s\" is no issue id; lapwing issues lists them\n", id);
        return 2;
    }
    snprintf(path, sizeof path, "/api/issues/%s", id);
    if (http_get(cli, path, NULL, 0, &body))
        return 1;
    cJSON *json = json_of(body);
    char *pretty = json ? cJSON_Print(json) : NULL;
    if (pretty)
        puts(pretty);
    free(pretty);
    cJSON_Delete(json);
    free(body);
    return json ? 0 : 1;
}

int command_issues(const struct cli *cli)
{
    return cli->argument_count ? show(cli, cli->arguments[0]) : list(cli);
}
