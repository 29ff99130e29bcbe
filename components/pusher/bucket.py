"""A serving_dir in a bucket, where nothing can be renamed.

A version exists when its saved_model.pb does, which is uploaded last.
"""

import base64
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from components.pusher.folder import LOCK, is_number
from seqline.errors import UserError
from seqline.storage import locks, objects
from seqline.storage.files import translate_errors
from seqline.storage.staging import path_of

SAVED_MODEL_PB = "saved_model.pb"


class Bucket:
    """Versions in a bucket, under <scheme>://<bucket>/<path>.

    Attributes:
        place: the path.

    Raises:
        UserError: the bucket does not exist or gives no access.
    """

    def __init__(self, path: str, lease_seconds: float = locks.LEASE_SECONDS) -> None:
        scheme, bucket, name = objects.split(path)
        if not bucket or not name.strip("/") or {"", ".", ".."} & set(name.rstrip("/").split("/")):
            raise UserError(f"pusher.serving_dir {path!r} names no place: {scheme}<bucket>/<path>.")
        self.place = path.rstrip("/")
        self.lease_seconds = lease_seconds
        self._renew_lock: Callable[[], None] | None = None

    def versions(self) -> list[int]:
        """The versions that are whole, in ascending order."""
        names = [name.split("/") for name in self._names()]
        return sorted(
            {
                int(parts[0])
                for parts in names
                if len(parts) == 2 and parts[1] == SAVED_MODEL_PB and is_number(parts[0])
            }
        )

    def path_of(self, version: int) -> str:
        """The path of a version: of 12 and 0012 the one that a server takes, the shorter name."""
        names = [name.partition("/")[0] for name in self._names()]
        named = [name for name in names if is_number(name) and int(name) == version]
        return self._path(min(named, key=len, default=str(version)))

    def highest_number(self) -> int:
        """The highest number of a whole version, 0 without one.

        What a killed push left under a higher number is removed before the next push.
        """
        return max(self.versions(), default=0)

    def read(self, name: str) -> bytes | None:
        """An object by its path under serving_dir; None where it does not exist."""
        with translate_errors(self._path(name)):
            return objects.read(self._path(name))

    def replace(self, name: str, content: bytes) -> None:
        """Writes an object; a reader sees the old content or the new one."""
        with translate_errors(self._path(name)):
            objects.write_object(self._path(name), content)

    @contextmanager
    def replacing(self, name: str, content: bytes) -> Iterator[None]:
        """Writes an object when the block ends well."""
        yield
        self.replace(name, content)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lets one push in at a time, and first removes what a killed one left."""
        place = path_of(self._path(LOCK))
        doing = f"pushing to {self.place}"
        with locks.held(place, doing, seconds=self.lease_seconds) as self._renew_lock:
            with translate_errors(self.place):
                self._remove_left_overs()
            yield

    @contextmanager
    def aside(self) -> Iterator[Path]:
        """A local folder in which to make a version."""
        with tempfile.TemporaryDirectory(prefix="seqline-push-") as folder:
            yield Path(folder) / "version"

    def publish(self, aside: Path, version: int) -> None:
        """Uploads the folder as a version. Needs the lock.

        saved_model.pb comes last, and only if the lock is still this process's.
        """
        files = [path.relative_to(aside).as_posix() for path in aside.rglob("*") if path.is_file()]
        for name in sorted(files, key=lambda name: (name == SAVED_MODEL_PB, name)):
            path = self._path(f"{version}/{name}")
            if name == SAVED_MODEL_PB:
                assert self._renew_lock is not None, "publish needs the lock"
                self._renew_lock()

            with translate_errors(path):
                written = objects.write_object(path, aside / name, objects.ABSENT)

            if written is None and not _has_content(path, aside / name):
                raise UserError(
                    f"{path} exists already: another program writes to {self.place}. "
                    "Nothing was pushed. Run again."
                )

    @contextmanager
    def files(self, version: int) -> Iterator[Path]:
        """A local folder with the files of a version."""
        with tempfile.TemporaryDirectory(prefix="seqline-version-") as folder:
            for name in self._names(f"{version}/"):
                target = Path(folder, name)
                if ".." in target.parts or not target.is_relative_to(folder):
                    raise UserError(
                        f"{self._path(name)} cannot be the name of a model's file. Delete it."
                    )

                target.parent.mkdir(parents=True, exist_ok=True)
                with (
                    translate_errors(self._path(name)),
                    objects.open_object(self._path(name)) as source,
                    target.open("wb") as copy,
                ):
                    shutil.copyfileobj(source, copy)

            yield Path(folder, str(version))

    def remove(self, version: int) -> None:
        """Removes a version, its saved_model.pb first. Needs the lock."""
        mark = f"{version}/{SAVED_MODEL_PB}"
        for name in sorted(self._names(f"{version}/"), key=lambda name: name != mark):
            with translate_errors(self._path(name)):
                objects.delete_object(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self.place}/{name}"

    def _names(self, prefix: str = "") -> list[str]:
        with translate_errors(self.place):
            paths = [path for path, *_ in objects.find(self._path(prefix))]
        return [path.removeprefix(f"{self.place}/") for path in paths]

    def _remove_left_overs(self) -> None:
        whole = {str(version) for version in self.versions()}
        for name in self._names():
            number, slash, _ = name.partition("/")
            # A push writes 12 and never 0012, which is somebody else's.
            is_ours = slash and is_number(number) and number == str(int(number))
            if is_ours and number not in whole:
                objects.delete_object(self._path(name))


def _has_content(path: str, file: Path) -> bool:
    """Whether an object has the content of a file: the answer to a first try may have been lost."""
    with file.open("rb") as content:
        if checksum := objects.checksum(path):
            return hashlib.file_digest(content, "sha256").hexdigest() == checksum
        md5 = base64.b64encode(hashlib.file_digest(content, "md5").digest()).decode()
    return any(name == path and digest == f"md5:{md5}" for name, _, digest in objects.find(path))
