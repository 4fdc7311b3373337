/* top: the busiest metrics and sources, the newest series, and what is lost; again every two seconds, or once
 * when nobody watches (--once, another output than a table, no terminal).
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "clients/lapwing/cli.h"

#define REFRESH_SECONDS 2
#define CLEAR_SCREEN    "\033[H\033[2J"

static const char *text_of(const cJSON *object, const char *key)
{
    const cJSON *text = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsString(text) ? text->valuestring : "";
}

static double number_of(const cJSON *object, const char *key)
{
    const cJSON *number = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNumber(number) ? number->valuedouble : 0;
}

static void add_number(struct grid *grid, double number, int digits)
{
    char text[40];
    snprintf(text, sizeof text, "%.*f", digits, number);
    grid_add(grid, text);
}

/* The tables of the answer: which list, what its keys are called, and above which heading. */
static const struct section {
    const char *list, *key, *heading;
} sections[] = {
    {"metrics", "name", "METRIC"},
    {"sources", "source", "SOURCE"},
    {"refused", "source", "SENDS REFUSED LINES"},
};

static void print_section(const cJSON *data, const struct section *section, enum output output)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(data, section->list), *row;
    if (cJSON_GetArraySize(list) == 0)
        return;
    struct grid *grid = grid_new(3);
    grid_add(grid, "PER SECOND");
    grid_add(grid, "COUNT");
    grid_add(grid, section->heading);
    cJSON_ArrayForEach(row, list)
    {
        add_number(grid, number_of(row, "per_second"), 1);
        add_number(grid, number_of(row, "count"), 0);
        grid_add(grid, text_of(row, section->key));
    }
    grid_print(grid, output);
    grid_free(grid);
    putchar('\n');
}

static void print_newest(const cJSON *data, enum output output)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(data, "series"), *row;
    if (cJSON_GetArraySize(list) == 0)
        return;
    struct grid *grid = grid_new(2);
    grid_add(grid, "TYPE");
    grid_add(grid, "NEWEST SERIES");
    cJSON_ArrayForEach(row, list)
    {
        char *name = series_name(cJSON_GetObjectItemCaseSensitive(row, "labels"));
        grid_add(grid, text_of(row, "type"));
        grid_add(grid, name);
        free(name);
    }
    grid_print(grid, output);
    grid_free(grid);
    putchar('\n');
}

static void print_losses(const cJSON *data, enum output output)
{
    const cJSON *row;
    struct grid *grid = grid_new(2);
    grid_add(grid, "SINCE START");
    grid_add(grid, "LOST OR REFUSED");
    cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(data, "losses"))
    {
        char name[200];
        const char *labels = text_of(row, "labels");
        if (number_of(row, "count") == 0)
            continue;
        snprintf(name, sizeof name, "%s%s%s%s", text_of(row, "name"), *labels ? "{" : "", labels,
                 *labels ? "}" : "");
        add_number(grid, number_of(row, "count"), 0);
        grid_add(grid, name);
    }
    grid_print(grid, output);
    grid_free(grid);
    putchar('\n');
}

static void print_rejects(const cJSON *data, enum output output)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(data, "rejects"), *row;
    if (cJSON_GetArraySize(list) == 0)
        return;
    struct grid *grid = grid_new(6);
    static const char *const headings[] = {"INPUT",     "REASON", "LAST AT",
                                           "TRANSPORT", "SOURCE", "LINE"};
    for (size_t i = 0; i < 6; i++)
        grid_add(grid, headings[i]);
    cJSON_ArrayForEach(row, list)
    {
        char *time = time_text(number_of(row, "time"));
        grid_add(grid, text_of(row, "input"));
        grid_add(grid, text_of(row, "reason"));
        grid_add(grid, time);
        grid_add(grid, text_of(row, "transport"));
        grid_add(grid, text_of(row, "source"));
        grid_add(grid, text_of(row, "line"));
        free(time);
    }
    grid_print(grid, output);
    grid_free(grid);
}

static int print_tables(const char *top_body, const char *losses_body, enum output output)
{
    cJSON *top = json_of(top_body), *losses = json_of(losses_body);
    const cJSON *top_data = cJSON_GetObjectItemCaseSensitive(top, "data");
    const cJSON *losses_data = cJSON_GetObjectItemCaseSensitive(losses, "data");
    bool sound = top && losses;
    if (sound) {
        for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++)
            print_section(top_data, &sections[i], output);
        print_newest(top_data, output);
        print_losses(losses_data, output);
        print_rejects(losses_data, output);
    }
    cJSON_Delete(top);
    cJSON_Delete(losses);
    return sound ? 0 : 1;
}

static int show(const struct cli *cli, bool again)
{
    const struct parameter limit = {"limit", cli->limit ? cli->limit : "10"};
    char *top, *losses;
    int status = 0;
    if (http_get(cli, "/api/statsd/top", &limit, 1, &top))
        return 1;
    if (http_get(cli, "/api/statsd/losses", NULL, 0, &losses)) {
        free(top);
        return 1;
    }
    if (again)
        fputs(CLEAR_SCREEN, stdout);
    if (cli->output == OUTPUT_JSON)
        printf("{\"top\":%s,\"losses\":%s}\n", top, losses);
    else
        status = print_tables(top, losses, cli->output);
    fflush(stdout);
    free(top);
    free(losses);
    return status;
}

int command_top(const struct cli *cli)
{
    bool again = !cli->once && cli->output == OUTPUT_TABLE && isatty(STDOUT_FILENO);
    if (cli->argument_count) {
        fputs("lapwing: top takes no arguments; see lapwing --help\n", stderr);
        return 2;
    }
    int status = show(cli, again);
    while (again && !status) {
        sleep(REFRESH_SECONDS);
        status = show(cli, again);
    }
    return status;
}
