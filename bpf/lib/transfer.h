/* Bytes of a connection at its end, from counters that count SYN and FIN as bytes. */
#pragma once

#include <linux/bpf.h>

/* What is known about a socket that is about to be CLOSE. */
struct mesh_ending {
    __u64 acked;    /* tcp_sock.bytes_acked */
    __u64 received; /* tcp_sock.bytes_received */
    __u32 old_state;
    __u32 snd_una;
    __u32 write_seq;
    __u8 fin_received; /* SOCK_DONE: tcp_fin() ran */
};

/* Was our FIN acknowledged? In these states it was queued, and write_seq is behind it (net/ipv4/tcp.c, tcp_send_fin;
 * net/ipv4/tcp_input.c, tcp_rcv_state_process asks the same). */
static __always_inline int mesh_fin_acked(const struct mesh_ending *end)
{
    switch (end->old_state) {
    case BPF_TCP_FIN_WAIT1:
    case BPF_TCP_FIN_WAIT2:
    case BPF_TCP_CLOSING:
    case BPF_TCP_LAST_ACK:
        return end->snd_una == end->write_seq;
    }
    return 0;
}

/* Ours that the peer acknowledged. The first acknowledged byte is the SYN (tcp_snd_una_update). */
static __always_inline __u64 mesh_sent_bytes(const struct mesh_ending *end)
{
    __u64 extra = (end->acked > 0 ? 1 : 0) + (mesh_fin_acked(end) ? 1 : 0);
    return end->acked > extra ? end->acked - extra : 0;
}

/* The peer's FIN counts one, its SYN does not (tcp_rcv_nxt_update). The state does not tell whether it came: from
 * FIN_WAIT2 a socket is closed by the peer's FIN as well as by its own application. */
static __always_inline __u64 mesh_received_bytes(const struct mesh_ending *end)
{
    return end->fin_received && end->received > 0 ? end->received - 1 : end->received;
}
