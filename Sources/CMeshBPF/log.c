/* libbpf's messages, kept per thread: the end of what it said, because the verifier's verdict stands last. */
#define _GNU_SOURCE /* vasprintf */
#include "CMeshBPF.h"

#include <bpf/libbpf.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define KEPT 16384

static _Thread_local char log_text[KEPT];
static _Thread_local size_t log_length;

static void keep(const char *text, size_t length)
{
    if (length >= KEPT) {
        memcpy(log_text, text + length - KEPT, KEPT);
        log_length = KEPT;
        return;
    }
    if (log_length + length > KEPT) {
        size_t drop = log_length + length - KEPT;
        memmove(log_text, log_text + drop, log_length - drop);
        log_length -= drop;
    }
    memcpy(log_text + log_length, text, length);
    log_length += length;
}

static int capture(enum libbpf_print_level level, const char *format, va_list arguments)
{
    if (level == LIBBPF_DEBUG)
        return 0;
    char *text = NULL;
    int length = vasprintf(&text, format, arguments);
    if (length > 0)
        keep(text, (size_t)length);
    if (length >= 0)
        free(text);
    return length;
}

static void setup(void)
{
    libbpf_set_print(capture);
    libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    /* Needs CAP_SYS_RESOURCE, which may be missing; kernels since 5.11 do not ask for it. */
    (void)setrlimit(RLIMIT_MEMLOCK, &limit);
}

void cmesh_bpf_setup(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, setup);
}

size_t cmesh_bpf_log(char *text, size_t capacity)
{
    if (capacity == 0)
        return 0;
    size_t length = log_length < capacity - 1 ? log_length : capacity - 1;
    memcpy(text, log_text + log_length - length, length);
    text[length] = 0;
    log_length = 0;
    return length;
}
