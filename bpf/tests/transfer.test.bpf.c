#include "check.h"
#include "../lib/transfer.h"

static __noinline __u64 sent(__u64 acked, __u32 state, __u32 unacked)
{
    struct mesh_ending end = {.acked = acked, .old_state = state, .snd_una = 1000, .write_seq = 1000 + unacked};
    return mesh_sent_bytes(&end);
}

static __noinline __u64 received(__u64 count, __u32 fin)
{
    struct mesh_ending end = {.received = count, .old_state = BPF_TCP_FIN_WAIT2, .fin_received = fin != 0};
    return mesh_received_bytes(&end);
}

CHECK(check_sent)
{
    /* A connect that failed. */
    EXPECT(sent(0, BPF_TCP_SYN_SENT, 1) == 0);
    /* SYN only, SYN and bytes: the peer's RST, before we sent a FIN. */
    EXPECT(sent(1, BPF_TCP_ESTABLISHED, 0) == 0);
    EXPECT(sent(101, BPF_TCP_ESTABLISHED, 0) == 100);
    EXPECT(sent(101, BPF_TCP_CLOSE_WAIT, 0) == 100);
    /* The FIN was queued, and acknowledged or not. */
    EXPECT(sent(102, BPF_TCP_FIN_WAIT2, 0) == 100);
    EXPECT(sent(101, BPF_TCP_FIN_WAIT1, 1) == 100);
    EXPECT(sent(102, BPF_TCP_LAST_ACK, 0) == 100);
    EXPECT(sent(101, BPF_TCP_LAST_ACK, 1) == 100);
    EXPECT(sent(102, BPF_TCP_CLOSING, 0) == 100);
    EXPECT(sent(51, BPF_TCP_CLOSING, 51) == 50);
    return 0;
}

CHECK(check_received)
{
    EXPECT(received(0, 0) == 0);
    EXPECT(received(0, 1) == 0);
    EXPECT(received(100, 0) == 100);
    EXPECT(received(101, 1) == 100);
    EXPECT(received(1, 1) == 0);
    return 0;
}
