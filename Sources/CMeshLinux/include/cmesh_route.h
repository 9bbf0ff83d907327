/* Addresses and veth pairs of a namespace (rtnetlink(7)). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "cmesh_netns.h"

struct cmesh_interface_address {
    struct cmesh_address address;
    uint32_t interface;
    uint32_t prefix; /* bits, within the family */
    uint32_t flags;  /* IFA_F_* */
};

/* IFA_F_DADFAILED: a neighbour holds the address (linux/if_addr.h). */
#define CMESH_ADDRESS_REFUSED 0x08

/* Every address of every interface. *found is malloc'ed: give it to cmesh_free. 0 or -errno. */
int cmesh_netns_addresses(int netns, struct cmesh_interface_address **found, size_t *count);

/* Interface indexes, in the namespace `host`, of the other ends of the veth interfaces of `netns`. Peers in other
 * namespaces are left out: an index means nothing there. */
int cmesh_netns_peers(int netns, int host, uint32_t **found, size_t *count);

#define CMESH_INTERFACE_NAME 16 /* IFNAMSIZ */

/* Where an interface is. */
struct cmesh_interface_place {
    char master[CMESH_INTERFACE_NAME]; /* a bridge, mostly; empty: none */
    uint8_t is_present;                /* 0: there is no such interface */
    uint8_t is_up;
};

/* Of each of the interfaces of the namespace: places[i]. 0 or -errno. */
int cmesh_netns_places(int netns, const uint32_t *interfaces, size_t count, struct cmesh_interface_place *places);

void cmesh_free(void *memory);
