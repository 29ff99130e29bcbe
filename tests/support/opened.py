"""The files that Python reads."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_opened: list[str] | None = None
_has_hook = False


@contextmanager
def list_opened_files() -> Iterator[list[str]]:
    """Yields a list of the files that are opened for reading until the block ends."""
    global _opened, _has_hook
    if not _has_hook:
        sys.addaudithook(_add_opened)  # it cannot be removed
        _has_hook = True
    _opened = []
    try:
        yield _opened
    finally:
        _opened = None


def _add_opened(event: str, arguments: tuple) -> None:
    if _opened is None or event != "open":
        return
    path, mode, _ = arguments
    # A number is a file that is open already; os.open has no mode.
    if isinstance(path, str) and (mode is None or "r" in mode):
        _opened.append(path)
