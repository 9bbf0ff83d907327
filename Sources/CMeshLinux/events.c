#define _GNU_SOURCE
#include "cmesh_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

static int add(int set, int fd, uint32_t what, uint64_t token)
{
    struct epoll_event event = {.events = what, .data.u64 = token};
    return epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int cmesh_watch_add_changes(int set, int fd, uint64_t token) { return add(set, fd, EPOLLIN | EPOLLET, token); }

/* EPOLLERR and EPOLLHUP are told of every descriptor. */
int cmesh_watch_add_end(int set, int fd, uint64_t token) { return add(set, fd, 0, token); }

int cmesh_mounts_open(void)
{
    int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int cmesh_mounts_changed(int mounts)
{
    struct pollfd one = {.fd = mounts, .events = POLLPRI};
    int count = poll(&one, 1, 0);
    return count < 0 || (count > 0 && (one.revents & (POLLPRI | POLLERR | POLLNVAL)) != 0);
}

int cmesh_watch_mounts(int set, uint64_t token)
{
    int fd = cmesh_mounts_open();
    if (fd < 0)
        return fd;
    /* It can always be read; a change is urgent, and asking takes it back (fs/proc_namespace.c, mounts_poll). */
    int error = add(set, fd, EPOLLPRI, token);
    if (error < 0) {
        close(fd);
        return error;
    }
    return fd;
}

int cmesh_bell_open(void)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

void cmesh_bell_ring(int bell) { eventfd_write(bell, 1); }

void cmesh_bell_quiet(int bell)
{
    eventfd_t rings;
    eventfd_read(bell, &rings);
}

int cmesh_directories_open(void)
{
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

int cmesh_directories_add(int fd, const char *path)
{
    int watch = inotify_add_watch(
        fd, path, IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR);
    return watch < 0 ? -errno : watch;
}

int cmesh_directories_add_moves(int fd, const char *path)
{
    int watch = inotify_add_watch(fd, path, IN_MOVE_SELF | IN_ONLYDIR);
    return watch < 0 ? -errno : watch;
}

void cmesh_directories_remove(int fd, int watch) { inotify_rm_watch(fd, watch); }

void cmesh_directories_drain(int fd)
{
    _Alignas(struct inotify_event) char bytes[16384];
    /* Bounded: whoever makes events faster than they are read is asked again in the next turn. */
    for (int round = 0; round < 64; round++) {
        ssize_t count = read(fd, bytes, sizeof(bytes));
        if (count <= 0 && errno != EINTR)
            return;
    }
}
