/* GNU functions that the Glibc module leaves out. */
#pragma once

/* `No such file or directory` and `ENOENT`; NULL for a number that is none. */
const char *cmesh_errno_text(int number);
const char *cmesh_errno_name(int number);

/* Names the calling thread; 15 bytes count. */
void cmesh_name_thread(const char *name);
