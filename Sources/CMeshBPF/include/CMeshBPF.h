/* What Swift needs of libbpf, and no more: libbpf's own headers use variadic functions, bit fields and macros that do
 * not import. It may go when Swift imports those. Every function that can fail returns 0 or a descriptor, or -errno; the
 * text of libbpf and the verifier is kept per thread and read with cmesh_bpf_log. Needs libbpf 1.1. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct cmesh_object;
struct cmesh_ring;

/* Once per process and idempotent: libbpf's messages go to the thread's log, never to stderr; raises the memory lock
 * limit where that is possible (kernels before 5.11 need it, later ones do not). */
void cmesh_bpf_setup(void);
/* The last messages on this thread, at most `capacity` - 1 bytes, with a final zero; then forgets them. */
size_t cmesh_bpf_log(char *text, size_t capacity);

/* Objects. Names that are returned live as long as the object. Descriptors that are returned stay the object's. */
struct cmesh_object *cmesh_object_open(const char *path, int *error);
void cmesh_object_close(struct cmesh_object *object);
int cmesh_object_load(struct cmesh_object *object);
size_t cmesh_object_map_count(const struct cmesh_object *object);
const char *cmesh_object_map_name(const struct cmesh_object *object, size_t index);
int cmesh_object_map_fd(const struct cmesh_object *object, size_t index);
int cmesh_object_map_resize(struct cmesh_object *object, size_t index, uint32_t max_entries);
int cmesh_object_map_reuse(struct cmesh_object *object, size_t index, int fd);
size_t cmesh_object_program_count(const struct cmesh_object *object);
const char *cmesh_object_program_name(const struct cmesh_object *object, size_t index);
int cmesh_object_program_fd(const struct cmesh_object *object, size_t index);
/* Overwrites a constant (section .rodata) before load. */
int cmesh_object_rodata_set(struct cmesh_object *object, size_t offset, const void *bytes, size_t length);

struct cmesh_map_layout {
    uint32_t type;
    uint32_t key_size;
    uint32_t value_size;
    uint32_t max_entries;
    uint32_t flags;
    uint32_t id;
};
/* What the object declares. */
int cmesh_object_map_layout(const struct cmesh_object *object, size_t index, struct cmesh_map_layout *layout);
/* What the kernel has. `name` has room for 16 bytes. */
int cmesh_map_layout(int fd, struct cmesh_map_layout *layout, char *name);
/* Bytes of kernel memory, from /proc/self/fdinfo; 0 if it does not say. */
uint64_t cmesh_map_memory(int fd);

/* Map elements. `get` returns -ENOENT for a missing key. */
int cmesh_map_get(int fd, const void *key, void *value);
int cmesh_map_put(int fd, const void *key, const void *value, uint64_t flags);
int cmesh_map_delete(int fd, const void *key);
int cmesh_map_next(int fd, const void *key, void *next);
/* Batches. `done` receives how many were handled. */
int cmesh_map_put_batch(int fd, const void *keys, const void *values, uint32_t count, uint32_t *done);
int cmesh_map_delete_batch(int fd, const void *keys, uint32_t count, uint32_t *done);
/* One step of an iteration; `first` begins it. `position` holds 64 bytes. Returns 1 when this was the last step, 0 when
 * there is more, -ENOSPC when `capacity` is too small for one bucket. */
int cmesh_map_list_batch(int fd, int first, void *position, void *keys, void *values, uint32_t capacity,
                         uint32_t *count);
int cmesh_possible_cpus(void);
/* Maps an array's elements (BPF_F_MMAPABLE). NULL and *error on failure. */
void *cmesh_map_mmap(int fd, size_t length, int *error);
void cmesh_map_munmap(void *address, size_t length);
/* One 32-bit store, after which every earlier store is visible too; and its counterpart. */
void cmesh_store_release(uint32_t *address, uint32_t value);
uint32_t cmesh_load_acquire(const uint32_t *address);
/* The epoch of decisions. Sequentially consistent: no row is written before the store, or after the next. */
void cmesh_epoch_store(uint64_t *address, uint64_t value);
uint64_t cmesh_epoch_load(const uint64_t *address);

/* Pins. */
int cmesh_pin(int fd, const char *path);
int cmesh_pin_get(const char *path);
/* 1 if `path` (or the directory in which it will be) is on a BPF file system, 0 if not, -errno. */
int cmesh_is_bpffs(const char *path);
int cmesh_mount_bpffs(const char *path);
/* 1 if the open directory is in a cgroup2 hierarchy, 0 if not, -errno. */
int cmesh_is_cgroup2(int directory);

