/* cgroup/sendmsg4, sendmsg6: a datagram to port 53 of a workload that asked for names goes to the node proxy's name server.
 * cgroup/recvmsg4, recvmsg6: the answer's source is the address that was asked, because resolvers drop any other.
 *
 * sendmsg runs for datagrams with an address; sockets that connect() to port 53 are steered there (connect.bpf.c). A
 * datagram to ::ffff:a.b.c.d on an IPv6 socket comes to sendmsg4, its answer to recvmsg6. */
#include <linux/bpf.h>
#include <linux/errno.h>

#include "lib/asking.h"

#define MESH_PROCEED 1
#define MESH_STOP 0

static __always_inline int mesh_ask_refuse(void)
{
    bpf_set_retval(-ECONNREFUSED);
    return MESH_STOP;
}

SEC("cgroup/sendmsg4")
int mesh_sendmsg4(struct bpf_sock_addr *ctx)
{
    struct mesh_addr address = mesh_context_v4(ctx->user_ip4);
    __u16 port_be = (__u16)ctx->user_port;
    switch (mesh_asking_datagram(ctx, &address, &port_be)) {
    case MESH_ASKING_NOT:
        return MESH_PROCEED;
    case MESH_ASKING_REFUSED:
        return mesh_ask_refuse();
    }
    struct mesh_addr server = mesh_names_server(1);
    ctx->user_ip4 = mesh_addr_word(&server, 3);
    ctx->user_port = port_be;
    return MESH_PROCEED;
}

SEC("cgroup/sendmsg6")
int mesh_sendmsg6(struct bpf_sock_addr *ctx)
{
    struct mesh_addr address = mesh_context_v6(ctx->user_ip6);
    __u16 port_be = (__u16)ctx->user_port;
    /* The kernel has chosen the interface already, and ::1 is not behind it (net/ipv6/udp.c, udpv6_sendmsg). */
    if (mesh_addr_is_link_local(&address))
        return MESH_PROCEED;
    switch (mesh_asking_datagram(ctx, &address, &port_be)) {
    case MESH_ASKING_NOT:
        return MESH_PROCEED;
    case MESH_ASKING_REFUSED:
        return mesh_ask_refuse();
    }
    struct mesh_addr server = mesh_names_server(0);
    ctx->user_ip6[0] = mesh_addr_word(&server, 0);
    ctx->user_ip6[1] = mesh_addr_word(&server, 1);
    ctx->user_ip6[2] = mesh_addr_word(&server, 2);
    ctx->user_ip6[3] = mesh_addr_word(&server, 3);
    ctx->user_port = port_be;
    return MESH_PROCEED;
}

SEC("cgroup/recvmsg4")
int mesh_recvmsg4(struct bpf_sock_addr *ctx)
{
    struct mesh_addr address = mesh_context_v4(ctx->user_ip4);
    struct mesh_addr origin;
    if (mesh_asking_origin(ctx, &address, (__u16)ctx->user_port, &origin)) {
        ctx->user_ip4 = mesh_addr_word(&origin, 3);
        ctx->user_port = bpf_htons(MESH_PORT_NAMES);
    }
    return MESH_PROCEED;
}

SEC("cgroup/recvmsg6")
int mesh_recvmsg6(struct bpf_sock_addr *ctx)
{
    struct mesh_addr address = mesh_context_v6(ctx->user_ip6);
    struct mesh_addr origin;
    if (mesh_asking_origin(ctx, &address, (__u16)ctx->user_port, &origin)) {
        ctx->user_ip6[0] = mesh_addr_word(&origin, 0);
        ctx->user_ip6[1] = mesh_addr_word(&origin, 1);
        ctx->user_ip6[2] = mesh_addr_word(&origin, 2);
        ctx->user_ip6[3] = mesh_addr_word(&origin, 3);
        ctx->user_port = bpf_htons(MESH_PORT_NAMES);
    }
    return MESH_PROCEED;
}

char LICENSE[] SEC("license") = "GPL";
