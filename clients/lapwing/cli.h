/* cli: what the subcommands of `lapwing` share.
 *
 * A command line client: it speaks HTTP and statsd like any other client and includes nothing of
 * the server. One thread. Functions that talk to the server print a sentence on stderr and return
 * non-zero when it fails; that value is the exit status.
 */
#ifndef CLIENTS_LAPWING_CLI_H
#define CLIENTS_LAPWING_CLI_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

enum output { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_CSV };

struct cli {
    const char *url;    /* http://host:port */
    const char *statsd; /* host:port */
    enum output output;
    const char *start, *end, *step; /* NULL when not given */
    const char *limit;
    const char *project;
    bool log;            /* send: lines are JSON logs */
    const char *data;    /* restore: the data directory */
    bool force;          /* restore: even where there is something */
    bool once;           /* top: do not refresh */
    const char *profile; /* explain: a dialect */
    char **arguments;    /* behind the command */
    int argument_count;
};

/* A row of the command table. */
struct command {
    const char *name;
    const char *arguments;
    const char *help;
    int (*run)(const struct cli *cli);
};

int command_query(const struct cli *cli);
int command_logs(const struct cli *cli);
int command_issues(const struct cli *cli);
int command_send(const struct cli *cli);
int command_compact(const struct cli *cli);
int command_backup(const struct cli *cli);
int command_restore(const struct cli *cli);
int command_check_data(const struct cli *cli);
int command_test(const struct cli *cli);
int command_check(const struct cli *cli);
int command_top(const struct cli *cli);
int command_explain(const struct cli *cli);
int command_tap(const struct cli *cli);

/* --- admin.c --- */
/* Becomes lapwingd, the one beside this program or else the one on the PATH; comes back, with the exit
 * status, only when that cannot be. */
int become_daemon(char *const *arguments);

/* --- http.c --- */
struct parameter {
    const char *name;
    const char *value; /* NULL: left out */
};
/* GET path?parameters. 0 and *body (free it) on 2xx; otherwise prints what the server said. */
int http_get(const struct cli *cli, const char *path, const struct parameter *parameters,
             size_t count, char **body);
/* GET path?parameter, without an end: each(arg, line) for every line that comes, until it says false or the
 * server ends. 0, or 1 after a complaint. */
int http_get_lines(const struct cli *cli, const char *path, const struct parameter *parameter,
                   bool (*each)(void *arg, char *line), void *arg);
int http_post(const struct cli *cli, const char *path, const char *data, char **body);
/* As http_post, with JSON, for what may take hours. */
int http_post_patiently(const struct cli *cli, const char *path, const char *data, char **body);
/* The body parsed; NULL after a complaint when it is no JSON. Delete with cJSON_Delete. */
cJSON *json_of(const char *body);

/* --- text.c --- */
/* A table that is printed when complete: columns as wide as their widest cell. */
struct grid;
struct grid *grid_new(size_t columns);
/* The text is copied. Cells fill rows from left to right. */
void grid_add(struct grid *grid, const char *text);
void grid_print(const struct grid *grid, enum output output);
void grid_free(struct grid *grid);
/* name{a="b"} of a Prometheus "metric" object; free it. */
char *series_name(const cJSON *metric);
/* One of eight block characters a value, scaled between the smallest and the largest; at most
 * `width` characters, neighbours averaged. Free it. */
char *sparkline(const double *values, size_t count, size_t width);
/* Seconds since 1970 as 2026-01-02 03:04:05 UTC; free it. */
char *time_text(double seconds);
/* Allocation that ends the program instead of failing. */
void *must(void *at);

#endif
