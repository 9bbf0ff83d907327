#define _GNU_SOURCE
#include "cmesh_route.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netlink.h"

/* More than any namespace has; what stands between a hostile namespace and the agent's memory. */
#define MOST_ADDRESSES 65536
#define MOST_LINKS 65536
/* A dump that changes while it is read is asked for again. */
#define MOST_DUMPS 5

void cmesh_free(void *memory) { free(memory); }

/* The attribute of that type among those in [first, first + length), or NULL. Nested flags are ignored. */
static const struct rtattr *find(const void *first, size_t length, unsigned short type)
{
    const char *at = first;
    while (length >= sizeof(struct rtattr)) {
        const struct rtattr *attribute = (const struct rtattr *)at;
        if (attribute->rta_len < sizeof(*attribute) || attribute->rta_len > length)
            return NULL;
        if ((attribute->rta_type & NLA_TYPE_MASK) == type)
            return attribute;
        size_t step = RTA_ALIGN((size_t)attribute->rta_len);
        if (step > length)
            return NULL;
        at += step;
        length -= step;
    }
    return NULL;
}

static int visit_address(const struct nlmsghdr *answer, void *context)
{
    if (answer->nlmsg_type != RTM_NEWADDR || answer->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifaddrmsg)))
        return 0;
    const struct ifaddrmsg *body = NLMSG_DATA(answer);
    const char *first = (const char *)body + NLMSG_ALIGN(sizeof(*body));
    size_t length = answer->nlmsg_len - NLMSG_LENGTH(sizeof(*body));
    struct cmesh_interface_address item = {
        .interface = body->ifa_index, .prefix = body->ifa_prefixlen, .flags = body->ifa_flags};
    const struct rtattr *flags = find(first, length, IFA_FLAGS);
    if (flags != NULL && RTA_PAYLOAD(flags) >= 4)
        memcpy(&item.flags, RTA_DATA(flags), 4);
    /* IFA_ADDRESS is the far end of a point-to-point link where IFA_LOCAL is there too (linux/if_addr.h). */
    const struct rtattr *value = find(first, length, IFA_LOCAL);
    if (value == NULL)
        value = find(first, length, IFA_ADDRESS);
    if (value == NULL)
        return 0;
    if (body->ifa_family == AF_INET && RTA_PAYLOAD(value) == 4) {
        uint32_t v4;
        memcpy(&v4, RTA_DATA(value), 4);
        item.address.low = 0xffff00000000u | ntohl(v4);
    } else if (body->ifa_family == AF_INET6 && RTA_PAYLOAD(value) == 16) {
        uint64_t words[2];
        memcpy(words, RTA_DATA(value), 16);
        item.address.high = be64toh(words[0]);
        item.address.low = be64toh(words[1]);
    } else {
        return 0;
    }
    return cmesh_list_add(context, &item);
}

/* A dump of the whole table into the list, again while it is interrupted. */
static int dump(
    int socket, int type, int (*visit)(const struct nlmsghdr *answer, void *context), struct cmesh_list *list)
{
    int result = -EINTR;
    for (unsigned int attempt = 1; attempt <= MOST_DUMPS && result == -EINTR; attempt++) {
        struct {
            struct nlmsghdr header;
            union {
                struct ifaddrmsg address;
                struct ifinfomsg link;
            } body;
        } request = {
            .header = {
                .nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
                .nlmsg_type = (unsigned short)type,
                .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
                .nlmsg_seq = attempt,
            }};
        list->count = 0;
        result = cmesh_netlink_request(socket, &request, visit, list);
    }
    return result;
}

int cmesh_netns_addresses(int netns, struct cmesh_interface_address **found, size_t *count)
{
    *found = NULL;
    *count = 0;
    int socket = cmesh_netlink_open(netns, NETLINK_ROUTE);
    if (socket < 0)
        return socket;
    struct cmesh_list list = {.size = sizeof(struct cmesh_interface_address), .limit = MOST_ADDRESSES};
    int result = dump(socket, RTM_GETADDR, visit_address, &list);
    close(socket);
    if (result < 0) {
        free(list.items);
        return result;
    }
    *found = list.items;
    *count = list.count;
    return 0;
}

struct peer {
    uint32_t interface;
    int32_t namespace; /* id of the peer's namespace, as the asked namespace numbers it */
};

static int visit_link(const struct nlmsghdr *answer, void *context)
{
    if (answer->nlmsg_type != RTM_NEWLINK || answer->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifinfomsg)))
        return 0;
    const struct ifinfomsg *body = NLMSG_DATA(answer);
    const char *first = (const char *)body + NLMSG_ALIGN(sizeof(*body));
    size_t length = answer->nlmsg_len - NLMSG_LENGTH(sizeof(*body));
    const struct rtattr *info = find(first, length, IFLA_LINKINFO);
    const struct rtattr *peer = find(first, length, IFLA_LINK);
    /* Absent: the peer is in the same namespace. */
    const struct rtattr *namespace = find(first, length, IFLA_LINK_NETNSID);
    if (info == NULL || peer == NULL || namespace == NULL || RTA_PAYLOAD(peer) != 4 || RTA_PAYLOAD(namespace) != 4)
        return 0;
    const struct rtattr *kind = find(RTA_DATA(info), RTA_PAYLOAD(info), IFLA_INFO_KIND);
    if (kind == NULL || RTA_PAYLOAD(kind) < 5 || memcmp(RTA_DATA(kind), "veth", 5) != 0)
        return 0;
    struct peer item;
    memcpy(&item.interface, RTA_DATA(peer), 4);
    memcpy(&item.namespace, RTA_DATA(namespace), 4);
    return cmesh_list_add(context, &item);
}

