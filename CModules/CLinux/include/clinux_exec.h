/* Another program in this process, and the way back from one that fails at once. */
#pragma once

#include <errno.h>
#include <signal.h>
#include <unistd.h>

/* Runs a program in this process; returns the error number, only when it cannot. */
static inline int clinux_execute(const char *path, char *const arguments[], char *const environment[]) {
    execve(path, arguments, environment);
    return errno;
}

/* The same with the program that a descriptor leads to. */
static inline int clinux_execute_descriptor(int fd, char *const arguments[], char *const environment[]) {
    fexecve(fd, arguments, environment);
    return errno;
}

/*
 * From now on a fault of this process, and `seconds` without `clinux_disarm_guard`, run the program that the
 * descriptor leads to in this process. What is handed in must stay where it is until then. 0 or -1 with errno.
 */
int clinux_arm_guard(int fd, char *const arguments[], char *const environment[], unsigned int seconds);

/* Faults end the process again; nothing happens where the guard is not armed. */
void clinux_disarm_guard(void);
