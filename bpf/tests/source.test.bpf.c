#include "check.h"
#include "../lib/source.h"

static __noinline int put_owner(const struct mesh_addr *address, __u32 workload)
{
    if (!address)
        return -1;
    struct mesh_addr key = *address;
    struct mesh_workload value = {.workload = workload, .flags = MESH_WORKLOAD_LOCAL};
    return bpf_map_update_elem(&MESH_MAP(wload), &key, &value, BPF_ANY);
}

CHECK(check_sources_v4)
{
    struct mesh_addr mine = mesh_addr_v4(bpf_htonl(0x0a000001)), theirs = mesh_addr_v4(bpf_htonl(0x0a000002));
    EXPECT(put_owner(&mine, 1) == 0 && put_owner(&theirs, 2) == 0);
    struct mesh_veth veth = {.workload = 1};
    EXPECT(mesh_source_v4_allowed(bpf_htonl(0x0a000001), bpf_htonl(0x0a000002), &veth));
    EXPECT(!mesh_source_v4_allowed(bpf_htonl(0x0a000002), bpf_htonl(0x0a000001), &veth));
    EXPECT(!mesh_source_v4_allowed(bpf_htonl(0x08080808), bpf_htonl(0x0a000001), &veth));
    EXPECT(mesh_source_v4_allowed(0, 0xffffffff, &veth));
    EXPECT(mesh_source_v4_allowed(0, bpf_htonl(0xe0000016), &veth));
    EXPECT(!mesh_source_v4_allowed(0, bpf_htonl(0x0a000002), &veth));
    /* The address that the veth's own row names needs no other row; every other one still does. */
    veth.v4_be = bpf_htonl(0x0a000003);
    EXPECT(mesh_source_v4_allowed(bpf_htonl(0x0a000003), bpf_htonl(0x0a000002), &veth));
    EXPECT(mesh_source_v4_allowed(bpf_htonl(0x0a000001), bpf_htonl(0x0a000002), &veth));
    EXPECT(!mesh_source_v4_allowed(bpf_htonl(0x0a000002), bpf_htonl(0x0a000003), &veth));
    EXPECT(!mesh_source_v4_allowed(0, bpf_htonl(0x0a000002), &veth));
    EXPECT(mesh_claim_v4_allowed(0, 1) && mesh_claim_v4_allowed(bpf_htonl(0x0a000001), 1));
    EXPECT(!mesh_claim_v4_allowed(bpf_htonl(0x0a000002), 1));
    return 0;
}

CHECK(check_sources_v6)
{
    struct mesh_addr mine = mesh_addr_v6(bpf_htonl(0xfd000000), 0, 0, bpf_htonl(1));
    struct mesh_addr theirs = mesh_addr_v6(bpf_htonl(0xfd000000), 0, 0, bpf_htonl(2));
    struct mesh_addr local = mesh_addr_v6(bpf_htonl(0xfe800000), 0, 0, bpf_htonl(9));
    struct mesh_addr group = mesh_addr_v6(bpf_htonl(0xff020000), 0, 0, bpf_htonl(1));
    struct mesh_addr none = {0}, mapped = mesh_addr_v4(bpf_htonl(0x0a000001));
    EXPECT(put_owner(&mine, 1) == 0 && put_owner(&theirs, 2) == 0 && put_owner(&mapped, 1) == 0);
    struct mesh_veth veth = {.workload = 1};
    EXPECT(mesh_source_v6_allowed(&mine, &theirs, &veth));
    EXPECT(!mesh_source_v6_allowed(&theirs, &mine, &veth));
    EXPECT(mesh_source_v6_allowed(&local, &theirs, &veth));
    EXPECT(mesh_source_v6_allowed(&none, &group, &veth));
    EXPECT(!mesh_source_v6_allowed(&none, &theirs, &veth));
    EXPECT(!mesh_source_v6_allowed(&mapped, &theirs, &veth));
    veth.v6 = mesh_addr_v6(bpf_htonl(0xfd000000), 0, 0, bpf_htonl(3));
    EXPECT(mesh_source_v6_allowed(&veth.v6, &theirs, &veth) && mesh_source_v6_allowed(&mine, &theirs, &veth));
    EXPECT(!mesh_source_v6_allowed(&theirs, &mine, &veth) && !mesh_source_v6_allowed(&none, &theirs, &veth));
    EXPECT(mesh_claim_v6_allowed(&mine, 1) && mesh_claim_v6_allowed(&local, 1));
    EXPECT(!mesh_claim_v6_allowed(&theirs, 1) && !mesh_claim_v6_allowed(&mapped, 1));
    return 0;
}

static __noinline __u32 veth_at(__u32 index)
{
    const struct mesh_veth *veth = mesh_veth_at(index);
    return veth ? veth->workload : 0;
}

CHECK(check_veths_of_one_slot)
{
    __u32 number = 7, other = 7 + MESH_VETH_SLOTS;
    struct mesh_veth_slot slot = {.index = number, .veth = {.workload = 1}};
    struct mesh_veth veth = {.workload = 2};
    EXPECT(veth_at(number) == 0 && veth_at(other) == 0);
    EXPECT(bpf_map_update_elem(&MESH_MAP(vslots), &number, &slot, BPF_ANY) == 0);
    EXPECT(veth_at(number) == 1 && veth_at(other) == 0);
    EXPECT(bpf_map_update_elem(&MESH_MAP(veths), &other, &veth, BPF_ANY) == 0);
    EXPECT(veth_at(number) == 1 && veth_at(other) == 2 && veth_at(number + 2 * MESH_VETH_SLOTS) == 0);
    return 0;
}
