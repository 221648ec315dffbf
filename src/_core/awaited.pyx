"""The step that calls Python and waits: how plugins stand in a pipeline.

It makes the coroutine and leaves it on the request. Whoever runs the pipeline awaits it, at most `timeout`
seconds, cancels it when the client goes away, and takes what it gives: None means go on, an Answer is the answer.
"""

from .message cimport Answer, Request, Response
from .message import field_name, field_value
from .step cimport FAULT, PARK, Step, Verdict

cdef tuple FRAMING = (b"Content-Length", b"Transfer-Encoding")


cdef class Awaited(Step):
    """Awaited(name, middleware, ...): calls `on_request` and `on_response` of *middleware*, coroutine functions.

    wants_request, wants_response: which of the two are called. timeout: seconds, more than 0.
    """

    def __init__(self, str name not None, middleware not None, *, bint wants_request=True,
                 bint wants_response=False, double timeout=30.0):
        if not timeout > 0:
            raise ValueError(f"the timeout of a middleware is more than 0 seconds, not {timeout}")
        super().__init__(name, wants_request=wants_request, wants_response=wants_response)
        self.middleware = middleware
        self.timeout = timeout
        self.ask = middleware.on_request if wants_request else None
        self.tell = middleware.on_response if wants_response else None

    cdef Verdict on_request(self, Request request) except FAULT:
        request.pending = asked(self.ask, request)
        return PARK

    cdef Verdict on_response(self, Request request, Response response) except FAULT:
        request.pending = told(self.tell, request, response)
        return PARK


async def asked(method, Request request):
    """Await an on_request and return None or an Answer. Raises what it raises, and TypeError or ValueError for
    something that cannot be sent."""
    answer = await method(request)
    return answer if answer is None or isinstance(answer, Answer) else answer_of(answer)


async def told(method, Request request, Response response):
    """Await an on_response, which changes the response in place. TypeError when it returns something."""
    result = await method(request, response)
    if result is not None:
        raise TypeError(f"on_response returned {type(result).__name__}; it changes the response it is given "
                        "and returns None")


cdef Answer answer_of(answer):
    """Make an Answer of the plugin's Response, known by its three attributes."""
    try:
        status, headers, body = answer.status, answer.headers, answer.body
    except AttributeError:
        raise TypeError(f"on_request returned {type(answer).__name__}; return None or a Response") from None
    pairs = headers.items() if hasattr(headers, "items") else headers
    fields = [(field_name(name), field_value(value)) for name, value in pairs]
    for name, _ in fields:
        if name in FRAMING:
            raise ValueError(f"{name.decode()} belongs to the proxy: it tells where the body ends")
    return Answer(status, fields, body.encode() if isinstance(body, str) else bytes(memoryview(body)))
