/*
 * The shared memory segment: what the supervisor and its workers see of each other without asking.
 *
 * Swift does not promise the layout of its structs, C does; so the layout lives here, its sizes and offsets
 * asserted. Every number is 64 bits in native order, every place an offset from the segment's start,
 * and every field says who writes it. Fields are read and written by the functions at the end only.
 *
 *   header | ledger | worker 0 | worker 1 | ...
 *   ledger:  lock, totals | transfers of worker 0, 1, ... | pools | names
 *            pool, name: entry, then a row per worker
 *   worker:  block | pool entries 0 ... capacity-1, overflow entry | log ring
 */
#ifndef CSHARED_H
#define CSHARED_H

#include <stddef.h>
#include <stdint.h>

/* "pgsluice" read as a little-endian number. */
#define CSHARED_MAGIC 0x656369756c736770ULL
/* Changes whenever an offset or a meaning below changes. */
#define CSHARED_LAYOUT_VERSION 5ULL

#define CSHARED_DATABASE_NAME_BYTES 64
#define CSHARED_USER_NAME_BYTES 128
#define CSHARED_POOL_COUNTERS 16
#define CSHARED_POOL_GAUGES 16
#define CSHARED_WORKER_GAUGES 16
/* Of query, transaction and wait time. */
#define CSHARED_POOL_HISTOGRAMS 3
/* 8 for each power of two up to 2^32 microseconds; below 16 one for each number. */
#define CSHARED_HISTOGRAM_BUCKETS 240

/* Written by the supervisor before the first fork, except where noted. */
typedef struct {
    uint64_t magic;
    uint64_t layout_version;
    uint64_t byte_count;           /* of the whole segment */
    uint64_t generation;           /* 1 at first start, one more for each online restart */
    uint64_t start_realtime_us;    /* when this instance started, microseconds since 1970 */
    uint64_t worker_count;
    uint64_t pool_capacity;        /* entries per worker, the overflow entry not counted */
    uint64_t ring_bytes;           /* bytes of one log ring, a power of two */
    uint64_t ledger_offset;
    uint64_t ledger_byte_count;
    uint64_t workers_offset;       /* of worker 0 */
    uint64_t worker_stride;        /* from one worker to the next */
    uint64_t pools_offset;         /* of a worker's first pool entry, from its block */
    uint64_t ring_offset;          /* of a worker's log ring bytes, from its block */
    uint8_t instance_secret[16];   /* key of every hash that names something */
    uint8_t mock_secret[32];       /* makes up challenges for users that do not exist */
    uint8_t spare[96];
    uint64_t next_connection_id;   /* every process adds to it; on a cache line of its own */
    uint64_t definition_epoch;     /* changes of tables that any worker has noticed */
    uint8_t tail[240];
} cshared_header;

_Static_assert(sizeof(cshared_header) == 512, "header size");
_Static_assert(offsetof(cshared_header, instance_secret) == 112, "secrets follow the numbers");
_Static_assert(offsetof(cshared_header, next_connection_id) == 256, "the shared counter has its own line");

/*
 * The ledger: who owns how many servers, who waits, who has some to spare. What decides are the rows, each
 * written by its worker alone; totals are sums of rows, checked and changed together under the lock, and
 * made anew from the rows when a process has died with it.
 */
#define CSHARED_LOCK_BYTES 64
/* Servers and clients that one worker may have on their way to others at once. */
#define CSHARED_TRANSFERS 64

typedef struct {
    uint64_t lock[CSHARED_LOCK_BYTES / 8];
    /* All under the lock. */
    uint64_t recoveries;           /* how often the holder of the lock had died */
    uint64_t pool_high_water;      /* entries at and above this one were never used */
    uint64_t name_high_water;
    uint64_t clients;              /* total over the workers' rows */
    uint64_t worker_count;         /* indexes that have ever been in use; grows only, by the supervisor */
    uint64_t spare[3];
    uint64_t row_clients[64];      /* clients of each worker; written by it */
} cshared_ledger;

_Static_assert(sizeof(cshared_ledger) == 640, "ledger head size");

