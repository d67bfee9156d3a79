#pragma once

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdbool.h>
#include <linux/time_types.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* Vetted: takes no lock and allocates nothing, so `@_noLocks` Swift may call it. */
#ifndef HOT
#if defined(__swift__) || defined(__clang__)
#define HOT __attribute__((swift_attr("@_noLocks"))) static inline
#else
#define HOT static inline
#endif
#endif

#pragma clang assume_nonnull begin

/* Flags of completions and of set-up, re-exported where the importer would give them odd types. */
enum uring_constants {
    URING_MESSAGE_SIZE = sizeof(struct msghdr),
    URING_ADDRESS_SIZE = sizeof(struct sockaddr_storage),
    URING_CQE_BUFFER = IORING_CQE_F_BUFFER,
    URING_CQE_MORE = IORING_CQE_F_MORE,
    URING_CQE_NONEMPTY = IORING_CQE_F_SOCK_NONEMPTY,
    URING_SETUP_BASE = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL
        | IORING_SETUP_CQSIZE | IORING_SETUP_TASKRUN_FLAG,
    URING_NEEDED_FEATURES = IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_EXT_ARG
        | IORING_FEAT_FAST_POLL | IORING_FEAT_CQE_SKIP,
    URING_POLL_READABLE = POLLIN,
};

/* Sets the ring up; 0 or a negative errno. */
static inline int uring_setup(
    struct io_uring *ring, unsigned submissions, unsigned completions, unsigned flags) {
    struct io_uring_params parameters;
    memset(&parameters, 0, sizeof parameters);
    parameters.flags = flags;
    parameters.cq_entries = completions;
    int result = io_uring_queue_init_params(submissions, ring, &parameters);
    if (result < 0) return result;
    /* The indirection array stays the identity for ever, so submitting is one store of the tail. (A ring
     * without the array would save a load per operation, but liburing 2.3 cannot map it.) */
    for (unsigned i = 0; i < ring->sq.ring_entries; i++) ring->sq.array[i] = i;
    return 0;
}

/* Registers the ring of `count` (a power of two) provided buffers of `group` in page-aligned memory; 0 or a
 * negative errno. */
static inline int uring_buffer_ring(
    struct io_uring *ring, void *memory, unsigned count, unsigned short group) {
    struct io_uring_buf_reg registration;
    memset(&registration, 0, sizeof registration);
    registration.ring_addr = (unsigned long)memory;
    registration.ring_entries = count;
    registration.bgid = group;
    int result = io_uring_register_buf_ring(ring, &registration, 0);
    if (result == 0) io_uring_buf_ring_init((struct io_uring_buf_ring *)memory);
    return result;
}

/* Hands one buffer to the kernel. */
HOT void uring_provide(void *buffers, void *address, unsigned size, unsigned short id, int mask) {
    io_uring_buf_ring_add((struct io_uring_buf_ring *)buffers, address, size, id, mask, 0);
    io_uring_buf_ring_advance((struct io_uring_buf_ring *)buffers, 1);
}

/* A free submission entry, or NULL when the queue is full. */
HOT struct io_uring_sqe *_Nullable uring_take(struct io_uring *ring) {
    struct io_uring_sq *queue = &ring->sq;
    unsigned next = queue->sqe_tail + 1;
    if (next - IO_URING_READ_ONCE(*queue->khead) > queue->ring_entries) return NULL;
    struct io_uring_sqe *entry = &queue->sqes[queue->sqe_tail & queue->ring_mask];
    queue->sqe_tail = next;
    return entry;
}

/* Entries queued and not yet taken by the kernel. */
HOT unsigned uring_queued(const struct io_uring *ring) {
    return ring->sq.sqe_tail - IO_URING_READ_ONCE(*ring->sq.khead);
}

