/* statsd_outlook: explain's last part: where the series would go, by what the store holds at this moment.
 *
 *   "fate":"overflow", "stored":"api.latency{__overflow__=\"true\"}",
 *   "why":["it would be the 10001st live series of api.latency, beyond limits.series_per_metric (10000)"]
 *
 * Series belong to the writer thread, so the question is a job of its.
 */
#include "server/api/statsd.h"

#define SENTENCE_MAX 2048

struct outlook_job {
    struct registry *registry;
    struct labels labels;
    enum series_kind kind;
    struct arena *arena;
    struct registry_outlook outlook;
};

/* Writer thread. */
static int run_foresee(void *arg, struct error *err)
{
    struct outlook_job *job = arg;
    (void)err;
    registry_foresee(job->registry, job->labels, job->kind, job->arena, &job->outlook);
    return 0;
}

static const char *ordinal_ending(uint64_t n)
{
    static const char *const endings[] = {"th", "st", "nd", "rd"};
    return n % 10 > 3 || n / 10 % 10 == 1 ? "th" : endings[n % 10];
}

/* "the 10001st live series of api.latency" */
static void append_place(struct buffer *out, uint64_t live, const char *of, struct slice name)
{
    buffer_append_format(out, "the %llu%s live series %s" SLICE_FMT, (unsigned long long)live + 1,
                         ordinal_ending(live + 1), of, SLICE_ARG(name));
}

static void append_beyond(struct buffer *out, const char *option, uint64_t max)
{
    buffer_append_format(out, ", beyond %s (%llu)", option, (unsigned long long)max);
}

static void append_new(struct buffer *out, const struct store_room *room, struct slice name)
{
    buffer_append_string(out, "it is new, ");
    append_place(out, room->metric, "of ", name);
    buffer_append_format(out, " (of at most %llu)", (unsigned long long)room->metric_max);
    if (room->prefix.at) {
        buffer_append_string(out, ", ");
        append_place(out, room->prefix_live, "with the prefix ", room->prefix);
        buffer_append_format(out, " (%llu)", (unsigned long long)room->prefix_max);
    }
    buffer_append_format(out, ", and series %llu in all (%llu)", (unsigned long long)room->all + 1,
                         (unsigned long long)room->all_max);
}

static void append_fate(struct buffer *out, const struct registry_outlook *outlook,
                        struct slice name)
{
    const struct store_room *room = &outlook->room;
    switch (outlook->fate) {
    case REGISTRY_FATE_KNOWN:
        break;
    case REGISTRY_FATE_NEW:
        append_new(out, room, name);
        break;
    case REGISTRY_FATE_METRIC_FULL:
        buffer_append_string(out, "it would be ");
        append_place(out, room->metric, "of ", name);
        append_beyond(out, "limits.series_per_metric", room->metric_max);
        break;
    case REGISTRY_FATE_PREFIX_FULL:
        buffer_append_string(out, "it would be ");
        append_place(out, room->prefix_live, "with the prefix ", room->prefix);
        append_beyond(out, "limits.series_per_prefix", room->prefix_max);
        break;
    case REGISTRY_FATE_FULL:
        buffer_append_format(out, "it would be series %llu in all",
                             (unsigned long long)room->all + 1);
        append_beyond(out, "limits.series", room->all_max);
        break;
    case REGISTRY_FATE_DROPPED:
        buffer_append_string(out, "and even with statsd_type they are those of another type");
        break;
    }
}

static void put_sentence(struct json_writer *writer, struct buffer *sentence)
{
    if (sentence->len)
        json_put_string(writer, buffer_slice(sentence));
    buffer_reset(sentence);
}

static void put_outlook(struct json_writer *writer, const struct registry_outlook *outlook,
                        struct slice name)
{
    static const char *const fates[] = {
        [REGISTRY_FATE_KNOWN] = "known",          [REGISTRY_FATE_NEW] = "new",
        [REGISTRY_FATE_METRIC_FULL] = "overflow", [REGISTRY_FATE_PREFIX_FULL] = "overflow",
        [REGISTRY_FATE_FULL] = "overflow",        [REGISTRY_FATE_DROPPED] = "dropped",
    };
    struct buffer text;
    buffer_init(&text, SENTENCE_MAX);
    json_field_string(writer, "fate", slice_of_string(fates[outlook->fate]));
    labels_print(outlook->labels, &text);
    json_field_string(writer, "stored", buffer_slice(&text));
    buffer_reset(&text);
    json_key(writer, SLICE("why"));
    json_begin_array(writer);
    if (outlook->clash)
        buffer_append_format(&text, "these labels are those of a %s, so statsd_type is added",
                             series_kind_name(outlook->clash));
    put_sentence(writer, &text);
    append_fate(&text, outlook, name);
    put_sentence(writer, &text);
    json_end_array(writer);
    buffer_release(&text);
}

void statsd_put_outlook(const struct statsd_api *api, struct json_writer *writer,
                        struct labels labels, enum series_kind kind, struct arena *arena)
{
    struct outlook_job job = {
        .registry = api->registry, .labels = labels, .kind = kind, .arena = arena};
    struct error err = {0};
    if (writer_tidy(api->writer, run_foresee, &job, &err) == 0)
        put_outlook(writer, &job.outlook, labels_get(labels, SLICE(LABEL_NAME)));
}
