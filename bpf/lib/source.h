/* What a frame from behind a veth may claim to be. Inner functions take the parsed fields, the entry point parses. */
#pragma once

#include "../maps.h"
#include "address.h"

/* NULL: not a veth of the mesh. */
static __always_inline const struct mesh_veth *mesh_veth_at(__u32 index)
{
    __u32 number = index & (MESH_VETH_SLOTS - 1);
    const struct mesh_veth_slot *slot = bpf_map_lookup_elem(&MESH_MAP(vslots), &number);
    if (slot && slot->index == index)
        return &slot->veth;
    return bpf_map_lookup_elem(&MESH_MAP(veths), &index);
}

static __always_inline int mesh_source_owned(const struct mesh_addr *address, __u32 workload)
{
    const struct mesh_workload *owner = bpf_map_lookup_elem(&MESH_MAP(wload), address);
    return owner && owner->workload == workload;
}

/* 0.0.0.0 speaks only to groups and to everybody (DHCP, IGMP). */
static __always_inline int mesh_source_v4_allowed(__u32 source_be, __u32 destination_be, const struct mesh_veth *veth)
{
    if (source_be != 0 && source_be == veth->v4_be)
        return 1;
    if (source_be == 0)
        return destination_be == 0xffffffff || (destination_be & bpf_htonl(0xf0000000)) == bpf_htonl(0xe0000000);
    struct mesh_addr address = mesh_addr_v4(source_be);
    return mesh_source_owned(&address, veth->workload);
}

/* Link-local is not routed and is no workload's address; the unspecified source asks whether an address is taken (DAD)
 * or reports group membership (MLD), both to groups. */
static __always_inline int mesh_source_v6_allowed(const struct mesh_addr *source, const struct mesh_addr *destination,
                                                  const struct mesh_veth *veth)
{
    int is_none = source->hi_be == 0 && source->lo_be == 0;
    if (!is_none && mesh_addr_equal(source, &veth->v6))
        return 1;
    if (mesh_addr_is_link_local(source))
        return 1;
    if (is_none)
        return (mesh_addr_word(destination, 0) & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000);
    /* A v4-mapped source on the wire is a disguise for an IPv4 address. */
    if (mesh_addr_is_v4(source))
        return 0;
    return mesh_source_owned(source, veth->workload);
}

/* ARP: the sender claims this address. Zero is a probe. */
static __always_inline int mesh_claim_v4_allowed(__u32 sender_be, __u32 workload)
{
    if (sender_be == 0)
        return 1;
    struct mesh_addr address = mesh_addr_v4(sender_be);
    return mesh_source_owned(&address, workload);
}

/* Neighbour advertisement: the target is claimed. */
static __always_inline int mesh_claim_v6_allowed(const struct mesh_addr *target, __u32 workload)
{
    return mesh_addr_is_link_local(target) || (!mesh_addr_is_v4(target) && mesh_source_owned(target, workload));
}
