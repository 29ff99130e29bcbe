"""What a folder holds, local or in a bucket."""

from pathlib import Path


def contents(folder: Path, pattern: str) -> dict[str, bytes]:
    """The bytes of the files that match a pattern, by their path in the folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.glob(pattern)
        if path.is_file()
    }
