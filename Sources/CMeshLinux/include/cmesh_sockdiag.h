/* The TCP sockets of a namespace: list and destroy (sock_diag(7), linux/inet_diag.h). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "cmesh_netns.h"

struct cmesh_socket {
    struct cmesh_address local;
    struct cmesh_address remote;
    uint64_t cookie; /* never used twice until the next boot */
    uint64_t cgroup; /* id of the cgroup of the process that made it; 0: not told */
    uint64_t bytes_acked;    /* of struct tcp_info; 0 unless asked for, and in states without a whole socket */
    uint64_t bytes_received;
    uint32_t interface;
    uint32_t uid;
    uint32_t inode; /* 0: no file holds it any more */
    uint16_t local_port;
    uint16_t remote_port;
    uint8_t family; /* AF_INET or AF_INET6: of the socket, not of the address */
    uint8_t state;  /* TCP_* of netinet/tcp.h */
    uint16_t zero;
};

/* Every TCP socket of the namespace that listens or is, was or will be connected, TIME_WAIT too. *found is malloc'ed: give it to
 * cmesh_free. At most `limit`, else -EMSGSIZE. `with_bytes`: the byte counters too, for which the kernel locks each socket
 * for a moment. */
int cmesh_netns_tcp_sockets(int netns, size_t limit, int with_bytes, struct cmesh_socket **found, size_t *count);

/* A socket for asking one namespace many times: entering it costs more than asking. Descriptor or -errno. */
int cmesh_diag_open(int netns);

/* Its TCP listeners, as above. After an error the socket is good for nothing more. */
int cmesh_diag_listeners(int diag, size_t limit, struct cmesh_socket **found, size_t *count);

/* How many TCP sockets listen or have a connection, without TIME_WAIT, and how many sockets of any kind there are, as
 * /proc/net/sockstat, given open, says. Costs a tenth of a list. 0, or -errno. */
int cmesh_sockets_in_use(int sockstat, uint32_t *all, uint32_t *in_v4);

/* The same of TCP over IPv6, as /proc/net/sockstat6 says. */
int cmesh_sockets_in_use6(int sockstat6, uint32_t *in_v6);

/* TCP sockets of either family on the whole host, in whatever state and namespace: any namespace's /proc/net/sockstat says it. */
int cmesh_tcp_sockets_allocated(int sockstat, uint32_t *count);

/* SOCK_DESTROY: the owner's calls fail with ECONNABORTED, the peer gets RST. Named by addresses and cookie together.
 * 0, or -errno: -ENOENT if it is gone already, -EOPNOTSUPP without CONFIG_INET_DIAG_DESTROY. */
int cmesh_netns_destroy_socket(int netns, const struct cmesh_socket *socket);
