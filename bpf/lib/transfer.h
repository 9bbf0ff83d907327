/* Bytes of a connection at its end, from counters that count SYN and FIN as bytes. */
#pragma once

#include <linux/bpf.h>

/* bytes_acked: ours that the peer acknowledged. SYN counts one, FIN counts one (net/ipv4/tcp_input.c,
 * tcp_snd_una_update). */
static __always_inline __u64 mesh_sent_bytes(__u64 acked, __u32 old_state)
{
    __u64 extra = 0;
    switch (old_state) {
    case BPF_TCP_SYN_SENT:
    case BPF_TCP_SYN_RECV:
    case BPF_TCP_CLOSE:
    case BPF_TCP_LISTEN:
        break;
    case BPF_TCP_FIN_WAIT2: /* our FIN was acknowledged */
    case BPF_TCP_TIME_WAIT:
    case BPF_TCP_CLOSING:
    case BPF_TCP_LAST_ACK:
        extra = 2;
        break;
    default:
        extra = 1;
    }
    return acked > extra ? acked - extra : 0;
}

/* bytes_received: the peer's FIN counts one, its SYN does not. From FIN_WAIT2 a socket is closed either by the peer's
 * FIN or, when the application has closed it already, without waiting for one; the latter is the rule, so that after
 * a half-close by the client the figure is one byte too high. */
static __always_inline __u64 mesh_received_bytes(__u64 received, __u32 old_state)
{
    switch (old_state) {
    case BPF_TCP_CLOSE_WAIT:
    case BPF_TCP_CLOSING:
    case BPF_TCP_LAST_ACK:
    case BPF_TCP_TIME_WAIT:
        return received > 0 ? received - 1 : 0;
    }
    return received;
}
