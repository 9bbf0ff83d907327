/* sk_lookup: decides on each arriving SYN. Admits what was steered here, judges the rest by its address. Passing means the
 * kernel's ordinary look-up: native speed, and its own RST on closed ports.
 *
 *   mesh_lookup       a namespace that one workload owns: everything but loopback is decided
 *   mesh_hostlookup   the host's own namespace: only {address, port} pairs that a workload declared, loopback included */
#include <linux/bpf.h>
#include <linux/in.h>

#include "lib/admit.h"
#include "lib/host.h"
#include "lib/report.h"

#define MESH_AF_INET 2
#define MESH_LOOPBACK_INDEX 1

static __always_inline struct mesh_arrival mesh_arrival_of(struct bpf_sk_lookup *ctx)
{
    struct mesh_arrival arrival = {
        .local_port_be = bpf_htons((__u16)ctx->local_port),
        .remote_port_be = (__u16)ctx->remote_port,
    };
    if (ctx->family == MESH_AF_INET) {
        arrival.local = mesh_context_v4(ctx->local_ip4);
        arrival.remote = mesh_context_v4(ctx->remote_ip4);
    } else {
        arrival.local = mesh_context_v6(ctx->local_ip6);
        arrival.remote = mesh_context_v6(ctx->remote_ip6);
    }
    return arrival;
}

static __always_inline int mesh_lookup_decide(const struct mesh_arrival *arrival, const struct mesh_workload *local,
                                              const struct mesh_config *config)
{
    struct mesh_flow flow = {0};
    if (config && mesh_admit_arrival(arrival, local, config, &flow)) {
        mesh_count(MESH_HOOK_LOOKUP, MESH_REASON_NONE);
        return SK_PASS;
    }
    if (!config)
        flow.reason = MESH_REASON_MAP_ERROR;
    if (flow.start_ns == 0)
        flow.start_ns = bpf_ktime_get_ns();
    mesh_refused(&flow, MESH_HOOK_LOOKUP);
    return SK_DROP;
}

SEC("sk_lookup")
int mesh_lookup(struct bpf_sk_lookup *ctx)
{
    /* UDP: also replies to unconnected sockets come here; a drop would lose them. */
    if (ctx->protocol != IPPROTO_TCP)
        return SK_PASS;
    /* Only 127/8 and ::1 carry the loopback's index: another namespace cannot send from there. */
    if (ctx->ingress_ifindex == MESH_LOOPBACK_INDEX)
        return SK_PASS;
    struct mesh_arrival arrival = mesh_arrival_of(ctx);
    const struct mesh_config *config = mesh_config_read();
    arrival.epoch = mesh_epoch_read();
    if (config && arrival.epoch && (mesh_admit_open(&arrival, config) || mesh_admit_known(&arrival, config))) {
        mesh_count(MESH_HOOK_LOOKUP, MESH_REASON_NONE);
        return SK_PASS;
    }
    mesh_memo_barrier();
    return mesh_lookup_decide(&arrival, bpf_map_lookup_elem(&MESH_MAP(wload), &arrival.local), config);
}

SEC("sk_lookup")
int mesh_hostlookup(struct bpf_sk_lookup *ctx)
{
    if (ctx->protocol != IPPROTO_TCP)
        return SK_PASS;
    struct mesh_arrival arrival = mesh_arrival_of(ctx);
    arrival.in_host = 1;
    const struct mesh_workload *local = mesh_host_port(&arrival.local, arrival.local_port_be);
    if (!local)
        return SK_PASS;
    const struct mesh_config *config = mesh_config_read();
    if (config && mesh_addr_is_loopback(&arrival.local))
        arrival.netns_cookie = config->host_netns;
    return mesh_lookup_decide(&arrival, local, config);
}

char LICENSE[] SEC("license") = "GPL";
