"""Zip archives of which equal content has equal bytes."""

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

from seqline.errors import DataError

# The first moment that a zip archive can express.
EPOCH = (1980, 1, 1, 0, 0, 0)
FILE_MODE = 0o100644 << 16

# Path in the archive -> a file, or its content.
Entries = Mapping[str, Path | bytes]


def write(entries: Entries, target: Path) -> dict[str, tuple[str, int]]:
    """Writes an archive in the order of the entries.

    Nothing is compressed: most of a model are random numbers, and each version of zlib compresses
    in its own way.

    Returns:
        path -> (SHA-256 in hexadecimal, size) of each entry.
    """
    written = {}
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, content in entries.items():
            data = content if isinstance(content, bytes) else content.read_bytes()
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = FILE_MODE
            entry.create_system = 3  # Unix, wherever it is written
            archive.writestr(entry, data)
            written[name] = (hashlib.sha256(data).hexdigest(), len(data))
    return written


def check(target: Path, expected: Mapping[str, str]) -> None:
    """Reads an archive back.

    Args:
        target: The archive.
        expected: Path -> SHA-256 in hexadecimal of entries that it must hold.

    Raises:
        DataError: An entry is missing or another one.
    """
    with zipfile.ZipFile(target) as archive:
        names = set(archive.namelist())
        for name, digest in expected.items():
            if name not in names or hashlib.sha256(archive.read(name)).hexdigest() != digest:
                raise DataError(
                    f"{name} of the package is not what was pushed. Is the disk sound? Nothing was"
                    " written; run the command again."
                )
