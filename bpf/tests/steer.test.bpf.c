#include "check.h"
#include "../lib/admit.h"
#include "../lib/steer.h"

#define GENERATION 3
#define CLIENT 1
#define SERVER 2
#define REMOTE 3
#define VIP bpf_htonl(0xf0000001)
#define CLIENT_IP bpf_htonl(0x0a000001)
#define SERVER_IP bpf_htonl(0x0a000002)
#define REMOTE_IP bpf_htonl(0x0a000103)

static __noinline int decide(const struct mesh_call *call, const struct mesh_pod *pod, const struct mesh_config *config,
                             struct mesh_flow *flow)
{
    if (!call || !config || !pod || !flow)
        return -1;
    __builtin_memset(flow, 0, sizeof(*flow));
    struct mesh_pick pick = {0};
    return mesh_decide(call, config, pod, flow, &pick);
}

static __noinline int put_workload(__u32 ip_be, __u32 workload, __u32 flags)
{
    struct mesh_addr key = mesh_addr_v4(ip_be);
    struct mesh_workload value = {.workload = workload, .flags = flags};
    return bpf_map_update_elem(&MESH_MAP(wload), &key, &value, BPF_ANY);
}

static __noinline int put_service(__u16 port, __u32 mode, __u32 table, __u32 slots)
{
    struct mesh_service_key key = {.address = mesh_addr_v4(VIP), .port_be = bpf_htons(port), .protocol = 6};
    struct mesh_service value = {.service = 50 + port, .table = table, .slots = slots, .mode = mode};
    return bpf_map_update_elem(&MESH_MAP(svc), &key, &value, BPF_ANY);
}

static __noinline int put_endpoint(__u32 table, __u32 ip_be, __u16 port, __u32 workload, __u32 flags)
{
    struct mesh_endpoint_key key = {.table = table};
    struct mesh_endpoint value = {
        .address = mesh_addr_v4(ip_be), .workload = workload, .port_be = bpf_htons(port), .flags = flags};
    return bpf_map_update_elem(&MESH_MAP(ep), &key, &value, BPF_ANY);
}

static __noinline int put_guard(__u32 workload, __u32 group)
{
    struct mesh_guard_key key = {.generation = GENERATION, .workload = workload};
    struct mesh_guard value = {.group = group};
    return bpf_map_update_elem(&MESH_MAP(guards), &key, &value, BPF_ANY);
}

static __noinline int setup(void)
{
    return put_workload(CLIENT_IP, CLIENT, MESH_WORKLOAD_LOCAL) | put_workload(SERVER_IP, SERVER, MESH_WORKLOAD_LOCAL) |
           put_workload(REMOTE_IP, REMOTE, 0) | put_guard(SERVER, 0) | put_guard(REMOTE, 0) |
           put_service(0, MESH_MODE_ADDRESS, 0, 0) | put_service(80, MESH_MODE_KERNEL, 1, 1) |
           put_endpoint(1, SERVER_IP, 8080, SERVER, 0);
}

#define SETUP                                                                                                          \
    struct mesh_config config = {                                                                                      \
        .generation = GENERATION, .vip4_be = bpf_htonl(0xf0000000), .vip4_mask_be = bpf_htonl(0xff000000)};            \
    struct mesh_pod pod = {.workload = CLIENT, .outbound_port_be = bpf_htons(15001)};                                  \
    struct mesh_call call = {.address = mesh_addr_v4(VIP), .port_be = bpf_htons(80)};                                  \
    struct mesh_flow flow = {0};                                                                                       \
    EXPECT(setup() == 0)

CHECK(check_kernel_tier)
{
    SETUP;
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_ADMIT);
    EXPECT(flow.tier == MESH_TIER_KERNEL && flow.verdict == MESH_VERDICT_ALLOW && flow.reason == 0);
    EXPECT(flow.source_workload == CLIENT && flow.destination_workload == SERVER && flow.service == 130);
    EXPECT(mesh_addr_word(&flow.destination, 3) == SERVER_IP && flow.destination_port_be == bpf_htons(8080));
    EXPECT(mesh_addr_word(&flow.original, 3) == VIP && flow.original_port_be == bpf_htons(80));
    EXPECT(flow.generation == GENERATION);
    return 0;
}