/* Links. A descriptor, or -errno. The program stays attached while a descriptor or a pin exists. */
/* Ids of the programs that a cgroup has; effective: those of the cgroups above it too. *count is what there is, which can
 * be more than the capacity. */
int cmesh_cgroup_programs(int cgroup, uint32_t attach_type, int effective, uint32_t *ids, uint32_t capacity,
                          uint32_t *count);
int cmesh_link_cgroup(int program, int cgroup, uint32_t attach_type);
int cmesh_link_netns(int program, int netns);
int cmesh_link_tcx_ingress(int program, uint32_t ifindex);
int cmesh_link_update(int link, int program);
int cmesh_link_detach(int link);
/* Kernels without tcx (before 6.6): a clsact filter. Belongs to the interface, not to a descriptor. Replaces ours, in one
 * step. *made: whether the clsact qdisc is new. */
int cmesh_clsact_attach(int program, uint32_t ifindex, int *made);
int cmesh_clsact_detach(uint32_t ifindex);
/* The id of the program of our clsact filter, 0 if there is none. -ENODEV: no such interface. */
int cmesh_clsact_query(uint32_t ifindex, uint32_t *program_id);
/* Removes the clsact qdisc of the interface, unless anybody has a filter there. */
int cmesh_clsact_remove_empty(uint32_t ifindex);

struct cmesh_link_info {
    uint32_t type;
    uint32_t id;
    uint32_t program_id;
    uint32_t attach_type;
    uint64_t target; /* cgroup id, namespace inode or interface index; 0 once the target is gone */
};
int cmesh_link_info(int link, struct cmesh_link_info *info);
/* Attach types by name, because system headers may be older than the kernel. */
extern const uint32_t cmesh_attach_connect4, cmesh_attach_connect6, cmesh_attach_sockops, cmesh_attach_getsockopt,
    cmesh_attach_setsockopt, cmesh_attach_peername4, cmesh_attach_peername6, cmesh_attach_sendmsg4,
    cmesh_attach_sendmsg6, cmesh_attach_recvmsg4, cmesh_attach_recvmsg6;

/* Who is where: ids of the programs at a hook, at most `capacity`, their number or -errno. `cgroup`: all that run for the
 * directory, those of the cgroups above it too. `namespace`: sk_lookup. `tcx` (since Linux 6.6) and `filters` (clsact, read
 * by netlink) are those of an interface's ingress, in the caller's network namespace. */
int cmesh_owners_cgroup(int cgroup, uint32_t attach_type, uint32_t *ids, uint32_t capacity);
int cmesh_owners_namespace(int netns, uint32_t *ids, uint32_t capacity);
int cmesh_owners_tcx(uint32_t ifindex, uint32_t *ids, uint32_t capacity);
int cmesh_owners_filters(uint32_t ifindex, uint32_t *ids, uint32_t capacity);

/* Program types that the datapath consists of. 1 if the kernel takes programs of the type, 0 if not, -errno. */
extern const uint32_t cmesh_type_sock_addr, cmesh_type_sock_ops, cmesh_type_sockopt, cmesh_type_sk_lookup,
    cmesh_type_sched_cls;
int cmesh_program_type_supported(uint32_t type);

struct cmesh_program_info {
    uint32_t id;
    uint32_t type;
    uint64_t run_count;
    uint64_t run_time_ns;
    uint32_t verified_instructions;
    char name[16];
};
int cmesh_program_info(int program, struct cmesh_program_info *info);
int cmesh_program_by_id(uint32_t id);
/* Run counts and times are kept while the descriptor is open. */
int cmesh_enable_stats(void);
/* BPF_PROG_TEST_RUN with a packet; the program's return value in *result. */
int cmesh_program_run(int program, const void *packet, uint32_t length, uint32_t repeat, uint32_t *result,
                      uint32_t *duration_ns);

/* Ring buffer. The callback gets one record; a negative return stops the round. */
typedef int (*cmesh_record)(void *context, const void *record, size_t length);
struct cmesh_ring *cmesh_ring_open(int map, cmesh_record record, void *context, int *error);
void cmesh_ring_close(struct cmesh_ring *ring);
/* Waits for the first record, for `cmesh_ring_wake`, or `timeout_ms`; then consumes all there is. Number of records or -errno. */
int cmesh_ring_poll(struct cmesh_ring *ring, int timeout_ms);
/* From any thread. */
void cmesh_ring_wake(struct cmesh_ring *ring);
