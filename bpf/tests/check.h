/* CHECK programs: XDP-typed, run by BPF_PROG_TEST_RUN, call the inner functions of bpf/lib on entries that they write
 * themselves. The return value is 0, or the line of the expectation that failed. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define CHECK(name)                                                                                                    \
    SEC("xdp") int name(struct xdp_md *ctx __attribute__((unused)))

#define EXPECT(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            return __LINE__;                                                                                           \
    } while (0)

char LICENSE[] SEC("license") = "GPL";