/* Whether the kernel holds completions back until it is entered (deferred work, or an overflow). */
HOT bool uring_has_deferred(const struct io_uring *ring) {
    return IO_URING_READ_ONCE(*ring->sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

/*
 * Submits everything queued, runs deferred work, and waits for `minimum` completions, for at most
 * `nanoseconds` when that is not negative. Returns the number submitted or a negative errno.
 */
HOT int uring_enter(struct io_uring *ring, unsigned minimum, long long nanoseconds) {
    struct __kernel_timespec limit;
    struct io_uring_getevents_arg argument;
    memset(&argument, 0, sizeof argument);
    if (nanoseconds >= 0) {
        limit.tv_sec = nanoseconds / 1000000000;
        limit.tv_nsec = nanoseconds % 1000000000;
        argument.ts = (unsigned long)&limit;
    }
    unsigned queued = uring_queued(ring);
    io_uring_smp_store_release(ring->sq.ktail, ring->sq.sqe_tail);
    unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
    if (ring->enter_ring_fd != ring->ring_fd) flags |= IORING_ENTER_REGISTERED_RING;
    return io_uring_enter2(
        ring->enter_ring_fd, queued, minimum, flags, (sigset_t *)(void *)&argument, sizeof argument);
}

/* Completions that can be read now. */
HOT unsigned uring_ready(const struct io_uring *ring) {
    return io_uring_smp_load_acquire(ring->cq.ktail) - *ring->cq.khead;
}

/* The `index`th readable completion. */
HOT const struct io_uring_cqe *uring_completion(const struct io_uring *ring, unsigned index) {
    return &ring->cq.cqes[(*ring->cq.khead + index) & ring->cq.ring_mask];
}

/* Gives the first `count` completions back. */
HOT void uring_advance(struct io_uring *ring, unsigned count) { io_uring_cq_advance(ring, count); }

HOT void uring_prepare_accept(struct io_uring_sqe *sqe, int fd, __u64 tag) {
    io_uring_prep_multishot_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC);
    sqe->user_data = tag;
}

HOT void uring_prepare_receive(
    struct io_uring_sqe *sqe, int fd, unsigned short group, bool repeats, __u64 tag) {
    io_uring_prep_recv(sqe, fd, NULL, 0, 0);
    if (repeats) sqe->ioprio |= IORING_RECV_MULTISHOT;
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = group;
    sqe->user_data = tag;
}

HOT void uring_prepare_receive_into(struct io_uring_sqe *sqe, int fd, void *bytes, size_t count, __u64 tag) {
    io_uring_prep_recv(sqe, fd, bytes, count, 0);
    sqe->user_data = tag;
}

HOT void uring_prepare_send(struct io_uring_sqe *sqe, int fd, const void *bytes, size_t count, __u64 tag) {
    io_uring_prep_send(sqe, fd, bytes, count, MSG_NOSIGNAL);
    sqe->user_data = tag;
}

HOT void uring_prepare_send_ranges(
    struct io_uring_sqe *sqe, int fd, void *storage, const void *ranges, size_t count, __u64 tag) {
    struct msghdr *message = (struct msghdr *)storage;
    memset(message, 0, sizeof *message);
    message->msg_iov = (struct iovec *)(void *)ranges;
    message->msg_iovlen = count;
    io_uring_prep_sendmsg(sqe, fd, message, MSG_NOSIGNAL);
    sqe->user_data = tag;
}

HOT void uring_prepare_connect(
    struct io_uring_sqe *sqe, int fd, const void *address, socklen_t length, __u64 tag) {
    io_uring_prep_connect(sqe, fd, (const struct sockaddr *)address, length);
    sqe->user_data = tag;
}

HOT void uring_prepare_poll(struct io_uring_sqe *sqe, int fd, unsigned events, bool many, __u64 tag) {
    if (many)
        io_uring_prep_poll_multishot(sqe, fd, events);
    else
        io_uring_prep_poll_add(sqe, fd, events);
    sqe->user_data = tag;
}

/* Cancelling what is no longer there is normal; success is not worth a completion. */
HOT void uring_prepare_cancel(struct io_uring_sqe *sqe, __u64 target, __u64 tag) {
    io_uring_prep_cancel64(sqe, target, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = tag;
}

HOT void uring_prepare_close(struct io_uring_sqe *sqe, int fd, __u64 tag) {
    io_uring_prep_close(sqe, fd);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = tag;
}

/* One moment of a spinning wait. */
HOT void uring_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

#pragma clang assume_nonnull end
