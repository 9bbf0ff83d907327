/* Addresses: building, comparing, and what kind they are. */
#pragma once

#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <mesh_abi.h>

/* A word of a program's context. clang would merge such reads into wider ones, or into one read through a pointer that
 * it computed; the verifier refuses both. */
#define mesh_context(field)                                                                                           \
    ({                                                                                                                 \
        __u32 mesh_word = *(volatile __u32 *)&(field);                                                                 \
        asm volatile("" : "+r"(mesh_word));                                                                            \
        mesh_word;                                                                                                     \
    })
#define mesh_context_v4(field) mesh_addr_v4(mesh_context(field))
#define mesh_context_v6(field)                                                                                         \
    mesh_addr_v6(mesh_context((field)[0]), mesh_context((field)[1]), mesh_context((field)[2]), mesh_context((field)[3]))

union mesh_addr_words {
    struct mesh_addr address;
    __u32 words_be[4];
};

/* Two words as they lie in memory. Not through a union: what is written as two and read as one waits until both are in the
 * cache, behind every store before them. */
static __always_inline __u64 mesh_addr_join(__u32 first_be, __u32 second_be)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (__u64)second_be << 32 | first_be;
#else
    return (__u64)first_be << 32 | second_be;
#endif
}

static __always_inline struct mesh_addr mesh_addr_v6(__u32 a_be, __u32 b_be, __u32 c_be, __u32 d_be)
{
    struct mesh_addr address = {.hi_be = mesh_addr_join(a_be, b_be), .lo_be = mesh_addr_join(c_be, d_be)};
    return address;
}

/* ::ffff:a.b.c.d */
static __always_inline struct mesh_addr mesh_addr_v4(__u32 ip_be)
{
    return mesh_addr_v6(0, 0, bpf_htonl(0xffff), ip_be);
}

static __always_inline struct mesh_addr mesh_addr_loopback(int is_v4)
{
    return is_v4 ? mesh_addr_v4(bpf_htonl(0x7f000001)) : mesh_addr_v6(0, 0, 0, bpf_htonl(1));
}

static __always_inline __u32 mesh_addr_word(const struct mesh_addr *address, int index)
{
    __u64 pair = index & 2 ? address->lo_be : address->hi_be;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (__u32)(index & 1 ? pair >> 32 : pair);
#else
    return (__u32)(index & 1 ? pair : pair >> 32);
#endif
}

static __always_inline int mesh_addr_equal(const struct mesh_addr *a, const struct mesh_addr *b)
{
    return a->hi_be == b->hi_be && a->lo_be == b->lo_be;
}

static __always_inline int mesh_addr_is_v4(const struct mesh_addr *address)
{
    return address->hi_be == 0 && mesh_addr_word(address, 2) == bpf_htonl(0xffff);
}

/* 127/8, ::1, and the unspecified addresses, which connect() takes for loopback. */
static __always_inline int mesh_addr_is_loopback(const struct mesh_addr *address)
{
    if (address->hi_be != 0)
        return 0;
    __u32 last_be = mesh_addr_word(address, 3);
    if (mesh_addr_word(address, 2) == bpf_htonl(0xffff))
        return last_be == 0 || (last_be & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
    return mesh_addr_word(address, 2) == 0 && (last_be == 0 || last_be == bpf_htonl(1));
}

/* fe80::/10 */
static __always_inline int mesh_addr_is_link_local(const struct mesh_addr *address)
{
    return (mesh_addr_word(address, 0) & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

/* The ranges from which service addresses are given. A range of zero bits is no range. */
static __always_inline int mesh_addr_is_vip(const struct mesh_addr *address, const struct mesh_config *config)
{
    if (mesh_addr_is_v4(address))
        return config->vip4_mask_be != 0 &&
               (mesh_addr_word(address, 3) & config->vip4_mask_be) == config->vip4_be;
    __u32 bits = config->vip6_prefix;
    if (bits == 0 || bits > 128)
        return 0;
    __u64 high = bpf_be64_to_cpu(address->hi_be ^ config->vip6.hi_be);
    __u64 low = bpf_be64_to_cpu(address->lo_be ^ config->vip6.lo_be);
    if (bits <= 64)
        return (high >> (64 - bits)) == 0;
    return high == 0 && (low >> (128 - bits)) == 0;
}

/* The mesh's own listeners: nobody's target. */
static __always_inline int mesh_is_own_port(__u16 port_be)
{
    switch (bpf_ntohs(port_be)) {
    case MESH_PORT_OUTBOUND:
    case MESH_PORT_INBOUND:
    case MESH_PORT_HBONE:
    case MESH_PORT_DNS:
    case MESH_PORT_METRICS:
    case MESH_PORT_HEALTH:
        return 1;
    }
    return 0;
}
