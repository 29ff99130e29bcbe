"""Which run is meant.

By its name, a beginning or an end of it, `latest`, `previous`, `served`, or the version that it
pushed.

Where several models share a root, `previous` is the run before the last one of the same model, and
versions are those of the place that was pushed to last.
"""

from pathlib import Path

from components.pusher import versions
from pipeline.report import records
from pipeline.store import open_store
from pipeline.store.folder import Store
from seqline.errors import UserError
from seqline.storage.files import is_remote

LATEST, PREVIOUS, SERVED = "latest", "previous", "served"


def store_of(root: str) -> Store:
    """Raises UserError for a root that is not there, or without a run."""
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
    """The run's name. Raises UserError where there is none, or several."""
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
    found = (
        [name for name in names if name.startswith(reference) or name.endswith(reference)]
        if reference
        else []
    )
    if len(found) == 1:
        return found[0]
    told = (
        f"{len(found)} runs are called so: {', '.join(found[:5])}"
        if found
        else f"the last ones are {', '.join(names[-5:])}"
    )
    raise UserError(
        f"There is no run {reference!r} under {str(store.root)!r}; {told}. Or say {LATEST},"
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
    """The model of a run; "" where its record does not say, or is damaged."""
    try:
        return records.read(store, run, files=False).record.name
    except UserError:
        return ""


def _pusher_of(store: Store, names: list[str], version: int, place: str | None) -> str | None:
    """The run that pushed a version, to a place where one is given.

    The last one that came to have it, where none made it itself; None where none has it.
    """
    found = None
    for name in reversed(names):
        run = records.read(store, name, files=False)
        pushed = run.figures("pusher")
        if pushed.get("version") == version and place in (None, pushed.get("serving_dir")):
            found = found or name
            if not run.is_cached("pusher"):
                return name
    return found


def _pushed_to(store: Store, names: list[str]) -> str | None:
    """Where a run pushed to last; None where none did."""
    for name in reversed(names):
        if place := records.read(store, name, files=False).figures("pusher").get("serving_dir"):
            return str(place)
    return None


def _served(store: Store, names: list[str]) -> tuple[str, int]:
    """(where a run pushed to last, the newest version there.

    Of a rollback the one that it brought back).
    """
    place = _pushed_to(store, names)
    if place is None:
        raise UserError(f"No run under {str(store.root)!r} pushed a model.")
    target = versions.place_of(place)
    newest = max(target.versions(), default=None)
    if newest is None:
        raise UserError(f"{place} holds no version: nothing is served.")
    return place, int((versions.read_manifest(target, newest) or {}).get("rollback_of") or newest)
