/* The structs that BPF programs and Swift share. Fixed widths, natural alignment, explicit padding (named zero*), byte
 * order in the field's name (_be: network order in memory). Sizes are asserted below and compared again when a map is
 * opened. A change of any layout changes MESH_LAYOUT, which is part of every map's name. */
#pragma once

#include <linux/types.h>

#define MESH_LAYOUT 1

/* A private getsockopt level: conntrack answers SO_ORIGINAL_DST itself where it is active. */
#define MESH_SOL_FLOW 0x6d31
#define MESH_SO_FLOW 1

#define MESH_PORT_OUTBOUND 15001
#define MESH_PORT_INBOUND 15006
#define MESH_PORT_HBONE 15008
#define MESH_PORT_DNS 15053
#define MESH_PORT_METRICS 15020
#define MESH_PORT_HEALTH 15021

/* IPv6, or IPv4 as v4-mapped (::ffff:a.b.c.d), so that one path serves both. All zero: none. Two words and not an
 * array, because an array imports into Swift as a tuple. */
struct mesh_addr {
    __u64 hi_be;
    __u64 lo_be;
};

enum mesh_verdict {
    MESH_VERDICT_NONE = 0,
    MESH_VERDICT_ALLOW = 1,
    MESH_VERDICT_DENY = 2,
};

/* How a connection travels. */
enum mesh_tier {
    MESH_TIER_NONE = 0,   /* untouched */
    MESH_TIER_KERNEL = 1, /* decided here, bytes never leave the kernel */
    MESH_TIER_RELAY = 2,  /* the client's connection to the node proxy */
    MESH_TIER_LEG = 3,    /* the node proxy's leg to the upstream: told as the whole connection */
    MESH_TIER_OUTSIDE = 4 /* plaintext from outside, admitted or refused by address */
};

/* Why a connection was refused: stable numbers, the same words in `observe`, metrics and logs. */
enum mesh_reason {
    MESH_REASON_NONE = 0,
    MESH_REASON_POLICY_DENIED = 1,   /* a DENY rule matched */
    MESH_REASON_NOT_ALLOWED = 2,     /* ALLOW policies apply and none matched */
    MESH_REASON_NO_ENDPOINT = 3,     /* the service has no ready endpoint */
    MESH_REASON_NO_SERVICE_PORT = 4, /* the address is a service's, the port is not */
    MESH_REASON_UNKNOWN_VIP = 5,     /* inside the VIP range, no such service */
    MESH_REASON_POLICY_MISSING = 6,  /* the destination refers to policy that is not there yet */
    MESH_REASON_MAP_ERROR = 7,       /* a map is full or a look-up failed */
    MESH_REASON_UNTAGGED = 8,        /* the node proxy dialled with a socket that the agent did not tag */
    MESH_REASON_MESH_PORT = 9,       /* one of the mesh's own ports as a target */
    MESH_REASON_NO_TUNNEL = 10,      /* the destination is on another node and there is no tunnel to it */
    MESH_REASON_UNKNOWN_ADDRESS = 11, /* dialled an address of the namespace that no workload declares */
    MESH_REASON_INVALID_BACKEND = 12, /* the weighted pick fell on a backend that does not exist */
    MESH_REASON_FORGED_SOURCE = 13,  /* edge: the packet's source is not the workload's */
    MESH_REASON_NOT_READY = 14,      /* the agent has not published a complete generation yet */
    MESH_REASON_SERVICE_LOOP = 15,   /* the endpoint's address is a service's */
    MESH_REASON_NOT_ENROLLED = 16,   /* the destination is placed on this node, but it is not enrolled here */
    MESH_REASON_QUARANTINED = 17,    /* one end's redirection is lost and could not be repaired */
    MESH_REASON_COUNT = 18,
};

/* pods: network namespace cookie -> the workload that owns the namespace. units: cgroup id -> the workload whose processes
 * are in that cgroup or below it, in the host's own namespace. */
struct mesh_pod {
    __u32 workload;
    __u32 flags;
    __u16 outbound_port_be; /* the relay listener inside its namespace, on 127.0.0.1 and ::1 */
    __u16 names_port_be;    /* the name server there, by UDP and TCP; 0: port 53 is left alone */
    __u32 network;          /* 0: of the host itself, which no address translation hides */
};
#define MESH_POD_OPEN 1u           /* failureMode: Open */
#define MESH_POD_NAMES_LOOPBACK 2u /* questions to 127/8 and ::1 go to the name server too */
#define MESH_POD_QUARANTINED 4u    /* nothing that it calls passes, but the canary */
#define MESH_POD_PROBE 8u /* no workload: the agent's own cgroup in the host's namespace, governed for the canary only */

