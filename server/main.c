/* main: the table of contents.
 *
 *     flags ─▶ print something (--version, --print-config, ...)        exit 0
 *           ├▶ --check-data, --restore (server/offline.c)              exit 0, 1 damaged
 *           ├▶ --test-rules, --check-rules (server/ruletest/)          exit 0, 1 failed
 *           └▶ server_open ─▶ server_run ─▶ server_close               exit 0
 *     A mistake in a flag: exit 2; in the configuration or at start: exit 1; data that cannot be
 *     opened, which no restart will change: exit 78. One sentence on stderr.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/alert/manager.h"
#include "server/ingest/ingest.h"
#include "server/offline.h"
#include "server/ruletest/run.h"
#include "server/server.h"
#include "server/version.h"
#include "storage/base/log.h"

#define EXIT_HOPELESS    78 /* EX_CONFIG, for RestartPreventExitStatus= of systemd */
#define TEXT_MAX         ((size_t)1 << 20)
#define CONFIG_ARENA_MAX ((size_t)32 << 20)
#define HEAP_KEPT_BYTES  (16 << 20) /* of free memory at the end of a heap */
#define LARGE_BYTES      (4 << 20)  /* what is larger goes back at once */

enum action {
    SERVE,
    CHECK_CONFIG,
    PRINT_CONFIG,
    DOCUMENT_CONFIG,
    CHECK_DATA,
    RESTORE,
    TEST_RULES,
    CHECK_RULES,
    VERSION,
    HELP
};

struct flag {
    const char *name;
    const char *value; /* what its argument is called; NULL = takes none */
    enum action action;
    const char *help;
};

static const struct flag flags[] = {
    {"--config", "FILE", SERVE, "read the configuration from FILE (default: none, all defaults)"},
    {"--data", "DIR", SERVE, "keep the data in DIR (default: data_dir, which is ./data)"},
    {"--check-config", NULL, CHECK_CONFIG,
     "read the configuration, the rules and the mapping file, and say what is wrong"},
    {"--print-config", NULL, PRINT_CONFIG, "print the configuration with all defaults filled in"},
    {"--document-config", NULL, DOCUMENT_CONFIG, "print docs/CONFIG.md"},
    {"--check-data", NULL, CHECK_DATA,
     "read every row of the data or a backup in --data DIR, and say what is damaged"},
    {"--restore", "BACKUP", RESTORE, "check the backup in BACKUP and put it into --data DIR"},
    {"--force", NULL, RESTORE, "restore: keep what is in --data DIR aside instead of refusing"},
    {"--test-rules", "FILE...", TEST_RULES, "run unit tests of rules, written as for promtool"},
    {"--check-rules", "FILE...", CHECK_RULES, "read rule files, and say what is wrong"},
    {"--version", NULL, VERSION, "print the version"},
    {"--help", NULL, HELP, "print this"},
};
#define FLAG_COUNT (sizeof flags / sizeof flags[0])

static int fail_usage(const char *problem, const char *argument)
{
    fprintf(stderr, "lapwingd: %s %s; see lapwingd --help\n", problem, argument);
    return 2;
}

/* Splits "--name=value"; sets *value to what follows the '=' or the next argument. */
static const struct flag *find_flag(char **argv, int *i, const char **value)
{
    size_t len = strcspn(argv[*i], "=");
    for (size_t f = 0; f < FLAG_COUNT; f++) {
        if (strlen(flags[f].name) != len || strncmp(flags[f].name, argv[*i], len) != 0)
            continue;
        if (argv[*i][len] == '=')
            *value = argv[*i] + len + 1;
        else if (flags[f].value)
            *value = argv[++*i];
        return &flags[f];
    }
    return NULL;
}

struct invocation {
    struct server_options options;
    struct offline offline;
    enum action action;
    char **files; /* all that stands behind --test-rules or --check-rules */
};

/* 0, or the exit status after a mistake. */
static int read_flags(char **argv, struct invocation *to)
{
    for (int i = 1; argv[i]; i++) {
        const char *value = NULL, *argument = argv[i];
        const struct flag *flag = find_flag(argv, &i, &value);
        if (!flag)
            return fail_usage("unknown option", argument);
        if (flag->value && (!value || !*value))
            return fail_usage("a value must follow", flag->name);
        if (!flag->value && value)
            return fail_usage("no value may follow", flag->name);
        if (strcmp(flag->name, "--config") == 0)
            to->options.config_path = value;
        else if (strcmp(flag->name, "--data") == 0)
            to->options.data_dir = value;
        else
            to->action = flag->action;
        if (strcmp(flag->name, "--restore") == 0)
            to->offline.backup = value;
        to->offline.force |= strcmp(flag->name, "--force") == 0;
        if (flag->action == TEST_RULES || flag->action == CHECK_RULES) {
            to->files = argv + i;
            return 0;
        }
    }
    return 0;
}

