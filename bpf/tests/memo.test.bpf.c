#include "check.h"
#include "../lib/admit.h"
#include "../lib/memo.h"

#define NETNS 77
#define OTHER_NETNS 109 /* falls into the slot of NETNS */
#define GENERATION 5
#define VIP 0xf0000001
#define SERVER_IP 0x0a000002

static __noinline int set_epoch(__u64 epoch)
{
    __u32 zero = 0;
    return bpf_map_update_elem(&MESH_MAP(epoch), &zero, &epoch, BPF_ANY);
}

/* As mesh_decide leaves it. Neither this nor `recall` is static: the verifier looks at such a function once. */
__noinline int keep(__u64 epoch, __u64 netns, __u32 table, __u32 slot, __u32 slots)
{
    struct mesh_flow flow = {
        .original = mesh_addr_v4(bpf_htonl(VIP)),
        .original_port_be = bpf_htons(80),
        .destination = mesh_addr_v4(bpf_htonl(SERVER_IP + slot)),
        .destination_port_be = bpf_htons(8080),
        .source_workload = 1,
        .destination_workload = 2 + slot,
        .service = 9,
        .policy = 100,
        .generation = GENERATION,
        .tier = MESH_TIER_KERNEL,
        .verdict = MESH_VERDICT_ALLOW,
    };
    struct mesh_pick pick = {.table = table, .slot = slot, .slots = slots};
    mesh_memo_keep(epoch, netns, &pick, &flow);
    return flow.epoch == (__u32)epoch;
}

/* The workload that is remembered, 0: nothing is. */
__noinline __u32 recall(__u64 epoch, __u64 netns, __u32 ip, __u16 port, __u32 generation)
{
    struct mesh_flow flow = {0};
    struct mesh_addr address = mesh_addr_v4(bpf_htonl(ip));
    if (!mesh_memo_recall(epoch, netns, &address, bpf_htons(port), generation, &flow))
        return 0;
    if (flow.verdict != MESH_VERDICT_ALLOW || flow.tier != MESH_TIER_KERNEL || flow.reason != 0 ||
        flow.source_workload != 1 || flow.service != 9 || flow.policy != 100 || flow.generation != generation ||
        flow.epoch != (__u32)epoch || !mesh_addr_equal(&flow.original, &address) ||
        flow.original_port_be != bpf_htons(port) || flow.destination_port_be != bpf_htons(8080) ||
        mesh_addr_word(&flow.destination, 3) != bpf_htonl(SERVER_IP + flow.destination_workload - 2))
        return 99;
    return flow.destination_workload;
}

CHECK(check_epoch)
{
    EXPECT(set_epoch(0) == 0 && mesh_epoch_read() == 0);
    EXPECT(set_epoch(3) == 0 && mesh_epoch_read() == 0);
    EXPECT(set_epoch(4) == 0 && mesh_epoch_read() == 4);
    return 0;
}

CHECK(check_recall)
{
    EXPECT(set_epoch(10) == 0);
    EXPECT(recall(10, NETNS, VIP, 80, GENERATION) == 0);
    EXPECT(keep(10, NETNS, 7, 0, 1));
    EXPECT(recall(10, NETNS, VIP, 80, GENERATION) == 2);
    /* Of another namespace, address, port, generation: nothing. */
    EXPECT(recall(10, NETNS + 1, VIP, 80, GENERATION) == 0);
    EXPECT(recall(10, NETNS, VIP + 1, 80, GENERATION) == 0);
    EXPECT(recall(10, NETNS, VIP, 81, GENERATION) == 0);
    EXPECT(recall(10, NETNS, VIP, 80, GENERATION + 1) == 0);
    EXPECT(recall(10, NETNS, VIP, 80, GENERATION - 1) == 0);
    return 0;
}

/* What was decided in one epoch is nothing in the next, whatever comes after it. */
CHECK(check_next_epoch)
{
    EXPECT(set_epoch(20) == 0 && keep(20, NETNS, 7, 0, 1) && recall(20, NETNS, VIP, 80, GENERATION) == 2);
    EXPECT(recall(22, NETNS, VIP, 80, GENERATION) == 0);
    EXPECT(recall(18, NETNS, VIP, 80, GENERATION) == 0);
    EXPECT(recall(20 + (1ULL << 32), NETNS, VIP, 80, GENERATION) == 0);
    return 0;
}

/* A decision during which a table changed is not kept. */
CHECK(check_change_meanwhile)
{
    EXPECT(set_epoch(31) == 0 && !keep(30, NETNS, 7, 0, 1) && recall(30, NETNS, VIP, 80, GENERATION) == 0);
    EXPECT(set_epoch(32) == 0 && !keep(30, NETNS, 7, 0, 1) && recall(30, NETNS, VIP, 80, GENERATION) == 0);
    EXPECT(recall(32, NETNS, VIP, 80, GENERATION) == 0);
    EXPECT(keep(32, NETNS, 7, 0, 1) && recall(32, NETNS, VIP, 80, GENERATION) == 2);
    return 0;
}

