/* sockops: carries a flow from connect() to the acceptor and to the end of the connection.
 *
 *   TCP_CONNECT_CB       before the SYN: the 4-tuple is final, publish the flow under it
 *   PASSIVE_ESTABLISHED  the accepted socket of a relay listener keeps the flow
 *   STATE_CB             a leg of the node proxy stands: counted from here on, because a proxy that dials one endpoint
 *                        after the other relays one connection
 *   STATE_CB to CLOSE    the client's socket ends, however: bytes, round trip, and the published entry goes
 *
 * The entry stays as long as the client's socket, and not only for the handshake: sk_lookup sees every packet that finds no
 * socket, so also what the client still sends when the server has closed, and has to know it.
 *
 * Runs for every TCP socket below the attached cgroup, so that the first test is the cheapest: by `op`. */
#include <linux/bpf.h>
#include <linux/tcp.h>

#include "lib/address.h"
#include "lib/flows.h"
#include "lib/handoff.h"
#include "lib/report.h"
#include "lib/transfer.h"

/* The numbers of the kernel's socket families. */
#define MESH_AF_INET 2
#define MESH_AF_INET6 10

static __always_inline int mesh_ops_addresses(struct bpf_sock_ops *ctx, struct mesh_addr *local,
                                              struct mesh_addr *remote)
{
    /* An IPv6 socket that speaks IPv4 holds v4-mapped addresses here; the *_ip4 fields are junk for native IPv6. */
    if (ctx->family == MESH_AF_INET) {
        *local = mesh_context_v4(ctx->local_ip4);
        *remote = mesh_context_v4(ctx->remote_ip4);
        return 1;
    }
    if (ctx->family == MESH_AF_INET6) {
        *local = mesh_context_v6(ctx->local_ip6);
        *remote = mesh_context_v6(ctx->remote_ip6);
        return 1;
    }
    return 0;
}

/* Most accepted sockets are not, and nothing else of them is read. */
static __always_inline int mesh_ops_is_loopback(struct bpf_sock_ops *ctx)
{
    struct mesh_addr local = {0};
    if (ctx->family == MESH_AF_INET)
        local = mesh_context_v4(ctx->local_ip4);
    else if (ctx->family == MESH_AF_INET6)
        local = mesh_context_v6(ctx->local_ip6);
    else
        return 0;
    return mesh_addr_is_loopback(&local);
}

/* local_port is in host order, remote_port has the port in network order in its upper half. */
#define mesh_ops_local_port_be(ctx) bpf_htons((__u16)(ctx)->local_port)
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define mesh_ops_remote_port_be(ctx) ((__u16)((ctx)->remote_port >> 16))
#else
#define mesh_ops_remote_port_be(ctx) ((__u16)(ctx)->remote_port)
#endif

/* Marks a leg of the node proxy: a socket bears its flags, and to ask them costs less than a look-up. The callback itself
 * (retransmission timeouts) is not wanted and does nothing. */
#define MESH_OPS_LEG_FLAG BPF_SOCK_OPS_RTO_CB_FLAG

static __always_inline void mesh_ops_connect(struct bpf_sock_ops *ctx)
{
    struct mesh_flow flow;
    if (!mesh_handoff_take(bpf_get_socket_cookie(ctx), &flow))
        return;
    struct mesh_tuple tuple = {0};
    if (!mesh_ops_addresses(ctx, &tuple.remote, &tuple.local))
        return;
    tuple.remote_port_be = mesh_ops_local_port_be(ctx);
    tuple.local_port_be = mesh_ops_remote_port_be(ctx);
    /* What connect() left behind when it failed before the SYN does not belong to a later connect elsewhere. */
    if (!mesh_addr_equal(&tuple.local, &flow.destination) || tuple.local_port_be != flow.destination_port_be)
        return;
    if (mesh_addr_is_loopback(&tuple.local))
        tuple.netns_cookie = flow.netns_cookie;
    if (flow.flags & MESH_FLOW_CHOSEN) {
        flow.destination = flow.source;
        flow.destination_port_be = flow.source_port_be;
    }
    flow.source = tuple.remote;
    flow.source_port_be = tuple.remote_port_be;
    if (mesh_flow_publish(&tuple, &flow) != 0)
        mesh_count(MESH_HOOK_SOCKOPS, MESH_REASON_MAP_ERROR);
    __u32 wanted = BPF_SOCK_OPS_STATE_CB_FLAG | (flow.tier == MESH_TIER_LEG ? MESH_OPS_LEG_FLAG : 0);
    bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | wanted);
    if (flow.tier == MESH_TIER_KERNEL)
        mesh_edge_change(&flow, MESH_EDGE_OPENED, 0, 0);
}

/* Of the kernel's structs, what the context has not, or only by a call; placed by the kernel's own type information. */
typedef struct {
    long long counter;
} atomic64_t;
struct sock_common {
    unsigned long skc_flags;
    atomic64_t skc_cookie; /* set since connect() asked for it */
} __attribute__((preserve_access_index));
struct tcp_sock {
    __u32 write_seq;
} __attribute__((preserve_access_index));
#define MESH_SOCK_DONE 1 /* bit of skc_flags: enum sock_flags, include/net/sock.h */

