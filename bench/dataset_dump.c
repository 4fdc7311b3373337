/* dataset_dump: writes the data set as a file that a store can be fed with.
 *
 *   build/release/bench/dataset_dump FORMAT START_MS SERIES SAMPLES [NAME=VALUE [STEP_MS]]
 *
 *   json         a line a series and day: {"metric":{...},"values":[...],"timestamps":[ms,...]}
 *   openmetrics  a sample a line, times in seconds
 *
 * NAME=VALUE becomes one more label of every series; samples are STEP_MS (10 s) apart.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/dataset.h"
#include "storage/base/number.h"

#define LABEL_BYTES 128

static double *values;
static struct buffer line;
static int64_t step_ms = DATASET_STEP_MS;

static void flush_line(void)
{
    fwrite(line.at, 1, line.len, stdout);
    buffer_reset(&line);
}

static int64_t time_of(int64_t start_ms, size_t i)
{
    return start_ms + (int64_t)i * step_ms;
}

/* name="value" pairs, or "name":"value" for JSON. */
static void format_labels(char *out, size_t size, size_t series, const char *extra, bool json)
{
    const char *colon = json ? "\":\"" : "=\"", *quote = json ? "\"" : "";
    int len = snprintf(out, size, "%shost%shost-%02zu\",%sshard%s%zu\"", quote, colon, series % 40,
                       quote, colon, series);
    const char *equals = extra ? strchr(extra, '=') : NULL;
    if (equals)
        snprintf(out + len, size - (size_t)len, ",%s%.*s%s%s\"", quote, (int)(equals - extra),
                 extra, colon, equals + 1);
}

static void dump_json(size_t series, const char *labels, int64_t start_ms, size_t samples)
{
    const char *name = dataset_class_name(dataset_class_of(series));
    for (size_t from = 0, to; from < samples; from = to) {
        to = samples - from < DATASET_DAY_SAMPLES ? samples : from + DATASET_DAY_SAMPLES;
        buffer_append_format(&line, "{\"metric\":{\"__name__\":\"%s\",%s},\"values\":", name,
                             labels);
        for (size_t i = from; i < to; i++) {
            buffer_append_char(&line, i > from ? ',' : '[');
            number_print(values[i], NUMBER_API, &line);
        }
        buffer_append_string(&line, "],\"timestamps\":");
        for (size_t i = from; i < to; i++) {
            buffer_append_char(&line, i > from ? ',' : '[');
            number_print_integer((uint64_t)time_of(start_ms, i), &line);
        }
        buffer_append_string(&line, "]}\n");
        flush_line();
    }
}

static void dump_text(size_t series, const char *labels, int64_t start_ms, size_t samples)
{
    const char *name = dataset_class_name(dataset_class_of(series));
    for (size_t i = 0; i < samples; i++) {
        buffer_append_format(&line, "%s{%s} ", name, labels);
        number_print(values[i], NUMBER_API, &line);
        buffer_append_format(&line, " %" PRId64 "\n", time_of(start_ms, i) / 1000);
        if (line.len > 65536)
            flush_line();
    }
    flush_line();
}

int main(int argc, char **argv)
{
    if (argc < 5 || (strcmp(argv[1], "json") != 0 && strcmp(argv[1], "openmetrics") != 0)) {
        fprintf(stderr,
                "usage: dataset_dump json|openmetrics START_MS SERIES SAMPLES [NAME=VALUE]\n");
        return 2;
    }
    bool json = strcmp(argv[1], "json") == 0;
    int64_t start_ms = strtoll(argv[2], NULL, 10);
    size_t series = strtoul(argv[3], NULL, 10), samples = strtoul(argv[4], NULL, 10);
    if (argc > 6)
        step_ms = strtoll(argv[6], NULL, 10);
    values = calloc(samples, sizeof *values);
    buffer_init(&line, SIZE_MAX);
    /* Class by class: OpenMetrics wants the series of one name together. */
    for (int class = 0; class < DATASET_CLASS_COUNT; class ++) {
        for (size_t i = 0; values && i < series; i++) {
            char labels[LABEL_BYTES];
            if (dataset_class_of(i) != (enum dataset_class) class)
                continue;
            dataset_fill(i, values, samples);
            format_labels(labels, sizeof labels, i, argc > 5 ? argv[5] : NULL, json);
            (json ? dump_json : dump_text)(i, labels, start_ms, samples);
        }
    }
    if (!json)
        puts("# EOF");
    free(values);
    buffer_release(&line);
    return ferror(stdout) ? 1 : 0;
}
