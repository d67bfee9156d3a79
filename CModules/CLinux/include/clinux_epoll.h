/* Edge-triggered epoll for the benchmark programs; events stay opaque, as the kernel packs the structure. */
#pragma once

#include <stdint.h>
#include <sys/epoll.h>
#include <time.h>

enum {
    CLINUX_EPOLL_EVENT_SIZE = sizeof(struct epoll_event),
    CLINUX_EPOLL_READABLE = EPOLLIN,
    CLINUX_EPOLL_WRITABLE = EPOLLOUT,
    /* The peer sends no more, or the connection is gone. */
    CLINUX_EPOLL_ENDED = EPOLLRDHUP | EPOLLHUP | EPOLLERR,
};

static inline int clinux_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

/* Watches fd for reading, writing and its end, once per change; 0 or -1 with errno. */
static inline int clinux_epoll_add(int epoll, int fd, uint64_t token) {
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.u64 = token}};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

/* Watches fd for reading for as long as there is something to read; 0 or -1 with errno. */
static inline int clinux_epoll_add_level(int epoll, int fd, uint64_t token) {
    struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = token}};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static inline int clinux_epoll_wait(int epoll, void *events, int capacity, int milliseconds) {
    return epoll_wait(epoll, (struct epoll_event *)events, capacity, milliseconds);
}

static inline uint64_t clinux_epoll_token(const void *events, int index) {
    return ((const struct epoll_event *)events)[index].data.u64;
}

static inline uint32_t clinux_epoll_mask(const void *events, int index) {
    return ((const struct epoll_event *)events)[index].events;
}

/* Nanoseconds of processor time all threads of a process have used, ended ones too; -1 when it is gone. */
static inline int64_t clinux_process_cpu_nanoseconds(int pid) {
    struct timespec time;
    clockid_t clock;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0) return -1;
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}
