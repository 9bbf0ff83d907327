#include "CMeshBPF.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct cmesh_object {
    struct bpf_object *object;
    size_t map_count, program_count;
    struct bpf_map **maps;
    struct bpf_program **programs;
};

void cmesh_object_close(struct cmesh_object *object)
{
    if (!object)
        return;
    bpf_object__close(object->object);
    free(object->maps);
    free(object->programs);
    free(object);
}

struct cmesh_object *cmesh_object_open(const char *path, int *error)
{
    cmesh_bpf_setup();
    struct cmesh_object *result = calloc(1, sizeof(*result));
    if (!result) {
        *error = -ENOMEM;
        return NULL;
    }
    result->object = bpf_object__open_file(path, NULL);
    if (!result->object) {
        *error = -errno;
        free(result);
        return NULL;
    }
    struct bpf_map *map;
    bpf_object__for_each_map(map, result->object) result->map_count++;
    struct bpf_program *program;
    bpf_object__for_each_program(program, result->object) result->program_count++;
    result->maps = calloc(result->map_count + 1, sizeof(*result->maps));
    result->programs = calloc(result->program_count + 1, sizeof(*result->programs));
    if (!result->maps || !result->programs) {
        *error = -ENOMEM;
        cmesh_object_close(result);
        return NULL;
    }
    size_t index = 0;
    bpf_object__for_each_map(map, result->object) result->maps[index++] = map;
    index = 0;
    bpf_object__for_each_program(program, result->object) result->programs[index++] = program;
    *error = 0;
    return result;
}

int cmesh_object_load(struct cmesh_object *object)
{
    return bpf_object__load(object->object);
}

size_t cmesh_object_map_count(const struct cmesh_object *object)
{
    return object->map_count;
}

const char *cmesh_object_map_name(const struct cmesh_object *object, size_t index)
{
    return index < object->map_count ? bpf_map__name(object->maps[index]) : NULL;
}

int cmesh_object_map_fd(const struct cmesh_object *object, size_t index)
{
    return index < object->map_count ? bpf_map__fd(object->maps[index]) : -ENOENT;
}

int cmesh_object_map_resize(struct cmesh_object *object, size_t index, uint32_t max_entries)
{
    return index < object->map_count ? bpf_map__set_max_entries(object->maps[index], max_entries) : -ENOENT;
}

int cmesh_object_map_reuse(struct cmesh_object *object, size_t index, int fd)
{
    return index < object->map_count ? bpf_map__reuse_fd(object->maps[index], fd) : -ENOENT;
}

size_t cmesh_object_program_count(const struct cmesh_object *object)
{
    return object->program_count;
}

const char *cmesh_object_program_name(const struct cmesh_object *object, size_t index)
{
    return index < object->program_count ? bpf_program__name(object->programs[index]) : NULL;
}

int cmesh_object_program_fd(const struct cmesh_object *object, size_t index)
{
    return index < object->program_count ? bpf_program__fd(object->programs[index]) : -ENOENT;
}

int cmesh_object_rodata_set(struct cmesh_object *object, size_t offset, const void *bytes, size_t length)
{
    for (size_t index = 0; index < object->map_count; index++) {
        const char *name = bpf_map__name(object->maps[index]);
        size_t size = 0;
        if (!name || !strstr(name, ".rodata"))
            continue;
        char *value = (char *)bpf_map__initial_value(object->maps[index], &size);
        if (!value || offset > size || length > size - offset)
            return -ERANGE;
        memcpy(value + offset, bytes, length);
        return 0;
    }
    return -ENOENT;
}

int cmesh_object_map_layout(const struct cmesh_object *object, size_t index, struct cmesh_map_layout *layout)
{
    if (index >= object->map_count)
        return -ENOENT;
    const struct bpf_map *map = object->maps[index];
    memset(layout, 0, sizeof(*layout));
    layout->type = bpf_map__type(map);
    layout->key_size = bpf_map__key_size(map);
    layout->value_size = bpf_map__value_size(map);
    layout->max_entries = bpf_map__max_entries(map);
    layout->flags = bpf_map__map_flags(map);
    return 0;
}
