#include "copenssl_tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/objects.h>
#include <openssl/pem.h>

/* The channel as a BIO. */

static int channel_read(BIO *bio, char *into, int byte_count) {
    struct copenssl_channel *channel = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (channel->input_count == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t part = (size_t)byte_count < channel->input_count ? (size_t)byte_count : channel->input_count;
    memcpy(into, channel->input, part);
    channel->input += part;
    channel->input_count -= part;
    return (int)part;
}

static int channel_write(BIO *bio, const char *bytes, int byte_count) {
    struct copenssl_channel *channel = BIO_get_data(bio);
    size_t wanted = channel->output_count + (size_t)byte_count;
    BIO_clear_retry_flags(bio);
    if (wanted > channel->output_capacity) {
        size_t capacity = wanted * 2;
        unsigned char *larger = realloc(channel->output, capacity);
        if (larger == NULL) return -1;
        channel->output = larger;
        channel->output_capacity = capacity;
    }
    memcpy(channel->output + channel->output_count, bytes, (size_t)byte_count);
    channel->output_count = wanted;
    return byte_count;
}

static long channel_control(BIO *bio, int command, long number, void *pointer) {
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static int channel_create(BIO *bio) {
    BIO_set_init(bio, 1);
    return 1;
}

const BIO_METHOD *copenssl_channel_method(void) {
    static BIO_METHOD *method = NULL;
    if (method != NULL) return method;
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "channel");
    if (method == NULL) return NULL;
    BIO_meth_set_read(method, channel_read);
    BIO_meth_set_write(method, channel_write);
    BIO_meth_set_ctrl(method, channel_control);
    BIO_meth_set_create(method, channel_create);
    return method;
}

/* Contexts. */

SSL_CTX *copenssl_context(void) {
    SSL_CTX *context = SSL_CTX_new(TLS_method());
    if (context == NULL) return NULL;
    SSL_CTX_set_options(
        context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_SSLv3);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 0);
    SSL_CTX_set_mode(
        context,
        SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return context;
}

int copenssl_set_versions(SSL_CTX *context, unsigned versions) {
    static const int numbers[4] = {TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION};
    static const uint64_t refusals[4] = {
        SSL_OP_NO_TLSv1, SSL_OP_NO_TLSv1_1, SSL_OP_NO_TLSv1_2, SSL_OP_NO_TLSv1_3};
    int first = -1, last = -1;
    for (int index = 0; index < 4; index++) {
        if (versions & 1u << index) {
            if (first < 0) first = index;
            last = index;
        } else {
            SSL_CTX_set_options(context, refusals[index]);
        }
    }
    if (first < 0) return 0;
    return SSL_CTX_set_min_proto_version(context, numbers[first]) &&
           SSL_CTX_set_max_proto_version(context, numbers[last]);
}

int copenssl_set_groups(SSL_CTX *context, const char *names) { return (int)SSL_CTX_set1_groups_list(context, names); }

void copenssl_set_dh_auto(SSL_CTX *context, int on) { SSL_CTX_set_dh_auto(context, on); }

/* A key that asks for a passphrase is an error: nobody is there to be asked. */
static int no_passphrase(char *into, int byte_count, int is_for_writing, void *context) {
    (void)into, (void)byte_count, (void)is_for_writing, (void)context;
    return -1;
}

int copenssl_use_certificates(SSL_CTX *context, const void *pem, int byte_count) {
    BIO *bio = BIO_new_mem_buf(pem, byte_count);
    if (bio == NULL) return 0;
    X509 *certificate = PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, NULL);
    int is_done = certificate != NULL && SSL_CTX_use_certificate(context, certificate) == 1;
    X509_free(certificate);
    SSL_CTX_clear_chain_certs(context);
    while (is_done) {
        X509 *next = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
        if (next == NULL) {
            /* The end of the file. */
            ERR_clear_error();
            break;
        }
        is_done = SSL_CTX_add0_chain_cert(context, next) == 1;
        if (!is_done) X509_free(next);
    }
    BIO_free(bio);
    return is_done;
}

int copenssl_use_key(SSL_CTX *context, const void *pem, int byte_count) {
    BIO *bio = BIO_new_mem_buf(pem, byte_count);
    if (bio == NULL) return 0;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    int is_done =
        key != NULL && SSL_CTX_use_PrivateKey(context, key) == 1 && SSL_CTX_check_private_key(context) == 1;
    EVP_PKEY_free(key);
    BIO_free(bio);
    return is_done;
}

