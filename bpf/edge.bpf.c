/* tc ingress at the host end of an enrolled veth: whoever is behind it speaks with its own addresses only. The mesh's
 * identities on one host rest on this. What is not IPv4, IPv6 or ARP does not pass: a mesh workload needs nothing else. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include "lib/report.h"
#include "lib/source.h"

/* On to the next program or the stack (TC_ACT_UNSPEC, TCX_NEXT); drop (TC_ACT_SHOT, TCX_DROP). */
#define MESH_EDGE_NEXT (-1)
#define MESH_EDGE_DROP 2

#define MESH_NEXTHDR_HOP 0
#define MESH_NEXTHDR_ROUTING 43
#define MESH_NEXTHDR_ICMPV6 58
#define MESH_NEXTHDR_DESTINATION 60
#define MESH_ND_ADVERTISEMENT 136
#define MESH_EXTENSIONS 4

struct mesh_arp {
    __u16 hardware_be;
    __u16 protocol_be;
    __u8 hardware_length;
    __u8 protocol_length;
    __u16 operation_be;
    __u8 sender_hardware[6];
    __u8 sender_be[4];
    __u8 target_hardware[6];
    __u8 target_be[4];
};

static __always_inline int mesh_edge_arp(struct __sk_buff *ctx, __u32 workload)
{
    struct mesh_arp arp;
    if (bpf_skb_load_bytes(ctx, ETH_HLEN, &arp, sizeof(arp)) != 0)
        return 0;
    if (arp.protocol_be != bpf_htons(ETH_P_IP) || arp.hardware_length != 6 || arp.protocol_length != 4)
        return 0;
    __u32 sender_be;
    __builtin_memcpy(&sender_be, arp.sender_be, sizeof(sender_be));
    return mesh_claim_v4_allowed(sender_be, workload);
}

/* Looks behind extension headers, so that an advertisement cannot hide there. A fragment is not looked into: the kernel
 * ignores neighbour discovery in fragments (RFC 6980, suppress_frag_ndisc). */
static __always_inline int mesh_edge_icmpv6(struct __sk_buff *ctx, __u8 next, __u32 workload)
{
    __u32 offset = ETH_HLEN + sizeof(struct ipv6hdr);
#pragma unroll
    for (int i = 0; i < MESH_EXTENSIONS; i++) {
        if (next != MESH_NEXTHDR_HOP && next != MESH_NEXTHDR_ROUTING && next != MESH_NEXTHDR_DESTINATION)
            break;
        __u8 header[2];
        if (bpf_skb_load_bytes(ctx, offset, header, sizeof(header)) != 0)
            return 0;
        next = header[0];
        offset += ((__u32)header[1] + 1) * 8;
    }
    if (next == MESH_NEXTHDR_HOP || next == MESH_NEXTHDR_ROUTING || next == MESH_NEXTHDR_DESTINATION)
        return 0;
    if (next != MESH_NEXTHDR_ICMPV6)
        return 1;
    __u8 type;
    if (bpf_skb_load_bytes(ctx, offset, &type, sizeof(type)) != 0)
        return 0;
    if (type != MESH_ND_ADVERTISEMENT)
        return 1;
    union mesh_addr_words target;
    if (bpf_skb_load_bytes(ctx, offset + 8, &target, sizeof(target)) != 0)
        return 0;
    return mesh_claim_v6_allowed(&target.address, workload);
}

/* Nearly always the header lies in the packet's linear part, and is read where it is. */
static __always_inline int mesh_edge_v4(struct __sk_buff *ctx, const struct mesh_veth *veth)
{
    const struct iphdr *ip = (void *)(long)ctx->data + ETH_HLEN;
    if ((void *)(ip + 1) <= (void *)(long)ctx->data_end)
        return mesh_source_v4_allowed(ip->saddr, ip->daddr, veth);
    __u32 addresses_be[2];
    if (bpf_skb_load_bytes(ctx, ETH_HLEN + __builtin_offsetof(struct iphdr, saddr), addresses_be,
                           sizeof(addresses_be)) != 0)
        return 0;
    return mesh_source_v4_allowed(addresses_be[0], addresses_be[1], veth);
}

static __always_inline int mesh_edge_v6(struct __sk_buff *ctx, const struct mesh_veth *veth)
{
    struct {
        union mesh_addr_words source, destination;
    } addresses;
    __u8 next;
    if (bpf_skb_load_bytes(ctx, ETH_HLEN + __builtin_offsetof(struct ipv6hdr, saddr), &addresses, sizeof(addresses)) !=
        0)
        return 0;
    if (bpf_skb_load_bytes(ctx, ETH_HLEN + __builtin_offsetof(struct ipv6hdr, nexthdr), &next, sizeof(next)) != 0)
        return 0;
    return mesh_source_v6_allowed(&addresses.source.address, &addresses.destination.address, veth) &&
           mesh_edge_icmpv6(ctx, next, veth->workload);
}

static __always_inline int mesh_edge_allowed(struct __sk_buff *ctx, const struct mesh_veth *veth)
{
    if (ctx->vlan_present)
        return 0;
    switch (ctx->protocol) {
    case bpf_htons(ETH_P_IP):
        return mesh_edge_v4(ctx, veth);
    case bpf_htons(ETH_P_IPV6):
        return mesh_edge_v6(ctx, veth);
    case bpf_htons(ETH_P_ARP):
        return mesh_edge_arp(ctx, veth->workload);
    }
    return 0;
}

SEC("tc")
int mesh_edge(struct __sk_buff *ctx)
{
    const struct mesh_veth *veth = mesh_veth_at(ctx->ifindex);
    if (!veth || mesh_edge_allowed(ctx, veth))
        return MESH_EDGE_NEXT;
    /* Counted, not recorded: a forger would otherwise fill the ring. */
    mesh_count(MESH_HOOK_EDGE,
               veth->workload == MESH_WORKLOAD_NOBODY ? MESH_REASON_QUARANTINED : MESH_REASON_FORGED_SOURCE);
    return MESH_EDGE_DROP;
}

char LICENSE[] SEC("license") = "GPL";
