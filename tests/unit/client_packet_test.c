/* The C client's packets: when they leave, what becomes of them when nobody receives or reads, and
 * what threads and forks share of them. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/unit/client_fixture.h"

/* --- packets --- */

static size_t lines_in(const char *datagram)
{
    size_t lines = 1;
    while ((datagram = strchr(datagram, '\n'))) {
        datagram++;
        lines++;
    }
    return lines;
}

static void packets_hold_whole_lines(void **state)
{
    (void)state;
    static struct receiver receiver;
    size_t lines = 0;
    open_udp(&receiver);
    struct lapwing *client = open_client(&receiver);
    for (int i = 0; i < 1000; i++)
        lapwing_increment(client, "a", NULL); /* 239 of them would be a packet of 1,433 bytes */
    lapwing_close(client);
    while (lines < 1000) {
        receive(&receiver);
        lines += lines_in(receiver.datagram);
        assert_int_equal(strlen(receiver.datagram), lines < 1000 ? 1427 : (1000 % 238) * 6 - 1);
        assert_int_equal(receiver.datagram[0], 'a');
    }
    assert_int_equal(lines, 1000);
    assert_false(receive_more(&receiver));
    close(receiver.fd);
}

static void old_packets_leave_with_the_next_call(void **state)
{
    (void)state;
    static struct receiver receiver;
    const struct timespec nap = {.tv_nsec = 30000000};
    open_udp(&receiver);
    struct lapwing_options options = {.address = receiver.address, .max_delay_ms = 2};
    struct lapwing *client = lapwing_open(&options);
    lapwing_increment(client, "a", NULL);
    nanosleep(&nap, NULL);
    lapwing_increment(client, "b", NULL);
    receives(&receiver, "a:1|c\nb:1|c");
    lapwing_close(client);
    options.max_delay_ms = -1;
    client = lapwing_open(&options);
    lapwing_increment(client, "c", NULL);
    receives(&receiver, "c:1|c");
    lapwing_close(client);
    close(receiver.fd);
}

/* --- receivers that are not there --- */

/* As good as closed, but that nobody else gets the port: connected to itself, it takes nothing from
 * others, and the kernel tells them so. */
static void refuse_all(struct receiver *receiver)
{
    struct sockaddr_in at;
    socklen_t len = sizeof at;
    assert_int_equal(getsockname(receiver->fd, (struct sockaddr *)&at, &len), 0);
    assert_int_equal(connect(receiver->fd, (const struct sockaddr *)&at, len), 0);
}

static void a_closed_port_costs_only_the_metrics(void **state)
{
    (void)state;
    static struct receiver receiver;
    const struct timespec nap = {.tv_nsec = 1000000};
    struct lapwing_stats stats = {0};
    uint64_t calls = 0;
    open_udp(&receiver);
    struct lapwing *client = open_client(&receiver);
    refuse_all(&receiver);
    /* The kernel tells of it soon, not at once. */
    while (stats.dropped[LAPWING_DROP_REFUSED] < 10 && calls < RECEIVE_MS) {
        errno = 77;
        lapwing_increment(client, "a", NULL);
        lapwing_flush(client);
        assert_int_equal(errno, 77);
        stats = lapwing_stats(client);
        assert_int_equal(stats.sent + stats.dropped[LAPWING_DROP_REFUSED], ++calls);
        nanosleep(&nap, NULL);
    }
    assert_int_equal(stats.dropped[LAPWING_DROP_REFUSED], 10);
    lapwing_close(client);
    close(receiver.fd);
}

static void a_unix_socket_may_come_and_go(void **state)
{
    (void)state;
    static struct receiver receiver;
    name_unix(&receiver);
    struct lapwing *client = open_client(&receiver);
    lapwing_increment(client, "early", NULL);
    lapwing_flush(client);
    assert_int_equal(lapwing_stats(client).dropped[LAPWING_DROP_REFUSED], 1);
    for (int life = 0; life < 3; life++) {
        open_unix(&receiver);
        lapwing_increment(client, "a", NULL);
        lapwing_flush(client);
        receives(&receiver, "a:1|c");
        close_unix(&receiver);
    }
    assert_int_equal(lapwing_stats(client).sent, 3);
    lapwing_close(client);
}

static void a_full_receiver_is_not_waited_for(void **state)
{
    (void)state;
    static struct receiver receiver;
    uint64_t received = 0;
    name_unix(&receiver);
    open_unix(&receiver);
    struct lapwing *client = open_client(&receiver);
    for (int i = 0; i < 10000; i++) {
        lapwing_increment(client, "a", NULL);
        lapwing_flush(client);
    }
    struct lapwing_stats stats = lapwing_stats(client);
    assert_true(stats.dropped[LAPWING_DROP_FULL] > 0);
    assert_int_equal(stats.sent + stats.dropped[LAPWING_DROP_FULL], 10000);
    while (receive_more(&receiver))
        received++;
    assert_int_equal(received, stats.sent);
    lapwing_close(client);
    close_unix(&receiver);
}

/* --- threads and processes --- */

#define THREADS 4
#define CALLS   20000

static void *count_up(void *client)
{
    for (int i = 0; i < CALLS; i++)
        lapwing_increment(client, "a.counter", "route:/buy");
    return NULL;
}

/* A unix socket loses nothing that the client does not know of. */
static void threads_share_a_client(void **state)
{
    (void)state;
    static struct receiver receiver;
    pthread_t threads[THREADS];
    size_t received = 0;
    name_unix(&receiver);
    open_unix(&receiver);
    struct lapwing *client = open_client(&receiver);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, client), 0);
    for (int i = 0; i < THREADS; i++) {
        while (receive_more(&receiver))
            received += lines_in(receiver.datagram);
        pthread_join(threads[i], NULL);
    }
    while (receive_more(&receiver))
        received += lines_in(receiver.datagram);
    lapwing_flush(client);
    while (receive_more(&receiver))
        received += lines_in(receiver.datagram);
    struct lapwing_stats stats = lapwing_stats(client);
    assert_int_equal(stats.sent + all_drops(&stats), THREADS * CALLS);
    assert_int_equal(stats.sent, received);
    lapwing_close(client);
    close_unix(&receiver);
}

static bool kernel_wipes_on_fork(void)
{
    void *at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool wipes = madvise(at, 4096, MADV_WIPEONFORK) == 0;
    munmap(at, 4096);
    return wipes;
}

static void a_fork_does_not_send_twice(void **state)
{
    (void)state;
    static struct receiver receiver;
    int status;
    if (!kernel_wipes_on_fork())
        return; /* the header says what happens then */
    open_udp(&receiver);
    struct lapwing *client = open_client(&receiver);
    lapwing_increment(client, "parent", NULL);
    pid_t child = fork();
    if (child == 0) {
        lapwing_increment(client, "child", NULL);
        lapwing_flush(client);
        _exit(lapwing_stats(client).sent == 1 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    receives(&receiver, "child:1|c");
    lapwing_close(client);
    receives(&receiver, "parent:1|c");
    close(receiver.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_hold_whole_lines),
        cmocka_unit_test(old_packets_leave_with_the_next_call),
        cmocka_unit_test(a_closed_port_costs_only_the_metrics),
        cmocka_unit_test(a_unix_socket_may_come_and_go),
        cmocka_unit_test(a_full_receiver_is_not_waited_for),
        cmocka_unit_test(threads_share_a_client),
        cmocka_unit_test(a_fork_does_not_send_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
