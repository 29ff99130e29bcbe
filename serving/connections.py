"""How many connections there are, how long each may wait, and which goes when there are too many.

One sweep a second looks at all of them; no connection has a timer of its own.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Any, Protocol

log = logging.getLogger("seqline.serve")

SWEEP_SECONDS = 1.0
# Among the connections of one address, those in their first second go last: they are about to send.
FRESH_SECONDS = 1.0
# Most connections by default, and their share of the descriptors that the process may open: the
# models, the files of a version that is being loaded and gRPC need some, too.
MOST_CONNECTIONS = 4096
DESCRIPTOR_SHARE = 0.5
# The share of connections that are found at once as the next to go: not each new one looks at all.
CANDIDATE_SHARE = 1 / 64
# Connections that are accepted before anything else is done, each of which takes a descriptor, and
# those that the system keeps until then.
ACCEPTED_AT_ONCE, WAITING_TO_BE_ACCEPTED = 32, 2048
# Descriptors that are enough for anything.
ENOUGH = 1 << 16
# Descriptors that are left to everything else, whatever is asked for.
RESERVED = 96
# Seconds between two lines about one thing that goes wrong again and again.
LOG_SECONDS = 10.0


@dataclass(frozen=True)
class Deadlines:
    """Seconds that a client has.

    Attributes:
        head: For a request's line and headers, from the connection or their first byte; and for
            the beginning of a body or of reading an answer.
        idle: For the next request.
        bytes_per_second: A body that arrives, and an answer that is read, at this rate has all the
            time that it needs.
    """

    head: float = 10.0
    idle: float = 75.0
    bytes_per_second: float = 4096.0

    def of(self, num_bytes: int) -> float:
        """Seconds in which so many bytes must have passed."""
        return self.head + num_bytes / self.bytes_per_second


class Connection(Protocol):
    """A connection, as this module sees it.

    Attributes:
        peer: The client's address.
        since: When it began to wait for the client; None while the client waits for an answer.
    """

    peer: str
    since: float | None

    def check(self, now: float) -> None:
        """Ends the connection if the client has had its time."""

    def drop(self) -> None:
        """Ends the connection at once."""


class Connections:
    """All connections of a server.

    Args:
        most: How many there may be. One more takes the place of the one that has waited longest,
            first of those of the address that has the most.
        deadlines: How long each may wait.
    """

    def __init__(self, most: int, deadlines: Deadlines) -> None:
        self.most = most
        self.deadlines = deadlines
        self.open: set[Connection] = set()
        self.by_peer: Counter[str] = Counter()
        self.num_dropped = 0
        self.candidates: list[tuple[float, Connection]] = []
        self.logged: dict[str, float] = {}

    def add(self, connection: Connection, now: float) -> bool:
        """Counts a connection in, for which another one may have to go.

        Returns:
            Whether there is a place for it: False if all others are being answered.
        """
        self.open.add(connection)
        self.by_peer[connection.peer] += 1
        return len(self.open) <= self.most or self.make_room(now, connection)

    def remove(self, connection: Connection) -> None:
        """Counts a connection out, if it is in."""
        if connection in self.open:
            self.open.discard(connection)
            self.by_peer[connection.peer] -= 1
            if not self.by_peer[connection.peer]:
                del self.by_peer[connection.peer]

    def make_room(self, now: float, newest: Connection | None = None) -> bool:
        """Drops the connection that should go first. Returns whether there was one."""
        for _ in range(2):
            while self.candidates:
                since, connection = self.candidates.pop()
                if connection in self.open and connection.since == since:
                    self.remove(connection)
                    connection.drop()
                    self._on_dropped(now)
                    return True
            self.candidates = self._next_to_go(now, newest)
        return False

    def _next_to_go(self, now: float, newest: Connection | None) -> list[tuple[float, Connection]]:
        waiting = [
            (-self.by_peer[connection.peer], now - since < FRESH_SECONDS, since, connection)
            for connection in self.open
            if connection is not newest and (since := connection.since) is not None
        ]
        waiting.sort(key=lambda place: place[:3])
        num_candidates = int(self.most * CANDIDATE_SHARE) + 1
        return [(since, connection) for *_, since, connection in waiting[:num_candidates][::-1]]

    def _on_dropped(self, now: float) -> None:
        self.num_dropped += 1
        self.log_sometimes(
            now,
            "too many connections",
            f"{self.most} connections are open, which is --max_connections: the one that waited"
            f" longest is closed for each new one ({self.num_dropped} so far)",
        )

    def log_sometimes(self, now: float, kind: str, message: str) -> None:
        """Logs a warning unless there was one of its kind a moment ago."""
        if now - self.logged.get(kind, -LOG_SECONDS) >= LOG_SECONDS:
            self.logged[kind] = now
            log.warning(message)

    async def sweep(self) -> None:
        """Looks at all connections every second, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            for connection in list(self.open):
                connection.check(loop.time())

    def on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """The event loop's handler of errors that nobody else handles."""
        if "accept" not in context.get("message", ""):
            loop.default_exception_handler(context)
            return

        # asyncio tries again each second, and would log a traceback each time.
        now = loop.time()
        reason = getattr(context.get("exception"), "strerror", None) or "no descriptor is left"
        self.log_sometimes(
            now,
            "accept",
            f"a connection cannot be accepted: {reason}; {len(self.open)} are open. Raise the limit"
            " of open files (ulimit -n), or lower --max_connections.",
        )
        self.make_room(now)


def peer_of(client: Iterable[Any] | None) -> str:
    """The address that a client's connections are counted under: of IPv6 the first half."""
    host = str(next(iter(client or ("",))))
    if ":" not in host:
        return host
    try:
        address = IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    return str(address.ipv4_mapped or IPv6Address(int(address) >> 64 << 64))


def raise_descriptor_limit() -> int:
    """Lets the process open as many files as it may, or ENOUGH. Returns how many that are."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return ENOUGH
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft < wanted:
        # macOS allows less than it says.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return soft


def most_connections(num_descriptors: int, wanted: int | None = None) -> int:
    """How many connections there may be.

    Args:
        num_descriptors: How many files the process may open.
        wanted: How many are asked for; None for the default. More than there are descriptors for
            is not granted, and the log says so.
    """
    if wanted is None:
        return max(16, min(MOST_CONNECTIONS, int(num_descriptors * DESCRIPTOR_SHARE)))
    granted = max(1, min(wanted, num_descriptors - RESERVED))
    if granted < wanted:
        log.warning(
            "--max_connections %d is more than %d open files allow (ulimit -n): there may be %d",
            *(wanted, num_descriptors, granted),
        )
    return granted
