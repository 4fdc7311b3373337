/* statsd_admin: lines in, texts out, a row a command.
 *
 * What is in memory belongs to the writer thread, so these commands are jobs of its, and this thread
 * waits for them: whoever asks for a million gauges delays other askers, and nothing else.
 */
#include "server/api/statsd_admin.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/net/socket.h"
#include "server/wire/printable.h"
#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "storage/base/json.h"
#include "storage/base/log.h"
#include "storage/base/metric.h"

#define COMMAND_MAX    4096 /* bytes of a line */
#define ANSWER_MAX     ((size_t)64 << 20)
#define CONNECTION_MAX 16
#define IDLE_SECONDS   60
#define NAME_MAX_BYTES 65536

struct statsd_admin {
    struct statsd_admin_parts parts;
    struct event_base *base;
    struct evconnlistener *listener;
    struct event *stop_event;
    pthread_t thread;
    struct connection *connections;
    size_t connection_count;
    int stop_fd, port;
    int64_t start_ns;
    bool down; /* as `health down` said */
};

struct connection {
    struct statsd_admin *admin;
    struct bufferevent *bev;
    struct connection *next, *previous;
    bool ends; /* once the answer is sent */
};

/* A command at work. */
struct request {
    struct statsd_admin *admin;
    struct slice arguments;
    enum series_kind kind;
    struct buffer *out;
    struct buffer name;
    struct json_writer writer;
    size_t found;
};

/* --- series by name --- */

/* name;key=value;key=value */
static struct slice print_name(struct request *request, struct slice labels)
{
    struct slice key, value, name = SLICE("");
    struct slice rest = labels;
    buffer_reset(&request->name);
    while (rest.len && bytes_cut_prefixed(&rest, &key) && bytes_cut_prefixed(&rest, &value))
        if (slice_equal(key, SLICE(LABEL_NAME)))
            name = value;
    printable_append(&request->name, name);
    rest = labels;
    while (rest.len && bytes_cut_prefixed(&rest, &key) && bytes_cut_prefixed(&rest, &value)) {
        if (slice_equal(key, SLICE(LABEL_NAME)))
            continue;
        buffer_append_char(&request->name, ';');
        printable_append(&request->name, key);
        buffer_append_char(&request->name, '=');
        printable_append(&request->name, value);
    }
    return buffer_slice(&request->name);
}

static void list_gauge(void *arg, const struct registry_view *view)
{
    struct request *request = arg;
    if (view->kind != SERIES_GAUGE)
        return;
    json_key(&request->writer, print_name(request, view->labels));
    json_put_double(&request->writer, view->value);
}

static void list_interval(void *arg, const struct registry_interval *interval)
{
    struct request *request = arg;
    struct json_writer *writer = &request->writer;
    json_key(writer, print_name(request, interval->labels));
    if (interval->kind == SERIES_COUNTER) {
        json_put_double(writer, interval->count);
        return;
    }
    json_begin_object(writer);
    json_field_double(writer, "count", interval->count);
    json_field_double(writer, "sum", interval->sum);
    if (interval->count > 0) {
        json_field_double(writer, "lower", interval->lower);
        json_field_double(writer, "upper", interval->upper);
    }
    json_end_object(writer);
}

/* The name, or folder.* for all that begins with folder. */
static bool is_meant(struct slice name, struct slice argument)
{
    if (slice_equal(name, argument))
        return true;
    bool folder =
        argument.len > 2 && slice_equal(slice_skip(argument, argument.len - 2), SLICE(".*"));
    return folder && slice_starts_with(name, slice_head(argument, argument.len - 1));
}

static void end_series(void *arg, const struct registry_view *view)
{
    struct request *request = arg;
    if (view->kind != request->kind)
        return;
    struct slice name = print_name(request, view->labels);
    if (!is_meant(name, request->arguments))
        return;
    request->found++;
    registry_end(request->admin->parts.registry, view->ref);
    buffer_append_format(request->out, "deleted: " SLICE_FMT "\n", SLICE_ARG(name));
}

/* --- writer thread --- */

static int run_list(void *arg, struct error *err)
{
    struct request *request = arg;
    (void)err;
    json_writer_init(&request->writer, request->out);
    json_begin_object(&request->writer);
    if (request->kind == SERIES_GAUGE)
        registry_each(request->admin->parts.registry, list_gauge, request);
    else
        registry_each_interval(request->admin->parts.registry, request->kind, list_interval,
                               request);
    json_end_object(&request->writer);
    return 0;
}

static int run_end(void *arg, struct error *err)
{
    (void)err;
    struct request *request = arg;
    registry_each(request->admin->parts.registry, end_series, request);
    return 0;
}

/* --- commands --- */

static void complain(struct request *request, const struct error *err)
{
    buffer_append_format(request->out, "ERROR %s\n", err->text);
}

static void list(struct request *request)
{
    struct error err = {0};
    if (writer_tidy(request->admin->parts.writer, run_list, request, &err))
        complain(request, &err);
    buffer_append_string(request->out, "\nEND\n\n");
}

