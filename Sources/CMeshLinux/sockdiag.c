#define _GNU_SOURCE
#include "cmesh_sockdiag.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netlink.h"

/* net/tcp_states.h */
#define TCP_LISTEN_STATE 10
/* Up to TCP_NEW_SYN_RECV. Not TCP_BOUND_INACTIVE (13, Linux 6.8), which is no connection: the kernel walks the table of all bound
 * ports for those, a fifth of the whole. */
#define ALL_STATES 0x1fffu

struct request {
    struct nlmsghdr header;
    struct inet_diag_req_v2 body;
};

static struct cmesh_address address_of(uint8_t family, const __be32 words[4])
{
    struct cmesh_address address = {0, 0};
    if (family == AF_INET) {
        address.low = 0xffff00000000u | ntohl(words[0]);
        return address;
    }
    uint64_t halves[2];
    memcpy(halves, words, 16);
    address.high = be64toh(halves[0]);
    address.low = be64toh(halves[1]);
    return address;
}

static void write_address(uint8_t family, struct cmesh_address address, __be32 words[4])
{
    if (family == AF_INET) {
        words[0] = htonl((uint32_t)address.low);
        return;
    }
    uint64_t halves[2] = {htobe64(address.high), htobe64(address.low)};
    memcpy(words, halves, 16);
}

/* INET_DIAG_CGROUP_ID is there without being asked for (net/ipv4/inet_diag.c, inet_diag_msg_attrs_fill; Linux 5.8). */
static void read_attributes(const struct nlmsghdr *answer, struct cmesh_socket *item)
{
    int left = (int)(answer->nlmsg_len - NLMSG_LENGTH(sizeof(struct inet_diag_msg)));
    const struct rtattr *attribute = (const void *)((const char *)NLMSG_DATA(answer) + sizeof(struct inet_diag_msg));
    for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
        if (attribute->rta_type == INET_DIAG_CGROUP_ID && RTA_PAYLOAD(attribute) >= sizeof(item->cgroup))
            memcpy(&item->cgroup, RTA_DATA(attribute), sizeof(item->cgroup));
        if (attribute->rta_type != INET_DIAG_INFO)
            continue;
        struct tcp_info info = {0};
        size_t size = RTA_PAYLOAD(attribute);
        memcpy(&info, RTA_DATA(attribute), size < sizeof(info) ? size : sizeof(info));
        item->bytes_acked = info.tcpi_bytes_acked;
        item->bytes_received = info.tcpi_bytes_received;
    }
}

