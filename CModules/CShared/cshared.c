#include "cshared.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

_Static_assert(sizeof(pthread_mutex_t) <= CSHARED_LOCK_BYTES, "the lock fits its place");

static pthread_mutex_t *mutex(cshared_ledger *ledger) {
    return (pthread_mutex_t *)ledger->lock;
}

void cshared_lock_make(cshared_ledger *ledger) {
    pthread_mutexattr_t attributes;
    if (pthread_mutexattr_init(&attributes) != 0 ||
        pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) != 0 ||
        pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) != 0 ||
        pthread_mutex_init(mutex(ledger), &attributes) != 0) {
        abort();
    }
    pthread_mutexattr_destroy(&attributes);
}

static int taken(cshared_ledger *ledger, int result) {
    switch (result) {
    case 0:
        return 0;
    case EOWNERDEAD:
        if (pthread_mutex_consistent(mutex(ledger)) != 0) abort();
        return 1;
    case ETIMEDOUT:
        return -1;
    default:
        /* Only a mistake of ours leads here: taken twice, or memory that is no lock. */
        abort();
    }
}

int cshared_lock_take(cshared_ledger *ledger) {
    return taken(ledger, pthread_mutex_lock(mutex(ledger)));
}

int cshared_lock_within(cshared_ledger *ledger, uint64_t nanoseconds) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t end = (uint64_t)until.tv_nsec + nanoseconds;
    until.tv_sec += (time_t)(end / 1000000000);
    until.tv_nsec = (long)(end % 1000000000);
    return taken(ledger, pthread_mutex_clocklock(mutex(ledger), CLOCK_MONOTONIC, &until));
}

int32_t cshared_lock_holder(const cshared_ledger *ledger) {
    /* A robust lock's first word is what the kernel reads when a thread ends (futex(2), robust lists): the
     * holder's thread id. Each of our processes that takes it has one thread. */
    uint32_t word = __atomic_load_n((const uint32_t *)ledger->lock, __ATOMIC_RELAXED);
    return (int32_t)(word & FUTEX_TID_MASK);
}

void cshared_lock_give(cshared_ledger *ledger) {
    if (pthread_mutex_unlock(mutex(ledger)) != 0) abort();
}
