#define _GNU_SOURCE
#include "cmesh_cgroup.h"

#include <errno.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

int cmesh_cgroup_id(int directory, uint64_t *id)
{
    struct statfs system;
    if (fstatfs(directory, &system) < 0)
        return -errno;
    if (system.f_type != CGROUP2_SUPER_MAGIC)
        return -EMEDIUMTYPE;
    struct stat status;
    if (fstat(directory, &status) < 0)
        return -errno;
    *id = status.st_ino;
    return 0;
}
