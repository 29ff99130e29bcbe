"""One owner at a time, for a name in a local folder or in a bucket.

In a folder the owner holds a file by flock. The system frees it when the process ends, however it
ends. In a bucket the lock is an object with a lease (`seqline.storage.lease`). Both say who the
owner is, so that a process that waits, or is refused, can name it.

Not every file system that several machines share tells one of them what another one locked. Where
that matters (`on_shared_disk`) the owner also writes into its file three times in a lease, and a
process on another machine waits until it sees that, or for a whole lease.
"""

import fcntl
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from seqline.host import owner
from seqline.storage import lease
from seqline.storage.atomic import open_regular
from seqline.storage.files import is_remote, parse_object
from seqline.storage.lease import LEASE_SECONDS, HeldError

__all__ = ["LEASE_SECONDS", "HeldError", "held", "is_held"]

# Between two looks for a sign of life of an owner on another machine.
POLL_SECONDS = 0.2
# So often for the name of an owner on this machine.
NUM_LOOKS = 5
# More than any owner writes about itself.
MAX_BYTES = 10_000


@contextmanager
def held(
    place: Path,
    doing: str,
    *,
    waits: bool = True,
    on_shared_disk: bool = False,
    seconds: float = LEASE_SECONDS,
) -> Iterator[Callable[[], None]]:
    """Holds the lock within the block.

    Args:
        place: the lock, a Path or an ObjectPath. It may be deleted while no process holds it.
        doing: what the owner does, for people: "making trainer 3f2a".
        waits: wait as long as another owner lives. False raises HeldError as soon as the other
            owner is known to live, which takes a lease at most.
        on_shared_disk: do not rely on flock alone.
        seconds: the lease. An owner that gives no sign of life for so long is dead.

    Yields:
        A function to call before what must not happen twice. It raises UserError where another
        process took the lock over, because this one stood still for a lease.

    Raises:
        HeldError: another process holds the lock.
        OSError: the file cannot be written.
        UserError: the bucket cannot be written, or the file is something else, such as a link.
    """
    if is_remote(str(place)):
        with lease.held(str(place), doing, waits, seconds) as held_lease:
            yield held_lease.renew
        return

    holder = {**owner.lock_holder(), "doing": doing, "lease_seconds": seconds}
    with ExitStack() as stack:
        descriptor = stack.enter_context(_flocked(place, doing, waits))
        if on_shared_disk:
            _wait_for_a_sign_of_life(descriptor, doing, str(place))

        _write(descriptor, holder)
        stack.callback(os.ftruncate, descriptor, 0)
        if on_shared_disk:
            stack.enter_context(_renewing(descriptor, holder))
        yield lambda: None


def is_held(place: Path, own_lock: Path) -> bool:
    """Whether a living process holds the lock; does not wait.

    Args:
        place: the lock.
        own_lock: a lock that this process holds. In a bucket it tells the service's time.
    """
    if is_remote(str(place)):
        return lease.is_held(str(place), str(own_lock))
    try:
        descriptor = open_regular(place, os.O_RDONLY, may_be_linked=True)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def _flocked(path: Path, doing: str, waits: bool) -> Iterator[int]:
    """The descriptor of the file, which this process holds by flock within the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = open_regular(path, os.O_RDWR | os.O_CREAT, may_be_linked=True)
        try:
            _flock(descriptor, doing, waits, str(path))
            # While this process waited, `pipeline.gc` may have deleted the file; others then lock
            # a new one.
            if not _is_still(path, descriptor):
                continue
            if os.fstat(descriptor).st_nlink > 1:
                # The file has another name, by `cp -al` or on purpose: what is behind that name
                # stays as it is, and the lock gets a file of its own.
                path.unlink()
            else:
                yield descriptor
                return
        finally:
            os.close(descriptor)


def _flock(descriptor: int, doing: str, waits: bool, path: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _read_soon(descriptor)
        if not waits:
            raise HeldError(holder, doing, path) from None
        lease.log.warning("waiting: %s", lease.sentence(holder, doing))
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _read_soon(descriptor: int) -> dict[str, Any]:
    """What an owner says about itself: one that has just locked the file has yet to write it."""
    for _ in range(NUM_LOOKS):
        if holder := _read(descriptor):
            return holder
        time.sleep(POLL_SECONDS)
    return {}


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _wait_for_a_sign_of_life(descriptor: int, doing: str, path: str) -> None:
    """Waits for a lease, where the file names an owner on another machine.

    Raises:
        HeldError: that owner wrote into the file meanwhile.
    """
    holder = _read(descriptor)
    # An owner of this boot has released the file or has ended: this system would know its lock.
    if not holder or owner.is_of_this_boot(holder):
        return

    started = time.monotonic()
    while time.monotonic() - started < lease.lease_seconds(holder, LEASE_SECONDS):
        time.sleep(POLL_SECONDS)
        now = _read(descriptor)
        if now and now.get("beat") != holder.get("beat"):
            raise HeldError(now, doing, path)


@contextmanager
def _renewing(descriptor: int, holder: dict[str, Any]) -> Iterator[None]:
    """Writes into the file three times in a lease within the block."""
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(holder["lease_seconds"] / 3):
            _write(descriptor, holder)
            with suppress(OSError):
                os.fsync(descriptor)

    os.fsync(descriptor)
    thread = threading.Thread(target=renew, daemon=True)
    thread.start()

    try:
        yield
    finally:
        stop.set()
        thread.join()


def _write(descriptor: int, holder: dict[str, Any]) -> None:
    content = json.dumps({**holder, "beat": uuid.uuid4().hex}).encode()
    # The lock is held even where the disk is full: `seqline gc` needs it to make room.
    with suppress(OSError):
        os.pwrite(descriptor, content, 0)
        os.ftruncate(descriptor, len(content))


def _read(descriptor: int) -> dict[str, Any]:
    with suppress(OSError):
        return parse_object(os.pread(descriptor, MAX_BYTES, 0)) or {}
    return {}
