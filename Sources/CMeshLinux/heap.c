#include "cmesh_heap.h"

#include <malloc.h>

void cmesh_heap_keep_small(void)
{
#ifdef __GLIBC__
    mallopt(M_ARENA_MAX, 1);
    /* A threshold that is set does not grow with the largest block that was freed. */
    mallopt(M_TRIM_THRESHOLD, 256 * 1024);
    mallopt(M_MMAP_THRESHOLD, 256 * 1024);
#endif
}

void cmesh_heap_give_back(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}
