/* The C client's lines: calls -> bytes of datagrams, by table; and whatever the strings, lines that
 * the server's own parser reads as they were meant. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "server/wire/statsd_notice.h"
#include "tests/unit/client_fixture.h"

/* --- lines --- */

static const struct lapwing_tag tag_list[] = {{"route", "/buy"}, {"can:ary", NULL}, {"a", "x,y|z"}};
static const struct lapwing_tag odd_list[] = {{"", "x"}, {NULL, "x"}, {"empty", ""}, {"k", "v"}};

static const struct line_row {
    struct lapwing_metric metric;
    const char *line;
} line_rows[] = {
    {{.type = LAPWING_COUNT, .name = "a", .value = 1}, "a:1|c"},
    {{.type = LAPWING_COUNT, .name = "a", .value = 2.5, .tags = "k:v,bare"}, "a:2.5|c|#k:v,bare"},
    {{.type = LAPWING_COUNT, .name = "a", .value = -3}, "a:-3|c"},
    {{.type = LAPWING_GAUGE, .name = "a", .value = 0.1}, "a:0.1|g"},
    {{.type = LAPWING_GAUGE, .name = "a", .value = -0.0}, "a:0|g"},
    {{.type = LAPWING_GAUGE, .name = "a", .value = -7, .tags = "k:v"}, "a:0|g|#k:v\na:-7|g|#k:v"},
    {{.type = LAPWING_ADJUST, .name = "a", .value = 4}, "a:+4|g"},
    {{.type = LAPWING_ADJUST, .name = "a", .value = -4}, "a:-4|g"},
    {{.type = LAPWING_ADJUST, .name = "a", .value = -0.0}, "a:+0|g"},
    {{.type = LAPWING_TIMING, .name = "a", .value = 12.345678}, "a:12.345678|ms"},
    {{.type = LAPWING_HISTOGRAM, .name = "a", .value = 1e300}, "a:1e+300|h"},
    {{.type = LAPWING_DISTRIBUTION, .name = "a", .value = 1.0 / 3}, "a:0.3333333333333333|d"},
    {{.type = LAPWING_COUNT, .name = "a", .value = 999999999999999}, "a:999999999999999|c"},
    {{.type = LAPWING_COUNT, .name = "a", .value = 1e-7}, "a:1e-07|c"},
    {{.type = LAPWING_SET, .name = "a", .member = "ann:1"}, "a:ann:1|s"},
    {{.type = LAPWING_SET, .name = "a", .member = "x|y\nz"}, "a:x_y_z|s"},
    {{.type = LAPWING_COUNT, .name = "a", .value = 1, .tag_list = tag_list, .tag_count = 3},
     "a:1|c|#route:/buy,can_ary,a:x_y_z"},
    {{.type = LAPWING_COUNT,
      .name = "a",
      .value = 1,
      .tags = "b:c",
      .tag_list = odd_list,
      .tag_count = 4},
     "a:1|c|#b:c,k:v"},
    {{.type = LAPWING_COUNT, .name = "a", .value = 1, .tags = ",,k:,:v,x:1:2|3,#y\n"},
     "a:1|c|#x:1:2_3,_y_"},
    {{.type = LAPWING_COUNT, .name = "a b:c|d,e#f;g[h{i\nj", .value = 1},
     "a_b_c_d_e_f_g_h_i_j:1|c"},
    {{.type = LAPWING_COUNT, .name = "_e{1,1}", .value = 1}, "_e_1_1}:1|c"},
    {{.type = LAPWING_COUNT, .name = "s\xc3\xb8k", .value = 1}, "s\xc3\xb8k:1|c"},
    {{.type = LAPWING_GAUGE, .name = "a", .value = 1, .sample_rate = 0.01}, "a:1|g"},
    {{.type = LAPWING_COUNT, .name = "a", .value = 1, .sample_rate = 7}, "a:1|c"},
};

static void metrics_become_lines(void **state)
{
    (void)state;
    static struct receiver receiver;
    open_udp(&receiver);
    struct lapwing *client = open_client(&receiver);
    for (size_t i = 0; i < sizeof line_rows / sizeof line_rows[0]; i++) {
        lapwing_send(client, &line_rows[i].metric);
        lapwing_flush(client);
        receives(&receiver, line_rows[i].line);
    }
    lapwing_close(client);
    assert_false(receive_more(&receiver));
    close(receiver.fd);
}

