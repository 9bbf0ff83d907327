/* From connect() to the SYN: what connect() decided waits under the socket's cookie until the 4-tuple is final. That is
 * nearly always a few microseconds, so that a small array does it, whose slots are owned by whoever exchanges their cookie
 * for BUSY; a hash map takes what finds its slot in use. Nothing depends on the slot but time. */
#pragma once

#include "../maps.h"

/* A slot that long in use belongs to a connect() that failed before its SYN, or to a deferred one (TCP_FASTOPEN_CONNECT
 * without data); what is lost then has no flow and ends in a refusal at its destination. */
#define MESH_HANDOFF_STALE_NS (60 * 1000000000LL)

/* No socket's cookie: they count from 1. */
#define MESH_HANDOFF_BUSY (~0ULL)

/* All of them are full barriers, also on weakly ordered machines: the flow is read and written between two. */
static __always_inline int mesh_handoff_own(struct mesh_handoff *slot, __u64 cookie)
{
    return __sync_val_compare_and_swap(&slot->cookie, cookie, MESH_HANDOFF_BUSY) == cookie;
}

static __always_inline void mesh_handoff_release(struct mesh_handoff *slot, __u64 cookie)
{
    __sync_lock_test_and_set(&slot->cookie, cookie);
}

/* Returns 0, or an error: then nothing waits. flow->start_ns is set. Overwrites what an earlier connect() of the same
 * socket left. */
static __always_inline long mesh_handoff_put(__u64 cookie, const struct mesh_flow *flow)
{
    __u32 index = cookie & (MESH_HANDOFF_SLOTS - 1);
    struct mesh_handoff *slot = bpf_map_lookup_elem(&MESH_MAP(handoff), &index);
    if (!slot)
        return bpf_map_update_elem(&MESH_MAP(pending), &cookie, flow, BPF_ANY);
    __u64 owner = *(volatile __u64 *)&slot->cookie;
    /* Signed: another CPU's clock may be ahead. A start that changes meanwhile is one of another owner. */
    if ((owner == 0 || owner == cookie ||
         (__s64)(flow->start_ns - *(volatile __u64 *)&slot->flow.start_ns) > MESH_HANDOFF_STALE_NS) &&
        owner != MESH_HANDOFF_BUSY && mesh_handoff_own(slot, owner)) {
        slot->flow = *flow;
        mesh_handoff_release(slot, cookie);
        return 0;
    }
    *(volatile __u32 *)&slot->spilled = 1;
    return bpf_map_update_elem(&MESH_MAP(pending), &cookie, flow, BPF_ANY);
}

/* Returns 1 and the flow of this socket, which then waits no more; 0: connect() left none. Runs for every TCP connection
 * of the host, so that looking comes before owning. */
static __always_inline int mesh_handoff_take(__u64 cookie, struct mesh_flow *flow)
{
    __u32 index = cookie & (MESH_HANDOFF_SLOTS - 1);
    struct mesh_handoff *slot = bpf_map_lookup_elem(&MESH_MAP(handoff), &index);
    if (!slot)
        return 0;
    if (*(volatile __u64 *)&slot->cookie == cookie && mesh_handoff_own(slot, cookie)) {
        *flow = slot->flow;
        mesh_handoff_release(slot, 0);
        return 1;
    }
    if (!*(volatile __u32 *)&slot->spilled)
        return 0;
    const struct mesh_flow *waiting = bpf_map_lookup_elem(&MESH_MAP(pending), &cookie);
    if (!waiting)
        return 0;
    *flow = *waiting;
    bpf_map_delete_elem(&MESH_MAP(pending), &cookie);
    return 1;
}
