"""Parts of a component's work that later artifacts use again, each in a folder of its own.

A span that was ingested, counted or transformed once is not read again when the window moves: its
part is found by the digest of what it was derived from, and an artifact takes it over by hard
links, under gs:// by copies inside the service. Imports nothing heavy.
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

    salt: the digest of the component's code, version and libraries; another code makes parts of its
    own. owner: the key of the artifact for which they are made.
    """

    root: Path
    salt: str = ""
    owner: str = ""

    def path(self, **parts: Any) -> Path:
        """Where the part derived from these JSON values lies, finished or not yet there."""
        return self.root / digest({"salt": self.salt, **parts})

    @contextmanager
    def making(self, paths: Mapping[int, Path]) -> Iterator[dict[int, Path]]:
        """Folders for those of the parts that are not there (by span).

        When the block ends well they become the parts.

        They are empty; but under gs:// an owner has the same ones each time, which are kept after
        an error: a job that goes on without us may still write into them, and what is made again
        has the same names and the same bytes.
        """
        self._drop_left_overs()
        partial = {span: self._partial(path) for span, path in paths.items() if not is_whole(path)}
        done = False
        try:
            for folder in partial.values():
                folder.mkdir(parents=True)
            yield partial
            for span, folder in partial.items():
                if not is_whole(
                    paths[span]
                ):  # another run may have been faster: then its part is as good
                    _rename(folder, paths[span])
            done = True
        finally:
            for folder in partial.values() if done or not self._keeps() else ():
                staging.remove(folder)

    def _keeps(self) -> bool:
        return is_remote(str(self.root)) and self.owner != ""

    def _partial(self, path: Path) -> Path:
        return self.root / (
            f"partial-{digest([self.owner, path.name])}"
            if self._keeps()
            else f"{OWN}-{uuid.uuid4().hex}"
        )

    def _drop_left_overs(self) -> None:
        """What a killed process of this machine was writing.

        On a shared disk others' is left alone.
        """
        if is_remote(
            str(self.root)
        ):  # a container's processes have the same numbers as another one's: their age has to tell
            return
        for path in self.root.glob(f"partial-{HOST}-*"):
            if not owner.is_running(
                int(path.name.removeprefix(f"partial-{HOST}-").partition("-")[0])
            ):
                shutil.rmtree(path, ignore_errors=True)


def is_whole(path: Path) -> bool:
    """Whether a part is there, a folder that `making` made."""
    return (path / MARK).is_file() if is_remote(str(path)) else path.exists()


def _rename(folder: Path, path: Path) -> None:
    if not is_remote(str(path)):
        os.rename(folder, path)
        return
    # Two runs that do this at once write the same bytes under the same names.
    link_all([(each, path / str(each.relative_to(folder))) for each in folder.rglob("*")])
    (path / MARK).write_bytes(b"")


def link_all(pairs: Iterable[tuple[Path, Path]]) -> None:
    """`link` for many files, under gs:// several at once."""
    pairs = list(pairs)
    if any(is_remote(str(target)) for _, target in pairs):
        gcs.at_once(link, pairs)
    else:
        for source, target in pairs:
            link(source, target)


def link(source: Path, target: Path) -> None:
    """Puts a file of a part into an artifact.

    The same bytes on disk where the file system can, otherwise a copy.
    """
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
