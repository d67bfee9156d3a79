#pragma once

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifndef HOT
#define HOT __attribute__((swift_attr("@_noLocks"))) static inline
#endif

#pragma clang assume_nonnull begin

/* System calls of the loop, retried on EINTR; the result or a negative errno. */

HOT long loop_receive(int fd, void *bytes, size_t count) {
    ssize_t n;
    do n = recv(fd, bytes, count, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

HOT long loop_send(int fd, const void *bytes, size_t count) {
    ssize_t n;
    do n = send(fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

HOT long loop_send_ranges(int fd, const struct iovec *ranges, size_t count) {
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = (struct iovec *)ranges;
    message.msg_iovlen = count;
    ssize_t n;
    do n = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* The listener must be non-blocking. */
HOT int loop_accept(int fd) {
    int n;
    do n = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* Starts to connect without waiting, whatever the descriptor's own mode. */
HOT int loop_connect(int fd, const void *_Nullable address, socklen_t length) {
    int mode = fcntl(fd, F_GETFL);
    if (mode < 0) return -errno;
    if (!(mode & O_NONBLOCK) && fcntl(fd, F_SETFL, mode | O_NONBLOCK) < 0) return -errno;
    int result = connect(fd, (const struct sockaddr *)address, length) < 0 ? -errno : 0;
    if (!(mode & O_NONBLOCK)) fcntl(fd, F_SETFL, mode);
    return result;
}

/* The outcome of a connect that was in progress: 0 or a negative errno. */
HOT int loop_connect_result(int fd) {
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0) return -errno;
    return -error;
}

HOT int loop_shutdown(int fd, int how) { return shutdown(fd, how) < 0 ? -errno : 0; }
/* Not retried: after EINTR the descriptor is gone on Linux. */
HOT int loop_close(int fd) { return close(fd) < 0 ? -errno : 0; }

/* Waits a moment for a machine that is short of memory. */
HOT void loop_rest(void) { poll(NULL, 0, 1); }

HOT unsigned long long loop_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned long long)now.tv_sec * 1000000000ULL + (unsigned long long)now.tv_nsec;
}

/* Processor time of this thread. A system call, unlike the clock. */
HOT unsigned long long loop_processor_time(void) {
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (unsigned long long)used.tv_sec * 1000000000ULL + (unsigned long long)used.tv_nsec;
}

/* epoll: events as an opaque array, because the kernel's structure is packed on some machines. */
enum loop_constants {
    LOOP_READABLE = EPOLLIN,
    LOOP_WRITABLE = EPOLLOUT,
    LOOP_PEER_CLOSED = EPOLLRDHUP,
    LOOP_HANGUP = EPOLLHUP,
    LOOP_ERROR = EPOLLERR,
    LOOP_EDGE = EPOLLET,
    LOOP_EVENT_SIZE = sizeof(struct epoll_event),
};

static inline int loop_epoll_create(void) {
    int fd = epoll_create1(EPOLL_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

HOT int loop_epoll_control(int epoll, int operation, int fd, unsigned events) {
    struct epoll_event event;
    memset(&event, 0, sizeof event);
    event.events = events;
    event.data.fd = fd;
    return epoll_ctl(epoll, operation, fd, &event) < 0 ? -errno : 0;
}

HOT int loop_epoll_add(int epoll, int fd, unsigned events) {
    return loop_epoll_control(epoll, EPOLL_CTL_ADD, fd, events);
}
HOT int loop_epoll_change(int epoll, int fd, unsigned events) {
    return loop_epoll_control(epoll, EPOLL_CTL_MOD, fd, events);
}
HOT int loop_epoll_remove(int epoll, int fd) { return loop_epoll_control(epoll, EPOLL_CTL_DEL, fd, 0); }

/* `milliseconds` of -1 waits for ever. The number of events, or a negative errno. */
HOT int loop_epoll_wait(int epoll, void *events, int capacity, int milliseconds) {
    int n = epoll_wait(epoll, (struct epoll_event *)events, capacity, milliseconds);
    return n < 0 ? -errno : n;
}
HOT int loop_event_descriptor(const void *events, int index) {
    return ((const struct epoll_event *)events)[index].data.fd;
}
HOT unsigned loop_event_mask(const void *events, int index) {
    return ((const struct epoll_event *)events)[index].events;
}

/* Memory whose pages appear when touched; NULL when there is none. */
static inline void *_Nullable loop_map(size_t bytes) {
    int kind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, kind, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}
static inline void loop_unmap(void *memory, size_t bytes) { munmap(memory, bytes); }

/* Grows an array, keeping its contents; rare (doubling), and fatal for the caller when it fails. */
HOT void *_Nullable loop_grow(void *_Nullable memory, size_t bytes) { return realloc(memory, bytes); }
HOT void loop_free(void *memory) { free(memory); }

#pragma clang assume_nonnull end
