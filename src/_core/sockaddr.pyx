"""Addresses as sockets have them: made of what is configured, and told as Python's sockets tell them."""

import os

from libc.string cimport memcpy, memset

cdef extern from "arpa/inet.h" nogil:
    enum: INET6_ADDRSTRLEN
    int inet_pton(int family, const char* text, void* address)
    const char* inet_ntop(int family, const void* address, char* text, unsigned int size)
    unsigned short htons(unsigned short number)
    unsigned short ntohs(unsigned short number)
    unsigned int ntohl(unsigned int number)

cdef extern from "sys/un.h" nogil:
    cdef struct sockaddr_un:
        unsigned short sun_family
        char[108] sun_path

cdef extern from "netinet/in.h" nogil:
    cdef struct in_addr:
        pass
    cdef struct in6_addr:
        pass
    cdef struct sockaddr_in:
        unsigned short sin_family
        unsigned short sin_port
        in_addr sin_addr
    cdef struct sockaddr_in6:
        unsigned short sin6_family
        unsigned short sin6_port
        unsigned int sin6_flowinfo
        in6_addr sin6_addr
        unsigned int sin6_scope_id


cdef bytes sockaddr_of(str host, int port, unsigned int scope):
    """The sockaddr of an address; None for a name, and for an address with a zone that no scope (> 0) stands for."""
    cdef bytes text
    cdef sockaddr_in four
    cdef sockaddr_in6 six
    if "%" in host and not scope:
        return None
    text = host.partition("%")[0].encode()
    memset(&four, 0, sizeof(four))
    memset(&six, 0, sizeof(six))
    if inet_pton(AF_INET, text, &four.sin_addr) == 1:
        four.sin_family = AF_INET
        four.sin_port = htons(port)
        return (<char*>&four)[:sizeof(four)]
    if inet_pton(AF_INET6, text, &six.sin6_addr) == 1:
        six.sin6_family = AF_INET6
        six.sin6_port = htons(port)
        six.sin6_scope_id = scope
        return (<char*>&six)[:sizeof(six)]
    return None


cdef bytes sockaddr_of_path(str path):
    """The sockaddr of a unix socket; None where its path is too long for one."""
    cdef bytes text = os.fsencode(path)
    cdef sockaddr_un place
    memset(&place, 0, sizeof(place))
    if <size_t>len(text) >= sizeof(place.sun_path):
        return None
    place.sun_family = AF_UNIX
    memcpy(place.sun_path, <char*>text, len(text))
    return (<char*>&place)[:sizeof(place)]


cdef object name_of(const sockaddr_storage* address):
    """An address as socket.socket tells it."""
    cdef char[INET6_ADDRSTRLEN] text
    cdef const sockaddr_in* four = <const sockaddr_in*>address
    cdef const sockaddr_in6* six = <const sockaddr_in6*>address
    if address.ss_family == AF_INET:
        inet_ntop(AF_INET, &four.sin_addr, text, INET6_ADDRSTRLEN)
        return text.decode("ascii"), ntohs(four.sin_port)
    if address.ss_family == AF_INET6:
        inet_ntop(AF_INET6, &six.sin6_addr, text, INET6_ADDRSTRLEN)
        return text.decode("ascii"), ntohs(six.sin6_port), ntohl(six.sin6_flowinfo), six.sin6_scope_id
    return ""