/* A server or a client on its way from one worker to another. */
typedef struct {
    /* Token above, what has become of it (given by the Swift side) in the low 8 bits. */
    uint64_t state;
    uint64_t item;                 /* what it is (by the Swift side); written by the sender while it is free */
} cshared_transfer;

/* One (database, user) pair over all workers. Keys and totals change under the lock. */
typedef struct {
    uint64_t key_low, key_high;
    uint64_t servers;              /* total over the rows, less what was taken and is still in the sender's */
    uint64_t database;             /* index of its database's name */
    uint64_t user;                 /* index of its user's name */
    uint64_t waiting_workers;      /* a bit for each worker that has waiters; set and cleared by it */
    uint64_t spare[2];
} cshared_ledger_pool;

_Static_assert(sizeof(cshared_ledger_pool) == 64, "an entry is a line");

/* What a pool is to one worker; written by it. */
typedef struct {
    uint64_t holds;                /* how many records of the pool the worker has */
    uint64_t owned;                /* server connections: the truth */
    uint64_t idle;
    uint64_t oldest_idle_ns;       /* when the one that rests longest was released, monotonic clock */
    uint64_t waiting;
    uint64_t oldest_wait_ns;       /* since when the first of them has waited */
    uint64_t spare[2];
} cshared_pool_row;

_Static_assert(sizeof(cshared_pool_row) == 64, "a row is a line");

#define CSHARED_KEY_WORDS 8

/* A database or user by name, for limits that hold over several pools. */
typedef struct {
    uint64_t key_low, key_high;
    uint64_t servers;              /* total over its pools */
    uint64_t clients;              /* total over the rows */
    uint64_t waiting_workers;      /* workers with a waiter whom a limit of this name may keep waiting */
    uint64_t has_keys;
    uint64_t spare[2];
    uint64_t keys[CSHARED_KEY_WORDS]; /* of a user: ClientKey and ServerKey, learnt from a login of his */
} cshared_ledger_name;

_Static_assert(sizeof(cshared_ledger_name) == 128, "an entry is two lines");

/* What a name is to one worker; written by it. */
typedef struct {
    uint64_t holds;                /* how many records and pools of the worker name it */
    uint64_t clients;
} cshared_name_row;

/* One pool (database, user) as one worker sees it; the worker is the only writer while it is in use. */
typedef struct {
    /* Generation above, the entry's state (given by the Swift side) in the low 8 bits. */
    uint64_t state;
    uint64_t database_length;
    uint64_t user_length;
    uint8_t database[CSHARED_DATABASE_NAME_BYTES];
    uint8_t user[CSHARED_USER_NAME_BYTES];
    uint8_t spare[40];
    uint64_t values[CSHARED_POOL_COUNTERS + CSHARED_POOL_GAUGES]; /* counters, then gauges */
    /* For each bucket one count of each histogram: what belongs to similar times lies together, so that a
     * pool touches few lines and pages of this. Counts only if `values` has counted before. */
    uint64_t histograms[CSHARED_HISTOGRAM_BUCKETS * CSHARED_POOL_HISTOGRAMS];
} cshared_pool;

_Static_assert(sizeof(cshared_pool) == 6272, "pool entry size");
_Static_assert(sizeof(cshared_pool) % 64 == 0, "entries start cache lines");
_Static_assert(offsetof(cshared_pool, values) == 256, "counters start a cache line");
_Static_assert(offsetof(cshared_pool, histograms) == 512, "histograms follow the gauges");

/* What one worker tells the others. */
typedef struct {
    /* Written by the supervisor. */
    uint64_t incarnation;          /* one more for every process that had this index; 0: never used */
    uint64_t pid;
    uint64_t state;                /* meaning given by the Swift side */
    uint64_t started_realtime_us;
    uint8_t spare_supervisor[32];
    /* Written by the worker. */
    uint64_t heartbeat_us;         /* monotonic clock */
    uint64_t pool_high_water;      /* entries at and above this one were never used */
    uint64_t overflow_count;       /* pools that found the table full */
    uint64_t activity;             /* turns of the loop in which something was done */
    uint8_t spare_worker[32];
    uint64_t gauges[CSHARED_WORKER_GAUGES];
    /* The log ring: bytes ever written and ever read; their difference is what waits. */
    uint64_t ring_tail;            /* written by the worker */
    uint64_t ring_dropped;         /* records that found no room; written by the worker */
    uint8_t spare_tail[48];
    uint64_t ring_head;            /* written by the supervisor */
    uint8_t spare_head[56];
    uint8_t spare[128];
} cshared_worker;

