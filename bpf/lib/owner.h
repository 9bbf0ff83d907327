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

/* The rest of the slot is read and written between two: what takes it is a full barrier, also on weakly ordered machines. */
static __always_inline int mesh_own(__u64 *cookie, __u64 expected)
{
    return __sync_val_compare_and_swap(cookie, expected, MESH_OWNER_BUSY) == expected;
}

/* Nobody else writes a cookie that is BUSY. Where the machine stores in order (x86, scripts/build-bpf), a plain store comes after
 * all that was written to the slot; an exchange would wait until that is in the cache, which takes longer than the rest. */
static __always_inline void mesh_disown(__u64 *cookie, __u64 next)
{
#ifdef MESH_STORES_IN_ORDER
    asm volatile("" ::: "memory");
    *(volatile __u64 *)cookie = next;
#else
    __sync_lock_test_and_set(cookie, next);
#endif
}

/* Scatters 16 bytes over 2^24 numbers. */
static __always_inline __u32 mesh_slot_hash(__u64 a, __u64 b)
{
    const __u64 odd = 0x9e3779b97f4a7c15ULL;
    return (__u32)(((a * odd) ^ b) * odd >> 40);
}