int copenssl_add_authorities(SSL_CTX *context, const void *pem, int byte_count, int names) {
    BIO *bio = BIO_new_mem_buf(pem, byte_count);
    if (bio == NULL) return 0;
    STACK_OF(X509_INFO) *all = PEM_X509_INFO_read_bio(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    if (all == NULL) return 0;
    X509_STORE *store = SSL_CTX_get_cert_store(context);
    int count = 0;
    for (int index = 0; index < sk_X509_INFO_num(all); index++) {
        X509_INFO *info = sk_X509_INFO_value(all, index);
        if (info->x509 != NULL) {
            X509_STORE_add_cert(store, info->x509);
            if (names) SSL_CTX_add_client_CA(context, info->x509);
            count++;
        }
        if (info->crl != NULL) {
            X509_STORE_add_crl(store, info->crl);
            X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
        }
    }
    sk_X509_INFO_pop_free(all, X509_INFO_free);
    /* The same authority twice is no error. */
    ERR_clear_error();
    return count;
}

static const unsigned char protocol_list[] = "\012postgresql";

static int select_protocol(
    SSL *session, const unsigned char **chosen, unsigned char *chosen_count, const unsigned char *offered,
    unsigned offered_count, void *context) {
    (void)session, (void)context;
    unsigned char *found;
    if (SSL_select_next_proto(
            &found, chosen_count, protocol_list, sizeof protocol_list - 1, offered, offered_count) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *chosen = found;
    return SSL_TLSEXT_ERR_OK;
}

void copenssl_accept_alpn(SSL_CTX *context) { SSL_CTX_set_alpn_select_cb(context, select_protocol, NULL); }

int copenssl_offer_alpn(SSL *session) {
    return SSL_set_alpn_protos(session, protocol_list, sizeof protocol_list - 1) == 0;
}

/* Sessions. */

SSL *copenssl_session(SSL_CTX *context, struct copenssl_channel *channel, int accepts) {
    const BIO_METHOD *method = copenssl_channel_method();
    if (method == NULL) return NULL;
    SSL *session = SSL_new(context);
    BIO *bio = BIO_new(method);
    if (session == NULL || bio == NULL) {
        SSL_free(session);
        BIO_free(bio);
        return NULL;
    }
    BIO_set_data(bio, channel);
    SSL_set_bio(session, bio, bio);
    if (accepts)
        SSL_set_accept_state(session);
    else
        SSL_set_connect_state(session);
    return session;
}

int copenssl_set_server_name(SSL *session, const char *name) {
    return (int)SSL_set_tlsext_host_name(session, name);
}

unsigned copenssl_end_point(X509 *certificate, unsigned char *hash) {
    int digest_kind = NID_undef;
    unsigned byte_count = 0;
    if (certificate == NULL ||
        !OBJ_find_sigid_algs(X509_get_signature_nid(certificate), &digest_kind, NULL))
        return 0;
    if (digest_kind == NID_md5 || digest_kind == NID_sha1) digest_kind = NID_sha256;
    const EVP_MD *digest = EVP_get_digestbynid(digest_kind);
    if (digest == NULL || !X509_digest(certificate, digest, hash, &byte_count)) return 0;
    return byte_count;
}

X509 *copenssl_peer_certificate(SSL *session) { return SSL_get0_peer_certificate(session); }

int copenssl_is_verified(SSL *session) {
    return SSL_get0_peer_certificate(session) != NULL && SSL_get_verify_result(session) == X509_V_OK &&
           SSL_get_verify_mode(session) != SSL_VERIFY_NONE;
}

int copenssl_matches_host(SSL *session, const char *host) {
    X509 *certificate = SSL_get0_peer_certificate(session);
    if (certificate == NULL || host[0] == 0) return 0;
    if (X509_check_ip_asc(certificate, host, 0) == 1) return 1;
    return X509_check_host(certificate, host, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1;
}

void copenssl_each_name(
    SSL *session, void *context, void (*report)(void *context, const unsigned char *name, int byte_count)) {
    X509 *certificate = SSL_get0_peer_certificate(session);
    if (certificate == NULL) return;
    X509_NAME *subject = X509_get_subject_name(certificate);
    for (int index = -1; (index = X509_NAME_get_index_by_NID(subject, NID_commonName, index)) >= 0;) {
        unsigned char *text = NULL;
        int count =
            ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index)));
        /* A name with a zero in it is somebody's trick. */
        if (count > 0 && memchr(text, 0, (size_t)count) == NULL) report(context, text, count);
        OPENSSL_free(text);
    }
    GENERAL_NAMES *others = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    for (int index = 0; index < sk_GENERAL_NAME_num(others); index++) {
        GENERAL_NAME *name = sk_GENERAL_NAME_value(others, index);
        if (name->type != GEN_DNS) continue;
        const unsigned char *text = ASN1_STRING_get0_data(name->d.dNSName);
        int count = ASN1_STRING_length(name->d.dNSName);
        if (count > 0 && memchr(text, 0, (size_t)count) == NULL) report(context, text, count);
    }
    GENERAL_NAMES_free(others);
}

void copenssl_take_error(char *text, size_t byte_count) {
    unsigned long code = ERR_peek_error();
    const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);
    if (code == 0)
        snprintf(text, byte_count, "%s", "");
    else if (reason != NULL)
        snprintf(text, byte_count, "%s", reason);
    else
        snprintf(text, byte_count, "error code %lu", ERR_GET_REASON(code) + 0ul);
    ERR_clear_error();
}

void copenssl_keep_error(SSL *session) {
    unsigned long code = ERR_peek_error();
    if (code == 0) code = ERR_PACK(ERR_LIB_SSL, 0, ERR_R_INTERNAL_ERROR);
    SSL_set_app_data(session, (void *)(uintptr_t)code);
}

int copenssl_recall_error(SSL *session) {
    unsigned long code = (unsigned long)(uintptr_t)SSL_get_app_data(session);
    if (code == 0) return 0;
    ERR_clear_error();
    ERR_raise(ERR_GET_LIB(code), ERR_GET_REASON(code));
    return 1;
}

const char *copenssl_verification_error(SSL *session) {
    long result = SSL_get_verify_result(session);
    return result == X509_V_OK ? "" : X509_verify_cert_error_string(result);
}
