/* The decision of connect(): where the connection goes, and whether it may. */
#pragma once

#include "address.h"
#include "host.h"
#include "memo.h"
#include "policy.h"

/* What a socket asked for. */
struct mesh_call {
    struct mesh_addr address;
    __u32 leg_workload; /* the workload for which the node proxy dials */
    __u16 port_be;
    __u8 is_leg;  /* MESH_LEG_*; 0: an application's own call */
    __u8 in_host; /* the socket is in the host's namespace, and workloads there are enrolled */
};

enum mesh_action {
    MESH_ACTION_PASS = 0,   /* not the mesh's business: untouched */
    MESH_ACTION_ADMIT = 1,  /* a flow: destination and tier are in it */
    MESH_ACTION_REFUSE = 2, /* the reason is in the flow */
    MESH_ACTION_PULSE = 3,  /* the agent asks whether calls come here: they do */
    MESH_ACTION_ACROSS = 4, /* a leg that has to be dialled from the destination's namespace */
};

static __always_inline int mesh_refuse(struct mesh_flow *flow, __u8 reason)
{
    flow->verdict = MESH_VERDICT_DENY;
    flow->reason = reason;
    return MESH_ACTION_REFUSE;
}

static __always_inline int mesh_admit(struct mesh_flow *flow)
{
    flow->verdict = MESH_VERDICT_ALLOW;
    flow->reason = MESH_REASON_NONE;
    return MESH_ACTION_ADMIT;
}

/* The client's leg to the node proxy: a listener inside this namespace. The family of the socket has to stay. */
static __always_inline int mesh_steer_relay(const struct mesh_pod *pod, struct mesh_flow *flow)
{
    flow->tier = MESH_TIER_RELAY;
    flow->destination = mesh_addr_loopback(mesh_addr_is_v4(&flow->original));
    flow->destination_port_be = pod->outbound_port_be;
    return mesh_admit(flow);
}

/* Between the networks of a host addresses are translated (masquerade), so that the destination would not know the flow by
 * its 4-tuple. The node proxy carries it, from inside the destination's namespace. */
static __always_inline int mesh_steer_across(const struct mesh_call *call, const struct mesh_pod *pod,
                                             struct mesh_flow *flow)
{
    if (call->is_leg == MESH_LEG_INBOUND)
        return mesh_admit(flow);
    if (call->is_leg)
        return MESH_ACTION_ACROSS;
    flow->flags |= MESH_FLOW_CHOSEN;
    flow->source = flow->destination;
    flow->source_port_be = flow->destination_port_be;
    return mesh_steer_relay(pod, flow);
}

/* One of the mesh's own ports. Nobody calls there but the node proxy, which dials the tunnel to a workload of another host: many
 * connections in one, so that it is no flow of its own. */
static __always_inline int mesh_steer_gateway(const struct mesh_call *call, const struct mesh_workload *destination,
                                              struct mesh_flow *flow)
{
    if (call->is_leg == MESH_LEG_OUTBOUND && flow->destination_port_be == bpf_htons(MESH_PORT_HBONE) &&
        (destination->flags & (MESH_WORKLOAD_TUNNEL | MESH_WORKLOAD_PLACED)) == MESH_WORKLOAD_TUNNEL)
        return MESH_ACTION_PASS;
    return mesh_refuse(flow, MESH_REASON_MESH_PORT);
}

/* A workload that is not enrolled here. One of another host is reached through the node proxy, which is told where the call goes:
 * who may call, that host decides. A leg goes there itself only where nobody asks for a tunnel. */
static __always_inline int mesh_steer_away(const struct mesh_call *call, const struct mesh_pod *pod,
                                           const struct mesh_workload *destination, struct mesh_flow *flow)
{
    if (destination->flags & MESH_WORKLOAD_PLACED)
        return mesh_refuse(flow, MESH_REASON_NOT_ENROLLED);
    if (call->is_leg || !pod)
        return destination->flags & MESH_WORKLOAD_PLAIN ? mesh_admit(flow) : mesh_refuse(flow, MESH_REASON_NO_TUNNEL);
    if (!(destination->flags & (MESH_WORKLOAD_TUNNEL | MESH_WORKLOAD_PLAIN)))
        return mesh_refuse(flow, MESH_REASON_NO_TUNNEL);
    flow->flags |= MESH_FLOW_CHOSEN;
    flow->source = flow->destination;
    flow->source_port_be = flow->destination_port_be;
    return mesh_steer_relay(pod, flow);
}

