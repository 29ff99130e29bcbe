"""The span cache: what a component made of one span, kept for the artifacts of later windows.

A span that was ingested, counted or transformed once is not read again when the window moves. What
was made of it, a part of an artifact, has a folder of its own. It is found by the digest of what it
was derived from, and an artifact takes its files over: by hard links, or under gs:// by copies
inside the service.

A file of a part and that of an artifact are the same bytes on disk. So a part that is taken over is
read first, and made again if it is not what was written: otherwise an artifact that is made again
after a damage would get the damaged file again.

Without a rename a part is copied from the folder in which it was made. A large one is made in its
place instead, see `SpanCache.making`, so that each of its files is copied once: into the artifact.

Imports nothing heavy.
"""

import os
import platform
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from seqline.digests import digest
from seqline.host import owner
from seqline.storage import integrity, objects, records, staging
from seqline.storage.files import is_remote, translate_errors
from seqline.storage.integrity import FileDigest

# A part is finished when it holds this file, which comes last and has the digests of the others.
MARK = "whole"

HOST = platform.node()
OWN = f"partial-{HOST}-{os.getpid()}"


@dataclass(frozen=True)
class SpanCache:
    """Finished parts under one folder.

    Attributes:
        root: The folder.
        salt: The digest of the component's code, version and libraries: other code makes other
            parts.
        owner: The key of the artifact for which parts are made.
    """

    root: Path
    salt: str = ""
    owner: str = ""

    def path(self, **derived_from: Any) -> Path:
        """The folder of the part that is derived from these JSON values, finished or not."""
        return self.root / digest({"salt": self.salt, **derived_from})

    @contextmanager
    def making(
        self, paths: Mapping[int, Path], in_place: bool = False
    ) -> Iterator[dict[int, Path]]:
        """Makes the parts that are not finished: folders, which become the parts.

        That happens when the block ends without an error. Until then the parts do not exist.

        The folders are empty, except under gs://: there an owner gets the same ones each time, and
        they are kept after an error. A job that goes on without us may still write into them, and
        files that are made again have the same names and the same bytes.

        Args:
            paths: Span -> the folder of its part, see `path`.
            in_place: In a bucket, the folder to write into is that of the part: none of its files
                is copied. Only for parts that hold nothing but what `path` determines, names and
                bytes, since another run, or a job that goes on without us, may write into the same
                folder. The caller must check that all files, and no others, are in it.

        Yields:
            Span -> the folder to write into, for each part that is not finished.
        """
        if not is_remote(str(self.root)):
            _remove_left_overs(self.root)
        missing = {span: path for span, path in paths.items() if not _is_usable(path)}
        is_in_place = in_place and is_remote(str(self.root))
        partial = missing if is_in_place else self._all_partial(missing)
        is_done = False

        try:
            for folder in partial.values():
                folder.mkdir(parents=True)
            yield partial

            for span, folder in partial.items():
                # Another run may have been faster: then its part is as good.
                if not is_whole(paths[span]):
                    _finish(folder, paths[span])
            is_done = True
        finally:
            if not is_in_place and (is_done or not self._keeps_partial()):
                for folder in partial.values():
                    staging.remove(folder)

    def list_folder(self) -> Path:
        """A folder for a list that workers read (`seqline.data.elements`); it is no part."""
        return self._partial(self.root / "elements")

    def _keeps_partial(self) -> bool:
        return is_remote(str(self.root)) and self.owner != ""

    def _all_partial(self, paths: Mapping[int, Path]) -> dict[int, Path]:
        return {span: self._partial(path) for span, path in paths.items()}

    def _partial(self, path: Path) -> Path:
        """The folder in which a part is made."""
        if self._keeps_partial():
            return self.root / f"partial-{digest([self.owner, path.name])}"
        return self.root / f"{OWN}-{uuid.uuid4().hex}"


