/* Descriptors over Unix sockets (unix(7), SCM_RIGHTS), and who is at the other end. Exists because NIO reads with read(2),
 * which drops descriptors, and because cmsg(3) is macros. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Most descriptors that one message carries. The kernel's own limit is 253 (SCM_MAX_FD). */
#define CMESH_MAX_FDS 64

/* Sends one message of a SEQPACKET (or DATAGRAM) socket with up to CMESH_MAX_FDS descriptors. Descriptors need at least
 * one byte of payload. 0, or -errno: -EINVAL for too many descriptors or none of payload, -EMSGSIZE if the message does
 * not fit the socket. The descriptors stay the caller's. */
int cmesh_send_fds(int socket, const void *payload, size_t length, const int *fds, size_t count);

/* Receives one message. Returns the bytes of payload (0: the peer closed) or -errno; *fd_count descriptors, now the
 * caller's and close-on-exec, are in fds. A message that does not fit (payload or descriptors) is dropped whole, its
 * descriptors closed: -EMSGSIZE. */
ssize_t cmesh_recv_fds(
    int socket, void *payload, size_t capacity, int *fds, size_t fd_capacity, size_t *fd_count);

/* pipe2(2), close-on-exec: the Glibc module leaves it out. 0 or -errno. */
int cmesh_pipe(int *reading, int *writing);

struct cmesh_peer {
    int32_t pid;
    uint32_t uid;
    uint32_t gid;
};

/* SO_PEERCRED: who called connect(2) or socketpair(2), as of that call. */
int cmesh_peer_credentials(int socket, struct cmesh_peer *peer);

/* SO_PEERPIDFD (Linux 6.5): a pidfd of the peer, which no other process can come to mean. -ENOPROTOOPT before 6.5. */
int cmesh_peer_pidfd(int socket);
