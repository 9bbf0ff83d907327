#define _GNU_SOURCE
#include "cmesh_netns.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
#ifndef NSFS_MAGIC
#define NSFS_MAGIC 0x6e736673
#endif

struct errand {
    int netns;
    const char *path; /* to open instead of making sockets, and just one */
    int domain;
    int type;
    int protocol;
    int *fds;
    size_t count;
    int error;
};

static void *run(void *argument)
{
    struct errand *errand = argument;
    if (setns(errand->netns, CLONE_NEWNET) < 0) {
        errand->error = errno;
        return NULL;
    }
    for (size_t made = 0; made < errand->count; made++) {
        errand->fds[made] = errand->path ? open(errand->path, O_RDONLY | O_CLOEXEC)
                                         : socket(errand->domain, errand->type | SOCK_CLOEXEC, errand->protocol);
        if (errand->fds[made] < 0) {
            errand->error = errno;
            while (made > 0)
                close(errand->fds[--made]);
            return NULL;
        }
    }
    return NULL;
}

static int send_in(struct errand *errand)
{
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error != 0)
        return -error;
    /* Enough for two system calls, on every architecture above PTHREAD_STACK_MIN. */
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    /* Signals of the process are not this thread's business: it inherits a full mask. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    error = pthread_create(&thread, &attributes, run, errand);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (error != 0)
        return -error;
    pthread_join(thread, NULL);
    return -errand->error;
}

int cmesh_netns_sockets(int netns, int domain, int type, int protocol, int *fds, size_t count)
{
    struct errand errand = {
        .netns = netns, .domain = domain, .type = type, .protocol = protocol, .fds = fds, .count = count};
    return send_in(&errand);
}

int cmesh_netns_file(int netns, const char *path)
{
    int fd = -1;
    struct errand errand = {.netns = netns, .path = path, .fds = &fd, .count = 1};
    int result = send_in(&errand);
    return result < 0 ? result : fd;
}

int cmesh_netns_socket(int netns, int domain, int type, int protocol)
{
    int fd = -1;
    int result = cmesh_netns_sockets(netns, domain, type, protocol, &fd, 1);
    return result < 0 ? result : fd;
}

int cmesh_socket_netns_cookie(int socket, uint64_t *cookie)
{
    socklen_t size = sizeof(*cookie);
    return getsockopt(socket, SOL_SOCKET, SO_NETNS_COOKIE, cookie, &size) < 0 ? -errno : 0;
}

int cmesh_netns_open(const char *path)
{
    int found = open(path, O_PATH | O_CLOEXEC);
    if (found < 0)
        return -errno;
    struct statfs system;
    if (fstatfs(found, &system) < 0) {
        int error = errno;
        close(found);
        return -error;
    }
    if (system.f_type != NSFS_MAGIC) {
        close(found);
        return -EMEDIUMTYPE;
    }
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", found);
    int fd = open(link, O_RDONLY | O_CLOEXEC);
    int error = errno;
    close(found);
    if (fd < 0)
        return -error;
    int type = ioctl(fd, NS_GET_NSTYPE);
    if (type != CLONE_NEWNET) {
        error = type < 0 ? errno : EMEDIUMTYPE;
        close(fd);
        return -error;
    }
    return fd;
}

static int cmesh_socket_name(struct cmesh_address address, uint16_t port, struct sockaddr_storage *name)
{
    memset(name, 0, sizeof(*name));
    if (address.high == 0 && address.low >> 32 == 0xffff) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)name;
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        v4->sin_addr.s_addr = htonl((uint32_t)address.low);
        return sizeof(*v4);
    }
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)name;
    uint64_t high = htobe64(address.high), low = htobe64(address.low);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    memcpy(&v6->sin6_addr.s6_addr[0], &high, 8);
    memcpy(&v6->sin6_addr.s6_addr[8], &low, 8);
    return sizeof(*v6);
}

int cmesh_bind(int socket, struct cmesh_address address, uint16_t port)
{
    const int on = 1;
    struct sockaddr_storage name;
    int size = cmesh_socket_name(address, port, &name);
    if (name.ss_family == AF_INET6 && setsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
        return -errno;
    return bind(socket, (struct sockaddr *)&name, size) < 0 ? -errno : 0;
}

int cmesh_listen(int socket, struct cmesh_address address, uint16_t port, int backlog)
{
    const int on = 1;
    if (setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
        return -errno;
    int error = cmesh_bind(socket, address, port);
    if (error < 0)
        return error;
    return listen(socket, backlog) < 0 ? -errno : 0;
}

int cmesh_bound_port(int socket)
{
    struct sockaddr_storage name;
    socklen_t size = sizeof(name);
    if (getsockname(socket, (struct sockaddr *)&name, &size) < 0)
        return -errno;
    return ntohs(name.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&name)->sin6_port
                                            : ((struct sockaddr_in *)&name)->sin_port);
}

int cmesh_connect(int socket, struct cmesh_address address, uint16_t port)
{
    struct sockaddr_storage name;
    int size = cmesh_socket_name(address, port, &name);
    return connect(socket, (struct sockaddr *)&name, size) < 0 ? -errno : 0;
}

int cmesh_socket_error(int socket)
{
    int error = 0;
    socklen_t size = sizeof(error);
    if (getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        return -errno;
    return error;
}
