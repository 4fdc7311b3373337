/* query: PromQL and LogQL answers as a table, sparkline, CSV or the server's own JSON.
 *
 * Both languages answer in Prometheus' envelope ({"data":{"resultType","result"}}); LogQL adds the
 * type "streams".
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clients/lapwing/cli.h"

#define SPARK_WIDTH   60
#define TIME_TEXT_MAX 40

/* "-90s" counts back from now; anything else goes to the server as it is. */
static const char *absolute_time(const char *text, double now, char out[TIME_TEXT_MAX])
{
    static const struct {
        char unit;
        double seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
    char *end;
    if (!text || text[0] != '-')
        return text;
    double number = strtod(text + 1, &end);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (*end == units[i].unit && end[1] == 0)
            number *= units[i].seconds;
    snprintf(out, TIME_TEXT_MAX, "%.3f", now - number);
    return out;
}

static void print_vector(const cJSON *result, enum output output)
{
    struct grid *grid = grid_new(2);
    const cJSON *series;
    if (output == OUTPUT_CSV) {
        grid_add(grid, "series");
        grid_add(grid, "value");
    }
    cJSON_ArrayForEach(series, result)
    {
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(series, "value");
        const cJSON *histogram = cJSON_GetObjectItemCaseSensitive(series, "histogram");
        char *name = series_name(cJSON_GetObjectItemCaseSensitive(series, "metric"));
        const cJSON *shown = cJSON_GetArrayItem(value ? value : histogram, 1);
        grid_add(grid, name);
        if (cJSON_IsString(shown)) {
            grid_add(grid, shown->valuestring);
        } else {
            const cJSON *count = cJSON_GetObjectItemCaseSensitive(shown, "count");
            const cJSON *sum = cJSON_GetObjectItemCaseSensitive(shown, "sum");
            char text[120];
            snprintf(text, sizeof text, "histogram count=%s sum=%s",
                     cJSON_IsString(count) ? count->valuestring : "?",
                     cJSON_IsString(sum) ? sum->valuestring : "?");
            grid_add(grid, text);
        }
        free(name);
    }
    grid_print(grid, output);
    grid_free(grid);
}

static void add_spark_row(struct grid *grid, const cJSON *series)
{
    const cJSON *points = cJSON_GetObjectItemCaseSensitive(series, "values"), *point;
    size_t count = 0;
    double *values = must(calloc((size_t)cJSON_GetArraySize(points) + 1, sizeof *values));
    double low = INFINITY, high = -INFINITY;
    cJSON_ArrayForEach(point, points)
    {
        const cJSON *text = cJSON_GetArrayItem(point, 1);
        values[count] = cJSON_IsString(text) ? strtod(text->valuestring, NULL) : NAN;
        low = fmin(low, values[count]);
        high = fmax(high, values[count]);
        count++;
    }
    char numbers[100];
    char *name = series_name(cJSON_GetObjectItemCaseSensitive(series, "metric"));
    char *spark = sparkline(values, count, SPARK_WIDTH);
    snprintf(numbers, sizeof numbers, "%.6g .. %.6g, last %.6g", low, high,
             count ? values[count - 1] : NAN);
    grid_add(grid, name);
    grid_add(grid, spark);
    grid_add(grid, count ? numbers : "");
    free(name);
    free(spark);
    free(values);
}

static void print_matrix_csv(const cJSON *result)
{
    struct grid *grid = grid_new(3);
    const cJSON *series, *point;
    grid_add(grid, "time");
    grid_add(grid, "series");
    grid_add(grid, "value");
    cJSON_ArrayForEach(series, result)
    {
        char *name = series_name(cJSON_GetObjectItemCaseSensitive(series, "metric"));
        cJSON_ArrayForEach(point, cJSON_GetObjectItemCaseSensitive(series, "values"))
        {
            char time[TIME_TEXT_MAX];
            const cJSON *value = cJSON_GetArrayItem(point, 1);
            snprintf(time, sizeof time, "%.3f", cJSON_GetNumberValue(cJSON_GetArrayItem(point, 0)));
            grid_add(grid, time);
            grid_add(grid, name);
            grid_add(grid, cJSON_IsString(value) ? value->valuestring : "");
        }
        free(name);
    }
    grid_print(grid, OUTPUT_CSV);
    grid_free(grid);
}

static void print_matrix(const cJSON *result, enum output output)
{
    if (output == OUTPUT_CSV) {
        print_matrix_csv(result);
        return;
    }
    struct grid *grid = grid_new(3);
    const cJSON *series;
    cJSON_ArrayForEach(series, result)
    {
        add_spark_row(grid, series);
    }
    grid_print(grid, output);
    grid_free(grid);
}

static void print_streams(const cJSON *result, enum output output)
{
    struct grid *grid = grid_new(3);
    const cJSON *stream, *entry;
    if (output == OUTPUT_CSV) {
        grid_add(grid, "time");
        grid_add(grid, "stream");
        grid_add(grid, "line");
    }
    cJSON_ArrayForEach(stream, result)
    {
        char *name = series_name(cJSON_GetObjectItemCaseSensitive(stream, "stream"));
        cJSON_ArrayForEach(entry, cJSON_GetObjectItemCaseSensitive(stream, "values"))
        {
            const cJSON *ns = cJSON_GetArrayItem(entry, 0), *line = cJSON_GetArrayItem(entry, 1);
            if (!cJSON_IsString(ns) || !cJSON_IsString(line))
                continue;
            char *time = time_text(strtod(ns->valuestring, NULL) / 1e9);
            grid_add(grid, output == OUTPUT_CSV ? ns->valuestring : time);
            grid_add(grid, name);
            grid_add(grid, line->valuestring);
            free(time);
        }
        free(name);
    }
    grid_print(grid, output);
    grid_free(grid);
}

static int print_answer(const char *body, enum output output)
{
    if (output == OUTPUT_JSON) {
        puts(body);
        return 0;
    }
    cJSON *json = json_of(body);
    if (!json)
        return 1;
    const cJSON *data = cJSON_GetObjectItemCaseSensitive(json, "data");
    const cJSON *kind = cJSON_GetObjectItemCaseSensitive(data, "resultType");
    const cJSON *result = cJSON_GetObjectItemCaseSensitive(data, "result");
    const char *type = cJSON_IsString(kind) ? kind->valuestring : "";
    if (strcmp(type, "matrix") == 0) {
        print_matrix(result, output);
    } else if (strcmp(type, "streams") == 0) {
        print_streams(result, output);
    } else if (strcmp(type, "vector") == 0) {
        print_vector(result, output);
    } else {
        const cJSON *value = cJSON_GetArrayItem(result, 1);
        puts(cJSON_IsString(value) ? value->valuestring : "");
    }
    if (strcmp(type, "scalar") != 0 && cJSON_GetArraySize(result) == 0)
        fputs("lapwing: no data matches\n", stderr);
    cJSON_Delete(json);
    return 0;
}

/* 1/60 of the range in whole seconds, at least 1 s. Only for times given in seconds. */
static const char *default_step(const char *start, const char *end, double now,
                                char out[TIME_TEXT_MAX])
{
    double range = (end ? strtod(end, NULL) : now) - strtod(start, NULL);
    snprintf(out, TIME_TEXT_MAX, "%.0f", fmax(1, floor(range / 60)));
    return strchr(start, 'T') ? "60" : out; /* RFC 3339 */
}

static int run(const struct cli *cli, const char *what, const char *instant_path,
               const char *range_path)
{
    char start_text[TIME_TEXT_MAX], end_text[TIME_TEXT_MAX], step_text[TIME_TEXT_MAX],
        now_text[TIME_TEXT_MAX];
    double now = (double)time(NULL);
    if (cli->argument_count != 1) {
        fprintf(stderr, "lapwing: %s takes one expression, in quotes\n", what);
        return 2;
    }
    const char *start = absolute_time(cli->start, now, start_text);
    const char *end = absolute_time(cli->end, now, end_text);
    const char *step = cli->step;
    snprintf(now_text, sizeof now_text, "%.3f", now);
    if (start && !end)
        end = now_text;
    if (start && !step)
        step = default_step(start, end, now, step_text);
    const struct parameter parameters[] = {{"query", cli->arguments[0]},
                                           {"start", start},
                                           {start ? "end" : "time", end},
                                           {"step", step},
                                           {"limit", cli->limit}};
    char *body;
    int status = http_get(cli, start ? range_path : instant_path, parameters,
                          sizeof parameters / sizeof parameters[0], &body);
    if (status)
        return status;
    status = print_answer(body, cli->output);
    free(body);
    return status;
}

int command_query(const struct cli *cli)
{
    return run(cli, "query", "/api/v1/query", "/api/v1/query_range");
}

int command_logs(const struct cli *cli)
{
    /* Log lines are always a range; without --start the server takes the last hour. */
    return run(cli, "logs", "/loki/api/v1/query_range", "/loki/api/v1/query_range");
}
