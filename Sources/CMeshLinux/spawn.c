#define _GNU_SOURCE
#include "cmesh_process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

/* linux/sched.h of Linux 5.7, whatever the headers are. */
struct clone_arguments {
    uint64_t flags;
    uint64_t pidfd;
    uint64_t child_tid;
    uint64_t parent_tid;
    uint64_t exit_signal;
    uint64_t stack;
    uint64_t stack_size;
    uint64_t tls;
    uint64_t set_tid;
    uint64_t set_tid_size;
    uint64_t cgroup;
};
#define WITHOUT_CGROUP 64u /* CLONE_ARGS_SIZE_VER0, Linux 5.3 */
#define WITH_CGROUP 88u    /* CLONE_ARGS_SIZE_VER2, Linux 5.7 */
#define INTO_CGROUP 0x200000000ull

struct report {
    int step;
    int error;
};

/* Everything from here to `child` runs between clone and exec: async-signal-safe calls only, no malloc, no lock. The
 * identity calls are raw because glibc's wrappers signal the other threads, which do not exist in the child. */

static int fail(int step, struct report *report)
{
    report->step = step;
    report->error = errno;
    return -1;
}

static int arrange_descriptors(const struct cmesh_spawn *spawn, int *channel)
{
    int highest = 2;
    for (size_t i = 0; i < spawn->fd_count; i++)
        if (spawn->fds[i].child > highest)
            highest = spawn->fds[i].child;
    if (syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
        return -1;
    /* Out of the way of every target, so that no mapping overwrites what a later one reads. */
    int moved = fcntl(*channel, F_DUPFD_CLOEXEC, highest + 1);
    if (moved < 0)
        return -1;
    *channel = moved;
    /* cmesh_spawn refuses more. */
    int sources[256];
    for (size_t i = 0; i < spawn->fd_count; i++) {
        sources[i] = fcntl(spawn->fds[i].parent, F_DUPFD_CLOEXEC, highest + 1);
        if (sources[i] < 0)
            return -1;
    }
    int input = 0;
    for (size_t i = 0; i < spawn->fd_count; i++) {
        if (dup2(sources[i], spawn->fds[i].child) < 0)
            return -1;
        if (spawn->fds[i].child == 0)
            input = 1;
    }
    if (!input) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (null < 0 || dup2(null, 0) < 0)
            return -1;
        if (null == 0 && fcntl(0, F_SETFD, 0) < 0)
            return -1;
    }
    return 0;
}

static int drop_privileges(const struct cmesh_spawn *spawn)
{
    /* The bounding set first: it needs CAP_SETPCAP. EINVAL marks the end of the known capabilities. */
    for (int capability = 0; capability < 64; capability++)
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) {
            if (errno == EINVAL)
                break;
            return -1;
        }
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
        return -1;
    if (syscall(SYS_setgroups, 0, NULL) < 0)
        return -1;
    if (syscall(SYS_setresgid, spawn->gid, spawn->gid, spawn->gid) < 0)
        return -1;
    if (syscall(SYS_setresuid, spawn->uid, spawn->uid, spawn->uid) < 0)
        return -1;
    /* setresuid to a user other than root clears the effective and permitted sets, not the inheritable one. */
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2];
    memset(none, 0, sizeof(none));
    return syscall(SYS_capset, &header, none) < 0 ? -1 : 0;
}