/* workloads: address -> workload, for every workload whose address is known. */
struct mesh_workload {
    __u32 workload;
    __u32 flags;
    __u32 network; /* as in mesh_pod: between two that differ, a 4-tuple may not arrive as it was sent */
};
#define MESH_WORKLOAD_LOCAL 1u  /* enrolled on this node */
#define MESH_WORKLOAD_OPEN 2u   /* failureMode: Open: missing policy lets traffic pass */
#define MESH_WORKLOAD_PLACED 4u /* placed on this node, enrolled or not */
#define MESH_WORKLOAD_NONE 8u   /* no workload, but a service whose rows do not fit: calls to it are refused */
#define MESH_WORKLOAD_HOST 16u  /* a host's own address: `ports` says whose the port is, and most are nobody's */
#define MESH_WORKLOAD_QUARANTINED 32u /* nothing reaches it or comes from it */
#define MESH_WORKLOAD_TUNNEL 64u /* here: the node proxy serves its tunnels; of another host: it is reached through one */
#define MESH_WORKLOAD_PLAIN 128u /* of another host: the node proxy may dial it in plaintext */
#define MESH_WORKLOAD_NOBODY 0xffffffffu /* in veths: the owner of no address, so that nothing passes */

/* ports: address and port in a host's own namespace -> the workload that declared it. */
struct mesh_port_key {
    struct mesh_addr address; /* 127.0.0.1 stands for all of 127/8 */
    __u16 port_be;
    __u16 zero16;
    __u32 zero32;
};

/* services: address and port -> service. Port 0 marks the address itself, so that an unknown port of a VIP is refused. */
struct mesh_service_key {
    struct mesh_addr address;
    __u16 port_be;
    __u8 protocol; /* IPPROTO_TCP */
    __u8 zero8;
    __u32 zero32;
};

enum mesh_mode {
    MESH_MODE_KERNEL = 1,
    MESH_MODE_PROXY = 2,
    MESH_MODE_ADDRESS = 3, /* the port 0 entry */
    MESH_MODE_CANARY = 4,  /* the agent's proof: relayed, and answered by the node proxy itself */
    MESH_MODE_PULSE = 5,   /* the agent's proof: answered by the connect hook, with MESH_PULSE_ERRNO */
};

/* EDOTDOT, which no protocol of the kernel gives for connect(): only the hook can have said it. */
#define MESH_PULSE_ERRNO 73

struct mesh_service {
    __u32 service;
    __u32 table; /* endpoint table; a change of endpoints writes a new table, then this entry, then deletes the old */
    __u32 slots; /* 0: no ready endpoint */
    __u8 mode;
    __u8 zero8;
    __u16 zero16;
};

/* endpoints: table and slot -> where to connect. Weights are slot counts. */
struct mesh_endpoint_key {
    __u32 table;
    __u32 slot;
};

struct mesh_endpoint {
    struct mesh_addr address;
    __u32 workload; /* 0: not a workload of the mesh */
    __u16 port_be;
    __u8 flags;
    __u8 zero8;
};
#define MESH_ENDPOINT_INVALID 1u /* this share of the weights belongs to a backend that does not exist */
#define MESH_ENDPOINT_REMOTE 2u  /* on another node: its address may mean somebody else here */

/* guards: generation and destination workload -> the policy group that protects it. A missing entry is a refusal. */
struct mesh_guard_key {
    __u32 generation;
    __u32 workload;
};

struct mesh_guard {
    __u32 group; /* 0: no policy applies, allow */
    __u32 flags;
};
#define MESH_GUARD_MISSING 1u /* a policy that the workload refers to has not arrived */

/* classes: generation, source workload, family -> source class. 0 is no class: the row (0, any) of
 * every group refuses, so that a source that is not known is not admitted by a rule that says `not`. */
struct mesh_class_key {
    __u32 generation;
    __u32 workload;
    __u32 family; /* 4 or 6: of the address that the source uses */
    __u32 zero32;
};

/* networks (LPM): generation and address -> source class of plaintext from outside. prefixlen counts the generation. */
struct mesh_network_key {
    __u32 prefixlen; /* 32 + bits of the address; IPv4 prefixes are 32 + 96 + n */
    __u32 generation;
    struct mesh_addr address;
};

/* policy: generation, group, source class, port -> verdict. Looked up as (class, port), (class, 0), (any, port),
 * (any, 0); the first entry found decides. */