static int visit_namespace(const struct nlmsghdr *answer, void *context)
{
    if (answer->nlmsg_type != RTM_NEWNSID || answer->nlmsg_len < NLMSG_LENGTH(sizeof(struct rtgenmsg)))
        return 0;
    const char *first = (const char *)NLMSG_DATA(answer) + NLMSG_ALIGN(sizeof(struct rtgenmsg));
    if (answer->nlmsg_len < NLMSG_LENGTH(NLMSG_ALIGN(sizeof(struct rtgenmsg))))
        return 0;
    const struct rtattr *id =
        find(first, answer->nlmsg_len - NLMSG_LENGTH(NLMSG_ALIGN(sizeof(struct rtgenmsg))), NETNSA_NSID);
    if (id != NULL && RTA_PAYLOAD(id) == 4)
        memcpy(context, RTA_DATA(id), 4);
    return 0;
}

/* The number that the socket's namespace has given to `host`; negative: none. 0 or -errno. */
static int namespace_id(int socket, int host, int32_t *id)
{
    struct {
        struct nlmsghdr header;
        struct rtgenmsg body;
        char padding[3];
        struct rtattr attribute;
        int32_t value;
    } request = {
        .header = {
            .nlmsg_len = sizeof(request),
            .nlmsg_type = RTM_GETNSID,
            .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
            .nlmsg_seq = MOST_DUMPS + 1,
        },
        .attribute = {.rta_len = RTA_LENGTH(4), .rta_type = NETNSA_FD},
        .value = host,
    };
    *id = NETNSA_NSID_NOT_ASSIGNED;
    return cmesh_netlink_request(socket, &request, visit_namespace, id);
}

int cmesh_netns_peers(int netns, int host, uint32_t **found, size_t *count)
{
    *found = NULL;
    *count = 0;
    int socket = cmesh_netlink_open(netns, NETLINK_ROUTE);
    if (socket < 0)
        return socket;
    struct cmesh_list links = {.size = sizeof(struct peer), .limit = MOST_LINKS};
    struct cmesh_list peers = {.size = sizeof(uint32_t), .limit = MOST_LINKS};
    int32_t id;
    /* Links first: listing a link gives its peer's namespace a number (rtnl_fill_link_netnsid). */
    int result = dump(socket, RTM_GETLINK, visit_link, &links);
    if (result == 0)
        result = namespace_id(socket, host, &id);
    close(socket);
    const struct peer *items = links.items;
    for (size_t i = 0; result == 0 && id >= 0 && i < links.count; i++)
        if (items[i].namespace == id)
            result = cmesh_list_add(&peers, &items[i].interface);
    free(links.items);
    if (result < 0) {
        free(peers.items);
        return result;
    }
    *found = peers.items;
    *count = peers.count;
    return 0;
}

struct link {
    uint32_t master;
    uint32_t flags;
    char name[CMESH_INTERFACE_NAME];
};

static int visit_place(const struct nlmsghdr *answer, void *context)
{
    if (answer->nlmsg_type != RTM_NEWLINK || answer->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifinfomsg)))
        return 0;
    struct link *link = context;
    const struct ifinfomsg *body = NLMSG_DATA(answer);
    const char *first = (const char *)body + NLMSG_ALIGN(sizeof(*body));
    size_t length = answer->nlmsg_len - NLMSG_LENGTH(sizeof(*body));
    link->flags = body->ifi_flags;
    const struct rtattr *master = find(first, length, IFLA_MASTER);
    if (master != NULL && RTA_PAYLOAD(master) == 4)
        memcpy(&link->master, RTA_DATA(master), 4);
    const struct rtattr *name = find(first, length, IFLA_IFNAME);
    if (name != NULL && RTA_PAYLOAD(name) <= sizeof(link->name))
        memcpy(link->name, RTA_DATA(name), RTA_PAYLOAD(name));
    link->name[sizeof(link->name) - 1] = 0;
    return 0;
}

/* -ENODEV: no such interface. */
static int ask_link(int socket, uint32_t interface, uint32_t sequence, struct link *link)
{
    struct {
        struct nlmsghdr header;
        struct ifinfomsg body;
    } request = {
        .header = {
            .nlmsg_len = sizeof(request),
            .nlmsg_type = RTM_GETLINK,
            .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
            .nlmsg_seq = sequence,
        },
        .body = {.ifi_index = (int)interface},
    };
    memset(link, 0, sizeof(*link));
    return cmesh_netlink_request(socket, &request, visit_place, link);
}

int cmesh_netns_places(int netns, const uint32_t *interfaces, size_t count, struct cmesh_interface_place *places)
{
    int socket = cmesh_netlink_open(netns, NETLINK_ROUTE);
    if (socket < 0)
        return socket;
    uint32_t sequence = 0;
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++) {
        struct link link, master;
        memset(&places[i], 0, sizeof(places[i]));
        result = ask_link(socket, interfaces[i], ++sequence, &link);
        if (result == 0) {
            places[i].is_present = 1;
            places[i].is_up = (link.flags & IFF_UP) != 0;
        }
        if (result == 0 && link.master != 0) {
            result = ask_link(socket, link.master, ++sequence, &master);
            if (result == 0)
                memcpy(places[i].master, master.name, sizeof(places[i].master));
            else
                /* It has just gone: where the interface is now is not known. */
                places[i].is_present = 0;
        }
        if (result == -ENODEV)
            result = 0;
    }
    close(socket);
    return result;
}