/* A destination is known, as a workload: may the source reach it? `pod`: where the call is made, NULL only for legs. */
static __always_inline int mesh_steer_workload(const struct mesh_call *call, const struct mesh_pod *pod,
                                               const struct mesh_workload *destination, struct mesh_flow *flow)
{
    flow->destination_workload = destination->workload;
    if (mesh_is_own_port(flow->destination_port_be))
        return mesh_steer_gateway(call, destination, flow);
    if (destination->flags & MESH_WORKLOAD_QUARANTINED)
        return mesh_refuse(flow, MESH_REASON_QUARANTINED);
    if (!(destination->flags & MESH_WORKLOAD_LOCAL))
        return mesh_steer_away(call, pod, destination, flow);
    /* A call to oneself never leaves the namespace: no policy. */
    if (destination->workload == flow->source_workload)
        return mesh_admit(flow);
    struct mesh_judgement judgement =
        mesh_judge_workload(flow->generation, flow->source_workload, mesh_addr_is_v4(&flow->destination) ? 4 : 6,
                            destination, flow->destination_port_be);
    flow->policy = judgement.policy;
    if (judgement.verdict != MESH_VERDICT_ALLOW)
        return mesh_refuse(flow, judgement.reason);
    if (pod && pod->network != destination->network && pod->network != 0 && destination->network != 0)
        return mesh_steer_across(call, pod, flow);
    return mesh_admit(flow);
}

/* A destination that is no workload's: neither the mesh itself nor what has to be steered once more. The node proxy dials the
 * gateways of other hosts there: whoever answers has to prove who it is. */
static __always_inline int mesh_steer_stranger(const struct mesh_config *config, struct mesh_flow *flow, __u8 is_leg)
{
    int is_gateway = is_leg == MESH_LEG_OUTBOUND && flow->destination_port_be == bpf_htons(MESH_PORT_HBONE);
    if (mesh_is_own_port(flow->destination_port_be) && !is_gateway)
        return mesh_refuse(flow, MESH_REASON_MESH_PORT);
    struct mesh_service_key key = {.address = flow->destination, .protocol = 6};
    if (bpf_map_lookup_elem(&MESH_MAP(svc), &key))
        return mesh_refuse(flow, MESH_REASON_SERVICE_LOOP);
    if (mesh_addr_is_vip(&flow->destination, config))
        return mesh_refuse(flow, MESH_REASON_UNKNOWN_VIP);
    return mesh_admit(flow);
}

/* Where a service leads: the workload to judge, with its place in `flow`; or NULL, and `action` says what is to be done. */
static __always_inline const struct mesh_workload *mesh_steer_service(const struct mesh_service *service,
                                                                      const struct mesh_pod *pod,
                                                                      const struct mesh_config *config,
                                                                      struct mesh_flow *flow, struct mesh_pick *pick,
                                                                      int *action)
{
    flow->service = service->service;
    *action = MESH_ACTION_REFUSE;
    if (service->mode != MESH_MODE_KERNEL && service->mode != MESH_MODE_PROXY) {
        mesh_refuse(flow, MESH_REASON_NO_SERVICE_PORT);
        return 0;
    }
    if (service->slots == 0) {
        mesh_refuse(flow, MESH_REASON_NO_ENDPOINT);
        return 0;
    }
    if (service->mode == MESH_MODE_PROXY) {
        *action = mesh_steer_relay(pod, flow);
        return 0;
    }
    struct mesh_endpoint_key slot = {.table = service->table, .slot = service->slots > 1 ? bpf_get_prandom_u32() % service->slots : 0};
    const struct mesh_endpoint *endpoint = bpf_map_lookup_elem(&MESH_MAP(ep), &slot);
    if (!endpoint) {
        mesh_refuse(flow, MESH_REASON_MAP_ERROR);
        return 0;
    }
    if (endpoint->flags & MESH_ENDPOINT_INVALID) {
        mesh_refuse(flow, MESH_REASON_INVALID_BACKEND);
        return 0;
    }
    if (endpoint->flags & MESH_ENDPOINT_REMOTE) {
        flow->destination_workload = endpoint->workload;
        mesh_refuse(flow, MESH_REASON_NO_TUNNEL);
        return 0;
    }
    /* An endpoint of the other family cannot be dialled on this socket. */
    if (mesh_addr_is_v4(&endpoint->address) != mesh_addr_is_v4(&flow->original)) {
        mesh_refuse(flow, MESH_REASON_NO_ENDPOINT);
        return 0;
    }
    flow->destination = endpoint->address;
    flow->destination_port_be = endpoint->port_be;
    if (endpoint->workload == 0) {
        *action = mesh_steer_stranger(config, flow, 0);
        return 0;
    }
    int in_host;
    const struct mesh_workload *destination = mesh_workload_at(&endpoint->address, endpoint->port_be, &in_host);
    if (!destination || destination->workload != endpoint->workload) {
        mesh_refuse(flow, MESH_REASON_MAP_ERROR);
        return 0;
    }
    if (!in_host) {
        pick->table = slot.table;
        pick->slot = slot.slot;
        pick->slots = service->slots;
    }
    return destination;
}

static __always_inline int mesh_is_canary(const struct mesh_service *service)
{
    return service && (service->mode == MESH_MODE_CANARY || service->mode == MESH_MODE_PULSE);
}

