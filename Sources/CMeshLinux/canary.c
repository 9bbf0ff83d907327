#define _GNU_SOURCE
#include "cmesh_canary.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif
#ifndef SO_COOKIE
#define SO_COOKIE 57
#endif

union name {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static socklen_t name_of(int family, uint32_t address, uint16_t port, union name *name)
{
    memset(name, 0, sizeof(*name));
    if (family == AF_INET) {
        name->v4.sin_family = AF_INET;
        name->v4.sin_port = htons(port);
        name->v4.sin_addr.s_addr = htonl(address);
        return sizeof(name->v4);
    }
    const uint32_t mapped = htonl(0xffff), last = htonl(address);
    name->v6.sin6_family = AF_INET6;
    name->v6.sin6_port = htons(port);
    memcpy(&name->v6.sin6_addr.s6_addr[8], &mapped, 4);
    memcpy(&name->v6.sin6_addr.s6_addr[12], &last, 4);
    return sizeof(name->v6);
}

int cmesh_canary_prepare(int fd, int family)
{
    const int on = 1, off = 0;
    if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0)
        return -errno;
    /* The port is chosen by connect: until then the socket takes none from the workload. */
    if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) < 0)
        return -errno;
    union name name;
    socklen_t size = name_of(family, INADDR_LOOPBACK, 0, &name);
    return bind(fd, &name.any, size) < 0 ? -errno : 0;
}

int cmesh_canary_connect(int fd, int family, uint32_t address, uint16_t port)
{
    union name name;
    socklen_t size = name_of(family, address, port, &name);
    return connect(fd, &name.any, size) < 0 ? -errno : 0;
}

int cmesh_canary_reset(int fd)
{
    const struct sockaddr none = {.sa_family = AF_UNSPEC};
    return connect(fd, &none, sizeof(none)) < 0 ? -errno : 0;
}

ssize_t cmesh_canary_read(int fd, void *bytes, size_t capacity)
{
    ssize_t count = recv(fd, bytes, capacity, MSG_DONTWAIT);
    return count < 0 ? -errno : count;
}

int cmesh_socket_cookie(int fd, uint64_t *cookie)
{
    socklen_t size = sizeof(*cookie);
    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, cookie, &size) < 0 ? -errno : 0;
}
