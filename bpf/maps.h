/* Every map, once. Values and keys are in mesh_abi.h. A name bears the layout's version, so that programs of one layout
 * never read maps of another; the kernel keeps 15 characters of a name, hence the short words.
 *
 * Tables that user space fills are not preallocated (idle memory); what programs fill is LRU, and preallocated. Nothing
 * that decides about security is kept in an LRU map alone: an evicted entry ends in a refusal or in the judgement of an
 * unknown source, never in a pass. Sizes are defaults; the agent sets its own when it loads. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <mesh_abi.h>

#define MESH_PASTE(word, layout) mesh_##word##_v##layout
#define MESH_NAMED(word, layout) MESH_PASTE(word, layout)
/* MESH_MAP(pods) is mesh_pods_v1. */
#define MESH_MAP(word) MESH_NAMED(word, MESH_LAYOUT)

/* network namespace cookie -> the workload that owns the namespace */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 65536);
    __type(key, __u64);
    __type(value, struct mesh_pod);
} MESH_MAP(pods) SEC(".maps");

/* cgroup id -> the workload of the host's namespace whose processes are there or below */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 65536);
    __type(key, __u64);
    __type(value, struct mesh_pod);
} MESH_MAP(units) SEC(".maps");

/* address and port in the host's namespace -> workload */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 65536);
    __type(key, struct mesh_port_key);
    __type(value, struct mesh_workload);
} MESH_MAP(ports) SEC(".maps");

/* address -> workload */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 65536);
    __type(key, struct mesh_addr);
    __type(value, struct mesh_workload);
} MESH_MAP(wload) SEC(".maps");

/* address and port -> service */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 65536);
    __type(key, struct mesh_service_key);
    __type(value, struct mesh_service);
} MESH_MAP(svc) SEC(".maps");

/* endpoint table and slot -> where to connect */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 262144);
    __type(key, struct mesh_endpoint_key);
    __type(value, struct mesh_endpoint);
} MESH_MAP(ep) SEC(".maps");

/* generation and destination workload -> the policy group that protects it */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 131072);
    __type(key, struct mesh_guard_key);
    __type(value, struct mesh_guard);
} MESH_MAP(guards) SEC(".maps");

/* generation, source workload and family -> source class */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 131072);
    __type(key, struct mesh_class_key);
    __type(value, __u32);
} MESH_MAP(classes) SEC(".maps");

/* generation and address prefix -> source class of plaintext from outside */
struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 131072);
    __type(key, struct mesh_network_key);
    __type(value, __u32);
} MESH_MAP(nets) SEC(".maps");

/* generation, group, source class and port -> verdict */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 262144);
    __type(key, struct mesh_policy_key);
    __type(value, struct mesh_policy);
} MESH_MAP(policy) SEC(".maps");

/* the one element that the agent writes through a mapping: generation, VIP ranges, the proxy's cgroup */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct mesh_config);
} MESH_MAP(config) SEC(".maps");

/* the one element that the agent counts up through a mapping: odd while rows of the tables above change, 0: nobody counts
 * (lib/memo.h) */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} MESH_MAP(epoch) SEC(".maps");

/* slot by a hash of namespace, address and port -> the service that is called there, remembered (lib/memo.h). MMAPABLE, as the
 * next two: nobody maps it, but its memory begins with a page, so that a slot of 64 bytes is one line of the cache. An array of
 * each CPU would cost a second one, which says where its slot is. */
#define MESH_MEMO_SLOTS 512 /* a power of two: what calls whom at one time, with room */
struct mesh_place {
    __u64 sequence; /* odd while it is written */
    __u64 epoch;
    __u64 netns_cookie;
    struct mesh_addr address;
    __u32 source_workload;
    __u32 service;
    __u32 table;
    __u32 slots;
    __u16 port_be;
    __u16 zero16;
    __u32 zero32;
};
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, MESH_MEMO_SLOTS);
    __type(key, __u32);
    __type(value, struct mesh_place);
} MESH_MAP(place) SEC(".maps");

