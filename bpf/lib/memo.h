/* What connect() decided, remembered: a call from a namespace to a service that the kernel leads, where nothing stands in the
 * way, needs no hash map the second time.
 *
 * Why it is sound. The agent counts the epoch up before it writes a row of any table that a decision reads, and once more when
 * the row is written, so that an epoch is even while all these tables stand still, and never comes again. What is remembered
 * was decided from rows that were all read within one even epoch, and is used within that epoch only: to look again would
 * give the same. It is used after the epoch was read, so a change that is complete is seen by every later call. Only calls
 * that are admitted are remembered; whatever is not found, is being written, or was decided while a table changed, is looked up.
 *
 * Each CPU has slots of its own. A program stays on its CPU but can be interrupted there, by one that uses the same slot: a
 * slot's sequence, taken by an atomic exchange and read again after the slot, tells. */
#pragma once

#include "../maps.h"
#include "address.h"

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

static __always_inline __u32 mesh_memo_index(__u64 a, __u64 b)
{
    const __u64 odd = 0x9e3779b97f4a7c15ULL;
    return (__u32)(((a * odd) ^ b) * odd >> 40) & (MESH_MEMO_SLOTS - 1);
}

static __always_inline struct mesh_place *mesh_place_slot(__u64 netns, const struct mesh_addr *address, __u16 port_be)
{
    __u32 index = mesh_memo_index(netns, address->hi_be ^ address->lo_be ^ ((__u64)port_be << 16));
    return bpf_map_lookup_elem(&MESH_MAP(places), &index);
}

static __always_inline struct mesh_way *mesh_way_slot(__u64 netns, __u32 table, __u32 number)
{
    __u32 index = mesh_memo_index(netns, (__u64)table << 32 | number);
    return bpf_map_lookup_elem(&MESH_MAP(ways), &index);
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
    if (sequence & 1 || place->epoch != epoch || place->netns_cookie != netns || place->port_be != port_be ||
        place->address.hi_be != address->hi_be || place->address.lo_be != address->lo_be)
        return 0;
    __u32 source = place->source_workload, service = place->service;
    __u32 table = place->table, slots = place->slots;
    if (place->sequence != sequence)
        return 0;
    __u32 number = slots > 1 ? bpf_get_prandom_u32() % slots : 0;
    const volatile struct mesh_way *way = mesh_way_slot(netns, table, number);
    if (!way)
        return 0;
    sequence = way->sequence;
    if (sequence & 1 || way->epoch != epoch || way->netns_cookie != netns || way->table != table ||
        way->slot != number || way->generation != generation)
        return 0;
    struct mesh_addr destination = {.hi_be = way->destination.hi_be, .lo_be = way->destination.lo_be};
    __u16 destination_port_be = way->destination_port_be;
    __u32 workload = way->destination_workload, policy = way->policy;
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

/* A flow of the kernel tier that mesh_decide admitted by `pick`, read since `epoch`. */
static __always_inline void mesh_memo_keep(__u64 epoch, __u64 netns, const struct mesh_pick *pick, struct mesh_flow *flow)
{
    struct mesh_place *place = mesh_place_slot(netns, &flow->original, flow->original_port_be);
    __u64 sequence = place ? mesh_memo_take(&place->sequence, epoch) : 0;
    if (!sequence)
        return;
    place->epoch = epoch;
    place->netns_cookie = netns;
    place->address = flow->original;
    place->port_be = flow->original_port_be;
    place->source_workload = flow->source_workload;
    place->service = flow->service;
    place->table = pick->table;
    place->slots = pick->slots;
    __sync_lock_test_and_set(&place->sequence, sequence + 1);
    flow->epoch = (__u32)epoch;
    struct mesh_way *way = mesh_way_slot(netns, pick->table, pick->slot);
    sequence = way ? mesh_memo_take(&way->sequence, epoch) : 0;
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
    return bpf_map_lookup_elem(&MESH_MAP(doors), &index);
}

/* Whether all ports at `local`, but the mesh's own, are open to `remote`, with a flow or without. `epoch` is that of now, not 0. */
static __always_inline int mesh_door_is_open(__u64 epoch, const struct mesh_addr *local, const struct mesh_addr *remote,
                                             __u32 generation)
{
    const volatile struct mesh_door *door = mesh_door_slot(local, remote);
    if (!door)
        return 0;
    __u64 sequence = door->sequence;
    return !(sequence & 1) && door->epoch == epoch && door->generation == generation &&
           door->local.hi_be == local->hi_be && door->local.lo_be == local->lo_be &&
           door->remote.hi_be == remote->hi_be && door->remote.lo_be == remote->lo_be && door->sequence == sequence;
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