struct mesh_policy_key {
    __u32 generation;
    __u32 group;
    __u32 source_class;
    __u16 port_be; /* 0: any port */
    __u16 zero16;
};
#define MESH_CLASS_ANY 0xffffffffu

struct mesh_policy {
    __u32 policy; /* id of one version of one policy; user space knows its name */
    __u8 verdict;
    __u8 reason;
    __u16 zero16;
};

/* config: one element, mapped into the agent. */
struct mesh_config {
    __u64 proxy_cgroup;
    __u64 heartbeat_ns;
    __u64 host_netns; /* cookie of the host's namespace while workloads in it are enrolled, else 0 */
    struct mesh_addr vip6;
    __u32 generation; /* 0: nothing published yet */
    __u32 vip4_be;
    __u32 vip4_mask_be;
    __u32 vip6_prefix; /* bits, 0: none */
};

/* One connection: what was asked, what was decided. Addresses are zero until they are known. */
struct mesh_flow {
    struct mesh_addr source;
    struct mesh_addr original;    /* what the application dialled */
    struct mesh_addr destination; /* what it was steered to */
    __u64 netns_cookie;
    __u64 socket_cookie; /* of the socket that connects */
    __u64 start_ns; /* CLOCK_MONOTONIC */
    __u32 source_workload;
    __u32 destination_workload;
    __u32 service;
    __u32 policy;
    __u32 generation;
    __u32 pid;
    __u16 source_port_be;
    __u16 original_port_be;
    __u16 destination_port_be;
    __u8 tier;
    __u8 verdict;
    __u8 reason;
    __u8 flags;
    __u16 zero16;
    __u32 epoch; /* the lower half of the epoch in whose tables it was decided; 0: not told */
};
#define MESH_FLOW_HAS_LEG 1u /* in flows, of the tier RELAY: a leg was dialled, which speaks for this connection */
#define MESH_FLOW_CANARY 2u  /* the agent's canary: nobody is told of it */
/* Of the tier RELAY: the kernel chose where to, and the node proxy dials that from the destination's own namespace, because
 * the networks of both ends differ. It is in `destination` once the SYN is on its way, and in `source` before. */
#define MESH_FLOW_CHOSEN 4u

/* flows: the 4-tuple as the accepting side sees it -> flow, while the client's socket lives. netns_cookie is 0 unless the
 * tuple is loopback, because loopback tuples repeat between namespaces and sk_lookup cannot read a cookie. */
struct mesh_tuple {
    struct mesh_addr local;
    struct mesh_addr remote;
    __u64 netns_cookie;
    __u16 local_port_be;
    __u16 remote_port_be;
    __u32 zero32;
};

/* slots: number of a tuple's slot -> the flow that is published under the tuple, if it found the slot free; else it is in
 * `flows`. A map that was made smaller has no slot for the rest. */
struct mesh_slot {
    __u64 cookie;   /* of the socket that connects; 0: free */
    __u32 spilled;  /* once found in use: look into `flows` as well */
    __u32 is_local; /* the tuple's namespace is the flow's; else it has none */
    struct mesh_flow flow;
};
#define MESH_SLOTS 4096 /* a power of two */

/* The ports that one client gets for one destination rise by two: its connections lie beside each other in memory. Who makes
 * tuples meet in a slot gains nothing but slower look-ups. */
static inline __attribute__((always_inline)) __u32 mesh_tuple_slot(struct mesh_tuple tuple)
{
    const __u64 odd = 0x9e3779b97f4a7c15ULL;
    __u64 hash = (tuple.local.hi_be ^ tuple.local.lo_be ^ tuple.netns_cookie) * odd;
    hash = (hash ^ (hash >> 32) ^ tuple.remote.hi_be ^ tuple.remote.lo_be ^ ((__u64)tuple.local_port_be << 48)) * odd;
    return ((__u32)(hash >> 40) + __builtin_bswap16(tuple.remote_port_be) / 2) & (MESH_SLOTS - 1);
}

/* legs: sk_storage of the node proxy's upstream sockets, written by the agent by descriptor. */
struct mesh_leg {
    __u32 workload; /* on whose behalf the proxy dials */
    __u32 leg;
};
#define MESH_LEG_OUTBOUND 1u /* made in the namespace of `workload` */
#define MESH_LEG_INBOUND 2u  /* made in the namespace of the destination, and good for nothing but its own addresses */

