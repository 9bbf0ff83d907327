/* What is told about a decision: counters, edges, events. None of it changes a verdict. */
#pragma once

#include "../maps.h"
#include "edges.h"

static __always_inline void mesh_count_index(__u32 index)
{
    __u64 *counter = bpf_map_lookup_elem(&MESH_MAP(count), &index);
    if (counter)
        *counter += 1;
}

static __always_inline void mesh_count(__u32 hook, __u32 reason)
{
    mesh_count_index(hook * MESH_REASON_COUNT + reason);
}

enum mesh_edge_change { MESH_EDGE_OPENED, MESH_EDGE_CLOSED, MESH_EDGE_REFUSED };

static __always_inline void mesh_edge_change(const struct mesh_flow *flow, enum mesh_edge_change change, __u64 sent,
                                             __u64 received)
{
    struct mesh_edge *edge = mesh_edge_of(flow);
    if (!edge)
        return;
    if (change == MESH_EDGE_OPENED)
        edge->opened += 1;
    else if (change == MESH_EDGE_REFUSED)
        edge->refused += 1;
    else {
        edge->closed += 1;
        edge->sent_bytes += sent;
        edge->received_bytes += received;
    }
}

/* A record in the ring, filled by the caller and handed over by mesh_event_submit. NULL when the ring is full, which is
 * counted. */
static __always_inline struct mesh_event *mesh_event_reserve(void)
{
    struct mesh_event *event = bpf_ringbuf_reserve(&MESH_MAP(events), sizeof(*event), 0);
    if (!event)
        mesh_count_index(MESH_COUNTER_LOST_EVENTS);
    return event;
}

/* The kernel wakes the reader if it had read everything before this record. After that the reader rests, so under load most
 * records wake nobody: waking costs more than the record. */
static __always_inline void mesh_event_submit(struct mesh_event *event) { bpf_ringbuf_submit(event, 0); }

/* Counter, edge and event of a refused flow. flow->reason says why. */
static __always_inline void mesh_refused(const struct mesh_flow *flow, __u32 hook)
{
    mesh_count(hook, flow->reason < MESH_REASON_COUNT ? flow->reason : MESH_REASON_MAP_ERROR);
    mesh_edge_change(flow, MESH_EDGE_REFUSED, 0, 0);
    struct mesh_event *event = mesh_event_reserve();
    if (!event)
        return;
    event->flow = *flow;
    event->time_ns = bpf_ktime_get_ns();
    event->sent_bytes = 0;
    event->received_bytes = 0;
    event->rtt_us = 0;
    event->retransmits = 0;
    event->kind = MESH_EVENT_REFUSED;
    event->hook = hook;
    mesh_event_submit(event);
}
