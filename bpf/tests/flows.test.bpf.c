#include "check.h"
#include "../lib/flows.h"

static __always_inline struct mesh_tuple tuple_of(__u16 port, __u64 netns)
{
    struct mesh_tuple tuple = {
        .local = mesh_addr_v4(bpf_htonl(0x0a000002)),
        .remote = mesh_addr_v4(bpf_htonl(0x0a000001)),
        .netns_cookie = netns,
        .local_port_be = bpf_htons(80),
        .remote_port_be = bpf_htons(port),
    };
    return tuple;
}

static __noinline int publish(__u16 port, __u64 netns, __u64 cookie)
{
    struct mesh_tuple tuple = tuple_of(port, netns);
    struct mesh_flow flow = {
        .source = tuple.remote,
        .destination = tuple.local,
        .source_port_be = tuple.remote_port_be,
        .destination_port_be = tuple.local_port_be,
        .netns_cookie = netns,
        .socket_cookie = cookie,
    };
    return mesh_flow_publish(&tuple, &flow) == 0;
}

/* The cookie of the flow that is found, 0: none. */
static __noinline __u64 find(__u16 port, __u64 netns)
{
    struct mesh_tuple tuple = tuple_of(port, netns);
    const struct mesh_flow *flow = mesh_flow_find(&tuple).flow;
    return flow ? flow->socket_cookie : 0;
}

static __noinline int is_in_slot(__u16 port, __u64 netns)
{
    struct mesh_tuple tuple = tuple_of(port, netns);
    return mesh_flow_find(&tuple).slot != 0;
}

static __noinline int withdraw(__u16 port, __u64 netns)
{
    struct mesh_tuple tuple = tuple_of(port, netns);
    struct mesh_published found = mesh_flow_find(&tuple);
    if (!found.flow)
        return 0;
    mesh_flow_withdraw(&tuple, &found);
    return 1;
}

CHECK(check_publish_find_withdraw)
{
    EXPECT(find(1000, 0) == 0 && !withdraw(1000, 0));
    EXPECT(publish(1000, 0, 5) && find(1000, 0) == 5 && is_in_slot(1000, 0));
    EXPECT(find(1001, 0) == 0 && find(1002, 0) == 0 && find(1000, 7) == 0);
    EXPECT(withdraw(1000, 0) && find(1000, 0) == 0 && !withdraw(1000, 0));
    return 0;
}

CHECK(check_two_of_one_slot)
{
    __u16 second = 2000 + 2 * MESH_SLOTS, third = 2000 + 4 * MESH_SLOTS;
    EXPECT(publish(2000, 0, 5) && publish(second, 0, 6) && publish(third, 0, 7));
    EXPECT(find(2000, 0) == 5 && find(second, 0) == 6 && find(third, 0) == 7);
    EXPECT(is_in_slot(2000, 0) && !is_in_slot(second, 0) && !is_in_slot(third, 0));
    EXPECT(withdraw(2000, 0) && find(2000, 0) == 0 && find(second, 0) == 6 && find(third, 0) == 7);
    EXPECT(withdraw(second, 0) && find(second, 0) == 0 && find(third, 0) == 7);
    /* Free again. */
    EXPECT(publish(second, 0, 8) && is_in_slot(second, 0) && find(second, 0) == 8);
    EXPECT(withdraw(second, 0) && withdraw(third, 0));
    return 0;
}

/* A socket whose end was not seen leaves its tuple to the next one; the same tuple of another namespace is another one. */
CHECK(check_one_tuple_twice)
{
    EXPECT(publish(3000, 9, 5) && publish(3000, 9, 6));
    EXPECT(find(3000, 9) == 6 && is_in_slot(3000, 9) && find(3000, 8) == 0);
    EXPECT(publish(3000, 8, 7) && find(3000, 8) == 7 && find(3000, 9) == 6);
    EXPECT(withdraw(3000, 9) && find(3000, 9) == 0 && find(3000, 8) == 7);
    EXPECT(withdraw(3000, 8) && find(3000, 8) == 0);
    return 0;
}

/* Between two of a publisher's steps nobody finds half a flow, and nobody else takes the slot. */
CHECK(check_a_slot_in_work)
{
    EXPECT(publish(4000, 0, 5));
    struct mesh_tuple tuple = tuple_of(4000, 0);
    struct mesh_slot *slot = mesh_flow_slot(&tuple);
    EXPECT(slot && mesh_own(&slot->cookie, 5) && !mesh_own(&slot->cookie, 5));
    EXPECT(find(4000, 0) == 0);
    EXPECT(publish(4000, 0, 6) && find(4000, 0) == 6 && !is_in_slot(4000, 0));
    EXPECT(withdraw(4000, 0));
    mesh_disown(&slot->cookie, 0);
    EXPECT(publish(4000, 0, 7) && is_in_slot(4000, 0) && withdraw(4000, 0));
    return 0;
}

/* What lies beside a slot that nobody found in use is looked for where it may be, and only there. */
CHECK(check_beside)
{
    struct mesh_tuple tuple = tuple_of(5000, 0);
    struct mesh_flow flow = {.source = tuple.remote, .destination = tuple.local, .socket_cookie = 11};
    EXPECT(bpf_map_update_elem(&MESH_MAP(flows), &tuple, &flow, BPF_ANY) == 0);
    EXPECT(find(5000, 0) == 0);
    const struct mesh_flow *beside = mesh_flow_beside(&tuple).flow;
    EXPECT(beside && beside->socket_cookie == 11);
    EXPECT(bpf_map_delete_elem(&MESH_MAP(flows), &tuple) == 0);
    return 0;
}

/* A slot that is taken over after it was found is not the tuple's any more. */
CHECK(check_still)
{
    EXPECT(publish(6000, 0, 5));
    struct mesh_tuple tuple = tuple_of(6000, 0);
    struct mesh_published found = mesh_flow_find(&tuple);
    EXPECT(found.slot && mesh_flow_still(&found, &tuple));
    EXPECT(withdraw(6000, 0) && !mesh_flow_still(&found, &tuple));
    EXPECT(publish(6000 + 2 * MESH_SLOTS, 0, 6) && !mesh_flow_still(&found, &tuple));
    EXPECT(withdraw(6000 + 2 * MESH_SLOTS, 0));
    return 0;
}

/* A flow that bears its choice has another destination than its tuple; what was left in the slot of its tuple does not hide
 * it. */
CHECK(check_choice)
{
    EXPECT(publish(3000, 0, 9) && is_in_slot(3000, 0));
    struct mesh_tuple tuple = tuple_of(3000, 0);
    struct mesh_flow flow = {.source = tuple.remote,
                             .destination = mesh_addr_v4(bpf_htonl(0x0a590002)),
                             .source_port_be = tuple.remote_port_be,
                             .destination_port_be = bpf_htons(9000),
                             .socket_cookie = 10,
                             .flags = MESH_FLOW_CHOSEN};
    EXPECT(mesh_flow_publish(&tuple, &flow) == 0);
    EXPECT(find(3000, 0) == 10 && !is_in_slot(3000, 0));
    EXPECT(withdraw(3000, 0) && find(3000, 0) == 0);
    return 0;
}
