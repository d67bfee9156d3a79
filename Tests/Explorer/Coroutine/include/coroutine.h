/* Code that stops in the middle and goes on later, on a stack of its own and in the same thread. */
#ifndef COROUTINE_H
#define COROUTINE_H

typedef struct coroutine coroutine;

coroutine *coroutine_make(void);
void coroutine_free(coroutine *self);
/* Has `body` begin at the next resume; where it was before is forgotten, and nothing there is released. */
void coroutine_start(coroutine *self, void (*body)(void *), void *context);
/* Runs until the coroutine yields or `body` returns. Not from within one. */
void coroutine_resume(coroutine *self);
/* Back to whoever has resumed it. */
void coroutine_yield(coroutine *self);

#endif
