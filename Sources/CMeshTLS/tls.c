#include "cmesh_tls.h"

#include <CNIOBoringSSL.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Of a certificate message (design: 16 KiB), and in it. */
enum { LARGEST_MESSAGE = 16 << 10, MOST_CERTIFICATES = 3 };

struct mesh_tls_context {
    SSL_CTX *ssl;
    int is_server;
};

struct mesh_tls {
    SSL *ssl;
    struct mesh_tls_hooks hooks;
    void *user;
    int64_t now;
    const uint8_t *input;
    size_t input_size;
    uint8_t *output;
    size_t output_at;
    size_t output_size;
    size_t output_capacity;
    enum mesh_tls_reason reason;
    int alert;
};

static const uint8_t h2[] = {2, 'h', '2'};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static BIO_METHOD *method;

static void note(struct mesh_tls *tls, enum mesh_tls_reason reason)
{
    if (tls->reason == MESH_TLS_NONE)
        tls->reason = reason;
}

static struct mesh_tls *owner(const SSL *ssl) { return SSL_get_app_data(ssl); }

/* The two ends of a stream that BoringSSL takes for a socket. */

static int bio_read(BIO *bio, char *bytes, int size)
{
    struct mesh_tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (tls->input_size == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t count = (size_t)size < tls->input_size ? (size_t)size : tls->input_size;
    memcpy(bytes, tls->input, count);
    tls->input += count;
    tls->input_size -= count;
    return (int)count;
}

static int reserve(struct mesh_tls *tls, size_t more)
{
    if (tls->output_at > 0 && tls->output_size + more > tls->output_capacity) {
        memmove(tls->output, tls->output + tls->output_at, tls->output_size - tls->output_at);
        tls->output_size -= tls->output_at;
        tls->output_at = 0;
    }
    if (tls->output_size + more <= tls->output_capacity)
        return 1;
    size_t capacity = tls->output_capacity ? tls->output_capacity : 1024;
    while (capacity < tls->output_size + more)
        capacity *= 2;
    uint8_t *bytes = realloc(tls->output, capacity);
    if (!bytes)
        return 0;
    tls->output = bytes;
    tls->output_capacity = capacity;
    return 1;
}

static int bio_write(BIO *bio, const char *bytes, int size)
{
    struct mesh_tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (!reserve(tls, (size_t)size)) {
        note(tls, MESH_TLS_OUT_OF_MEMORY);
        return -1;
    }
    memcpy(tls->output + tls->output_size, bytes, (size_t)size);
    tls->output_size += (size_t)size;
    return size;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static void make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "loop");
    if (!method)
        return;
    BIO_meth_set_create(method, bio_create);
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_ctrl(method, bio_control);
}

/* The chain. */

static enum mesh_tls_reason reason_of(int error)
{
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED: return MESH_TLS_EXPIRED;
    case X509_V_ERR_CERT_NOT_YET_VALID: return MESH_TLS_NOT_YET_VALID;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE: return MESH_TLS_UNKNOWN_AUTHORITY;
    case X509_V_ERR_CERT_CHAIN_TOO_LONG: return MESH_TLS_CHAIN_TOO_LONG;
    case X509_V_ERR_INVALID_PURPOSE: return MESH_TLS_NOT_A_LEAF;
    default: return MESH_TLS_BAD_CHAIN;
    }
}

static int is_strong(int nid)
{
    switch (nid) {
    case NID_ecdsa_with_SHA256:
    case NID_ecdsa_with_SHA384:
    case NID_ecdsa_with_SHA512:
    case NID_ED25519:
    case NID_sha256WithRSAEncryption:
    case NID_sha384WithRSAEncryption:
    case NID_sha512WithRSAEncryption: return 1;
    default: return 0;
    }
}

/* It signs no others (X509-SVID section 4.1). */
static enum mesh_tls_reason judge_leaf(X509 *leaf)
{
    /* UINT32_MAX: it says nothing of its use. */
    uint32_t usage = X509_get_key_usage(leaf);
    int signs = usage != UINT32_MAX && usage & (X509v3_KU_KEY_CERT_SIGN | X509v3_KU_CRL_SIGN);
    return X509_check_ca(leaf) || signs ? MESH_TLS_NOT_A_LEAF : MESH_TLS_NONE;
}