static void delete (struct request *request)
{
    struct error err = {0};
    struct slice rest = request->arguments;
    while (rest.len) {
        slice_cut(&rest, ' ', &request->arguments);
        request->found = 0;
        if (!request->arguments.len)
            continue;
        if (writer_tidy(request->admin->parts.writer, run_end, request, &err))
            complain(request, &err);
        else if (!request->found)
            buffer_append_format(request->out, "metric " SLICE_FMT " not found\n",
                                 SLICE_ARG(request->arguments));
    }
    buffer_append_string(request->out, "END\n\n");
}

static void health(struct request *request)
{
    struct slice wish = slice_trim(request->arguments);
    if (slice_equal_nocase(wish, SLICE("up")) || slice_equal_nocase(wish, SLICE("down")))
        request->admin->down = slice_equal_nocase(wish, SLICE("down"));
    buffer_append_format(request->out, "health: %s\n", request->admin->down ? "down" : "up");
}

#define LAST_MESSAGE "lapwing_statsd_last_message_timestamp_seconds"

/* statsd's words for our figures; the first one is a time. */
static const struct stat_row {
    const char *metric, *name;
} stat_rows[] = {
    {LAST_MESSAGE, "messages.last_msg_seen"},
    {"lapwing_statsd_packets_total", "messages.packets_received"},
    {"lapwing_statsd_metrics_total", "messages.metrics_received"},
    {"lapwing_statsd_rejects_total", "messages.bad_lines_seen"},
    {"lapwing_statsd_kernel_drops_total", "messages.kernel_drops"},
};
#define STAT_COUNT (sizeof stat_rows / sizeof stat_rows[0])

static void add_stat(const struct metric *metric, void *arg)
{
    double *sums = arg;
    for (size_t i = 0; i < STAT_COUNT; i++)
        if (strcmp(metric->name, stat_rows[i].metric) == 0)
            sums[i] += metric_value(metric);
}

static void stats(struct request *request)
{
    double sums[STAT_COUNT] = {0};
    double up_seconds = floor((double)(clock_monotonic_ns() - request->admin->start_ns) / 1e9);
    metric_each(add_stat, sums);
    /* Told as the seconds since then, as every time there; since the start when there was none. */
    sums[0] = sums[0] > 0 ? fmax(floor((double)clock_now_ms() / 1e3 - sums[0]), 0) : up_seconds;
    buffer_append_format(request->out, "uptime: %.0f\n", up_seconds);
    for (size_t i = 0; i < STAT_COUNT; i++)
        buffer_append_format(request->out, "%s: %.0f\n", stat_rows[i].name, sums[i]);
    buffer_append_string(request->out, "END\n\n");
}

static void print_config(struct request *request)
{
    config_print(request->admin->parts.config, request->out);
}

static void help(struct request *request)
{
    buffer_append_string(request->out,
                         "Commands: stats, counters, timers, gauges, delcounters, deltimers, "
                         "delgauges, health, config, quit\n\n");
}

static const struct command {
    const char *name;
    void (*run)(struct request *request);
    enum series_kind kind;
} commands[] = {
    {"help", help, 0},
    {"stats", stats, 0},
    {"health", health, 0},
    {"config", print_config, 0},
    {"counters", list, SERIES_COUNTER},
    {"timers", list, SERIES_HISTOGRAM},
    {"gauges", list, SERIES_GAUGE},
    {"delcounters", delete, SERIES_COUNTER},
    {"deltimers", delete, SERIES_HISTOGRAM},
    {"delgauges", delete, SERIES_GAUGE},
};

static void answer(struct statsd_admin *admin, struct slice line, struct buffer *out)
{
    struct slice rest = slice_trim(line), name;
    struct request request = {.admin = admin, .out = out};
    slice_cut(&rest, ' ', &name);
    size_t i = 0;
    while (i < sizeof commands / sizeof commands[0] && !slice_equal_string(name, commands[i].name))
        i++;
    if (i == sizeof commands / sizeof commands[0]) {
        buffer_append_string(out, "ERROR\n");
        return;
    }
    buffer_init(&request.name, NAME_MAX_BYTES);
    request.arguments = rest;
    request.kind = commands[i].kind;
    commands[i].run(&request);
    buffer_release(&request.name);
    if (out->overflow) {
        buffer_reset(out);
        out->overflow = false;
        buffer_append_string(out, "ERROR the answer is too large; ask /api/v1/query\nEND\n\n");
    }
}

/* --- connections --- */

static void connection_close(struct connection *c)
{
    if (c->next)
        c->next->previous = c->previous;
    if (c->previous)
        c->previous->next = c->next;
    else
        c->admin->connections = c->next;
    c->admin->connection_count--;
    bufferevent_free(c->bev);
    free(c);
}

/* A browser that a web page has post something here gets no further than its request line. */
static bool is_last(struct slice line)
{
    return slice_equal(line, SLICE("quit")) || slice_find(line, SLICE(" HTTP/")) < line.len;
}