/* The flow of the client's socket, once published; its key in `tuple`. */
static __always_inline struct mesh_published mesh_ops_flow(struct bpf_sock_ops *ctx, struct mesh_tuple *tuple,
                                                            struct tcp_sock *tcp)
{
    struct mesh_published found = {0};
    if (!mesh_ops_addresses(ctx, &tuple->remote, &tuple->local))
        return found;
    tuple->remote_port_be = mesh_ops_local_port_be(ctx);
    tuple->local_port_be = mesh_ops_remote_port_be(ctx);
    if (mesh_addr_is_loopback(&tuple->local))
        tuple->netns_cookie = bpf_get_netns_cookie(ctx);
    found = mesh_flow_find(tuple);
    if (found.flow) {
        __u64 cookie = tcp ? (__u64)((struct sock_common *)tcp)->skc_cookie.counter : bpf_get_socket_cookie(ctx);
        if (found.flow->socket_cookie != cookie)
            found.flow = 0;
    }
    return found;
}

static __always_inline void mesh_ops_connected(struct bpf_sock_ops *ctx)
{
    if (!(ctx->bpf_sock_ops_cb_flags & MESH_OPS_LEG_FLAG))
        return;
    struct mesh_tuple tuple = {0};
    const struct mesh_flow *flow = mesh_ops_flow(ctx, &tuple, 0).flow;
    if (flow && flow->tier == MESH_TIER_LEG)
        mesh_edge_change(flow, MESH_EDGE_OPENED, 0, 0);
}

static __always_inline void mesh_ops_accepted(struct bpf_sock_ops *ctx)
{
    struct mesh_tuple tuple = {0};
    if (!mesh_ops_is_loopback(ctx) || !mesh_ops_addresses(ctx, &tuple.local, &tuple.remote))
        return;
    tuple.local_port_be = mesh_ops_local_port_be(ctx);
    tuple.remote_port_be = mesh_ops_remote_port_be(ctx);
    tuple.netns_cookie = bpf_get_netns_cookie(ctx);
    const struct mesh_flow *flow = mesh_flow_find(&tuple).flow;
    /* Without a flow the proxy closes: an error here refuses. */
    if (flow && flow->tier == MESH_TIER_RELAY && ctx->sk)
        if (!bpf_sk_storage_get(&MESH_MAP(accept), ctx->sk, (void *)flow, BPF_SK_STORAGE_GET_F_CREATE))
            mesh_count(MESH_HOOK_SOCKOPS, MESH_REASON_MAP_ERROR);
}

static __always_inline struct mesh_ending mesh_ops_ending(struct bpf_sock_ops *ctx, struct tcp_sock *tcp, __u32 old_state)
{
    struct mesh_ending end = {
        .acked = ctx->bytes_acked, .received = ctx->bytes_received, .old_state = old_state, .snd_una = ctx->snd_una};
    end.write_seq = end.snd_una;
    if (tcp) {
        end.write_seq = tcp->write_seq;
        end.fin_received = ((struct sock_common *)tcp)->skc_flags >> MESH_SOCK_DONE & 1;
    }
    return end;
}

static __always_inline void mesh_ops_closed(struct bpf_sock_ops *ctx, __u32 old_state)
{
    struct mesh_tuple tuple = {0};
    struct tcp_sock *tcp = ctx->sk ? bpf_skc_to_tcp_sock(ctx->sk) : 0;
    struct mesh_published found = mesh_ops_flow(ctx, &tuple, tcp);
    const struct mesh_flow *flow = found.flow;
    if (!flow)
        return;
    struct mesh_ending end = mesh_ops_ending(ctx, tcp, old_state);
    __u64 sent = mesh_sent_bytes(&end);
    __u64 received = mesh_received_bytes(&end);
    /* Filled first and handed over last: its memory is cold, and who hands it over waits until it is written. */
    struct mesh_event *event = 0;
    if (flow->tier != MESH_TIER_RELAY || !(flow->flags & (MESH_FLOW_HAS_LEG | MESH_FLOW_CANARY)))
        event = mesh_event_reserve();
    if (event) {
        event->flow = *flow;
        event->time_ns = bpf_ktime_get_ns();
        event->sent_bytes = sent;
        event->received_bytes = received;
        event->rtt_us = ctx->srtt_us >> 3; /* the kernel keeps eight times the smoothed value */
        event->retransmits = ctx->total_retrans;
        event->kind = MESH_EVENT_CLOSED;
        event->hook = MESH_HOOK_SOCKOPS;
    }
    if (flow->tier == MESH_TIER_KERNEL || (flow->tier == MESH_TIER_LEG && old_state != BPF_TCP_SYN_SENT))
        mesh_edge_change(flow, MESH_EDGE_CLOSED, sent, received);
    mesh_flow_withdraw(&tuple, &found);
    if (event)
        mesh_event_submit(event);
}

SEC("sockops")
int mesh_sockops(struct bpf_sock_ops *ctx)
{
    switch (ctx->op) {
    case BPF_SOCK_OPS_TCP_CONNECT_CB:
        mesh_ops_connect(ctx);
        break;
    case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
        mesh_ops_accepted(ctx);
        break;
    case BPF_SOCK_OPS_STATE_CB:
        if (ctx->args[1] == BPF_TCP_ESTABLISHED)
            mesh_ops_connected(ctx);
        else if (ctx->args[1] == BPF_TCP_CLOSE)
            mesh_ops_closed(ctx, ctx->args[0]);
        break;
    }
    return 1;
}

char LICENSE[] SEC("license") = "GPL";