/* The leaf's key is of an elliptic curve; nothing is signed by SHA-1 or with a short key. */
static enum mesh_tls_reason judge_strength(X509 *leaf, STACK_OF(X509) *chain)
{
    EVP_PKEY *key = X509_get0_pubkey(leaf);
    if (!key || (EVP_PKEY_id(key) != EVP_PKEY_EC && EVP_PKEY_id(key) != EVP_PKEY_ED25519))
        return MESH_TLS_WEAK;
    /* A root is believed for what it is, whoever signed it. */
    for (size_t i = 0; i + 1 < sk_X509_num(chain); i++) {
        X509 *certificate = sk_X509_value(chain, i);
        EVP_PKEY *own = X509_get0_pubkey(certificate);
        if (!own || !is_strong(X509_get_signature_nid(certificate)))
            return MESH_TLS_WEAK;
        if (EVP_PKEY_id(own) == EVP_PKEY_RSA && EVP_PKEY_bits(own) < 2048)
            return MESH_TLS_WEAK;
    }
    return MESH_TLS_NONE;
}

static int judge_names(struct mesh_tls *tls, X509 *leaf)
{
    int critical = 0;
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, &critical, NULL);
    if (!names)
        return tls->hooks.judge(tls->user, 0, NULL, 0);
    size_t count = sk_GENERAL_NAME_num(names);
    const GENERAL_NAME *first = count > 0 ? sk_GENERAL_NAME_value(names, 0) : NULL;
    int good = 0;
    if (first && first->type == GEN_URI)
        good = tls->hooks.judge(
            tls->user, count, ASN1_STRING_get0_data(first->d.uniformResourceIdentifier),
            (size_t)ASN1_STRING_length(first->d.uniformResourceIdentifier));
    else
        good = tls->hooks.judge(tls->user, count, NULL, 0);
    GENERAL_NAMES_free(names);
    return good;
}

/* What BoringSSL makes of these is the alert. */
static int refuse(struct mesh_tls *tls, X509_STORE_CTX *store, enum mesh_tls_reason reason, int error)
{
    note(tls, reason);
    X509_STORE_CTX_set_error(store, error);
    return 0;
}

