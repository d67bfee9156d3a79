/* Sockets and addresses: calls and constants that Swift does not import by itself. */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netdb.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

/* The most descriptors that travel with one message; the kernel's own bound is 253. */
#define CLINUX_PASSED_LIMIT 64

/* Kinds of sockets as plain numbers. */
enum clinux_socket_kinds {
    CLINUX_STREAM = SOCK_STREAM,
    CLINUX_DATAGRAM = SOCK_DGRAM,
    CLINUX_SEQPACKET = SOCK_SEQPACKET,
};

/* A socket of `kind`, close-on-exec; -1 with errno. */
static inline int clinux_socket(int family, int kind, int nonblocking) {
    return socket(family, kind | SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0), 0);
}

/* Two connected Unix sockets, close-on-exec; 0, or -1 with errno. */
static inline int clinux_socket_pair(int kind, int nonblocking, int *first, int *second) {
    int ends[2];
    int result = socketpair(AF_UNIX, kind | SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0), 0, ends);
    if (result < 0) return result;
    *first = ends[0];
    *second = ends[1];
    return 0;
}

/* Accepts, close-on-exec; -1 with errno. */
static inline int clinux_accept(int fd) { return accept4(fd, NULL, NULL, SOCK_CLOEXEC); }

static inline int clinux_set_option(int fd, int level, int name, int value) {
    return setsockopt(fd, level, name, &value, sizeof value);
}
static inline int clinux_get_option(int fd, int level, int name, int *value) {
    socklen_t length = sizeof *value;
    return getsockopt(fd, level, name, value, &length);
}

/* The sockets of a SO_REUSEPORT group that one program may name. */
#define CLINUX_STEERED_LIMIT 64

/* Has new connections of a listener's SO_REUSEPORT group go to the sockets with these places in it, each as
 * likely as the others; a place is the order of listen(). 0, or -1 with errno. */
static inline int clinux_steer(int fd, const uint32_t *places, uint32_t count) {
    struct sock_filter program[2 + 2 * CLINUX_STEERED_LIMIT];
    if (count == 0 || count > CLINUX_STEERED_LIMIT) {
        errno = EINVAL;
        return -1;
    }
    unsigned short length = 0;
    program[length++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM));
    program[length++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, count);
    for (uint32_t index = 0; index + 1 < count; index++) {
        program[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, index, 0, 1);
        program[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, places[index]);
    }
    program[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, places[count - 1]);
    struct sock_fprog filter = {.len = length, .filter = program};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &filter, sizeof filter);
}

#ifndef SO_DETACH_REUSEPORT_BPF
#define SO_DETACH_REUSEPORT_BPF 68
#endif

/* Has new connections of the group go to all of its sockets again. 0, or -1 with errno. */
static inline int clinux_stop_steering(int fd) {
    int none = 0;
    return setsockopt(fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &none, sizeof none);
}

static inline int clinux_bind(int fd, const void *address, uint32_t length) {
    return bind(fd, (const struct sockaddr *)address, length);
}
static inline int clinux_connect(int fd, const void *address, uint32_t length) {
    return connect(fd, (const struct sockaddr *)address, length);
}
static inline int clinux_local_name(int fd, struct sockaddr_storage *address, uint32_t *length) {
    *length = sizeof *address;
    return getsockname(fd, (struct sockaddr *)address, length);
}
static inline int clinux_peer_name(int fd, struct sockaddr_storage *address, uint32_t *length) {
    *length = sizeof *address;
    return getpeername(fd, (struct sockaddr *)address, length);
}

/* Who made the connection, as the kernel saw it then; 0, or -1 with errno. */
static inline int clinux_peer_credentials(int fd, int *process, uint32_t *user, uint32_t *group) {
    struct ucred who;
    socklen_t length = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length) < 0) return -1;
    *process = who.pid;
    *user = who.uid;
    *group = who.gid;
    return 0;
}

/* Random bytes of the kernel; the number filled in, or -1 with errno. */
static inline long clinux_random(void *bytes, size_t count) { return getrandom(bytes, count, 0); }

/* Addresses. `length` is what bind and connect want; ports are in the order of this machine. */

static inline uint32_t clinux_ipv4(struct sockaddr_storage *storage, const uint8_t *bytes, uint16_t port) {
    struct sockaddr_in *address = (struct sockaddr_in *)storage;
    memset(storage, 0, sizeof *storage);
    address->sin_family = AF_INET;
    address->sin_port = htons(port);
    memcpy(&address->sin_addr, bytes, 4);
    return sizeof *address;
}