static void the_short_forms_share_a_packet(void **state)
{
    (void)state;
    static struct receiver receiver;
    open_udp(&receiver);
    struct lapwing_options options = {.address = receiver.address,
                                      .prefix = "shop.",
                                      .tags = "env:prod",
                                      .max_delay_ms = NEVER_MS};
    struct lapwing *client = lapwing_open(&options);
    lapwing_increment(client, "a", "k:v");
    lapwing_add(client, "a", 2, NULL);
    lapwing_gauge(client, "b", 3, NULL);
    lapwing_adjust(client, "b", 1, NULL);
    lapwing_timing(client, "c", 4, NULL);
    lapwing_histogram(client, "c", 5, NULL);
    lapwing_distribution(client, "c", 6, NULL);
    lapwing_set(client, "d", "ann", NULL);
    assert_int_equal(lapwing_stats(client).buffered, 8);
    lapwing_close(client);
    receives(&receiver, "shop.a:1|c|#env:prod,k:v\nshop.a:2|c|#env:prod\nshop.b:3|g|#env:prod\n"
                        "shop.b:+1|g|#env:prod\nshop.c:4|ms|#env:prod\nshop.c:5|h|#env:prod\n"
                        "shop.c:6|d|#env:prod\nshop.d:ann|s|#env:prod");
    assert_false(receive_more(&receiver));
    close(receiver.fd);
}

static void the_address_comes_from_the_environment(void **state)
{
    (void)state;
    static struct receiver receiver;
    open_udp(&receiver);
    setenv("LAPWING_STATSD", receiver.address, 1);
    struct lapwing *client = lapwing_open(NULL);
    lapwing_increment(client, "a", NULL);
    lapwing_close(client);
    receives(&receiver, "a:1|c");
    unsetenv("LAPWING_STATSD");
    close(receiver.fd);
}

static void bad_addresses_open_nothing(void **state)
{
    (void)state;
    static const char *const addresses[] = {"unix://", "udp://:8125", "127.0.0.1:x", "udp://"};
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        const struct lapwing_options options = {.address = addresses[i]};
        errno = 0;
        assert_null(lapwing_open(&options));
        assert_int_equal(errno, EINVAL);
    }
}

static void no_client_does_nothing(void **state)
{
    (void)state;
    const struct lapwing_metric metric = {.name = "a"};
    lapwing_send(NULL, &metric);
    lapwing_increment(NULL, "a", NULL);
    lapwing_set(NULL, NULL, NULL, NULL);
    lapwing_event(NULL, "a", NULL, NULL, NULL);
    lapwing_check(NULL, "a", 0, NULL, NULL);
    struct lapwing_timer timer = lapwing_timer_start(NULL, "a", NULL);
    lapwing_timer_stop(&timer);
    lapwing_flush(NULL);
    lapwing_close(NULL);
    assert_int_equal(lapwing_stats(NULL).sent, 0);
}

static void what_says_nothing_is_dropped_and_counted(void **state)
{
    (void)state;
    static const struct lapwing_metric metrics[] = {
        {.type = LAPWING_COUNT, .name = NULL, .value = 1},
        {.type = LAPWING_COUNT, .name = "", .value = 1},
        {.type = LAPWING_COUNT, .name = "a", .value = 1.0 / 0.0},
        {.type = LAPWING_GAUGE, .name = "a", .value = 0.0 / 0.0},
        {.type = LAPWING_SET, .name = "a", .member = NULL},
        {.type = LAPWING_SET, .name = "a", .member = ""},
        {.type = (enum lapwing_type)77, .name = "a", .value = 1},
    };
    static struct receiver receiver;
    const size_t count = sizeof metrics / sizeof metrics[0];
    open_udp(&receiver);
    struct lapwing *client = open_client(&receiver);
    for (size_t i = 0; i < count; i++)
        lapwing_send(client, &metrics[i]);
    lapwing_event(client, "", "text", NULL, NULL);
    lapwing_check(client, "db", 4, NULL, NULL);
    struct lapwing_stats stats = lapwing_stats(client);
    assert_int_equal(stats.dropped[LAPWING_DROP_INVALID], count + 2);
    assert_int_equal(stats.buffered, 0);
    lapwing_close(client);
    assert_false(receive_more(&receiver));
    close(receiver.fd);
}

