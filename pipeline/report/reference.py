"""Which run is meant: by its name, a beginning or an end of it, `latest`, `previous`, `served`, or the version that it pushed."""

from pathlib import Path

from components.base import UserError
from components.files import is_remote
from components.pusher import publish
from pipeline.report import records
from pipeline.store import Store, open_store

LATEST, PREVIOUS, SERVED = "latest", "previous", "served"


def store_of(root: str) -> Store:
    """Raises UserError for a root that is not there, or without a run."""
    if not is_remote(root) and not Path(root).is_dir():
        raise UserError(f"There is no folder {root!r}. Name the root of the run with --root.")
    store = open_store(root)
    if not records.names(store):
        raise UserError(f"No run has been recorded under {root!r}. seqline run makes one; name another root with --root.")
    return store


def find(store: Store, reference: str) -> str:
    """The run's name. Raises UserError where there is none, or several."""
    names = records.names(store)
    if reference in names:
        return reference
    if reference in (LATEST, PREVIOUS):
        if reference == PREVIOUS and len(names) < 2:
            raise UserError(f"There is no run before {names[0]} under {str(store.root)!r}.")
        return names[-1 if reference == LATEST else -2]
    if reference == SERVED:
        version = _served(store, names)
        if pusher := _pusher_of(store, names, version):
            return pusher
        raise UserError(f"No run under {str(store.root)!r} pushed version {version}, which is served.")
    if reference.isdecimal() and (pusher := _pusher_of(store, names, int(reference))):
        return pusher
    found = [name for name in names if name.startswith(reference) or name.endswith(reference)] if reference else []
    if len(found) == 1:
        return found[0]
    told = f"{len(found)} runs are called so: {', '.join(found[:5])}" if found else f"the last ones are {', '.join(names[-5:])}"
    raise UserError(
        f"There is no run {reference!r} under {str(store.root)!r}; {told}. Or say {LATEST}, {PREVIOUS}, {SERVED}, or a version."
    )


def _pusher_of(store: Store, names: list[str], version: int) -> str | None:
    """The run that pushed a version; the last one that came to have it, where none made it itself; None where none has it."""
    found = None
    for name in reversed(names):
        run = records.read(store, name, files=False)
        if run.figures("pusher").get("version") == version:
            found = found or name
            if not run.is_cached("pusher"):
                return name
    return found


def _served(store: Store, names: list[str]) -> int:
    """The newest version; of a rollback the one that it brought back."""
    for name in reversed(names):
        if place := records.read(store, name, files=False).figures("pusher").get("serving_dir"):
            target = publish.place_of(place)
            newest = max(target.versions(), default=None)
            if newest is None:
                raise UserError(f"{place} holds no version: nothing is served.")
            return int((publish.read_manifest(target, newest) or {}).get("rollback_of") or newest)
    raise UserError(f"No run under {str(store.root)!r} pushed a model.")
