/* tap: the server's stream of lines, one a line on stdout; what it had to leave out is told on stderr. */
#include <stdio.h>
#include <stdlib.h>

#include "clients/lapwing/cli.h"

struct watch {
    const struct cli *cli;
    long left; /* 0 = any number */
};

static void print_line(const struct watch *watch, const cJSON *json, const char *raw)
{
    const cJSON *line = cJSON_GetObjectItemCaseSensitive(json, "line");
    const cJSON *source = cJSON_GetObjectItemCaseSensitive(json, "source");
    if (watch->cli->output == OUTPUT_JSON)
        puts(raw);
    else if (cJSON_IsString(source))
        printf("%-21s %s\n", source->valuestring, line->valuestring);
    fflush(stdout);
}

static bool on_line(void *arg, char *text)
{
    struct watch *watch = arg;
    cJSON *json = cJSON_Parse(text);
    const cJSON *dropped = cJSON_GetObjectItemCaseSensitive(json, "dropped");
    bool more = true;
    if (cJSON_IsNumber(dropped)) {
        fprintf(stderr,
                "lapwing: %.0f lines were left out, because more came than could be shown\n",
                dropped->valuedouble);
    } else if (cJSON_IsString(cJSON_GetObjectItemCaseSensitive(json, "line"))) {
        print_line(watch, json, text);
        more = watch->left == 0 || --watch->left > 0;
    }
    cJSON_Delete(json);
    return more;
}

static int read_limit(const char *text, long *out)
{
    char *end;
    *out = strtol(text, &end, 10);
    if (*out > 0 && end != text && !*end)
        return 0;
    fprintf(stderr, "lapwing: --limit takes a number above 0, not \"%s\"\n", text);
    return -1;
}

int command_tap(const struct cli *cli)
{
    struct watch watch = {.cli = cli};
    if (cli->argument_count > 1) {
        fputs("lapwing: tap takes one prefix, as in lapwing tap api.latency\n", stderr);
        return 2;
    }
    if (cli->limit && read_limit(cli->limit, &watch.left))
        return 2;
    const struct parameter prefix = {"prefix", cli->argument_count ? cli->arguments[0] : NULL};
    return http_get_lines(cli, "/api/statsd/tap", &prefix, on_line, &watch);
}