CHECK(check_refused_services)
{
    SETUP;
    call.port_be = bpf_htons(81);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_NO_SERVICE_PORT);
    call.address = mesh_addr_v4(bpf_htonl(0xf0000002));
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_UNKNOWN_VIP);
    call.address = mesh_addr_v4(VIP);

    EXPECT(put_service(82, MESH_MODE_KERNEL, 9, 0) == 0);
    call.port_be = bpf_htons(82);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_NO_ENDPOINT);
    EXPECT(put_service(82, MESH_MODE_PROXY, 9, 0) == 0);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_NO_ENDPOINT);
    /* A slot that is not there is an error, and an error refuses. */
    EXPECT(put_service(82, MESH_MODE_KERNEL, 9, 1) == 0);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_MAP_ERROR);
    EXPECT(put_endpoint(9, SERVER_IP, 80, SERVER, MESH_ENDPOINT_INVALID) == 0);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_INVALID_BACKEND);
    EXPECT(put_endpoint(9, bpf_htonl(0x0a000009), 80, 9, 0) == 0);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_MAP_ERROR);
    EXPECT(put_endpoint(9, SERVER_IP, 15001, SERVER, 0) == 0);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_MESH_PORT);
    EXPECT(put_endpoint(9, REMOTE_IP, 80, REMOTE, 0) == 0);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_NO_TUNNEL);
    EXPECT(put_service(82, 77, 9, 1) == 0);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_NO_SERVICE_PORT);
    return 0;
}

CHECK(check_canary)
{
    SETUP;
    EXPECT(put_service(1501, MESH_MODE_CANARY, 0, 0) == 0 && put_service(1502, MESH_MODE_PULSE, 0, 0) == 0);
    call.port_be = bpf_htons(1502);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_PULSE);
    call.port_be = bpf_htons(1501);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_ADMIT && flow.tier == MESH_TIER_RELAY);
    EXPECT(flow.flags == MESH_FLOW_CANARY && flow.destination_port_be == bpf_htons(15001));
    /* Also of a workload in quarantine: it is how one leaves it. */
    pod.flags = MESH_POD_QUARANTINED;
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_ADMIT && flow.flags == MESH_FLOW_CANARY);
    /* The agent's own cgroup is governed for nothing else. */
    pod.flags = MESH_POD_PROBE;
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_ADMIT && flow.flags == MESH_FLOW_CANARY);
    call.port_be = bpf_htons(80);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_PASS);
    config.generation = 0;
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_PASS);
    return 0;
}

CHECK(check_quarantine)
{
    SETUP;
    pod.flags = MESH_POD_QUARANTINED;
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_QUARANTINED);
    call.address = mesh_addr_v4(SERVER_IP);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_QUARANTINED);
    call.address = mesh_addr_v4(bpf_htonl(0x08080808));
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_QUARANTINED);
    /* The proxy's leg for it, too. */
    call.is_leg = 1;
    call.leg_workload = CLIENT;
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_QUARANTINED);
    call.is_leg = 0;
    /* Its own loopback is its own. */
    call.address = mesh_addr_v4(bpf_htonl(0x7f000001));
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_PASS);
    /* Others do not reach it. */
    pod.flags = 0;
    call.address = mesh_addr_v4(VIP);
    EXPECT(put_workload(SERVER_IP, SERVER, MESH_WORKLOAD_LOCAL | MESH_WORKLOAD_QUARANTINED) == 0);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_QUARANTINED);
    return 0;
}

