"""Who may come in: the connections of an entry point, how many there may be, and who goes when there are too many.

A client that comes when there are as many as may be takes the place of one that does nothing: first of those that
have been silent since they came, then of those that lie idle between two requests, the oldest first. Where all
are busy it waits, and nobody more is accepted meanwhile: others wait in the kernel. So a flood of connections that
ask nothing costs those that do at most a moment, and nobody is refused who could be served a little later.
"""

from .connection cimport Connection
from .deadline cimport now
from .message cimport Request
from .murmur cimport Murmur
from .room cimport L_DESCRIPTORS, L_HERE, L_NONE, Limit, Room
from .shared cimport InFlight
from .step cimport NEXT, Step
from .table cimport Route
from .tally cimport C_ACCEPTED, C_EVICTED, C_OPEN, count, count_more

cdef enum:
    MOST_LOOKED_AT = 64        # connections looked at to find one that can go

cdef double SILENT = 0.5       # seconds that a client has to send its first head before its place may be taken
cdef double IDLE = 5.0         # seconds between two requests after which it may
cdef double IDLE_REST = 1.0    # seconds in which a client may still ask something when draining begins: it may have
cdef double SILENT_REST = 5.0  # asked before it can know; the second is for those that have asked nothing yet


cdef class Guest(Connection):
    """A client's connection, as a door sees it."""

    cdef Rank rank(self, double* since) noexcept:
        """How well it could be done without, and since when (seconds of the wheel's clock)."""
        return R_BUSY

    cdef void let_in(self) noexcept:
        """It has a place now, for which it was made to wait."""

    cdef void end_soon(self) noexcept:
        """Close behind the answer to what is asked next, if that comes within a moment."""

    cdef str ask(self, Route route, Request caller):
        """Return the name of the middleware of a TCP route that does not let it in; None: all do.

        caller: stands for it. Places that middlewares take for it, it keeps until it is gone.
        """
        cdef Step step
        try:
            for step in route.pipeline.on_request:
                if step.on_request(caller) != NEXT:
                    return step.name
            self.places = caller.held
        finally:
            caller.answer = None
            caller.held = None
        return None


