#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmesh_process.h"

int cmesh_reap(int pidfd, int32_t *code, int *by_signal)
{
    siginfo_t info;
    memset(&info, 0, sizeof(info));
    int result;
    do
        result = waitid((idtype_t)3 /* P_PIDFD */, (id_t)pidfd, &info, WEXITED | WNOHANG);
    while (result < 0 && errno == EINTR);
    if (result < 0)
        return -errno;
    if (info.si_pid == 0)
        return 0;
    *code = info.si_status;
    *by_signal = info.si_code != CLD_EXITED;
    return 1;
}

int cmesh_pidfd_open(int32_t pid)
{
    long fd = syscall(SYS_pidfd_open, pid, 0);
    return fd < 0 ? -errno : (int)fd;
}

int cmesh_pidfd_send_signal(int pidfd, int signal)
{
    return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

int cmesh_pidfd_getfd(int pidfd, int target)
{
    long fd = syscall(SYS_pidfd_getfd, pidfd, target, 0);
    return fd < 0 ? -errno : (int)fd;
}