CHECK(check_endpoints_of_no_workload)
{
    SETUP;
    EXPECT(put_service(84, MESH_MODE_KERNEL, 11, 1) == 0);
    call.port_be = bpf_htons(84);
    EXPECT(put_endpoint(11, bpf_htonl(0x08080808), 80, 0, 0) == 0);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_ADMIT && flow.destination_workload == 0);
    EXPECT(put_endpoint(11, bpf_htonl(0x08080808), 15006, 0, 0) == 0);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_MESH_PORT);
    /* Its own service's address, on a port that exists and on one that does not. */
    EXPECT(put_endpoint(11, VIP, 84, 0, 0) == 0);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_SERVICE_LOOP);
    EXPECT(put_endpoint(11, VIP, 9, 0, 0) == 0);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_SERVICE_LOOP);
    EXPECT(put_endpoint(11, bpf_htonl(0xf0000002), 80, 0, 0) == 0);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_UNKNOWN_VIP);
    return 0;
}

CHECK(check_relay)
{
    SETUP;
    EXPECT(put_service(83, MESH_MODE_PROXY, 1, 1) == 0);
    call.port_be = bpf_htons(83);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_ADMIT && flow.tier == MESH_TIER_RELAY);
    EXPECT(flow.destination_port_be == bpf_htons(15001) && flow.destination_workload == 0);
    struct mesh_addr v4 = mesh_addr_v4(bpf_htonl(0x7f000001));
    EXPECT(mesh_addr_equal(&flow.destination, &v4));
    /* The same on an IPv6 socket. */
    struct mesh_service_key key = {
        .address = mesh_addr_v6(bpf_htonl(0xfd000000), 0, 0, bpf_htonl(1)), .port_be = bpf_htons(83), .protocol = 6};
    struct mesh_service value = {.service = 1, .table = 1, .slots = 1, .mode = MESH_MODE_PROXY};
    EXPECT(bpf_map_update_elem(&MESH_MAP(svc), &key, &value, BPF_ANY) == 0);
    call.address = key.address;
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_ADMIT && flow.tier == MESH_TIER_RELAY);
    struct mesh_addr v6 = mesh_addr_v6(0, 0, 0, bpf_htonl(1));
    EXPECT(mesh_addr_equal(&flow.destination, &v6));
    return 0;
}

CHECK(check_untouched)
{
    SETUP;
    call.address = mesh_addr_v4(bpf_htonl(0x7f000001));
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_PASS);
    call.address = mesh_addr_v4(CLIENT_IP);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_PASS);
    call.address = mesh_addr_v4(bpf_htonl(0x08080808));
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_PASS);
    return 0;
}

CHECK(check_mesh_ports)
{
    SETUP;
    call.port_be = bpf_htons(15001);
    call.address = mesh_addr_v4(CLIENT_IP);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_MESH_PORT);
    call.port_be = bpf_htons(15008);
    call.address = mesh_addr_v4(SERVER_IP);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_MESH_PORT);
    return 0;
}

CHECK(check_not_ready)
{
    SETUP;
    config.generation = 0;
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_NOT_READY);
    pod.flags = MESH_POD_OPEN;
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_PASS);
    return 0;
}

CHECK(check_direct_workload)
{
    SETUP;
    call.address = mesh_addr_v4(SERVER_IP);
    call.port_be = bpf_htons(9999);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_ADMIT && flow.tier == MESH_TIER_KERNEL);
    EXPECT(flow.destination_workload == SERVER && flow.service == 0);
    call.address = mesh_addr_v4(REMOTE_IP);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_NO_TUNNEL);
    EXPECT(put_workload(REMOTE_IP, REMOTE, MESH_WORKLOAD_PLACED) == 0);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_NOT_ENROLLED);
    /* No guard: closed. */
    EXPECT(put_workload(bpf_htonl(0x0a000004), 4, MESH_WORKLOAD_LOCAL) == 0);
    call.address = mesh_addr_v4(bpf_htonl(0x0a000004));
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_POLICY_MISSING);
    EXPECT(put_workload(bpf_htonl(0x0a000004), 4, MESH_WORKLOAD_LOCAL | MESH_WORKLOAD_OPEN) == 0);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_ADMIT);
    return 0;
}

