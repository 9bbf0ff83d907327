/* Slots of arrays that programs fill: who exchanges a slot's cookie for BUSY owns it until the cookie is written back. Array
 * look-ups are part of the program, and no lock is taken; a hash map's update and deletion cost five times as much. */
#pragma once

#include <linux/types.h>
#include <bpf/bpf_helpers.h>

/* No socket's cookie: they count from 1. */
#define MESH_OWNER_BUSY (~0ULL)

static __always_inline __u64 mesh_owner(const __u64 *cookie)
{
    return *(const volatile __u64 *)cookie;
}

/* Both are full barriers, also on weakly ordered machines: the rest of the slot is read and written between two. */
static __always_inline int mesh_own(__u64 *cookie, __u64 expected)
{
    return __sync_val_compare_and_swap(cookie, expected, MESH_OWNER_BUSY) == expected;
}

static __always_inline void mesh_disown(__u64 *cookie, __u64 next)
{
    __sync_lock_test_and_set(cookie, next);
}
