/* lapwing: the command line. Options and commands are the two tables below. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/lapwing/cli.h"

#define VERSION "0.1.0" /* that of the server; a test compares them */

static const struct command commands[] = {
    {"query", "EXPR", "run PromQL; a range query when --start is given", command_query},
    {"logs", "SELECTOR", "run LogQL: log lines, or numbers over time", command_logs},
    {"issues", "[ID]", "list error issues, or show one", command_issues},
    {"send", "LINE...", "send statsd lines (or, with --log, JSON logs); - reads stdin",
     command_send},
    {"top", "", "who sends most and what, the newest series, what is lost; refreshed", command_top},
    {"tap", "[PREFIX]", "statsd lines that start so, as they come in; --limit N: the first N",
     command_tap},
    {"explain", "LINE", "how a statsd line is read and what it becomes, or why it is refused",
     command_explain},
    {"compact", "", "seal, apply retention and rewrite the tables now", command_compact},
    {"backup", "DIR", "have the server write a backup to DIR, which must not exist",
     command_backup},
    {"restore", "DIR", "check a backup and put it into --data (stop lapwingd first)",
     command_restore},
    {"check-data", "[DIR]", "read every row of the server's data, or of DIR, and list damage",
     command_check_data},
    {"test", "rules FILE...", "run unit tests of alert and recording rules, as promtool does",
     command_test},
    {"check", "rules FILE...", "read rule files and say what is wrong with them", command_check},
};

#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

enum {
    OPTION_URL = 256,
    OPTION_STATSD,
    OPTION_START,
    OPTION_END,
    OPTION_STEP,
    OPTION_LIMIT,
    OPTION_PROJECT,
    OPTION_LOG,
    OPTION_DATA,
    OPTION_FORCE,
    OPTION_ONCE,
    OPTION_PROFILE,
    OPTION_VERSION
};

static const struct option_row {
    struct option option;
    const char *help;
} rows[] = {
    {{"url", required_argument, NULL, OPTION_URL},
     "URL        the server (default $LAPWING_URL or http://127.0.0.1:8127)"},
    {{"statsd", required_argument, NULL, OPTION_STATSD},
     "HOST:PORT  where send goes (default 127.0.0.1:8125)"},
    {{"output", required_argument, NULL, 'o'}, "FORMAT     table, json or csv (also -o)"},
    {{"start", required_argument, NULL, OPTION_START},
     "TIME       unix seconds, RFC 3339, or -1h: so long ago"},
    {{"end", required_argument, NULL, OPTION_END}, "TIME       the same; default now"},
    {{"step", required_argument, NULL, OPTION_STEP},
     "DURATION   15s, 1m ...; default 1/60 of the range"},
    {{"limit", required_argument, NULL, OPTION_LIMIT},
     "N          at most so many lines, issues or rows"},
    {{"project", required_argument, NULL, OPTION_PROJECT}, "NAME       issues of one project"},
    {{"log", no_argument, NULL, OPTION_LOG}, "           send: the lines are JSON logs"},
    {{"data", required_argument, NULL, OPTION_DATA}, "DIR        restore: the data directory"},
    {{"force", no_argument, NULL, OPTION_FORCE},
     "           restore: keep what is in --data aside instead of refusing"},
    {{"once", no_argument, NULL, OPTION_ONCE}, "           top: print once, do not refresh"},
    {{"profile", required_argument, NULL, OPTION_PROFILE},
     "NAME       explain: as union, etsy, dogstatsd or statsite reads it, or all"},
    {{"version", no_argument, NULL, OPTION_VERSION}, "           the version"},
    {{"help", no_argument, NULL, 'h'}, "           this text"},
};

#define ROW_COUNT (sizeof rows / sizeof rows[0])

void *must(void *at)
{
    if (!at) {
        fputs("lapwing: out of memory\n", stderr);
        exit(1);
    }
    return at;
}

static void print_help(FILE *to)
{
    fputs("usage: lapwing COMMAND [OPTION]... [ARGUMENT]...\n\n", to);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(to, "  %-10s %-13s %s\n", commands[i].name, commands[i].arguments,
                commands[i].help);
    fputc('\n', to);
    for (size_t i = 0; i < ROW_COUNT; i++)
        fprintf(to, "  --%-8s %s\n", rows[i].option.name, rows[i].help);
}

static int parse_output(const char *text, enum output *out)
{
    static const char *const names[] = {"table", "json", "csv"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (enum output)i;
            return 0;
        }
    }
    fprintf(stderr, "lapwing: -o takes table, json or csv, not \"%s\"\n", text);
    return -1;
}

static int apply(struct cli *cli, int code)
{
    switch (code) {
    case OPTION_URL:
        cli->url = optarg;
        return 0;
    case OPTION_STATSD:
        cli->statsd = optarg;
        return 0;
    case OPTION_START:
        cli->start = optarg;
        return 0;
    case OPTION_END:
        cli->end = optarg;
        return 0;
    case OPTION_STEP:
        cli->step = optarg;
        return 0;
    case OPTION_LIMIT:
        cli->limit = optarg;
        return 0;
    case OPTION_PROJECT:
        cli->project = optarg;
        return 0;
    case OPTION_LOG:
        cli->log = true;
        return 0;
    case OPTION_DATA:
        cli->data = optarg;
        return 0;
    case OPTION_FORCE:
        cli->force = true;
        return 0;
    case OPTION_ONCE:
        cli->once = true;
        return 0;
    case OPTION_PROFILE:
        cli->profile = optarg;
        return 0;
    case 'o':
        return parse_output(optarg, &cli->output);
    case OPTION_VERSION:
        puts("lapwing " VERSION);
        exit(0);
    case 'h':
        print_help(stdout);
        exit(0);
    default:
        return -1;
    }
}

/* `word` is what getopt looked at last: of a long option that it does not know, or whose value is missing (':'), the
 * option. Of a letter it does not know that is anything, but it has told the letter. */
static int complain(int code, int letter, const char *word)
{
    if (code == ':')
        fprintf(stderr, "lapwing: a value must follow %s; see lapwing --help\n", word);
    else if (letter)
        fprintf(stderr,
                "lapwing: unknown option -%c; see lapwing --help (an argument that begins with a "
                "dash goes behind --)\n",
                letter);
    else
        fprintf(stderr, "lapwing: unknown option %s; see lapwing --help\n", word);
    return 2;
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

int main(int argc, char **argv)
{
    struct option options[ROW_COUNT + 1] = {{0}};
    const char *url = getenv("LAPWING_URL");
    struct cli cli = {.url = url ? url : "http://127.0.0.1:8127", .statsd = "127.0.0.1:8125"};
    for (size_t i = 0; i < ROW_COUNT; i++)
        options[i] = rows[i].option;
    for (int code; (code = getopt_long(argc, argv, ":o:h", options, NULL)) != -1;) {
        if (code == ':' || code == '?')
            return complain(code, optopt, argv[optind - 1]);
        if (apply(&cli, code))
            return 2;
    }
    if (optind >= argc) {
        print_help(stderr);
        return 2;
    }
    const struct command *command = find_command(argv[optind]);
    if (!command) {
        fprintf(stderr, "lapwing: there is no command \"%s\"; see lapwing --help\n", argv[optind]);
        return 2;
    }
    cli.arguments = argv + optind + 1;
    cli.argument_count = argc - optind - 1;
    return command->run(&cli);
}
