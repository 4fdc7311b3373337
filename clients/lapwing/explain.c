/* explain: what the server would make of a statsd line.
 *
 *   api.latency:320|ms|#route:/buy
 *   union (udp, tcp): timer 320
 *     series api.latency{route="/buy"}
 *     it is new, the 3rd live series of api.latency (of at most 100000), and series 17 in all (1000000)
 *
 *   api.latency:32O|ms
 *                 ^
 *   union (udp, tcp): refused, bad_value: this is no number, or no member of a set
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/lapwing/cli.h"

static const char *text_of(const cJSON *object, const char *key)
{
    const cJSON *text = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsString(text) ? text->valuestring : "";
}

static void print_joined(const cJSON *list, const char *before, const char *after)
{
    const cJSON *item;
    const char *separator = before;
    cJSON_ArrayForEach(item, list)
    {
        if (cJSON_IsString(item))
            printf("%s%s", separator, item->valuestring);
        else
            printf("%s%.15g", separator, item->valuedouble);
        separator = ", ";
    }
    if (cJSON_GetArraySize(list))
        fputs(after, stdout);
}

static void print_series(const cJSON *part)
{
    const char *series = text_of(part, "series"), *stored = text_of(part, "stored");
    printf("  series %s\n", series);
    print_joined(cJSON_GetObjectItemCaseSensitive(part, "why"), "  ", "\n");
    if (strcmp(text_of(part, "fate"), "dropped") == 0)
        puts("  dropped");
    else if (*stored && strcmp(stored, series) != 0)
        printf("  stored as %s\n", stored);
}

static void print_accepted(const cJSON *part)
{
    const cJSON *weight = cJSON_GetObjectItemCaseSensitive(part, "weight");
    const cJSON *time = cJSON_GetObjectItemCaseSensitive(part, "time");
    const cJSON *rule = cJSON_GetObjectItemCaseSensitive(part, "rule");
    fputs(text_of(part, "type"), stdout);
    print_joined(cJSON_GetObjectItemCaseSensitive(part, "values"), " ", "");
    if (*text_of(part, "member"))
        printf(" %s", text_of(part, "member"));
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(part, "moves")))
        fputs(", which moves it", stdout);
    if (weight)
        printf(", weighing %.15g", weight->valuedouble);
    if (time)
        printf(", at %.0f", time->valuedouble);
    print_joined(cJSON_GetObjectItemCaseSensitive(part, "ignored"), "; ignored: ", "");
    putchar('\n');
    if (rule)
        printf("  rule %.0f, %s: %s\n",
               cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(rule, "number")),
               text_of(rule, "match"), text_of(rule, "action"));
    if (*text_of(part, "dropped"))
        printf("  dropped: %s\n", text_of(part, "dropped"));
    else
        print_series(part);
}

/* The line once more, with the caret, where there is something wrong with it. */
static void print_refused(const cJSON *part, const char *line)
{
    double column = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(part, "column"));
    printf("refused, %s: %s\n", text_of(part, "reason"), text_of(part, "error"));
    printf("  %s\n  %*s^\n", line, (int)column, "");
}

/* True when nothing was refused. */
static bool print_profile(const cJSON *profile, const char *line)
{
    const cJSON *part;
    bool accepted = true;
    cJSON_ArrayForEach(part, cJSON_GetObjectItemCaseSensitive(profile, "parts"))
    {
        bool good = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(part, "accepted"));
        fputs(text_of(profile, "profile"), stdout);
        print_joined(cJSON_GetObjectItemCaseSensitive(profile, "listeners"), " (", ")");
        fputs(": ", stdout);
        if (good)
            print_accepted(part);
        else
            print_refused(part, line);
        accepted = accepted && good;
    }
    return accepted;
}

static int print_answer(const char *body)
{
    cJSON *json = json_of(body);
    if (!json)
        return 1;
    const cJSON *data = cJSON_GetObjectItemCaseSensitive(json, "data"), *profile;
    bool accepted = true;
    cJSON_ArrayForEach(profile, cJSON_GetObjectItemCaseSensitive(data, "profiles"))
    {
        accepted = print_profile(profile, text_of(data, "line")) && accepted;
    }
    cJSON_Delete(json);
    return accepted ? 0 : 1;
}

int command_explain(const struct cli *cli)
{
    if (cli->argument_count != 1) {
        fputs("lapwing: explain takes one line of statsd, in quotes: 'api.latency:320|ms'\n",
              stderr);
        return 2;
    }
    const struct parameter parameters[] = {{"line", cli->arguments[0]}, {"profile", cli->profile}};
    char *body;
    if (http_get(cli, "/api/statsd/explain", parameters, 2, &body))
        return 1;
    int status = 0;
    if (cli->output == OUTPUT_JSON)
        puts(body);
    else
        status = print_answer(body);
    free(body);
    return status;
}
