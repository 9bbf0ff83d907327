/* cgroup/connect4, cgroup/connect6: every connect() of every task below the attached cgroup, blocking or not, TCP Fast
 * Open, io_uring and MPTCP included. Reads from top to bottom: whose socket, what does it dial, what is decided. */
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/errno.h>

#include "lib/asking.h"
#include "lib/handoff.h"
#include "lib/names.h"
#include "lib/relay.h"
#include "lib/report.h"
#include "lib/steer.h"

#define MESH_PROCEED 1
#define MESH_STOP 0
#define MESH_ASK 2 /* proceed to the name server */

static __always_inline int mesh_connect_refuse(const struct mesh_flow *flow)
{
    mesh_refused(flow, MESH_HOOK_CONNECT);
    /* Without it connect() reports EPERM, which applications take for a local fault. */
    bpf_set_retval(-ECONNREFUSED);
    return MESH_STOP;
}

/* What remains when it is decided that a call may go on: the flow waits for its SYN. */
static __always_inline int mesh_connect_admit(struct bpf_sock_addr *ctx, struct mesh_flow *flow)
{
    if (flow->tier == MESH_TIER_RELAY && !mesh_unbind_device(ctx)) {
        mesh_refuse(flow, MESH_REASON_MAP_ERROR);
        return mesh_connect_refuse(flow);
    }
    flow->socket_cookie = bpf_get_socket_cookie(ctx);
    if (mesh_handoff_put(flow->socket_cookie, flow) != 0) {
        mesh_refuse(flow, MESH_REASON_MAP_ERROR);
        return mesh_connect_refuse(flow);
    }
    if (!(flow->flags & MESH_FLOW_CANARY))
        mesh_count(MESH_HOOK_CONNECT, MESH_REASON_NONE);
    return MESH_PROCEED;
}

static __always_inline void mesh_connect_stamp(struct mesh_flow *flow, __u64 netns)
{
    flow->netns_cookie = netns;
    flow->start_ns = bpf_ktime_get_ns();
    flow->pid = bpf_get_current_pid_tgid() >> 32;
}

/* Everything but the rewrite of the address, which differs between the families. Returns MESH_PROCEED with
 * flow->tier != NONE, or MESH_ASK, when `flow` holds a destination to write. */
static __always_inline int mesh_connect(struct bpf_sock_addr *ctx, struct mesh_call *call, struct mesh_flow *flow)
{
    __u64 netns = bpf_get_netns_cookie(ctx);
    const struct mesh_config *config = mesh_config_read();
    /* The proxy's cgroup is a leaf that only root can divide, so that the current one suffices. */
    int is_proxy = config && config->proxy_cgroup != 0 && bpf_get_current_cgroup_id() == config->proxy_cgroup;
    __u64 epoch = 0;
    if (config && !is_proxy && config->host_netns != netns) {
        epoch = mesh_epoch_read();
        if (epoch &&
            mesh_memo_recall(epoch, netns, &call->address, call->port_be, config->generation, flow)) {
            mesh_connect_stamp(flow, netns);
            return mesh_connect_admit(ctx, flow);
        }
        mesh_memo_barrier();
    }

    const struct mesh_pod *pod = bpf_map_lookup_elem(&MESH_MAP(pods), &netns);
    if (config && config->host_netns != 0 && config->host_netns == netns) {
        call->in_host = 1;
        if (!pod) {
            __u64 unit = mesh_unit_of_task();
            pod = bpf_map_lookup_elem(&MESH_MAP(units), &unit);
        }
    }
    if (!config) {
        if (!pod)
            return MESH_PROCEED;
        flow->source_workload = pod->workload;
        flow->reason = MESH_REASON_MAP_ERROR;
        return mesh_connect_refuse(flow);
    }
    if (is_proxy) {
        const struct mesh_leg *leg = bpf_sk_storage_get(&MESH_MAP(legs), ctx->sk, 0, 0);
        if (!leg) {
            flow->tier = MESH_TIER_LEG;
            flow->original = call->address;
            flow->original_port_be = call->port_be;
            flow->netns_cookie = netns;
            flow->pid = bpf_get_current_pid_tgid() >> 32;
            flow->verdict = MESH_VERDICT_DENY;
            flow->reason = MESH_REASON_UNTAGGED;
            return mesh_connect_refuse(flow);
        }
        call->is_leg = leg->leg == MESH_LEG_INBOUND ? MESH_LEG_INBOUND : MESH_LEG_OUTBOUND;
        call->leg_workload = leg->workload;
    } else if (!pod) {
        return MESH_PROCEED;
    } else if (mesh_names_takes_call(pod, &call->address, call->port_be, ctx->sk->src_port)) {
        /* No flow: nothing is decided about a question, and the name server asks no flow of who comes. */
        flow->destination = mesh_names_server(mesh_addr_is_v4(&call->address));
        flow->destination_port_be = pod->names_port_be;
        if (mesh_asking_steer(ctx, &call->address) == MESH_ASKING_STEERED)
            return MESH_ASK;
        bpf_set_retval(-ECONNREFUSED);
        return MESH_STOP;
    }

    struct mesh_pick pick = {0};
    int action = mesh_decide(call, config, pod, flow, &pick);
    if (action == MESH_ACTION_PASS) {
        mesh_count(MESH_HOOK_CONNECT, MESH_REASON_NONE);
        flow->tier = MESH_TIER_NONE;
        return MESH_PROCEED;
    }
    if (action == MESH_ACTION_PULSE) {
        bpf_set_retval(-MESH_PULSE_ERRNO);
        return MESH_STOP;
    }
    if (action == MESH_ACTION_ACROSS) {
        bpf_set_retval(-MESH_ACROSS_ERRNO);
        return MESH_STOP;
    }
    if (action == MESH_ACTION_ADMIT && flow->tier == MESH_TIER_KERNEL && pick.slots != 0 && epoch)
        mesh_memo_keep(epoch, netns, &pick, flow);
    mesh_connect_stamp(flow, netns);
    if (call->is_leg) {
        const struct mesh_flow *origin = bpf_sk_storage_get(&MESH_MAP(accept), ctx->sk, 0, 0);
        if (origin && mesh_leg_inherit(flow, origin, call->is_leg))
            mesh_leg_take_over(origin);
    }
    if (action != MESH_ACTION_ADMIT)
        return mesh_connect_refuse(flow);
    return mesh_connect_admit(ctx, flow);
}

