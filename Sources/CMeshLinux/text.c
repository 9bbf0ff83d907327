#define _GNU_SOURCE
#include "cmesh_text.h"

#include <string.h>
#include <sys/prctl.h>

const char *cmesh_errno_text(int number) { return strerrordesc_np(number); }

const char *cmesh_errno_name(int number) { return strerrorname_np(number); }

void cmesh_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }
