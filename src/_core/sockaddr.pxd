# Addresses as sockets have them.

cdef extern from "sys/socket.h" nogil:
    ctypedef unsigned int socklen_t
    int AF_INET
    int AF_INET6
    int AF_UNIX
    cdef struct sockaddr:
        unsigned short sa_family
    cdef struct sockaddr_storage:
        unsigned short ss_family


cdef bytes sockaddr_of(str host, int port, unsigned int scope)
cdef bytes sockaddr_of_path(str path)
cdef object name_of(const sockaddr_storage* address)
