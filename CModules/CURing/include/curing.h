#pragma once

/* The kernel's two ways of waiting for many descriptors: io_uring (through liburing) and epoll. */
#include "curing_ring.h"
#include "curing_sockets.h"
