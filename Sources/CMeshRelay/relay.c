#define _GNU_SOURCE
#include "cmesh_relay.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

_Static_assert(CMESH_READABLE == EPOLLIN && CMESH_WRITABLE == EPOLLOUT && CMESH_FAILED == EPOLLERR, "epoll events");
_Static_assert(CMESH_HUNG_UP == EPOLLHUP && CMESH_INPUT_ENDS == EPOLLRDHUP, "epoll events");

static int result(int value) { return value < 0 ? -errno : value; }

void cmesh_relay_thread(const char *name)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    /* A thread of libdispatch, which blocks all, may have started this one. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGURG);
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
    pthread_setname_np(pthread_self(), name);
}

static void write_stack(int number)
{
    void *frames[64];
    int saved = errno;
    (void)number;
    backtrace_symbols_fd(frames, backtrace(frames, 64), STDERR_FILENO);
    errno = saved;
}

void cmesh_relay_trace(pthread_t thread)
{
    static const struct sigaction action = {.sa_handler = write_stack, .sa_flags = SA_RESTART};
    void *first;
    /* The first call loads a library, which a handler must not (backtrace(3)). */
    backtrace(&first, 1);
    if (sigaction(SIGURG, &action, NULL) == 0)
        pthread_kill(thread, SIGURG);
}

static int add(int poll, int fd, uint64_t token, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.u64 = token};
    return result(epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event));
}

int cmesh_poll_open(int *poll, int *wake)
{
    *poll = epoll_create1(EPOLL_CLOEXEC);
    if (*poll < 0)
        return -errno;
    *wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int error = *wake < 0 ? -errno : add(*poll, *wake, 0, EPOLLIN);
    if (error < 0) {
        if (*wake >= 0)
            close(*wake);
        close(*poll);
    }
    return error;
}

int cmesh_poll_add_stream(int poll, int fd, uint64_t token)
{
    return add(poll, fd, token, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

int cmesh_poll_add_listener(int poll, int fd, uint64_t token) { return add(poll, fd, token, EPOLLIN | EPOLLEXCLUSIVE); }

int cmesh_poll_remove(int poll, int fd) { return result(epoll_ctl(poll, EPOLL_CTL_DEL, fd, NULL)); }

int cmesh_poll_wait(int poll, struct cmesh_poll_event *events, int timeout_ms)
{
    struct epoll_event ready[CMESH_POLL_EVENTS];
    int count = epoll_wait(poll, ready, CMESH_POLL_EVENTS, timeout_ms);
    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < count; i++) {
        events[i].token = ready[i].data.u64;
        events[i].events = ready[i].events;
        events[i].reserved = 0;
    }
    return count;
}

int cmesh_wake(int wake)
{
    uint64_t one = 1;
    return write(wake, &one, sizeof(one)) < 0 && errno != EAGAIN ? -errno : 0;
}

int cmesh_wake_clear(int wake)
{
    uint64_t count;
    return read(wake, &count, sizeof(count)) < 0 && errno != EAGAIN ? -errno : 0;
}

static socklen_t fill(const struct cmesh_relay_address *address, struct sockaddr_storage *storage)
{
    memset(storage, 0, sizeof(*storage));
    if (address->is_v4) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)storage;
        v4->sin_family = AF_INET;
        v4->sin_port = htons(address->port);
        v4->sin_addr.s_addr = htonl((uint32_t)address->low);
        return sizeof(*v4);
    }
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)storage;
    uint64_t words[2] = {htobe64(address->high), htobe64(address->low)};
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(address->port);
    memcpy(&v6->sin6_addr, words, sizeof(words));
    return sizeof(*v6);
}

int cmesh_relay_socket(int is_v4)
{
    return result(socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

int cmesh_relay_pair(int *one, int *other)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    *one = ends[0];
    *other = ends[1];
    return 0;
}

int cmesh_relay_listen(const struct cmesh_relay_address *address, int backlog)
{
    struct sockaddr_storage storage;
    socklen_t size = fill(address, &storage);
    int yes = 1, fd = cmesh_relay_socket(address->is_v4);
    if (fd < 0)
        return fd;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (bind(fd, (struct sockaddr *)&storage, size) < 0 || listen(fd, backlog) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

int cmesh_relay_connect(int fd, const struct cmesh_relay_address *address)
{
    struct sockaddr_storage storage;
    socklen_t size = fill(address, &storage);
    return result(connect(fd, (struct sockaddr *)&storage, size));
}

int cmesh_relay_accept(int listener)
{
    int fd;
    do
        fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    return result(fd);
}

static int option(int fd, int name)
{
    int value = 0;
    socklen_t size = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, name, &value, &size) < 0 ? -errno : value;
}

int cmesh_relay_error(int fd)
{
    int value = option(fd, SO_ERROR);
    return value > 0 ? -value : value;
}

int cmesh_relay_is_listener(int fd) { return option(fd, SO_ACCEPTCONN) == 1; }

int cmesh_set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? -errno : result(fcntl(fd, F_SETFL, flags | O_NONBLOCK));
}

void cmesh_relay_tune(int fd)
{
    static const struct { int level, name, value; } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},    {SOL_SOCKET, SO_KEEPALIVE, 1}, {IPPROTO_TCP, TCP_KEEPIDLE, 30},
        {IPPROTO_TCP, TCP_KEEPINTVL, 10}, {IPPROTO_TCP, TCP_KEEPCNT, 3}, {IPPROTO_TCP, TCP_USER_TIMEOUT, 30000},
    };
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
    /* Whoever closes without saying that the stream is complete has cut it: the kernel does at kill -9. The peer gets RST
     * then, where it would take FIN for the end. Accepted sockets inherit it of their listener. */
    static const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