/* The same for a UDP socket, which only port 53 concerns. */
static __always_inline int mesh_connect_datagram(struct bpf_sock_addr *ctx, const struct mesh_addr *address,
                                                 __u16 *port_be)
{
    switch (mesh_asking_datagram(ctx, address, port_be)) {
    case MESH_ASKING_STEERED:
        return MESH_ASK;
    case MESH_ASKING_REFUSED:
        bpf_set_retval(-ECONNREFUSED);
        return MESH_STOP;
    }
    return MESH_PROCEED;
}

SEC("cgroup/connect4")
int mesh_connect4(struct bpf_sock_addr *ctx)
{
    if (ctx->protocol != IPPROTO_TCP && ctx->protocol != IPPROTO_UDP)
        return MESH_PROCEED;
    struct mesh_call call = {.address = mesh_context_v4(ctx->user_ip4), .port_be = (__u16)ctx->user_port};
    if (ctx->protocol == IPPROTO_UDP) {
        int asks = mesh_connect_datagram(ctx, &call.address, &call.port_be);
        if (asks != MESH_ASK)
            return asks;
        call.address = mesh_names_server(1);
        ctx->user_ip4 = mesh_addr_word(&call.address, 3);
        ctx->user_port = call.port_be;
        return MESH_PROCEED;
    }
    struct mesh_flow flow = {0};
    int result = mesh_connect(ctx, &call, &flow);
    if (result == MESH_STOP)
        return MESH_STOP;
    if (result == MESH_ASK || flow.tier != MESH_TIER_NONE) {
        ctx->user_ip4 = mesh_addr_word(&flow.destination, 3);
        ctx->user_port = flow.destination_port_be;
    }
    return MESH_PROCEED;
}

static __always_inline void mesh_connect_write6(struct bpf_sock_addr *ctx, const struct mesh_addr *address,
                                                __u16 port_be)
{
    ctx->user_ip6[0] = mesh_addr_word(address, 0);
    ctx->user_ip6[1] = mesh_addr_word(address, 1);
    ctx->user_ip6[2] = mesh_addr_word(address, 2);
    ctx->user_ip6[3] = mesh_addr_word(address, 3);
    ctx->user_port = port_be;
}

/* ::ffff:a.b.c.d on an IPv6 socket comes here, not to connect4; its destinations are v4-mapped again. */
SEC("cgroup/connect6")
int mesh_connect6(struct bpf_sock_addr *ctx)
{
    if (ctx->protocol != IPPROTO_TCP && ctx->protocol != IPPROTO_UDP)
        return MESH_PROCEED;
    struct mesh_call call = {
        .address = mesh_context_v6(ctx->user_ip6),
        .port_be = (__u16)ctx->user_port,
    };
    if (ctx->protocol == IPPROTO_UDP) {
        int asks = mesh_connect_datagram(ctx, &call.address, &call.port_be);
        if (asks != MESH_ASK)
            return asks;
        call.address = mesh_names_server(mesh_addr_is_v4(&call.address));
        mesh_connect_write6(ctx, &call.address, call.port_be);
        return MESH_PROCEED;
    }
    struct mesh_flow flow = {0};
    int result = mesh_connect(ctx, &call, &flow);
    if (result == MESH_STOP)
        return MESH_STOP;
    if (result == MESH_ASK || flow.tier != MESH_TIER_NONE)
        mesh_connect_write6(ctx, &flow.destination, flow.destination_port_be);
    return MESH_PROCEED;
}

char LICENSE[] SEC("license") = "GPL";
