/* cgroup/setsockopt: the node proxy says for which accepted connection an upstream socket will dial, by handing over the
 * flow that getsockopt gave. Attached to the cgroup in which the upstream sockets are made. connect believes it only where
 * it fits the socket's tag, and only for what is told. Every other option is the kernel's. */
#include <linux/bpf.h>

#include "maps.h"

SEC("cgroup/setsockopt")
int mesh_setsockopt(struct bpf_sockopt *ctx)
{
    if (ctx->level != MESH_SOL_FLOW || ctx->optname != MESH_SO_FLOW || !ctx->sk)
        return 1;
    const struct mesh_flow *flow = ctx->optval;
    if ((const void *)(flow + 1) > (const void *)ctx->optval_end)
        return 1;
    /* Only sockets that the agent tagged. */
    if (!bpf_sk_storage_get(&MESH_MAP(legs), ctx->sk, 0, 0))
        return 1;
    struct mesh_flow *kept = bpf_sk_storage_get(&MESH_MAP(accept), ctx->sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
    if (!kept)
        return 1;
    *kept = *flow;
    /* Done: the kernel is not asked. */
    ctx->optlen = -1;
    return 1;
}

char LICENSE[] SEC("license") = "GPL";
