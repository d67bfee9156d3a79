/* Asking PAM and LDAP servers whether a password is right, through libraries that are loaded when they are first
 * needed. All of this blocks: it is for processes that do nothing else. */
#pragma once

#include <stddef.h>

/* What an answer is; `why` then says more, in one line without secrets. */
#define CAUTH_RIGHT 1
#define CAUTH_WRONG 0
#define CAUTH_FAILED (-1)

/* Whether the library is there: 0, or -1 with the reason. */
int cauth_find_ldap(char *why, size_t size);
int cauth_find_pam(char *why, size_t size);

/* How an LDAP server is asked. Without a base `name` is logged in with; with one, the only entry below it that the
 * filter finds. */
struct cauth_ldap {
    const char *uris;
    const char *name;
    const char *bind_name;
    const char *bind_password;
    const char *base;
    const char *filter;
    int scope; /* 0 base, 1 one level, 2 subtree */
    int starts_tls;
};

int cauth_ask_ldap(const struct cauth_ldap *question, const char *password, char *why, size_t size);

int cauth_ask_pam(
    const char *service, const char *user, const char *password, const char *host, char *why, size_t size);
