/* socket and udp: addresses, batches, truncation and the kernel's drop count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "server/net/socket.h"
#include "server/net/udp.h"

static int open_udp(void)
{
    struct error err;
    int fd;
    assert_int_equal(socket_open("127.0.0.1:0", SOCK_DGRAM, &fd, &err), 0);
    return fd;
}

static int connect_to(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void bad_addresses_get_a_sentence(void **state)
{
    (void)state;
    static const char *const addresses[] = {"8125", "127.0.0.1:x", "192.0.2.1:0"};
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        struct error err = {0};
        int fd = -1;
        assert_int_equal(socket_open(addresses[i], SOCK_DGRAM, &fd, &err), -1);
        assert_non_null(strstr(err.text, addresses[i]));
    }
}

static void only_the_owner_shares_a_port(void **state)
{
    (void)state;
    static const int types[] = {SOCK_DGRAM, SOCK_STREAM};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct error err;
        char address[32];
        int first, second = -1, stranger = -1;
        assert_int_equal(socket_open("127.0.0.1:0", types[i], &first, &err), 0);
        snprintf(address, sizeof address, "127.0.0.1:%d", socket_port(first));
        assert_int_equal(socket_open_again(first, types[i], &second, &err), 0);
        assert_int_equal(socket_port(first), socket_port(second));
        assert_int_equal(socket_open(address, types[i], &stranger, &err), -1);
        close(first);
        close(second);
    }
}

static void brackets_mean_ipv6(void **state)
{
    (void)state;
    struct error err;
    int fd;
    if (socket_open("[::1]:0", SOCK_STREAM, &fd, &err))
        return; /* a machine without IPv6 */
    assert_true(socket_port(fd) > 0);
    close(fd);
}

static void batches_keep_order_and_bounds(void **state)
{
    (void)state;
    struct udp_receiver *receiver = udp_receiver_new();
    struct udp_batch batch;
    int in = open_udp(), out = connect_to(socket_port(in));
    assert_int_equal(udp_receive(receiver, in, &batch), 0);
    for (int i = 0; i < UDP_BATCH_MAX + 10; i++) {
        char text[16];
        int len = snprintf(text, sizeof text, "m%d:1|c", i);
        assert_int_equal(send(out, text, (size_t)len, 0), len);
    }
    assert_int_equal(udp_receive(receiver, in, &batch), UDP_BATCH_MAX);
    assert_true(slice_equal(batch.datagrams[0], SLICE("m0:1|c")));
    assert_true(slice_equal(batch.datagrams[63], SLICE("m63:1|c")));
    assert_int_equal(udp_receive(receiver, in, &batch), 10);
    assert_int_equal(batch.count, 10);
    assert_true(slice_equal(batch.datagrams[9], SLICE("m73:1|c")));
    close(in);
    close(out);
    udp_receiver_free(receiver);
}

static void senders_are_named_when_asked_for(void **state)
{
    (void)state;
    static const struct {
        bool all;
        size_t sent, named;
    } rounds[] = {
        {false, 20, UDP_NAMED_IDLE}, {false, UDP_BATCH_MAX, UDP_NAMED_IDLE},
        {false, 20, UDP_NAMED}, /* the one before was full */
        {false, 20, UDP_NAMED_IDLE}, {true, 20, 20},
        {false, 20, UDP_NAMED_IDLE},
    };
    struct udp_receiver *receiver = udp_receiver_new();
    struct udp_batch batch;
    int in = open_udp(), out[] = {connect_to(socket_port(in)), connect_to(socket_port(in))};
    for (size_t r = 0; r < sizeof rounds / sizeof rounds[0]; r++) {
        udp_name_all(receiver, rounds[r].all);
        for (size_t i = 0; i < rounds[r].sent; i++)
            assert_int_equal(send(out[i % 2], "a:1|c", 5, 0), 5);
        assert_int_equal(udp_receive(receiver, in, &batch), rounds[r].sent);
        for (size_t i = 0; i < rounds[r].sent; i++) {
            struct peer peer = udp_peer(receiver, i);
            bool named = i < rounds[r].named;
            assert_int_equal(peer.family, named ? AF_INET : 0);
            assert_int_equal(peer.port, named ? socket_port(out[i % 2]) : 0);
        }
    }
    close(in);
    close(out[0]);
    close(out[1]);
    udp_receiver_free(receiver);
}

