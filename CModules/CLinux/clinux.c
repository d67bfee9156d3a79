#include "clinux.h"

static int guard_fd = -1;
static char *const *guard_arguments;
static char *const *guard_environment;
static char guard_stack[64 * 1024];

static const int guard_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS, SIGALRM};
#define GUARD_SIGNALS (sizeof guard_signals / sizeof guard_signals[0])

/* Only what a handler may call: the descriptors that stay open and the memory of the start are all it needs. */
static void guard_go_back(int signal_number) {
    (void)signal_number;
    alarm(0);
    fexecve(guard_fd, guard_arguments, guard_environment);
    _exit(70);
}

static void guard_mask(int how) {
    sigset_t set;
    sigemptyset(&set);
    for (size_t index = 0; index < GUARD_SIGNALS; index++) sigaddset(&set, guard_signals[index]);
    sigprocmask(how, &set, NULL);
}

int clinux_arm_guard(int fd, char *const arguments[], char *const environment[], unsigned int seconds) {
    guard_fd = fd;
    guard_arguments = arguments;
    guard_environment = environment;
    /* A stack of its own: one fault is that there is none left. */
    stack_t stack = {.ss_sp = guard_stack, .ss_size = sizeof guard_stack};
    if (sigaltstack(&stack, NULL) < 0) return -1;
    struct sigaction action = {.sa_handler = guard_go_back, .sa_flags = SA_ONSTACK | SA_NODEFER};
    for (size_t index = 0; index < GUARD_SIGNALS; index++)
        if (sigaction(guard_signals[index], &action, NULL) < 0) return -1;
    guard_mask(SIG_UNBLOCK);
    alarm(seconds);
    return 0;
}

void clinux_disarm_guard(void) {
    if (guard_fd < 0) return;
    guard_fd = -1;
    alarm(0);
    guard_mask(SIG_BLOCK);
    for (size_t index = 0; index < GUARD_SIGNALS; index++) signal(guard_signals[index], SIG_DFL);
    stack_t none = {.ss_flags = SS_DISABLE};
    sigaltstack(&none, NULL);
}
