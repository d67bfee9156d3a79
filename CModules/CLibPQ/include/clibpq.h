#pragma once

/* libpq, as the tests and the control program use it. */
#include <postgresql/libpq-fe.h>
