"""The files of an entry of a store in a folder, for `pipeline.gc`."""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pipeline.store.layout import RUN
from seqline.storage.integrity import EXECUTION


def remove_entry(path: Path) -> None:
    """Removes an entry; first the file without which it counts as unfinished."""
    for mark in (EXECUTION, RUN) if path.is_dir() else ("",):
        (path / mark).unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)


def files_of(path: Path) -> Iterator[os.stat_result]:
    """The files of an entry, or the one file that it is; what disappears meanwhile is left out."""
    names: Iterator[str] = iter([str(path)])
    if path.is_dir():  # not rglob, which raises where a folder disappears while it is read
        names = (
            os.path.join(folder, name)
            for folder, folders, files in os.walk(path)
            for name in (*folders, *files)
        )

    for name in names:
        with suppress(FileNotFoundError):
            status = os.lstat(name)
            if not stat.S_ISDIR(status.st_mode):
                yield status


def inode(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
