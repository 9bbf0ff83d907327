#include "check.h"
#include "../lib/relay.h"

#define CALL                                                                                                           \
    struct mesh_flow call = {                                                                                          \
        .source = mesh_addr_v4(bpf_htonl(0x7f000001)),                                                                 \
        .destination = mesh_addr_v4(bpf_htonl(0x7f000001)),                                                            \
        .original = mesh_addr_v4(bpf_htonl(0xf0000001)),                                                               \
        .netns_cookie = 7,                                                                                             \
        .start_ns = 5,                                                                                                 \
        .source_workload = 1,                                                                                          \
        .service = 9,                                                                                                  \
        .pid = 42,                                                                                                     \
        .source_port_be = bpf_htons(40000),                                                                            \
        .original_port_be = bpf_htons(80),                                                                             \
        .destination_port_be = bpf_htons(15001),                                                                       \
        .tier = MESH_TIER_RELAY,                                                                                       \
    };                                                                                                                 \
    struct mesh_flow leg = {                                                                                           \
        .original = mesh_addr_v4(bpf_htonl(0x0a000002)),                                                               \
        .netns_cookie = 7,                                                                                             \
        .start_ns = 6,                                                                                                 \
        .source_workload = 1,                                                                                          \
        .pid = 2,                                                                                                      \
        .original_port_be = bpf_htons(9000),                                                                           \
        .tier = MESH_TIER_LEG,                                                                                         \
    }

CHECK(check_inherit)
{
    CALL;
    EXPECT(mesh_leg_inherit(&leg, &call, MESH_LEG_OUTBOUND));
    EXPECT(leg.service == 9 && leg.pid == 42 && leg.start_ns == 5 && leg.original_port_be == bpf_htons(80));
    EXPECT(mesh_addr_equal(&leg.original, &call.original) && leg.tier == MESH_TIER_LEG);
    return 0;
}

CHECK(check_not_believed)
{
    CALL;
    call.source_workload = 2;
    EXPECT(!mesh_leg_inherit(&leg, &call, MESH_LEG_OUTBOUND) && leg.service == 0 && leg.pid == 2);
    call.source_workload = 1;
    call.netns_cookie = 8;
    EXPECT(!mesh_leg_inherit(&leg, &call, MESH_LEG_OUTBOUND) && leg.service == 0);
    call.netns_cookie = 7;
    call.tier = MESH_TIER_KERNEL;
    EXPECT(!mesh_leg_inherit(&leg, &call, MESH_LEG_OUTBOUND) && leg.service == 0);
    return 0;
}

/* Its call came from another namespace; whose call it is, the agent's tag says as ever. */
CHECK(check_inherit_inbound)
{
    CALL;
    call.netns_cookie = 8;
    EXPECT(mesh_leg_inherit(&leg, &call, MESH_LEG_INBOUND) && leg.service == 9 && leg.netns_cookie == 7);
    call.source_workload = 2;
    leg.service = 0;
    EXPECT(!mesh_leg_inherit(&leg, &call, MESH_LEG_INBOUND) && leg.service == 0);
    return 0;
}

CHECK(check_tuple_of_a_choice)
{
    CALL;
    (void)leg;
    struct mesh_tuple before = mesh_flow_tuple(&call);
    call.flags = MESH_FLOW_CHOSEN;
    call.destination = mesh_addr_v4(bpf_htonl(0x0a000002));
    call.destination_port_be = bpf_htons(9000);
    struct mesh_tuple after = mesh_flow_tuple(&call);
    EXPECT(mesh_addr_equal(&before.local, &after.local) && before.local_port_be == after.local_port_be);
    EXPECT(before.netns_cookie == after.netns_cookie && after.netns_cookie == 7);
    return 0;
}

static __noinline int has_leg(const struct mesh_tuple *call)
{
    const struct mesh_flow *published = call ? mesh_flow_find(call).flow : 0;
    return published && published->flags & MESH_FLOW_HAS_LEG;
}

CHECK(check_take_over)
{
    CALL;
    struct mesh_tuple tuple = mesh_flow_tuple(&call);
    EXPECT(tuple.netns_cookie == 7 && tuple.remote_port_be == bpf_htons(40000));
    EXPECT(!has_leg(&tuple));
    mesh_leg_take_over(&call);
    EXPECT(!has_leg(&tuple));
    call.socket_cookie = 5;
    EXPECT(mesh_flow_publish(&tuple, &call) == 0);
    EXPECT(!has_leg(&tuple));
    mesh_leg_take_over(&call);
    EXPECT(has_leg(&tuple));
    /* Of the same ports in another namespace. */
    tuple.netns_cookie = 8;
    EXPECT(!has_leg(&tuple));
    struct mesh_tuple routed = mesh_flow_tuple(&leg);
    EXPECT(bpf_map_delete_elem(&MESH_MAP(flows), &routed) != 0);
    return 0;
}
