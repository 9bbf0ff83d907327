#include "CMeshBPF.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

int cmesh_map_layout(int fd, struct cmesh_map_layout *layout, char *name)
{
    struct bpf_map_info info = {0};
    __u32 length = sizeof(info);
    if (bpf_obj_get_info_by_fd(fd, &info, &length))
        return -errno;
    layout->type = info.type;
    layout->key_size = info.key_size;
    layout->value_size = info.value_size;
    layout->max_entries = info.max_entries;
    layout->flags = info.map_flags;
    layout->id = info.id;
    memcpy(name, info.name, 16);
    name[15] = 0;
    return 0;
}

uint64_t cmesh_map_memory(int fd)
{
    char path[64], line[128];
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    unsigned long long bytes = 0;
    while (fgets(line, sizeof(line), file))
        if (sscanf(line, "memlock: %llu", &bytes) == 1)
            break;
    fclose(file);
    return bytes;
}

int cmesh_map_get(int fd, const void *key, void *value)
{
    return bpf_map_lookup_elem(fd, key, value) ? -errno : 0;
}

int cmesh_map_put(int fd, const void *key, const void *value, uint64_t flags)
{
    return bpf_map_update_elem(fd, key, value, flags) ? -errno : 0;
}

int cmesh_map_delete(int fd, const void *key)
{
    return bpf_map_delete_elem(fd, key) ? -errno : 0;
}

int cmesh_map_next(int fd, const void *key, void *next)
{
    return bpf_map_get_next_key(fd, key, next) ? -errno : 0;
}

int cmesh_map_put_batch(int fd, const void *keys, const void *values, uint32_t count, uint32_t *done)
{
    LIBBPF_OPTS(bpf_map_batch_opts, options);
    *done = count;
    return bpf_map_update_batch(fd, keys, values, done, &options) ? -errno : 0;
}

int cmesh_map_delete_batch(int fd, const void *keys, uint32_t count, uint32_t *done)
{
    LIBBPF_OPTS(bpf_map_batch_opts, options);
    *done = count;
    return bpf_map_delete_batch(fd, keys, done, &options) ? -errno : 0;
}

int cmesh_map_list_batch(int fd, int first, void *position, void *keys, void *values, uint32_t capacity,
                         uint32_t *count)
{
    LIBBPF_OPTS(bpf_map_batch_opts, options);
    *count = capacity;
    if (bpf_map_lookup_batch(fd, first ? NULL : position, position, keys, values, count, &options) == 0)
        return 0;
    int error = errno;
    if (error == ENOENT)
        return 1;
    *count = 0;
    return -error;
}

int cmesh_possible_cpus(void)
{
    return libbpf_num_possible_cpus();
}

void *cmesh_map_mmap(int fd, size_t length, int *error)
{
    void *address = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (address == MAP_FAILED) {
        *error = -errno;
        return NULL;
    }
    *error = 0;
    return address;
}

void cmesh_map_munmap(void *address, size_t length)
{
    munmap(address, length);
}

void cmesh_store_release(uint32_t *address, uint32_t value)
{
    __atomic_store_n(address, value, __ATOMIC_RELEASE);
}

uint32_t cmesh_load_acquire(const uint32_t *address)
{
    return __atomic_load_n(address, __ATOMIC_ACQUIRE);
}

void cmesh_epoch_store(uint64_t *address, uint64_t value)
{
    __atomic_store_n(address, value, __ATOMIC_SEQ_CST);
}

uint64_t cmesh_epoch_load(const uint64_t *address)
{
    return __atomic_load_n(address, __ATOMIC_SEQ_CST);
}
