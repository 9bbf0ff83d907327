/* Control groups by descriptor. */
#pragma once

#include <stdint.h>

/* The id of a cgroup2 directory: its inode, the same number that bpf_get_current_cgroup_id returns and that is never used
 * twice until the next boot. -EMEDIUMTYPE for a directory in another file system. */
int cmesh_cgroup_id(int directory, uint64_t *id);

/* The directory of the cgroup with that id, wherever it is; `any`: a directory of the same cgroup2 file system. Descriptor,
 * or -errno: -ESTALE if it is gone, -EPERM without CAP_DAC_READ_SEARCH. */
int cmesh_cgroup_open_id(int any, uint64_t id);
