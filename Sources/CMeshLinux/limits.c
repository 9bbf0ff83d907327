#define _GNU_SOURCE
#include "cmesh_limits.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>

int cmesh_descriptor_limit(struct cmesh_limit *limit)
{
    struct rlimit now;
    if (getrlimit(RLIMIT_NOFILE, &now) < 0)
        return -errno;
    limit->soft = now.rlim_cur;
    limit->hard = now.rlim_max;
    return 0;
}

int cmesh_raise_descriptor_limit(struct cmesh_limit *limit)
{
    struct rlimit now;
    if (getrlimit(RLIMIT_NOFILE, &now) < 0)
        return -errno;
    now.rlim_cur = now.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &now) < 0)
        return -errno;
    return cmesh_descriptor_limit(limit);
}

void cmesh_no_dumps(void)
{
    struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
