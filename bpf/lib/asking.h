/* The part of names that needs a socket: entry points of connect, sendmsg, recvmsg and getpeername share it. */
#pragma once

#include <linux/bpf.h>

#include "names.h"
#include "policy.h"

/* asm-generic/socket.h; the same on all architectures that run this. */
#define MESH_SOL_SOCKET 1
#define MESH_SO_BINDTODEVICE 25

/* A socket that is bound to a device cannot reach loopback: what it sends would leave through the device and be lost.
 * False: it stays bound. */
static __always_inline int mesh_unbind_device(struct bpf_sock_addr *ctx)
{
    if (ctx->sk->bound_dev_if == 0)
        return 1;
    char none[4] = {0};
    return bpf_setsockopt(ctx, MESH_SOL_SOCKET, MESH_SO_BINDTODEVICE, none, sizeof(none)) == 0;
}

enum mesh_asking {
    MESH_ASKING_NOT = 0,     /* no question, or nobody's business: untouched */
    MESH_ASKING_STEERED = 1, /* write the name server's address and `port_be` */
    MESH_ASKING_REFUSED = 2, /* it could not be noted whom it asks: never unsteered */
};

/* Keeps whom the socket asks. */
static __always_inline int mesh_asking_steer(struct bpf_sock_addr *ctx, const struct mesh_addr *address)
{
    if (!mesh_unbind_device(ctx))
        return MESH_ASKING_REFUSED;
    struct mesh_asked none = {0};
    struct mesh_asked *asked = bpf_sk_storage_get(&MESH_MAP(names), ctx->sk, &none, BPF_SK_STORAGE_GET_F_CREATE);
    if (!asked)
        return MESH_ASKING_REFUSED;
    mesh_names_note(asked, address);
    return MESH_ASKING_STEERED;
}

/* A datagram, or connect() of a UDP socket. What the node proxy sends, questions to name servers among it, goes out as it
 * is. */
static __always_inline int mesh_asking_datagram(struct bpf_sock_addr *ctx, const struct mesh_addr *address,
                                                __u16 *port_be)
{
    if (*port_be != bpf_htons(MESH_PORT_NAMES))
        return MESH_ASKING_NOT;
    __u64 netns = bpf_get_netns_cookie(ctx);
    const struct mesh_pod *pod = bpf_map_lookup_elem(&MESH_MAP(pods), &netns);
    if (!pod || !mesh_names_taken(pod, address, *port_be, ctx->sk->src_port))
        return MESH_ASKING_NOT;
    const struct mesh_config *config = mesh_config_read();
    if (config && config->proxy_cgroup != 0 && bpf_get_current_cgroup_id() == config->proxy_cgroup)
        return MESH_ASKING_NOT;
    *port_be = pod->names_port_be;
    return mesh_asking_steer(ctx, address);
}

/* The address that the socket asked, if what is at `address` and `port_be` is the name server. */
static __always_inline int mesh_asking_origin(struct bpf_sock_addr *ctx, const struct mesh_addr *address, __u16 port_be,
                                              struct mesh_addr *origin)
{
    if (!mesh_names_answered(address, port_be))
        return 0;
    const struct mesh_asked *asked = bpf_sk_storage_get(&MESH_MAP(names), ctx->sk, 0, 0);
    return asked && mesh_names_origin(asked, address, origin);
}
