/* http_line: where requests of slow routes stand while enough of their kind are with the workers.
 *
 * A list through the connections, first come first served; main thread only. The connection's timer takes
 * out who has waited too long.
 */
#include "server/net/http_connection.h"
#include "storage/base/clock.h"

static void count_waiting(struct http_server *http, int change)
{
    http->slow_waiting += (size_t)change;
    metric_set(&http_metrics[HTTP_METRIC_WAITING], (int64_t)http->slow_waiting);
}

void line_join(struct connection *c)
{
    struct http_server *http = c->http;
    c->state = WAIT;
    c->waits_ns = clock_monotonic_ns();
    c->waiting_next = NULL;
    c->waiting_previous = http->waiting_last;
    if (http->waiting_last)
        http->waiting_last->waiting_next = c;
    else
        http->waiting_first = c;
    http->waiting_last = c;
    count_waiting(http, 1);
}

void line_leave(struct connection *c)
{
    struct http_server *http = c->http;
    if (c->waiting_previous)
        c->waiting_previous->waiting_next = c->waiting_next;
    else
        http->waiting_first = c->waiting_next;
    if (c->waiting_next)
        c->waiting_next->waiting_previous = c->waiting_previous;
    else
        http->waiting_last = c->waiting_previous;
    count_waiting(http, -1);
}
