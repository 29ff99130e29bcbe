"""A local serving_dir."""

import fcntl
import logging
import os
import re
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seqline.errors import UserError

log = logging.getLogger("seqline.pusher")

LOCK = ".lock"
# Names that are no numbers are no versions to a server.
ASIDE, REMOVED = ".pushing-", ".removing-"


class Folder:
    """Versions in a folder: each appears by one rename, and goes by one.

    Raises UserError for a folder, or a version in it, that is a symlink: what it points to may be
    changed by others.
    """

    def __init__(self, path: str | Path) -> None:
        check_path(str(path))
        self.path = Path(path).absolute()
        self.place = str(self.path)

    def versions(self) -> list[int]:
        """The versions, in ascending order."""
        return sorted(int(path.name) for path in self._numbered() if path.is_dir())

    def taken(self) -> int:
        """The highest number that any name has."""
        return max((int(path.name) for path in self._numbered()), default=0)

    def _numbered(self) -> list[Path]:
        return [path for path in self.path.glob("*") if is_number(path.name)]

    def read(self, name: str) -> bytes | None:
        """A file by its path under serving_dir; None where there is none."""
        try:
            return (self.path / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def replace(self, name: str, content: bytes) -> None:
        """Writes a file; a reader sees the old one or the new one."""
        part = self.path / f".{name}-{uuid.uuid4().hex}"
        part.write_bytes(content)
        fsync(part)
        part.replace(self.path / name)
        fsync(self.path)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One push at a time.

        The system frees the lock of a process that dies. What such a one left goes first.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            self._wait(descriptor)
            for path in self._numbered():
                if path.is_symlink():
                    raise UserError(
                        f"{path} is a symlink to {os.readlink(path)}; a version must be a folder of"
                        " its own. Move it there."
                    )
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
            for left_over in (*self.path.glob(f"{ASIDE}*"), *self.path.glob(f"{REMOVED}*")):
                shutil.rmtree(left_over)
            for left_over in (
                *self.path.glob(".models.config-*"),
                *self.path.glob(".history.jsonl-*"),
            ):
                left_over.unlink()
            yield
        finally:
            os.close(descriptor)

    def _wait(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = (
                os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
            )
            log.warning("waiting: %s is pushing to %s", owner, self.path)
            fcntl.flock(descriptor, fcntl.LOCK_EX)

    @contextmanager
    def aside(self) -> Iterator[Path]:
        """A name for a folder in which a version is made.

        On the same file system, and none that a server looks at.
        """
        path = self.path / f"{ASIDE}{uuid.uuid4().hex}"
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def publish(self, aside: Path, version: int) -> None:
        """The one moment in which the version comes to be. Needs the lock."""
        os.rename(aside, self.path / str(version))
        fsync(self.path)

    @contextmanager
    def files(self, version: int) -> Iterator[Path]:
        """A folder with the files of a version. Needs the lock."""
        yield self.path / str(version)

    def remove(self, version: int) -> None:
        """Takes a version away by one rename, and then its files. Needs the lock."""
        removed = self.path / f"{REMOVED}{version}-{uuid.uuid4().hex}"
        os.rename(self.path / str(version), removed)
        fsync(self.path)
        shutil.rmtree(removed)


def is_number(name: str) -> bool:
    """Whether a server takes a name for a version: a 64 bit integer, such as 12."""
    return re.fullmatch(r"0|[1-9][0-9]{0,18}", name) is not None and int(name) < 2**63


def check_path(path: str) -> None:
    """Raises UserError for a place whose meaning hangs on something else.

    `..`, or a symlink as its last part.
    """
    if not path or "\0" in path:
        raise UserError(
            f"pusher.serving_dir {path!r} names no folder. Name one with --set"
            " pusher.serving_dir=..."
        )
    if ".." in Path(path).parts:
        raise UserError(
            f"pusher.serving_dir {path!r} goes up by '..'; write it as {os.path.realpath(path)!r}."
        )
    if os.path.islink(path):
        raise UserError(
            f"pusher.serving_dir {path!r} is a symlink; name the folder itself,"
            f" {os.path.realpath(path)!r}."
        )


def fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
