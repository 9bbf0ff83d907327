/* cgroup/getsockopt: the node proxy asks an accepted socket what it was meant for. Attached to the cgroup in which the
 * listeners are opened. The private level gives the whole flow; SO_ORIGINAL_DST gives the address that was dialled, for
 * programs that know nothing else. An accepted socket without a flow gets the kernel's own answer. */
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/in6.h>

#include "lib/address.h"
#include "maps.h"

#define MESH_SOL_IP 0
#define MESH_SOL_IPV6 41
#define MESH_SO_ORIGINAL_DST 80 /* linux/netfilter_ipv4.h, and IP6T_SO_ORIGINAL_DST */
#define MESH_AF_INET 2
#define MESH_AF_INET6 10

/* Through volatile: clang would merge the two stores into one, which the verifier refuses. */
static __always_inline void mesh_answer(struct bpf_sockopt *ctx, __s32 length)
{
    *(volatile __s32 *)&ctx->optlen = length;
    *(volatile __s32 *)&ctx->retval = 0;
}

SEC("cgroup/getsockopt")
int mesh_getsockopt(struct bpf_sockopt *ctx)
{
    __s32 level = ctx->level, name = ctx->optname;
    int flow_wanted = level == MESH_SOL_FLOW && name == MESH_SO_FLOW;
    int v4_wanted = level == MESH_SOL_IP && name == MESH_SO_ORIGINAL_DST;
    int v6_wanted = level == MESH_SOL_IPV6 && name == MESH_SO_ORIGINAL_DST;
    if (!flow_wanted && !v4_wanted && !v6_wanted)
        return 1;
    if (!ctx->sk)
        return 1;
    const struct mesh_flow *flow = bpf_sk_storage_get(&MESH_MAP(accept), ctx->sk, 0, 0);
    if (!flow)
        return 1;

    void *value = ctx->optval, *end = ctx->optval_end;
    if (flow_wanted) {
        struct mesh_flow *answer = value;
        if ((void *)(answer + 1) > end)
            return 1;
        *answer = *flow;
        mesh_answer(ctx, sizeof(*answer));
    } else if (v4_wanted) {
        struct sockaddr_in *answer = value;
        if (!mesh_addr_is_v4(&flow->original) || (void *)(answer + 1) > end)
            return 1;
        __builtin_memset(answer, 0, sizeof(*answer));
        answer->sin_family = MESH_AF_INET;
        answer->sin_port = flow->original_port_be;
        answer->sin_addr.s_addr = mesh_addr_word(&flow->original, 3);
        mesh_answer(ctx, sizeof(*answer));
    } else {
        struct sockaddr_in6 *answer = value;
        if ((void *)(answer + 1) > end)
            return 1;
        __builtin_memset(answer, 0, sizeof(*answer));
        answer->sin6_family = MESH_AF_INET6;
        answer->sin6_port = flow->original_port_be;
        answer->sin6_addr.s6_addr32[0] = mesh_addr_word(&flow->original, 0);
        answer->sin6_addr.s6_addr32[1] = mesh_addr_word(&flow->original, 1);
        answer->sin6_addr.s6_addr32[2] = mesh_addr_word(&flow->original, 2);
        answer->sin6_addr.s6_addr32[3] = mesh_addr_word(&flow->original, 3);
        mesh_answer(ctx, sizeof(*answer));
    }
    return 1;
}

char LICENSE[] SEC("license") = "GPL";
