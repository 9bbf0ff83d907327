/* Which programs are at the hooks that the mesh uses, and which types of programs the kernel takes. */
#include "CMeshBPF.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ATTACH_TCX_INGRESS 46

const uint32_t cmesh_type_sock_addr = BPF_PROG_TYPE_CGROUP_SOCK_ADDR;
const uint32_t cmesh_type_sock_ops = BPF_PROG_TYPE_SOCK_OPS;
const uint32_t cmesh_type_sockopt = BPF_PROG_TYPE_CGROUP_SOCKOPT;
const uint32_t cmesh_type_sk_lookup = BPF_PROG_TYPE_SK_LOOKUP;
const uint32_t cmesh_type_sched_cls = BPF_PROG_TYPE_SCHED_CLS;

int cmesh_program_type_supported(uint32_t type)
{
    cmesh_bpf_setup();
    return libbpf_probe_bpf_prog_type((enum bpf_prog_type)type, NULL);
}

static int query(int target, uint32_t attach_type, uint32_t flags, uint32_t *ids, uint32_t capacity)
{
    __u32 count = capacity, attached = 0;
    if (bpf_prog_query(target, (enum bpf_attach_type)attach_type, flags, &attached, ids, &count)) {
        /* More than there is room for: what fits was copied. */
        return errno == ENOSPC ? (int)capacity : -errno;
    }
    return (int)count;
}

int cmesh_owners_cgroup(int cgroup, uint32_t attach_type, uint32_t *ids, uint32_t capacity)
{
    return query(cgroup, attach_type, BPF_F_QUERY_EFFECTIVE, ids, capacity);
}

int cmesh_owners_namespace(int netns, uint32_t *ids, uint32_t capacity)
{
    return query(netns, BPF_SK_LOOKUP, 0, ids, capacity);
}

int cmesh_owners_tcx(uint32_t ifindex, uint32_t *ids, uint32_t capacity)
{
    /* target_ifindex shares its place in the union with target_fd. */
    return query((int)ifindex, ATTACH_TCX_INGRESS, 0, ids, capacity);
}

/* The id of a clsact filter's program, 0 if the message is none. */
static uint32_t filter_program(const struct nlmsghdr *message)
{
    const struct tcmsg *head = NLMSG_DATA(message);
    int rest = (int)(message->nlmsg_len - NLMSG_LENGTH(sizeof(*head)));
    const struct rtattr *options = NULL;
    int is_bpf = 0;
    for (const struct rtattr *item = TCA_RTA(head); RTA_OK(item, rest); item = RTA_NEXT(item, rest)) {
        if (item->rta_type == TCA_KIND)
            is_bpf = RTA_PAYLOAD(item) >= 4 && memcmp(RTA_DATA(item), "bpf", 4) == 0;
        if ((item->rta_type & NLA_TYPE_MASK) == TCA_OPTIONS)
            options = item;
    }
    if (!is_bpf || !options)
        return 0;
    int inner = (int)RTA_PAYLOAD(options);
    for (const struct rtattr *item = RTA_DATA(options); RTA_OK(item, inner); item = RTA_NEXT(item, inner)) {
        if (item->rta_type == TCA_BPF_ID && RTA_PAYLOAD(item) >= sizeof(uint32_t)) {
            uint32_t id;
            memcpy(&id, RTA_DATA(item), sizeof(id));
            return id;
        }
    }
    return 0;
}

int cmesh_owners_filters(uint32_t ifindex, uint32_t *ids, uint32_t capacity)
{
    int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (netlink < 0)
        return -errno;
    struct {
        struct nlmsghdr head;
        struct tcmsg filter;
    } request = {
        .head = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct tcmsg)), .nlmsg_type = RTM_GETTFILTER,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .filter = {.tcm_family = AF_UNSPEC, .tcm_ifindex = (int)ifindex,
                   .tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)},
    };
    uint32_t count = 0;
    int result = 0;
    if (send(netlink, &request, sizeof(request), 0) < 0)
        result = -errno;
    while (result == 0) {
        _Alignas(struct nlmsghdr) char buffer[32768];
        ssize_t length = recv(netlink, buffer, sizeof(buffer), 0);
        if (length < 0) {
            if (errno == EINTR)
                continue;
            result = -errno;
            break;
        }
        int rest = (int)length, done = length == 0;
        for (struct nlmsghdr *message = (struct nlmsghdr *)buffer; NLMSG_OK(message, (unsigned)rest);
             message = NLMSG_NEXT(message, rest)) {
            if (message->nlmsg_type == NLMSG_DONE) {
                done = 1;
            } else if (message->nlmsg_type == NLMSG_ERROR) {
                /* An interface without clsact has no filters. */
                int error = ((struct nlmsgerr *)NLMSG_DATA(message))->error;
                result = error == -EINVAL || error == -ENOENT ? 0 : error;
                done = 1;
            } else if (message->nlmsg_type == RTM_NEWTFILTER) {
                uint32_t id = filter_program(message);
                if (id != 0 && count < capacity)
                    ids[count++] = id;
            }
        }
        if (done)
            break;
    }
    close(netlink);
    return result < 0 ? result : (int)count;
}
