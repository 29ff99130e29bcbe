"""One retraining of a model at a time on a root.

Whoever finds it busy is told by whom; the lock of an owner that died is taken over.

Under gs:// it is an object with a lease (seqline.storage.lease). In a folder it is a file that its
owner holds by flock: the system frees it when the process ends, however that ends. Not every file
system that machines share tells one of them what another one locked: so the owner also writes into
the file three times in a lease, and one that comes from another machine waits until it sees that,
or for a whole lease.
"""

import fcntl
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.retrain import BUSY, EXIT_CODES
from pipeline.store.folder import Store
from seqline.errors import UserError
from seqline.host import owner
from seqline.storage import lease
from seqline.storage.files import is_remote

NAME = "retrain"


class BusyError(UserError):
    """Another retraining of the model is at work on the root."""

    exit_code = EXIT_CODES[BUSY]

    def __init__(self, found: Mapping[str, Any], model: str, root: str) -> None:
        super().__init__(f"{owner.name(found)} is retraining {model} under {root}")


@contextmanager
def held(store: Store, model: str, seconds: float) -> Iterator[None]:
    """Holds the lock of a model, by its name, on the root.

    Raises BusyError where another process does, UserError for a root that cannot be written.
    """
    me = owner.who()
    path = store.root / "locks" / f"{NAME}-{model}"
    if is_remote(str(path)):
        try:
            with lease.held(
                str(path), f"the retraining of {model}", seconds=seconds, until_alive=True, about=me
            ):
                yield
        except lease.HeldError as error:
            raise BusyError(error.owner, model, str(store.root)) from None
        return
    with _held_file(
        path, {**lease.self_description(), **me, "lease_seconds": seconds}, model, str(store.root)
    ):
        yield


@contextmanager
def _held_file(path: Path, me: Mapping[str, Any], model: str, root: str) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(
            f"root {root!r} cannot be written: {error.strerror}. Name another with --root."
        ) from None
    stop = threading.Event()
    beating = threading.Thread(target=_beat, args=(descriptor, me, stop), daemon=True)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BusyError(_read(descriptor), model, root) from None
        _wait_for_a_beat(descriptor, me, model, root)
        _write(descriptor, me)
        beating.start()
        yield
        stop.set()
        beating.join()
        os.ftruncate(descriptor, 0)  # nobody has it: not even one that died
    finally:
        stop.set()
        os.close(descriptor)


def _wait_for_a_beat(descriptor: int, me: Mapping[str, Any], model: str, root: str) -> None:
    """Raises BusyError where the file's owner is on another machine, whose lock this one was not
    told of, and lives.
    """
    before = _read(descriptor)
    if not before or _boot(before) == _boot(
        me
    ):  # released, or its process is gone: this system would know its lock
        return
    lasts = before.get("lease_seconds")
    started = time.monotonic()
    while time.monotonic() - started < (
        lasts if isinstance(lasts, int | float) else lease.LEASE_SECONDS
    ):
        time.sleep(0.2)
        found = _read(descriptor)
        if found and found.get("beat") != before.get("beat"):
            raise BusyError(found, model, root)


def _boot(found: Mapping[str, Any]) -> str:
    return str(found.get("processes", "")).partition(" ")[0]


def _beat(descriptor: int, me: Mapping[str, Any], stop: threading.Event) -> None:
    while not stop.wait(me["lease_seconds"] / 3):
        with suppress(OSError):
            _write(descriptor, me)


def _write(descriptor: int, me: Mapping[str, Any]) -> None:
    content = json.dumps({**me, "beat": uuid.uuid4().hex}).encode()
    os.pwrite(descriptor, content, 0)
    os.ftruncate(descriptor, len(content))
    os.fsync(descriptor)


def _read(descriptor: int) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        found = json.loads(os.pread(descriptor, 10_000, 0))
        if isinstance(found, dict):
            return found
    return {}