/* EXDEV, which no protocol of the kernel gives for connect(): the node proxy dialled from the source's namespace what only a
 * leg inbound reaches. */
#define MESH_ACROSS_ERRNO 18

/* edges: per-CPU counters of who spoke to whom. */
struct mesh_edge_key {
    __u32 source_workload;
    __u32 destination_workload;
    __u32 service;
    __u16 port_be; /* as dialled */
    __u8 tier;
    __u8 reason; /* MESH_REASON_NONE: admitted */
};

struct mesh_edge {
    __u64 opened;
    __u64 closed;
    __u64 refused;
    __u64 sent_bytes;     /* by the source */
    __u64 received_bytes; /* by the source */
};

/* eslots: number of an edge's slot -> the edge that took it, on each CPU for itself. It keeps it. */
struct mesh_edge_slot {
    __u64 state; /* MESH_EDGE_SLOT_*; the first word, which is copied before the others */
    struct mesh_edge_key key;
    struct mesh_edge edge;
};
#define MESH_EDGE_SLOT_FREE 0u
#define MESH_EDGE_SLOT_BUSY 1u /* its key is being written */
#define MESH_EDGE_SLOT_TAKEN 2u
#define MESH_EDGE_SLOTS 512 /* a power of two */

/* veths: interface index at the host end -> the workload behind it, and the address of each family that it uses most, so that
 * most packets need no second look-up. Zero: look the source up in `workloads`, as for its other addresses. */
struct mesh_veth {
    __u32 workload;
    __u32 v4_be;
    struct mesh_addr v6;
};

/* vslots: index modulo MESH_VETH_SLOTS -> the row of `veths` of one of the indexes that fall there. */
struct mesh_veth_slot {
    __u32 index; /* 0: none */
    __u32 zero32;
    struct mesh_veth veth;
};
#define MESH_VETH_SLOTS 4096 /* a power of two */

enum mesh_event_kind {
    MESH_EVENT_REFUSED = 1,
    MESH_EVENT_CLOSED = 2,
};

/* events: ring buffer records. */
struct mesh_event {
    struct mesh_flow flow;
    __u64 time_ns; /* CLOCK_MONOTONIC */
    __u64 sent_bytes;
    __u64 received_bytes;
    __u32 rtt_us;
    __u32 retransmits;
    __u32 kind;
    __u32 hook;
};

/* Which program spoke: index of the counters map together with the reason. */
enum mesh_hook {
    MESH_HOOK_CONNECT = 0,
    MESH_HOOK_SOCKOPS = 1,
    MESH_HOOK_LOOKUP = 2,
    MESH_HOOK_EDGE = 3,
    MESH_HOOK_COUNT = 4,
};
/* counters: per-CPU array of __u64, index hook * MESH_REASON_COUNT + reason; reason 0 counts what passed. One more
 * element at the end counts events that found the ring full. */
#define MESH_COUNTERS (MESH_HOOK_COUNT * MESH_REASON_COUNT + 1)
#define MESH_COUNTER_LOST_EVENTS (MESH_HOOK_COUNT * MESH_REASON_COUNT)

#define MESH_SIZE(type, bytes) _Static_assert(sizeof(struct type) == (bytes), #type " is " #bytes " bytes")
MESH_SIZE(mesh_addr, 16);
MESH_SIZE(mesh_pod, 16);
MESH_SIZE(mesh_workload, 12);
MESH_SIZE(mesh_port_key, 24);
MESH_SIZE(mesh_service_key, 24);
MESH_SIZE(mesh_service, 16);
MESH_SIZE(mesh_endpoint_key, 8);
MESH_SIZE(mesh_endpoint, 24);
MESH_SIZE(mesh_guard_key, 8);
MESH_SIZE(mesh_guard, 8);
MESH_SIZE(mesh_class_key, 16);
MESH_SIZE(mesh_network_key, 24);
MESH_SIZE(mesh_policy_key, 16);
MESH_SIZE(mesh_policy, 8);
MESH_SIZE(mesh_config, 56);
MESH_SIZE(mesh_flow, 112);
MESH_SIZE(mesh_tuple, 48);
MESH_SIZE(mesh_slot, 128);
MESH_SIZE(mesh_leg, 8);
MESH_SIZE(mesh_edge_key, 16);
MESH_SIZE(mesh_edge, 40);
MESH_SIZE(mesh_edge_slot, 64);
MESH_SIZE(mesh_veth, 24);
MESH_SIZE(mesh_veth_slot, 32);
MESH_SIZE(mesh_event, 152);
#undef MESH_SIZE
