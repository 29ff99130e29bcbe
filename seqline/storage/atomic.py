"""Local files: one that appears whole or not at all, one that nothing else hides behind."""

import errno
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seqline.errors import UserError


@contextmanager
def writing_local(path: str | Path, to_disk: bool = False) -> Iterator[str]:
    """A name to write a file under; `path` gets its content when the block ends well.

    Args:
        path: the file. A reader sees the old content or the new one.
        to_disk: wait until the disk has it, so that it also survives a loss of power.
    """
    part = f"{path}.{uuid.uuid4().hex}.part"
    try:
        with named_errors(path):
            yield part
        if to_disk:
            fsync(part)
        os.replace(part, path)
        if to_disk:
            fsync(Path(path).parent)
    finally:
        Path(part).unlink(missing_ok=True)


@contextmanager
def named_errors(path: str | Path) -> Iterator[None]:
    """Gives an OSError that names no file the name of this one: a full disk says none."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


def fsync(path: str | Path) -> None:
    """Waits until the disk has what was written into a file, or into a folder's list of names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_regular(
    path: str | Path, flags: int, mode: int = 0o666, may_be_linked: bool = False
) -> int:
    """Opens a file at a name that is known before: a lock, a log, a record. Never waits.

    What somebody else put there is not followed and not written: a link to another file, another
    name of it, a pipe that would wait for its other end, a device.

    Args:
        path: the file.
        flags, mode: as of `os.open`; without O_TRUNC.
        may_be_linked: open a file with another name (a hard link), too; do not write it.

    Returns:
        The descriptor.

    Raises:
        UserError: it is something else than a file of one name.
        OSError: what `os.open` raises for everything else.
    """
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, mode)
    except OSError as error:
        kinds = {
            errno.ELOOP: "a symbolic link",
            errno.EMLINK: "a symbolic link",  # BSD
            errno.EISDIR: "a folder",
            errno.ENXIO: "a pipe or a socket",
        }
        if error.errno in kinds and os.path.lexists(path):
            raise _not_regular(path, kinds[error.errno]) from None
        raise

    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and (may_be_linked or status.st_nlink <= 1):
        return descriptor

    os.close(descriptor)
    if stat.S_ISREG(status.st_mode):
        raise _not_regular(path, "a file that has another name, too (a hard link)")
    raise _not_regular(path, kind_of(status.st_mode))


def kind_of(mode: int) -> str:
    """What a path is that is no file, such as "a folder"."""
    kinds = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    return next((name for test, name in kinds if test(mode)), "no file")


def _not_regular(path: str | Path, kind: str) -> UserError:
    return UserError(
        f"{path} is {kind} and not a file of seqline's own; nothing was written. Move it away, and"
        " run the same command again."
    )
