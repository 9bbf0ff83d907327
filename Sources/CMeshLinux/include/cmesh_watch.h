/* What changes in network namespaces, without asking each of them again and again. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* A set of descriptors to wait for, close-on-exec. Descriptor or -errno. */
int cmesh_watch_open(void);

/* `token` is told when something can be read from `fd`. A closed descriptor leaves the set by itself. 0 or -errno. */
int cmesh_watch_add(int set, int fd, uint64_t token);

/* Those of which something can be read now, without waiting: their number or -errno. */
int cmesh_watch_ready(int set, uint64_t *tokens, size_t capacity);

/* A socket that is told of links and addresses that come, go or change in the namespace. Descriptor or -errno. */
int cmesh_route_watch(int netns);

/* Reads what it was told until there is no more. Indexes of links of which something was said are added to `indexes`, as
 * far as there is room. 1: more happened than could be told, 0, or -errno. */
int cmesh_route_drain(int fd, uint32_t *indexes, size_t capacity, size_t *count);