void cmesh_relay_close(int fd)
{
    static const struct linger none = {0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    close(fd);
}

void cmesh_relay_give_back(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

void cmesh_relay_reset(int fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
}

/* Both without their wrappers: recv(3) and send(3) are cancellation points, whose two exchanges of the thread's state cost
 * 50 ns a call, 2 % of a relayed request of 1 KiB. */
ssize_t cmesh_relay_receive(int fd, void *bytes, size_t size)
{
    ssize_t count;
    do
        count = syscall(SYS_recvfrom, fd, bytes, size, MSG_DONTWAIT, NULL, NULL);
    while (count < 0 && errno == EINTR);
    return count < 0 ? -errno : count;
}

ssize_t cmesh_relay_send(int fd, const void *bytes, size_t size)
{
    ssize_t count;
    do
        count = syscall(SYS_sendto, fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
    while (count < 0 && errno == EINTR);
    return count < 0 ? -errno : count;
}

ssize_t cmesh_relay_send_both(int fd, const void *first, size_t first_size, const void *second, size_t second_size)
{
    struct iovec pieces[2] = {{(void *)first, first_size}, {(void *)second, second_size}};
    struct msghdr message = {.msg_iov = first_size ? pieces : pieces + 1, .msg_iovlen = first_size ? 2 : 1};
    ssize_t count;
    do
        count = syscall(SYS_sendmsg, fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (count < 0 && errno == EINTR);
    return count < 0 ? -errno : count;
}

int cmesh_relay_has_input(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

int cmesh_relay_pipe(int *reading, int *writing)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    fcntl(ends[1], F_SETPIPE_SZ, CMESH_PIPE_SIZE);
    if (fcntl(ends[1], F_GETPIPE_SZ) < CMESH_PIPE_LEAST) {
        close(ends[0]);
        close(ends[1]);
        return -ENOBUFS;
    }
    *reading = ends[0];
    *writing = ends[1];
    return 0;
}

ssize_t cmesh_relay_splice(int from, int to, size_t size)
{
    ssize_t count;
    do
        count = splice(from, NULL, to, NULL, size, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    while (count < 0 && errno == EINTR);
    return count < 0 ? -errno : count;
}

int cmesh_datagram_socket(int is_v4, const struct cmesh_relay_address *address)
{
    int yes = 1, fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (!is_v4)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes));
    struct sockaddr_storage storage;
    if (address && bind(fd, (struct sockaddr *)&storage, fill(address, &storage)) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

int cmesh_is_datagram(int fd) { return option(fd, SO_TYPE) == SOCK_DGRAM; }

static void read_address(const struct sockaddr_storage *storage, struct cmesh_relay_address *from)
{
    memset(from, 0, sizeof(*from));
    if (storage->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)storage;
        from->low = 0xffff00000000ULL | ntohl(v4->sin_addr.s_addr);
        from->port = ntohs(v4->sin_port);
        from->is_v4 = 1;
    } else if (storage->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)storage;
        uint64_t words[2];
        memcpy(words, &v6->sin6_addr, sizeof(words));
        from->high = be64toh(words[0]);
        from->low = be64toh(words[1]);
        from->port = ntohs(v6->sin6_port);
    }
}

int cmesh_relay_peer(int fd, struct cmesh_relay_address *address)
{
    struct sockaddr_storage storage;
    socklen_t size = sizeof(storage);
    memset(&storage, 0, sizeof(storage));
    if (getpeername(fd, (struct sockaddr *)&storage, &size) < 0)
        return -errno;
    read_address(&storage, address);
    return 0;
}

ssize_t cmesh_datagram_receive(int fd, void *bytes, size_t size, struct cmesh_relay_address *from)
{
    struct sockaddr_storage storage;
    socklen_t length = sizeof(storage);
    ssize_t count;
    memset(&storage, 0, sizeof(storage));
    do
        count = recvfrom(fd, bytes, size, MSG_DONTWAIT, (struct sockaddr *)&storage, &length);
    while (count < 0 && errno == EINTR);
    if (count < 0)
        return -errno;
    read_address(&storage, from);
    return count;
}

ssize_t cmesh_datagram_send(int fd, const void *bytes, size_t size, const struct cmesh_relay_address *to)
{
    struct sockaddr_storage storage;
    socklen_t length = fill(to, &storage);
    ssize_t count;
    do
        count = sendto(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&storage, length);
    while (count < 0 && errno == EINTR);
    return count < 0 ? -errno : count;
}

int cmesh_datagram_disconnect(int fd)
{
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    char byte;
    if (connect(fd, &nobody, sizeof(nobody)) < 0)
        return -errno;
    /* An error that is pending ends one recv(2). */
    for (int i = 0; i < 4096; i++)
        if (recv(fd, &byte, sizeof(byte), MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
    return 0;
}
