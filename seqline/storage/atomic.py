"""A local file that appears whole or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def writing_local(path: str | Path, to_disk: bool = False) -> Iterator[str]:
    """A name to write a file under; `path` gets its content when the block ends well.

    Args:
        path: the file. A reader sees the old content or the new one.
        to_disk: wait until the disk has it, so that it also survives a loss of power.
    """
    part = f"{path}.{uuid.uuid4().hex}.part"
    try:
        yield part
        if to_disk:
            fsync(part)
        os.replace(part, path)
        if to_disk:
            fsync(Path(path).parent)
    finally:
        Path(part).unlink(missing_ok=True)


def fsync(path: str | Path) -> None:
    """Waits until the disk has what was written into a file, or into a folder's list of names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