/* Each slot of a service is decided for itself. Without branches, of which the verifier would follow each. */
CHECK(check_slots)
{
    EXPECT(set_epoch(40) == 0 && keep(40, NETNS, 8, 1, 2));
    __u32 seen = 0, missed = 0;
    for (int i = 0; i < 32; i++) {
        __u32 workload = recall(40, NETNS, VIP, 80, GENERATION);
        seen |= workload;
        missed += (workload - 1) >> 31;
    }
    EXPECT(seen == 3 && missed > 0 && missed < 32);
    EXPECT(keep(40, NETNS, 8, 0, 2));
    seen = missed = 0;
    for (int i = 0; i < 32; i++) {
        __u32 workload = recall(40, NETNS, VIP, 80, GENERATION);
        seen |= workload;
        missed += (workload - 1) >> 31;
    }
    EXPECT(seen == 3 && missed == 0);
    return 0;
}

/* A program that was interrupted between two steps of another one. */
CHECK(check_a_slot_in_work)
{
    struct mesh_addr vip = mesh_addr_v4(bpf_htonl(VIP));
    EXPECT(set_epoch(50) == 0 && keep(50, NETNS, 7, 0, 1));
    struct mesh_place *place = mesh_place_slot(NETNS, &vip, bpf_htons(80));
    EXPECT(place && mesh_memo_take(&place->sequence, 50));
    EXPECT(recall(50, NETNS, VIP, 80, GENERATION) == 0 && !keep(50, NETNS, 7, 0, 1));
    place->sequence++;
    EXPECT(recall(50, NETNS, VIP, 80, GENERATION) == 2);
    struct mesh_way *way = mesh_way_slot(NETNS, 7, 0);
    EXPECT(way && mesh_memo_take(&way->sequence, 50));
    EXPECT(recall(50, NETNS, VIP, 80, GENERATION) == 0);
    way->sequence++;
    EXPECT(recall(50, NETNS, VIP, 80, GENERATION) == 2);
    return 0;
}

/* Two that fall into one slot: the later one has it, and neither is taken for the other. */
CHECK(check_two_of_one_slot)
{
    struct mesh_addr vip = mesh_addr_v4(bpf_htonl(VIP));
    struct mesh_place *place = mesh_place_slot(NETNS, &vip, bpf_htons(80));
    EXPECT(set_epoch(60) == 0 && place);
    const __u64 other = OTHER_NETNS;
    EXPECT(mesh_place_slot(other, &vip, bpf_htons(80)) == place);
    EXPECT(keep(60, NETNS, 7, 0, 1) && keep(60, other, 7, 0, 1));
    EXPECT(recall(60, other, VIP, 80, GENERATION) == 2 && recall(60, NETNS, VIP, 80, GENERATION) == 0);
    EXPECT(keep(60, NETNS, 7, 0, 1));
    EXPECT(recall(60, NETNS, VIP, 80, GENERATION) == 2 && recall(60, other, VIP, 80, GENERATION) == 0);
    return 0;
}

/* An endpoint of the other family is not for this socket. */
CHECK(check_family)
{
    EXPECT(set_epoch(70) == 0 && keep(70, NETNS, 7, 0, 1));
    struct mesh_way *way = mesh_way_slot(NETNS, 7, 0);
    EXPECT(way);
    way->destination = mesh_addr_v6(bpf_htonl(0xfd770000), 0, 0, 2);
    EXPECT(recall(70, NETNS, VIP, 80, GENERATION) == 0);
    return 0;
}

static __noinline int put_rows(__u32 group, __u32 local_flags, __u32 remote_flags)
{
    struct mesh_addr local = mesh_addr_v4(bpf_htonl(SERVER_IP)), remote = mesh_addr_v4(bpf_htonl(0x0a000009));
    struct mesh_workload here = {.workload = 2, .flags = MESH_WORKLOAD_LOCAL | local_flags};
    struct mesh_workload there = {.workload = 3, .flags = MESH_WORKLOAD_LOCAL | remote_flags};
    struct mesh_guard_key key = {.generation = GENERATION, .workload = 2};
    struct mesh_guard guard = {.group = group};
    struct mesh_policy_key any = {.generation = GENERATION, .group = group, .source_class = MESH_CLASS_ANY};
    struct mesh_policy allow = {.verdict = MESH_VERDICT_ALLOW};
    return bpf_map_update_elem(&MESH_MAP(wload), &local, &here, BPF_ANY) |
           bpf_map_update_elem(&MESH_MAP(wload), &remote, &there, BPF_ANY) |
           bpf_map_update_elem(&MESH_MAP(guards), &key, &guard, BPF_ANY) |
           bpf_map_update_elem(&MESH_MAP(policy), &any, &allow, BPF_ANY);
}

