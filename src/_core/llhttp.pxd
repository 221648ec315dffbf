# The C functions of llhttp that we call, and no others. The library is the copy that setup.py put beside us.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint64_t

cdef extern from "llhttp.h" nogil:
    ctypedef struct llhttp_t:
        void* data
        uint64_t content_length
        uint8_t method
        uint8_t http_major
        uint8_t http_minor
        uint16_t status_code
        void* settings

    ctypedef int (*llhttp_data_cb)(llhttp_t*, const char* at, size_t length) noexcept nogil
    ctypedef int (*llhttp_cb)(llhttp_t*) noexcept nogil

    ctypedef struct llhttp_settings_t:
        llhttp_data_cb on_status
        llhttp_data_cb on_header_field
        llhttp_data_cb on_header_value
        llhttp_cb on_headers_complete

    ctypedef enum llhttp_type_t:
        HTTP_REQUEST
        HTTP_RESPONSE

    ctypedef enum llhttp_errno_t:
        HPE_OK
        HPE_PAUSED
        HPE_PAUSED_UPGRADE
        HPE_USER

    void llhttp_settings_init(llhttp_settings_t*)
    void llhttp_init(llhttp_t*, llhttp_type_t, const llhttp_settings_t*)
    llhttp_errno_t llhttp_execute(llhttp_t*, const char* data, size_t length)
    const char* llhttp_get_error_reason(const llhttp_t*)
    const char* llhttp_get_error_pos(const llhttp_t*)
