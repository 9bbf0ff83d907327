/* The flows of open connections, by 4-tuple as the acceptor sees it: published before the SYN, gone with the client's socket.
 *
 * An array of slots, by a hash of the tuple; what finds its slot in use goes to a hash map, and is looked for there. Flows do
 * not move between the two. Both forget nothing that is needed but what the hash map, an LRU, has no room for: then the
 * connection is one of an unknown source at its destination. */
#pragma once

#include "../maps.h"
#include "address.h"
#include "owner.h"

static __always_inline struct mesh_slot *mesh_flow_slot(const struct mesh_tuple *tuple)
{
    __u32 index = mesh_tuple_slot(*tuple);
    return bpf_map_lookup_elem(&MESH_MAP(slots), &index);
}

static __always_inline int mesh_slot_holds(const struct mesh_slot *slot, const struct mesh_tuple *tuple)
{
    return slot->flow.source_port_be == tuple->remote_port_be && slot->flow.destination_port_be == tuple->local_port_be &&
           mesh_addr_equal(&slot->flow.source, &tuple->remote) &&
           mesh_addr_equal(&slot->flow.destination, &tuple->local) &&
           (slot->is_local ? slot->flow.netns_cookie : 0) == tuple->netns_cookie;
}

/* Where a flow is. */
struct mesh_published {
    struct mesh_flow *flow; /* NULL: nowhere */
    struct mesh_slot *slot; /* NULL: in the hash map */
};

static __always_inline int mesh_slot_has(const struct mesh_slot *slot, const struct mesh_tuple *tuple)
{
    __u64 owner = mesh_owner(&slot->cookie);
    return owner != 0 && owner != MESH_OWNER_BUSY && mesh_slot_holds(slot, tuple);
}

/* In the hash map alone. Looking there for nothing costs a cache miss. */
static __always_inline struct mesh_published mesh_flow_beside(const struct mesh_tuple *tuple)
{
    struct mesh_published found = {.flow = bpf_map_lookup_elem(&MESH_MAP(flows), tuple)};
    return found;
}

static __always_inline struct mesh_published mesh_flow_find(const struct mesh_tuple *tuple)
{
    struct mesh_published found = {0};
    struct mesh_slot *slot = mesh_flow_slot(tuple);
    if (slot && mesh_slot_has(slot, tuple)) {
        found.flow = &slot->flow;
        found.slot = slot;
        return found;
    }
    if (slot && !*(volatile __u32 *)&slot->spilled)
        return found;
    return mesh_flow_beside(tuple);
}

/* Whether `found` is still this tuple's: after it was read, because a slot may be another connection's by then. An entry of
 * the hash map is not reused while a program can see it. */
static __always_inline int mesh_flow_still(const struct mesh_published *found, const struct mesh_tuple *tuple)
{
    return !found->slot || mesh_slot_has(found->slot, tuple);
}

/* Returns 0, or an error: then nobody finds it. The flow has its source, destination and socket cookie, and the tuple's
 * namespace if that has one. One whose destination is not the tuple's, because it bears the choice of the connect hook, is not
 * known in a slot: it goes to the hash map. */
static __always_inline long mesh_flow_publish(const struct mesh_tuple *tuple, const struct mesh_flow *flow)
{
    struct mesh_slot *slot = mesh_flow_slot(tuple);
    if (slot) {
        __u64 owner = mesh_owner(&slot->cookie);
        /* A slot that holds this tuple is left from a socket whose end was not seen. */
        if ((owner == 0 || (owner != MESH_OWNER_BUSY && mesh_slot_holds(slot, tuple))) &&
            mesh_own(&slot->cookie, owner)) {
            if (!(flow->flags & MESH_FLOW_CHOSEN)) {
                slot->is_local = tuple->netns_cookie != 0;
                slot->flow = *flow;
                mesh_disown(&slot->cookie, flow->socket_cookie);
                return 0;
            }
            mesh_disown(&slot->cookie, 0);
        }
        *(volatile __u32 *)&slot->spilled = 1;
    }
    return bpf_map_update_elem(&MESH_MAP(flows), tuple, flow, BPF_ANY);
}

/* `found` by this tuple, by the socket that published it. */
static __always_inline void mesh_flow_withdraw(const struct mesh_tuple *tuple, const struct mesh_published *found)
{
    if (found->slot)
        mesh_disown(&found->slot->cookie, 0);
    else
        bpf_map_delete_elem(&MESH_MAP(flows), tuple);
}
