"""The store under gs://: the same names as in a folder, and the same promises without a rename.

execution.json comes last and is the commit mark: what lies under a key without it is nothing.
Beam's workers write their artifact where it will be; every other stage writes into a local folder,
which is uploaded when it ended well. A lock is an object with a lease (seqline.storage.lease). A
run's log is written here, and uploaded whenever the run's record is.
"""

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from pipeline.store.folder import Store
from pipeline.store.layout import CLEANING, EXECUTION, LOG, RUN, RUN_LOCK, run_name
from pipeline.store.records import RUNNING, Execution, RunRecord
from seqline.component import Artifact
from seqline.data.features import IN_SHARDS
from seqline.data.span_cache import MARK
from seqline.errors import UserError
from seqline.storage import gcs, lease, staging
from seqline.storage.files import is_remote, translate_errors
from seqline.storage.lease import Lease
from seqline.storage.path import GsPath

# Entries that go between two looks whether the clean-up is still ours.
NUM_AT_ONCE = 20


class GsStore(Store):
    """The artifacts under one gs:// place.

    What asks the service raises UserError or DataError (no bucket, no access, no answer).
    """

    def __init__(self, root: str) -> None:
        place = GsPath(root)
        if not place.bucket or not place.name:
            raise UserError(f"root {root!r} names no place in a bucket: gs://<bucket>/<path>.")
        self.root = staging.path_of(str(place))
        self.leases: dict[str, Lease] = {}
        self.executions: dict[Path, Execution] = {}
        self.used = {}

    def execution(self, component: str, key: str) -> Execution | None:
        """As in a folder.

        What was read once is remembered: a record never changes, unless this very run replaces it.
        """
        path = self.path(component, key)
        if path not in self.executions and (found := super().execution(component, key)):
            self.executions[path] = found
        return self.executions.get(path)

    def _records(self, component: str) -> Iterator[Execution]:
        """The newest one alone: each costs a request."""
        with translate_errors(str(self.root)):
            newest = gcs.newest(f"{self.root / component}/", f"/{EXECUTION}")
        if newest and (record := self.execution(component, staging.path_of(newest).parent.name)):
            yield record

    @contextmanager
    def lock(self, component: str, key: str) -> Iterator[None]:
        """Waits until no other run, on any machine, makes this artifact.

        Raises UserError where the bucket cannot be written.
        """
        name = f"{component}-{key}"
        with lease.held(str(self.root / "locks" / name), f"{component} {key}") as held:
            self.leases[name] = held
            try:
                yield
            finally:
                del self.leases[name]

    @contextmanager
    def running(self, run: str) -> Iterator[None]:
        with lease.held(str(self.root / "locks" / f"{RUN_LOCK}{run}"), f"run {run}"):
            yield

    def announce(self, run: Path, record: RunRecord) -> None:
        """First the record, then a look for a clean-up.

        That one takes its lock first, then reads records: one of the two sees the other.
        """
        self.save_run(run, record)
        path = str(self.root / "locks" / CLEANING)
        with translate_errors(path):
            cleans = gcs.is_object(path)
        if cleans:
            with lease.held(
                path, "the clean-up of the root"
            ):  # waits for its end, or takes over what a dead one left
                pass
        self.executions.clear()

    @contextmanager
    def cleaning(self) -> Iterator[None]:
        path = str(self.root / "locks" / CLEANING)
        with lease.held(path, "the clean-up of the root") as held:
            self.leases[CLEANING] = held
            self.executions.clear()
            try:
                yield
            finally:
                del self.leases[CLEANING]

    def is_held(self, lock: str) -> bool:
        return lease.is_alive(
            str(self.root / "locks" / lock), beside=str(self.root / "locks" / CLEANING)
        )

    def entries(self) -> dict[str, int]:
        found: Counter[str] = Counter()
        for path, size, _ in GsPath(str(self.root)).beneath():
            parts = path.relative_to(cast(GsPath, self.root)).parts
            depth = 3 if parts[0] == "span_cache" else 2
            if len(parts) >= depth:
                found["/".join(parts[:depth])] += size
        return dict(found)

    def shared(self, names: Collection[str], kept: Collection[str]) -> set[str]:
        """Nothing is linked here: the same content is as good."""
        contents: dict[str, set[str]] = {}
        for path, _, content in GsPath(str(self.root)).beneath():
            parts = path.relative_to(cast(GsPath, self.root)).parts
            contents.setdefault("/".join(parts[: 3 if parts[0] == "span_cache" else 2]), set()).add(
                content
            )
        known = set[str]().union(*(contents.get(name, set()) for name in kept))
        return {name for name in names if contents.get(name, set()) & known}

    def freed(self, names: Collection[str]) -> int:
        entries = self.entries()
        return sum(entries.get(name, 0) for name in names)

    def discard(self, names: Sequence[str]) -> Callable[[], None]:
        """Of each first what makes it one.

        A reader, or the next clean-up after one that was killed, then sees something unfinished.
        """
        for start in range(0, len(names), NUM_AT_ONCE):
            self.leases[CLEANING].renew()  # whoever took it over lets runs begin
            chosen = [self.root / name for name in names[start : start + NUM_AT_ONCE]]
            gcs.at_once(
                lambda path, mark: (path / mark).unlink(),
                [(path, mark) for path in chosen for mark in (EXECUTION, RUN, MARK)],
            )
            for path in chosen:
                staging.remove(path)
                path.unlink(missing_ok=True)  # a lock, or another single object
        return lambda: None

    def begin(self, component: str, key: str, by_workers: bool = False, keep: bool = False) -> Path:
        if not by_workers:
            return Path(tempfile.mkdtemp(prefix=f"seqline-{component}-"))
        if not keep:
            self._clear(component, key)
        return self.path(component, key)

    def _clear(self, component: str, key: str) -> None:
        """Removes what a killed run left, or an artifact that is made again by force.

        First its mark, so that nobody takes the rest for it.
        """
        self.executions.pop(self.path(component, key), None)
        (self.path(component, key) / EXECUTION).unlink(missing_ok=True)
        staging.remove(self.path(component, key))

    def drop(self, partial: Path) -> None:
        if not is_remote(str(partial)):
            # What lies under gs:// the next one removes who holds the lock: perhaps this run lost
            # it
            super().drop(partial)

    def commit(self, partial: Path, artifact: Artifact, component: str, record: Execution) -> None:
        """Uploads what lies here, and the record at last.

        Needs the lock. Raises UserError where it was lost meanwhile.
        """
        held = self.leases[f"{component}-{artifact.key}"]
        held.renew()
        if not is_remote(str(partial)):
            self._clear(component, artifact.key)
            staging.upload(partial, artifact.uri)
            held.renew()
            super().drop(partial)
        record.write(artifact.uri / EXECUTION)
        staging.remove(self.work(component, artifact.key))

    def local_folder(self, artifact: Artifact, by_workers: bool = False) -> Path:
        is_small = artifact.type not in IN_SHARDS
        return staging.local_copy(artifact.uri) if is_small and not by_workers else artifact.uri

    def start_run(self) -> Path:
        self.used.clear()
        name = run_name()
        try:
            next(
                GsPath(str(self.root / "runs" / name)).beneath(), None
            )  # asks the bucket, and does not wait for long
            (self.root / "runs" / name / LOG).write_bytes(b"")
        except UserError as error:
            raise type(error)(
                f"root {str(self.root)!r} cannot be used: {error} Or name another with --root."
            ) from None
        folder = Path(tempfile.mkdtemp(prefix="seqline-run-")) / name
        folder.mkdir()
        return folder

    def save_run(self, run: Path, record: RunRecord) -> None:
        super().save_run(run, record)
        staging.upload(run, self.root / "runs" / run.name)
        if record.verdict != RUNNING:
            shutil.rmtree(run.parent, ignore_errors=True)

    def log(self, run: Path) -> str:
        return str(self.root / "runs" / run.name / LOG)
