/* http: one request at a time with libcurl.
 *
 * Every surface of the server words its errors in its own shape; explain() knows them all, so that
 * a person sees the sentence and not the JSON around it.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/lapwing/cli.h"

#define BODY_BYTES_MAX  ((size_t)256 << 20)
#define REQUEST_SECONDS 120L
#define CONNECT_SECONDS 5L

struct body {
    char *at;
    size_t len;
};

static size_t on_bytes(char *at, size_t size, size_t count, void *arg)
{
    struct body *body = arg;
    size_t len = size * count;
    if (len > BODY_BYTES_MAX - body->len)
        return 0; /* libcurl then fails with a write error */
    body->at = must(realloc(body->at, body->len + len + 1));
    memcpy(body->at + body->len, at, len);
    body->len += len;
    body->at[body->len] = 0;
    return len;
}

static void explain(const struct cli *cli, long status, const char *body)
{
    static const char *const keys[] = {"error", "detail"};
    cJSON *json = cJSON_Parse(body);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const cJSON *text = cJSON_GetObjectItemCaseSensitive(json, keys[i]);
        if (cJSON_IsString(text)) {
            fprintf(stderr, "lapwing: %s\n", text->valuestring);
            cJSON_Delete(json);
            return;
        }
    }
    cJSON_Delete(json);
    if (status == 400) /* Loki's shape is the sentence alone */
        fprintf(stderr, "lapwing: %.*s\n", (int)strcspn(body, "\n"), body);
    else
        fprintf(stderr, "lapwing: %s answered %ld: %s\n", cli->url, status, body);
}

/* 0 when all is well, 1 after a sentence. */
static int complain(const struct cli *cli, CURLcode code, long status, const char *body)
{
    bool refused = status < 200 || status > 299;
    if (code != CURLE_OK)
        fprintf(stderr, "lapwing: cannot reach %s: %s; is lapwingd running, is --url right?\n",
                cli->url, curl_easy_strerror(code));
    else if (refused)
        explain(cli, status, body);
    return code != CURLE_OK || refused;
}

static void set_options(CURL *curl, const char *url)
{
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
    curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
}

static int perform(const struct cli *cli, CURL *curl, const char *url, char **out)
{
    struct body body = {must(calloc(1, 1)), 0};
    long status = 0;
    set_options(curl, url);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (complain(cli, code, status, body.at)) {
        free(body.at);
        return 1;
    }
    *out = body.at;
    return 0;
}

/* url + path + ?name=value&...; free it. */
static char *build_url(const struct cli *cli, CURL *curl, const char *path,
                       const struct parameter *parameters, size_t count)
{
    size_t room = strlen(cli->url) + strlen(path) + 1;
    for (size_t i = 0; i < count; i++)
        if (parameters[i].value)
            room += strlen(parameters[i].name) + 3 * strlen(parameters[i].value) + 2;
    char *url = must(malloc(room));
    size_t len = (size_t)snprintf(url, room, "%s%s", cli->url, path);
    char separator = '?';
    for (size_t i = 0; i < count; i++) {
        if (!parameters[i].value)
            continue;
        char *value = must(curl_easy_escape(curl, parameters[i].value, 0));
        len += (size_t)snprintf(url + len, room - len, "%c%s=%s", separator, parameters[i].name,
                                value);
        curl_free(value);
        separator = '&';
    }
    return url;
}

/* Lines of an answer as they come; what an error says is kept instead. */
struct lines {
    CURL *curl;
    struct body body; /* the unfinished line */
    bool (*each)(void *arg, char *line);
    void *arg;
    bool stopped;
};

static size_t on_line_bytes(char *at, size_t size, size_t count, void *arg)
{
    struct lines *lines = arg;
    long status = 0;
    curl_easy_getinfo(lines->curl, CURLINFO_RESPONSE_CODE, &status);
    if (on_bytes(at, size, count, &lines->body) != size * count)
        return 0;
    if (status < 200 || status > 299)
        return size * count;
    char *line = lines->body.at;
    for (char *end; !lines->stopped && (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        lines->stopped = !lines->each(lines->arg, line);
    }
    lines->body.len = strlen(line);
    memmove(lines->body.at, line, lines->body.len + 1);
    return lines->stopped ? 0 : size * count;
}

int http_get_lines(const struct cli *cli, const char *path, const struct parameter *parameter,
                   bool (*each)(void *arg, char *line), void *arg)
{
    CURL *curl = must(curl_easy_init());
    struct lines lines = {.curl = curl, .body = {must(calloc(1, 1)), 0}, .each = each, .arg = arg};
    char *url = build_url(cli, curl, path, parameter, 1);
    long status = 0;
    set_options(curl, url);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_line_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &lines);
    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    int failed = lines.stopped ? 0 : complain(cli, code, status, lines.body.at);
    free(lines.body.at);
    free(url);
    curl_easy_cleanup(curl);
    return failed;
}

int http_get(const struct cli *cli, const char *path, const struct parameter *parameters,
             size_t count, char **body)
{
    CURL *curl = must(curl_easy_init());
    char *url = build_url(cli, curl, path, parameters, count);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, REQUEST_SECONDS);
    int status = perform(cli, curl, url, body);
    free(url);
    curl_easy_cleanup(curl);
    return status;
}

static int post(const struct cli *cli, const char *path, const char *data, bool patiently,
                char **body)
{
    CURL *curl = must(curl_easy_init());
    struct curl_slist *headers = curl_slist_append(
        NULL, patiently ? "Content-Type: application/json" : "Content-Type: application/x-ndjson");
    char *url = build_url(cli, curl, path, NULL, 0);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, data);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)strlen(data));
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, patiently ? 0L : REQUEST_SECONDS);
    int status = perform(cli, curl, url, body);
    free(url);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return status;
}

int http_post(const struct cli *cli, const char *path, const char *data, char **body)
{
    return post(cli, path, data, false, body);
}

int http_post_patiently(const struct cli *cli, const char *path, const char *data, char **body)
{
    return post(cli, path, data, true, body);
}

cJSON *json_of(const char *body)
{
    cJSON *json = cJSON_Parse(body);
    if (!json)
        fputs("lapwing: the server's answer is not JSON; is --url a lapwing server?\n", stderr);
    return json;
}