static void answer_lines(struct connection *c, struct evbuffer *input)
{
    struct buffer out;
    size_t len;
    buffer_init(&out, ANSWER_MAX);
    for (char *line; !c->ends && (line = evbuffer_readln(input, &len, EVBUFFER_EOL_CRLF));) {
        c->ends = is_last(slice_trim(slice_make(line, len)));
        if (!c->ends)
            answer(c->admin, slice_make(line, len), &out);
        free(line);
    }
    if (out.len)
        bufferevent_write(c->bev, out.at, out.len);
    buffer_release(&out);
}

/* The last line of `printf health | nc` has no line feed. */
static void answer_unfinished(struct connection *c)
{
    struct evbuffer *input = bufferevent_get_input(c->bev), *whole;
    if (evbuffer_get_length(input) == 0)
        return;
    if (!(whole = evbuffer_new()) || evbuffer_add_buffer(whole, input) ||
        evbuffer_add(whole, "\n", 1))
        abort();
    answer_lines(c, whole);
    evbuffer_free(whole);
}

static void on_read(struct bufferevent *bev, void *arg)
{
    struct connection *c = arg;
    struct evbuffer *input = bufferevent_get_input(bev);
    answer_lines(c, input);
    c->ends = c->ends || evbuffer_get_length(input) > COMMAND_MAX;
    if (c->ends && evbuffer_get_length(bufferevent_get_output(bev)) == 0)
        connection_close(c);
}

static void on_write(struct bufferevent *bev, void *arg)
{
    struct connection *c = arg;
    (void)bev;
    if (c->ends)
        connection_close(c);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct connection *c = arg;
    if (what & BEV_EVENT_EOF)
        answer_unfinished(c);
    c->ends = true;
    bool sent = evbuffer_get_length(bufferevent_get_output(bev)) == 0;
    if (!(what & BEV_EVENT_EOF) || sent)
        connection_close(c);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *peer,
                      int len, void *arg)
{
    struct statsd_admin *admin = arg;
    const struct timeval idle = {IDLE_SECONDS, 0};
    (void)listener, (void)peer, (void)len;
    if (admin->connection_count >= CONNECTION_MAX) {
        close(fd);
        return;
    }
    struct connection *c = alloc_zeroed(1, sizeof *c);
    c->admin = admin;
    c->bev = bufferevent_socket_new(admin->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!c->bev)
        abort();
    c->next = admin->connections;
    if (c->next)
        c->next->previous = c;
    admin->connections = c;
    admin->connection_count++;
    bufferevent_setcb(c->bev, on_read, on_write, on_event, c);
    bufferevent_set_timeouts(c->bev, &idle, &idle);
    bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

/* --- life --- */

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    event_base_loopbreak(arg);
}

static void *thread_main(void *arg)
{
    struct statsd_admin *admin = arg;
    pthread_setname_np(pthread_self(), "statsd-admin");
    event_base_dispatch(admin->base);
    return NULL;
}

static int listen_at(const char *address, int *fd, struct error *err)
{
    if (socket_open(address, SOCK_STREAM, fd, err) == 0)
        return 0;
    if (strcmp(address, STATSD_ADMIN_DEFAULT) != 0)
        return error_wrap(err, "statsd.admin");
    log_warn("statsd_admin", "error=\"%s\" go_on=without", err->text);
    *fd = -1;
    return 0;
}

int statsd_admin_open(const struct statsd_admin_parts *parts, struct statsd_admin **out,
                      struct error *err)
{
    const char *address = parts->config->statsd.admin;
    int fd = -1;
    *out = NULL;
    if (!*address)
        return 0;
    if (listen_at(address, &fd, err))
        return -1;
    if (fd < 0)
        return 0;
    struct statsd_admin *admin = alloc_zeroed(1, sizeof *admin);
    admin->parts = *parts;
    admin->port = socket_port(fd);
    admin->start_ns = clock_monotonic_ns();
    admin->base = event_base_new();
    admin->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    admin->listener =
        evconnlistener_new(admin->base, on_accept, admin, LEV_OPT_CLOSE_ON_FREE, 0, fd);
    admin->stop_event = event_new(admin->base, admin->stop_fd, EV_READ, on_stop, admin->base);
    if (admin->stop_fd < 0 || !admin->listener || !admin->stop_event ||
        event_add(admin->stop_event, NULL) ||
        pthread_create(&admin->thread, NULL, thread_main, admin))
        abort();
    *out = admin;
    return 0;
}

int statsd_admin_port(const struct statsd_admin *admin)
{
    return admin ? admin->port : -1;
}

void statsd_admin_close(struct statsd_admin *admin)
{
    if (!admin)
        return;
    if (eventfd_write(admin->stop_fd, 1))
        abort();
    pthread_join(admin->thread, NULL);
    for (struct connection *c = admin->connections, *next; c; c = next) {
        next = c->next;
        connection_close(c);
    }
    evconnlistener_free(admin->listener);
    event_free(admin->stop_event);
    event_base_free(admin->base);
    close(admin->stop_fd);
    free(admin);
}
