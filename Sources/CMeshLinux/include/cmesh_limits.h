/* RLIMIT_NOFILE. Exists because the resource argument of getrlimit imports differently into Swift on each C library. */
#pragma once

#include <stdint.h>

struct cmesh_limit {
    uint64_t soft;
    uint64_t hard;
};

int cmesh_descriptor_limit(struct cmesh_limit *limit);

/* Raises the soft limit to the hard one, which needs no privilege. 0 or -errno; *limit is what holds afterwards. */
int cmesh_raise_descriptor_limit(struct cmesh_limit *limit);

/* This process's memory gets into no core dump (RLIMIT_CORE, which children inherit, and PR_SET_DUMPABLE of prctl(2)). prctl is
 * variadic: Swift cannot call it. */
void cmesh_no_dumps(void);
