#include "cauth.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

/* The public interfaces of OpenLDAP and Linux-PAM, as far as they are needed: their headers are no part of a build. */
typedef struct ldap LDAP;
typedef struct ldapmsg LDAPMessage;
struct berval {
    unsigned long bv_len;
    char *bv_val;
};
enum {
    OPT_PROTOCOL_VERSION = 0x0011,
    OPT_TIMEOUT = 0x5002,
    OPT_NETWORK_TIMEOUT = 0x5005,
    OPT_TLS_REQUIRE_CERT = 0x6006,
    OPT_TLS_NEW_CONTEXT = 0x600f,
    LDAP_NO_SUCH_OBJECT = 32,
    LDAP_INVALID_CREDENTIALS = 49,
    LDAP_SECONDS = 3,
};

static struct {
    int (*initialize)(LDAP **, const char *);
    int (*set_option)(LDAP *, int, const void *);
    int (*connect)(LDAP *);
    int (*start_tls)(LDAP *, void **, void **);
    int (*bind)(LDAP *, const char *, const char *, struct berval *, void **, void **, struct berval **);
    int (*search)(LDAP *, const char *, int, const char *, char **, int, void **, void **, struct timeval *, int,
                  LDAPMessage **);
    int (*count_entries)(LDAP *, LDAPMessage *);
    LDAPMessage *(*first_entry)(LDAP *, LDAPMessage *);
    char *(*get_dn)(LDAP *, LDAPMessage *);
    void (*memfree)(void *);
    int (*msgfree)(LDAPMessage *);
    int (*unbind)(LDAP *, void **, void **);
    char *(*err2string)(int);
} ldap;

struct pam_message {
    int msg_style;
    const char *msg;
};
struct pam_response {
    char *resp;
    int resp_retcode;
};
struct pam_conv {
    int (*conv)(int, const struct pam_message **, struct pam_response **, void *);
    void *appdata_ptr;
};
enum {
    PAM_PROMPT_ECHO_OFF = 1,
    PAM_ERROR_MSG = 3,
    PAM_TEXT_INFO = 4,
    PAM_RHOST = 4,
    PAM_SUCCESS = 0,
    PAM_BUF_ERR = 5,
    PAM_AUTH_ERR = 7,
    PAM_USER_UNKNOWN = 10,
    PAM_MAXTRIES = 8,
    PAM_CONV_ERR = 19,
    PAM_SILENT = 0x8000,
};

static struct {
    int (*start)(const char *, const char *, const struct pam_conv *, void **);
    int (*start_confdir)(const char *, const char *, const struct pam_conv *, const char *, void **);
    int (*set_item)(void *, int, const void *);
    int (*authenticate)(void *, int);
    int (*acct_mgmt)(void *, int);
    int (*end)(void *, int);
    const char *(*strerror)(void *, int);
} pam;

struct symbol {
    const char *name;
    void *place;
};

static int load(const char *const *names, const struct symbol *symbols, const char *package, char *why, size_t size) {
    void *library = NULL;
    for (; *names && !library; names++) library = dlopen(*names, RTLD_NOW | RTLD_GLOBAL);
    if (!library) {
        snprintf(why, size, "%s; install the package %s", dlerror(), package);
        return -1;
    }
    for (; symbols->name; symbols++) {
        void *found = dlsym(library, symbols->name);
        if (!found) {
            snprintf(why, size, "there is no %s in the library of the package %s", symbols->name, package);
            return -1;
        }
        memcpy(symbols->place, &found, sizeof found);
    }
    return 0;
}

int cauth_find_ldap(char *why, size_t size) {
    static const char *const names[] = {"libldap-2.5.so.0", "libldap.so.2", NULL};
    const struct symbol symbols[] = {
        {"ldap_initialize", &ldap.initialize},       {"ldap_set_option", &ldap.set_option},
        {"ldap_connect", &ldap.connect},             {"ldap_start_tls_s", &ldap.start_tls},
        {"ldap_sasl_bind_s", &ldap.bind},
        {"ldap_search_ext_s", &ldap.search},         {"ldap_count_entries", &ldap.count_entries},
        {"ldap_first_entry", &ldap.first_entry},     {"ldap_get_dn", &ldap.get_dn},
        {"ldap_memfree", &ldap.memfree},             {"ldap_msgfree", &ldap.msgfree},
        {"ldap_unbind_ext_s", &ldap.unbind},         {"ldap_err2string", &ldap.err2string},
        {NULL, NULL},
    };
    return ldap.unbind ? 0 : load(names, symbols, "libldap-2.5-0", why, size);
}

