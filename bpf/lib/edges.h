/* Who spoke to whom: counters of an edge, in a slot of this CPU that the edge took when it was first counted and keeps; or, if
 * it found the slot taken, in a hash map, an LRU, whose look-ups cost a tenth of what a connection does here. Only admitted
 * calls to a service take slots: of those there are as many as somebody configured. Whoever dials port after port makes new
 * edges as fast as calls, and would take all slots for good. */
#pragma once

#include "../maps.h"
#include "address.h"
#include "owner.h"

/* A key as two words, which stay in registers: written in parts and read whole, it would wait for every store before it. */
struct mesh_edge_words {
    __u64 ends; /* source and destination workload */
    __u64 rest;
};
_Static_assert(sizeof(struct mesh_edge_words) == sizeof(struct mesh_edge_key), "the words are the key");

static __always_inline struct mesh_edge_words mesh_edge_words_of(const struct mesh_flow *flow)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    __u32 last = flow->original_port_be | (__u32)flow->tier << 16 | (__u32)flow->reason << 24;
#else
    __u32 last = (__u32)flow->original_port_be << 16 | (__u32)flow->tier << 8 | flow->reason;
#endif
    struct mesh_edge_words words = {
        .ends = mesh_addr_join(flow->source_workload, flow->destination_workload),
        .rest = mesh_addr_join(flow->service, last),
    };
    return words;
}

/* Out of line: it is rarely wanted, and in many places. */
static __attribute__((noinline)) struct mesh_edge *mesh_edge_beside(__u64 ends, __u64 rest)
{
    struct mesh_edge_words key = {.ends = ends, .rest = rest};
    struct mesh_edge *edge = bpf_map_lookup_elem(&MESH_MAP(edges), &key);
    if (edge)
        return edge;
    struct mesh_edge fresh = {0};
    bpf_map_update_elem(&MESH_MAP(edges), &key, &fresh, BPF_NOEXIST);
    return bpf_map_lookup_elem(&MESH_MAP(edges), &key);
}

static __always_inline int mesh_edge_takes_slot(const struct mesh_flow *flow)
{
    return flow->service != 0 && flow->reason == MESH_REASON_NONE;
}

/* NULL: no room, it is not counted. A program can be interrupted on its CPU by one that takes the same slot. */
static __always_inline struct mesh_edge *mesh_edge_of(const struct mesh_flow *flow)
{
    struct mesh_edge_words words = mesh_edge_words_of(flow);
    __u32 index = mesh_slot_hash(words.ends, words.rest) & (MESH_EDGE_SLOTS - 1);
    struct mesh_edge_slot *slot = mesh_edge_takes_slot(flow) ? bpf_map_lookup_elem(&MESH_MAP(eslots), &index) : 0;
    if (slot) {
        struct mesh_edge_words *held = (struct mesh_edge_words *)&slot->key;
        __u64 state = *(volatile __u64 *)&slot->state;
        if (state == MESH_EDGE_SLOT_TAKEN && held->ends == words.ends && held->rest == words.rest)
            return &slot->edge;
        if (state == MESH_EDGE_SLOT_FREE &&
            __sync_val_compare_and_swap(&slot->state, state, MESH_EDGE_SLOT_BUSY) == state) {
            *held = words;
            __sync_lock_test_and_set(&slot->state, MESH_EDGE_SLOT_TAKEN);
            return &slot->edge;
        }
    }
    return mesh_edge_beside(words.ends, words.rest);
}
