"""The store in a bucket: the names and the promises of the store in a folder, without a rename.

execution.json is written last and is the commit mark: objects under a key without it are no
artifact. Beam's workers write their artifact in place. Every other stage writes into a local
folder, which is uploaded when the stage has succeeded. A run's log is written locally, and uploaded
whenever the run's record is.
"""

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import cast

from pipeline.store.folder import Store
from pipeline.store.layout import (
    CLEANING,
    LOG,
    RUN,
    RUN_LOCK,
    SPAN_CACHE,
    run_name,
)
from pipeline.store.records import RUNNING, Execution, RunRecord
from seqline.component import Artifact
from seqline.data.features import IN_SHARDS
from seqline.data.span_cache import MARK
from seqline.errors import UserError
from seqline.storage import conditions, integrity, locks, objects, staging
from seqline.storage.files import is_remote, translate_errors
from seqline.storage.integrity import EXECUTION, WITHOUT_DIGESTS, Change
from seqline.storage.path import ObjectPath
from seqline.storage.records import DamagedRecordError

# Entries that are deleted before the clean-up looks again whether its lock is still its own.
NUM_AT_ONCE = 20


class BucketStore(Store):
    """The artifacts under one place in a bucket.

    Methods that ask the service raise UserError or DataError: no bucket, no access, no answer.
    """

    def __init__(self, root: str) -> None:
        super().__init__(root)
        # A record never changes, unless this very run replaces it: each is read once.
        self._executions: dict[Path, Execution] = {}
        # Artifacts that were whole when this process asked last.
        self._whole: set[Path] = set()

    @staticmethod
    def _place(root: str) -> Path:
        place = ObjectPath(root)
        if not place.bucket or not place.name:
            raise UserError(
                f"root {root!r} names no place in a bucket: {place.scheme}<bucket>/<path>."
            )
        return staging.path_of(str(place))

    def execution(self, component: str, key: str) -> Execution | None:
        path = self.path(component, key)
        if path not in self._executions and (record := super().execution(component, key)):
            self._executions[path] = record
        return self._executions.get(path)

    def changes(self, component: str, key: str, in_full: bool = False) -> list[Change]:
        """See `Store.changes`. The service has digests: an artifact is listed, once in a run."""
        path = self.path(component, key)
        record = self.execution(component, key)
        if record is None or record.files is None or (path in self._whole and not in_full):
            return []

        changes = integrity.changes_in(path, record.files, WITHOUT_DIGESTS, in_full=in_full)
        if changes:
            self._whole.discard(path)
            self._executions.pop(path, None)  # another run may be making the artifact again
        else:
            self._whole.add(path)
        return changes

    def _records(self, component: str) -> Iterator[Execution]:
        """The newest record alone: each costs a request."""
        with translate_errors(str(self.root)):
            newest = objects.newest(f"{self.root / component}/", f"/{EXECUTION}")
        with suppress(DamagedRecordError):
            key = staging.path_of(newest).parent.name if newest else ""
            if key and (record := self.execution(component, key)):
                yield record

    def announce(self, run: Path, record: RunRecord) -> None:
        """Saves the record first, then waits for a clean-up.

        A clean-up takes its lock first, then reads the records: one of the two sees the other.
        """
        self.save_run(run, record)
        path = str(self._lock_path(CLEANING))
        with translate_errors(path):
            is_cleaning = objects.is_object(path)
        if is_cleaning:
            # Waits for its end, or takes over what a dead one left.
            with self._held(CLEANING, f"beginning the run {run.name}"):
                pass

        self._executions.clear()

    @contextmanager
    def cleaning(self) -> Iterator[None]:
        with super().cleaning():
            self._executions.clear()
            yield

    def begin(self, component: str, key: str, by_workers: bool = False, keep: bool = False) -> Path:
        if not by_workers:
            return Path(tempfile.mkdtemp(prefix=f"seqline-{component}-"))
        if not keep:
            self._clear(component, key)
        return self.path(component, key)

    def _clear(self, component: str, key: str) -> None:
        """Removes the remains of a killed run, or an artifact that is made again by force.

        Its mark goes first, so that no reader takes the rest for an artifact.
        """
        self._executions.pop(self.path(component, key), None)
        self._whole.discard(self.path(component, key))
        (self.path(component, key) / EXECUTION).unlink(missing_ok=True)
        staging.remove(self.path(component, key))

    def drop(self, partial: Path) -> None:
        # Objects in a bucket are removed by the next owner of the lock: this run may have lost it.
        if not is_remote(str(partial)):
            super().drop(partial)

    def seal(
        self, partial: Path, artifact: Artifact, component: str, record: Execution
    ) -> Execution:
        # `commit` asks the service for its digests, when it has the files.
        return record

    def commit(self, partial: Path, artifact: Artifact, component: str, record: Execution) -> None:
        """Uploads the local folder, and the record last. Needs the lock.

        The record gets the digests of the files, which the service has.

        Raises:
            UserError: the lock was lost meanwhile.
        """
        renew = self._renewals[f"{component}-{artifact.key}"]
        renew()

        if not is_remote(str(partial)):
            self._clear(component, artifact.key)
            staging.upload(partial, artifact.uri)
            renew()
            super().drop(partial)

        files = integrity.digests_of(artifact.uri, WITHOUT_DIGESTS)
        replace(record, files=files).write(artifact.uri / EXECUTION)
        self._whole.add(artifact.uri)
        staging.remove(self.work(component, artifact.key))

    def local_folder(self, artifact: Artifact, by_workers: bool = False) -> Path:
        is_small = artifact.type not in IN_SHARDS
        return staging.local_copy(artifact.uri) if is_small and not by_workers else artifact.uri

    def start_run(self) -> Path:
        self._last_keys.clear()
        place = self.root / "runs" / run_name()

        try:
            # Listing asks the bucket, and does not wait for long.
            next(ObjectPath(str(place)).beneath(), None)
            conditions.check(str(self._lock_path(CLEANING).parent))
            (place / LOG).write_bytes(b"")
        except UserError as error:
            raise type(error)(
                f"root {str(self.root)!r} cannot be used: {error} Or name another with --root."
            ) from None

        folder = Path(tempfile.mkdtemp(prefix="seqline-run-")) / place.name
        folder.mkdir()
        return folder

    def save_run(self, run: Path, record: RunRecord) -> None:
        super().save_run(run, record)
        staging.upload(run, self.root / "runs" / run.name)
        if record.verdict != RUNNING:
            shutil.rmtree(run.parent, ignore_errors=True)

    def log(self, run: Path) -> str:
        return str(self.root / "runs" / run.name / LOG)

    # For `pipeline.gc`

    def entries(self) -> dict[str, int]:
        sizes: Counter[str] = Counter()
        for name, size, _ in self._objects():
            sizes[name] += size
        return dict(sizes)

    def shared(self, names: Collection[str], kept: Collection[str]) -> set[str]:
        """Those of the entries that have a content in common with one of the kept entries."""
        contents: dict[str, set[str]] = {}
        for name, _, content in self._objects():
            contents.setdefault(name, set()).add(content)

        kept_contents = set[str]().union(*(contents.get(name, set()) for name in kept))
        return {name for name in names if contents.get(name, set()) & kept_contents}

    def freed(self, names: Collection[str]) -> int:
        entries = self.entries()
        return sum(entries.get(name, 0) for name in names)

    def _objects(self) -> Iterator[tuple[str, int, str]]:
        """Yields (entry, size in bytes, digest of the content) of every object of an entry."""
        for path, size, content in ObjectPath(str(self.root)).beneath():
            parts = path.relative_to(cast(ObjectPath, self.root)).parts
            depth = 3 if parts[0] == SPAN_CACHE else 2
            if len(parts) >= depth:
                yield "/".join(parts[:depth]), size, content

    def _remove_object(self, path: Path) -> None:
        """Deletes a single object; a lock only if no other process takes it at this moment."""
        is_lock = path == self._lock_path(path.name)
        if not is_lock or path.name.startswith(RUN_LOCK):  # a run takes its lock once
            path.unlink(missing_ok=True)
            return
        with suppress(locks.HeldError), locks.held(path, "removing a lock", waits=False):
            path.unlink(missing_ok=True)

    def discard(self, names: Sequence[str]) -> Callable[[], None]:
        """Removes entries, the mark of each first. Needs `cleaning`.

        A reader, or the next clean-up after a killed one, then sees something unfinished.
        """
        for start in range(0, len(names), NUM_AT_ONCE):
            self._renewals[CLEANING]()  # a process that took the lock over lets runs begin
            paths = [self.root / name for name in names[start : start + NUM_AT_ONCE]]
            marks = [(path / mark,) for path in paths for mark in (EXECUTION, RUN, MARK)]
            objects.at_once(ObjectPath.unlink, marks)
            for path in paths:
                staging.remove(path)
                self._remove_object(path)
        return lambda: None
