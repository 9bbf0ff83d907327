#include "check.h"
#include "../lib/policy.h"

#define GENERATION 7

static __always_inline int put_rule(__u32 group, __u32 source_class, __u16 port, __u32 policy, __u32 verdict, __u32 reason)
{
    struct mesh_policy_key key = {
        .generation = GENERATION, .group = group, .source_class = source_class, .port_be = bpf_htons(port)};
    struct mesh_policy value = {.policy = policy, .verdict = verdict, .reason = reason};
    return bpf_map_update_elem(&MESH_MAP(policy), &key, &value, BPF_ANY);
}

CHECK(check_first_rule_decides)
{
    EXPECT(put_rule(1, 5, 80, 10, MESH_VERDICT_ALLOW, 0) == 0);
    EXPECT(put_rule(1, 5, 0, 11, MESH_VERDICT_DENY, MESH_REASON_POLICY_DENIED) == 0);
    EXPECT(put_rule(1, MESH_CLASS_ANY, 80, 12, MESH_VERDICT_DENY, MESH_REASON_POLICY_DENIED) == 0);
    EXPECT(put_rule(1, MESH_CLASS_ANY, 0, 13, MESH_VERDICT_DENY, MESH_REASON_NOT_ALLOWED) == 0);
    struct mesh_judgement j = mesh_judge_group(GENERATION, 1, 5, bpf_htons(80));
    EXPECT(j.verdict == MESH_VERDICT_ALLOW && j.policy == 10 && j.reason == 0);
    j = mesh_judge_group(GENERATION, 1, 5, bpf_htons(81));
    EXPECT(j.verdict == MESH_VERDICT_DENY && j.policy == 11 && j.reason == MESH_REASON_POLICY_DENIED);
    j = mesh_judge_group(GENERATION, 1, 6, bpf_htons(80));
    EXPECT(j.verdict == MESH_VERDICT_DENY && j.policy == 12);
    j = mesh_judge_group(GENERATION, 1, 6, bpf_htons(81));
    EXPECT(j.verdict == MESH_VERDICT_DENY && j.policy == 13 && j.reason == MESH_REASON_NOT_ALLOWED);
    return 0;
}

CHECK(check_no_rule_refuses)
{
    struct mesh_judgement j = mesh_judge_group(GENERATION, 99, 0, bpf_htons(80));
    EXPECT(j.verdict == MESH_VERDICT_DENY && j.reason == MESH_REASON_MAP_ERROR);
    /* Another generation is another world. */
    EXPECT(put_rule(2, MESH_CLASS_ANY, 0, 1, MESH_VERDICT_ALLOW, 0) == 0);
    j = mesh_judge_group(GENERATION + 1, 2, 0, bpf_htons(80));
    EXPECT(j.verdict == MESH_VERDICT_DENY && j.reason == MESH_REASON_MAP_ERROR);
    /* A verdict that is neither is a refusal. */
    EXPECT(put_rule(3, MESH_CLASS_ANY, 0, 1, MESH_VERDICT_NONE, 0) == 0);
    j = mesh_judge_group(GENERATION, 3, 0, bpf_htons(80));
    EXPECT(j.verdict == MESH_VERDICT_DENY && j.reason == MESH_REASON_POLICY_DENIED);
    return 0;
}

CHECK(check_guards)
{
    struct mesh_workload closed = {.workload = 21, .flags = MESH_WORKLOAD_LOCAL};
    struct mesh_workload open = {.workload = 21, .flags = MESH_WORKLOAD_LOCAL | MESH_WORKLOAD_OPEN};
    struct mesh_guard_key key = {.generation = GENERATION, .workload = 21};
    struct mesh_guard guard = {0};

    bpf_map_delete_elem(&MESH_MAP(guards), &key);
    struct mesh_judgement j = mesh_judge_workload(GENERATION, 1, 4, &closed, bpf_htons(80));
    EXPECT(j.verdict == MESH_VERDICT_DENY && j.reason == MESH_REASON_POLICY_MISSING);
    j = mesh_judge_workload(GENERATION, 1, 4, &open, bpf_htons(80));
    EXPECT(j.verdict == MESH_VERDICT_ALLOW);

    guard.flags = MESH_GUARD_MISSING;
    guard.group = 0;
    EXPECT(bpf_map_update_elem(&MESH_MAP(guards), &key, &guard, BPF_ANY) == 0);
    j = mesh_judge_workload(GENERATION, 1, 4, &closed, bpf_htons(80));
    EXPECT(j.verdict == MESH_VERDICT_DENY && j.reason == MESH_REASON_POLICY_MISSING);

    guard.flags = 0;
    EXPECT(bpf_map_update_elem(&MESH_MAP(guards), &key, &guard, BPF_ANY) == 0);
    j = mesh_judge_workload(GENERATION, 1, 4, &closed, bpf_htons(80));
    EXPECT(j.verdict == MESH_VERDICT_ALLOW && j.policy == 0);

    /* An open workload is open to missing policy, not to policy. */
    guard.group = 4;
    EXPECT(bpf_map_update_elem(&MESH_MAP(guards), &key, &guard, BPF_ANY) == 0);
    EXPECT(put_rule(4, MESH_CLASS_ANY, 0, 3, MESH_VERDICT_DENY, MESH_REASON_NOT_ALLOWED) == 0);
    j = mesh_judge_workload(GENERATION, 1, 4, &open, bpf_htons(80));
    EXPECT(j.verdict == MESH_VERDICT_DENY && j.reason == MESH_REASON_NOT_ALLOWED);
    return 0;
}

CHECK(check_classes)
{
    struct mesh_class_key key = {.generation = GENERATION, .workload = 31, .family = 4};
    __u32 value = 9;
    EXPECT(bpf_map_update_elem(&MESH_MAP(classes), &key, &value, BPF_ANY) == 0);
    EXPECT(mesh_class_of_workload(GENERATION, 31, 4) == 9);
    EXPECT(mesh_class_of_workload(GENERATION, 31, 6) == 0);
    EXPECT(mesh_class_of_workload(GENERATION + 1, 31, 4) == 0);
    return 0;
}

CHECK(check_networks)
{
    struct mesh_network_key key = {
        .prefixlen = 32 + 96 + 8, .generation = GENERATION, .address = mesh_addr_v4(bpf_htonl(0x0a000000))};
    __u32 value = 3;
    EXPECT(bpf_map_update_elem(&MESH_MAP(nets), &key, &value, BPF_ANY) == 0);
    key.prefixlen = 32 + 96 + 32;
    key.address = mesh_addr_v4(bpf_htonl(0x0a010203));
    value = 4;
    EXPECT(bpf_map_update_elem(&MESH_MAP(nets), &key, &value, BPF_ANY) == 0);
    struct mesh_addr a = mesh_addr_v4(bpf_htonl(0x0a010203));
    EXPECT(mesh_class_of_address(GENERATION, &a) == 4);
    EXPECT(mesh_class_of_address(GENERATION + 1, &a) == 0);
    a = mesh_addr_v4(bpf_htonl(0x0a010204));
    EXPECT(mesh_class_of_address(GENERATION, &a) == 3);
    a = mesh_addr_v4(bpf_htonl(0x0b010204));
    EXPECT(mesh_class_of_address(GENERATION, &a) == 0);
    a = mesh_addr_v6(bpf_htonl(0x0a010203), 0, 0, 0);
    EXPECT(mesh_class_of_address(GENERATION, &a) == 0);
    return 0;
}
