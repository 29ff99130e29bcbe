"""What is damaged in a finished artifact, in words."""

from collections.abc import Sequence
from pathlib import Path

from seqline.errors import DataError
from seqline.storage import integrity
from seqline.storage.integrity import Change


def reason_of(changes: Sequence[Change], folder: Path, component: str) -> str | None:
    """Why a stage must make its artifact again; None if nothing changed.

    Args:
        changes: See `pipeline.store.Store.changes`.
        folder: The artifact.
        component: The stage's name.

    Raises:
        DataError: A file was added. To make the artifact again would delete that file.
    """
    if added := [change.name for change in changes if change.problem == integrity.ADDED]:
        raise DataError(
            f"{folder / added[0]} was added to a finished artifact of {component}"
            f"{_and_more(added)}. Move what was added to another folder and run again."
        )
    if not changes:
        return None
    return f"{changes[0].name} of its artifact {changes[0].problem}{_and_more(changes)}"


def _and_more(items: Sequence[object]) -> str:
    """The end of a sentence that names the first one alone."""
    num_more = len(items) - 1
    return f" (and {num_more} more)" if num_more else ""
