"""Steps and pipelines: what stands between a matched route and its service."""

cdef dict VERDICT_NAMES = {NEXT: "next", ANSWER: "answer", PARK: "park"}


cdef class Step:
    """One middleware of a route, compiled: looks at a head and answers a verdict, never waits.

    A subclass sets `wants_request` and `wants_response` in its `__init__` and overrides the method of each
    phase it wants. A step serves every request of its route, one after the other and interleaved: it keeps
    no state of one request in itself.
    """

    def __init__(self, str name not None, *, bint wants_request=True, bint wants_response=False):
        self.name = name
        self.wants_request = wants_request
        self.wants_response = wants_response

    cdef Verdict on_request(self, Request request) except FAULT:
        return NEXT

    cdef Verdict on_response(self, Request request, Response response) except FAULT:
        return NEXT

    # -------- for tests

    def run_request(self, Request request not None):
        """Let the step look at a request: (verdict, answer or None), the verdict as its name in small letters."""
        return VERDICT_NAMES[self.on_request(request)], request.answer

    def run_response(self, Request request not None, Response response not None):
        """Let the step look at a response; returns the verdict as its name in small letters."""
        return VERDICT_NAMES[self.on_response(request, response)]


cdef class Pipeline:
    """The steps of one route, sorted by phase once so that a request tests no flag.

    steps: Step objects in order of execution; the response passes them in reverse.
    """

    def __init__(self, steps=()):
        cdef Step step
        self.steps = tuple(steps)
        for step in self.steps:
            if step is None:
                raise TypeError("a pipeline takes Step objects, not None")
        self.on_request = tuple([step for step in self.steps if (<Step>step).wants_request])
        self.on_response = tuple([step for step in reversed(self.steps) if (<Step>step).wants_response])
        self.request_count = len(self.on_request)
        self.response_count = len(self.on_response)