int cauth_find_pam(char *why, size_t size) {
    static const char *const names[] = {"libpam.so.0", NULL};
    const struct symbol symbols[] = {
        {"pam_start", &pam.start},
        {"pam_start_confdir", &pam.start_confdir},
        {"pam_set_item", &pam.set_item},
        {"pam_authenticate", &pam.authenticate},
        {"pam_acct_mgmt", &pam.acct_mgmt},
        {"pam_end", &pam.end},
        {"pam_strerror", &pam.strerror},
        {NULL, NULL},
    };
    return pam.strerror ? 0 : load(names, symbols, "libpam0g", why, size);
}

/* Takes a result apart; `step` is what was done. */
static int ldap_answer(int result, const char *step, char *why, size_t size) {
    if (result == 0) return CAUTH_RIGHT;
    snprintf(why, size, "LDAP: %s: %s", step, ldap.err2string(result));
    return result == LDAP_INVALID_CREDENTIALS || result == LDAP_NO_SUCH_OBJECT ? CAUTH_WRONG : CAUTH_FAILED;
}

static int ldap_log_in(LDAP *connection, const char *name, const char *password) {
    struct berval secret = {strlen(password), (char *)password};
    return ldap.bind(connection, name, NULL, &secret, NULL, NULL, NULL);
}

/* The name of the only entry that is found, to be freed; NULL with the answer. */
static char *ldap_find(LDAP *connection, const struct cauth_ldap *question, int *answer, char *why, size_t size) {
    int result = ldap_log_in(connection, question->bind_name, question->bind_password);
    if (result != 0) {
        ldap_answer(result, "logging in for the search", why, size);
        *answer = CAUTH_FAILED;
        return NULL;
    }
    char *attributes[] = {"1.1", NULL};
    struct timeval limit = {LDAP_SECONDS, 0};
    LDAPMessage *found = NULL;
    result = ldap.search(connection, question->base, question->scope, question->filter, attributes, 0, NULL, NULL,
                         &limit, 0, &found);
    char *name = NULL;
    if (result != 0) {
        *answer = ldap_answer(result, "searching", why, size);
    } else if (ldap.count_entries(connection, found) != 1) {
        snprintf(why, size, "LDAP: the search finds %d entries", ldap.count_entries(connection, found));
        *answer = CAUTH_WRONG;
    } else {
        LDAPMessage *entry = ldap.first_entry(connection, found);
        name = entry ? ldap.get_dn(connection, entry) : NULL;
        if (!name) {
            snprintf(why, size, "LDAP: the entry has no name");
            *answer = CAUTH_FAILED;
        }
    }
    if (found) ldap.msgfree(found);
    return name;
}

static void ldap_set_limits(LDAP *connection) {
    int version = 3;
    struct timeval limit = {LDAP_SECONDS, 0};
    ldap.set_option(connection, OPT_PROTOCOL_VERSION, &version);
    ldap.set_option(connection, OPT_NETWORK_TIMEOUT, &limit);
    ldap.set_option(connection, OPT_TIMEOUT, &limit);
}

/* Connects, with TLS where that is asked for. */
static int ldap_open(LDAP *connection, const struct cauth_ldap *question) {
    ldap_set_limits(connection);
    if (question->starts_tls) return ldap.start_tls(connection, NULL, NULL);
    return strncmp(question->uris, "ldaps:", 6) == 0 ? ldap.connect(connection) : 0;
}

/* Whether TLS works where nobody looks at the server's certificate: the library does not say that it is what is
 * wrong. Nothing follows the handshake. */
static int ldap_certificate_is_wrong(const struct cauth_ldap *question) {
    LDAP *connection = NULL;
    if (ldap.initialize(&connection, question->uris) != 0) return 0;
    int never = 0, accepts = 0;
    ldap.set_option(connection, OPT_TLS_REQUIRE_CERT, &never);
    ldap.set_option(connection, OPT_TLS_NEW_CONTEXT, &accepts);
    int result = ldap_open(connection, question);
    ldap.unbind(connection, NULL, NULL);
    return result == 0;
}

