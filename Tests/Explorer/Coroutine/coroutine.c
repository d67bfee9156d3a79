#include "coroutine.h"

#include <stdlib.h>
#include <ucontext.h>

enum { STACK_BYTES = 256 * 1024 };

struct coroutine {
    ucontext_t inside, outside;
    void (*body)(void *);
    void *context;
    char *stack;
};

/* `makecontext` passes nothing wider than an int. */
static _Thread_local coroutine *starting;

static void run(void) {
    coroutine *self = starting;
    self->body(self->context);
}

coroutine *coroutine_make(void) {
    coroutine *self = calloc(1, sizeof *self);
    if (self == NULL || (self->stack = malloc(STACK_BYTES)) == NULL) abort();
    return self;
}

void coroutine_free(coroutine *self) {
    free(self->stack);
    free(self);
}

void coroutine_start(coroutine *self, void (*body)(void *), void *context) {
    self->body = body;
    self->context = context;
    if (getcontext(&self->inside) != 0) abort();
    self->inside.uc_stack.ss_sp = self->stack;
    self->inside.uc_stack.ss_size = STACK_BYTES;
    self->inside.uc_link = &self->outside;
    makecontext(&self->inside, run, 0);
}

void coroutine_resume(coroutine *self) {
    starting = self;
    if (swapcontext(&self->outside, &self->inside) != 0) abort();
}

void coroutine_yield(coroutine *self) {
    if (swapcontext(&self->inside, &self->outside) != 0) abort();
}
