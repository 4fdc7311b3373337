/* config_load: a configuration file through the table of options, and the few checks that span two
 * of them.
 */
#include <arpa/inet.h>
#include <string.h>

#include "server/config_options.h"

#define CONFIG_BYTES_MAX ((size_t)1 << 20)

/* 127.0.0.0/8, [::1] or localhost; a name that merely starts with "127." is none. */
static bool is_loopback(const char *address)
{
    char host[64];
    struct in_addr ip;
    size_t len = (size_t)(strrchr(address, ':') - address);
    if (len >= sizeof host)
        return false;
    memcpy(host, address, len);
    host[len] = 0;
    if (inet_pton(AF_INET, host, &ip) == 1)
        return (ntohl(ip.s_addr) >> 24) == 127;
    return strcmp(host, "[::1]") == 0 || strcmp(host, "localhost") == 0;
}

static bool is_web_address(const char *url)
{
    return strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
}

/* What no single row can say. */
static int config_check(const struct config *config, const char *name, struct error *err)
{
    if (!*config->data_dir)
        return error_set(err, ERROR_BAD_DATA,
                         "%s: data_dir is empty; name a directory such as ./data", name);
    if (!*config->http.listen)
        return error_set(err, ERROR_BAD_DATA,
                         "%s: http.listen is empty; give an address such as 127.0.0.1:8127", name);
    if (!is_loopback(config->http.listen))
        return error_set(err, ERROR_BAD_DATA,
                         "%s: http.listen is %s, which other machines can reach, and there is no "
                         "authentication yet; listen on 127.0.0.1 and put a proxy that "
                         "authenticates before it",
                         name, config->http.listen);
    if (*config->statsd.admin && !is_loopback(config->statsd.admin))
        return error_set(err, ERROR_BAD_DATA,
                         "%s: statsd.admin is %s, which other machines can reach, and it has no "
                         "password; listen on 127.0.0.1",
                         name, config->statsd.admin);
    if (*config->alerting.webhook.url && !is_web_address(config->alerting.webhook.url))
        return error_set(err, ERROR_BAD_DATA,
                         "%s: alerting.webhook.url must start with http:// or https://, not \"%s\"",
                         name, config->alerting.webhook.url);
    return 0;
}

int config_parse(struct slice text, const char *name, struct arena *arena, struct config *out,
                 struct error *err)
{
    struct yaml_node *root;
    memset(out, 0, sizeof *out);
    if (yaml_parse(text, name, arena, &root, err) != 0)
        return -1;
    struct option_source source = {.map = root, .name = name, .arena = arena};
    if (option_load(config_options, config_option_count, &source, out, err) != 0)
        return -1;
    return config_check(out, name, err);
}

static int resolve(const char *path, struct arena *arena, const char **named)
{
    const char *slash = strrchr(path, '/');
    int dir = slash ? (int)(slash - path) + 1 : 0;
    if (**named == '/' || !**named)
        return 0;
    *named = arena_format(arena, "%.*s%s", dir, path, *named).at;
    return *named ? 0 : -1;
}

/* What a file names is relative to that file, so that it can be used from any directory. */
static int resolve_files(const char *path, struct arena *arena, struct config *config)
{
    for (size_t i = 0; i < config->rule_files.count; i++)
        if (resolve(path, arena, &config->rule_files.at[i]) != 0)
            return -1;
    return resolve(path, arena, &config->statsd.mapping_file);
}

int config_load(const char *path, struct arena *arena, struct config *out, struct error *err)
{
    struct slice text = {"", 0};
    if (!path)
        return config_parse(text, "defaults", arena, out, err);
    if (file_read(path, CONFIG_BYTES_MAX, arena, &text, err) != 0)
        return error_wrap(err, "configuration");
    if (config_parse(text, path, arena, out, err) != 0)
        return -1;
    if (resolve_files(path, arena, out) != 0)
        return error_set(err, ERROR_TOO_LARGE, "%s is too large", path);
    return 0;
}

void config_print(const struct config *config, struct buffer *out)
{
    option_print(config_options, config_option_count, config, out);
}

void config_document(struct buffer *out)
{
    buffer_append_string(
        out,
        "# Configuration\n\n"
        "Written by `lapwingd --document-config`; change `server/config.c` instead.\n\n"
        "One YAML file, given with `--config FILE`. Every option has a default, so that no file at "
        "all\nis a working server. A dot in a key is a level in the file: `http.listen` is\n"
        "`http: { listen: \"127.0.0.1:8127\" }`. `${NAME}` is replaced from the environment,\n"
        "`${NAME:-text}` with a default; `$${` stands for a plain `${`. Durations are written\n"
        "`250ms`, `10s`, `1h30m`, `30d`; sizes `64KiB`, `16MiB`. An unknown option is an error.\n"
        "`--check-config` checks a file, `--print-config` prints it with all defaults.\n\n");
    option_document(config_options, config_option_count, out);
}
