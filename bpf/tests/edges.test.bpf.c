#include "check.h"
#include "../lib/report.h"

#define SERVICE 9
#define RIVAL 417 /* falls into the slot of SERVICE */

static __always_inline struct mesh_flow flow_of(__u32 service, __u8 reason)
{
    struct mesh_flow flow = {
        .source_workload = 1,
        .destination_workload = 2,
        .service = service,
        .original_port_be = bpf_htons(80),
        .tier = MESH_TIER_KERNEL,
        .reason = reason,
    };
    return flow;
}

static __noinline int change_of(__u32 service, __u32 change, __u64 sent, __u8 reason)
{
    struct mesh_flow flow = flow_of(service, reason);
    mesh_edge_change(&flow, change, sent, 2 * sent);
    return 0;
}

static __always_inline void change(__u32 service, __u32 change, __u64 sent)
{
    change_of(service, change, sent, MESH_REASON_NONE);
}

static __always_inline struct mesh_edge_slot *slot_of(__u32 service)
{
    struct mesh_flow flow = flow_of(service, MESH_REASON_NONE);
    struct mesh_edge_words words = mesh_edge_words_of(&flow);
    __u32 index = mesh_slot_hash(words.ends, words.rest) & (MESH_EDGE_SLOTS - 1);
    return bpf_map_lookup_elem(&MESH_MAP(eslots), &index);
}

static __always_inline struct mesh_edge *beside(__u32 service)
{
    struct mesh_edge_key key = {
        .source_workload = 1,
        .destination_workload = 2,
        .service = service,
        .port_be = bpf_htons(80),
        .tier = MESH_TIER_KERNEL,
    };
    return bpf_map_lookup_elem(&MESH_MAP(edges), &key);
}

/* The counters of one place: opened, closed and refused as hexadecimal digits; bytes are checked beside. */
static __always_inline __u32 digits(const struct mesh_edge *edge)
{
    return edge ? (__u32)(edge->opened << 8 | edge->closed << 4 | edge->refused) : 0xfff;
}

CHECK(check_slot)
{
    struct mesh_edge_slot *slot = slot_of(SERVICE);
    EXPECT(slot && slot == slot_of(RIVAL) && slot->state == MESH_EDGE_SLOT_FREE);
    change(SERVICE, MESH_EDGE_OPENED, 0);
    change(SERVICE, MESH_EDGE_OPENED, 0);
    change(SERVICE, MESH_EDGE_CLOSED, 10);
    EXPECT(slot->state == MESH_EDGE_SLOT_TAKEN && digits(&slot->edge) == 0x210);
    EXPECT(slot->edge.sent_bytes == 10 && slot->edge.received_bytes == 20);
    EXPECT(slot->key.source_workload == 1 && slot->key.destination_workload == 2 && slot->key.service == SERVICE &&
           slot->key.port_be == bpf_htons(80) && slot->key.tier == MESH_TIER_KERNEL && slot->key.reason == 0);
    EXPECT(!beside(SERVICE));
    return 0;
}

CHECK(check_taken)
{
    struct mesh_edge_slot *slot = slot_of(SERVICE);
    EXPECT(slot);
    change(SERVICE, MESH_EDGE_OPENED, 0);
    __u32 before = digits(&slot->edge);
    change(RIVAL, MESH_EDGE_OPENED, 0);
    change(RIVAL, MESH_EDGE_REFUSED, 0);
    EXPECT(digits(&slot->edge) == before && slot->key.service == SERVICE);
    EXPECT(digits(beside(RIVAL)) == 0x101);
    return 0;
}

/* Interrupted while the key is written, by the same edge. */
CHECK(check_busy)
{
    struct mesh_edge_slot *slot = slot_of(SERVICE + 1);
    EXPECT(slot && slot->state == MESH_EDGE_SLOT_FREE);
    slot->state = MESH_EDGE_SLOT_BUSY;
    change(SERVICE + 1, MESH_EDGE_CLOSED, 7);
    EXPECT(slot->state == MESH_EDGE_SLOT_BUSY && digits(&slot->edge) == 0 && digits(beside(SERVICE + 1)) == 0x010);
    slot->state = MESH_EDGE_SLOT_FREE;
    return 0;
}

/* What a caller can make as many of as it likes takes no slot. */
CHECK(check_unbounded)
{
    struct mesh_edge_slot *slot = slot_of(0);
    EXPECT(slot && slot->state == MESH_EDGE_SLOT_FREE);
    change(0, MESH_EDGE_OPENED, 0);
    EXPECT(slot->state == MESH_EDGE_SLOT_FREE && digits(beside(0)) == 0x100);
    struct mesh_flow flow = flow_of(SERVICE, MESH_REASON_NOT_ALLOWED);
    struct mesh_edge_words words = mesh_edge_words_of(&flow);
    change_of(SERVICE, MESH_EDGE_REFUSED, 0, MESH_REASON_NOT_ALLOWED);
    EXPECT(digits(bpf_map_lookup_elem(&MESH_MAP(edges), &words)) == 0x001);
    return 0;
}
