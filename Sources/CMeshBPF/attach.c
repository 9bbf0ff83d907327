#include "CMeshBPF.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <libgen.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>

/* linux/bpf.h has them since 6.6; the numbers are UAPI. */
#define ATTACH_TCX_INGRESS 46
#define LINK_TYPE_TCX 11

const uint32_t cmesh_attach_connect4 = BPF_CGROUP_INET4_CONNECT;
const uint32_t cmesh_attach_connect6 = BPF_CGROUP_INET6_CONNECT;
const uint32_t cmesh_attach_sockops = BPF_CGROUP_SOCK_OPS;
const uint32_t cmesh_attach_getsockopt = BPF_CGROUP_GETSOCKOPT;
const uint32_t cmesh_attach_setsockopt = BPF_CGROUP_SETSOCKOPT;
const uint32_t cmesh_attach_peername4 = BPF_CGROUP_INET4_GETPEERNAME;
const uint32_t cmesh_attach_peername6 = BPF_CGROUP_INET6_GETPEERNAME;
const uint32_t cmesh_attach_sendmsg4 = BPF_CGROUP_UDP4_SENDMSG;
const uint32_t cmesh_attach_sendmsg6 = BPF_CGROUP_UDP6_SENDMSG;
const uint32_t cmesh_attach_recvmsg4 = BPF_CGROUP_UDP4_RECVMSG;
const uint32_t cmesh_attach_recvmsg6 = BPF_CGROUP_UDP6_RECVMSG;

int cmesh_pin(int fd, const char *path)
{
    return bpf_obj_pin(fd, path) ? -errno : 0;
}

int cmesh_pin_get(const char *path)
{
    int fd = bpf_obj_get(path);
    return fd < 0 ? -errno : fd;
}

int cmesh_is_bpffs(const char *path)
{
    struct statfs status;
    if (statfs(path, &status) == 0)
        return (unsigned long)status.f_type == BPF_FS_MAGIC;
    if (errno != ENOENT)
        return -errno;
    char parent[4096];
    if (snprintf(parent, sizeof(parent), "%s", path) >= (int)sizeof(parent))
        return -ENAMETOOLONG;
    if (strcmp(path, "/") == 0 || strcmp(path, ".") == 0)
        return -ENOENT;
    return cmesh_is_bpffs(dirname(parent));
}

int cmesh_mount_bpffs(const char *path)
{
    return mount("bpf", path, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") ? -errno : 0;
}

int cmesh_is_cgroup2(int directory)
{
    struct statfs status;
    if (fstatfs(directory, &status))
        return -errno;
    return (unsigned long)status.f_type == CGROUP2_SUPER_MAGIC;
}

int cmesh_cgroup_programs(int cgroup, uint32_t attach_type, int effective, uint32_t *ids, uint32_t capacity,
                          uint32_t *count)
{
    uint32_t flags = 0;
    *count = capacity;
    if (bpf_prog_query(cgroup, attach_type, effective ? BPF_F_QUERY_EFFECTIVE : 0, &flags, ids, count) == 0)
        return 0;
    /* More than fit: what fits is there. */
    return errno == ENOSPC ? 0 : -errno;
}

static int link_create(int program, int target, uint32_t attach_type)
{
    int fd = bpf_link_create(program, target, attach_type, NULL);
    return fd < 0 ? -errno : fd;
}

int cmesh_link_cgroup(int program, int cgroup, uint32_t attach_type)
{
    return link_create(program, cgroup, attach_type);
}

int cmesh_link_netns(int program, int netns)
{
    return link_create(program, netns, BPF_SK_LOOKUP);
}

int cmesh_link_tcx_ingress(int program, uint32_t ifindex)
{
    return link_create(program, (int)ifindex, ATTACH_TCX_INGRESS);
}

int cmesh_link_update(int link, int program)
{
    return bpf_link_update(link, program, NULL) ? -errno : 0;
}

int cmesh_link_detach(int link)
{
    return bpf_link_detach(link) ? -errno : 0;
}

int cmesh_link_info(int link, struct cmesh_link_info *result)
{
    struct bpf_link_info info = {0};
    __u32 length = sizeof(info);
    if (bpf_obj_get_info_by_fd(link, &info, &length))
        return -errno;
    memset(result, 0, sizeof(*result));
    result->type = info.type;
    result->id = info.id;
    result->program_id = info.prog_id;
    switch (info.type) {
    case BPF_LINK_TYPE_CGROUP:
        result->target = info.cgroup.cgroup_id;
        result->attach_type = info.cgroup.attach_type;
        break;
    case BPF_LINK_TYPE_NETNS:
        result->target = info.netns.netns_ino;
        result->attach_type = info.netns.attach_type;
        break;
    case LINK_TYPE_TCX:
        /* struct { __u32 ifindex; __u32 attach_type; } tcx, in the place of the first member of the others. */
        result->target = info.netns.netns_ino;
        result->attach_type = ATTACH_TCX_INGRESS;
        break;
    }
    return 0;
}
