# A step looks at a request or response head and decides at once; a pipeline is the steps of a route.

from .message cimport Request, Response


cdef enum Verdict:
    FAULT = -1     # an exception is set: logged, answered 500
    NEXT = 0       # go on
    ANSWER = 1     # request.answer is set
    PARK = 2       # request.pending is set


cdef class Step:
    cdef readonly str name             # qualified name of the middleware, for logs
    cdef readonly bint wants_request   # set in __init__ of the subclass
    cdef readonly bint wants_response

    cdef Verdict on_request(self, Request request) except FAULT
    cdef Verdict on_response(self, Request request, Response response) except FAULT


cdef class Pipeline:
    # Made once, by build; frozen.
    cdef readonly tuple steps          # all, in order of execution
    cdef readonly tuple on_request     # those that look at the request head
    cdef readonly tuple on_response    # those that look at the response head, in reverse order
    cdef Py_ssize_t request_count
    cdef Py_ssize_t response_count