CHECK(check_tunnels)
{
    SETUP;
    /* A workload of another host: the node proxy carries the call, and is told where it goes. */
    EXPECT(put_workload(REMOTE_IP, REMOTE, MESH_WORKLOAD_TUNNEL) == 0);
    call.address = mesh_addr_v4(REMOTE_IP);
    call.port_be = bpf_htons(9999);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_ADMIT && flow.tier == MESH_TIER_RELAY);
    EXPECT(flow.flags & MESH_FLOW_CHOSEN);
    EXPECT(mesh_addr_word(&flow.source, 3) == REMOTE_IP && flow.source_port_be == bpf_htons(9999));
    EXPECT(flow.destination_workload == REMOTE);
    /* Nobody dials the tunnel's port but the proxy, and it dials nothing else there. */
    call.port_be = bpf_htons(15008);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_MESH_PORT);
    call.is_leg = MESH_LEG_OUTBOUND;
    call.leg_workload = CLIENT;
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_PASS);
    call.port_be = bpf_htons(15006);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_MESH_PORT);
    call.port_be = bpf_htons(9999);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_NO_TUNNEL);
    /* A tunnel leads to another host: to what is placed here it is none. */
    call.port_be = bpf_htons(15008);
    call.address = mesh_addr_v4(SERVER_IP);
    EXPECT(put_workload(SERVER_IP, SERVER, MESH_WORKLOAD_LOCAL | MESH_WORKLOAD_PLACED | MESH_WORKLOAD_TUNNEL) == 0);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_MESH_PORT);
    /* Where the other workload asks for none (PeerAuthentication DISABLE) the proxy dials it itself. */
    EXPECT(put_workload(REMOTE_IP, REMOTE, MESH_WORKLOAD_PLAIN) == 0);
    call.address = mesh_addr_v4(REMOTE_IP);
    call.port_be = bpf_htons(9999);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_ADMIT && flow.tier == MESH_TIER_LEG);
    call.port_be = bpf_htons(15008);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_MESH_PORT);
    return 0;
}

CHECK(check_leg)
{
    SETUP;
    /* Not steered, though it is a service's address; judged as the workload for which it dials. */
    call.is_leg = 1;
    call.leg_workload = 77;
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_SERVICE_LOOP);
    call.address = mesh_addr_v4(bpf_htonl(0xf0000002));
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_UNKNOWN_VIP);
    call.address = mesh_addr_v4(bpf_htonl(0x08080808));
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_PASS);
    call.port_be = bpf_htons(15001);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_MESH_PORT);
    /* The gateway of another host, but never a service's address. */
    call.port_be = bpf_htons(15008);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_PASS);
    call.address = mesh_addr_v4(VIP);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_SERVICE_LOOP);
    call.port_be = bpf_htons(80);
    call.address = mesh_addr_v4(SERVER_IP);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_ADMIT && flow.tier == MESH_TIER_LEG);
    EXPECT(flow.source_workload == 77);
    return 0;
}

static __noinline int admit(const struct mesh_arrival *arrival, const struct mesh_config *config, struct mesh_flow *flow)
{
    if (!arrival || !config || !flow)
        return -1;
    __builtin_memset(flow, 0, sizeof(*flow));
    int in_host;
    return mesh_admit_arrival(arrival, mesh_workload_at(&arrival->local, arrival->local_port_be, &in_host), config, flow);
}

