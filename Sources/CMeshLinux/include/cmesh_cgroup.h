/* Control groups by descriptor. */
#pragma once

#include <stdint.h>

/* The id of a cgroup2 directory: its inode, the same number that bpf_get_current_cgroup_id returns and that is never used
 * twice until the next boot. -EMEDIUMTYPE for a directory in another file system. */
int cmesh_cgroup_id(int directory, uint64_t *id);
