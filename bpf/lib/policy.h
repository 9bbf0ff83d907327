/* What a policy means in the kernel: guard of the destination, class of the source, four look-ups. */
#pragma once

#include "../maps.h"
#include "address.h"

struct mesh_judgement {
    __u32 policy;
    __u8 verdict; /* ALLOW or DENY, never NONE */
    __u8 reason;
    __u8 is_open; /* allowed whatever the port and whoever comes */
};

static __always_inline const struct mesh_config *mesh_config_read(void)
{
    __u32 zero = 0;
    return bpf_map_lookup_elem(&MESH_MAP(config), &zero);
}

/* The class of a workload that the kernel attests. No entry: no rule tells this source apart. */
static __always_inline __u32 mesh_class_of_workload(__u32 generation, __u32 workload, __u32 family)
{
    struct mesh_class_key key = {.generation = generation, .workload = workload, .family = family};
    const __u32 *found = bpf_map_lookup_elem(&MESH_MAP(classes), &key);
    return found ? *found : 0;
}

/* The class of an address without identity. */
static __always_inline __u32 mesh_class_of_address(__u32 generation, const struct mesh_addr *address)
{
    struct mesh_network_key key = {.prefixlen = 32 + 128, .generation = generation, .address = *address};
    const __u32 *found = bpf_map_lookup_elem(&MESH_MAP(nets), &key);
    return found ? *found : 0;
}

static __always_inline struct mesh_judgement mesh_judge_refuse(__u8 reason)
{
    struct mesh_judgement result = {.policy = 0, .verdict = MESH_VERDICT_DENY, .reason = reason};
    return result;
}

static __always_inline struct mesh_judgement mesh_judge_allow(void)
{
    struct mesh_judgement result = {
        .policy = 0, .verdict = MESH_VERDICT_ALLOW, .reason = MESH_REASON_NONE, .is_open = 1};
    return result;
}

/* (class, port), (class, any port), (any class, port), (any class, any port): the first entry decides. Every group has
 * the last one, so that finding none is an error, and an error refuses. */
static __always_inline struct mesh_judgement mesh_judge_group(__u32 generation, __u32 group, __u32 source_class,
                                                              __u16 port_be)
{
    struct mesh_policy_key key = {
        .generation = generation, .group = group, .source_class = source_class, .port_be = port_be};
    const struct mesh_policy *found = bpf_map_lookup_elem(&MESH_MAP(policy), &key);
    if (!found) {
        key.port_be = 0;
        found = bpf_map_lookup_elem(&MESH_MAP(policy), &key);
    }
    if (!found) {
        key.source_class = MESH_CLASS_ANY;
        key.port_be = port_be;
        found = bpf_map_lookup_elem(&MESH_MAP(policy), &key);
    }
    if (!found) {
        key.port_be = 0;
        found = bpf_map_lookup_elem(&MESH_MAP(policy), &key);
    }
    if (!found)
        return mesh_judge_refuse(MESH_REASON_MAP_ERROR);
    struct mesh_judgement result = {.policy = found->policy, .verdict = MESH_VERDICT_ALLOW, .reason = MESH_REASON_NONE};
    if (found->verdict != MESH_VERDICT_ALLOW) {
        result.verdict = MESH_VERDICT_DENY;
        result.reason = found->reason ? found->reason : MESH_REASON_POLICY_DENIED;
    }
    return result;
}

/* The guard of a destination. Returns 1 when `result` is final, 0 when `group` has to be asked. */
static __always_inline int mesh_judge_guard(__u32 generation, const struct mesh_workload *destination, __u32 *group,
                                            struct mesh_judgement *result)
{
    struct mesh_guard_key key = {.generation = generation, .workload = destination->workload};
    const struct mesh_guard *guard = bpf_map_lookup_elem(&MESH_MAP(guards), &key);
    if (!guard || (guard->flags & MESH_GUARD_MISSING)) {
        *result = (destination->flags & MESH_WORKLOAD_OPEN) ? mesh_judge_allow()
                                                            : mesh_judge_refuse(MESH_REASON_POLICY_MISSING);
        return 1;
    }
    *group = guard->group;
    if (guard->group == 0) {
        *result = mesh_judge_allow();
        return 1;
    }
    return 0;
}

/* May this workload reach that port of `destination`? The family is that of the source's address. */
static __always_inline struct mesh_judgement mesh_judge_workload(__u32 generation, __u32 source, __u32 family,
                                                                 const struct mesh_workload *destination,
                                                                 __u16 port_be)
{
    struct mesh_judgement result;
    __u32 group = 0;
    if (mesh_judge_guard(generation, destination, &group, &result))
        return result;
    return mesh_judge_group(generation, group, mesh_class_of_workload(generation, source, family), port_be);
}

/* The same for an address without identity. */
static __always_inline struct mesh_judgement mesh_judge_address(__u32 generation, const struct mesh_addr *source,
                                                                const struct mesh_workload *destination,
                                                                __u16 port_be)
{
    struct mesh_judgement result;
    __u32 group = 0;
    if (mesh_judge_guard(generation, destination, &group, &result))
        return result;
    return mesh_judge_group(generation, group, mesh_class_of_address(generation, source), port_be);
}
