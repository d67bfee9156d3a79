#pragma once

/* TLS sessions of libssl, for the TLS target. What libssl offers as macros stands here as functions, and the
 * two ends of a session's bytes are plain memory: see `copenssl_channel`. */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stddef.h>
#include <stdint.h>

/* Where sessions read what the peer has sent and write what goes to it. One serves all sessions of a thread:
 * nothing stays in it between two calls. */
struct copenssl_channel {
    const unsigned char *input;
    size_t input_count;
    /* malloc'ed; grows as needed. */
    unsigned char *output;
    size_t output_count;
    size_t output_capacity;
};

/* The BIO method over a `copenssl_channel`; NULL when memory has run out. Made once. */
const BIO_METHOD *copenssl_channel_method(void);

/* A session of `context` over `channel`, which has to outlive it; NULL when memory has run out. */
SSL *copenssl_session(SSL_CTX *context, struct copenssl_channel *channel, int accepts);

/* A context with the settings that hold for all of ours: no tickets, no sessions kept, no renegotiation, no
 * compression, buffers given back while nothing is in them. NULL when memory has run out. */
SSL_CTX *copenssl_context(void);

/* Which of the versions 1.0 to 1.3 are spoken: bit 0 is 1.0. 0 when OpenSSL refuses. */
int copenssl_set_versions(SSL_CTX *context, unsigned versions);

/* 1 when the named groups are set. */
int copenssl_set_groups(SSL_CTX *context, const char *names);

/* Finite-field key exchange with parameters that fit the key, or none. */
void copenssl_set_dh_auto(SSL_CTX *context, int on);

/* The certificate and its chain, and the key, in PEM. 1 for success; else the error is in the queue. */
int copenssl_use_certificates(SSL_CTX *context, const void *pem, int byte_count);
int copenssl_use_key(SSL_CTX *context, const void *pem, int byte_count);

/* Adds authorities (and revocation lists) in PEM; with `names` they are also told to clients. Returns how many
 * certificates there were. */
int copenssl_add_authorities(SSL_CTX *context, const void *pem, int byte_count, int names);

/* Has a server insist on the protocol `postgresql` where the client offers any (ALPN). */
void copenssl_accept_alpn(SSL_CTX *context);

/* Has a client offer it. */
int copenssl_offer_alpn(SSL *session);

/* The name of the peer a client wants, for the server to choose its certificate by. */
int copenssl_set_server_name(SSL *session, const char *name);

/* Writes the hash of a certificate for `tls-server-end-point` (RFC 5929), at most 64 bytes; returns their
 * number, 0 when its signature names no hash. */
unsigned copenssl_end_point(X509 *certificate, unsigned char *hash);

/* Whether the peer's certificate is for this host: a DNS name (wildcards stand for one label) or an address. */
int copenssl_matches_host(SSL *session, const char *host);

/* Whether the peer has shown a certificate and its chain was verified. */
int copenssl_is_verified(SSL *session);

/* The certificate of the peer, without a reference; NULL when there is none. */
X509 *copenssl_peer_certificate(SSL *session);

/* Calls back with each name of the peer's certificate: its common name first, then DNS names. */
void copenssl_each_name(
    SSL *session, void *context, void (*report)(void *context, const unsigned char *name, int byte_count));

/* Writes why the last call failed, and empties the queue of errors. */
void copenssl_take_error(char *text, size_t byte_count);

/* Keeps with the session why the last call failed; and puts that into the queue of errors, in place of what is
 * there: 0 when nothing was kept. */
void copenssl_keep_error(SSL *session);
int copenssl_recall_error(SSL *session);

/* The code of the OpenSSL alert or error at the head of the queue, as SSL_get_error tells it. */
static inline int copenssl_result(SSL *session, int value) { return SSL_get_error(session, value); }

/* Why the peer's certificate was refused; "" when it was not. */
const char *copenssl_verification_error(SSL *session);
