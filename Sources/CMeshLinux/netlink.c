#define _GNU_SOURCE
#include "netlink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "cmesh_netns.h"

int cmesh_list_add(struct cmesh_list *list, const void *item)
{
    if (list->count == list->capacity) {
        if (list->count >= list->limit)
            return -EMSGSIZE;
        size_t capacity = list->capacity == 0 ? 64 : list->capacity * 2;
        if (capacity > list->limit)
            capacity = list->limit;
        void *items = realloc(list->items, capacity * list->size);
        if (items == NULL)
            return -ENOMEM;
        list->items = items;
        list->capacity = capacity;
    }
    memcpy((char *)list->items + list->count++ * list->size, item, list->size);
    return 0;
}

int cmesh_netlink_open(int netns, int protocol)
{
    int fd = cmesh_netns_socket(netns, AF_NETLINK, SOCK_RAW, protocol);
    if (fd < 0)
        return fd;
    /* The kernel answers inside send or recv; the timeout is for the answer that never comes. */
    const struct timeval timeout = {.tv_sec = 5};
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

/* One datagram. 1: finished, 0: more to come, -errno. */
static int read_answers(
    char *bytes, size_t received, __u32 sequence, int *interrupted,
    int (*visit)(const struct nlmsghdr *answer, void *context), void *context)
{
    size_t offset = 0;
    while (received - offset >= sizeof(struct nlmsghdr)) {
        const struct nlmsghdr *answer = (const struct nlmsghdr *)(bytes + offset);
        if (answer->nlmsg_len < sizeof(*answer) || answer->nlmsg_len > received - offset)
            return -EBADMSG;
        if (answer->nlmsg_seq == sequence) {
            if (answer->nlmsg_flags & NLM_F_DUMP_INTR)
                *interrupted = 1;
            if (answer->nlmsg_type == NLMSG_ERROR || answer->nlmsg_type == NLMSG_DONE) {
                /* Both begin with an int: 0 or -errno. */
                if (answer->nlmsg_len < sizeof(*answer) + sizeof(int))
                    return answer->nlmsg_type == NLMSG_DONE ? 1 : -EBADMSG;
                int code;
                memcpy(&code, NLMSG_DATA(answer), sizeof(code));
                return code < 0 ? code : 1;
            }
            int result = visit(answer, context);
            if (result < 0)
                return result;
        }
        size_t step = NLMSG_ALIGN((size_t)answer->nlmsg_len);
        if (step > received - offset)
            break;
        offset += step;
    }
    return 0;
}

int cmesh_netlink_request(
    int socket, const void *request, int (*visit)(const struct nlmsghdr *answer, void *context), void *context)
{
    const struct nlmsghdr *header = request;
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    ssize_t sent = sendto(socket, request, header->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel));
    if (sent < 0)
        return -errno;
    /* The kernel makes dump datagrams of at most 32 KiB (netlink_dump). */
    const size_t capacity = 64 * 1024;
    char *bytes = malloc(capacity);
    if (bytes == NULL)
        return -ENOMEM;
    int interrupted = 0, result = 0;
    while (result == 0) {
        struct sockaddr_nl sender;
        struct iovec part = {.iov_base = bytes, .iov_len = capacity};
        struct msghdr message = {
            .msg_name = &sender, .msg_namelen = sizeof(sender), .msg_iov = &part, .msg_iovlen = 1};
        ssize_t received = recvmsg(socket, &message, 0);
        if (received < 0 && errno == EINTR)
            continue;
        if (received < 0)
            result = errno == EAGAIN ? -ETIMEDOUT : -errno;
        else if (received == 0 || message.msg_flags & MSG_TRUNC)
            result = -EBADMSG;
        else if (sender.nl_pid == 0) /* other processes can send to us: only the kernel counts */
            result = read_answers(bytes, (size_t)received, header->nlmsg_seq, &interrupted, visit, context);
    }
    free(bytes);
    if (result < 0)
        return result;
    return interrupted ? -EINTR : 0;
}
