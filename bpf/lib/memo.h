/* What connect() decided, remembered: a call from a namespace to a service that the kernel leads, where nothing stands in the
 * way, needs no hash map the second time.
 *
 * Why it is sound. The agent counts the epoch up before it writes a row of any table that a decision reads, and once more when
 * the row is written, so that an epoch is even while all these tables stand still, and never comes again. What is remembered
 * was decided from rows that were all read within one even epoch, and is used within that epoch only: to look again would
 * give the same. It is used after the epoch was read, so a change that is complete is seen by every later call. Only calls
 * that are admitted are remembered; whatever is not found, is being written, or was decided while a table changed, is looked up.
 *
 * All CPUs share the slots. A slot's sequence is odd while one program writes it, who took it by an atomic exchange; who reads
 * asks the sequence before and after. Whoever does not get or find a slot goes without. */
#pragma once

#include "../maps.h"
#include "address.h"
#include "owner.h"

/* Which endpoint of which service a decision was about. slots: 0 when it was about none, or about one that is not remembered. */
struct mesh_pick {
    __u32 table;
    __u32 slot;
    __u32 slots;
};

/* 0: nothing may be remembered now. */
static __always_inline __u64 mesh_epoch_read(void)
{
    __u32 zero = 0;
    const volatile __u64 *epoch = bpf_map_lookup_elem(&MESH_MAP(epoch), &zero);
    __u64 now = epoch ? *epoch : 0;
    return now & 1 ? 0 : now;
}

/* Between the epoch and the rows: weakly ordered machines would read a row first. */
static __always_inline void mesh_memo_barrier(void)
{
    volatile __u64 none = 0;
    __sync_val_compare_and_swap(&none, 0, 1);
}

/* Between a slot's sequence and the slot. Where the machine stores in order it reads in order as well. */
static __always_inline void mesh_memo_order(void)
{
#ifdef MESH_STORES_IN_ORDER
    asm volatile("" ::: "memory");
#else
    mesh_memo_barrier();
#endif
}

static __always_inline __u32 mesh_memo_index(__u64 a, __u64 b)
{
    return mesh_slot_hash(a, b) & (MESH_MEMO_SLOTS - 1);
}

static __always_inline struct mesh_place *mesh_place_slot(__u64 netns, const struct mesh_addr *address, __u16 port_be)
{
    __u32 index = mesh_memo_index(netns, address->hi_be ^ address->lo_be ^ ((__u64)port_be << 16));
    return bpf_map_lookup_elem(&MESH_MAP(place), &index);
}

static __always_inline struct mesh_way *mesh_way_slot(__u64 netns, __u32 table, __u32 number)
{
    __u32 index = mesh_memo_index(netns, (__u64)table << 32 | number);
    return bpf_map_lookup_elem(&MESH_MAP(way), &index);
}

/* Returns 1 and fills `flow` (zero when it comes in) as mesh_decide does, or 0. `epoch` is that of now, not 0; neither a leg's
 * call nor one in the host's namespace. */
static __always_inline int mesh_memo_recall(__u64 epoch, __u64 netns, const struct mesh_addr *address, __u16 port_be,
                                            __u32 generation, struct mesh_flow *flow)
{
    const volatile struct mesh_place *place = mesh_place_slot(netns, address, port_be);
    if (!place)
        return 0;
    __u64 sequence = place->sequence;
    mesh_memo_order();
    if (sequence & 1 || place->epoch != epoch || place->netns_cookie != netns || place->port_be != port_be ||
        place->address.hi_be != address->hi_be || place->address.lo_be != address->lo_be)
        return 0;
    __u32 source = place->source_workload, service = place->service;
    __u32 table = place->table, slots = place->slots;
    mesh_memo_order();
    if (place->sequence != sequence)
        return 0;
    __u32 number = slots > 1 ? bpf_get_prandom_u32() % slots : 0;
    const volatile struct mesh_way *way = mesh_way_slot(netns, table, number);
    if (!way)
        return 0;
    sequence = way->sequence;
    mesh_memo_order();
    if (sequence & 1 || way->epoch != epoch || way->netns_cookie != netns || way->table != table ||
        way->slot != number || way->generation != generation)
        return 0;
    struct mesh_addr destination = {.hi_be = way->destination.hi_be, .lo_be = way->destination.lo_be};
    __u16 destination_port_be = way->destination_port_be;
    __u32 workload = way->destination_workload, policy = way->policy;
    mesh_memo_order();
    if (way->sequence != sequence || mesh_addr_is_v4(&destination) != mesh_addr_is_v4(address))
        return 0;
    flow->original = *address;
    flow->original_port_be = port_be;
    flow->destination = destination;
    flow->destination_port_be = destination_port_be;
    flow->source_workload = source;
    flow->destination_workload = workload;
    flow->service = service;
    flow->policy = policy;
    flow->generation = generation;
    flow->epoch = (__u32)epoch;
    flow->tier = MESH_TIER_KERNEL;
    flow->verdict = MESH_VERDICT_ALLOW;
    return 1;
}

