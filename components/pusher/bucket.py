"""A serving_dir in Google Cloud Storage, where nothing can be renamed.

A version is there when its saved_model.pb is, which comes last.
"""

import base64
import hashlib
import json
import logging
import os
import shutil
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.pusher.folder import LOCK, is_number
from seqline.errors import UserError
from seqline.storage import gcs
from seqline.storage.files import translate_errors

log = logging.getLogger("seqline.pusher")

# A push that is alive renews its lock three times within this; one that did not, for so long, is
# dead.
LEASE_SECONDS = 60.0
POLL_SECONDS = 1.0
SAVED_MODEL_PB = "saved_model.pb"


class Bucket:
    """Versions under gs://bucket/path.

    Raises UserError for a bucket that is not there or gives no access.
    """

    def __init__(self, path: str, lease_seconds: float = LEASE_SECONDS) -> None:
        bucket, _, name = path.removeprefix(gcs.PREFIX).partition("/")
        if not bucket or not name.strip("/") or {"", ".", ".."} & set(name.rstrip("/").split("/")):
            raise UserError(f"pusher.serving_dir {path!r} names no place: gs://<bucket>/<path>.")
        self.place = path.rstrip("/")
        self.lease_seconds = lease_seconds
        self.held: int | None = None  # the generation of our own lock
        self.holding = threading.Lock()

    def versions(self) -> list[int]:
        """The versions that are whole, in ascending order."""
        numbers = [name.split("/") for name in self._names()]
        return sorted(
            int(parts[0])
            for parts in numbers
            if len(parts) == 2 and parts[1] == SAVED_MODEL_PB and is_number(parts[0])
        )

    def taken(self) -> int:
        """The highest number of a whole version.

        What a killed push left under another one is in nobody's way.
        """
        return max(self.versions(), default=0)

    def read(self, name: str) -> bytes | None:
        """An object by its path under serving_dir; None where there is none."""
        with translate_errors(self._path(name)):
            found = gcs.read_object(self._path(name))
        return None if found is None else found[0]

    def replace(self, name: str, content: bytes) -> None:
        """Writes an object; a reader sees the old one or the new one."""
        with translate_errors(self._path(name)):
            gcs.write_object(self._path(name), content)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One push at a time, by an object that only one can create.

        What a killed push left goes first.
        """
        stop = threading.Event()
        renewing = threading.Thread(target=self._renew_until, args=(stop,), daemon=True)
        with translate_errors(self._path(LOCK)):
            self._acquire()
        try:
            renewing.start()
            self._remove_left_overs()
            yield
        finally:
            stop.set()
            renewing.join()
            with translate_errors(self._path(LOCK)):
                self._release()

    @contextmanager
    def aside(self) -> Iterator[Path]:
        """A local folder in which a version is made."""
        with tempfile.TemporaryDirectory(prefix="seqline-push-") as folder:
            yield Path(folder) / "version"

    def publish(self, aside: Path, version: int) -> None:
        """Uploads, saved_model.pb last and only as long as the lock is ours. Needs the lock."""
        files = sorted(
            path.relative_to(aside).as_posix() for path in aside.rglob("*") if path.is_file()
        )
        for name in sorted(files, key=lambda name: name == SAVED_MODEL_PB):
            path = self._path(f"{version}/{name}")
            if name == SAVED_MODEL_PB:
                self._renew()
            with translate_errors(path):
                written = gcs.write_object(path, aside / name, generation=0)
            if written is None and not _is_there(path, aside / name):
                raise UserError(
                    f"{path} is already there: somebody else writes to {self.place}. Nothing was"
                    " pushed; run again."
                )

    @contextmanager
    def files(self, version: int) -> Iterator[Path]:
        """A local folder with the files of a version."""
        with tempfile.TemporaryDirectory(prefix="seqline-version-") as folder:
            for name in self._names(f"{version}/"):
                target = Path(folder, name)
                if ".." in target.parts or not target.is_relative_to(folder):
                    raise UserError(f"{self._path(name)} is no name of a model's file. Delete it.")
                target.parent.mkdir(parents=True, exist_ok=True)
                with (
                    translate_errors(self._path(name)),
                    gcs.open_object(self._path(name)) as source,
                    target.open("wb") as copy,
                ):
                    shutil.copyfileobj(source, copy)
            yield Path(folder, str(version))

    def remove(self, version: int) -> None:
        """Takes a version away, its saved_model.pb first. Needs the lock."""
        for name in sorted(
            self._names(f"{version}/"), key=lambda name: name != f"{version}/{SAVED_MODEL_PB}"
        ):
            with translate_errors(self._path(name)):
                gcs.delete_object(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self.place}/{name}"

    def _names(self, prefix: str = "") -> list[str]:
        with translate_errors(self.place):
            return [
                path.removeprefix(f"{self.place}/") for path, *_ in gcs.find(self._path(prefix))
            ]

    def _remove_left_overs(self) -> None:
        whole = {str(version) for version in self.versions()}
        for name in self._names():
            number, slash, _ = name.partition("/")
            if slash and is_number(number) and number not in whole:
                gcs.delete_object(self._path(name))

    # The lock

    def _acquire(self) -> None:
        """Creates the lock's object.

        A waiting push looks at its generation: one that stays the same for a whole lease, by the
        waiting one's own clock, is of a push that is dead.
        """
        path = self._path(LOCK)
        seen, since, told = 0, time.monotonic(), False
        while (written := self._write_lock(0)) is None:
            found = gcs.read_object(path)
            if found is None:
                continue
            owner, generation = found
            if not told:
                log.warning("waiting: %s is pushing to %s", _name(owner), self.place)
                told = True
            if generation != seen:
                seen, since = generation, time.monotonic()
            elif time.monotonic() - since > _lease(owner, self.lease_seconds):
                log.warning(
                    "%s did not renew its lock on %s: it is taken over", _name(owner), self.place
                )
                gcs.delete_object(path, generation)
                continue
            time.sleep(min(POLL_SECONDS, self.lease_seconds / 10))
        self.held = written

    def _write_lock(self, generation: int) -> int | None:
        """Writes the lock in place of a generation of it; None where there is another one."""
        owner = f"process {os.getpid()} on {socket.gethostname()}"
        content = json.dumps(
            {"owner": owner, "id": uuid.uuid4().hex, "lease_seconds": self.lease_seconds}
        ).encode()
        written = gcs.write_object(self._path(LOCK), content, generation)
        if written is None:
            # Or the answer to the first try was lost, and the second one met what the first had
            # written
            found = gcs.read_object(self._path(LOCK))
            written = found[1] if found and found[0] == content else None
        return written

    def _renew(self) -> None:
        """Raises UserError where another one took the lock over.

        This process was away for too long.
        """
        with self.holding:
            written = self._write_lock(self.held) if self.held else None
            self.held = written
        if written is None:
            raise UserError(
                f"Another push took over {self.place} while this one stood still; run again."
            )

    def _renew_until(self, stop: threading.Event) -> None:
        while not stop.wait(self.lease_seconds / 3):
            try:
                self._renew()
            except UserError:
                return  # whoever publishes finds out by itself
            except Exception as error:
                log.warning("the lock on %s could not be renewed: %s", self.place, error)

    def _release(self) -> None:
        with self.holding:
            if self.held:
                gcs.delete_object(self._path(LOCK), self.held)
            self.held = None


def _is_there(path: str, file: Path) -> bool:
    """Whether an object has the content of a file: the answer to a first try may have been lost."""
    with file.open("rb") as content:
        md5 = base64.b64encode(hashlib.file_digest(content, "md5").digest()).decode()
    return [content for found, _, content in gcs.find(path) if found == path] == [f"md5:{md5}"]


def _name(owner: bytes) -> str:
    try:
        return str(json.loads(owner)["owner"])[:200]
    except (ValueError, KeyError, TypeError):
        return "another process"


def _lease(owner: bytes, default: float) -> float:
    try:
        return float(json.loads(owner)["lease_seconds"])
    except (ValueError, KeyError, TypeError):
        return default
