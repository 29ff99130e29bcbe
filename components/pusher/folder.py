"""A local serving_dir."""

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.pusher.labels import MODELS_CONFIG
from seqline.errors import UserError
from seqline.storage import locks
from seqline.storage.atomic import fsync, writing_local

LOCK = ".lock"
# What people did by hand, a JSON object a line; servers do not look at it.
HISTORY = "history.jsonl"
# A server takes no name for a version that is not a number.
ASIDE, REMOVED = ".pushing-", ".removing-"


class Folder:
    """Versions in a folder: each appears by one rename, and disappears by one.

    Attributes:
        path: the folder, absolute.
        place: the same as text.

    Raises:
        UserError: the folder, or a version in it, is a symlink. Others may change what it points
            to.
    """

    def __init__(self, path: str | Path) -> None:
        check_path(str(path))
        self.path = Path(path).absolute()
        self.place = str(self.path)

    def versions(self) -> list[int]:
        """The versions, in ascending order."""
        return sorted({int(path.name) for path in self._numbered() if path.is_dir()})

    def highest_number(self) -> int:
        """The highest number that any name has; 0 without one."""
        return max((int(path.name) for path in self._numbered()), default=0)

    def _numbered(self) -> list[Path]:
        return [path for path in self.path.glob("*") if is_number(path.name)]

    def _folder(self, version: int) -> Path:
        """The folder of a version: of 12 and 0012 the one that a server takes, the shorter name."""
        named = [path for path in self._numbered() if int(path.name) == version]
        return min(named, key=lambda path: len(path.name), default=self.path / str(version))

    def path_of(self, version: int) -> str:
        """The path of a version."""
        return str(self._folder(version))

    def read(self, name: str) -> bytes | None:
        """A file by its path under serving_dir; None where it does not exist.

        Raises:
            UserError: it is something else, or cannot be read.
        """
        version, _, rest = name.partition("/")
        path = self._folder(int(version)) / rest if is_number(version) else self.path / name
        try:
            if path.exists() and not path.is_file():
                raise UserError(f"{path} is not a file. Remove it.")
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise UserError(
                f"{path} cannot be read ({error.strerror or error}). "
                "Make it readable, or remove it."
            ) from None

    def replace(self, name: str, content: bytes) -> None:
        """Writes a file; a reader sees the old content or the new one."""
        with self.replacing(name, content):
            pass

    @contextmanager
    def replacing(self, name: str, content: bytes) -> Iterator[None]:
        """Writes a file that appears when the block ends well.

        It is on the disk before the block begins, so that then a rename is all that is left to do.
        """
        with writing_local(self.path / name, to_disk=True) as part:
            Path(part).write_bytes(content)
            fsync(part)
            yield

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lets one push in at a time, and first removes what a killed one left."""
        with locks.held(self.path / LOCK, f"pushing to {self.place}"):
            for path in self._numbered():
                if path.is_symlink():
                    raise UserError(
                        f"{path} is a symlink to {os.readlink(path)}. "
                        "A version must be a folder of its own: move it there."
                    )

            for prefix in (ASIDE, REMOVED):
                for left_over in self.path.glob(f"{prefix}*"):
                    shutil.rmtree(left_over)

            for name in (MODELS_CONFIG, HISTORY):
                for left_over in self.path.glob(f"{name}.*.part"):
                    left_over.unlink()
            yield

    @contextmanager
    def aside(self) -> Iterator[Path]:
        """A name for a folder in which to make a version.

        It is on the same file system, and servers do not look at it.
        """
        path = self.path / f"{ASIDE}{uuid.uuid4().hex}"
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def publish(self, aside: Path, version: int) -> None:
        """Makes the folder a version, by one rename. Needs the lock."""
        os.rename(aside, self.path / str(version))
        fsync(self.path)

    @contextmanager
    def files(self, version: int) -> Iterator[Path]:
        """A folder with the files of a version. Needs the lock."""
        yield self._folder(version)

    def remove(self, version: int) -> None:
        """Removes a version by one rename, then its files. Needs the lock."""
        removed = self.path / f"{REMOVED}{version}-{uuid.uuid4().hex}"
        os.rename(self._folder(version), removed)
        fsync(self.path)
        shutil.rmtree(removed)


def is_number(name: str) -> bool:
    """Whether a server takes a name for a version: a 64 bit integer, such as 12 or 0012."""
    return re.fullmatch("[0-9]{1,255}", name) is not None and int(name) < 2**63


def check_path(path: str) -> None:
    """Refuses a path whose meaning can change: one with `..`, or a symlink as its last part.

    Raises:
        UserError: the path is such a one, or no path.
    """
    if not path or "\0" in path:
        raise UserError(
            f"pusher.serving_dir {path!r} names no folder. "
            "Name one with --set pusher.serving_dir=..."
        )

    if ".." in Path(path).parts:
        raise UserError(
            f"pusher.serving_dir {path!r} goes up by '..'; write it as {os.path.realpath(path)!r}."
        )
    if os.path.islink(path):
        raise UserError(
            f"pusher.serving_dir {path!r} is a symlink; name the folder itself, "
            f"{os.path.realpath(path)!r}."
        )
