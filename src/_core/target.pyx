"""One server of a service: new with each snapshot, holding the pool that is not."""


cdef class Target:
    """A server that requests can be sent to.

    url: as configured, for logs; weight: > 0; pool: how to reach it; host: the Host header to send when the
    service does not pass the client's; path_prefix: escaped path put before the request's own.
    Source: `http.services.<name>.loadBalancer.servers[]`.
    """

    def __init__(self, str url not None, Pool pool not None, *, double weight=1.0, bytes host=b"",
                 bytes path_prefix=b""):
        if not weight > 0:
            raise ValueError(f"the weight of {url} is {weight}; a server with weight 0 is not added at all")
        self.url = url
        self.pool = pool
        self.weight = weight
        self.host = host
        self.path_prefix = path_prefix
        self.is_up = True
