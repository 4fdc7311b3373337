/* notify: one easy handle, reset before every use (which keeps its connections).
 *
 * A timeout after the body went out leaves open whether the receiver took it; such a message is
 * sent again under the same Idempotency-Key. URLs may hold secrets and are never logged.
 */
#include "server/notify/notify.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/buffer.h"

#define CONNECT_TIMEOUT_MS 5000

struct notify_client {
    CURL *curl;
    char problem[CURL_ERROR_SIZE];
    struct buffer answer; /* up to NOTIFY_ANSWER_MAX bytes */
};

static void global_init(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct notify_client *notify_client_new(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct notify_client *client = alloc_zeroed(1, sizeof *client);
    pthread_once(&once, global_init);
    client->curl = curl_easy_init();
    if (!client->curl)
        abort();
    buffer_init(&client->answer, NOTIFY_ANSWER_MAX);
    return client;
}

void notify_client_free(struct notify_client *client)
{
    if (!client)
        return;
    curl_easy_cleanup(client->curl);
    buffer_release(&client->answer);
    free(client);
}

enum notify_outcome notify_classify(long status)
{
    if (status >= 200 && status < 300)
        return NOTIFY_DELIVERED;
    if (status == 408 || status == 425 || status == 429)
        return NOTIFY_RETRY;
    return status >= 400 && status < 500 ? NOTIFY_REJECTED : NOTIFY_RETRY;
}

/* Takes less than it was given once the answer is too long, which ends the transfer. */
static size_t take_answer(char *at, size_t size, size_t count, void *arg)
{
    struct notify_client *client = arg;
    buffer_append(&client->answer, at, size * count);
    return client->answer.overflow ? 0 : size * count;
}

static int is_cancelled(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                        curl_off_t up)
{
    const atomic_bool *cancel = arg;
    (void)down_total, (void)down, (void)up_total, (void)up;
    return cancel && atomic_load(cancel);
}

static void set_up(struct notify_client *client, const struct notify_post *post,
                   struct curl_slist *headers)
{
    CURL *curl = client->curl;
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, post->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "lapwing");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POST, 1L);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, post->body.at);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)post->body.len);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)post->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, client->problem);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_answer);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, client);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, is_cancelled);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, (void *)(uintptr_t)post->cancel);
}

static void read_outcome(struct notify_client *client, CURLcode code, struct notify_result *out)
{
    long status = 0;
    curl_off_t retry_after_s = 0;
    curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
    /* An answer that is merely too long has been understood. */
    bool answered = code == CURLE_OK || (code == CURLE_WRITE_ERROR && client->answer.overflow);
    if (!answered) {
        out->outcome = NOTIFY_RETRY;
        snprintf(out->why, sizeof out->why, "%s",
                 client->problem[0] ? client->problem : curl_easy_strerror(code));
        return;
    }
    out->outcome = notify_classify(status);
    curl_easy_getinfo(client->curl, CURLINFO_RETRY_AFTER, &retry_after_s);
    if (retry_after_s > 0)
        out->retry_after_ms = (retry_after_s < 86400 ? retry_after_s : 86400) * 1000;
    snprintf(out->why, sizeof out->why, "HTTP status %ld", status);
}

void notify_send(struct notify_client *client, const struct notify_post *post,
                 struct notify_result *out)
{
    char header[128];
    struct curl_slist *headers = NULL;
    snprintf(header, sizeof header, "Idempotency-Key: %s", post->idempotency_key);
    headers = curl_slist_append(headers, "Content-Type: application/json");
    headers = curl_slist_append(headers, "Expect:");
    headers = curl_slist_append(headers, header);
    *out = (struct notify_result){.outcome = NOTIFY_RETRY};
    client->problem[0] = 0;
    buffer_reset(&client->answer);
    set_up(client, post, headers);
    read_outcome(client, curl_easy_perform(client->curl), out);
    curl_slist_free_all(headers);
}
