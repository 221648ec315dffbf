"""The settings of an entry point: how its clients are received, and what their requests may be like."""

from .door cimport Door
from .engine cimport Engine
from .forwarded cimport Forwarding
from .message cimport Request
from .netset cimport Address, NetSet
from .record cimport AccessLog
from .snapshot cimport Switch
from .tally cimport Tally

ESCAPES = ("%00", "%23", "%25", "%2F", "%3B", "%3F", "%5C")


cdef class EntryPoint(Door):
    """An entry point: its settings. Its connections are what a door knows of it.

    index: of its table in a snapshot; the time-outs and max_age are seconds, 0 for none; max_head: bytes;
    max_body: bytes of a request's body, 0 for no limit; denied_escapes: members of ESCAPES that routers refuse.
    proxy_insecure, proxy_trusted: whose headers of the PROXY protocol are read; everybody else's bytes are data.
    access_log: where requests are told, None for nowhere; logs_unrouted: those that no router takes too.
    Source: entryPoints.<name>.transport, .forwardedHeaders, .proxyProtocol and .http of Traefik.
    """

    def __init__(self, object loop not None, Switch switch not None, int index, str name not None, *,
                 str server_name="localhost", double read_timeout=60.0, double write_timeout=0.0,
                 double idle_timeout=180.0, Py_ssize_t max_head=1048576, bint sanitize=True,
                 bint encode_semicolons=False, str underscore="keep", bint forwarded_insecure=False,
                 NetSet forwarded_trusted=None, forwarded_connection=(), bint append_forwarded_for=True,
                 int keep_alive_max_requests=0, double keep_alive_max_time=0.0, long long max_body=0, denied_escapes=(),
                 bint proxy_insecure=False, NetSet proxy_trusted=None, Tally tally=None, object log=None,
                 AccessLog access_log=None, bint logs_unrouted=True):
        unknown = set(denied_escapes) - set(ESCAPES)
        if unknown:
            raise ValueError(f"{unknown} cannot be denied; {', '.join(ESCAPES)} can")
        self.name = name
        self.index = index
        self.switch = switch
        self.engine = Engine.of(loop, log)
        self.tally = tally if tally is not None else Tally()
        self.access_log = access_log
        self.logs_unrouted = logs_unrouted
        self.forwarding = Forwarding(insecure=forwarded_insecure, trusted=forwarded_trusted,
                                     kept=forwarded_connection, appends=append_forwarded_for,
                                     underscores=underscore, server=server_name)
        self.denied = tuple([escape.encode() for escape in sorted(denied_escapes)])
        self.read_timeout = read_timeout
        self.write_timeout = write_timeout
        self.idle_timeout = idle_timeout
        self.max_head = max_head
        self.max_body = max_body
        self.sanitize = sanitize
        self.encode_semicolons = encode_semicolons
        self.max_requests = keep_alive_max_requests
        self.max_age = keep_alive_max_time
        self.trusts_all = proxy_insecure
        self.trusted = proxy_trusted
        self.caller = Request.__new__(Request)
        self.open()

    cdef bint expects_line(self, const Address* client) noexcept:
        """Say whether a client may tell by the PROXY protocol for whom it speaks."""
        return self.trusts_all or (self.trusted is not None and self.trusted.has(client))