_Static_assert(sizeof(cshared_worker) == 512, "worker block size");
_Static_assert(offsetof(cshared_worker, heartbeat_us) == 64, "supervisor and worker write different lines");
_Static_assert(offsetof(cshared_worker, gauges) == 128, "gauges start a line");
_Static_assert(offsetof(cshared_worker, ring_tail) == 256, "the producer's line");
_Static_assert(offsetof(cshared_worker, ring_head) == 320, "the consumer's line");

/* One log record: this, then the text, padded to 8 bytes. A record may wrap around the ring's end. */
typedef struct {
    uint32_t text_length;
    uint32_t level;
    uint64_t realtime_us;
    uint64_t pid;
} cshared_log_record;

_Static_assert(sizeof(cshared_log_record) == 24, "log record header size");

/* Vetted: takes no lock and allocates nothing, so `@_noLocks` Swift may call it. */
#define CSHARED_HOT __attribute__((swift_attr("@_noLocks"))) static inline

/* A number that tells nothing about other memory: counters, gauges. */
CSHARED_HOT uint64_t cshared_load(const uint64_t *place) {
    return __atomic_load_n(place, __ATOMIC_RELAXED);
}

CSHARED_HOT void cshared_store(uint64_t *place, uint64_t value) {
    __atomic_store_n(place, value, __ATOMIC_RELAXED);
}

/* Adds to a number that only the caller writes: a plain load and store, no bus lock. */
CSHARED_HOT void cshared_add(uint64_t *place, uint64_t amount) {
    __atomic_store_n(place, __atomic_load_n(place, __ATOMIC_RELAXED) + amount, __ATOMIC_RELAXED);
}

/* Adds to a number that several processes write, and returns what it was. */
CSHARED_HOT uint64_t cshared_fetch_add(uint64_t *place, uint64_t amount) {
    return __atomic_fetch_add(place, amount, __ATOMIC_RELAXED);
}

/* A number that publishes other memory. */
CSHARED_HOT uint64_t cshared_load_acquire(const uint64_t *place) {
    return __atomic_load_n(place, __ATOMIC_ACQUIRE);
}

CSHARED_HOT void cshared_store_release(uint64_t *place, uint64_t value) {
    __atomic_store_n(place, value, __ATOMIC_RELEASE);
}

/* Sets and clears bits of a number that several processes write. */
CSHARED_HOT void cshared_set_bits(uint64_t *place, uint64_t bits) {
    __atomic_fetch_or(place, bits, __ATOMIC_SEQ_CST);
}

CSHARED_HOT void cshared_clear_bits(uint64_t *place, uint64_t bits) {
    __atomic_fetch_and(place, ~bits, __ATOMIC_SEQ_CST);
}

