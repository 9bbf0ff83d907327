/* Netlink requests inside a namespace, for the files of this target only. */
#pragma once

#include <linux/netlink.h>
#include <stddef.h>

/* A growing array with an upper bound. `items` is malloc'ed and the caller's in the end. */
struct cmesh_list {
    void *items;
    size_t count;
    size_t capacity;
    size_t size;  /* of one item */
    size_t limit; /* most items: past it -EMSGSIZE */
};

int cmesh_list_add(struct cmesh_list *list, const void *item);

/* A netlink socket of the namespace with a receive timeout: descriptor or -errno. */
int cmesh_netlink_open(int netns, int protocol);

/* Sends one request and hands every answer to `visit` until NLMSG_DONE, an error, or, without NLM_F_DUMP, the
 * acknowledgement (NLM_F_ACK is needed then). 0 or -errno: -EINTR for a dump that changed under the reader. */
int cmesh_netlink_request(
    int socket, const void *request, int (*visit)(const struct nlmsghdr *answer, void *context), void *context);
