/* config: the real table. Defaults as documented, print and read back, refusals, docs in step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/config.h"

static struct arena arena;

static struct config accepts(const char *text)
{
    struct config config;
    struct error err = {0};
    if (config_parse(slice_of_string(text), "lapwing.yaml", &arena, &config, &err) != 0)
        fail_msg("%s", err.text);
    return config;
}

static void rejects(const char *text, const char *part)
{
    struct config config;
    struct error err = {0};
    assert_int_equal(config_parse(slice_of_string(text), "lapwing.yaml", &arena, &config, &err),
                     -1);
    if (!strstr(err.text, part))
        fail_msg("\"%s\" lacks \"%s\"", err.text, part);
}

static void defaults_are_a_working_server(void **state)
{
    (void)state;
    struct config config;
    struct error err;
    assert_int_equal(config_load(NULL, &arena, &config, &err), 0);
    assert_string_equal(config.data_dir, "./data");
    assert_string_equal(config.http.listen, "127.0.0.1:8127");
    assert_string_equal(config.statsd.udp, "127.0.0.1:8125");
    assert_string_equal(config.statsd.tcp, "127.0.0.1:8125");
    assert_string_equal(config.logs.json_tcp, "127.0.0.1:5170");
    assert_int_equal(config.statsd.flush_interval_ms, 10000);
    assert_int_equal(config.statsd.gauge_sign, GAUGE_SIGN_PROFILE);
    assert_int_equal(config.http.body_max, 20 << 20);
    assert_int_equal(config.http.inflated_max, 100 << 20);
    assert_int_equal(config.limits.series, 1000000);
    assert_int_equal(config.limits.query_timeout_ms, 30000);
    assert_int_equal(config.retention.raw_ms, 30 * 86400000LL);
    assert_int_equal(config.retention.errors_ms, 90 * 86400000LL);
    assert_int_equal(config.rule_files.count, 0);
    assert_string_equal(config.alerting.webhook.url, "");
}

static void the_documented_sample_is_accepted(void **state)
{
    (void)state;
    struct config config =
        accepts("data_dir: ./data\n"
                "http:    { listen: \"127.0.0.1:8127\" }\n"
                "statsd:  { udp: \"127.0.0.1:8125\", tcp: \"127.0.0.1:8125\", unix: \"\","
                " flush_interval: 10s, gauge_sign: delta }\n"
                "logs:    { json_tcp: \"127.0.0.1:5170\" }\n"
                "limits:  { series: 1000000, series_per_metric: 100000, query_samples: 50000000,"
                " query_timeout: 30s }\n"
                "retention: { raw: 30d, 5m: 1y, 1h: 5y, logs: 30d, errors: 90d }\n"
                "rule_files: [ rules/*.yaml ]        # Prometheus rule format\n"
                "alerting: { webhook: { url: \"http://127.0.0.1:9000/hook\" } }\n");
    assert_int_equal(config.retention.rollup_5m_ms, 365 * 86400000LL);
    assert_string_equal(config.rule_files.at[0], "rules/*.yaml");
    assert_string_equal(config.alerting.webhook.url, "http://127.0.0.1:9000/hook");
}

static void mistakes_get_a_sentence(void **state)
{
    (void)state;
    rejects("data_dir: d\nstatsd:\n    udpp: \"127.0.0.1:1\"\n",
            "lapwing.yaml:3:5: unknown option \"statsd.udpp\"; did you mean \"statsd.udp\"?");
    rejects("http: { listen: \"0.0.0.0:8127\" }", "listen on 127.0.0.1");
    rejects("http: { listen: \"127.evil.example:80\" }", "listen on 127.0.0.1");
    rejects("http: { listen: \"\" }", "http.listen is empty");
    rejects("statsd: { admin: \"0.0.0.0:8126\" }", "statsd.admin is 0.0.0.0:8126, which other");
    assert_string_equal(accepts("statsd: {admin: \"\"}").statsd.admin, "");
    rejects("data_dir: \"\"", "data_dir is empty");
    rejects("alerting: { webhook: { url: \"ftp://x\" } }", "must start with http://");
    assert_string_equal(accepts("http: {listen: \"[::1]:0\"}").http.listen, "[::1]:0");
    assert_string_equal(accepts("http: {listen: \"localhost:1\"}").http.listen, "localhost:1");
}

static void limits_of_prefixes_are_a_list(void **state)
{
    (void)state;
    struct config config = accepts("limits: {series_per_prefix: [{prefix: \"api.\", series: 5},"
                                   " {prefix: \"b\", series: 1}]}");
    const struct config_prefix_limit *limits = config.limits.series_per_prefix.at;
    assert_int_equal(config.limits.series_per_prefix.count, 2);
    assert_string_equal(limits[0].prefix, "api.");
    assert_int_equal(limits[0].series, 5);
    assert_int_equal(limits[1].series, 1);
    rejects("limits: {series_per_prefix: [{prefix: \"\", series: 5}]}", "must not be empty");
    rejects("limits: {series_per_prefix: [{prefix: \"a\"}]}", "series");
    rejects("limits: {series_per_prefix: [{prefix: \"a\", series: 0}]}", "series");
}

static void printing_reads_back(void **state)
{
    (void)state;
    struct buffer first, second;
    struct config config = accepts("http: {body_max: 3MiB}\nrule_files: [\"a\", \"b\"]\n");
    buffer_init(&first, 1 << 16);
    config_print(&config, &first);
    buffer_append_char(&first, 0);
    config = accepts(first.at);
    buffer_init(&second, 1 << 16);
    config_print(&config, &second);
    buffer_append_char(&second, 0);
    assert_string_equal(first.at, second.at);
    assert_non_null(strstr(first.at, "  body_max: 3MiB\n"));
    buffer_release(&first);
    buffer_release(&second);
}

static void rule_files_are_relative_to_the_file(void **state)
{
    (void)state;
    char dir[] = "/tmp/config_test_XXXXXX";
    char path[64];
    struct config config;
    struct error err = {0};
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/l.yaml", dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("rule_files: [rules/*.yaml, /etc/x.yaml]\n", file);
    fclose(file);
    assert_int_equal(config_load(path, &arena, &config, &err), 0);
    char wanted[96];
    snprintf(wanted, sizeof wanted, "%s/rules/*.yaml", dir);
    assert_string_equal(config.rule_files.at[0], wanted);
    assert_string_equal(config.rule_files.at[1], "/etc/x.yaml");
    unlink(path);
    rmdir(dir);
    assert_int_equal(config_load(path, &arena, &config, &err), -1);
    assert_non_null(strstr(err.text, "cannot read"));
}

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 16 << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(defaults_are_a_working_server, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_documented_sample_is_accepted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(mistakes_get_a_sentence, set_up, tear_down),
        cmocka_unit_test_setup_teardown(limits_of_prefixes_are_a_list, set_up, tear_down),
        cmocka_unit_test_setup_teardown(printing_reads_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rule_files_are_relative_to_the_file, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
