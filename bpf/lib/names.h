/* Names: what a workload asks port 53, by UDP or TCP, goes to the node proxy's name server in its own namespace, on loopback,
 * if the workload asked for that. The answer seems to come from whom it asked. */
#pragma once

#include "../maps.h"
#include "address.h"

#define MESH_PORT_NAMES 53

/* 127.0.0.1 or ::1: the family of a socket has to stay. */
static __always_inline struct mesh_addr mesh_names_server(int is_v4)
{
    return mesh_addr_loopback(is_v4);
}

/* Is it a question that the name server is to have? `local_port` is the socket's own, in host order; 0: none yet. */
static __always_inline int mesh_names_taken(const struct mesh_pod *pod, const struct mesh_addr *address, __u16 port_be,
                                            __u32 local_port)
{
    if (pod->names_port_be == 0 || port_be != bpf_htons(MESH_PORT_NAMES))
        return 0;
    /* A name server's own socket: it answers somebody who asked from port 53. */
    if (local_port == MESH_PORT_NAMES)
        return 0;
    /* A resolver of the workload's own; what that one asks further is taken. */
    if (mesh_addr_is_loopback(address))
        return (pod->flags & MESH_POD_NAMES_LOOPBACK) != 0;
    return 1;
}

/* A TCP connection to port 53 is a question too, unless it goes to a service of the mesh. */
static __always_inline int mesh_names_takes_call(const struct mesh_pod *pod, const struct mesh_addr *address,
                                                 __u16 port_be, __u32 local_port)
{
    if (!mesh_names_taken(pod, address, port_be, local_port))
        return 0;
    struct mesh_service_key key = {.address = *address, .port_be = port_be, .protocol = 6};
    return bpf_map_lookup_elem(&MESH_MAP(svc), &key) == 0;
}

/* Could this be where an answer of the name server comes from? */
static __always_inline int mesh_names_answered(const struct mesh_addr *address, __u16 port_be)
{
    return port_be == bpf_htons(MESH_PORT_DNS) && mesh_addr_is_loopback(address);
}

/* A socket can ask several: the last one of each family is told as the answer's source. */
static __always_inline void mesh_names_note(struct mesh_asked *asked, const struct mesh_addr *address)
{
    if (mesh_addr_is_v4(address))
        asked->v4 = *address;
    else
        asked->v6 = *address;
}

/* Whom the socket asked in the family of the answer; false: nobody. */
static __always_inline int mesh_names_origin(const struct mesh_asked *asked, const struct mesh_addr *source,
                                             struct mesh_addr *origin)
{
    *origin = mesh_addr_is_v4(source) ? asked->v4 : asked->v6;
    return origin->hi_be != 0 || origin->lo_be != 0;
}
