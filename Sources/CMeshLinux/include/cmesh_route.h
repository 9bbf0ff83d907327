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

/* The interfaces' masters (a bridge, mostly) by name, in the namespace: names[i] is empty where there is none, or no such
 * interface. 0 or -errno. */
#define CMESH_INTERFACE_NAME 16 /* IFNAMSIZ */
int cmesh_netns_masters(int netns, const uint32_t *interfaces, size_t count, char (*names)[CMESH_INTERFACE_NAME]);

void cmesh_free(void *memory);