static void long_names_are_cut_and_long_tags_left_out(void **state)
{
    (void)state;
    static struct receiver receiver;
    static char name[600], member[5000], tags[3000];
    open_udp(&receiver);
    struct lapwing *client = open_client(&receiver);
    memset(name, 'n', sizeof name - 1);
    memcpy(name + 511, "\xc3\xb8", 2); /* a letter of two bytes at the limit goes as a whole */
    lapwing_increment(client, name, NULL);
    memset(member, 'm', sizeof member - 1);
    lapwing_set(client, "a", member, NULL);
    memset(tags, 't', sizeof tags - 1);
    memcpy(tags + sizeof tags - 10, ",k:v", 5);
    lapwing_increment(client, "a", tags);
    struct lapwing_stats stats = lapwing_stats(client);
    assert_int_equal(stats.truncated, 2);
    assert_int_equal(stats.dropped[LAPWING_DROP_TOO_LONG], 1);
    lapwing_close(client);
    memcpy(name + 511, ":1|c\na:1|c|#k:v", sizeof ":1|c\na:1|c|#k:v");
    receives(&receiver, name);
    close(receiver.fd);
}

static void events_and_checks_are_what_the_server_reads(void **state)
{
    (void)state;
    static struct receiver receiver;
    struct statsd_notice notice;
    struct slice rest, line;
    open_udp(&receiver);
    struct lapwing *client = open_client(&receiver);
    lapwing_event(client, "Deploy | 7", "line 1\nline | 2", "warning", "service:shop");
    lapwing_check(client, "db:up", 2, "no | answer\n", "env:prod");
    lapwing_close(client);
    receive(&receiver);
    rest = slice_of_string(receiver.datagram);
    assert_true(statsd_cut_line(&rest, &line));
    assert_int_equal(statsd_parse_event(line, &notice), STATSD_ACCEPTED);
    assert_true(slice_equal_string(notice.title, "Deploy | 7"));
    assert_true(slice_equal_string(notice.text, "line 1\\nline | 2"));
    assert_int_equal(notice.alert, STATSD_WARNING);
    assert_true(slice_equal_string(notice.tags, "service:shop"));
    assert_true(statsd_cut_line(&rest, &line));
    assert_int_equal(statsd_parse_check(line, &notice), STATSD_ACCEPTED);
    assert_true(slice_equal_string(notice.title, "") && slice_equal_string(notice.name, "db_up"));
    assert_int_equal(notice.status, STATSD_CRITICAL);
    assert_true(slice_equal_string(notice.text, "no _ answer_"));
    assert_true(slice_equal_string(notice.tags, "env:prod"));
    assert_int_equal(rest.len, 0);
    close(receiver.fd);
}

static void samples_are_the_share_they_say(void **state)
{
    (void)state;
    static struct receiver receiver;
    const struct lapwing_metric metric = {
        .type = LAPWING_TIMING, .name = "a", .value = 1, .sample_rate = 0.25};
    open_udp(&receiver);
    struct lapwing *client = open_client(&receiver);
    for (int i = 0; i < 40000; i++)
        lapwing_send(client, &metric);
    struct lapwing_stats stats = lapwing_stats(client);
    /* 10,000, give or take seven standard deviations */
    assert_in_range(stats.sent + stats.buffered + all_drops(&stats), 9394, 10606);
    receive(&receiver);
    assert_memory_equal(receiver.datagram, "a:1|ms|@0.25\na:1|ms|@0.25\n", 26);
    lapwing_close(client);
    close(receiver.fd);
}

static void a_scope_is_measured(void **state)
{
    (void)state;
    static struct receiver receiver;
    struct statsd_metric metric;
    open_udp(&receiver);
    struct lapwing *client = open_client(&receiver);
    {
        LAPWING_TIME_SCOPE(client, "a", "k:v");
        const struct timespec nap = {.tv_nsec = 2000000};
        nanosleep(&nap, NULL);
    }
    lapwing_close(client);
    receive(&receiver);
    assert_int_equal(
        statsd_parse(&statsd_profiles[STATSD_UNION], slice_of_string(receiver.datagram), &metric),
        STATSD_ACCEPTED);
    assert_int_equal(metric.type, STATSD_TIMER);
    assert_true(metric.value >= 2);
    close(receiver.fd);
}

/* --- any strings --- */

static uint64_t random_state = 88172645463325252u;

static size_t random_below(size_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % bound;
}

/* Half of the bytes are such as mean something, the others any but 0. */
static void random_string(char *out, size_t max)
{
    static const char special[] = "|:#,@\n\r\t =;[]{}_eTs+-";
    size_t len = random_below(max);
    for (size_t i = 0; i < len; i++)
        out[i] = random_below(2) ? special[random_below(sizeof special - 1)]
                                 : (char)(1 + random_below(255));
    out[len] = '\0';
}

