/* cgroup/getpeername4, getpeername6: the application sees the address that it dialled, not the one it was steered to. */
#include <linux/bpf.h>

#include "lib/asking.h"
#include "lib/flows.h"

#define MESH_IPPROTO_MPTCP 262

/* The flow of the connection between these addresses, if it is this socket's. That of a Multipath TCP socket was made by
 * its first subflow, a socket of its own whose addresses the outer one has; user space sees the outer one. */
static __always_inline const struct mesh_flow *mesh_peer_flow(struct bpf_sock_addr *ctx, struct mesh_tuple *tuple)
{
    tuple->local_port_be = (__u16)ctx->user_port;
    tuple->remote_port_be = bpf_htons((__u16)ctx->sk->src_port);
    if (mesh_addr_is_loopback(&tuple->local))
        tuple->netns_cookie = bpf_get_netns_cookie(ctx);
    const struct mesh_flow *flow = mesh_flow_find(tuple).flow;
    if (!flow || (ctx->protocol != MESH_IPPROTO_MPTCP && flow->socket_cookie != bpf_get_socket_cookie(ctx)))
        return 0;
    return flow;
}

SEC("cgroup/getpeername4")
int mesh_peername4(struct bpf_sock_addr *ctx)
{
    struct mesh_tuple tuple = {.local = mesh_context_v4(ctx->user_ip4), .remote = mesh_addr_v4(ctx->sk->src_ip4)};
    const struct mesh_flow *flow = mesh_peer_flow(ctx, &tuple);
    if (flow && mesh_addr_is_v4(&flow->original)) {
        ctx->user_ip4 = mesh_addr_word(&flow->original, 3);
        ctx->user_port = flow->original_port_be;
        return 1;
    }
    struct mesh_addr asked;
    if (mesh_asking_origin(ctx, &tuple.local, tuple.local_port_be, &asked)) {
        ctx->user_ip4 = mesh_addr_word(&asked, 3);
        ctx->user_port = bpf_htons(MESH_PORT_NAMES);
    }
    return 1;
}

SEC("cgroup/getpeername6")
int mesh_peername6(struct bpf_sock_addr *ctx)
{
    struct mesh_tuple tuple = {.local = mesh_context_v6(ctx->user_ip6), .remote = mesh_context_v6(ctx->sk->src_ip6)};
    const struct mesh_flow *flow = mesh_peer_flow(ctx, &tuple);
    struct mesh_addr dialled;
    __u16 port_be = bpf_htons(MESH_PORT_NAMES);
    if (flow) {
        dialled = flow->original;
        port_be = flow->original_port_be;
    } else if (!mesh_asking_origin(ctx, &tuple.local, tuple.local_port_be, &dialled)) {
        return 1;
    }
    ctx->user_ip6[0] = mesh_addr_word(&dialled, 0);
    ctx->user_ip6[1] = mesh_addr_word(&dialled, 1);
    ctx->user_ip6[2] = mesh_addr_word(&dialled, 2);
    ctx->user_ip6[3] = mesh_addr_word(&dialled, 3);
    ctx->user_port = port_be;
    return 1;
}

char LICENSE[] SEC("license") = "GPL";
