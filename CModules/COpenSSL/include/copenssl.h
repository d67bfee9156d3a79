#pragma once

/* Digests and comparison of libcrypto, for the Crypto target. */
#include <stdint.h>
#include <string.h>

/* The low-level digests are declared deprecated, but they are the ones whose state can be copied as plain
 * memory: a PBKDF2 iteration is then two compressions and nothing else. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/crypto.h>
#include <openssl/md5.h>
#include <openssl/sha.h>

/* Not imported otherwise: a macro hides the call. */
static inline void copenssl_cleanse(void *memory, size_t byte_count) {
    OPENSSL_cleanse(memory, byte_count);
}

/* One compression: absorbs a block of 64 bytes into the eight words of `state`. */
static inline void copenssl_sha256_compress(uint32_t *state, const unsigned char *block) {
    SHA256_CTX context;
    memcpy(context.h, state, sizeof context.h);
    SHA256_Transform(&context, block);
    memcpy(state, context.h, sizeof context.h);
}
