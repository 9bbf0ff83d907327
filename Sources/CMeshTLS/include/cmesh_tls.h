/* TLS 1.3 over bytes that somebody else sends and receives: BoringSSL, as swift-nio-ssl brings it, without its sockets. Exists
 * because the proxy's loops are not SwiftNIO's, and because BoringSSL's headers are macros that Swift does not see. It may go
 * when Swift has a TLS that neither of them is needed for.
 *
 * A stream is used by one thread at a time, a context by any number. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct mesh_tls_context;
struct mesh_tls;

struct mesh_tls_bytes {
    const uint8_t *bytes;
    size_t size;
};

/* DER: the leaf first, then those above it; the key is PKCS #8. */
struct mesh_tls_material {
    const struct mesh_tls_bytes *chain;
    size_t chain_count;
    struct mesh_tls_bytes key;
    const struct mesh_tls_bytes *roots;
    size_t roots_count;
};

enum mesh_tls_material_fault {
    MESH_TLS_MATERIAL_GOOD = 0,
    MESH_TLS_NO_MEMORY,
    MESH_TLS_BAD_CERTIFICATE,
    MESH_TLS_BAD_KEY,
    MESH_TLS_KEY_OF_ANOTHER,
    MESH_TLS_BAD_ROOT,
};

/* Both sides: TLS 1.3 only, ALPN h2, a certificate asked for, no tickets, X25519 then P-256. Nothing of the material is kept
 * by reference. Its owner frees it; streams hold it longer. */
struct mesh_tls_context *mesh_tls_context_new(
    const struct mesh_tls_material *material, int is_server, enum mesh_tls_material_fault *fault);
void mesh_tls_context_free(struct mesh_tls_context *context);

/* What is asked during a handshake. */
struct mesh_tls_hooks {
    /* Whether the peer may be who its certificate says, of which the chain is good: the number of its alternative names, and
     * the first of them if that is a URI, else NULL. 0: it may not. */
    int (*judge)(void *user, size_t names, const uint8_t *uri, size_t size);
    /* Server: the context for a name in the ClientHello (NULL: there is none); NULL refuses. May be NULL itself: no choice. */
    struct mesh_tls_context *(*choose)(void *user, const char *name);
};

/* Why a chain is bad, or why a handshake or a stream ended. */
enum mesh_tls_reason {
    MESH_TLS_NONE = 0,
    MESH_TLS_OUT_OF_MEMORY,
    /* Of the peer's certificate. */
    MESH_TLS_NO_CERTIFICATE,
    MESH_TLS_EXPIRED,
    MESH_TLS_NOT_YET_VALID,
    MESH_TLS_UNKNOWN_AUTHORITY,
    MESH_TLS_CHAIN_TOO_LONG,
    MESH_TLS_WEAK,
    MESH_TLS_NOT_A_LEAF,
    MESH_TLS_BAD_CHAIN,
    MESH_TLS_WRONG_IDENTITY,
    /* Of the handshake. */
    MESH_TLS_NO_PROTOCOL,
    MESH_TLS_WRONG_VERSION,
    MESH_TLS_UNKNOWN_NAME,
    MESH_TLS_NOT_TLS,
    MESH_TLS_ALERT,
    /* Anything else that breaks the protocol. */
    MESH_TLS_PROTOCOL,
};

/* `now`: Unix time in seconds, which certificates are judged at. `server_name`: for a client, may be NULL. */
struct mesh_tls *mesh_tls_new(
    struct mesh_tls_context *context, const struct mesh_tls_hooks *hooks, void *user, int64_t now,
    const char *server_name);
void mesh_tls_free(struct mesh_tls *tls);

/* What was received, which has to stay where it is until all of it was taken: 0 from `mesh_tls_waiting`. */
void mesh_tls_feed(struct mesh_tls *tls, const void *bytes, size_t size);
size_t mesh_tls_waiting(const struct mesh_tls *tls);

enum mesh_tls_step {
    MESH_TLS_WANTS_INPUT = 0,
    MESH_TLS_DONE = 1,
    MESH_TLS_FAILED = -1,
};

enum mesh_tls_step mesh_tls_handshake(struct mesh_tls *tls);
/* After the handshake: bytes, 0: more input is needed, -1: failed, -2: the peer said that nothing comes any more. */
ssize_t mesh_tls_read(struct mesh_tls *tls, void *bytes, size_t size);
/* Encrypts all of it. 0, or -1. */
int mesh_tls_write(struct mesh_tls *tls, const void *bytes, size_t size);
/* Says that nothing comes any more. */
void mesh_tls_close(struct mesh_tls *tls);
enum mesh_tls_reason mesh_tls_reason(const struct mesh_tls *tls);
/* The alert that came, or -1. */
int mesh_tls_alert(const struct mesh_tls *tls);

/* Records that have to be sent, until `mesh_tls_sent`. */
const void *mesh_tls_output(const struct mesh_tls *tls, size_t *size);
void mesh_tls_sent(struct mesh_tls *tls, size_t size);
/* Gives back the memory of an empty output, which is kept from one use to the next. */
void mesh_tls_rest(struct mesh_tls *tls);