@cache
def _remove_left_overs(root: Path) -> None:
    """Removes what killed processes of this machine were writing, once in a process.

    On a shared disk the folders of other machines are left alone. Under gs:// all are: there
    `seqline gc` goes by their age, since processes of two containers have the same numbers.
    """
    for path in root.glob(f"partial-{HOST}-*"):
        pid = int(path.name.removeprefix(f"partial-{HOST}-").partition("-")[0])
        if not owner.is_running(pid):
            shutil.rmtree(path, ignore_errors=True)


def is_whole(path: Path) -> bool:
    """Whether a part is finished."""
    return (path / MARK).is_file()


def is_unfinished(path: Path) -> bool:
    """Whether a folder of a cache in a bucket is one in which a part is, or was, being made."""
    return path.name.startswith("partial-") or not is_whole(path)


def files_of(path: Path) -> list[Path]:
    """The files of a finished part."""
    return [path / name for name in _digests_of(path)]


def digest_of(file: Path) -> FileDigest:
    """The digest of a file of a finished part, which is in a folder of the part."""
    part = file.parent.parent
    return _remembered_digests(part)[str(file.relative_to(part))]


@dataclass(frozen=True)
class _Mark:
    """The content of a MARK."""

    files: dict[str, FileDigest]


def _digests_of(path: Path) -> dict[str, FileDigest]:
    """The digests in a part's MARK. Raises FileNotFoundError, or UserError for a damaged MARK."""
    mark = path / MARK
    return records.read(_Mark, mark, f"Remove {path}; the next run makes it again.").files


@lru_cache(1000)
def _remembered_digests(path: Path) -> dict[str, FileDigest]:
    """The same for a part whose files are read one after the other: its mark is read once."""
    return _digests_of(path)


def _is_usable(path: Path) -> bool:
    """Whether a part is finished, with the bytes that were written. A damaged one is removed."""
    try:
        digests = _digests_of(path)
    except FileNotFoundError:
        # Under gs:// another run may be finishing it.
        if not is_remote(str(path)):
            _remove(path)
        return False
    except records.DamagedRecordError:
        _remove(path)
        return False

    # What a killed run left beside the files is not taken over.
    changes = integrity.changes_in(path, digests, skip=[MARK])
    if all(change.problem == integrity.ADDED for change in changes):
        return True
    _remove(path)
    return False


def _remove(path: Path) -> None:
    """Removes a part. Another run that does the same may be faster."""
    if is_remote(str(path)):
        (path / MARK).unlink(missing_ok=True)
        staging.remove(path)
        return

    aside = path.with_name(f"{OWN}-{uuid.uuid4().hex}")
    with suppress(FileNotFoundError):
        os.rename(path, aside)
        shutil.rmtree(aside, ignore_errors=True)


def _finish(folder: Path, path: Path) -> None:
    """Makes a folder the part with this path."""
    digests = integrity.digests_of(folder)
    mark = {"files": {name: asdict(file) for name, file in digests.items()}}
    if not is_remote(str(path)):
        records.write_object(mark, folder / MARK)
        try:
            os.rename(folder, path)
        except OSError:
            if not is_whole(path):  # otherwise another process or thread was faster
                raise
        return

    # Two runs that do this at once write the same bytes under the same names.
    if folder != path:
        link_all([(folder / name, path / name) for name in digests])
    records.write_object(mark, path / MARK)


def link_all(pairs: Iterable[tuple[Path, Path]]) -> None:
    """`link` for many (source, target), under gs:// several at once."""
    pairs = list(pairs)
    if any(is_remote(str(target)) for _, target in pairs):
        objects.at_once(link, pairs)
    else:
        for source, target in pairs:
            link(source, target)


def link(source: Path, target: Path) -> None:
    """Gives an artifact a file of a part: the same bytes on disk where possible, else a copy."""
    if is_remote(str(target)):
        with translate_errors(str(target)):
            if is_remote(str(source)):
                objects.copy_object(str(source), str(target))
            else:
                objects.write_object(str(target), source)
        return

    with staging.writing(target) as part:
        try:
            os.link(source, part)
        except OSError:
            shutil.copyfile(source, part)