CHECK(check_tunnels_arrive)
{
    SETUP;
    (void)call;
    (void)pod;
    struct mesh_arrival arrival = {
        .local = mesh_addr_v4(SERVER_IP),
        .remote = mesh_addr_v4(bpf_htonl(0x08080808)),
        .local_port_be = bpf_htons(15008),
        .remote_port_be = bpf_htons(40000),
    };
    EXPECT(admit(&arrival, &config, &flow) == 0 && flow.reason == MESH_REASON_MESH_PORT);
    EXPECT(put_workload(SERVER_IP, SERVER, MESH_WORKLOAD_LOCAL | MESH_WORKLOAD_TUNNEL) == 0);
    EXPECT(admit(&arrival, &config, &flow) == 1);
    arrival.local_port_be = bpf_htons(15001);
    EXPECT(admit(&arrival, &config, &flow) == 0 && flow.reason == MESH_REASON_MESH_PORT);
    arrival.local_port_be = bpf_htons(15008);
    EXPECT(put_workload(SERVER_IP, SERVER, MESH_WORKLOAD_LOCAL | MESH_WORKLOAD_TUNNEL | MESH_WORKLOAD_QUARANTINED) == 0);
    EXPECT(admit(&arrival, &config, &flow) == 0);
    return 0;
}

#define ARRIVAL                                                                                                        \
    struct mesh_config config = {.generation = GENERATION};                                                            \
    struct mesh_arrival arrival = {.local = mesh_addr_v4(SERVER_IP),                                                   \
                                   .remote = mesh_addr_v4(bpf_htonl(0x0a000063)),                                      \
                                   .local_port_be = bpf_htons(8080),                                                   \
                                   .remote_port_be = bpf_htons(40000)};                                                \
    struct mesh_flow flow = {0};                                                                                       \
    EXPECT(setup() == 0)

static __noinline int put_deny_all(__u32 generation, __u32 workload, __u32 group)
{
    struct mesh_guard_key guard_key = {.generation = generation, .workload = workload};
    struct mesh_guard guard = {.group = group};
    struct mesh_policy_key key = {.generation = generation, .group = group, .source_class = MESH_CLASS_ANY};
    struct mesh_policy value = {.policy = 5, .verdict = MESH_VERDICT_DENY, .reason = MESH_REASON_NOT_ALLOWED};
    return bpf_map_update_elem(&MESH_MAP(guards), &guard_key, &guard, BPF_ANY) |
           bpf_map_update_elem(&MESH_MAP(policy), &key, &value, BPF_ANY);
}

CHECK(check_arrival_from_outside)
{
    ARRIVAL;
    EXPECT(admit(&arrival, &config, &flow) == 1);
    EXPECT(put_deny_all(GENERATION, SERVER, 6) == 0);
    EXPECT(admit(&arrival, &config, &flow) == 0 && flow.reason == MESH_REASON_NOT_ALLOWED && flow.policy == 5);
    EXPECT(flow.tier == MESH_TIER_OUTSIDE && flow.source_workload == 0 && flow.destination_workload == SERVER);
    /* Oneself. */
    arrival.remote = arrival.local;
    EXPECT(admit(&arrival, &config, &flow) == 1);
    arrival.local = mesh_addr_v4(bpf_htonl(0x0a0000f0));
    EXPECT(admit(&arrival, &config, &flow) == 0 && flow.reason == MESH_REASON_UNKNOWN_ADDRESS);
    return 0;
}

CHECK(check_arrival_mesh_port_and_start)
{
    ARRIVAL;
    arrival.local_port_be = bpf_htons(15006);
    EXPECT(admit(&arrival, &config, &flow) == 0 && flow.reason == MESH_REASON_MESH_PORT);
    arrival.local_port_be = bpf_htons(8080);
    config.generation = 0;
    EXPECT(admit(&arrival, &config, &flow) == 0 && flow.reason == MESH_REASON_NOT_READY);
    EXPECT(put_workload(SERVER_IP, SERVER, MESH_WORKLOAD_LOCAL | MESH_WORKLOAD_OPEN) == 0);
    EXPECT(admit(&arrival, &config, &flow) == 1);
    return 0;
}