static int prepare(const struct cmesh_spawn *spawn, int enter_cgroup, int *channel, struct report *report)
{
    /* All zero is SIG_DFL in the kernel's struct on every architecture. Raw, because sigaction(3) refuses the C library's
     * own signals 32 and 33, which a parent may have left ignored. EINVAL for KILL and STOP: nothing to reset there. */
    const char standard[64] = {0};
    for (int signal = 1; signal < 65; signal++)
        syscall(SYS_rt_sigaction, signal, standard, NULL, 8);
    if (setsid() < 0)
        return fail(CMESH_SPAWN_PREPARE, report);
    if (enter_cgroup) {
        int processes = openat(spawn->cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);
        if (processes < 0 || write(processes, "0", 1) != 1)
            return fail(CMESH_SPAWN_CGROUP, report);
        close(processes);
    }
    if (spawn->netns >= 0 && setns(spawn->netns, CLONE_NEWNET) < 0)
        return fail(CMESH_SPAWN_NETNS, report);
    if (arrange_descriptors(spawn, channel) < 0)
        return fail(CMESH_SPAWN_DESCRIPTORS, report);
    if (chdir(spawn->directory != NULL ? spawn->directory : "/") < 0)
        return fail(CMESH_SPAWN_DIRECTORY, report);
    if (spawn->drop_privileges && drop_privileges(spawn) < 0)
        return fail(CMESH_SPAWN_PRIVILEGES, report);
    if (spawn->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return fail(CMESH_SPAWN_PRIVILEGES, report);
    /* After the change of user, which clears it. */
    if (spawn->parent_death_signal != 0 && prctl(PR_SET_PDEATHSIG, spawn->parent_death_signal, 0, 0, 0) < 0)
        return fail(CMESH_SPAWN_PRIVILEGES, report);
    sigset_t none;
    sigemptyset(&none);
    if (sigprocmask(SIG_SETMASK, &none, NULL) < 0)
        return fail(CMESH_SPAWN_PREPARE, report);
    execve(spawn->executable, spawn->arguments, spawn->environment);
    return fail(CMESH_SPAWN_EXEC, report);
}

__attribute__((noreturn)) static void child(const struct cmesh_spawn *spawn, int enter_cgroup, int channel)
{
    struct report report = {0, 0};
    prepare(spawn, enter_cgroup, &channel, &report);
    /* Nobody to tell if this write fails: the parent then sees a process that exits with 127. */
    ssize_t written = write(channel, &report, sizeof(report));
    (void)written;
    _exit(127);
}

/* Returns the pid in the parent, 0 in the child, -errno. */
static long clone_child(const struct cmesh_spawn *spawn, int *pidfd, int *enter_cgroup)
{
    struct clone_arguments arguments;
    memset(&arguments, 0, sizeof(arguments));
    arguments.flags = CLONE_PIDFD;
    arguments.pidfd = (uint64_t)(uintptr_t)pidfd;
    arguments.exit_signal = SIGCHLD;
    *enter_cgroup = spawn->cgroup >= 0 && spawn->move_into_cgroup;
    if (spawn->cgroup >= 0 && !spawn->move_into_cgroup) {
        arguments.flags |= INTO_CGROUP;
        arguments.cgroup = (uint64_t)spawn->cgroup;
        long pid = syscall(SYS_clone3, &arguments, WITH_CGROUP);
        if (pid >= 0)
            return pid;
        /* An older kernel does not know the size or the flag; anything else is about this cgroup. */
        if (errno != E2BIG && errno != EINVAL)
            return -errno;
        arguments.flags = CLONE_PIDFD;
        arguments.cgroup = 0;
        *enter_cgroup = 1;
    }
    long pid = syscall(SYS_clone3, &arguments, WITHOUT_CGROUP);
    return pid >= 0 ? pid : -errno;
}

int cmesh_spawn(const struct cmesh_spawn *spawn, int32_t *pid, int *pidfd, enum cmesh_spawn_step *step)
{
    *step = CMESH_SPAWN_PREPARE;
    if (spawn->fd_count > 256)
        return -EINVAL;
    for (size_t i = 0; i < spawn->fd_count; i++)
        if (spawn->fds[i].parent < 0 || spawn->fds[i].child < 0)
            return -EINVAL;
    int channel[2];
    if (pipe2(channel, O_CLOEXEC) < 0)
        return -errno;
    /* No handler of ours may run in the child, where its data is a copy. */
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    int enter_cgroup, fd = -1;
    long result = clone_child(spawn, &fd, &enter_cgroup);
    if (result == 0)
        child(spawn, enter_cgroup, channel[1]);
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(channel[1]);
    if (result < 0) {
        close(channel[0]);
        *step = CMESH_SPAWN_CLONE;
        return (int)result;
    }
    struct report report;
    ssize_t received;
    /* A frozen cgroup stops the child at its first instruction. */
    struct pollfd answer = {.fd = channel[0], .events = POLLIN};
    int ready;
    do
        ready = poll(&answer, 1, CMESH_SPAWN_TIMEOUT_MS);
    while (ready < 0 && errno == EINTR);
    if (ready <= 0) {
        syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
        report = (struct report){CMESH_SPAWN_CLONE, ETIMEDOUT};
        received = sizeof(report);
    } else {
        do
            received = read(channel[0], &report, sizeof(report));
        while (received < 0 && errno == EINTR);
    }
    close(channel[0]);
    if (received == 0) { /* exec closed the pipe */
        *pid = (int32_t)result;
        *pidfd = fd;
        *step = CMESH_SPAWN_STARTED;
        return 0;
    }
    siginfo_t ended;
    while (waitid((idtype_t)3 /* P_PIDFD */, (id_t)fd, &ended, WEXITED) < 0 && errno == EINTR)
        ;
    close(fd);
    if (received != (ssize_t)sizeof(report))
        return -EIO;
    *step = (enum cmesh_spawn_step)report.step;
    return -report.error;
}
