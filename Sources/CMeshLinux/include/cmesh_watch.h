/* What changes in network namespaces, without asking each of them again and again. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* A set of descriptors to wait for, close-on-exec. Descriptor or -errno. */
int cmesh_watch_open(void);

/* `token` is told when something can be read from `fd`. A closed descriptor leaves the set by itself. 0 or -errno. */
int cmesh_watch_add(int set, int fd, uint64_t token);

/* The same, but told once for each time that something comes: another set of descriptors, a process by its pidfd. */
int cmesh_watch_add_changes(int set, int fd, uint64_t token);

/* Only of its end or of errors, as often as one asks: a listener of which only that matters. -EEXIST: it is in it already. */
int cmesh_watch_add_end(int set, int fd, uint64_t token);

/* `token` is told when something is mounted or unmounted where the caller lives. The descriptor to keep, or -errno. */
int cmesh_watch_mounts(int set, uint64_t token);

/* A descriptor for `cmesh_mounts_changed`, or -errno. */
int cmesh_mounts_open(void);

/* 1: something was mounted or unmounted where the caller lives since this was asked for the last time, or it cannot be told. */
int cmesh_mounts_changed(int mounts);

/* Those of which something can be read: their number or -errno. Waits for the first of them: -1 for ever, 0 not at all. */
int cmesh_watch_ready(int set, int timeout_ms, uint64_t *tokens, size_t capacity);

/* Something to wait for that any thread can ring (eventfd). Descriptor or -errno. */
int cmesh_bell_open(void);
void cmesh_bell_ring(int bell);
void cmesh_bell_quiet(int bell);

/* Tells of names that come and go in directories (inotify). Descriptor or -errno. */
int cmesh_directories_open(void);

/* A directory that is in it already keeps its number: number or -errno. */
int cmesh_directories_add(int fd, const char *path);

/* Tells only when the directory itself gets another name or place: not in a set with the above, an inode has one watch there. */
int cmesh_directories_add_moves(int fd, const char *path);
void cmesh_directories_remove(int fd, int watch);

/* Reads what it was told, and forgets it. */
void cmesh_directories_drain(int fd);

/* A socket that is told of links and addresses that come, go or change in the namespace. Descriptor or -errno. */
int cmesh_route_watch(int netns);

/* Reads what it was told until there is no more. Indexes of links of which something was said are added to `indexes`, as
 * far as there is room. 1: more happened than could be told, 0, or -errno. */
int cmesh_route_drain(int fd, uint32_t *indexes, size_t capacity, size_t *count);
