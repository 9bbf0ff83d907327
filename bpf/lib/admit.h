/* The decision at the destination: a connection arrives at an address of an enrolled namespace. */
#pragma once

#include "address.h"
#include "flows.h"
#include "memo.h"
#include "policy.h"

/* What arrived. */
struct mesh_arrival {
    struct mesh_addr local;
    struct mesh_addr remote;
    __u64 epoch;        /* before any row was read; 0: nothing is to be remembered */
    __u64 netns_cookie; /* 0 unless the addresses are loopback */
    __u16 local_port_be;
    __u16 remote_port_be;
    __u8 in_host; /* where the agent admits calls of its own, in the hash map of flows */
};

/* What decides, of a flow that was found. */
struct mesh_known {
    __u32 source_workload;
    __u32 destination_workload;
    __u32 generation;
    __u32 epoch;
    __u8 verdict;
};

/* Read once: what is read after `mesh_flow_still` may be another flow's, and only tells. */
static __always_inline struct mesh_known mesh_known_of(const struct mesh_flow *flow)
{
    const volatile struct mesh_flow *now = flow;
    struct mesh_known known = {.source_workload = now->source_workload,
                               .destination_workload = now->destination_workload,
                               .generation = now->generation,
                               .epoch = now->epoch,
                               .verdict = now->verdict};
    return known;
}

static __always_inline struct mesh_tuple mesh_arrival_tuple(const struct mesh_arrival *arrival)
{
    struct mesh_tuple tuple = {
        .local = arrival->local,
        .remote = arrival->remote,
        .netns_cookie = arrival->netns_cookie,
        .local_port_be = arrival->local_port_be,
        .remote_port_be = arrival->remote_port_be,
    };
    return tuple;
}

/* Admits what connect() decided in this epoch and generation: no table has changed since, so that the address is still its
 * workload's, and asking again would give the same. 0 decides nothing. Not in the host's namespace. */
static __always_inline int mesh_admit_known(const struct mesh_arrival *arrival, const struct mesh_config *config)
{
    __u32 epoch = (__u32)arrival->epoch;
    struct mesh_tuple tuple = mesh_arrival_tuple(arrival);
    struct mesh_slot *slot = mesh_flow_slot(&tuple);
    if (epoch == 0 || !slot || !mesh_slot_has(slot, &tuple))
        return 0;
    struct mesh_known known = mesh_known_of(&slot->flow);
    return known.epoch == epoch && known.generation == config->generation && known.verdict == MESH_VERDICT_ALLOW &&
           mesh_slot_has(slot, &tuple);
}

/* Admits what comes to a workload that no policy protects, if that was found out in this epoch and generation: also what has no
 * socket any more, such as the end of a connection that the other side has reset. 0 decides nothing. */
static __always_inline int mesh_admit_open(const struct mesh_arrival *arrival, const struct mesh_config *config)
{
    return !mesh_is_own_port(arrival->local_port_be) &&
           mesh_door_is_open(arrival->epoch, &arrival->local, &arrival->remote, config->generation);
}

/* Fills `flow` (zero when it comes in) and returns 1 to admit, 0 to drop for flow->reason. `local`: the workload that is
 * called, NULL if the address is nobody's. */
static __always_inline int mesh_admit_arrival(const struct mesh_arrival *arrival, const struct mesh_workload *local,
                                              const struct mesh_config *config, struct mesh_flow *flow)
{
    flow->tier = MESH_TIER_OUTSIDE;
    flow->verdict = MESH_VERDICT_DENY;
    flow->generation = config->generation;
    flow->source = arrival->remote;
    flow->source_port_be = arrival->remote_port_be;
    flow->original = arrival->local;
    flow->original_port_be = arrival->local_port_be;
    flow->destination = arrival->local;
    flow->destination_port_be = arrival->local_port_be;

    if (!local) {
        flow->reason = MESH_REASON_UNKNOWN_ADDRESS;
        return 0;
    }
    flow->destination_workload = local->workload;
    if (mesh_is_own_port(arrival->local_port_be)) {
        /* A tunnel: who dials it shows a certificate to the node proxy, which decides on each connection in it. */
        if (arrival->local_port_be == bpf_htons(MESH_PORT_HBONE) && (local->flags & MESH_WORKLOAD_TUNNEL) &&
            !(local->flags & MESH_WORKLOAD_QUARANTINED))
            return 1;
        flow->reason = MESH_REASON_MESH_PORT;
        return 0;
    }

    if (local->flags & MESH_WORKLOAD_QUARANTINED) {
        flow->reason = MESH_REASON_QUARANTINED;
        return 0;
    }

    struct mesh_judgement judgement;
    struct mesh_tuple tuple = mesh_arrival_tuple(arrival);
    struct mesh_published found = mesh_flow_find(&tuple);
    if (!found.flow && arrival->in_host)
        found = mesh_flow_beside(&tuple);
    struct mesh_known known = {0};
    if (found.flow)
        known = mesh_known_of(found.flow);
    if (found.flow && known.destination_workload == local->workload && known.verdict == MESH_VERDICT_ALLOW &&
        mesh_flow_still(&found, &tuple)) {
        if (known.generation == config->generation)
            return 1;
        if (known.source_workload == local->workload)
            return 1;
        /* Policy changed between connect and here: the verdict of the past does not count. */
        flow->source_workload = known.source_workload;
        flow->tier = found.flow->tier;
        flow->service = found.flow->service;
        flow->original = found.flow->original;
        flow->original_port_be = found.flow->original_port_be;
        flow->netns_cookie = found.flow->netns_cookie;
        flow->start_ns = found.flow->start_ns;
        flow->pid = found.flow->pid;
    } else {
        found.flow = 0;
        const struct mesh_workload *remote = bpf_map_lookup_elem(&MESH_MAP(wload), &arrival->remote);
        if (remote && remote->workload == local->workload)
            return 1;
        if (remote && (remote->flags & MESH_WORKLOAD_QUARANTINED)) {
            flow->reason = MESH_REASON_QUARANTINED;
            return 0;
        }
    }
    if (config->generation == 0) {
        if (local->flags & MESH_WORKLOAD_OPEN)
            return 1;
        flow->reason = MESH_REASON_NOT_READY;
        return 0;
    }
    if (found.flow)
        judgement = mesh_judge_workload(config->generation, flow->source_workload,
                                        mesh_addr_is_v4(&arrival->remote) ? 4 : 6, local, arrival->local_port_be);
    else
        judgement = mesh_judge_address(config->generation, &arrival->remote, local, arrival->local_port_be);
    if (judgement.is_open && arrival->epoch && !found.flow)
        mesh_door_keep(arrival->epoch, &arrival->local, &arrival->remote, flow->generation);
    flow->policy = judgement.policy;
    flow->verdict = judgement.verdict;
    flow->reason = judgement.reason;
    return judgement.verdict == MESH_VERDICT_ALLOW;
}
