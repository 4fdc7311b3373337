/* account: three lists under one lock, and the refusals, which have their own.
 *
 * The lock is the worker's own and nobody else wants it but a person who looks, so taking it costs some
 * 20 ns; the worker does so a few times a batch, not a datagram.
 */
#include "server/ingest/account.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/clock.h"

static const size_t set_counts[ACCOUNT_LIST_COUNT] = {
    [ACCOUNT_METRICS] = 64,
    [ACCOUNT_SOURCES] = 16,
    [ACCOUNT_REFUSED] = 8,
};
static_assert(2 * 8 * 64 <= ACCOUNT_KEYS_MAX, "two periods of the longest list");

struct account {
    pthread_mutex_t lock;
    struct frequent *lists[ACCOUNT_LIST_COUNT];
    struct refusals *refusals;
};

const char *account_reason_name(unsigned reason)
{
    static const char *const own[] = {
        [ACCOUNT_STREAM_TOO_LONG - STATSD_REJECT_COUNT] = "tcp_line_too_long",
        [ACCOUNT_TRUNCATED - STATSD_REJECT_COUNT] = "truncated",
    };
    assert(reason < ACCOUNT_REASON_COUNT);
    return reason < STATSD_REJECT_COUNT ? statsd_reject_names[reason]
                                        : own[reason - STATSD_REJECT_COUNT];
}

struct account *account_new(void)
{
    struct account *account = alloc_zeroed(1, sizeof *account);
    pthread_mutex_init(&account->lock, NULL);
    for (size_t i = 0; i < ACCOUNT_LIST_COUNT; i++)
        account->lists[i] = frequent_new(set_counts[i]);
    account->refusals = refusals_new(ACCOUNT_REASON_COUNT);
    account_tick(account, clock_monotonic_ns() / 1000000);
    return account;
}

void account_free(struct account *account)
{
    if (!account)
        return;
    for (size_t i = 0; i < ACCOUNT_LIST_COUNT; i++)
        frequent_free(account->lists[i]);
    refusals_free(account->refusals);
    pthread_mutex_destroy(&account->lock);
    free(account);
}

static void add(struct account *account, enum account_list list, struct slice key, uint64_t count)
{
    pthread_mutex_lock(&account->lock);
    frequent_add(account->lists[list], key, count);
    pthread_mutex_unlock(&account->lock);
}

/* Only a name with a `=` in it may have tags there. What stands behind SignalFX's is left out. */
static struct slice plain_name(const struct statsd_metric *metric)
{
    if (!memchr(metric->name.at, '=', metric->name.len))
        return metric->name;
    return statsd_split_name(metric->dialect, metric->name).head;
}

void account_metric(struct account *account, const struct statsd_metric *metric, uint64_t count)
{
    add(account, ACCOUNT_METRICS, plain_name(metric), count);
}

void account_source(struct account *account, const struct peer *peer, uint64_t count)
{
    struct peer host = peer_host(*peer);
    add(account, ACCOUNT_SOURCES, slice_make(&host, sizeof host), count);
}

void account_refused(struct account *account, unsigned reason, const char *transport,
                     const struct peer *peer, struct slice line)
{
    struct peer host = peer_host(*peer);
    refusals_note(account->refusals, reason, transport, peer, line);
    add(account, ACCOUNT_REFUSED, slice_make(&host, sizeof host), 1);
}

void account_tick(struct account *account, int64_t now_ms)
{
    pthread_mutex_lock(&account->lock);
    for (size_t i = 0; i < ACCOUNT_LIST_COUNT; i++)
        frequent_tick(account->lists[i], now_ms);
    pthread_mutex_unlock(&account->lock);
}

void account_last_refusal(struct account *account, unsigned reason, struct refusal *out)
{
    refusals_last(account->refusals, reason, out);
}

size_t account_list(struct account *account, enum account_list list, struct frequent_key *out,
                    size_t room)
{
    pthread_mutex_lock(&account->lock);
    size_t count = frequent_list(account->lists[list], out, room);
    pthread_mutex_unlock(&account->lock);
    return count;
}

int64_t account_span_ms(struct account *account, int64_t now_ms)
{
    pthread_mutex_lock(&account->lock);
    int64_t span_ms = frequent_span_ms(account->lists[ACCOUNT_METRICS], now_ms);
    pthread_mutex_unlock(&account->lock);
    return span_ms;
}
