/* sk_lookup, one link per enrolled network namespace: decides on each arriving SYN. Admits what was steered here, judges
 * the rest by its address. Passing means the kernel's ordinary look-up: native speed, and its own RST on closed ports. */
#include <linux/bpf.h>
#include <linux/in.h>

#include "lib/admit.h"
#include "lib/report.h"

#define MESH_AF_INET 2
#define MESH_LOOPBACK_INDEX 1

SEC("sk_lookup")
int mesh_lookup(struct bpf_sk_lookup *ctx)
{
    /* UDP: also replies to unconnected sockets come here; a drop would lose them. */
    if (ctx->protocol != IPPROTO_TCP)
        return SK_PASS;
    /* Only 127/8 and ::1 carry the loopback's index: another namespace cannot send from there. */
    if (ctx->ingress_ifindex == MESH_LOOPBACK_INDEX)
        return SK_PASS;

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
    struct mesh_flow flow = {0};
    const struct mesh_config *config = mesh_config_read();
    if (config && mesh_admit_arrival(&arrival, config, &flow)) {
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

char LICENSE[] SEC("license") = "GPL";