CHECK(check_arrival_in_quarantine)
{
    ARRIVAL;
    EXPECT(put_workload(SERVER_IP, SERVER, MESH_WORKLOAD_LOCAL | MESH_WORKLOAD_QUARANTINED) == 0);
    EXPECT(admit(&arrival, &config, &flow) == 0 && flow.reason == MESH_REASON_QUARANTINED);
    /* Nor does anything come from one. */
    EXPECT(put_workload(SERVER_IP, SERVER, MESH_WORKLOAD_LOCAL) == 0 && admit(&arrival, &config, &flow) == 1);
    EXPECT(put_workload(CLIENT_IP, CLIENT, MESH_WORKLOAD_LOCAL | MESH_WORKLOAD_QUARANTINED) == 0);
    arrival.remote = mesh_addr_v4(CLIENT_IP);
    EXPECT(admit(&arrival, &config, &flow) == 0 && flow.reason == MESH_REASON_QUARANTINED);
    return 0;
}

/* What connect() left of the arrival. */
static __noinline int publish(const struct mesh_arrival *arrival, __u32 generation, __u32 destination)
{
    if (!arrival)
        return -1;
    struct mesh_tuple tuple = mesh_arrival_tuple(arrival);
    struct mesh_flow known = {.source_workload = CLIENT,
                              .destination_workload = destination,
                              .generation = generation,
                              .verdict = MESH_VERDICT_ALLOW,
                              .source = tuple.remote,
                              .destination = tuple.local,
                              .source_port_be = tuple.remote_port_be,
                              .destination_port_be = tuple.local_port_be,
                              .socket_cookie = 5,
                              .tier = MESH_TIER_KERNEL};
    return mesh_flow_publish(&tuple, &known);
}

CHECK(check_arrival_of_a_flow)
{
    ARRIVAL;
    EXPECT(put_deny_all(GENERATION, SERVER, 6) == 0);
    EXPECT(publish(&arrival, GENERATION, SERVER) == 0);
    EXPECT(admit(&arrival, &config, &flow) == 1);
    /* Another generation: the verdict of the past does not count. */
    EXPECT(publish(&arrival, GENERATION - 1, SERVER) == 0);
    EXPECT(admit(&arrival, &config, &flow) == 0 && flow.reason == MESH_REASON_NOT_ALLOWED);
    EXPECT(flow.source_workload == CLIENT && flow.tier == MESH_TIER_KERNEL);
    /* A flow to another workload says nothing about this one. */
    EXPECT(publish(&arrival, GENERATION, REMOTE) == 0);
    EXPECT(admit(&arrival, &config, &flow) == 0 && flow.tier == MESH_TIER_OUTSIDE);
    return 0;
}

/* What the agent admits itself lies beside the slots, and is looked for in the host's namespace only. */
CHECK(check_arrival_of_the_agent)
{
    ARRIVAL;
    EXPECT(put_deny_all(GENERATION, SERVER, 6) == 0);
    struct mesh_tuple tuple = {.local = arrival.local,
                               .remote = arrival.remote,
                               .local_port_be = arrival.local_port_be,
                               .remote_port_be = bpf_htons(40007)};
    arrival.remote_port_be = tuple.remote_port_be;
    struct mesh_flow known = {
        .source_workload = SERVER, .destination_workload = SERVER, .verdict = MESH_VERDICT_ALLOW};
    EXPECT(bpf_map_update_elem(&MESH_MAP(flows), &tuple, &known, BPF_ANY) == 0);
    EXPECT(admit(&arrival, &config, &flow) == 0);
    arrival.in_host = 1;
    EXPECT(admit(&arrival, &config, &flow) == 1);
    return 0;
}

static __noinline int put_port(__u32 ip_be, __u16 port, __u32 workload)
{
    struct mesh_port_key key = {.address = mesh_addr_v4(ip_be), .port_be = bpf_htons(port)};
    struct mesh_workload value = {.workload = workload, .flags = MESH_WORKLOAD_LOCAL};
    return bpf_map_update_elem(&MESH_MAP(ports), &key, &value, BPF_ANY);
}

