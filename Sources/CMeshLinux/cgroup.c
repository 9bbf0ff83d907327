#define _GNU_SOURCE
#include "cmesh_cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
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

/* include/linux/exportfs.h, enum fid_type */
#define FILEID_KERNFS 0xfe

int cmesh_cgroup_open_id(int any, uint64_t id)
{
    union {
        struct file_handle handle;
        char bytes[sizeof(struct file_handle) + sizeof(id)];
    } named;
    memset(&named, 0, sizeof(named));
    named.handle.handle_bytes = sizeof(id);
    named.handle.handle_type = FILEID_KERNFS;
    memcpy(named.handle.f_handle, &id, sizeof(id));
    int fd = open_by_handle_at(any, &named.handle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}
