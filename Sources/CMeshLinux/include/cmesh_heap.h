/* What the C library keeps of freed memory (glibc: mallopt(3), malloc_trim(3); others keep little). */
#pragma once

/* One arena for all threads, and free memory at its end goes back. Before the first thread is started. */
void cmesh_heap_keep_small(void);

/* Gives all free pages back, also those between blocks in use. */
void cmesh_heap_give_back(void);
