"""A lock in a bucket; use it through `seqline.storage.locks`.

The lock is an object that only one process can create, and that its owner renews as long as it
lives. When its owner is done it is deleted or, where the service cannot do that on a condition,
made empty; then only one process can write it. A process that waits looks at the object's version.
If it stays the same for a whole lease, by the clock of the process that waits, the owner is dead
and the lock is taken over. Clocks of two machines are never compared. If the owner was a process of
this machine that has ended, its lock is taken over at once.
"""

import json
import logging
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from seqline.errors import UserError
from seqline.host import owner
from seqline.storage import conditions, objects
from seqline.storage.files import parse_object, translate_errors

log = logging.getLogger("seqline.locks")

# An owner that is alive renews its lock three times in this time: long enough for a service that
# does not answer for half a minute.
LEASE_SECONDS = 60.0
# A longer lease is damage: nobody waits for it.
MOST_SECONDS = 7 * 86400.0
# Between two looks at another owner's lock: soon at first, then less often.
FIRST_POLL_SECONDS, LAST_POLL_SECONDS = 0.05, 2.0


class HeldError(UserError):
    """Another process holds the lock.

    Attributes:
        holder: what the lock says about its owner.
    """

    def __init__(self, holder: Mapping[str, Any], doing: str, path: str) -> None:
        super().__init__(
            f"{sentence(holder, doing)} (its lock is {path}). Wait for it, or stop it."
        )
        self.holder = holder


class Lease:
    """An object that this process tries to hold, or holds.

    Attributes:
        version: the object's, None while the lock is not held and once it is lost.
    """

    def __init__(self, path: str, doing: str, seconds: float) -> None:
        self.path = path
        self.doing = doing
        self.seconds = seconds
        self.version: objects.Version | None = None
        self._holder = {**owner.lock_holder(), "doing": doing, "lease_seconds": seconds}
        self._renewing = threading.Lock()

    def renew(self) -> None:
        """Renews the lock; call it before what must not happen twice.

        Raises:
            UserError: another process took the lock over, because this one stood still too long.
        """
        with self._renewing, translate_errors(self.path):
            self.version = self._write(self.version) if self.version else None
            if self.version is None:
                raise UserError(
                    f"This process stood still for too long while {self.doing}, and another one"
                    f" took over its lock {self.path}. Nothing was kept. Run again."
                )

    def acquire(self, waits: bool) -> None:
        """Creates the object, as soon as no living process holds it.

        Raises:
            HeldError: `waits` is False, and the owner is known to be alive: it runs on this
                machine, or it renewed its lock.
        """
        seen_version, seen_at = objects.ABSENT, time.monotonic()
        poll_seconds = min(FIRST_POLL_SECONDS, self.seconds / 10)
        is_told = False

        while (written := self._write(objects.ABSENT)) is None:
            current = objects.read_object(self.path)
            if current is None:
                continue

            content, version = current
            if not content:  # its last owner gave it up, where nothing can be deleted on condition
                if (written := self._write(version)) is not None:
                    break
                continue

            holder = parse_object(content) or {}

            if version != seen_version:
                if not waits and (seen_version or owner.is_alive(holder)):
                    raise HeldError(holder, self.doing, self.path)
                seen_version, seen_at = version, time.monotonic()

            is_expired = time.monotonic() - seen_at > lease_seconds(holder, self.seconds)
            if is_expired or owner.is_alive(holder) is False:
                log.info(
                    "%s did not renew its lock %s: it is taken over",
                    owner.name(holder),
                    self.path,
                )
                objects.give_up(self.path, version)
                continue

            if not is_told:
                log.warning("waiting: %s", sentence(holder, self.doing))
                is_told = True

            time.sleep(poll_seconds)
            poll_seconds = min(2 * poll_seconds, LAST_POLL_SECONDS, self.seconds / 10)

        self.version = written

    def release(self) -> None:
        """Deletes the object, unless another process took it over."""
        if self.version:
            objects.give_up(self.path, self.version)

    def renew_until(self, stop: threading.Event) -> None:
        """Renews the lock three times in a lease, until it is told to stop or the lock is lost."""
        while not stop.wait(self.seconds / 3):
            try:
                self.renew()
            except Exception as error:  # the caller of renew() finds out by itself
                log.warning("the lock %s could not be renewed: %s", self.path, error)
                if self.version is None:
                    return

    def _write(self, version: objects.Version) -> objects.Version | None:
        """Writes the object in place of one version of it, ABSENT for none.

        Returns:
            The new version, None where the object has another one.
        """
        content = json.dumps({**self._holder, "id": uuid.uuid4().hex}).encode()
        written = objects.write_object(self.path, content, version)
        if written is None:
            # Perhaps the answer to the first try was lost, and the second try met what the first
            # one had written.
            current = objects.read_object(self.path)
            written = current[1] if current and current[0] == content else None
        return written


@contextmanager
def held(path: str, doing: str, waits: bool, seconds: float) -> Iterator[Lease]:
    """Holds the object within the block; see `locks.held`."""
    conditions.check(path.rpartition("/")[0])
    lease = Lease(path, doing, seconds)
    with translate_errors(path):
        lease.acquire(waits)

    stop = threading.Event()
    renewing = threading.Thread(target=lease.renew_until, args=(stop,), daemon=True)
    renewing.start()

    try:
        yield lease
    finally:
        stop.set()
        renewing.join()
        # An object that stays is taken over by the next process, a lease later. That is no reason
        # to fail what is done.
        with suppress(UserError), translate_errors(path):
            lease.release()


def is_held(path: str, own_lock: str) -> bool:
    """Whether a living process holds the lock; does not wait. See `locks.is_held`."""
    with translate_errors(path):
        content = objects.read(path)
        written = objects.written(path)
        now = objects.written(own_lock)

    if not content or written is None or now is None:
        return False

    holder = parse_object(content) or {}
    if owner.is_alive(holder) is False:
        return False

    # This process's own lock was renewed within a third of a lease. A third more is for requests
    # that took their time.
    return (now - written).total_seconds() < lease_seconds(holder, LEASE_SECONDS) * 5 / 3


def lease_seconds(holder: Mapping[str, Any], default: float) -> float:
    """The lease that an owner promised to renew its lock within; the default if it is damaged."""
    seconds = holder.get("lease_seconds")
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        return default
    return float(seconds) if 0 < seconds <= MOST_SECONDS else default


def sentence(holder: Mapping[str, Any], doing: str) -> str:
    """`process 12 on host is making trainer 3f2a`.

    Args:
        holder: what the lock says about its owner.
        doing: what it does, if the lock does not say so.
    """
    return f"{owner.name(holder)} is {holder.get('doing') or doing}"