static void peers_are_the_same_whatever_they_came_over(void **state)
{
    (void)state;
    char text[PEER_TEXT_MAX];
    struct sockaddr_in ipv4 = {.sin_family = AF_INET, .sin_port = htons(4242)};
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = htons(4242)};
    struct sockaddr_in6 loopback = {.sin6_family = AF_INET6, .sin6_port = htons(1)};
    const struct sockaddr unix_address = {.sa_family = AF_UNIX};
    inet_pton(AF_INET, "192.0.2.7", &ipv4.sin_addr);
    inet_pton(AF_INET6, "::ffff:192.0.2.7", &mapped.sin6_addr);
    inet_pton(AF_INET6, "::1", &loopback.sin6_addr);
    struct peer a = peer_of((const struct sockaddr *)&ipv4, sizeof ipv4);
    struct peer b = peer_of((const struct sockaddr *)&mapped, sizeof mapped);
    assert_memory_equal(&a, &b, sizeof a);
    peer_print(&a, text);
    assert_string_equal(text, "192.0.2.7:4242");
    a = peer_host(a);
    peer_print(&a, text);
    assert_string_equal(text, "192.0.2.7");
    a = peer_of((const struct sockaddr *)&loopback, sizeof loopback);
    peer_print(&a, text);
    assert_string_equal(text, "[::1]:1");
    a = peer_of(&unix_address, sizeof unix_address.sa_family);
    peer_print(&a, text);
    assert_string_equal(text, "unix");
    a = peer_of(&unix_address, 0);
    peer_print(&a, text);
    assert_string_equal(text, "unknown");
}

static void kernel_drops_are_seen_without_another_datagram(void **state)
{
    (void)state;
    static char bulk[8192];
    struct udp_receiver *receiver = udp_receiver_new();
    struct udp_batch batch;
    int in = open_udp(), out = connect_to(socket_port(in));
    udp_set_receive_buffer(in, 65536);
    size_t sent = 0, received = 0, n;
    for (; sent < 500; sent++)
        assert_int_equal(send(out, bulk, sizeof bulk, 0), sizeof bulk);
    uint32_t drops = udp_kernel_drops(in);
    while ((n = udp_receive(receiver, in, &batch)))
        received += n;
    assert_true(drops > 0);
    assert_int_equal(received + drops, sent);
    close(in);
    close(out);
    udp_receiver_free(receiver);
}

static void oversized_unix_datagrams_are_told(void **state)
{
    (void)state;
    static char bulk[UDP_DATAGRAM_MAX + 1];
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    struct udp_receiver *receiver = udp_receiver_new();
    struct udp_batch batch;
    struct error err;
    int in, out = socket(AF_UNIX, SOCK_DGRAM, 0);
    char directory[] = "/tmp/udp_test.XXXXXX";
    assert_non_null(mkdtemp(directory));
    snprintf(to.sun_path, sizeof to.sun_path, "%s/statsd.sock", directory);
    assert_int_equal(socket_open_unix(to.sun_path, SOCK_DGRAM, &in, &err), 0);
    close(in);
    /* The stale file is no obstacle. */
    assert_int_equal(socket_open_unix(to.sun_path, SOCK_DGRAM, &in, &err), 0);
    assert_int_equal(connect(out, (const struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(send(out, bulk, sizeof bulk, 0), sizeof bulk);
    assert_int_equal(send(out, "a:1|c", 5, 0), 5);
    assert_int_equal(udp_receive(receiver, in, &batch), 2);
    assert_int_equal(batch.truncated, 1); /* the first one, of which this is the head */
    assert_int_equal(batch.datagrams[0].len, UDP_DATAGRAM_MAX);
    assert_true(slice_equal(batch.datagrams[1], SLICE("a:1|c")));
    close(in);
    close(out);
    unlink(to.sun_path);
    rmdir(directory);
    udp_receiver_free(receiver);
}

static void only_what_is_stale_is_removed(void **state)
{
    (void)state;
    static const int types[] = {SOCK_DGRAM, SOCK_STREAM};
    char directory[] = "/tmp/udp_test.XXXXXX", path[64];
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/statsd.sock", directory);
    for (size_t i = 0; i < 2; i++) {
        struct error err = {0};
        int fd, other;
        assert_int_equal(socket_open_unix(path, types[i], &fd, &err), 0);
        for (size_t k = 0; k < 2; k++) { /* it lives, whatever the other wants it to be */
            assert_int_equal(socket_open_unix(path, types[k], &other, &err), -1);
            assert_non_null(strstr(err.text, path));
            assert_int_equal(access(path, F_OK), 0);
        }
        close(fd);
        assert_int_equal(socket_open_unix(path, types[1 - i], &fd, &err), 0);
        close(fd);
    }
    unlink(path);
    fclose(fopen(path, "w"));
    struct error err = {0};
    int fd;
    assert_int_equal(socket_open_unix(path, SOCK_DGRAM, &fd, &err), -1);
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
    rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_addresses_get_a_sentence),
        cmocka_unit_test(only_the_owner_shares_a_port),
        cmocka_unit_test(only_what_is_stale_is_removed),
        cmocka_unit_test(brackets_mean_ipv6),
        cmocka_unit_test(batches_keep_order_and_bounds),
        cmocka_unit_test(senders_are_named_when_asked_for),
        cmocka_unit_test(peers_are_the_same_whatever_they_came_over),
        cmocka_unit_test(kernel_drops_are_seen_without_another_datagram),
        cmocka_unit_test(oversized_unix_datagrams_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