/* An address of the host: only what was declared is anybody's. */
CHECK(check_host_ports)
{
    SETUP;
    EXPECT(put_workload(bpf_htonl(0x0a000001), 0, MESH_WORKLOAD_HOST) == 0);
    EXPECT(put_port(bpf_htonl(0x0a000001), 8080, SERVER) == 0 && put_port(bpf_htonl(0x7f000001), 8080, SERVER) == 0);
    call.address = mesh_addr_v4(bpf_htonl(0x0a000001));
    call.port_be = bpf_htons(8080);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_ADMIT && flow.destination_workload == SERVER);
    call.port_be = bpf_htons(22);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_PASS);
    /* A service's endpoint there. */
    EXPECT(put_endpoint(1, bpf_htonl(0x0a000001), 8080, SERVER, 0) == 0);
    call.address = mesh_addr_v4(VIP);
    call.port_be = bpf_htons(80);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_ADMIT && flow.destination_workload == SERVER);
    EXPECT(put_endpoint(1, bpf_htonl(0x0a000001), 8081, SERVER, 0) == 0);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_MAP_ERROR);
    /* Loopback of a pod is the pod; that of the host is whose the port is. */
    call.address = mesh_addr_v4(bpf_htonl(0x7f000005));
    call.port_be = bpf_htons(8080);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_PASS);
    call.in_host = 1;
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_ADMIT && flow.destination_workload == SERVER);
    config.generation = 0;
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_NOT_READY);
    call.port_be = bpf_htons(22);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_PASS);
    return 0;
}

static __noinline int put_network(__u32 ip_be, __u32 workload, __u32 network)
{
    struct mesh_addr key = mesh_addr_v4(ip_be);
    struct mesh_workload value = {.workload = workload, .flags = MESH_WORKLOAD_LOCAL, .network = network};
    return bpf_map_update_elem(&MESH_MAP(wload), &key, &value, BPF_ANY);
}

/* Another network of this host: policy first, then the node proxy, which dials from the destination's namespace. */
CHECK(check_across_networks)
{
    SETUP;
    pod.network = 1;
    EXPECT(put_network(SERVER_IP, SERVER, 2) == 0);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_ADMIT && flow.tier == MESH_TIER_RELAY);
    EXPECT(flow.flags == MESH_FLOW_CHOSEN && flow.destination_workload == SERVER && flow.service == 130);
    EXPECT(mesh_addr_word(&flow.source, 3) == SERVER_IP && flow.source_port_be == bpf_htons(8080));
    EXPECT(mesh_addr_word(&flow.destination, 3) == bpf_htonl(0x7f000001));
    EXPECT(flow.destination_port_be == bpf_htons(15001));
    /* By its own address as well. */
    call.address = mesh_addr_v4(SERVER_IP);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_ADMIT && flow.flags == MESH_FLOW_CHOSEN);
    /* The same network, and the host's own, which nothing hides. */
    pod.network = 2;
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_ADMIT && flow.tier == MESH_TIER_KERNEL);
    pod.network = 0;
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_ADMIT && flow.tier == MESH_TIER_KERNEL);
    pod.network = 1;
    EXPECT(put_network(SERVER_IP, SERVER, 0) == 0);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_ADMIT && flow.tier == MESH_TIER_KERNEL);
    /* Oneself, whatever is known of one's networks. */
    EXPECT(put_network(CLIENT_IP, CLIENT, 2) == 0 && put_endpoint(1, CLIENT_IP, 8080, CLIENT, 0) == 0);
    call.address = mesh_addr_v4(VIP);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_ADMIT && flow.tier == MESH_TIER_KERNEL);
    return 0;
}

CHECK(check_across_networks_denied)
{
    SETUP;
    pod.network = 1;
    EXPECT(put_network(SERVER_IP, SERVER, 2) == 0 && put_deny_all(GENERATION, SERVER, 6) == 0);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_NOT_ALLOWED);
    EXPECT(flow.tier == MESH_TIER_KERNEL && flow.flags == 0);
    return 0;
}

