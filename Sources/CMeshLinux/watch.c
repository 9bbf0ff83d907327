#define _GNU_SOURCE
#include "cmesh_watch.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cmesh_netns.h"

#define MOST_READY 64

int cmesh_watch_open(void)
{
    int set = epoll_create1(EPOLL_CLOEXEC);
    return set < 0 ? -errno : set;
}

int cmesh_watch_add(int set, int fd, uint64_t token)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = token};
    return epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int cmesh_watch_ready(int set, int timeout_ms, uint64_t *tokens, size_t capacity)
{
    struct epoll_event events[MOST_READY];
    int most = capacity < MOST_READY ? (int)capacity : MOST_READY;
    if (most == 0)
        return 0;
    int count = epoll_wait(set, events, most, timeout_ms);
    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < count; i++)
        tokens[i] = events[i].data.u64;
    return count;
}

int cmesh_route_watch(int netns)
{
    int fd = cmesh_netns_socket(netns, AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd < 0)
        return fd;
    struct sockaddr_nl name = {
        .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR};
    if (bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

static void note(const struct nlmsghdr *message, uint32_t *indexes, size_t capacity, size_t *count, int *more)
{
    if (message->nlmsg_type != RTM_NEWLINK && message->nlmsg_type != RTM_DELLINK)
        return;
    if (message->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifinfomsg)))
        return;
    const struct ifinfomsg *link = NLMSG_DATA(message);
    if (*count < capacity)
        indexes[(*count)++] = (uint32_t)link->ifi_index;
    else
        *more = 1;
}

int cmesh_route_drain(int fd, uint32_t *indexes, size_t capacity, size_t *count)
{
    *count = 0;
    int more = 0;
    /* Bounded: whoever makes events faster than they are read is asked again in the next turn. */
    for (int datagram = 0; datagram < 1024; datagram++) {
        _Alignas(struct nlmsghdr) char bytes[16384];
        struct sockaddr_nl sender;
        struct iovec part = {.iov_base = bytes, .iov_len = sizeof(bytes)};
        struct msghdr message = {.msg_name = &sender, .msg_namelen = sizeof(sender), .msg_iov = &part, .msg_iovlen = 1};
        ssize_t received = recvmsg(fd, &message, MSG_DONTWAIT);
        if (received < 0 && errno == EINTR)
            continue;
        if (received < 0 && errno == EAGAIN)
            return more;
        /* Too many to keep: some are lost. */
        if (received < 0 && errno == ENOBUFS) {
            more = 1;
            continue;
        }
        if (received < 0)
            return -errno;
        if (message.msg_flags & MSG_TRUNC)
            more = 1;
        if (sender.nl_pid != 0)
            continue;
        unsigned int rest = (unsigned int)received;
        for (const struct nlmsghdr *one = (const struct nlmsghdr *)bytes; NLMSG_OK(one, rest); one = NLMSG_NEXT(one, rest))
            note(one, indexes, capacity, count, &more);
    }
    return 1;
}