cdef class Door(Entry):
    """The connections of an entry point."""

    cdef void open(self) noexcept:
        """Make what needs the engine; called once it is there."""
        self.held = []
        self.doors = []
        self.room = Room(self.name, self.engine)
        self.closing = Murmur(self.engine.loop, self.engine.log, (
            "%d connections that did nothing were closed to make room on entry point %s: %s is %d"))
        self.waiting = Murmur(self.engine.loop, self.engine.log, (
            "%d connections have to wait on entry point %s until others end: %s is %d"))

    def limit(self, InFlight counts not None, int cell, int cell_of_all, long long most, long long most_in_all):
        """Let there be no more than *most* connections here and *most_in_all* together, 0 for no limit.

        counts: of all workers; cell: that of this entry point, cell_of_all: that of all.
        """
        self.room.limit(counts, cell, cell_of_all, most, most_in_all)

    def stand_beside(self, list doors not None):
        """Let places be made in the other doors of the loop too, where a limit is for all of them."""
        self.doors = doors

    # ---------------------------------------------------------------- coming in

    cdef void receive(self, Guest guest) noexcept:
        """A connection was accepted; it is served at once, or held until there is a place for it."""
        cdef Limit limit
        guest.opened()
        limit = self.admit(guest)
        if limit == L_NONE:
            return
        guest.is_held = True
        self.held.append(guest)
        self.waiting.add(self.room.told(limit))
        if self.rest is not None:
            try:
                self.rest()
            except Exception as error:
                guest.report(error)

    cdef Limit admit(self, Guest guest) noexcept:
        """Give a place to a guest, if need be that of somebody else. Returns the limit if there is none."""
        cdef Limit limit = self.count_in(guest)
        if limit != L_NONE and not self.is_draining and self.make_room(limit):
            limit = self.count_in(guest)
        return limit

    cdef Limit count_in(self, Guest guest) noexcept:
        """Count a guest among those that are there, unless a limit is reached."""
        cdef Limit limit = self.room.take(0)
        guest.is_counted = limit == L_NONE
        return limit

    cdef void count_out(self, Guest guest) noexcept:
        if guest.is_counted:
            guest.is_counted = False
            self.room.leave()

    cdef bint make_room(self, Limit limit) noexcept:
        """Close somebody that does nothing. False: there is nobody."""
        cdef Rank found = R_BUSY, rank = R_BUSY
        cdef Door door, of_guest = self
        cdef Guest other, guest = self.dispensable(&rank)
        if limit != L_HERE and rank != R_SILENT:
            for door in self.doors:
                other = door.dispensable(&found)
                if found > rank:
                    of_guest = door
                    guest = other
                    rank = found
        if limit == L_DESCRIPTORS and rank != R_SILENT and self.engine.discard_idle(None):
            return True
        if guest is None:
            return False
        of_guest.closing.add(self.room.told(limit))
        count(self.tally, C_EVICTED)
        of_guest.count_out(guest)
        guest.abort()
        guest.closed()
        return True

    cdef Guest dispensable(self, Rank* rank):
        """The next one that is silent for too long; else one of those looked at that lies idle, or None."""
        cdef Guest guest, idle = None
        cdef double since, idle_since = 0, time = now()
        cdef Rank found
        cdef int _look
        for _look in range(min(MOST_LOOKED_AT, self.connections)):
            if self.hand is NULL:
                self.hand = self.oldest
            if self.hand is NULL:
                break
            guest = <Guest>self.hand
            found = guest.rank(&since)
            if found == R_SILENT:
                if time - since < SILENT:
                    break          # whoever came later has been silent for less
                self.hand = guest.preceding
                rank[0] = R_SILENT
                return guest
            self.hand = guest.preceding
            if found == R_IDLE and time - since >= IDLE and (idle is None or since < idle_since):
                idle = guest
                idle_since = since
        rank[0] = R_BUSY if idle is None else R_IDLE
        return idle

    def has_room(self):
        """Give places to those that wait; say whether others may be accepted again."""
        cdef Guest guest
        while self.held:
            guest = <Guest>self.held[0]
            if self.admit(guest) != L_NONE:
                return False
            del self.held[0]
            guest.is_held = False
            guest.let_in()
        return True

    # ---------------------------------------------------------------- being there

    cdef void add(self, Guest guest) noexcept:
        """Somebody is connected."""
        self.link(guest)
        self.connections += 1
        count(self.tally, C_ACCEPTED)
        count(self.tally, C_OPEN)

    cdef void link(self, Guest guest) noexcept:
        guest.following = self.first
        if self.first is not None:
            self.first.preceding = <void*>guest
        else:
            self.oldest = <void*>guest
        self.first = guest
        guest.is_listed = True

    cdef void unlink(self, Guest guest) noexcept:
        guest.is_listed = False
        if self.hand is <void*>guest:
            self.hand = guest.preceding
        if guest.preceding is not NULL:
            (<Guest>guest.preceding).following = guest.following
        else:
            self.first = guest.following
        if guest.following is not None:
            guest.following.preceding = guest.preceding
        else:
            self.oldest = guest.preceding
        guest.following = None
        guest.preceding = NULL

    cdef void remove(self, Guest guest) noexcept:
        self.count_out(guest)
        guest.places = None
        if guest.is_held:
            guest.is_held = False
            self.held.remove(guest)
        if not guest.is_listed:
            return
        self.unlink(guest)
        self.connections -= 1
        count_more(self.tally, C_OPEN, -1)
        if self.connections == 0:
            self.room.tell_empty()

    # ---------------------------------------------------------------- the end

    def drain(self, double grace):
        """End every connection behind its next answer, told to the client as `Connection: close`.

        One that lies idle is not closed at once, for a request may be on its way: it has a moment still, at most
        half of the *grace* seconds after which the rest is cut. Tunnels are left alone.
        """
        cdef Guest guest = self.first
        cdef Guest following
        self.is_draining = True
        self.idle_rest = min(IDLE_REST, grace / 2)
        self.silent_rest = min(SILENT_REST, grace / 2)
        for held in self.held:
            (<Guest>held).is_held = False      # they came before the end was told
            (<Guest>held).let_in()
        self.held.clear()
        while guest is not None:
            following = guest.following
            guest.end_soon()
            guest = following

    async def wait_drained(self, double seconds):
        """Wait until no connection is left, at most *seconds*; return how many are."""
        if self.connections:
            await self.room.wait_empty(seconds)
        return self.connections

    def abort(self):
        """Close every connection at once."""
        cdef Guest guest = self.first
        cdef Guest following
        while guest is not None:
            following = guest.following
            guest.abort()
            guest = following
