/* The two halves of a relayed connection: the client's connection to the node proxy, and the leg that the proxy dials.
 *
 * One connection is told once, as the leg, because the leg knows where it went and under which policy. What only the
 * client's half knows (the service, what was dialled, by whom and when) comes to the leg through the proxy: it reads the
 * flow of the accepted socket and hands it to the upstream socket before it dials. None of it changes a verdict. */
#pragma once

#include "flows.h"

/* The key under which a flow is published. One that bears its choice went to the relay listener of its own namespace. */
static __always_inline struct mesh_tuple mesh_flow_tuple(const struct mesh_flow *flow)
{
    struct mesh_tuple tuple = {
        .local = flow->destination,
        .remote = flow->source,
        .local_port_be = flow->destination_port_be,
        .remote_port_be = flow->source_port_be,
    };
    if (flow->flags & MESH_FLOW_CHOSEN) {
        tuple.local = mesh_addr_loopback(mesh_addr_is_v4(&flow->original));
        tuple.local_port_be = bpf_htons(MESH_PORT_OUTBOUND);
    }
    if (mesh_addr_is_loopback(&tuple.local))
        tuple.netns_cookie = flow->netns_cookie;
    return tuple;
}

/* `call`: what the proxy handed over. Only a call of the workload for which the leg is tagged is believed, and from the
 * leg's namespace unless the leg is the destination's. */
static __always_inline int mesh_leg_inherit(struct mesh_flow *leg, const struct mesh_flow *call, __u32 kind)
{
    if (call->tier != MESH_TIER_RELAY || call->source_workload != leg->source_workload ||
        (call->netns_cookie != leg->netns_cookie && kind != MESH_LEG_INBOUND))
        return 0;
    leg->service = call->service;
    leg->original = call->original;
    leg->original_port_be = call->original_port_be;
    leg->start_ns = call->start_ns;
    leg->pid = call->pid;
    return 1;
}

/* From here on the client's half is not told on its own. */
static __always_inline void mesh_leg_take_over(const struct mesh_flow *call)
{
    struct mesh_tuple tuple = mesh_flow_tuple(call);
    struct mesh_flow *published = mesh_flow_find(&tuple).flow;
    if (published)
        published->flags |= MESH_FLOW_HAS_LEG;
}