static inline uint32_t clinux_ipv6(
    struct sockaddr_storage *storage, const uint8_t *bytes, uint16_t port, uint32_t scope) {
    struct sockaddr_in6 *address = (struct sockaddr_in6 *)storage;
    memset(storage, 0, sizeof *storage);
    address->sin6_family = AF_INET6;
    address->sin6_port = htons(port);
    address->sin6_scope_id = scope;
    memcpy(&address->sin6_addr, bytes, 16);
    return sizeof *address;
}

/* `name` of `count` bytes; a leading 0 makes it abstract. 0 when it is too long. */
static inline uint32_t clinux_unix(struct sockaddr_storage *storage, const uint8_t *name, size_t count) {
    struct sockaddr_un *address = (struct sockaddr_un *)storage;
    memset(storage, 0, sizeof *storage);
    if (count == 0 || count >= sizeof address->sun_path) return 0;
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, name, count);
    /* A path ends with a 0 that counts; an abstract name is exactly its bytes. */
    return (uint32_t)(offsetof(struct sockaddr_un, sun_path) + count + (name[0] != 0));
}

static inline uint16_t clinux_port(const struct sockaddr_storage *storage) {
    if (storage->ss_family == AF_INET) return ntohs(((const struct sockaddr_in *)storage)->sin_port);
    if (storage->ss_family == AF_INET6) return ntohs(((const struct sockaddr_in6 *)storage)->sin6_port);
    return 0;
}
static inline void clinux_set_port(struct sockaddr_storage *storage, uint16_t port) {
    if (storage->ss_family == AF_INET) ((struct sockaddr_in *)storage)->sin_port = htons(port);
    if (storage->ss_family == AF_INET6) ((struct sockaddr_in6 *)storage)->sin6_port = htons(port);
}
static inline uint32_t clinux_scope(const struct sockaddr_storage *storage) {
    return storage->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)storage)->sin6_scope_id : 0;
}
/* The bytes of an IP address or of a Unix socket's name. */
static inline const uint8_t *clinux_address_bytes(const struct sockaddr_storage *storage) {
    if (storage->ss_family == AF_INET)
        return (const uint8_t *)&((const struct sockaddr_in *)storage)->sin_addr;
    if (storage->ss_family == AF_INET6)
        return (const uint8_t *)&((const struct sockaddr_in6 *)storage)->sin6_addr;
    return (const uint8_t *)((const struct sockaddr_un *)storage)->sun_path;
}
static inline uint32_t clinux_unix_name_offset(void) { return offsetof(struct sockaddr_un, sun_path); }

/* Sends one message with descriptors; the bytes sent or a negative errno. Never blocks. */
static inline long clinux_send_passing(
    int fd, const void *bytes, size_t count, const int *passed, unsigned passed_count) {
    union {
        char bytes[CMSG_SPACE(sizeof(int) * CLINUX_PASSED_LIMIT)];
        struct cmsghdr alignment;
    } control;
    struct iovec range = {.iov_base = (void *)bytes, .iov_len = count};
    struct msghdr message = {.msg_iov = &range, .msg_iovlen = 1};
    if (passed_count > CLINUX_PASSED_LIMIT) return -EINVAL;
    if (passed_count > 0) {
        size_t size = sizeof(int) * passed_count;
        memset(&control, 0, sizeof control);
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(size);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(size);
        memcpy(CMSG_DATA(header), passed, size);
    }
    ssize_t sent;
    do sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

/*
 * Receives one message and its descriptors (close-on-exec) into `passed`, which holds CLINUX_PASSED_LIMIT.
 * The bytes received or a negative errno; `truncated` when bytes or descriptors did not fit. Never blocks.
 */
static inline long clinux_receive_passing(
    int fd, void *bytes, size_t capacity, int *passed, unsigned *passed_count, int *truncated) {
    union {
        char bytes[CMSG_SPACE(sizeof(int) * CLINUX_PASSED_LIMIT)];
        struct cmsghdr alignment;
    } control;
    struct iovec range = {.iov_base = bytes, .iov_len = capacity};
    struct msghdr message = {
        .msg_iov = &range, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    *passed_count = 0;
    *truncated = 0;
    ssize_t got;
    do got = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0) return -errno;
    *truncated = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    for (; header != NULL; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        unsigned count = (unsigned)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (unsigned i = 0; i < count && *passed_count < CLINUX_PASSED_LIMIT; i++)
            memcpy(&passed[(*passed_count)++], CMSG_DATA(header) + i * sizeof(int), sizeof(int));
    }
    return got;
}