/* 1: it was decided without a look; 2: it is admitted after one; 0: it is not. */
__noinline int comes(__u64 epoch, __u16 port, __u32 generation)
{
    struct mesh_arrival arrival = {.local = mesh_addr_v4(bpf_htonl(SERVER_IP)),
                                   .remote = mesh_addr_v4(bpf_htonl(0x0a000009)),
                                   .epoch = epoch,
                                   .local_port_be = bpf_htons(port),
                                   .remote_port_be = bpf_htons(41000)};
    struct mesh_config config = {.generation = generation};
    if (mesh_admit_open(&arrival, &config))
        return 1;
    struct mesh_flow flow = {0};
    const struct mesh_workload *local = bpf_map_lookup_elem(&MESH_MAP(wload), &arrival.local);
    return 2 * mesh_admit_arrival(&arrival, local, &config, &flow);
}

/* A workload that no policy protects is open to all, but for the mesh's own ports. */
CHECK(check_open)
{
    EXPECT(set_epoch(90) == 0 && put_rows(0, 0, 0) == 0);
    EXPECT(comes(90, 80, GENERATION) == 2 && comes(90, 80, GENERATION) == 1 && comes(90, 81, GENERATION) == 1);
    EXPECT(comes(90, MESH_PORT_INBOUND, GENERATION) == 0);
    EXPECT(comes(90, 80, GENERATION + 1) == 0);
    /* Rows that change, with the epoch. */
    EXPECT(set_epoch(92) == 0 && put_rows(0, 0, MESH_WORKLOAD_QUARANTINED) == 0 && comes(92, 80, GENERATION) == 0);
    EXPECT(set_epoch(94) == 0 && put_rows(0, MESH_WORKLOAD_QUARANTINED, 0) == 0 && comes(94, 80, GENERATION) == 0);
    EXPECT(comes(94, 80, GENERATION) == 0);
    return 0;
}

/* Policy that allows is asked each time; what was decided while a table changed is not kept. */
CHECK(check_not_open)
{
    EXPECT(set_epoch(100) == 0 && put_rows(6, 0, 0) == 0);
    EXPECT(comes(100, 80, GENERATION) == 2 && comes(100, 80, GENERATION) == 2);
    EXPECT(set_epoch(101) == 0 && put_rows(0, 0, 0) == 0);
    EXPECT(comes(100, 80, GENERATION) == 2 && comes(100, 80, GENERATION) == 2);
    EXPECT(set_epoch(102) == 0 && comes(102, 80, GENERATION) == 2 && comes(102, 80, GENERATION) == 1);
    return 0;
}

static __noinline int arrives(__u32 flow_epoch, __u32 generation, __u8 verdict)
{
    struct mesh_arrival arrival = {.local = mesh_addr_v4(bpf_htonl(SERVER_IP)),
                                   .remote = mesh_addr_v4(bpf_htonl(0x0a000001)),
                                   .epoch = mesh_epoch_read(),
                                   .local_port_be = bpf_htons(8080),
                                   .remote_port_be = bpf_htons(40000)};
    struct mesh_tuple tuple = mesh_arrival_tuple(&arrival);
    struct mesh_flow flow = {.source = tuple.remote,
                             .destination = tuple.local,
                             .source_port_be = tuple.remote_port_be,
                             .destination_port_be = tuple.local_port_be,
                             .socket_cookie = 5,
                             .generation = generation,
                             .epoch = flow_epoch,
                             .verdict = verdict};
    struct mesh_config config = {.generation = GENERATION};
    if (mesh_flow_publish(&tuple, &flow) != 0)
        return -1;
    int known = arrival.epoch && mesh_admit_known(&arrival, &config);
    struct mesh_published found = mesh_flow_find(&tuple);
    mesh_flow_withdraw(&tuple, &found);
    return known + 2 * (arrival.epoch && mesh_admit_known(&arrival, &config));
}

/* At the destination a decision counts without a look only in its own epoch and generation. */
CHECK(check_arrival)
{
    EXPECT(set_epoch(80) == 0);
    EXPECT(arrives(80, GENERATION, MESH_VERDICT_ALLOW) == 1);
    EXPECT(arrives(78, GENERATION, MESH_VERDICT_ALLOW) == 0);
    EXPECT(arrives(0, GENERATION, MESH_VERDICT_ALLOW) == 0);
    EXPECT(arrives(80, GENERATION - 1, MESH_VERDICT_ALLOW) == 0);
    EXPECT(arrives(80, GENERATION, MESH_VERDICT_DENY) == 0);
    EXPECT(set_epoch(81) == 0 && arrives(80, GENERATION, MESH_VERDICT_ALLOW) == 0);
    EXPECT(set_epoch(0) == 0 && arrives(0, GENERATION, MESH_VERDICT_ALLOW) == 0);
    return 0;
}
