/* The two ends of what is measured of TCP and UDP: servers that take no time, and clients that count.

   streams serve ECHO SINK ONCE UDP         serves on these ports until it is told to end, an hour at most:
                                            one that says again whatever it hears, one that hears all and says
                                            in the end how many bytes (8, in the machine's order), one that
                                            says the first thing again and closes, and one that sends datagrams
                                            back
   streams ping PORT CONNECTIONS SECONDS    64 bytes there and back, again and again, on every connection
   streams bulk PORT CONNECTIONS SECONDS    as much as goes through, then waits for how much has arrived
   streams new PORT CONNECTIONS SECONDS     connects, says 64 bytes, hears them, is closed; so many at once
   streams datagrams PORT CLIENTS SECONDS   64 bytes there and back by UDP, by every client in its turn; at most 64
                                            wait for an answer at once
   streams sessions PORT CLIENTS SECONDS    the same, but once from each address

   A client prints what it counted (round trips, MiB, connections), the seconds that took, and the 99th percentile
   of a round trip in milliseconds; 0 for bulk. It ends with status 1, and says why, when bytes are missing.
   All of it is on 127.0.0.1. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE = 64, AT_ONCE = 256, MOST_FDS = 65536, SLOTS = 1000000, BACKLOG = 4096, SERVES_FOR = 3600, UNDER_WAY = 64 };
enum { ECHO, SINK, ONCE, UDP, KINDS };

static char buffer[1 << 18];
static int watching;                    /* the epoll descriptor */
static double begun[MOST_FDS];          /* by descriptor: when it said its message */
static uint64_t heard[MOST_FDS];        /* bytes since then */
static unsigned char kind_of[MOST_FDS];
static unsigned slots[SLOTS];           /* round trips by their length in microseconds */
static long trips;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static void fail(const char *what) {
    fprintf(stderr, "streams: %s: %s\n", what, errno ? strerror(errno) : "bytes are missing");
    exit(1);
}

static struct sockaddr_in at(const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static void watch(int fd, uint32_t events, int how) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (fd >= MOST_FDS || epoll_ctl(watching, how, fd, &event)) fail("epoll_ctl");
}

static void at_once(int fd) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* ---- servers */

static void serve_one(int fd) {
    ssize_t size = read(fd, buffer, sizeof buffer);
    if (size < 0 && errno == EAGAIN) return;
    if (size > 0 && kind_of[fd] == SINK) {
        heard[fd] += size;
        return;
    }
    if (size > 0) size -= send(fd, buffer, size, MSG_NOSIGNAL);
    else if (kind_of[fd] == SINK) size = send(fd, &heard[fd], sizeof heard[fd], MSG_NOSIGNAL) < 0;
    else size = 1;
    if (size || kind_of[fd] != ECHO) close(fd);
}

static void send_back(int fd) {
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    ssize_t got;
    for (int i = 0; i < AT_ONCE; i++, size = sizeof from) {
        if ((got = recvfrom(fd, buffer, sizeof buffer, MSG_DONTWAIT, (void *)&from, &size)) < 0) return;
        sendto(fd, buffer, got, 0, (void *)&from, size);
    }
}

static void serve(char **ports) {
    struct epoll_event events[AT_ONCE];
    int listeners[KINDS], one = 1, size = 1 << 22;
    for (int kind = 0; kind < KINDS; kind++) {
        struct sockaddr_in address = at(ports[kind]);
        int type = kind == UDP ? SOCK_DGRAM : SOCK_STREAM;
        int fd = listeners[kind] = socket(AF_INET, type | SOCK_NONBLOCK, 0);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (bind(fd, (void *)&address, sizeof address)) fail("bind");
        if (kind == UDP) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
        else if (listen(fd, BACKLOG)) fail("listen");
        watch(fd, EPOLLIN, EPOLL_CTL_ADD);
    }
    alarm(SERVES_FOR);
    for (;;) {
        int count = epoll_wait(watching, events, AT_ONCE, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd, kind = 0;
            while (kind < KINDS && fd != listeners[kind]) kind++;
            if (kind == KINDS) {
                serve_one(fd);
                continue;
            }
            if (kind == UDP) {
                send_back(fd);
                continue;
            }
            fd = accept(fd, NULL, NULL);
            if (fd < 0) continue;
            at_once(fd);
            watch(fd, EPOLLIN, EPOLL_CTL_ADD);
            kind_of[fd] = kind;
            heard[fd] = 0;
        }
    }
}

/* ---- clients */

static int connected(const struct sockaddr_in *address) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (const void *)address, sizeof *address)) fail("connect");
    at_once(fd);
    return fd;
}

static void say(int fd) {
    begun[fd] = now();
    heard[fd] = 0;
    if (send(fd, buffer, MESSAGE, MSG_NOSIGNAL) != MESSAGE) fail("send");
}

/* Hear an answer; 1 when it is whole. */
static int hear(int fd) {
    ssize_t size = read(fd, buffer, MESSAGE);
    if (size <= 0) fail("an answer");
    heard[fd] += size;
    if (heard[fd] < MESSAGE) return 0;
    double took = (now() - begun[fd]) * 1e6;
    slots[took < SLOTS ? (int)took : SLOTS - 1]++;
    trips++;
    return 1;
}

static double percentile(double share) {
    long left = trips * share;
    int slot = 0;
    while (slot < SLOTS - 1 && (left -= slots[slot]) > 0) slot++;
    return slot / 1000.0;
}

