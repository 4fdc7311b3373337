/* send: statsd lines over UDP, or JSON log lines over HTTP, from the arguments or stdin.
 *
 * Every line is sent as it is: what is wrong with it the server says (and counts). statsd lines go
 * one a datagram; logs are posted in one request and acknowledged.
 */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clients/lapwing/cli.h"

/* HOST:PORT or [HOST]:PORT, for the colons of IPv6. NULL where it is neither. */
static const char *split_address(const char *address, char *host, size_t room)
{
    const char *colon = strrchr(address, ':');
    size_t len = colon ? (size_t)(colon - address) : 0;
    if (len >= 2 && address[0] == '[' && address[len - 1] == ']') {
        address++;
        len -= 2;
    }
    if (len == 0 || len >= room || strchr(colon, ']'))
        return NULL;
    memcpy(host, address, len);
    host[len] = 0;
    return colon + 1;
}

static int connect_udp(const char *address)
{
    char host[256];
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *found = NULL;
    const char *port = split_address(address, host, sizeof host);
    if (!port) {
        fprintf(stderr, "lapwing: --statsd takes HOST:PORT, not \"%s\"\n", address);
        return -1;
    }
    int code = getaddrinfo(host, port, &hints, &found);
    if (code) {
        fprintf(stderr, "lapwing: cannot resolve %s: %s\n", address, gai_strerror(code));
        return -1;
    }
    int fd = socket(found->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
        perror("lapwing: connect");
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

static int send_line(int fd, const char *line)
{
    if (send(fd, line, strlen(line), 0) >= 0)
        return 0;
    perror("lapwing: send (is lapwingd listening there?)");
    return 1;
}

/* Calls each(arg, line) for every argument, and for every line of stdin where it is "-". */
static int for_each_line(const struct cli *cli, int (*each)(void *arg, const char *line), void *arg)
{
    char *line = NULL;
    size_t room = 0;
    int status = 0;
    for (int i = 0; i < cli->argument_count && !status; i++) {
        if (strcmp(cli->arguments[i], "-") != 0) {
            status = each(arg, cli->arguments[i]);
            continue;
        }
        for (ssize_t len; !status && (len = getline(&line, &room, stdin)) > 0;) {
            if (line[len - 1] == '\n')
                line[len - 1] = 0;
            if (line[0])
                status = each(arg, line);
        }
    }
    free(line);
    return status;
}

static int each_statsd(void *arg, const char *line)
{
    return send_line(*(int *)arg, line);
}

static int each_log(void *arg, const char *line)
{
    fprintf(arg, "%s\n", line);
    return 0;
}

static int send_logs(const struct cli *cli)
{
    char *data = NULL, *body;
    size_t len;
    FILE *out = must(open_memstream(&data, &len));
    (void)for_each_line(cli, each_log, out);
    fclose(out);
    int status = http_post(cli, "/api/logs", data, &body);
    free(data);
    if (status)
        return status;
    puts(body);
    free(body);
    return 0;
}

int command_send(const struct cli *cli)
{
    if (cli->argument_count == 0) {
        fputs("lapwing: send takes lines like api.requests:1|c, or - to read them from stdin\n",
              stderr);
        return 2;
    }
    if (cli->log)
        return send_logs(cli);
    int fd = connect_udp(cli->statsd);
    if (fd < 0)
        return 1;
    int status = for_each_line(cli, each_statsd, &fd);
    close(fd);
    return status;
}
