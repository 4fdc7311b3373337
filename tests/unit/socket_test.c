/* socket: a stop loses nothing that its senders do not know of. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/net/socket.h"
#include "server/net/udp.h"

#define SENDERS 2
#define ROUNDS  10

struct sender {
    pthread_t thread;
    int port;
    int64_t taken; /* datagrams that were not refused */
};

static void *send_until_refused(void *arg)
{
    struct sender *sender = arg;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)sender->port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (connect(fd, (const struct sockaddr *)&to, sizeof to) == 0)
        while (send(fd, "a:1|c", 5, 0) == 5)
            sender->taken++;
    sender->taken--; /* that one came back, and the next send said so */
    close(fd);
    return NULL;
}

static int64_t read_empty(struct udp_receiver *receiver, int fd)
{
    struct udp_batch batch;
    int64_t total = 0;
    for (size_t n; (n = udp_receive(receiver, fd, &batch)) > 0; total += (int64_t)n)
        continue;
    return total;
}

static void senders_know_what_a_shut_socket_refuses(void **state)
{
    struct udp_receiver *receiver = udp_receiver_new();
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct sender senders[SENDERS] = {0};
        struct udp_batch batch;
        struct error err;
        int64_t received = 0, taken = 0;
        int fd;
        assert_int_equal(socket_open(round % 2 ? "127.0.0.1:0" : ":0", SOCK_DGRAM, &fd, &err), 0);
        for (int i = 0; i < SENDERS; i++) {
            senders[i].port = socket_port(fd);
            assert_int_equal(
                pthread_create(&senders[i].thread, NULL, send_until_refused, &senders[i]), 0);
        }
        while (received < 2000)
            received += (int64_t)udp_receive(receiver, fd, &batch);
        socket_shut(fd);
        socket_settle();
        received += read_empty(receiver, fd);
        for (int i = 0; i < SENDERS; i++) {
            pthread_join(senders[i].thread, NULL);
            taken += senders[i].taken;
        }
        assert_int_equal(read_empty(receiver, fd), 0);
        assert_int_equal(received + udp_kernel_drops(fd), taken);
        close(fd);
    }
    udp_receiver_free(receiver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(senders_know_what_a_shut_socket_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