static void again(const struct sockaddr_in *address) {
    int fd = connected(address);
    watch(fd, EPOLLIN, EPOLL_CTL_ADD);
    say(fd);
}

static void ping(const struct sockaddr_in *address, int connections, double seconds) {
    struct epoll_event events[AT_ONCE];
    double start = now(), end = start + seconds;
    for (int i = 0; i < connections; i++) again(address);
    while (now() < end) {
        int count = epoll_wait(watching, events, AT_ONCE, 100);
        for (int i = 0; i < count; i++)
            if (hear(events[i].data.fd)) say(events[i].data.fd);
    }
    printf("%ld %.6f %.3f\n", trips, now() - start, percentile(0.99));
}

static void anew(const struct sockaddr_in *address, int connections, double seconds) {
    struct epoll_event events[AT_ONCE];
    double start = now(), end = start + seconds;
    long closed = 0;
    for (int i = 0; i < connections; i++) again(address);
    for (int left = connections; left;) {
        int count = epoll_wait(watching, events, AT_ONCE, 10000);
        if (count == 0) fail("the end of a connection");
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (heard[fd] < MESSAGE) {
                hear(fd);
                continue;
            }
            if (read(fd, buffer, 1) != 0) fail("the end of a connection");
            close(fd);
            closed++;
            if (now() < end) again(address);
            else left--;
        }
    }
    printf("%ld %.6f %.3f\n", closed, now() - start, percentile(0.99));
}

/* A socket of UDP with a port of its own, and of an address of its own if there is a number. */
static int asking(const struct sockaddr_in *address, long number) {
    struct sockaddr_in own = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    own.sin_addr.s_addr = htonl(number ? 0x7f010000 + number % 0xfe0000 : INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (void *)&own, sizeof own)) fail("bind");
    if (connect(fd, (const void *)address, sizeof *address)) fail("connect");
    watch(fd, EPOLLIN, EPOLL_CTL_ADD);
    return fd;
}

/* All clients take turns, and no more than UNDER_WAY wait for an answer, or a buffer might lose what they say. */
static void ask(const struct sockaddr_in *address, int clients, double seconds, int once) {
    struct epoll_event events[AT_ONCE];
    static int ring[MOST_FDS];
    int size = once ? 0 : clients, next = 0, left = clients < UNDER_WAY ? clients : UNDER_WAY;
    double start, end;
    long number = 0;
    for (int i = 0; i < size; i++) ring[i] = asking(address, 0);
    start = now(), end = start + seconds;
    for (int i = 0; i < left; i++) say(once ? asking(address, ++number) : ring[next++]);
    while (left) {
        int count = epoll_wait(watching, events, AT_ONCE, 1000);
        if (count == 0) fail("an answer");
        for (int i = 0; i < count; i++) {
            if (!hear(events[i].data.fd)) fail("an answer");
            if (once) close(events[i].data.fd);
            if (now() >= end) left--;
            else say(once ? asking(address, ++number) : ring[next++ % size]);
        }
    }
    printf("%ld %.6f %.3f\n", trips, now() - start, percentile(0.99));
}

static void bulk(const struct sockaddr_in *address, int connections, double seconds) {
    struct epoll_event events[AT_ONCE];
    double start = now(), end = start + seconds;
    uint64_t total = 0, arrived;
    for (int i = 0; i < connections; i++) {
        int fd = connected(address);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        watch(fd, EPOLLOUT, EPOLL_CTL_ADD);
    }
    for (int left = connections; left;) {
        int count = epoll_wait(watching, events, AT_ONCE, 10000);
        if (count == 0) fail("a stream that goes on");
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            ssize_t size;
            if (kind_of[fd]) {
                if (read(fd, &arrived, sizeof arrived) != sizeof arrived || arrived != heard[fd]) fail("a sum");
                close(fd);
                left--;
            } else if (now() < end) {
                size = send(fd, buffer, sizeof buffer, MSG_NOSIGNAL);
                if (size < 0 && errno != EAGAIN) fail("send");
                if (size > 0) {
                    heard[fd] += size;
                    total += size;
                }
            } else {
                shutdown(fd, SHUT_WR);
                kind_of[fd] = 1;
                watch(fd, EPOLLIN, EPOLL_CTL_MOD);
            }
        }
    }
    printf("%llu %.6f 0\n", (unsigned long long)(total >> 20), now() - start);
}

int main(int count, char **given) {
    watching = epoll_create1(0);
    if (count == 6 && !strcmp(given[1], "serve")) serve(given + 2);
    if (count == 5) {
        struct sockaddr_in address = at(given[2]);
        int connections = atoi(given[3]);
        double seconds = atof(given[4]);
        errno = 0;
        if (!strcmp(given[1], "ping")) return ping(&address, connections, seconds), 0;
        if (!strcmp(given[1], "bulk")) return bulk(&address, connections, seconds), 0;
        if (!strcmp(given[1], "datagrams")) return ask(&address, connections, seconds, 0), 0;
        if (!strcmp(given[1], "sessions")) return ask(&address, connections, seconds, 1), 0;
        if (!strcmp(given[1], "new")) return anew(&address, connections, seconds), 0;
    }
    fprintf(stderr, "streams: serve ECHO SINK ONCE UDP, or ping, bulk, new, datagrams or sessions PORT CLIENTS SECONDS\n");
    return 2;
}
