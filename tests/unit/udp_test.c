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
    assert_int_equal(batch.truncated, 1);
    assert_int_equal(batch.count, 1);
    assert_true(slice_equal(batch.datagrams[0], SLICE("a:1|c")));
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
        cmocka_unit_test(kernel_drops_are_seen_without_another_datagram),
        cmocka_unit_test(oversized_unix_datagrams_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