CHECK(check_legs_across_networks)
{
    SETUP;
    EXPECT(put_network(SERVER_IP, SERVER, 2) == 0);
    /* From the source's namespace: the proxy is told to take the other one. */
    pod.network = 1;
    call.address = mesh_addr_v4(SERVER_IP);
    call.is_leg = MESH_LEG_OUTBOUND;
    call.leg_workload = CLIENT;
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_ACROSS);
    /* From the destination's. */
    struct mesh_pod there = {.workload = SERVER, .network = 2};
    call.is_leg = MESH_LEG_INBOUND;
    EXPECT(decide(&call, &there, &config, &flow) == MESH_ACTION_ADMIT && flow.tier == MESH_TIER_LEG);
    EXPECT(flow.source_workload == CLIENT && flow.destination_workload == SERVER);
    /* It reaches nobody else: not a neighbour, not the world, not from a namespace of nobody. */
    call.address = mesh_addr_v4(CLIENT_IP);
    EXPECT(decide(&call, &there, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_UNKNOWN_ADDRESS);
    call.address = mesh_addr_v4(bpf_htonl(0x08080808));
    EXPECT(decide(&call, &there, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_UNKNOWN_ADDRESS);
    call.address = mesh_addr_v4(SERVER_IP);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_UNKNOWN_ADDRESS);
    /* Policy decides as ever, and quarantine. */
    EXPECT(put_deny_all(GENERATION, SERVER, 6) == 0);
    EXPECT(decide(&call, &there, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_NOT_ALLOWED);
    there.flags = MESH_POD_QUARANTINED;
    EXPECT(decide(&call, &there, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_QUARANTINED);
    return 0;
}

/* An endpoint of another node whose address is a local workload's: never the namesake. */
CHECK(check_namesake)
{
    SETUP;
    EXPECT(put_endpoint(1, SERVER_IP, 8080, REMOTE, MESH_ENDPOINT_REMOTE) == 0);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_NO_TUNNEL);
    EXPECT(flow.destination_workload == REMOTE);
    return 0;
}

static __noinline int put_published(__u32 ip_be, __u16 port, __u32 table)
{
    struct mesh_service_key key = {.address = mesh_addr_v4(ip_be), .port_be = bpf_htons(port), .protocol = 6};
    struct mesh_service value = {.table = table, .slots = 1, .mode = MESH_MODE_KERNEL};
    return bpf_map_update_elem(&MESH_MAP(svc), &key, &value, BPF_ANY);
}

/* A port of the host that a container publishes: its rows are a service's, its address is not. */
CHECK(check_published_ports)
{
    SETUP;
    EXPECT(put_published(bpf_htonl(0x0a0000fe), 8090, 1) == 0 && put_published(bpf_htonl(0x7f000001), 8090, 1) == 0);
    call.address = mesh_addr_v4(bpf_htonl(0x0a0000fe));
    call.port_be = bpf_htons(8090);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_ADMIT && flow.tier == MESH_TIER_KERNEL);
    EXPECT(flow.destination_workload == SERVER && flow.service == 0);
    EXPECT(mesh_addr_word(&flow.original, 3) == bpf_htonl(0x0a0000fe));
    call.port_be = bpf_htons(22);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_PASS);
    /* Loopback is the host's for the host's own processes only. */
    call.address = mesh_addr_v4(bpf_htonl(0x7f000007));
    call.port_be = bpf_htons(8090);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_PASS);
    call.in_host = 1;
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_ADMIT && flow.destination_workload == SERVER);
    call.port_be = bpf_htons(22);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_PASS);
    call.port_be = bpf_htons(8090);
    /* In quarantine; a port of the mesh's own. */
    EXPECT(put_workload(SERVER_IP, SERVER, MESH_WORKLOAD_LOCAL | MESH_WORKLOAD_QUARANTINED) == 0);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_QUARANTINED);
    EXPECT(put_endpoint(1, SERVER_IP, 15006, SERVER, 0) == 0);
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_MESH_PORT);
    config.generation = 0;
    EXPECT(decide(&call, &pod, &config, &flow) == MESH_ACTION_REFUSE && flow.reason == MESH_REASON_NOT_READY);
    return 0;
}
