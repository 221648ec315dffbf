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

    def heed(self, Signs signs not None, Py_ssize_t cell):
        """Be there only while the sign of a health check does not say otherwise. IndexError; before it is used."""
        signs.is_down(cell)
        self.signs = signs
        self.sign = &signs.words[cell]

    @property
    def is_there(self):
        """Whether it is up, as far as anybody knows."""
        return is_there(self)


cdef class StreamTarget(Target):
    """A server that connections are passed on to whole.

    termination: seconds that one direction may go on after the other ended, negative for no limit; keep_alive:
    seconds, 0 for none; proxy: version of the PROXY protocol, 0 for none.
    Source: `tcp.services.<name>.loadBalancer.servers[]` and `tcp.serversTransports.<name>`.
    """

    def __init__(self, str url not None, Pool pool not None, *, double termination=0.1, int keep_alive=15,
                 int proxy=0):
        Target.__init__(self, url, pool)
        if proxy not in (0, 1, 2):
            raise ValueError(f"there is no version {proxy} of the PROXY protocol")
        self.termination = termination
        self.keep_alive = keep_alive
        self.proxy = proxy
