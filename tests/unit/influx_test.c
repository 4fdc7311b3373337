/* InfluxDB's line protocol: what a line becomes, and why a line is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/wire/influx.h"

static struct arena arena;
static struct influx_options options;

static enum influx_reject read_one(struct slice line, struct timed_line *out)
{
    arena_reset(&arena);
    return influx_parse(line, &options, &arena, out);
}

/* `readings`: name{labels} value, each on a line of its own. */
static void accepts(const char *text, const char *readings)
{
    struct timed_line line;
    struct buffer shown;
    enum influx_reject reject = read_one(slice_of_string(text), &line);
    if (reject)
        fail_msg("%s: %s", text, influx_reject_text(reject));
    buffer_init(&shown, 65536);
    for (size_t i = 0; i < line.count; i++) {
        labels_print(line.samples[i].labels, &shown);
        buffer_append_format(&shown, " %.17g\n", line.samples[i].value);
    }
    if (!slice_equal_string(buffer_slice(&shown), readings))
        fail_msg("%s: %.*s", text, SLICE_ARG(buffer_slice(&shown)));
    buffer_release(&shown);
}

static void rejects(const char *text, enum influx_reject expected)
{
    struct timed_line line;
    enum influx_reject reject = read_one(slice_of_string(text), &line);
    if (reject != expected)
        fail_msg("%s: '%s' instead of '%s'", text, influx_reject_text(reject),
                 influx_reject_text(expected));
}

static void test_accepts(void **state)
{
    (void)state;
    accepts("cpu usage=1.5", "cpu_usage{} 1.5\n");
    accepts("cpu,host=a,cpu=0 user=1,sys=2 1656581400000000000",
            "cpu_user{cpu=\"0\", host=\"a\"} 1\ncpu_sys{cpu=\"0\", host=\"a\"} 2\n");
    accepts("cpu,Zone=b,az=1 v=1", "cpu_v{Zone=\"b\", az=\"1\"} 1\n");
    accepts("cpu   v=1   5  ", "cpu_v{} 1\n");
}

static void test_values(void **state)
{
    (void)state;
    accepts("m a=1i,b=-2i,c=3u", "m_a{} 1\nm_b{} -2\nm_c{} 3\n");
    accepts("m a=9223372036854775807i", "m_a{} 9.2233720368547758e+18\n");
    accepts("m a=18446744073709551615u", "m_a{} 1.8446744073709552e+19\n");
    accepts("m a=t,b=T,c=true,d=True,e=TRUE", "m_a{} 1\nm_b{} 1\nm_c{} 1\nm_d{} 1\nm_e{} 1\n");
    accepts("m a=f,b=F,c=false,d=False,e=FALSE", "m_a{} 0\nm_b{} 0\nm_c{} 0\nm_d{} 0\nm_e{} 0\n");
    accepts("m a=-1.5e-3,b=.5,c=2.,d=+1E2", "m_a{} -0.0015\nm_b{} 0.5\nm_c{} 2\nm_d{} 100\n");
}

static void test_strings(void **state)
{
    struct timed_line line;
    (void)state;
    accepts("m a=\"x\",b=1", "m_b{} 1\n");
    accepts("m a=\"x, b=2 \\\" \\\\\",b=1 7", "m_b{} 1\n");
    accepts("m a=\"\"", "");
    assert_int_equal(read_one(SLICE("m a=\"x\ny\",b=1,c=\"=\" 7000000"), &line), INFLUX_OK);
    assert_int_equal(line.unsupported, 2);
    assert_int_equal(line.count, 1);
    assert_int_equal(line.time_ms, 7);
}

static void test_escapes(void **state)
{
    (void)state;
    accepts("disk\\ io\\,x=y v=1", "disk_io,x=y_v{} 1\n");
    accepts("m,a\\ b=c\\,d\\=e\\ f v=1", "m_v{a_b=\"c,d=e f\"} 1\n");
    accepts("m,a=c:\\dir\\ v=1 v=1", "m_v{a=\"c:\\\\dir v=1\"} 1\n");
    accepts("m u\\=s\\ e=1", "m_u=s_e{} 1\n");
    accepts("m,a=x=y v=1", "m_v{a=\"x=y\"} 1\n");
    accepts("m,__name__=x v=1", "m_v{exported__name__=\"x\"} 1\n");
    accepts("m,a=caf\xc3\xa9\x01\xff v=1", "m_v{a=\"caf\xc3\xa9_\xef\xbf\xbd\"} 1\n");
}

static void test_times(void **state)
{
    static const struct {
        enum influx_precision precision;
        const char *text;
        int64_t time_ms;
    } times[] = {
        {INFLUX_NS, "m v=1 1656581400123999999", 1656581400123},
        {INFLUX_NS, "m v=1 -1", -1},
        {INFLUX_US, "m v=1 1656581400123999", 1656581400123},
        {INFLUX_MS, "m v=1 1656581400123", 1656581400123},
        {INFLUX_S, "m v=1 1656581400", 1656581400000},
        {INFLUX_M, "m v=1 27609690", 1656581400000},
        {INFLUX_H, "m v=1 460161", 1656579600000},
    };
    struct timed_line line;
    (void)state;
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        options.precision = times[i].precision;
        assert_int_equal(read_one(slice_of_string(times[i].text), &line), INFLUX_OK);
        assert_true(line.has_time);
        assert_int_equal(line.time_ms, times[i].time_ms);
    }
    rejects("m v=1 9223372036854775807", INFLUX_BAD_TIME);
    rejects("m v=1 -9223372036854775808", INFLUX_BAD_TIME);
    options.precision = INFLUX_S;
    rejects("m v=1 1656581400000", INFLUX_BAD_TIME); /* milliseconds */
    options.precision = INFLUX_MS;
    rejects("m v=1 -9223372036854775808", INFLUX_BAD_TIME);
    rejects("m v=1 253402300800000", INFLUX_BAD_TIME);
    options.precision = INFLUX_NS;
    assert_int_equal(read_one(SLICE("m v=1"), &line), INFLUX_OK);
    assert_false(line.has_time);
}

