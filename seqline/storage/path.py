"""A place in a bucket with as much of pathlib's interface as components ask of a Path.

An object store has no folders: `mkdir` does nothing, a glob finds objects only, and what is written
appears whole or not at all. Nothing is cached. `os.fspath` refuses an ObjectPath, so that no
library takes it for a local file; `seqline.storage.staging` makes a local copy.
"""

import re
from collections.abc import Iterator
from functools import total_ordering
from pathlib import PurePosixPath
from typing import Any

from seqline.storage import objects
from seqline.storage.files import translate_errors
from seqline.storage.listing import translate


@total_ordering
class ObjectPath:
    """<scheme>://<bucket>/<name>.

    Methods that ask the service raise UserError or DataError: no bucket, no access, no answer.
    """

    def __init__(self, path: str) -> None:
        assert objects.is_remote(path), path
        self.scheme, self.bucket, name = objects.split(path)
        self.pure = PurePosixPath(name)

    def __str__(self) -> str:
        return f"{self._top}{'' if str(self.pure) == '.' else self.pure}"

    def __repr__(self) -> str:
        return f"ObjectPath({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectPath) and str(self) == str(other)

    def __lt__(self, other: "ObjectPath") -> bool:
        """Compares the names between the slashes, as Path does: assets before assets.extra."""
        return (self._top, self.pure) < (other._top, other.pure)

    def __hash__(self) -> int:
        return hash(str(self))

    # Names

    def __truediv__(self, name: Any) -> "ObjectPath":
        return self._at(self.pure / name)

    @property
    def _top(self) -> str:
        """The bucket's own path, with the slash at its end."""
        return f"{self.scheme}{self.bucket}/"

    def _at(self, pure: PurePosixPath) -> "ObjectPath":
        return ObjectPath(f"{self._top}{pure}")

    @property
    def name(self) -> str:
        return self.pure.name

    @property
    def stem(self) -> str:
        return self.pure.stem

    @property
    def parent(self) -> "ObjectPath":
        return self._at(self.pure.parent)

    def with_name(self, name: str) -> "ObjectPath":
        return self._at(self.pure.with_name(name))

    def is_relative_to(self, other: Any) -> bool:
        return (
            isinstance(other, ObjectPath)
            and other._top == self._top
            and self.pure.is_relative_to(other.pure)
        )

    def relative_to(self, other: "ObjectPath") -> PurePosixPath:
        if other._top != self._top:
            raise ValueError(f"{self} does not lie under {other}.")
        return self.pure.relative_to(other.pure)

    def absolute(self) -> "ObjectPath":
        return self

    # Objects

    def is_file(self) -> bool:
        """Whether an object of this name exists."""
        with translate_errors(str(self)):
            return objects.is_object(str(self))

    def is_dir(self) -> bool:
        """Whether objects lie beneath."""
        return next(self.beneath(), None) is not None

    def exists(self) -> bool:
        return self.is_file() or self.is_dir()

    def beneath(self) -> Iterator[tuple["ObjectPath", int, str]]:
        """Yields (object, size in bytes, digest of the content), in the order of their names."""
        with translate_errors(str(self)):
            for path, size, content in objects.find(f"{str(self).rstrip('/')}/"):
                yield ObjectPath(path), size, content

    def iterdir(self) -> Iterator["ObjectPath"]:
        """What would lie in the folder: objects, and the folders of those that lie deeper."""
        return iter(sorted({self / path.relative_to(self).parts[0] for path, *_ in self.beneath()}))

    def glob(self, pattern: str) -> Iterator["ObjectPath"]:
        """The objects beneath whose names match, sorted.

        `*` and `?` match no `/`; `**/` matches any number of folders.
        """
        whole = re.compile(translate(pattern), re.DOTALL)
        prefix = f"{str(self).rstrip('/')}/"
        name = prefix.removeprefix(self._top)

        # The service itself can leave out what does not match a simple pattern.
        is_simple = not re.search(r"\*\*|[\[\]{}\\]", pattern)
        start = prefix + re.split(r"[*?\[]", pattern, maxsplit=1)[0]

        with translate_errors(str(self)):
            matches = [
                ObjectPath(path)
                for path, *_ in objects.find(start, f"{name}{pattern}" if is_simple else None)
                if whole.fullmatch(path.removeprefix(prefix))
            ]
        return iter(sorted(matches))

    def rglob(self, pattern: str) -> Iterator["ObjectPath"]:
        return self.glob(f"**/{pattern}")

    def mkdir(self, **_: bool) -> None:
        """Does nothing: an object needs no folder."""

    def read_bytes(self) -> bytes:
        """The object's content.

        Raises:
            FileNotFoundError: the object does not exist.
        """
        with translate_errors(str(self)):
            content = objects.read(str(self))
        if content is None:
            raise FileNotFoundError(str(self))
        return content

    def read_text(self, encoding: str = "utf-8") -> str:
        return self.read_bytes().decode(encoding)

    def write_bytes(self, content: bytes) -> None:
        with translate_errors(str(self)):
            objects.write_object(str(self), content)

    def write_text(self, text: str, encoding: str = "utf-8") -> None:
        self.write_bytes(text.encode(encoding))

    def unlink(self, missing_ok: bool = False) -> None:
        """Deletes the object, if it exists: a first try may already have deleted it."""
        with translate_errors(str(self)):
            objects.delete_object(str(self))

    def replace(self, target: "ObjectPath") -> "ObjectPath":
        """Copies inside the service, then deletes: two steps, unlike a rename."""
        with translate_errors(str(self)):
            objects.copy_object(str(self), str(target))
        self.unlink()
        return target
