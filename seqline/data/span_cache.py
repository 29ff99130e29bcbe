"""The span cache: what a component made of one span, kept for the artifacts of later windows.

A span that was ingested, counted or transformed once is not read again when the window moves. What
was made of it, a part of an artifact, has a folder of its own. It is found by the digest of what it
was derived from, and an artifact takes its files over: by hard links, or under gs:// by copies
inside the service.

Imports nothing heavy.
"""

import os
import platform
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqline.digests import digest
from seqline.host import owner
from seqline.storage import gcs, staging
from seqline.storage.files import is_remote, translate_errors

# Under gs:// a part is whole when it holds this object, which comes last.
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
    def making(self, paths: Mapping[int, Path]) -> Iterator[dict[int, Path]]:
        """Makes the parts that are not finished: folders, which become the parts.

        That happens when the block ends without an error. Until then the parts do not exist.

        The folders are empty, except under gs://: there an owner gets the same ones each time, and
        they are kept after an error. A job that goes on without us may still write into them, and
        files that are made again have the same names and the same bytes.

        Args:
            paths: Span -> the folder of its part, see `path`.

        Yields:
            Span -> the folder to write into, for each part that is not finished.
        """
        self._remove_left_overs()
        partial = {span: self._partial(path) for span, path in paths.items() if not is_whole(path)}
        is_done = False

        try:
            for folder in partial.values():
                folder.mkdir(parents=True)
            yield partial

            for span, folder in partial.items():
                # Another run may have been faster: then its part is as good.
                if not is_whole(paths[span]):
                    _rename(folder, paths[span])
            is_done = True
        finally:
            if is_done or not self._keeps_partial():
                for folder in partial.values():
                    staging.remove(folder)

    def _keeps_partial(self) -> bool:
        return is_remote(str(self.root)) and self.owner != ""

    def _partial(self, path: Path) -> Path:
        """The folder in which a part is made."""
        if self._keeps_partial():
            return self.root / f"partial-{digest([self.owner, path.name])}"
        return self.root / f"{OWN}-{uuid.uuid4().hex}"

    def _remove_left_overs(self) -> None:
        """Removes what killed processes of this machine were writing.

        On a shared disk the folders of other machines are left alone. Under gs:// all are: there
        `seqline gc` goes by their age, since processes of two containers have the same numbers.
        """
        if is_remote(str(self.root)):
            return
        for path in self.root.glob(f"partial-{HOST}-*"):
            pid = int(path.name.removeprefix(f"partial-{HOST}-").partition("-")[0])
            if not owner.is_running(pid):
                shutil.rmtree(path, ignore_errors=True)


def is_whole(path: Path) -> bool:
    """Whether a part is finished."""
    return (path / MARK).is_file() if is_remote(str(path)) else path.exists()


def _rename(folder: Path, path: Path) -> None:
    """Makes a folder the part with this path."""
    if not is_remote(str(path)):
        os.rename(folder, path)
        return

    # Two runs that do this at once write the same bytes under the same names.
    link_all([(file, path / str(file.relative_to(folder))) for file in folder.rglob("*")])
    (path / MARK).write_bytes(b"")


def link_all(pairs: Iterable[tuple[Path, Path]]) -> None:
    """`link` for many (source, target), under gs:// several at once."""
    pairs = list(pairs)
    if any(is_remote(str(target)) for _, target in pairs):
        gcs.at_once(link, pairs)
    else:
        for source, target in pairs:
            link(source, target)


def link(source: Path, target: Path) -> None:
    """Gives an artifact a file of a part: the same bytes on disk where possible, else a copy."""
    if is_remote(str(target)):
        with translate_errors(str(target)):
            if is_remote(str(source)):
                gcs.copy_object(str(source), str(target))
            else:
                gcs.write_object(str(target), source)
        return

    with staging.writing(target) as part:
        try:
            os.link(source, part)
        except OSError:
            shutil.copyfile(source, part)