static void test_precisions(void **state)
{
    enum influx_precision precision;
    (void)state;
    assert_true(influx_find_precision(SLICE("us"), &precision));
    assert_int_equal(precision, INFLUX_US);
    assert_true(influx_find_precision(SLICE("n"), &precision));
    assert_int_equal(precision, INFLUX_NS);
    assert_false(influx_find_precision(SLICE("d"), &precision));
    assert_false(influx_find_precision(SLICE(""), &precision));
}

static void test_extra_label(void **state)
{
    (void)state;
    options.extra = (struct label){SLICE("db"), SLICE("telegraf")};
    accepts("m,host=a v=1", "m_v{db=\"telegraf\", host=\"a\"} 1\n");
    accepts("m,db=own v=1", "m_v{db=\"own\"} 1\n");
    options.extra = (struct label){SLICE("db"), SLICE("")};
    accepts("m,host=a v=1", "m_v{host=\"a\"} 1\n");
}

static void test_rejects(void **state)
{
    (void)state;
    rejects(",a=b v=1", INFLUX_NO_MEASUREMENT);
    rejects("m", INFLUX_NO_FIELDS);
    rejects("m,a=b", INFLUX_NO_FIELDS);
    rejects("m, v=1", INFLUX_BAD_TAG);
    rejects("m,a v=1", INFLUX_BAD_TAG);
    rejects("m,a= v=1", INFLUX_BAD_TAG);
    rejects("m,=b v=1", INFLUX_BAD_TAG);
    rejects("m,a=b,a=c v=1", INFLUX_DUPLICATE_TAG);
    rejects("m v", INFLUX_BAD_FIELD);
    rejects("m v=", INFLUX_BAD_FIELD);
    rejects("m =1", INFLUX_BAD_FIELD);
    rejects("m v=1,", INFLUX_BAD_FIELD);
    rejects("m v=1,,w=2", INFLUX_BAD_FIELD);
    rejects("m v=x", INFLUX_BAD_VALUE);
    rejects("m v=i", INFLUX_BAD_VALUE);
    rejects("m v=1.5i", INFLUX_BAD_VALUE);
    rejects("m v=-1u", INFLUX_BAD_VALUE);
    rejects("m v=9223372036854775808i", INFLUX_BAD_VALUE);
    rejects("m v=nan", INFLUX_BAD_VALUE);
    rejects("m v=tRUE", INFLUX_BAD_VALUE);
    rejects("m v=\"a\"b", INFLUX_BAD_VALUE);
    rejects("m v=\"a", INFLUX_OPEN_STRING);
    rejects("m v=1 x", INFLUX_BAD_TIME);
    rejects("m v=1 1.5", INFLUX_BAD_TIME);
    rejects("m v=1 1 2", INFLUX_BAD_TIME);
}

static void test_limits(void **state)
{
    static char text[INFLUX_LINE_MAX + 1];
    struct timed_line line;
    size_t len = 1;
    (void)state;
    memset(text, 'm', sizeof text);
    assert_int_equal(read_one(slice_make(text, sizeof text), &line), INFLUX_TOO_LONG);
    for (int i = 0; i < LABELS_MAX - 1; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, ",k%d=v", i);
    snprintf(text + len, sizeof text - len, " v=1");
    rejects(text, INFLUX_MANY_TAGS);
    len = 1;
    for (int i = 0; i <= INFLUX_FIELDS_MAX; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%cf%d=1", i ? ',' : ' ', i);
    rejects(text, INFLUX_MANY_FIELDS);
    arena.limit = 256;
    rejects("m a=1,b=2,c=3,d=4", INFLUX_NO_MEMORY);
    arena.limit = 1 << 20;
}

static void expect_line(struct influx_lines *lines, const char *text, size_t number)
{
    struct slice line;
    assert_true(influx_cut_line(lines, &line));
    if (!slice_equal_string(line, text))
        fail_msg("%.*s instead of %s", SLICE_ARG(line), text);
    assert_int_equal(lines->number, number);
}

static void test_lines(void **state)
{
    struct influx_lines lines = {.rest =
                                     SLICE("# \"it's\n\nm v=1\r\n  # b\nn v=\"x\ny\"\no,a=\"q v=2\n"
                                           "p v=\"open\nq v=\"\\\" \"")};
    struct slice line;
    (void)state;
    expect_line(&lines, "m v=1", 3);
    expect_line(&lines, "n v=\"x\ny\"", 5);
    expect_line(&lines, "o,a=\"q v=2", 7);
    expect_line(&lines, "p v=\"open\nq v=\"\\\" \"", 8);
    assert_false(influx_cut_line(&lines, &line));
}

/* A string that never ends costs its own line, not those behind it. */
static void test_open_string(void **state)
{
    struct influx_lines lines = {.rest = SLICE("m v=\"open\nn v=1\no v=2")};
    struct slice line;
    (void)state;
    expect_line(&lines, "m v=\"open", 1);
    expect_line(&lines, "n v=1", 2);
    expect_line(&lines, "o v=2", 3);
    assert_false(influx_cut_line(&lines, &line));
}

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts),     cmocka_unit_test(test_values),
        cmocka_unit_test(test_strings),     cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_times),       cmocka_unit_test(test_precisions),
        cmocka_unit_test(test_extra_label), cmocka_unit_test(test_rejects),
        cmocka_unit_test(test_limits),      cmocka_unit_test(test_lines),
        cmocka_unit_test(test_open_string),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
