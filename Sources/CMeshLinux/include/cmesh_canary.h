/* A TCP socket that asks again and again whether its connect is steered. It is bound to 127.0.0.1: a connect that nobody
 * steers fails in the routing of the kernel (net/ipv4/route.c, __mkroute_output: no loopback source leaves through another
 * interface), so not one packet goes out. All functions: 0 or -errno. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Makes a fresh socket of this family (AF_INET, AF_INET6) ready. */
int cmesh_canary_prepare(int fd, int family);

/* connect(2) to an IPv4 address in host order; from an IPv6 socket to its mapped form. */
int cmesh_canary_connect(int fd, int family, uint32_t address, uint16_t port);

/* Back to the state before connect, with a reset for the peer: nothing stays in TIME_WAIT. */
int cmesh_canary_reset(int fd);

/* What has come, without waiting: bytes, 0 for the end, or -errno. */
ssize_t cmesh_canary_read(int fd, void *bytes, size_t capacity);

/* SO_COOKIE. */
int cmesh_socket_cookie(int fd, uint64_t *cookie);
