#include "CMeshBPF.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

int cmesh_program_info(int program, struct cmesh_program_info *result)
{
    struct bpf_prog_info info = {0};
    __u32 length = sizeof(info);
    if (bpf_obj_get_info_by_fd(program, &info, &length))
        return -errno;
    memset(result, 0, sizeof(*result));
    result->id = info.id;
    result->type = info.type;
    result->run_count = info.run_cnt;
    result->run_time_ns = info.run_time_ns;
    result->verified_instructions = info.verified_insns;
    memcpy(result->name, info.name, sizeof(result->name));
    result->name[sizeof(result->name) - 1] = 0;
    return 0;
}

int cmesh_program_by_id(uint32_t id)
{
    int fd = bpf_prog_get_fd_by_id(id);
    return fd < 0 ? -errno : fd;
}

int cmesh_enable_stats(void)
{
    int fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
    return fd < 0 ? -errno : fd;
}

int cmesh_program_run(int program, const void *packet, uint32_t length, uint32_t repeat, uint32_t *result,
                      uint32_t *duration_ns)
{
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet, .data_size_in = length, .repeat = (int)repeat);
    if (bpf_prog_test_run_opts(program, &options))
        return -errno;
    *result = options.retval;
    *duration_ns = options.duration;
    return 0;
}

struct cmesh_ring {
    struct ring_buffer *buffer;
    cmesh_record record;
    void *context;
    int set;
    int bell;
};

static int forward(void *context, void *record, size_t length)
{
    struct cmesh_ring *ring = context;
    return ring->record(ring->context, record, length);
}

static int watch(int set, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int begin(struct cmesh_ring *ring, int map)
{
    if (!(ring->buffer = ring_buffer__new(map, forward, ring, NULL)))
        return -errno;
    if ((ring->set = epoll_create1(EPOLL_CLOEXEC)) < 0 || (ring->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
        return -errno;
    int error = watch(ring->set, map);
    return error < 0 ? error : watch(ring->set, ring->bell);
}

struct cmesh_ring *cmesh_ring_open(int map, cmesh_record record, void *context, int *error)
{
    cmesh_bpf_setup();
    struct cmesh_ring *ring = calloc(1, sizeof(*ring));
    if (!ring) {
        *error = -ENOMEM;
        return NULL;
    }
    ring->record = record;
    ring->context = context;
    ring->set = ring->bell = -1;
    *error = begin(ring, map);
    if (*error < 0) {
        cmesh_ring_close(ring);
        return NULL;
    }
    return ring;
}

void cmesh_ring_close(struct cmesh_ring *ring)
{
    if (!ring)
        return;
    if (ring->set >= 0)
        close(ring->set);
    if (ring->bell >= 0)
        close(ring->bell);
    if (ring->buffer)
        ring_buffer__free(ring->buffer);
    free(ring);
}

int cmesh_ring_poll(struct cmesh_ring *ring, int timeout_ms)
{
    struct epoll_event events[2];
    int ready = epoll_wait(ring->set, events, 2, timeout_ms);
    if (ready < 0 && errno != EINTR)
        return -errno;
    for (int i = 0; i < ready; i++) {
        eventfd_t rings;
        if (events[i].data.fd == ring->bell)
            eventfd_read(ring->bell, &rings);
    }
    return ring_buffer__consume(ring->buffer);
}

void cmesh_ring_wake(struct cmesh_ring *ring) { eventfd_write(ring->bell, 1); }
