/* The host's own namespace: many workloads share its addresses. Each is known by its cgroup when it calls, and by the ports
 * that it declared when it is called. What nobody declared is not the mesh's business. */
#pragma once

#include "../maps.h"
#include "address.h"

/* How deep a task's cgroup may lie, and how far above it the workload's: units and containers run in child cgroups of the
 * one that was enrolled. */
#define MESH_CGROUP_DEPTH 16
#define MESH_CGROUP_SEARCH 8

/* The id of the nearest cgroup in `units` that holds the current task; 0: none. Levels beyond the task's own have no id. Not
 * static: the verifier looks at such a function once and not with all that follows each of its ends. */
__attribute__((noinline)) __u64 mesh_unit_of_task(void)
{
    int asked = 0;
    for (int level = MESH_CGROUP_DEPTH; level > 0; level--) {
        __u64 id = asked < MESH_CGROUP_SEARCH ? bpf_get_current_ancestor_cgroup_id(level) : 0;
        if (id == 0)
            continue;
        if (bpf_map_lookup_elem(&MESH_MAP(units), &id))
            return id;
        asked++;
    }
    return 0;
}

/* The workload that declared a port of the host. 127.0.0.1 stands for all of 127/8. */
static __always_inline const struct mesh_workload *mesh_host_port(const struct mesh_addr *address, __u16 port_be)
{
    struct mesh_port_key key = {.address = *address, .port_be = port_be};
    if (mesh_addr_is_loopback(address))
        key.address = mesh_addr_loopback(mesh_addr_is_v4(address));
    return bpf_map_lookup_elem(&MESH_MAP(ports), &key);
}

/* Who answers at an address and port: the owner of the address, or of the host's port, which `in_host` tells. NULL: nobody
 * that is known. */
static __always_inline const struct mesh_workload *mesh_workload_at(const struct mesh_addr *address, __u16 port_be,
                                                                    int *in_host)
{
    const struct mesh_workload *owner = bpf_map_lookup_elem(&MESH_MAP(wload), address);
    *in_host = owner && (owner->flags & MESH_WORKLOAD_HOST);
    return *in_host ? mesh_host_port(address, port_be) : owner;
}