static int verify(X509_STORE_CTX *store, void *argument)
{
    (void)argument;
    struct mesh_tls *tls = owner(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
    STACK_OF(X509) *presented = X509_STORE_CTX_get0_untrusted(store);
    if (presented && sk_X509_num(presented) > MOST_CERTIFICATES)
        return refuse(tls, store, MESH_TLS_CHAIN_TOO_LONG, X509_V_ERR_CERT_CHAIN_TOO_LONG);
    X509_VERIFY_PARAM *rules = X509_STORE_CTX_get0_param(store);
    X509_VERIFY_PARAM_set_time_posix(rules, tls->now);
    X509_VERIFY_PARAM_set_depth(rules, MOST_CERTIFICATES);
    if (X509_verify_cert(store) <= 0) {
        int error = X509_STORE_CTX_get_error(store);
        return refuse(tls, store, reason_of(error), error == X509_V_OK ? X509_V_ERR_UNSPECIFIED : error);
    }
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    enum mesh_tls_reason reason = judge_leaf(leaf);
    if (reason == MESH_TLS_NONE)
        reason = judge_strength(leaf, X509_STORE_CTX_get0_chain(store));
    if (reason != MESH_TLS_NONE)
        return refuse(tls, store, reason, X509_V_ERR_CERT_REJECTED);
    if (!judge_names(tls, leaf))
        return refuse(tls, store, MESH_TLS_WRONG_IDENTITY, X509_V_ERR_CERT_REJECTED);
    return 1;
}

/* Contexts. */

static int choose_protocol(
    SSL *ssl, const uint8_t **chosen, uint8_t *size, const uint8_t *offered, unsigned offered_size, void *argument)
{
    (void)argument;
    for (unsigned at = 0; at < offered_size; at += 1u + offered[at]) {
        if (offered[at] == 2 && at + 2 < offered_size && memcmp(offered + at, h2, sizeof(h2)) == 0) {
            *chosen = offered + at + 1;
            *size = 2;
            return SSL_TLSEXT_ERR_OK;
        }
    }
    note(owner(ssl), MESH_TLS_NO_PROTOCOL);
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int choose_context(SSL *ssl, int *alert, void *argument)
{
    (void)argument;
    struct mesh_tls *tls = owner(ssl);
    if (!tls->hooks.choose)
        return SSL_TLSEXT_ERR_OK;
    struct mesh_tls_context *context = tls->hooks.choose(tls->user, SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
    if (context && SSL_set_SSL_CTX(ssl, context->ssl))
        return SSL_TLSEXT_ERR_OK;
    note(tls, MESH_TLS_UNKNOWN_NAME);
    *alert = SSL_AD_UNRECOGNIZED_NAME;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static X509 *certificate(struct mesh_tls_bytes der)
{
    const uint8_t *at = der.bytes;
    X509 *result = d2i_X509(NULL, &at, (long)der.size);
    if (result && at != der.bytes + der.size) {
        X509_free(result);
        result = NULL;
    }
    return result;
}

static enum mesh_tls_material_fault fill(SSL_CTX *ssl, const struct mesh_tls_material *material)
{
    for (size_t i = 0; i < material->chain_count; i++) {
        X509 *one = certificate(material->chain[i]);
        if (!one)
            return MESH_TLS_BAD_CERTIFICATE;
        int good = i == 0 ? SSL_CTX_use_certificate(ssl, one) : SSL_CTX_add1_chain_cert(ssl, one);
        X509_free(one);
        if (!good)
            return MESH_TLS_BAD_CERTIFICATE;
    }
    if (material->chain_count == 0)
        return MESH_TLS_BAD_CERTIFICATE;
    CBS bytes;
    CBS_init(&bytes, material->key.bytes, material->key.size);
    EVP_PKEY *key = EVP_parse_private_key(&bytes);
    if (!key || CBS_len(&bytes) != 0) {
        EVP_PKEY_free(key);
        return MESH_TLS_BAD_KEY;
    }
    int good = SSL_CTX_use_PrivateKey(ssl, key);
    EVP_PKEY_free(key);
    if (!good || !SSL_CTX_check_private_key(ssl))
        return MESH_TLS_KEY_OF_ANOTHER;
    for (size_t i = 0; i < material->roots_count; i++) {
        X509 *root = certificate(material->roots[i]);
        int added = root && X509_STORE_add_cert(SSL_CTX_get_cert_store(ssl), root);
        X509_free(root);
        if (!added)
            return MESH_TLS_BAD_ROOT;
    }
    return material->roots_count > 0 ? MESH_TLS_MATERIAL_GOOD : MESH_TLS_BAD_ROOT;
}

struct mesh_tls_context *mesh_tls_context_new(
    const struct mesh_tls_material *material, int is_server, enum mesh_tls_material_fault *fault)
{
    static const int groups[] = {NID_X25519, NID_X9_62_prime256v1};
    static const uint16_t algorithms[] = {
        SSL_SIGN_ECDSA_SECP256R1_SHA256, SSL_SIGN_ECDSA_SECP384R1_SHA384, SSL_SIGN_ED25519};
    *fault = MESH_TLS_NO_MEMORY;
    pthread_once(&once, make_method);
    struct mesh_tls_context *context = calloc(1, sizeof(*context));
    if (!method || !context)
        goto failed;
    context->is_server = is_server;
    SSL_CTX *ssl = context->ssl = SSL_CTX_new(TLS_method());
    if (!ssl || !SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION) ||
        !SSL_CTX_set_max_proto_version(ssl, TLS1_3_VERSION) || !SSL_CTX_set1_groups(ssl, groups, 2) ||
        !SSL_CTX_set_verify_algorithm_prefs(ssl, algorithms, sizeof(algorithms) / sizeof(algorithms[0])) ||
        SSL_CTX_set_alpn_protos(ssl, h2, sizeof(h2)) != 0)
        goto failed;
    SSL_CTX_set_max_cert_list(ssl, LARGEST_MESSAGE);
    SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ssl, SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(ssl, verify, NULL);
    if (is_server) {
        SSL_CTX_set_alpn_select_cb(ssl, choose_protocol, NULL);
        SSL_CTX_set_tlsext_servername_callback(ssl, choose_context);
    }
    *fault = fill(ssl, material);
    ERR_clear_error();
    if (*fault == MESH_TLS_MATERIAL_GOOD)
        return context;
failed:
    ERR_clear_error();
    mesh_tls_context_free(context);
    return NULL;
}

void mesh_tls_context_free(struct mesh_tls_context *context)
{
    if (!context)
        return;
    SSL_CTX_free(context->ssl);
    free(context);
}

/* Streams. */

struct mesh_tls *mesh_tls_new(
    struct mesh_tls_context *context, const struct mesh_tls_hooks *hooks, void *user, int64_t now,
    const char *server_name)
{
    struct mesh_tls *tls = calloc(1, sizeof(*tls));
    BIO *bio = tls ? BIO_new(method) : NULL;
    if (!bio || !(tls->ssl = SSL_new(context->ssl))) {
        BIO_free(bio);
        free(tls);
        return NULL;
    }
    tls->hooks = *hooks;
    tls->user = user;
    tls->now = now;
    tls->alert = -1;
    BIO_set_data(bio, tls);
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_app_data(tls->ssl, tls);
    SSL_set_shed_handshake_config(tls->ssl, 1);
    if (context->is_server) {
        SSL_set_accept_state(tls->ssl);
    } else {
        SSL_set_connect_state(tls->ssl);
        if (server_name && !SSL_set_tlsext_host_name(tls->ssl, server_name)) {
            mesh_tls_free(tls);
            return NULL;
        }
    }
    return tls;
}

void mesh_tls_free(struct mesh_tls *tls)
{
    if (!tls)
        return;
    SSL_free(tls->ssl);
    free(tls->output);
    free(tls);
}

void mesh_tls_feed(struct mesh_tls *tls, const void *bytes, size_t size)
{
    tls->input = bytes;
    tls->input_size = size;
}

size_t mesh_tls_waiting(const struct mesh_tls *tls) { return tls->input_size; }

/* The queue of errors is the thread's: whoever finds something in it leaves it empty. */
static void note_error(struct mesh_tls *tls)
{
    uint32_t error = ERR_peek_last_error();
    enum mesh_tls_reason reason = MESH_TLS_PROTOCOL;
    if (ERR_GET_LIB(error) == ERR_LIB_SSL) {
        int code = ERR_GET_REASON(error);
        if (code >= SSL_AD_REASON_OFFSET) {
            tls->alert = code - SSL_AD_REASON_OFFSET;
            reason = MESH_TLS_ALERT;
        } else if (code == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
            reason = MESH_TLS_NO_CERTIFICATE;
        } else if (code == SSL_R_UNSUPPORTED_PROTOCOL || code == SSL_R_WRONG_VERSION_NUMBER ||
                   code == SSL_R_UNKNOWN_PROTOCOL) {
            reason = code == SSL_R_WRONG_VERSION_NUMBER ? MESH_TLS_NOT_TLS : MESH_TLS_WRONG_VERSION;
        } else if (code == SSL_R_HTTP_REQUEST || code == SSL_R_HTTPS_PROXY_REQUEST) {
            reason = MESH_TLS_NOT_TLS;
        } else if (code == SSL_R_EXCESSIVE_MESSAGE_SIZE) {
            reason = MESH_TLS_CHAIN_TOO_LONG;
        }
    }
    note(tls, reason);
    ERR_clear_error();
}

enum mesh_tls_step mesh_tls_handshake(struct mesh_tls *tls)
{
    int result = SSL_do_handshake(tls->ssl);
    if (result == 1) {
        const uint8_t *protocol = NULL;
        unsigned size = 0;
        SSL_get0_alpn_selected(tls->ssl, &protocol, &size);
        if (size == 2 && memcmp(protocol, "h2", 2) == 0)
            return MESH_TLS_DONE;
        note(tls, MESH_TLS_NO_PROTOCOL);
        return MESH_TLS_FAILED;
    }
    if (SSL_get_error(tls->ssl, result) == SSL_ERROR_WANT_READ)
        return MESH_TLS_WANTS_INPUT;
    note_error(tls);
    return MESH_TLS_FAILED;
}

ssize_t mesh_tls_read(struct mesh_tls *tls, void *bytes, size_t size)
{
    int count = SSL_read(tls->ssl, bytes, size > INT32_MAX ? INT32_MAX : (int)size);
    if (count > 0)
        return count;
    switch (SSL_get_error(tls->ssl, count)) {
    case SSL_ERROR_WANT_READ: return 0;
    case SSL_ERROR_ZERO_RETURN: return -2;
    default: note_error(tls); return -1;
    }
}

int mesh_tls_write(struct mesh_tls *tls, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    while (size > 0) {
        int count = SSL_write(tls->ssl, at, size > (1 << 30) ? 1 << 30 : (int)size);
        if (count <= 0) {
            note_error(tls);
            return -1;
        }
        at += count;
        size -= (size_t)count;
    }
    return 0;
}

void mesh_tls_close(struct mesh_tls *tls)
{
    SSL_shutdown(tls->ssl);
    ERR_clear_error();
}

enum mesh_tls_reason mesh_tls_reason(const struct mesh_tls *tls) { return tls->reason; }

int mesh_tls_alert(const struct mesh_tls *tls) { return tls->alert; }

const void *mesh_tls_output(const struct mesh_tls *tls, size_t *size)
{
    *size = tls->output_size - tls->output_at;
    return tls->output ? tls->output + tls->output_at : NULL;
}

void mesh_tls_sent(struct mesh_tls *tls, size_t size)
{
    tls->output_at += size;
    if (tls->output_at < tls->output_size)
        return;
    tls->output_at = tls->output_size = 0;
}

void mesh_tls_rest(struct mesh_tls *tls)
{
    if (tls->output_size > 0)
        return;
    free(tls->output);
    tls->output = NULL;
    tls->output_capacity = 0;
}
