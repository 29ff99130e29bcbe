"""A lock in Google Cloud Storage.

An object that only one can create, which its owner renews as long as it lives.

One that waits looks at the object's generation: if it stays the same for a whole lease, by the
clock of the one that waits, the owner is dead and the lock is taken over. No two clocks are
compared. The lock of a process of this machine that is gone is taken over at once.
"""

import json
import logging
import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seqline.errors import UserError
from seqline.storage import gcs
from seqline.storage.files import translate_errors

log = logging.getLogger("seqline.lease")

# An owner that is alive renews its lock three times within this. Long enough for a service that is
# away for half a minute.
LEASE_SECONDS = 60.0
POLL_SECONDS = 2.0


class HeldError(UserError):
    """Another process holds the lock, and one did not want to wait (any longer). owner.

    What it says of itself.
    """

    def __init__(self, message: str, owner: Mapping[str, Any]) -> None:
        super().__init__(message, owner)
        self.message, self.owner = message, owner

    def __str__(self) -> str:
        return self.message


@dataclass
class Lease:
    """A lock that is held. generation.

    Of its object; None once it is lost. about: what the lock says of its owner.
    """

    path: str
    seconds: float
    what: str
    about: Mapping[str, Any] = field(default_factory=dict)
    generation: int | None = None
    renewing: Any = field(default_factory=threading.Lock)

    def renew(self) -> None:
        """Call it before what must not happen twice.

        Raises UserError where another process has the lock: this one stood still for too long.
        """
        with self.renewing, translate_errors(self.path):
            self.generation = self._write(self.generation) if self.generation else None
            if self.generation is None:
                raise UserError(
                    f"Another process took over the lock {self.path} while this one stood still;"
                    f" nothing of {self.what} was kept here. Run again."
                )

    def _write(self, generation: int) -> int | None:
        """Writes the lock in place of a generation of it, 0 for none.

        None where there is another one.
        """
        content = json.dumps(
            {
                **self_description(),
                **self.about,
                "id": uuid.uuid4().hex,
                "lease_seconds": self.seconds,
            }
        ).encode()
        written = gcs.write_object(self.path, content, generation)
        if written is None:
            # Or the answer to the first try was lost, and the second one met what the first had
            # written
            found = gcs.read_object(self.path)
            written = found[1] if found and found[0] == content else None
        return written

    def _acquire(self, patience: float | None, until_alive: bool) -> None:
        started = time.monotonic()
        seen, since, told = 0, started, False
        while (written := self._write(0)) is None:
            found = gcs.read_object(self.path)
            if found is None:
                continue
            owner, generation = _owner(found[0]), found[1]
            name = f"process {owner.get('pid')} on {owner.get('host')}"
            if generation != seen:
                if until_alive and (seen or is_alive_here(owner)):
                    raise HeldError(
                        f"{name} works on {self.what} (its lock is {self.path}).", owner
                    )
                seen, since = generation, time.monotonic()
            if is_dead(owner) or time.monotonic() - since > _seconds(owner, self.seconds):
                log.info("%s is dead; its lock %s is taken over", name, self.path)
                gcs.delete_object(self.path, generation)
                continue
            if patience is not None and time.monotonic() - started >= patience:
                raise HeldError(
                    f"{name} works on {self.what} (its lock is {self.path}). Wait for it, or"
                    " stop it.",
                    owner,
                )
            if not told:
                log.warning(
                    "waiting: %s works on %s; should it be dead, its lock ends in %.0f s",
                    name,
                    self.what,
                    self.seconds,
                )
                told = True
            time.sleep(min(POLL_SECONDS, self.seconds / 10))
        self.generation = written

    def _renew_until(self, stop: threading.Event) -> None:
        while not stop.wait(self.seconds / 3):
            try:
                self.renew()
            except Exception as error:  # whoever calls renew() finds out by itself
                log.warning("the lock %s could not be renewed: %s", self.path, error)
                if self.generation is None:
                    return


@contextmanager
def held(
    path: str,
    what: str,
    *,
    seconds: float = LEASE_SECONDS,
    patience: float | None = None,
    until_alive: bool = False,
    about: Mapping[str, Any] | None = None,
) -> Iterator[Lease]:
    """Holds the lock of this gs:// name within the block.

    what: is locked, for people, such as "trainer 3f2a". patience: seconds to wait for another
    owner, None for as long as it lives. until_alive: wait only until it is known to live: it is a
    process of this machine, or it renewed its lock. about: told of this owner. Raises HeldError
    after that, UserError for a bucket that cannot be written.
    """
    lease = Lease(path, seconds, what, about or {})
    with translate_errors(path):
        lease._acquire(patience, until_alive)
    stop = threading.Event()
    renewing = threading.Thread(target=lease._renew_until, args=(stop,), daemon=True)
    renewing.start()
    try:
        yield lease
    finally:
        stop.set()
        renewing.join()
        # An object that stays is taken over by the next one, a lease later: no reason to fail what
        # is done.
        with suppress(UserError), translate_errors(path):
            if lease.generation:
                gcs.delete_object(path, lease.generation)


def self_description() -> dict[str, Any]:
    """What tells this process from others: host, pid, and which processes its pid is one of."""
    return {"host": platform.node(), "pid": os.getpid(), "processes": _processes()}


def _processes() -> str:
    """What tells apart machines, their boots and their containers.

    Only within one of these does a process's number mean something.
    """
    try:
        return (
            f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}"
            f" {os.readlink('/proc/self/ns/pid')}"
        )
    except OSError:
        return ""


def _owner(content: bytes) -> dict[str, Any]:
    with suppress(ValueError):
        found = json.loads(content)
        if isinstance(found, dict):
            return found
    return {}


def _seconds(owner: dict[str, Any], default: float) -> float:
    found = owner.get("lease_seconds")
    return float(found) if isinstance(found, int | float) else default


def is_dead(owner: Mapping[str, Any]) -> bool:
    """Whether the owner was a process of this machine that is gone."""
    return _is_running(owner) is False


def is_alive_here(owner: Mapping[str, Any]) -> bool:
    """Whether the owner is a process of this machine that runs."""
    return _is_running(owner) is True


def _is_running(owner: Mapping[str, Any]) -> bool | None:
    """None for a process of which this machine cannot tell."""
    pid = owner.get("pid")
    if not isinstance(pid, int) or not _processes() or owner.get("processes") != _processes():
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def is_alive(path: str, beside: str) -> bool:
    """Whether the owner of a lock that somebody else holds is alive.

    It renewed it within its lease. Waits for nothing.

    beside: a lock of one's own that is held: both times are the service's, so that no two clocks
    are compared.
    """
    with translate_errors(path):
        found, written, now = gcs.read_object(path), gcs.written(path), gcs.written(beside)
    if found is None or written is None or now is None:
        return False
    owner = _owner(found[0])
    # One's own lock was renewed within a third of a lease; a third more for requests that took
    # their time.
    return (
        not is_dead(owner)
        and (now - written).total_seconds() < _seconds(owner, LEASE_SECONDS) * 5 / 3
    )