/* Nonzero when `place` held `expected` and now holds `desired`. */
CSHARED_HOT int cshared_compare_exchange(uint64_t *place, uint64_t expected, uint64_t desired) {
    return __atomic_compare_exchange_n(place, &expected, desired, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* Loads before it stay before loads after it: the second look of a reader at a state word. */
CSHARED_HOT void cshared_fence_acquire(void) {
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
}

/* Stores before it are seen by others before loads after it are made: between saying what one has and
 * looking at what others say. */
CSHARED_HOT void cshared_fence(void) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* The ledger's lock, shared by processes, robust: made once; taken, with 1 when its holder had died; given
 * back. `cshared_lock_within` gives up after so many nanoseconds, with -1. */
void cshared_lock_make(cshared_ledger *ledger);
int cshared_lock_take(cshared_ledger *ledger);
int cshared_lock_within(cshared_ledger *ledger, uint64_t nanoseconds);
void cshared_lock_give(cshared_ledger *ledger);
/* The process that has the lock, 0 for none. */
int32_t cshared_lock_holder(const cshared_ledger *ledger);

/* Where each field is. Swift gives no promise about the address of `pointee.field`; C does. */
#define CSHARED_FIELD(type, field) \
    CSHARED_HOT uint64_t *type##_##field(type *record) { return &record->field; }
#define CSHARED_ARRAY(type, field, element) \
    CSHARED_HOT element *type##_##field(type *record) { return record->field; }

CSHARED_FIELD(cshared_header, next_connection_id)
CSHARED_FIELD(cshared_header, definition_epoch)
CSHARED_ARRAY(cshared_header, instance_secret, uint8_t)
CSHARED_ARRAY(cshared_header, mock_secret, uint8_t)
CSHARED_FIELD(cshared_ledger, recoveries)
CSHARED_FIELD(cshared_ledger, pool_high_water)
CSHARED_FIELD(cshared_ledger, name_high_water)
CSHARED_FIELD(cshared_ledger, clients)
CSHARED_FIELD(cshared_ledger, worker_count)
CSHARED_ARRAY(cshared_ledger, row_clients, uint64_t)
CSHARED_FIELD(cshared_transfer, state)
CSHARED_FIELD(cshared_transfer, item)
CSHARED_FIELD(cshared_ledger_pool, key_low)
CSHARED_FIELD(cshared_ledger_pool, key_high)
CSHARED_FIELD(cshared_ledger_pool, servers)
CSHARED_FIELD(cshared_ledger_pool, database)
CSHARED_FIELD(cshared_ledger_pool, user)
CSHARED_FIELD(cshared_ledger_pool, waiting_workers)
CSHARED_FIELD(cshared_pool_row, holds)
CSHARED_FIELD(cshared_pool_row, owned)
CSHARED_FIELD(cshared_pool_row, idle)
CSHARED_FIELD(cshared_pool_row, oldest_idle_ns)
CSHARED_FIELD(cshared_pool_row, waiting)
CSHARED_FIELD(cshared_pool_row, oldest_wait_ns)
CSHARED_FIELD(cshared_ledger_name, key_low)
CSHARED_FIELD(cshared_ledger_name, key_high)
CSHARED_FIELD(cshared_ledger_name, servers)
CSHARED_FIELD(cshared_ledger_name, clients)
CSHARED_FIELD(cshared_ledger_name, waiting_workers)
CSHARED_FIELD(cshared_ledger_name, has_keys)
CSHARED_ARRAY(cshared_ledger_name, keys, uint64_t)
CSHARED_FIELD(cshared_name_row, holds)
CSHARED_FIELD(cshared_name_row, clients)
CSHARED_FIELD(cshared_pool, state)
CSHARED_FIELD(cshared_pool, database_length)
CSHARED_FIELD(cshared_pool, user_length)
CSHARED_ARRAY(cshared_pool, database, uint8_t)
CSHARED_ARRAY(cshared_pool, user, uint8_t)
CSHARED_ARRAY(cshared_pool, values, uint64_t)
CSHARED_ARRAY(cshared_pool, histograms, uint64_t)
CSHARED_FIELD(cshared_worker, incarnation)
CSHARED_FIELD(cshared_worker, pid)
CSHARED_FIELD(cshared_worker, state)
CSHARED_FIELD(cshared_worker, started_realtime_us)
CSHARED_FIELD(cshared_worker, heartbeat_us)
CSHARED_FIELD(cshared_worker, pool_high_water)
CSHARED_FIELD(cshared_worker, overflow_count)
CSHARED_FIELD(cshared_worker, activity)
CSHARED_ARRAY(cshared_worker, gauges, uint64_t)
CSHARED_FIELD(cshared_worker, ring_tail)
CSHARED_FIELD(cshared_worker, ring_dropped)
CSHARED_FIELD(cshared_worker, ring_head)

#endif
