"""Datagrams, several with one call of the system: as they were taken from a socket, and as they go out by another.

A batch lies in memory of its own, and what was received is sent from where it lies. Which address a datagram came to
is told in a control message (IP_PKTINFO, ip(7)), and an answer that is to come from there has one too.
"""

from libc.errno cimport EINTR, EINVAL, errno
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

from .sockaddr cimport sockaddr_storage, socklen_t

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <netinet/in.h>
    #include <string.h>
    #include <sys/socket.h>

    /* Turns the control message of a received datagram into that of its answer: from the address it came to,
       by whatever interface leads there. Returns its length in out, 0 for none. */
    static size_t fp_answer_from(struct msghdr *message, char *out, size_t room) {
        struct cmsghdr *each;
        struct msghdr made;
        memset(out, 0, room);
        memset(&made, 0, sizeof made);
        made.msg_control = out;
        made.msg_controllen = room;
        for (each = CMSG_FIRSTHDR(message); each != NULL; each = CMSG_NXTHDR(message, each)) {
            if (each->cmsg_level == IPPROTO_IP && each->cmsg_type == IP_PKTINFO) {
                struct in_pktinfo got, put;
                struct cmsghdr *head = CMSG_FIRSTHDR(&made);
                memcpy(&got, CMSG_DATA(each), sizeof got);
                memset(&put, 0, sizeof put);
                put.ipi_spec_dst = got.ipi_spec_dst;
                head->cmsg_level = IPPROTO_IP;
                head->cmsg_type = IP_PKTINFO;
                head->cmsg_len = CMSG_LEN(sizeof put);
                memcpy(CMSG_DATA(head), &put, sizeof put);
                return CMSG_SPACE(sizeof put);
            }
            if (each->cmsg_level == IPPROTO_IPV6 && each->cmsg_type == IPV6_PKTINFO) {
                struct in6_pktinfo got;
                struct cmsghdr *head = CMSG_FIRSTHDR(&made);
                memcpy(&got, CMSG_DATA(each), sizeof got);
                if (!IN6_IS_ADDR_LINKLOCAL(&got.ipi6_addr))
                    got.ipi6_ifindex = 0;
                head->cmsg_level = IPPROTO_IPV6;
                head->cmsg_type = IPV6_PKTINFO;
                head->cmsg_len = CMSG_LEN(sizeof got);
                memcpy(CMSG_DATA(head), &got, sizeof got);
                return CMSG_SPACE(sizeof got);
            }
        }
        return 0;
    }
    """
    cdef struct iovec:
        void* iov_base
        size_t iov_len
    cdef struct msghdr:
        void* msg_name
        socklen_t msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
        void* msg_control
        size_t msg_controllen
        int msg_flags
    cdef struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    int MSG_DONTWAIT, MSG_NOSIGNAL
    size_t fp_answer_from(msghdr* message, char* out, size_t room) noexcept nogil
    int recvmmsg(int fd, mmsghdr* messages, unsigned int count, int flags, void* timeout) noexcept nogil
    int sendmmsg(int fd, mmsghdr* messages, unsigned int count, int flags) noexcept nogil
    ssize_t sendmsg(int fd, const msghdr* message, int flags) noexcept nogil
    ssize_t c_recv "recv"(int fd, void* data, size_t size, int flags) noexcept nogil
    ssize_t c_send "send"(int fd, const void* data, size_t size, int flags) noexcept nogil

cdef enum:
    LARGEST = 65536            # bytes of room for each datagram, which has at most 65535
    APART = LARGEST + 256      # from one to the next: at a distance of 64 KiB all would share a few lines of the cache


cdef struct Datagrams:
    mmsghdr[MOST] messages
    iovec[MOST] parts
    sockaddr_storage[MOST] addresses
    char[MOST][CONTROL] controls
    char[MOST][APART] data


cdef ssize_t give(int fd, const char* data, Py_ssize_t size) noexcept nogil:
    """Send one datagram by a connected socket; returns its size, or -1 (errno)."""
    cdef ssize_t sent
    while True:
        sent = c_send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL)
        if sent >= 0 or errno != EINTR:
            return sent


cdef class Batch:
    """Room for MOST datagrams of any size: 1 MiB, of which the system gives what is used.

    of_many: they are taken from a socket to which anybody sends, and who has sent each is told.
    """

    def __cinit__(self, bint of_many):
        cdef int i
        self.all = <Datagrams*>calloc(1, sizeof(Datagrams))
        if self.all is NULL:
            raise MemoryError()
        for i in range(MOST):
            self.all.parts[i].iov_base = self.all.data[i]
            self.all.messages[i].msg_hdr.msg_iov = &self.all.parts[i]
            self.all.messages[i].msg_hdr.msg_iovlen = 1
        self.of_many = of_many
        self.worn = MOST
        self.clear()

    def __dealloc__(self):
        free(self.all)

    cdef void clear(self) noexcept nogil:
        """Forget what is here."""
        cdef msghdr* head
        cdef int i
        for i in range(self.worn):
            head = &self.all.messages[i].msg_hdr
            if self.of_many:
                head.msg_name = &self.all.addresses[i]
                head.msg_namelen = sizeof(sockaddr_storage)
                head.msg_control = self.all.controls[i]
                head.msg_controllen = CONTROL
            else:
                head.msg_name = NULL
                head.msg_namelen = 0
                head.msg_control = NULL
                head.msg_controllen = 0
            self.all.parts[i].iov_len = LARGEST
        self.count = 0
        self.worn = 0

    # -------- taking

    cdef int take(self, int fd) noexcept nogil:
        """Take what a socket has, as far as there is room; returns how many datagrams came, or -1 (errno)."""
        cdef int got, i
        while True:
            got = recvmmsg(fd, &self.all.messages[self.count], MOST - self.count, MSG_DONTWAIT, NULL)
            if got >= 0 or errno != EINTR:
                break
        if got > 0:
            for i in range(self.count, self.count + got):
                self.all.parts[i].iov_len = self.all.messages[i].msg_len
            self.count += got
            self.worn = self.count
        return got

    cdef int take_one(self, int fd) noexcept nogil:
        """As `take`, but one datagram, at two thirds of the price; who has sent it is not told."""
        cdef ssize_t got
        while True:
            got = c_recv(fd, self.all.data[self.count], LARGEST, MSG_DONTWAIT)
            if got >= 0:
                self.all.parts[self.count].iov_len = got
                self.count += 1
                self.worn = self.count
                return 1
            if errno != EINTR:
                return -1

    cdef char* data(self, int at) noexcept nogil:
        return self.all.data[at]

    cdef Py_ssize_t size(self, int at) noexcept nogil:
        return self.all.parts[at].iov_len

    cdef char* sender(self, int at) noexcept nogil:
        """The address that a datagram came from, as the system has it."""
        return <char*>&self.all.addresses[at]

    cdef Py_ssize_t sender_size(self, int at) noexcept nogil:
        return self.all.messages[at].msg_hdr.msg_namelen

    cdef bint is_of_same(self, int at, int other) noexcept nogil:
        """Whether two datagrams came from the same address."""
        cdef Py_ssize_t size = self.sender_size(at)
        return self.sender_size(other) == size and memcmp(self.sender(at), self.sender(other), size) == 0

    cdef size_t answer_from(self, int at, char* control) noexcept nogil:
        """Put into *control* (CONTROL bytes) what makes answers come from the address that a datagram came to.

        Returns how long that is; 0: nothing is known of it.
        """
        return fp_answer_from(&self.all.messages[at].msg_hdr, control, CONTROL)

    # -------- giving

    cdef void address(self, int at, const char* to, Py_ssize_t to_size, const char* control,
                      size_t control_size) noexcept nogil:
        """Say where a datagram goes, and from which address. control: as `answer_from` has made it."""
        cdef msghdr* head = &self.all.messages[at].msg_hdr
        memcpy(&self.all.addresses[at], to, to_size)
        head.msg_name = &self.all.addresses[at]
        head.msg_namelen = <socklen_t>to_size
        if control_size:
            memcpy(self.all.controls[at], control, control_size)
            head.msg_control = self.all.controls[at]
            head.msg_controllen = control_size

    cdef int pass_on(self, int fd, int first, int count) noexcept nogil:
        """Send *count* datagrams, from *first* on, by a connected socket; returns how many have gone, or -1 (errno)."""
        cdef int i, sent
        if count == 1:
            return 1 if give(fd, self.all.data[first], self.all.parts[first].iov_len) >= 0 else -1
        for i in range(first, first + count):
            self.all.messages[i].msg_hdr.msg_name = NULL
            self.all.messages[i].msg_hdr.msg_namelen = 0
            self.all.messages[i].msg_hdr.msg_control = NULL
            self.all.messages[i].msg_hdr.msg_controllen = 0
        while True:
            sent = sendmmsg(fd, &self.all.messages[first], count, MSG_DONTWAIT | MSG_NOSIGNAL)
            if sent >= 0 or errno != EINTR:
                return sent

    cdef int send_out(self, int fd, Py_ssize_t* size) noexcept nogil:
        """Send each datagram where it is addressed to; returns how many were lost. The batch is empty then.

        size: the bytes of those that went are added to it.
        """
        cdef int at = 0, sent, lost = 0
        while at < self.count:
            if self.count - at > 1:
                sent = sendmmsg(fd, &self.all.messages[at], self.count - at, MSG_DONTWAIT | MSG_NOSIGNAL)
            else:
                sent = 1 if sendmsg(fd, &self.all.messages[at].msg_hdr, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 else -1
            if sent > 0:
                for at in range(at, at + sent):
                    size[0] += self.all.parts[at].iov_len
                at += 1
            elif errno == EINVAL and self.all.messages[at].msg_hdr.msg_control is not NULL:
                # What it is to come from is no address that can be sent from.
                self.all.messages[at].msg_hdr.msg_control = NULL
                self.all.messages[at].msg_hdr.msg_controllen = 0
            elif errno != EINTR:
                at += 1        # it cannot go, or not now; another one, to somebody else, may
                lost += 1
        self.clear()
        return lost
