/* Processes, signals, shared memory and limits: calls and constants that Swift does not import by itself. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef F_ADD_SEALS
#define F_ADD_SEALS 1033
#define F_SEAL_SEAL 0x0001
#define F_SEAL_SHRINK 0x0002
#define F_SEAL_GROW 0x0004
#define F_SEAL_WRITE 0x0008
#endif
#ifndef MFD_CLOEXEC
#define MFD_CLOEXEC 0x0001U
#define MFD_ALLOW_SEALING 0x0002U
#endif

extern char **environ;

/* The wait status of a child, taken apart. */
static inline int clinux_exited(int status) { return WIFEXITED(status); }
static inline int clinux_exit_code(int status) { return WEXITSTATUS(status); }
static inline int clinux_signaled(int status) { return WIFSIGNALED(status); }
static inline int clinux_term_signal(int status) { return WTERMSIG(status); }
static inline int clinux_core_dumped(int status) { return WCOREDUMP(status); }

/* The signal this process gets when the thread that forked it ends; 0 on success. */
static inline int clinux_set_parent_death_signal(int signal) {
    return prctl(PR_SET_PDEATHSIG, (unsigned long)signal, 0UL, 0UL, 0UL);
}

/* The name shown by `ps -o comm`, cut by the kernel at 15 bytes. */
static inline int clinux_set_thread_name(const char *name) {
    return prctl(PR_SET_NAME, (unsigned long)name, 0UL, 0UL, 0UL);
}

/* Whether a process that changed its user may be dumped and traced again; 0 on success. */
static inline int clinux_set_dumpable(int dumpable) {
    return prctl(PR_SET_DUMPABLE, (unsigned long)dumpable, 0UL, 0UL, 0UL);
}

/* Closes every descriptor from first to last, both included; 0, or -1 with errno. */
static inline int clinux_close_range(unsigned int first, unsigned int last) {
#ifdef SYS_close_range
    return (int)syscall(SYS_close_range, first, last, 0U);
#else
    errno = ENOSYS;
    return -1;
#endif
}

/* A descriptor that signals of the set are read from, without blocking; -1 with errno. */
static inline int clinux_signalfd(const sigset_t *set) {
    return signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* The next signal and who sent it; 0 when none is there, -1 with errno. */
static inline int clinux_read_signal(int fd, int *sender) {
    struct signalfd_siginfo info;
    ssize_t got = read(fd, &info, sizeof info);
    if (got == (ssize_t)sizeof info) {
        *sender = (int)info.ssi_pid;
        return (int)info.ssi_signo;
    }
    return got < 0 && errno == EAGAIN ? 0 : -1;
}

static inline void clinux_ignore_signal(int signal_number) { signal(signal_number, SIG_IGN); }
static inline void clinux_default_signal(int signal_number) { signal(signal_number, SIG_DFL); }

/* An eventfd that neither blocks nor survives exec; -1 with errno. */
static inline int clinux_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

static inline int clinux_memfd(const char *name) {
    return memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

/* After this nobody can change the size or, with `contents`, a byte of the memory; 0 or -1 with errno. */
static inline int clinux_seal(int fd, int contents) {
    int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | (contents ? F_SEAL_WRITE : 0);
    return fcntl(fd, F_ADD_SEALS, seals);
}

/* A shared mapping of the whole file, or NULL with errno. */
static inline void *clinux_map_shared(int fd, size_t size, int writable) {
    void *start = mmap(NULL, size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
    return start == MAP_FAILED ? NULL : start;
}

static inline int clinux_get_descriptor_limit(uint64_t *soft, uint64_t *hard) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return -1;
    *soft = (uint64_t)limit.rlim_cur;
    *hard = (uint64_t)limit.rlim_max;
    return 0;
}

static inline int clinux_set_descriptor_limit(uint64_t soft, uint64_t hard) {
    struct rlimit limit = {.rlim_cur = (rlim_t)soft, .rlim_max = (rlim_t)hard};
    return setrlimit(RLIMIT_NOFILE, &limit);
}

/* How many processors this thread may run on; -1 with errno. */
static inline int clinux_affinity_count(void) {
    for (int cpus = 1024; cpus <= 1 << 17; cpus *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)cpus);
        if (set == NULL) return -1;
        size_t size = CPU_ALLOC_SIZE((size_t)cpus);
        int result = sched_getaffinity(0, size, set);
        int count = result < 0 ? -1 : CPU_COUNT_S(size, set);
        int failure = errno;
        CPU_FREE(set);
        if (result == 0) return count;
        errno = failure;
        if (failure != EINVAL) return -1;
    }
    return -1;
}

/* open with a mode, as Swift does not import variadic functions. */
static inline int clinux_open(const char *path, int flags, unsigned int mode) {
    return open(path, flags | O_CLOEXEC, mode);
}

static inline int clinux_set_close_on_exec(int fd, int on) {
    int flags = fcntl(fd, F_GETFD);
    if (flags < 0) return -1;
    return fcntl(fd, F_SETFD, on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC);
}

static inline int clinux_set_nonblocking(int fd, int on) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return -1;
    return fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
}

/* Moves the environment's strings to the heap, so that their old place may hold a process title; 0 or -1. */
static inline int clinux_move_environment(void) {
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
        char *copy = strdup(*entry);
        if (copy == NULL) return -1;
        *entry = copy;
    }
    return 0;
}

/* The environment, for walking over it. */
static inline char **clinux_environment(void) { return environ; }

static inline int clinux_errno(void) { return errno; }
static inline void clinux_set_errno(int value) { errno = value; }

/* Sends one datagram to a Unix socket named by path or, with a leading '@', in the abstract namespace;
   0, or -1 with errno. */
static inline int clinux_send_datagram(const char *name, const void *bytes, size_t count) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    if (length == 0 || length >= sizeof address.sun_path) {
        errno = EINVAL;
        return -1;
    }
    memcpy(address.sun_path, name, length);
    if (name[0] == '@') address.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    ssize_t sent = sendto(fd, bytes, count, MSG_NOSIGNAL, (const struct sockaddr *)&address, size);
    int failure = errno;
    close(fd);
    errno = failure;
    return sent < 0 ? -1 : 0;
}

/* Writes to a socket without waiting; -1 with ENOTSOCK when it is something else. */
static inline ssize_t clinux_send_now(int fd, const void *bytes, size_t count) {
    return send(fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* A second descriptor of the same open file, above the standard three; -1 with errno. */
static inline int clinux_duplicate(int fd) { return fcntl(fd, F_DUPFD_CLOEXEC, 3); }