/* What the header promises, written down once more: illegal and control bytes become '_'. */
static void clean(char *text, const char *illegal)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f || strchr(illegal, *text))
            *text = '_';
}

static double random_value(void)
{
    static const double scales[] = {1, 100, 1e6, 1e9, 1e-9, 1e200};
    double value = (double)(int64_t)random_below(2000000) - 1000000;
    return random_below(2) ? value / scales[random_below(6)] : value / 7 * scales[random_below(6)];
}

struct strings {
    char name[40], key[20], value[20], member[30];
};

static void reads_as_meant(struct slice line, const struct lapwing_metric *meant,
                           struct strings *strings)
{
    static const enum statsd_type types[] = {
        [LAPWING_COUNT] = STATSD_COUNTER,   [LAPWING_GAUGE] = STATSD_GAUGE,
        [LAPWING_ADJUST] = STATSD_GAUGE,    [LAPWING_TIMING] = STATSD_TIMER,
        [LAPWING_HISTOGRAM] = STATSD_TIMER, [LAPWING_DISTRIBUTION] = STATSD_TIMER,
        [LAPWING_SET] = STATSD_SET,
    };
    char tags[64] = "";
    struct statsd_metric metric;
    clean(strings->name, " ,:#|;[{");
    clean(strings->key, " ,:#|");
    clean(strings->value, ",|");
    clean(strings->member, "|");
    if (strings->key[0] && strings->value[0])
        snprintf(tags, sizeof tags, "%s:%s", strings->key, strings->value);
    assert_int_equal(statsd_parse(&statsd_profiles[STATSD_UNION], line, &metric), STATSD_ACCEPTED);
    assert_int_equal(metric.type, types[meant->type]);
    assert_true(slice_equal_string(metric.name, strings->name));
    assert_true(slice_equal_string(metric.tags, tags));
    assert_true(metric.more.len == 0 && metric.segments.len == 0 && metric.ignored == 0);
    assert_true(metric.weight == 1);
    if (meant->type == LAPWING_SET)
        assert_true(slice_equal_string(metric.member, strings->member));
    else
        assert_true(metric.value == meant->value);
    assert_int_equal(metric.is_delta, meant->type == LAPWING_ADJUST ||
                                          (meant->type == LAPWING_GAUGE && meant->value < 0));
}

static void any_strings_read_as_meant(void **state)
{
    (void)state;
    static struct receiver receiver;
    open_udp(&receiver);
    struct lapwing *client = open_client(&receiver);
    for (int round = 0; round < 20000; round++) {
        struct strings strings;
        random_string(strings.name, sizeof strings.name);
        random_string(strings.key, sizeof strings.key);
        random_string(strings.value, sizeof strings.value);
        random_string(strings.member, sizeof strings.member);
        const struct lapwing_tag tag = {strings.key, strings.value};
        const struct lapwing_metric metric = {.type = (enum lapwing_type)random_below(7),
                                              .name = strings.name,
                                              .member = strings.member,
                                              .value = random_value(),
                                              .tag_list = &tag,
                                              .tag_count = 1};
        lapwing_send(client, &metric);
        lapwing_flush(client);
        if (!strings.name[0] || (metric.type == LAPWING_SET && !strings.member[0]))
            continue;
        receive(&receiver);
        struct slice rest = slice_of_string(receiver.datagram), line, zero;
        assert_true(statsd_cut_line(&rest, &line));
        if (metric.type == LAPWING_GAUGE && metric.value < 0) {
            zero = line;
            assert_non_null(memmem(zero.at, zero.len, ":0|g", 4));
            assert_true(statsd_cut_line(&rest, &line));
        }
        assert_int_equal(rest.len, 0);
        reads_as_meant(line, &metric, &strings);
    }
    assert_false(receive_more(&receiver));
    lapwing_close(client);
    close(receiver.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics_become_lines),
        cmocka_unit_test(the_short_forms_share_a_packet),
        cmocka_unit_test(the_address_comes_from_the_environment),
        cmocka_unit_test(bad_addresses_open_nothing),
        cmocka_unit_test(no_client_does_nothing),
        cmocka_unit_test(what_says_nothing_is_dropped_and_counted),
        cmocka_unit_test(long_names_are_cut_and_long_tags_left_out),
        cmocka_unit_test(events_and_checks_are_what_the_server_reads),
        cmocka_unit_test(samples_are_the_share_they_say),
        cmocka_unit_test(a_scope_is_measured),
        cmocka_unit_test(any_strings_read_as_meant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