static int visit(const struct nlmsghdr *answer, void *context)
{
    if ((answer->nlmsg_type != SOCK_DIAG_BY_FAMILY && answer->nlmsg_type != TCPDIAG_GETSOCK) || answer->nlmsg_len < NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
        return 0;
    const struct inet_diag_msg *body = NLMSG_DATA(answer);
    if (body->idiag_family != AF_INET && body->idiag_family != AF_INET6)
        return 0;
    struct cmesh_socket item = {
        .local = address_of(body->idiag_family, body->id.idiag_src),
        .remote = address_of(body->idiag_family, body->id.idiag_dst),
        .cookie = (uint64_t)body->id.idiag_cookie[1] << 32 | body->id.idiag_cookie[0],
        .interface = body->id.idiag_if,
        .uid = body->idiag_uid,
        .inode = body->idiag_inode,
        .local_port = ntohs(body->id.idiag_sport),
        .remote_port = ntohs(body->id.idiag_dport),
        .family = body->idiag_family,
        .state = body->idiag_state,
    };
    read_attributes(answer, &item);
    return cmesh_list_add(context, &item);
}

/* The older request answers for both families at once (net/ipv4/inet_diag.c, inet_diag_dump_compat). A dump costs what the
 * hash tables of the whole host cost, so that one is half of two. `states`: bits by state. */
static int list_sockets(int socket, uint32_t states, int with_bytes, size_t limit, struct cmesh_socket **found, size_t *count)
{
    *found = NULL;
    *count = 0;
    struct cmesh_list list = {.size = sizeof(struct cmesh_socket), .limit = limit};
    struct {
        struct nlmsghdr header;
        struct inet_diag_req body;
    } request = {
        .header = {
            .nlmsg_len = sizeof(request),
            .nlmsg_type = TCPDIAG_GETSOCK,
            .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
            .nlmsg_seq = 1,
        },
        .body = {.idiag_states = states, .idiag_ext = with_bytes ? 1 << (INET_DIAG_INFO - 1) : 0},
    };
    int result = cmesh_netlink_request(socket, &request, visit, &list);
    if (result < 0) {
        free(list.items);
        return result;
    }
    *found = list.items;
    *count = list.count;
    return 0;
}

int cmesh_netns_tcp_sockets(int netns, size_t limit, int with_bytes, struct cmesh_socket **found, size_t *count)
{
    *found = NULL;
    *count = 0;
    int socket = cmesh_netlink_open(netns, NETLINK_SOCK_DIAG);
    if (socket < 0)
        return socket;
    int result = list_sockets(socket, ALL_STATES, with_bytes, limit, found, count);
    close(socket);
    return result;
}

int cmesh_diag_open(int netns) { return cmesh_netlink_open(netns, NETLINK_SOCK_DIAG); }

int cmesh_diag_listeners(int diag, size_t limit, struct cmesh_socket **found, size_t *count)
{
    return list_sockets(diag, 1u << TCP_LISTEN_STATE, 0, limit, found, count);
}

#define COUNTS_SIZE 1024

static int read_counts(int file, char text[COUNTS_SIZE])
{
    ssize_t length = pread(file, text, COUNTS_SIZE - 1, 0);
    if (length < 0)
        return -errno;
    text[length] = 0;
    return 0;
}

static int count_in(const char *text, const char *label, uint32_t *count)
{
    const char *line = strstr(text, label);
    if (!line)
        return -EBADMSG;
    const char *digits = line + strlen(label);
    char *end;
    *count = (uint32_t)strtoul(digits, &end, 10);
    return end != digits ? 0 : -EBADMSG;
}

int cmesh_sockets_in_use(int sockstat, uint32_t *all, uint32_t *in_v4)
{
    char text[COUNTS_SIZE];
    int error = read_counts(sockstat, text);
    if (error == 0)
        error = count_in(text, "sockets: used ", all);
    return error < 0 ? error : count_in(text, "TCP: inuse ", in_v4);
}

int cmesh_sockets_in_use6(int sockstat6, uint32_t *in_v6)
{
    char text[COUNTS_SIZE];
    int error = read_counts(sockstat6, text);
    return error < 0 ? error : count_in(text, "TCP6: inuse ", in_v6);
}

int cmesh_tcp_sockets_allocated(int sockstat, uint32_t *count)
{
    char text[COUNTS_SIZE];
    int error = read_counts(sockstat, text);
    if (error < 0)
        return error;
    const char *line = strstr(text, "TCP: ");
    return line ? count_in(line, " alloc ", count) : -EBADMSG;
}

static int ignore(const struct nlmsghdr *answer, void *context)
{
    (void)answer;
    (void)context;
    return 0;
}

int cmesh_netns_destroy_socket(int netns, const struct cmesh_socket *target)
{
    int socket = cmesh_netlink_open(netns, NETLINK_SOCK_DIAG);
    if (socket < 0)
        return socket;
    struct request request = {
        .header = {
            .nlmsg_len = sizeof(request),
            .nlmsg_type = SOCK_DESTROY,
            .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
            .nlmsg_seq = 1,
        },
        .body = {
            .sdiag_family = target->family,
            .sdiag_protocol = IPPROTO_TCP,
            .idiag_states = ~0u,
            .id = {
                .idiag_sport = htons(target->local_port),
                .idiag_dport = htons(target->remote_port),
                .idiag_if = target->interface,
                .idiag_cookie = {(uint32_t)target->cookie, (uint32_t)(target->cookie >> 32)},
            },
        },
    };
    write_address(target->family, target->local, request.body.id.idiag_src);
    write_address(target->family, target->remote, request.body.id.idiag_dst);
    int result = cmesh_netlink_request(socket, &request, ignore, NULL);
    close(socket);
    return result;
}
