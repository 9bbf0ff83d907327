/* cgroup/getpeername4, getpeername6: the application sees the address that it dialled, not the one it was steered to. */
#include <linux/bpf.h>

#include "lib/address.h"
#include "maps.h"

static __always_inline const struct mesh_flow *mesh_peer_flow(struct bpf_sock_addr *ctx)
{
    __u64 cookie = bpf_get_socket_cookie(ctx);
    return bpf_map_lookup_elem(&MESH_MAP(pending), &cookie);
}

SEC("cgroup/getpeername4")
int mesh_peername4(struct bpf_sock_addr *ctx)
{
    const struct mesh_flow *flow = mesh_peer_flow(ctx);
    if (flow && mesh_addr_is_v4(&flow->original)) {
        ctx->user_ip4 = mesh_addr_word(&flow->original, 3);
        ctx->user_port = flow->original_port_be;
    }
    return 1;
}

SEC("cgroup/getpeername6")
int mesh_peername6(struct bpf_sock_addr *ctx)
{
    const struct mesh_flow *flow = mesh_peer_flow(ctx);
    if (flow) {
        ctx->user_ip6[0] = mesh_addr_word(&flow->original, 0);
        ctx->user_ip6[1] = mesh_addr_word(&flow->original, 1);
        ctx->user_ip6[2] = mesh_addr_word(&flow->original, 2);
        ctx->user_ip6[3] = mesh_addr_word(&flow->original, 3);
        ctx->user_port = flow->original_port_be;
    }
    return 1;
}

char LICENSE[] SEC("license") = "GPL";
