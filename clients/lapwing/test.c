/* test: unit tests of rules, and rule files checked. The rule engine is the daemon's, so it is lapwingd
 * that does it, without serving anything.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/lapwing/cli.h"

static int run_daemon(const struct cli *cli, const char *command, const char *flag)
{
    int count = cli->argument_count;
    if (count < 2 || strcmp(cli->arguments[0], "rules") != 0) {
        fprintf(stderr, "lapwing: say what: lapwing %s rules FILE...\n", command);
        return 2;
    }
    char name[] = "lapwingd";
    char *flag_copy = must(strdup(flag));
    char **arguments = must(calloc((size_t)count + 2, sizeof *arguments));
    arguments[0] = name;
    arguments[1] = flag_copy;
    memcpy(arguments + 2, cli->arguments + 1, (size_t)(count - 1) * sizeof *arguments);
    int status = become_daemon(arguments);
    free(arguments);
    free(flag_copy);
    return status;
}

int command_test(const struct cli *cli)
{
    return run_daemon(cli, "test", "--test-rules");
}

int command_check(const struct cli *cli)
{
    return run_daemon(cli, "check", "--check-rules");
}