static int print_text(struct buffer *text)
{
    fwrite(text->at, 1, text->len, stdout);
    buffer_release(text);
    return fflush(stdout) == 0 ? 0 : 1;
}

static int print_help(void)
{
    struct buffer text;
    buffer_init(&text, TEXT_MAX);
    buffer_append_string(&text, "usage: lapwingd [options]\n\n"
                                "One daemon for metrics, logs, errors and alerts. Options:\n");
    for (size_t i = 0; i < FLAG_COUNT; i++)
        buffer_append_format(&text, "  %-17s %-7s %s\n", flags[i].name,
                             flags[i].value ? flags[i].value : "", flags[i].help);
    buffer_append_string(
        &text, "\nSIGTERM stops it without loss, SIGHUP reads the configuration again.\n");
    return print_text(&text);
}

static int print_document(void)
{
    struct buffer text;
    buffer_init(&text, TEXT_MAX);
    config_document(&text);
    return print_text(&text);
}

static int report(const struct error *err)
{
    fprintf(stderr, "lapwingd: %s\n", err->text);
    return 1;
}

static int check_mapping(const struct config *config, struct error *err)
{
    struct mapping *mapping;
    int status = ingest_read_mapping(config, &mapping, err);
    mapping_free(mapping);
    return status;
}

static int show_config(const struct server_options *options, enum action action)
{
    struct arena arena;
    struct config config;
    struct error err = {0};
    struct buffer text;
    arena_init(&arena, CONFIG_ARENA_MAX);
    buffer_init(&text, TEXT_MAX);
    int status = server_configure(options, &arena, &config, &err);
    if (status == 0 && action == CHECK_CONFIG)
        status = alerts_check(&config, &err);
    if (status == 0 && action == CHECK_CONFIG)
        status = check_mapping(&config, &err);
    if (status != 0)
        status = report(&err);
    else if (action == CHECK_CONFIG)
        buffer_append_format(&text, "%s is valid\n",
                             options->config_path ? options->config_path : "the default");
    else
        config_print(&config, &text);
    arena_release(&arena);
    return status != 0 ? status : print_text(&text);
}

static int work_offline(const struct server_options *options, struct offline *offline,
                        enum action action)
{
    struct arena arena;
    struct config config;
    struct error err = {0};
    arena_init(&arena, CONFIG_ARENA_MAX);
    int status = server_configure(options, &arena, &config, &err);
    offline->data = config.data_dir;
    if (status == 0)
        status = action == RESTORE ? offline_restore(offline, &err) : offline_check(offline, &err);
    arena_release(&arena);
    return status < 0 ? report(&err) : status;
}

static int serve(const struct server_options *options)
{
    struct server *server;
    struct error err = {0};
    if (server_open(options, &server, &err) != 0) {
        log_error("start", "error=\"%s\"", err.text);
        return err.kind == ERROR_INTERNAL ? EXIT_HOPELESS : 1;
    }
    server_run(server);
    server_close(server);
    return 0;
}

int main(int argc, char **argv)
{
    struct invocation to = {.action = SERVE};
    (void)argc;
    /* glibc gives each thread an arena of its own, and each keeps what its thread once used; two
     * are plenty for the few threads here that allocate often. */
    mallopt(M_ARENA_MAX, 2);
    /* What a query has used is used by the next one, instead of being given back and asked for again a
     * page at a time. */
    mallopt(M_TRIM_THRESHOLD, HEAP_KEPT_BYTES);
    mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
    int status = read_flags(argv, &to);
    if (status != 0)
        return status;
    switch (to.action) {
    case HELP:
        return print_help();
    case VERSION:
        puts("lapwingd " LAPWING_VERSION);
        return 0;
    case DOCUMENT_CONFIG:
        return print_document();
    case CHECK_CONFIG:
    case PRINT_CONFIG:
        return show_config(&to.options, to.action);
    case CHECK_DATA:
    case RESTORE:
        return work_offline(&to.options, &to.offline, to.action);
    case TEST_RULES:
        return rule_tests_run(to.files);
    case CHECK_RULES:
        return rule_files_check(to.files);
    case SERVE:
        break;
    }
    return serve(&to.options);
}
