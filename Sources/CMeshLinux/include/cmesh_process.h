/* Starting a process with nothing inherited that was not listed, and holding processes by pidfd(2). Exists because fork
 * in Swift is not possible: between clone and exec only async-signal-safe calls may run. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The child sees the caller's descriptor `parent` as `child`. */
struct cmesh_fd_mapping {
    int parent;
    int child;
};

struct cmesh_spawn {
    const char *executable; /* a path: PATH is not searched */
    char *const *arguments; /* NULL-terminated, the name first */
    char *const *environment;
    const char *directory; /* working directory; NULL: / */
    /* Every other descriptor is closed by exec. 0, 1, 2 without a mapping: 0 is /dev/null, 1 and 2 are the caller's. */
    const struct cmesh_fd_mapping *fds;
    size_t fd_count;
    int cgroup; /* descriptor of a cgroup2 directory, -1: the caller's */
    int move_into_cgroup; /* do not clone into the cgroup: what happens by itself before Linux 5.7; for tests */
    int netns;  /* descriptor of a network namespace, -1: the caller's */
    /* Become this user, without supplementary groups, and give up every capability, bounding set included. */
    int drop_privileges;
    uint32_t uid;
    uint32_t gid;
    int no_new_privileges; /* PR_SET_NO_NEW_PRIVS */
    int parent_death_signal; /* 0: the child survives its parent. Else sent when the THREAD that started it ends */
};

/* What the child was doing when it failed. */
enum cmesh_spawn_step {
    CMESH_SPAWN_STARTED = 0,
    CMESH_SPAWN_PREPARE,
    CMESH_SPAWN_CLONE,
    CMESH_SPAWN_CGROUP,
    CMESH_SPAWN_NETNS,
    CMESH_SPAWN_DESCRIPTORS,
    CMESH_SPAWN_DIRECTORY,
    CMESH_SPAWN_PRIVILEGES,
    CMESH_SPAWN_EXEC,
};

/* How long a child may take to reach its program: one that is put into a frozen cgroup never does. */
#define CMESH_SPAWN_TIMEOUT_MS 5000

/* Starts the process in a session of its own, with default signal handling and an empty signal mask, and returns when
 * exec has happened. Inside the cgroup from its first instruction (CLONE_INTO_CGROUP, Linux 5.7; else it moves itself
 * before exec). 0 and *pid, *pidfd (close-on-exec); or -errno and *step; nothing is left to wait for
 * then. -ETIMEDOUT after CMESH_SPAWN_TIMEOUT_MS. */
int cmesh_spawn(const struct cmesh_spawn *spawn, int32_t *pid, int *pidfd, enum cmesh_spawn_step *step);

/* waitid(P_PIDFD, WNOHANG). 1: it has ended, *code is its exit status, or the signal if *by_signal; 0: it runs; or -errno
 * (-ECHILD: not ours, or waited for already). */
int cmesh_reap(int pidfd, int32_t *code, int *by_signal);

/* A descriptor for the process: close-on-exec, or -errno. */
int cmesh_pidfd_open(int32_t pid);
int cmesh_pidfd_send_signal(int pidfd, int signal);
/* A copy of a descriptor of the process (Linux 5.6; needs the right to ptrace it): close-on-exec, or -errno. */
int cmesh_pidfd_getfd(int pidfd, int target);
