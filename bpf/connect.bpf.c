/* cgroup/connect4, cgroup/connect6: every connect() of every task below the attached cgroup, blocking or not, TCP Fast
 * Open, io_uring and MPTCP included. Reads from top to bottom: whose socket, what does it dial, what is decided. */
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/errno.h>

#include "lib/handoff.h"
#include "lib/relay.h"
#include "lib/report.h"
#include "lib/steer.h"

/* asm-generic/socket.h; the same on all architectures that run this. */
#define MESH_SOL_SOCKET 1
#define MESH_SO_BINDTODEVICE 25

#define MESH_PROCEED 1
#define MESH_STOP 0

static __always_inline int mesh_connect_refuse(const struct mesh_flow *flow)
{
    mesh_refused(flow, MESH_HOOK_CONNECT);
    /* Without it connect() reports EPERM, which applications take for a local fault. */
    bpf_set_retval(-ECONNREFUSED);
    return MESH_STOP;
}

/* Everything but the rewrite of the address, which differs between the families. Returns MESH_PROCEED with
 * flow->tier != NONE when `flow` holds a destination to write. */
static __always_inline int mesh_connect(struct bpf_sock_addr *ctx, struct mesh_call *call, struct mesh_flow *flow)
{
    __u64 netns = bpf_get_netns_cookie(ctx);
    const struct mesh_pod *pod = bpf_map_lookup_elem(&MESH_MAP(pods), &netns);
    const struct mesh_config *config = mesh_config_read();
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
    /* The proxy's cgroup is a leaf that only root can divide, so that the current one suffices. */
    if (config->proxy_cgroup != 0 && bpf_get_current_cgroup_id() == config->proxy_cgroup) {
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
        call->is_leg = 1;
        call->leg_workload = leg->workload;
    } else if (!pod) {
        return MESH_PROCEED;
    }

    int action = mesh_decide(call, config, pod, flow);
    if (action == MESH_ACTION_PASS) {
        mesh_count(MESH_HOOK_CONNECT, MESH_REASON_NONE);
        flow->tier = MESH_TIER_NONE;
        return MESH_PROCEED;
    }
    if (action == MESH_ACTION_PULSE) {
        bpf_set_retval(-MESH_PULSE_ERRNO);
        return MESH_STOP;
    }
    flow->netns_cookie = netns;
    flow->start_ns = bpf_ktime_get_ns();
    flow->pid = bpf_get_current_pid_tgid() >> 32;
    if (call->is_leg) {
        const struct mesh_flow *origin = bpf_sk_storage_get(&MESH_MAP(accept), ctx->sk, 0, 0);
        if (origin && mesh_leg_inherit(flow, origin))
            mesh_leg_take_over(origin);
    }
    if (action != MESH_ACTION_ADMIT)
        return mesh_connect_refuse(flow);

    /* A socket that is bound to a device cannot reach loopback: the SYN would leave through the device and be lost. */
    if (flow->tier == MESH_TIER_RELAY && ctx->sk->bound_dev_if != 0) {
        char none[4] = {0};
        if (bpf_setsockopt(ctx, MESH_SOL_SOCKET, MESH_SO_BINDTODEVICE, none, sizeof(none)) != 0) {
            mesh_refuse(flow, MESH_REASON_MAP_ERROR);
            return mesh_connect_refuse(flow);
        }
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

SEC("cgroup/connect4")
int mesh_connect4(struct bpf_sock_addr *ctx)
{
    if (ctx->protocol != IPPROTO_TCP)
        return MESH_PROCEED;
    struct mesh_call call = {.address = mesh_context_v4(ctx->user_ip4), .port_be = (__u16)ctx->user_port};
    struct mesh_flow flow = {0};
    if (mesh_connect(ctx, &call, &flow) == MESH_STOP)
        return MESH_STOP;
    if (flow.tier != MESH_TIER_NONE) {
        ctx->user_ip4 = mesh_addr_word(&flow.destination, 3);
        ctx->user_port = flow.destination_port_be;
    }
    return MESH_PROCEED;
}

/* ::ffff:a.b.c.d on an IPv6 socket comes here, not to connect4; its destinations are v4-mapped again. */
SEC("cgroup/connect6")
int mesh_connect6(struct bpf_sock_addr *ctx)
{
    if (ctx->protocol != IPPROTO_TCP)
        return MESH_PROCEED;
    struct mesh_call call = {
        .address = mesh_context_v6(ctx->user_ip6),
        .port_be = (__u16)ctx->user_port,
    };
    struct mesh_flow flow = {0};
    if (mesh_connect(ctx, &call, &flow) == MESH_STOP)
        return MESH_STOP;
    if (flow.tier != MESH_TIER_NONE) {
        ctx->user_ip6[0] = mesh_addr_word(&flow.destination, 0);
        ctx->user_ip6[1] = mesh_addr_word(&flow.destination, 1);
        ctx->user_ip6[2] = mesh_addr_word(&flow.destination, 2);
        ctx->user_ip6[3] = mesh_addr_word(&flow.destination, 3);
        ctx->user_port = flow.destination_port_be;
    }
    return MESH_PROCEED;
}

char LICENSE[] SEC("license") = "GPL";
