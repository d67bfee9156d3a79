#pragma once
#include "clinux_epoll.h"
#include "clinux_exec.h"
#include "clinux_process.h"
#include "clinux_sockets.h"
