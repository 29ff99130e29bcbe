"""Finds the run that a reference names.

A reference is a run's name, the beginning or end of it, `latest`, `previous`, `served`, or the
version that the run pushed. If several models share a root, `previous` is the run before the last
run of the same model, and versions are those of the place that was pushed to last.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from components.pusher import versions
from pipeline.report import records
from pipeline.store import open_store
from pipeline.store.folder import Store
from seqline.errors import UserError
from seqline.storage.files import is_remote

LATEST, PREVIOUS, SERVED = "latest", "previous", "served"


def store_of(root: str) -> Store:
    """The store at a root. Raises UserError if the root does not exist or has no run."""
    if not is_remote(root) and not Path(root).is_dir():
        raise UserError(f"There is no folder {root!r}. Name the root of the run with --root.")
    store = open_store(root)
    if not records.names(store):
        raise UserError(
            f"No run has been recorded under {root!r}. seqline run makes one; name another root"
            " with --root."
        )
    return store


def find(store: Store, reference: str) -> str:
    """The name of the run. Raises UserError if no run or several runs match."""
    names = records.names(store)
    if reference in names:
        return reference
    if reference == LATEST:
        return names[-1]
    if reference == PREVIOUS:
        return _previous(store, names)

    if reference == SERVED:
        place, version = _served(store, names)
        if pusher := _pusher_of(store, names, version, place):
            return pusher
        raise UserError(
            f"No run under {str(store.root)!r} pushed version {version}, which is served."
        )

    if reference.isdecimal():
        for pushed_to in (_pushed_to(store, names), None):
            if pusher := _pusher_of(store, names, int(reference), pushed_to):
                return pusher

    matches: list[str] = []
    if reference:
        matches = [name for name in names if name.startswith(reference) or name.endswith(reference)]
    if len(matches) == 1:
        return matches[0]

    candidates = f"the last runs are {', '.join(names[-5:])}"
    if matches:
        candidates = f"{len(matches)} runs match: {', '.join(matches[:5])}"

    raise UserError(
        f"There is no run {reference!r} under {str(store.root)!r}; {candidates}. Or name {LATEST},"
        f" {PREVIOUS}, {SERVED}, or a version."
    )


def _previous(store: Store, names: list[str]) -> str:
    model = _model(store, names[-1])
    for name in reversed(names[:-1]):
        if _model(store, name) == model:
            return name
    of_it = f" of {model}" if model else ""
    raise UserError(f"There is no run{of_it} before {names[-1]} under {str(store.root)!r}.")


def _model(store: Store, run: str) -> str:
    """The model of a run; "" if its record does not name one, or is damaged."""
    try:
        return records.read_run(store, run).name
    except UserError:
        return ""


def _readable(store: Store, names: Iterable[str]) -> Iterator[records.Records]:
    """The runs whose records are not damaged."""
    for name in names:
        with suppress(UserError):
            yield records.read(store, name, files=False)


def _pusher_of(store: Store, names: list[str], version: int, place: str | None) -> str | None:
    """The run that pushed a version, to `place` if that is given.

    If every run that has the version took it from the cache, the last of them; None if none has it.
    """
    last = None
    for run in _readable(store, reversed(names)):
        pushed = run.figures("pusher")
        if pushed.get("version") == version and place in (None, pushed.get("serving_dir")):
            last = last or run.name
            if not run.is_cached("pusher"):
                return run.name
    return last


def _pushed_to(store: Store, names: list[str]) -> str | None:
    """The place that was pushed to last; None if no run pushed."""
    for run in _readable(store, reversed(names)):
        if place := run.figures("pusher").get("serving_dir"):
            return str(place)
    return None


def _served(store: Store, names: list[str]) -> tuple[str, int]:
    """(the place that was pushed to last, its newest version or the one that this brought back)."""
    place = _pushed_to(store, names)
    if place is None:
        raise UserError(f"No run under {str(store.root)!r} pushed a model.")

    target = versions.place_of(place)
    newest = max(target.versions(), default=None)
    if newest is None:
        raise UserError(f"{place} holds no version: nothing is served.")
    manifest = versions.read_manifest(target, newest)
    return place, (manifest.rollback_of if manifest else None) or newest
