/* text: tables, CSV, sparklines, times: what a terminal shows. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clients/lapwing/cli.h"

struct grid {
    size_t columns;
    size_t count; /* cells */
    size_t capacity;
    char **cells;
};

struct grid *grid_new(size_t columns)
{
    struct grid *grid = must(calloc(1, sizeof *grid));
    grid->columns = columns;
    return grid;
}

void grid_add(struct grid *grid, const char *text)
{
    if (grid->count == grid->capacity) {
        grid->capacity = grid->capacity ? 2 * grid->capacity : 64;
        grid->cells = must(realloc(grid->cells, grid->capacity * sizeof *grid->cells));
    }
    grid->cells[grid->count++] = must(strdup(text));
}

void grid_free(struct grid *grid)
{
    for (size_t i = 0; i < grid->count; i++)
        free(grid->cells[i]);
    free(grid->cells);
    free(grid);
}

/* Characters, not bytes: continuation bytes take no room. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void print_csv_cell(const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, stdout);
        return;
    }
    putchar('"');
    for (; *text; text++)
        fputs(*text == '"' ? "\"\"" : (char[]){*text, 0}, stdout);
    putchar('"');
}

static void print_padded(const char *text, size_t width)
{
    fputs(text, stdout);
    for (size_t i = width_of(text); i < width + 2; i++)
        putchar(' ');
}

void grid_print(const struct grid *grid, enum output output)
{
    size_t *widths = must(calloc(grid->columns, sizeof *widths));
    for (size_t i = 0; i < grid->count; i++) {
        size_t width = width_of(grid->cells[i]);
        if (width > widths[i % grid->columns])
            widths[i % grid->columns] = width;
    }
    for (size_t i = 0; i < grid->count; i++) {
        bool last = i % grid->columns == grid->columns - 1;
        if (output == OUTPUT_CSV)
            print_csv_cell(grid->cells[i]);
        else if (last)
            fputs(grid->cells[i], stdout);
        else
            print_padded(grid->cells[i], widths[i % grid->columns]);
        if (last)
            putchar('\n');
        else if (output == OUTPUT_CSV)
            putchar(',');
    }
    free(widths);
}

char *series_name(const cJSON *metric)
{
    char *name = NULL;
    size_t len = 0;
    FILE *out = must(open_memstream(&name, &len));
    const cJSON *bare = cJSON_GetObjectItemCaseSensitive(metric, "__name__");
    const char *separator = "{";
    const cJSON *label;
    if (cJSON_IsString(bare))
        fputs(bare->valuestring, out);
    cJSON_ArrayForEach(label, metric)
    {
        if (label == bare || !cJSON_IsString(label))
            continue;
        fprintf(out, "%s%s=\"%s\"", separator, label->string, label->valuestring);
        separator = ", ";
    }
    if (*separator == ',')
        fputc('}', out);
    else if (!cJSON_IsString(bare))
        fputs("{}", out);
    fclose(out);
    return name;
}

/* Mean of the finite values in [from, to); NaN when there is none. */
static double mean_of(const double *values, size_t from, size_t to)
{
    double sum = 0;
    size_t seen = 0;
    for (size_t i = from; i < to; i++) {
        if (isfinite(values[i])) {
            sum += values[i];
            seen++;
        }
    }
    return seen ? sum / (double)seen : NAN;
}

char *sparkline(const double *values, size_t count, size_t width)
{
    static const char *const blocks[] = {"\u2581", "\u2582", "\u2583", "\u2584",
                                         "\u2585", "\u2586", "\u2587", "\u2588"};
    double low = INFINITY, high = -INFINITY;
    size_t cells = count < width ? count : width, len;
    char *text = NULL;
    FILE *out = must(open_memstream(&text, &len));
    for (size_t i = 0; i < count; i++) {
        if (isfinite(values[i])) {
            low = fmin(low, values[i]);
            high = fmax(high, values[i]);
        }
    }
    for (size_t cell = 0; cell < cells; cell++) {
        double mean = mean_of(values, cell * count / cells, (cell + 1) * count / cells);
        double height = high > low ? (mean - low) / (high - low) : 0;
        fputs(isnan(mean) ? " " : blocks[(int)(height * 7.99)], out);
    }
    fclose(out);
    return text;
}

char *time_text(double seconds)
{
    char text[64];
    time_t whole = (time_t)seconds;
    struct tm utc;
    gmtime_r(&whole, &utc);
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &utc);
    return must(strdup(text));
}