/* Returns the sequence with which the slot is this program's, or 0: it is another's, or tables changed since `epoch`. */
static __always_inline __u64 mesh_memo_take(__u64 *sequence, __u64 epoch)
{
    __u64 before = *(volatile __u64 *)sequence;
    if (before & 1 || __sync_val_compare_and_swap(sequence, before, before + 1) != before)
        return 0;
    if (mesh_epoch_read() == epoch)
        return before + 1;
    __sync_lock_test_and_set(sequence, before + 2);
    return 0;
}

/* Whether the slot says just that already. Then it is left alone, because other CPUs read it. */
static __always_inline int mesh_place_says(const struct mesh_place *place, __u64 epoch, __u64 netns,
                                           const struct mesh_pick *pick, const struct mesh_flow *flow)
{
    const volatile struct mesh_place *now = place;
    __u64 sequence = now->sequence;
    mesh_memo_order();
    int same = !(sequence & 1) && now->epoch == epoch && now->netns_cookie == netns &&
               now->port_be == flow->original_port_be && now->address.hi_be == flow->original.hi_be &&
               now->address.lo_be == flow->original.lo_be && now->source_workload == flow->source_workload &&
               now->service == flow->service && now->table == pick->table && now->slots == pick->slots;
    mesh_memo_order();
    return same && now->sequence == sequence;
}

/* Returns 0 if the slot is another's, or if tables changed since `epoch`. */
static __always_inline int mesh_place_keep(struct mesh_place *place, __u64 epoch, __u64 netns,
                                           const struct mesh_pick *pick, const struct mesh_flow *flow)
{
    if (mesh_place_says(place, epoch, netns, pick, flow)) {
        mesh_memo_barrier();
        return mesh_epoch_read() == epoch;
    }
    __u64 sequence = mesh_memo_take(&place->sequence, epoch);
    if (!sequence)
        return 0;
    place->epoch = epoch;
    place->netns_cookie = netns;
    place->address = flow->original;
    place->port_be = flow->original_port_be;
    place->source_workload = flow->source_workload;
    place->service = flow->service;
    place->table = pick->table;
    place->slots = pick->slots;
    __sync_lock_test_and_set(&place->sequence, sequence + 1);
    return 1;
}

/* A flow of the kernel tier that mesh_decide admitted by `pick`, read since `epoch`. */
static __always_inline void mesh_memo_keep(__u64 epoch, __u64 netns, const struct mesh_pick *pick, struct mesh_flow *flow)
{
    struct mesh_place *place = mesh_place_slot(netns, &flow->original, flow->original_port_be);
    if (!place || !mesh_place_keep(place, epoch, netns, pick, flow))
        return;
    flow->epoch = (__u32)epoch;
    struct mesh_way *way = mesh_way_slot(netns, pick->table, pick->slot);
    __u64 sequence = way ? mesh_memo_take(&way->sequence, epoch) : 0;
    if (!sequence)
        return;
    way->epoch = epoch;
    way->netns_cookie = netns;
    way->table = pick->table;
    way->slot = pick->slot;
    way->generation = flow->generation;
    way->destination = flow->destination;
    way->destination_port_be = flow->destination_port_be;
    way->destination_workload = flow->destination_workload;
    way->policy = flow->policy;
    __sync_lock_test_and_set(&way->sequence, sequence + 1);
}

static __always_inline struct mesh_door *mesh_door_slot(const struct mesh_addr *local, const struct mesh_addr *remote)
{
    __u32 index = mesh_memo_index(local->hi_be ^ local->lo_be, remote->hi_be ^ remote->lo_be);
    return bpf_map_lookup_elem(&MESH_MAP(door), &index);
}

/* Whether all ports at `local`, but the mesh's own, are open to `remote`, with a flow or without. `epoch` is that of now, not 0. */
static __always_inline int mesh_door_is_open(__u64 epoch, const struct mesh_addr *local, const struct mesh_addr *remote,
                                             __u32 generation)
{
    const volatile struct mesh_door *door = mesh_door_slot(local, remote);
    if (!door)
        return 0;
    __u64 sequence = door->sequence;
    mesh_memo_order();
    if (sequence & 1 || door->epoch != epoch || door->generation != generation || door->local.hi_be != local->hi_be ||
        door->local.lo_be != local->lo_be || door->remote.hi_be != remote->hi_be || door->remote.lo_be != remote->lo_be)
        return 0;
    mesh_memo_order();
    return door->sequence == sequence;
}

/* As read since `epoch`. */
static __always_inline void mesh_door_keep(__u64 epoch, const struct mesh_addr *local, const struct mesh_addr *remote,
                                           __u32 generation)
{
    struct mesh_door *door = mesh_door_slot(local, remote);
    __u64 sequence = door ? mesh_memo_take(&door->sequence, epoch) : 0;
    if (!sequence)
        return;
    door->epoch = epoch;
    door->local = *local;
    door->remote = *remote;
    door->generation = generation;
    __sync_lock_test_and_set(&door->sequence, sequence + 1);
}
