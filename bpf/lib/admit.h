/* The decision at the destination: a connection arrives at an address of an enrolled namespace. */
#pragma once

#include "address.h"
#include "flows.h"
#include "policy.h"

/* What arrived. */
struct mesh_arrival {
    struct mesh_addr local;
    struct mesh_addr remote;
    __u64 netns_cookie; /* 0 unless the addresses are loopback */
    __u16 local_port_be;
    __u16 remote_port_be;
};

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
        flow->reason = MESH_REASON_MESH_PORT;
        return 0;
    }

    if (local->flags & MESH_WORKLOAD_QUARANTINED) {
        flow->reason = MESH_REASON_QUARANTINED;
        return 0;
    }

    struct mesh_judgement judgement;
    struct mesh_tuple tuple = {
        .local = arrival->local,
        .remote = arrival->remote,
        .netns_cookie = arrival->netns_cookie,
        .local_port_be = arrival->local_port_be,
        .remote_port_be = arrival->remote_port_be,
    };
    const struct mesh_flow *known = mesh_flow_find(&tuple).flow;
    if (known && known->destination_workload == local->workload && known->verdict == MESH_VERDICT_ALLOW) {
        if (known->generation == config->generation)
            return 1;
        if (known->source_workload == local->workload)
            return 1;
        /* Policy changed between connect and here: the verdict of the past does not count. */
        flow->tier = known->tier;
        flow->source_workload = known->source_workload;
        flow->service = known->service;
        flow->original = known->original;
        flow->original_port_be = known->original_port_be;
        flow->netns_cookie = known->netns_cookie;
        flow->start_ns = known->start_ns;
        flow->pid = known->pid;
    } else {
        known = 0;
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
    if (known)
        judgement = mesh_judge_workload(config->generation, flow->source_workload,
                                        mesh_addr_is_v4(&arrival->remote) ? 4 : 6, local, arrival->local_port_be);
    else
        judgement = mesh_judge_address(config->generation, &arrival->remote, local, arrival->local_port_be);
    flow->policy = judgement.policy;
    flow->verdict = judgement.verdict;
    flow->reason = judgement.reason;
    return judgement.verdict == MESH_VERDICT_ALLOW;
}
