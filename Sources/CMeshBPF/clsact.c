/* Kernels before 6.6 have no links at tc: a filter on the clsact qdisc instead. */
#include "CMeshBPF.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Our filter: fixed, so that a new process finds the old one's. */
#define CLSACT_HANDLE 0x6d31
#define CLSACT_PRIORITY 1
/* Datagrams of one answer; far more than an interface has filters. */
#define MOST_DATAGRAMS 1024

int cmesh_clsact_attach(int program, uint32_t ifindex, int *made)
{
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
    LIBBPF_OPTS(bpf_tc_opts, options, .handle = CLSACT_HANDLE, .priority = CLSACT_PRIORITY, .prog_fd = program,
                .flags = BPF_TC_F_REPLACE);
    int result = bpf_tc_hook_create(&hook);
    *made = result == 0;
    if (result != 0 && result != -EEXIST)
        return result;
    return bpf_tc_attach(&hook, &options);
}

int cmesh_clsact_detach(uint32_t ifindex)
{
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
    LIBBPF_OPTS(bpf_tc_opts, options, .handle = CLSACT_HANDLE, .priority = CLSACT_PRIORITY);
    return bpf_tc_detach(&hook, &options);
}

int cmesh_clsact_query(uint32_t ifindex, uint32_t *program_id)
{
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
    LIBBPF_OPTS(bpf_tc_opts, options, .handle = CLSACT_HANDLE, .priority = CLSACT_PRIORITY);
    *program_id = 0;
    int result = bpf_tc_query(&hook, &options);
    if (result == 0)
        *program_id = options.prog_id;
    /* No filter; no clsact. */
    return result == -ENOENT || result == -EINVAL ? 0 : result;
}

/* Reads one dump to its end. 1 if it has filters, 0 if not, -errno. */
static int read_filters(int socket)
{
    int found = 0;
    for (int count = 0; count < MOST_DATAGRAMS; count++) {
        char buffer[32768] __attribute__((aligned(NLMSG_ALIGNTO)));
        ssize_t length = recv(socket, buffer, sizeof(buffer), 0);
        if (length < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        size_t left = (size_t)length;
        for (const struct nlmsghdr *answer = (const struct nlmsghdr *)buffer; NLMSG_OK(answer, left);
             answer = NLMSG_NEXT(answer, left)) {
            if (answer->nlmsg_type == NLMSG_DONE)
                return found;
            if (answer->nlmsg_type == NLMSG_ERROR && answer->nlmsg_len >= NLMSG_LENGTH(sizeof(struct nlmsgerr)))
                return ((const struct nlmsgerr *)NLMSG_DATA(answer))->error;
            if (answer->nlmsg_type == RTM_NEWTFILTER)
                found = 1;
        }
    }
    return -EOVERFLOW;
}

/* Whether anybody has a filter at one side of the interface. 1, 0, -errno. */
static int has_filters(uint32_t ifindex, uint32_t parent)
{
    struct {
        struct nlmsghdr header;
        struct tcmsg body;
    } request = {
        .header = {.nlmsg_len = sizeof(request), .nlmsg_type = RTM_GETTFILTER, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .body = {.tcm_family = AF_UNSPEC, .tcm_ifindex = (int)ifindex, .tcm_parent = parent},
    };
    int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (descriptor < 0)
        return -errno;
    int result = send(descriptor, &request, sizeof(request), 0) < 0 ? -errno : read_filters(descriptor);
    close(descriptor);
    return result;
}

int cmesh_clsact_remove_empty(uint32_t ifindex)
{
    int found = has_filters(ifindex, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS));
    if (found == 0)
        found = has_filters(ifindex, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS));
    if (found != 0)
        return found < 0 ? found : 0;
    /* Both sides: libbpf removes the qdisc. */
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
    return bpf_tc_hook_destroy(&hook);
}