/* slot by a hash of namespace, endpoint table and slot -> the endpoint, and that its workload may be reached, as `place` */
struct mesh_way {
    __u64 sequence;
    __u64 epoch;
    __u64 netns_cookie;
    struct mesh_addr destination;
    __u32 generation;
    __u32 table;
    __u32 slot;
    __u32 destination_workload;
    __u32 policy;
    __u16 destination_port_be;
    __u16 zero16;
};
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, MESH_MEMO_SLOTS);
    __type(key, __u32);
    __type(value, struct mesh_way);
} MESH_MAP(way) SEC(".maps");

/* slot by a hash of both addresses -> that at the first one no policy stands between it and the other, as `place` */
struct mesh_door {
    __u64 sequence;
    __u64 epoch;
    struct mesh_addr local;
    struct mesh_addr remote;
    __u32 generation;
    __u32 zero32;
    __u64 zero64;
};
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, MESH_MEMO_SLOTS);
    __type(key, __u32);
    __type(value, struct mesh_door);
} MESH_MAP(door) SEC(".maps");

/* slot by socket cookie -> flow, on the client's side from connect() to its SYN */
#define MESH_HANDOFF_SLOTS 256 /* a power of two: connect() calls at one moment, with room */
struct mesh_handoff {
    __u64 cookie;  /* 0: free */
    __u32 spilled; /* once found in use: look into `pending` as well */
    __u32 zero32;
    struct mesh_flow flow;
};
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, MESH_HANDOFF_SLOTS);
    __type(key, __u32);
    __type(value, struct mesh_handoff);
} MESH_MAP(handoff) SEC(".maps");

/* socket cookie -> flow, as `handoff`, for sockets that found their slot busy */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 4096);
    __type(key, __u64);
    __type(value, struct mesh_flow);
} MESH_MAP(pending) SEC(".maps");

/* slot of the 4-tuple as the acceptor sees it -> flow, while the client's socket lives (lib/flows.h) */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, MESH_SLOTS);
    __type(key, __u32);
    __type(value, struct mesh_slot);
} MESH_MAP(slots) SEC(".maps");

/* the 4-tuple itself -> flow, as `slots`, for those that found their slot in use */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 65536);
    __type(key, struct mesh_tuple);
    __type(value, struct mesh_flow);
} MESH_MAP(flows) SEC(".maps");

/* accepted socket of the relay -> flow, read with getsockopt; upstream socket of the relay -> the flow for which it dials,
 * written with setsockopt */
struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct mesh_flow);
} MESH_MAP(accept) SEC(".maps");

/* upstream socket of the node proxy -> on whose behalf it dials; the agent writes it by descriptor */
struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct mesh_leg);
} MESH_MAP(legs) SEC(".maps");

/* socket that asked port 53 -> whom it asked, in each family; all zero: nobody */
struct mesh_asked {
    struct mesh_addr v4;
    struct mesh_addr v6;
};
struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct mesh_asked);
} MESH_MAP(names) SEC(".maps");

/* interface index at the host end of a veth, modulo the number of slots -> the workload behind it */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, MESH_VETH_SLOTS);
    __type(key, __u32);
    __type(value, struct mesh_veth_slot);
} MESH_MAP(vslots) SEC(".maps");

/* interface index -> the same, for those whose slot another one has */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 65536);
    __type(key, __u32);
    __type(value, struct mesh_veth);
} MESH_MAP(veths) SEC(".maps");

/* slot by a hash of who speaks to whom -> counters, of the edge that took the slot, on each CPU (lib/edges.h) */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, MESH_EDGE_SLOTS);
    __type(key, __u32);
    __type(value, struct mesh_edge_slot);
} MESH_MAP(eslots) SEC(".maps");

/* who spoke to whom -> counters, of those that have no slot */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
    __uint(max_entries, 16384);
    __type(key, struct mesh_edge_key);
    __type(value, struct mesh_edge);
} MESH_MAP(edges) SEC(".maps");

/* hook and reason -> how often; the last element counts lost events */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, MESH_COUNTERS);
    __type(key, __u32);
    __type(value, __u64);
} MESH_MAP(count) SEC(".maps");

/* refusals and closed connections, for the agent */
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 2 * 1024 * 1024);
} MESH_MAP(events) SEC(".maps");
