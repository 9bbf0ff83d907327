/* From connect() to the SYN: what connect() decided waits under the socket's cookie until the 4-tuple is final. That is
 * nearly always a few microseconds, so that a small array does it, whose slots are owned by whoever exchanges their cookie
 * for BUSY; a hash map takes what finds its slot in use. Nothing depends on the slot but time. */
#pragma once

#include "../maps.h"
#include "owner.h"

/* A slot that long in use belongs to a connect() that failed before its SYN, or to a deferred one (TCP_FASTOPEN_CONNECT
 * without data); what is lost then has no flow and ends in a refusal at its destination. */
#define MESH_HANDOFF_STALE_NS (60 * 1000000000LL)

/* Returns 0, or an error: then nothing waits. flow->start_ns is set. Overwrites what an earlier connect() of the same
 * socket left. */
static __always_inline long mesh_handoff_put(__u64 cookie, const struct mesh_flow *flow)
{
    __u32 index = cookie & (MESH_HANDOFF_SLOTS - 1);
    struct mesh_handoff *slot = bpf_map_lookup_elem(&MESH_MAP(handoff), &index);
    if (!slot)
        return bpf_map_update_elem(&MESH_MAP(pending), &cookie, flow, BPF_ANY);
    __u64 owner = mesh_owner(&slot->cookie);
    /* Signed: another CPU's clock may be ahead. A start that changes meanwhile is one of another owner. */
    if ((owner == 0 || owner == cookie ||
         (__s64)(flow->start_ns - *(volatile __u64 *)&slot->flow.start_ns) > MESH_HANDOFF_STALE_NS) &&
        owner != MESH_OWNER_BUSY && mesh_own(&slot->cookie, owner)) {
        slot->flow = *flow;
        mesh_disown(&slot->cookie, cookie);
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
    if (mesh_owner(&slot->cookie) == cookie && mesh_own(&slot->cookie, cookie)) {
        *flow = slot->flow;
        mesh_disown(&slot->cookie, 0);
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
