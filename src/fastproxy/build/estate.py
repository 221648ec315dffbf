"""What outlives a reload: connections, TLS contexts and counts, by what makes them the same thing."""

import ssl
import weakref
from collections.abc import Iterable, Iterator

from .._core.ledger import Ledger
from .._core.pool import Pool
from .._core.signs import Signs
from ..shared import SETS, SIGNS, Seat, own_seat
from .transports import TLS, Limits

Key = tuple[str, str, int, Limits, TLS | None, str]
"""Scheme, host (or path of a unix socket), port, limits, TLS settings and server name (https only)."""


class Estate:
    """The living things of one event loop. Not for several threads.

    A pool is the same object for all who ask with the same key, as long as a current service holds it. Idle
    connections point to their pool and the pool to them, so it would never go by itself: `sweep` closes those
    that no service of the current generation holds any more. An exchange of an older generation that still
    uses such a pool ends undisturbed; only its connection is not kept.
    """

    def __init__(self, most_pending: int = 0, seat: Seat | None = None) -> None:
        """most_pending: requests that one server may have to answer at once, 0 for no limit.

        seat: by default one that is shared with nobody.
        """
        seat = seat or own_seat()
        self.ledger = Ledger(seat.counts, SETS, seat.workers, seat.worker)
        self.signs = Signs(seat.signs, SIGNS)
        self._most_pending = most_pending
        self._pools: dict[Key, Pool] = {}
        self._keys: dict[int, Key] = {}
        self._holders: dict[int, int] = {}
        self._loose: dict[int, Pool] = {}
        self.contexts: weakref.WeakValueDictionary[TLS, ssl.SSLContext] = weakref.WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._pools)

    def pool(
        self,
        scheme: str,
        place: str,
        port: int,
        limits: Limits,
        *,
        tls: TLS | None = None,
        context: ssl.SSLContext | None = None,
        server_name: str = "",
    ) -> Pool:
        """Return the pool of an address. place: host without brackets, or the path of a unix socket (port 0).

        tls and context belong together and to https. Whoever wants to keep the pool holds it before the next
        sweep.
        """
        key = (scheme, place, port, limits, tls, server_name)
        pool = self._pools.get(key)
        if pool is None:
            is_unix = scheme == "unix"
            pool = Pool(
                scheme=scheme,
                host="" if is_unix else place,
                port=port,
                path=place if is_unix else "",
                ssl=context,
                server_name=server_name,
                most_pending=self._most_pending,
                **limits._asdict(),
            )
            self._pools[key] = pool
            self._keys[id(pool)] = key
            self._holders[id(pool)] = 0
            self._loose[id(pool)] = pool
        return pool

    def hold(self, pools: Iterable[Pool]) -> None:
        """Count one more holder of each."""
        for pool in pools:
            self._holders[id(pool)] += 1
            self._loose.pop(id(pool), None)

    def release(self, pools: Iterable[Pool]) -> None:
        """Count one holder less of each."""
        for pool in pools:
            self._holders[id(pool)] -= 1
            if not self._holders[id(pool)]:
                self._loose[id(pool)] = pool

    def sweep(self) -> Iterator[None]:
        """Close the pools that nobody holds, one at each step. On the loop's thread only."""
        while self._loose:
            at, pool = self._loose.popitem()
            del self._pools[self._keys.pop(at)]
            del self._holders[at]
            pool.close()
            yield
