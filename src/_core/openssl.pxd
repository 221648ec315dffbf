# OpenSSL past Python's ssl: the functions of the very library that `_ssl` uses, found when they are first needed.

# What a BIO of our own consists of (include/openssl/bio.h).
ctypedef int (*BioWrite)(void* bio, const char* data, int size) noexcept
ctypedef int (*BioRead)(void* bio, char* data, int size) noexcept
ctypedef long (*BioControl)(void* bio, int what, long number, void* data) noexcept
ctypedef int (*BioChange)(void* bio) noexcept

ctypedef int (*Verify)(void* store, void* argument) noexcept


cdef enum:
    # include/openssl/ssl.h
    SSL_ERROR_WANT_READ = 2
    SSL_ERROR_WANT_WRITE = 3
    SSL_ERROR_ZERO_RETURN = 6
    SSL_VERIFY_NONE = 0
    # include/openssl/bio.h
    BIO_TYPE_SOURCE_SINK = 0x0400
    BIO_READ_LATER = 0x09              # BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY
    BIO_WRITE_LATER = 0x0a
    BIO_ALL_LATER = 0x0f
    BIO_CTRL_FLUSH = 11
    # include/openssl/x509_vfy.h
    X509_V_OK = 0
    X509_V_ERR_HOSTNAME_MISMATCH = 62
    X509_V_ERR_IP_ADDRESS_MISMATCH = 64


cdef struct OpenSSL:
    # Each under the name that it has there.
    long (*SSL_CTX_ctrl)(void* context, int what, long number, void* data) noexcept
    unsigned long (*SSL_CTX_get_options)(void* context) noexcept
    void (*SSL_CTX_set_cert_verify_callback)(void* context, Verify verify, void* argument) noexcept
    int (*SSL_CTX_add_client_CA)(void* context, void* certificate) noexcept
    void* (*SSL_new)(void* context) noexcept
    void (*SSL_free)(void* ssl) noexcept
    void (*SSL_set_bio)(void* ssl, void* reads, void* writes) noexcept
    void (*SSL_set_accept_state)(void* ssl) noexcept
    void (*SSL_set_connect_state)(void* ssl) noexcept
    int (*SSL_do_handshake)(void* ssl) noexcept
    int (*SSL_read)(void* ssl, void* data, int size) noexcept
    int (*SSL_write)(void* ssl, const void* data, int size) noexcept
    int (*SSL_shutdown)(void* ssl) noexcept
    int (*SSL_get_error)(const void* ssl, int told) noexcept
    long (*SSL_ctrl)(void* ssl, int what, long number, void* data) noexcept
    void* (*SSL_get0_param)(void* ssl) noexcept
    const char* (*SSL_get_version)(const void* ssl) noexcept
    const void* (*SSL_get_current_cipher)(const void* ssl) noexcept
    const char* (*SSL_CIPHER_get_name)(const void* cipher) noexcept
    int (*SSL_session_reused)(const void* ssl) noexcept
    int (*SSL_get_verify_mode)(const void* ssl) noexcept
    long (*SSL_get_verify_result)(const void* ssl) noexcept
    void* (*SSL_get1_peer_certificate)(const void* ssl) noexcept
    void* (*SSL_get_peer_cert_chain)(const void* ssl) noexcept
    int (*X509_VERIFY_PARAM_set1_host)(void* param, const char* name, size_t size) noexcept
    int (*X509_VERIFY_PARAM_set1_ip_asc)(void* param, const char* address) noexcept
    void (*X509_VERIFY_PARAM_set_hostflags)(void* param, unsigned int flags) noexcept
    const char* (*X509_verify_cert_error_string)(long number) noexcept
    void* (*d2i_X509)(void* into, const unsigned char** at, long size) noexcept
    int (*i2d_X509)(const void* certificate, unsigned char** to) noexcept
    void (*X509_free)(void* certificate) noexcept
    int (*OPENSSL_sk_num)(const void* stack) noexcept
    void* (*OPENSSL_sk_value)(const void* stack, int index) noexcept
    void (*ERR_clear_error)() noexcept
    unsigned long (*ERR_peek_error)() noexcept
    unsigned long (*ERR_peek_last_error)() noexcept
    const char* (*ERR_reason_error_string)(unsigned long number) noexcept
    void* (*BIO_meth_new)(int kind, const char* name) noexcept
    int (*BIO_meth_set_write)(void* method, BioWrite write) noexcept
    int (*BIO_meth_set_read)(void* method, BioRead read) noexcept
    int (*BIO_meth_set_ctrl)(void* method, BioControl control) noexcept
    int (*BIO_meth_set_create)(void* method, BioChange create) noexcept
    int (*BIO_meth_set_destroy)(void* method, BioChange destroy) noexcept
    void* (*BIO_new)(const void* method) noexcept
    void (*BIO_set_data)(void* bio, void* data) noexcept
    void* (*BIO_get_data)(void* bio) noexcept
    void (*BIO_set_init)(void* bio, int is_ready) noexcept
    void (*BIO_set_flags)(void* bio, int flags) noexcept
    void (*BIO_clear_flags)(void* bio, int flags) noexcept


cdef const OpenSSL* reached() except NULL      # raises NotImplementedError where it cannot be had
cdef void* inside(object context) except NULL  # the SSL_CTX of an ssl.SSLContext, likewise
