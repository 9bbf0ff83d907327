#include "check.h"
#include "../lib/address.h"

CHECK(check_address_building)
{
    struct mesh_addr v4 = mesh_addr_v4(bpf_htonl(0x0a000001));
    EXPECT(v4.hi_be == 0);
    EXPECT(v4.lo_be == bpf_cpu_to_be64(0x0000ffff0a000001ull));
    EXPECT(mesh_addr_is_v4(&v4));
    EXPECT(mesh_addr_word(&v4, 3) == bpf_htonl(0x0a000001));
    struct mesh_addr v6 = mesh_addr_v6(bpf_htonl(0xfd000000), bpf_htonl(1), bpf_htonl(2), bpf_htonl(3));
    EXPECT(v6.hi_be == bpf_cpu_to_be64(0xfd00000000000001ull));
    EXPECT(v6.lo_be == bpf_cpu_to_be64(0x0000000200000003ull));
    EXPECT(!mesh_addr_is_v4(&v6));
    EXPECT(!mesh_addr_equal(&v4, &v6));
    EXPECT(mesh_addr_equal(&v6, &v6));
    return 0;
}

CHECK(check_loopback)
{
    struct mesh_addr a = mesh_addr_v4(bpf_htonl(0x7f000001));
    EXPECT(mesh_addr_is_loopback(&a));
    a = mesh_addr_v4(bpf_htonl(0x7fffffff));
    EXPECT(mesh_addr_is_loopback(&a));
    a = mesh_addr_v4(bpf_htonl(0x80000001));
    EXPECT(!mesh_addr_is_loopback(&a));
    a = mesh_addr_v4(0);
    EXPECT(mesh_addr_is_loopback(&a));
    a = mesh_addr_v6(0, 0, 0, bpf_htonl(1));
    EXPECT(mesh_addr_is_loopback(&a));
    a = mesh_addr_v6(0, 0, 0, 0);
    EXPECT(mesh_addr_is_loopback(&a));
    a = mesh_addr_v6(0, 0, 0, bpf_htonl(2));
    EXPECT(!mesh_addr_is_loopback(&a));
    a = mesh_addr_v6(0, 0, bpf_htonl(0x7f000001), bpf_htonl(1));
    EXPECT(!mesh_addr_is_loopback(&a));
    a = mesh_addr_v6(bpf_htonl(0xfe800000), 0, 0, bpf_htonl(1));
    EXPECT(!mesh_addr_is_loopback(&a));
    EXPECT(mesh_addr_is_link_local(&a));
    a = mesh_addr_v6(bpf_htonl(0xfec00000), 0, 0, bpf_htonl(1));
    EXPECT(!mesh_addr_is_link_local(&a));
    return 0;
}

CHECK(check_vip_ranges)
{
    struct mesh_config config = {0};
    struct mesh_addr a = mesh_addr_v4(bpf_htonl(0xf0000001));
    struct mesh_addr b = mesh_addr_v6(bpf_htonl(0xfd6d6573), bpf_htonl(0x68000001), 0, bpf_htonl(1));
    EXPECT(!mesh_addr_is_vip(&a, &config));
    EXPECT(!mesh_addr_is_vip(&b, &config));
    config.vip4_be = bpf_htonl(0xf0000000);
    config.vip4_mask_be = bpf_htonl(0xff000000);
    config.vip6 = mesh_addr_v6(bpf_htonl(0xfd6d6573), bpf_htonl(0x68000000), 0, 0);
    config.vip6_prefix = 48;
    EXPECT(mesh_addr_is_vip(&a, &config));
    EXPECT(mesh_addr_is_vip(&b, &config));
    a = mesh_addr_v4(bpf_htonl(0xf1000001));
    EXPECT(!mesh_addr_is_vip(&a, &config));
    b = mesh_addr_v6(bpf_htonl(0xfd6d6573), bpf_htonl(0x68010001), 0, bpf_htonl(1));
    EXPECT(!mesh_addr_is_vip(&b, &config));
    config.vip6_prefix = 128;
    EXPECT(mesh_addr_is_vip(&config.vip6, &config));
    b = config.vip6;
    b.lo_be = bpf_cpu_to_be64(1);
    EXPECT(!mesh_addr_is_vip(&b, &config));
    config.vip6_prefix = 200;
    EXPECT(!mesh_addr_is_vip(&config.vip6, &config));
    return 0;
}

CHECK(check_own_ports)
{
    EXPECT(mesh_is_own_port(bpf_htons(15001)) && mesh_is_own_port(bpf_htons(15006)));
    EXPECT(mesh_is_own_port(bpf_htons(15008)) && mesh_is_own_port(bpf_htons(15053)));
    EXPECT(mesh_is_own_port(bpf_htons(15020)) && mesh_is_own_port(bpf_htons(15021)));
    EXPECT(!mesh_is_own_port(bpf_htons(15000)) && !mesh_is_own_port(0) && !mesh_is_own_port(bpf_htons(80)));
    return 0;
}