/* The agent dials it from inside the namespace. It asks for no policy and no endpoint: it asks whether a call is seen. */
static __always_inline int mesh_steer_canary(const struct mesh_service *service, const struct mesh_pod *pod,
                                             struct mesh_flow *flow)
{
    if (service->mode == MESH_MODE_PULSE)
        return MESH_ACTION_PULSE;
    flow->flags |= MESH_FLOW_CANARY;
    return mesh_steer_relay(pod, flow);
}

/* `flow` and `pick` are zero when they come in. Fills everything that does not need the socket or the task. `pod` is NULL only
 * for a leg that is dialled from a namespace of no workload. */
static __always_inline int mesh_decide(const struct mesh_call *call, const struct mesh_config *config,
                                       const struct mesh_pod *pod, struct mesh_flow *flow, struct mesh_pick *pick)
{
    flow->tier = call->is_leg ? MESH_TIER_LEG : MESH_TIER_KERNEL;
    flow->original = call->address;
    flow->original_port_be = call->port_be;
    flow->destination = call->address;
    flow->destination_port_be = call->port_be;
    flow->generation = config->generation;
    if (call->is_leg)
        flow->source_workload = call->leg_workload;
    else if (pod)
        flow->source_workload = pod->workload;
    else
        return MESH_ACTION_PASS;

    struct mesh_service_key key = {.address = call->address, .port_be = call->port_be, .protocol = 6};
    if (pod && !call->is_leg && (pod->flags & MESH_POD_PROBE)) {
        const struct mesh_service *canary = bpf_map_lookup_elem(&MESH_MAP(svc), &key);
        return mesh_is_canary(canary) ? mesh_steer_canary(canary, pod, flow) : MESH_ACTION_PASS;
    }

    const struct mesh_workload *destination = 0;
    const struct mesh_service *service = 0;
    if (mesh_addr_is_loopback(&call->address)) {
        /* Of a namespace of its own, loopback is the workload itself. */
        if (call->in_host) {
            key.address = mesh_addr_loopback(mesh_addr_is_v4(&call->address));
            destination = mesh_host_port(&key.address, call->port_be);
            /* A port that a container publishes there. */
            if (!destination && !call->is_leg)
                service = bpf_map_lookup_elem(&MESH_MAP(svc), &key);
        }
        if (!destination && !service)
            return MESH_ACTION_PASS;
    }
    if (flow->generation == 0)
        return pod && (pod->flags & MESH_POD_OPEN) ? MESH_ACTION_PASS : mesh_refuse(flow, MESH_REASON_NOT_READY);

    int is_quarantined = pod && (pod->flags & MESH_POD_QUARANTINED);
    /* A leg dials an endpoint that the proxy chose: it is never steered again. */
    if (!destination && !call->is_leg && pod) {
        if (!service)
            service = bpf_map_lookup_elem(&MESH_MAP(svc), &key);
        if (mesh_is_canary(service))
            return mesh_steer_canary(service, pod, flow);
        if (is_quarantined)
            return mesh_refuse(flow, MESH_REASON_QUARANTINED);
        if (service) {
            int action;
            destination = mesh_steer_service(service, pod, config, flow, pick, &action);
            if (!destination)
                return action;
        } else {
            key.port_be = 0;
            if (bpf_map_lookup_elem(&MESH_MAP(svc), &key))
                return mesh_refuse(flow, MESH_REASON_NO_SERVICE_PORT);
        }
    }
    if (is_quarantined)
        return mesh_refuse(flow, MESH_REASON_QUARANTINED);
    if (!destination) {
        destination = bpf_map_lookup_elem(&MESH_MAP(wload), &call->address);
        /* From inside a namespace only that namespace is reached on behalf of somebody else. */
        if (call->is_leg == MESH_LEG_INBOUND && (!pod || !destination || destination->workload != pod->workload))
            return mesh_refuse(flow, MESH_REASON_UNKNOWN_ADDRESS);
        if (!destination && call->is_leg)
            return mesh_steer_stranger(config, flow, call->is_leg) == MESH_ACTION_REFUSE ? MESH_ACTION_REFUSE : MESH_ACTION_PASS;
        if (!destination)
            return mesh_addr_is_vip(&call->address, config) ? mesh_refuse(flow, MESH_REASON_UNKNOWN_VIP)
                                                            : MESH_ACTION_PASS;
        if (destination->flags & MESH_WORKLOAD_NONE)
            return mesh_refuse(flow, MESH_REASON_MAP_ERROR);
        if (destination->flags & MESH_WORKLOAD_HOST) {
            destination = mesh_host_port(&call->address, call->port_be);
            if (!destination)
                return MESH_ACTION_PASS;
        } else if (destination->workload == flow->source_workload && !mesh_is_own_port(call->port_be)) {
            return MESH_ACTION_PASS;
        }
    }
    return mesh_steer_workload(call, pod, destination, flow);
}