static int ldap_ask(
    LDAP *connection, const struct cauth_ldap *question, const char *password, char *why, size_t size) {
    int result = ldap_open(connection, question);
    if (result != 0) {
        ldap_answer(result, question->starts_tls ? "starting TLS" : "connecting", why, size);
        if (ldap_certificate_is_wrong(question))
            snprintf(why, size, "LDAP: the server's certificate is not for it, or of no authority that is trusted "
                     "here: see TLS_CACERT in ldap.conf");
        return CAUTH_FAILED;
    }
    if (!question->base[0])
        return ldap_answer(ldap_log_in(connection, question->name, password), "logging in", why, size);
    int answer = CAUTH_FAILED;
    char *name = ldap_find(connection, question, &answer, why, size);
    if (!name) return answer;
    answer = ldap_answer(ldap_log_in(connection, name, password), "logging in", why, size);
    ldap.memfree(name);
    return answer;
}

int cauth_ask_ldap(const struct cauth_ldap *question, const char *password, char *why, size_t size) {
    /* Without a password a server lets everybody in, as nobody. */
    if (!password[0]) return CAUTH_WRONG;
    if (cauth_find_ldap(why, size) < 0) return CAUTH_FAILED;
    LDAP *connection = NULL;
    int result = ldap.initialize(&connection, question->uris);
    if (result != 0) {
        ldap_answer(result, "the address", why, size);
        return CAUTH_FAILED;
    }
    int answer = ldap_ask(connection, question, password, why, size);
    ldap.unbind(connection, NULL, NULL);
    return answer;
}

/* Answers each question that is not to be seen with the password; others nobody here can answer. */
static int pam_talk(int count, const struct pam_message **messages, struct pam_response **answers, void *password) {
    struct pam_response *list = calloc((size_t)count, sizeof *list);
    if (!list) return PAM_BUF_ERR;
    for (int index = 0; index < count; index++) {
        int style = messages[index]->msg_style;
        if (style == PAM_ERROR_MSG || style == PAM_TEXT_INFO) continue;
        if (style == PAM_PROMPT_ECHO_OFF && (list[index].resp = strdup(password))) continue;
        for (int before = 0; before < index; before++) free(list[before].resp);
        free(list);
        return PAM_CONV_ERR;
    }
    *answers = list;
    return PAM_SUCCESS;
}

/* Where a test of the program has services of its own; NULL otherwise. */
static const char *pam_test_folder(void) {
    const char *mark = getenv("PGSLUICE_TEST");
    return mark && strcmp(mark, "1") == 0 ? getenv("PGSLUICE_TEST_PAM") : NULL;
}

int cauth_ask_pam(
    const char *service, const char *user, const char *password, const char *host, char *why, size_t size) {
    if (cauth_find_pam(why, size) < 0) return CAUTH_FAILED;
    const struct pam_conv talk = {pam_talk, (void *)password};
    void *handle = NULL;
    const char *folder = pam_test_folder();
    int result = folder ? pam.start_confdir(service, user, &talk, folder, &handle)
                        : pam.start(service, user, &talk, &handle);
    if (result != PAM_SUCCESS) {
        snprintf(why, size, "PAM: service %s: error %d", service, result);
        return CAUTH_FAILED;
    }
    const char *step = "the address";
    result = pam.set_item(handle, PAM_RHOST, host);
    if (result == PAM_SUCCESS) {
        step = "authentication";
        result = pam.authenticate(handle, PAM_SILENT);
    }
    if (result == PAM_SUCCESS) {
        step = "account";
        result = pam.acct_mgmt(handle, PAM_SILENT);
    }
    if (result != PAM_SUCCESS) snprintf(why, size, "PAM: %s: %s", step, pam.strerror(handle, result));
    pam.end(handle, result);
    if (result == PAM_SUCCESS) return CAUTH_RIGHT;
    return result == PAM_AUTH_ERR || result == PAM_USER_UNKNOWN || result == PAM_MAXTRIES ? CAUTH_WRONG : CAUTH_FAILED;
}
