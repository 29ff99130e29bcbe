"""The store in a local folder."""

import errno
import os
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from pipeline.store.damage import reason_of
from pipeline.store.entries import files_of, inode, remove_entry
from pipeline.store.layout import (
    CLEANING,
    DISCARDED,
    LOG,
    RUN,
    RUN_LOCK,
    SPAN_CACHE,
    VERIFIED,
    cache_salt,
    run_name,
)
from pipeline.store.records import Execution, RunRecord
from seqline.component import Artifact, Component
from seqline.data.span_cache import SpanCache
from seqline.errors import UserError
from seqline.storage import integrity, locks, objects
from seqline.storage.integrity import EXECUTION, WITHOUT_DIGESTS, Change
from seqline.storage.records import DamagedRecordError


class Store:
    """The artifacts under one root folder, and the records of the runs that made them.

    Attributes:
        root: the folder, absolute; an ObjectPath in a bucket.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = self._place(str(root))
        # A model's name -> component -> the key that its last run used.
        self._last_keys: dict[str, dict[str, str]] = {}
        # The name of a lock that this store holds -> renews it, or raises where it was lost.
        self._renewals: dict[str, Callable[[], None]] = {}

    @staticmethod
    def _place(root: str) -> Path:
        if problem := objects.problem_of(root):
            raise UserError(f"root {root!r} {problem}.")
        return Path(root).absolute()

    # Places

    def path(self, component: str, key: str) -> Path:
        """Where the artifact of a key is, or will be."""
        return self.root / component / key

    def span_cache(self, component: Component) -> SpanCache:
        """The parts of spans that a component keeps for later windows."""
        return SpanCache(self.root / SPAN_CACHE / component.name, cache_salt(component))

    def memory(self, component: str) -> Path:
        """The file in which a component keeps the digests of files that it read."""
        return self.root / SPAN_CACHE / component / "digests.json"

    def work(self, component: str, key: str) -> Path:
        """The checkpoints of an unfinished artifact, from which the next run goes on.

        They are deleted when the artifact is committed.
        """
        return self.root / "work" / f"{component}-{key}"

    def verified(self, component: str, key: str) -> Path:
        """The file that says which files of an artifact need not be read again."""
        return self.root / VERIFIED / f"{component}-{key}.json"

    # Finished artifacts

    def execution(self, component: str, key: str) -> Execution | None:
        """The record of a finished artifact; None where it does not exist.

        Raises:
            DamagedRecordError: it is damaged.
        """
        try:
            return Execution.read(self.path(component, key) / EXECUTION)
        except FileNotFoundError:
            return None

    def changes(self, component: str, key: str, in_full: bool = False) -> list[Change]:
        """The changes in the files of a finished artifact since it was written.

        Args:
            component: its name.
            key: the artifact's.
            in_full: read every byte. Otherwise a file is trusted that has kept its size, times and
                inode since it was read last.

        Returns:
            [] for an artifact that is whole, that does not exist, or whose record is from before
            there were digests.

        Raises:
            DamagedRecordError: the record is damaged.
            UserError: a file may not be read.
        """
        record = self.execution(component, key)
        if record is None or record.files is None:
            return []
        return integrity.changes_in(
            self.path(component, key),
            record.files,
            WITHOUT_DIGESTS,
            self.verified(component, key),
            in_full,
        )

    def damage(self, component: str, key: str, in_full: bool = False) -> str | None:
        """What is damaged in a finished artifact, in words; None if it is whole. See `changes`.

        Raises:
            DataError: a file was added to it. To make the artifact again would delete that file.
            UserError: a file may not be read.
        """
        try:
            changes = self.changes(component, key, in_full)
        except DamagedRecordError:
            return f"its {EXECUTION} is damaged"

        return reason_of(changes, self.path(component, key), component)

    def latest(self, component: str, name: str = "") -> Execution | None:
        """The record of the artifact that a component made last.

        Args:
            component: its name.
            name: a model's name. Then it is the artifact that the model's last run made or reused,
                even if another model's run made it. A record without a name may belong to any
                model.
        """
        if name and (key := self._keys_of_last_run(name).get(component)):
            with suppress(DamagedRecordError):
                if record := self.execution(component, key):
                    return record

        records = [
            record for record in self._records(component) if not name or record.name in ("", name)
        ]
        return max(records, key=lambda record: record.finished, default=None)

    def _records(self, component: str) -> Iterator[Execution]:
        """The records among which `latest` looks for the last one; not the damaged ones."""
        for path in (self.root / component).glob(f"*/{EXECUTION}"):
            with suppress(DamagedRecordError):
                if record := self.execution(component, path.parent.name):
                    yield record

    def _keys_of_last_run(self, name: str) -> dict[str, str]:
        """Component -> key, each from the last run of a model that reached the component.

        Read once, and again when a run begins.
        """
        if name not in self._last_keys:
            keys: dict[str, str] = {}
            for run in self.runs():
                with suppress(FileNotFoundError, UserError):
                    record = RunRecord.read(run / RUN)
                    if record.name == name:
                        keys |= {stage.component: stage.key for stage in record.stages}
            self._last_keys[name] = keys
        return self._last_keys[name]

    # Locks. `pipeline.gc` must not delete what a run relies on: a run is alive as long as it holds
    # its lock, and it says what it uses before it relies on it.

    @contextmanager
    def lock(self, component: str, key: str) -> Iterator[None]:
        """Waits until no other run makes this artifact, and keeps others out within the block."""
        with self._held(f"{component}-{key}", f"making {component} {key}"):
            yield

    @contextmanager
    def running(self, run: str) -> Iterator[None]:
        """Holds the lock that says that a run is alive."""
        name = f"{RUN_LOCK}{run}"
        with self._held(name, f"running {run}"):
            try:
                yield
            finally:
                self._lock_path(name).unlink(missing_ok=True)

    def announce(self, run: Path, record: RunRecord) -> None:
        """Saves the record of a living run, whose `uses` name what it relies on from now on.

        Waits for a clean-up that may not have read the record. Artifacts that the run read before
        may be gone afterwards: it must look again.
        """
        with self._held(CLEANING, f"beginning the run {run.name}"):
            self.save_run(run, record)

    @contextmanager
    def cleaning(self) -> Iterator[None]:
        """Keeps `announce` waiting within the block.

        Then every living run's record names all that it relies on.
        """
        with self._held(CLEANING, f"cleaning up {self.root}"):
            yield

    def is_held(self, lock: str) -> bool:
        """Whether a living process holds a lock, by its name under locks/. Needs `cleaning`."""
        return locks.is_held(self._lock_path(lock), own_lock=self._lock_path(CLEANING))

    @contextmanager
    def _held(self, name: str, doing: str) -> Iterator[None]:
        with locks.held(self._lock_path(name), doing) as renew:
            self._renewals[name] = renew
            try:
                yield
            finally:
                del self._renewals[name]

    def _lock_path(self, name: str) -> Path:
        return self.root / "locks" / name

    # Making an artifact

    def begin(self, component: str, key: str, by_workers: bool = False, keep: bool = False) -> Path:
        """An empty folder to write an artifact into. Needs the lock.

        The remains of the same artifact that a killed run left are removed.

        Args:
            component: its name.
            key: the artifact's.
            by_workers: whether Beam's workers, perhaps on other machines, write the artifact, too.
            keep: whether they still write it, for an earlier run.
        """
        for left_over in (self.root / "partial").glob(f"{component}-{key}-*"):
            shutil.rmtree(left_over, ignore_errors=True)

        path = self.root / "partial" / f"{component}-{key}-{uuid.uuid4().hex[:8]}"
        path.mkdir(parents=True)
        return path

    def drop(self, partial: Path) -> None:
        """Removes the folder that `begin` gave, after a failure."""
        shutil.rmtree(partial, ignore_errors=True)

    def local_folder(self, artifact: Artifact, by_workers: bool = False) -> Path:
        """Where a stage reads an artifact.

        A local folder, or an ObjectPath for artifacts in shards and for those that workers read.
        """
        return artifact.uri

    def seal(
        self, partial: Path, artifact: Artifact, component: str, record: Execution
    ) -> Execution:
        """The record with the digests of the files in `partial`. Reads them: a second for a GB."""
        memory = self.verified(component, artifact.key)
        return replace(record, files=integrity.digests_of(partial, WITHOUT_DIGESTS, memory))

    def commit(self, partial: Path, artifact: Artifact, component: str, record: Execution) -> None:
        """Writes the record and makes the artifact visible by one rename. Needs the lock.

        A record that has not been sealed is sealed first.
        """
        if record.files is None:
            record = self.seal(partial, artifact, component, record)
        record.write(partial / EXECUTION)
        artifact.uri.parent.mkdir(parents=True, exist_ok=True)

        # An artifact that is made again by force: for a moment neither exists, never a mixture.
        if artifact.uri.exists():
            old = self.begin(component, artifact.key + "-old")
            os.rename(artifact.uri, old / "artifact")
            shutil.rmtree(old)

        os.rename(partial, artifact.uri)
        shutil.rmtree(self.work(component, artifact.key), ignore_errors=True)

    # Runs

    def start_run(self) -> Path:
        """The folder of a new run; the names of runs are in the order of time.

        Raises:
            UserError: the root cannot be written.
        """
        self._last_keys.clear()
        path = self.root / "runs" / run_name()
        try:
            path.mkdir(parents=True)
        except OSError as error:
            raise UserError(
                f"root {str(self.root)!r} cannot be written: {error.strerror}. Name another with"
                " --root."
            ) from None
        return path

    def save_run(self, run: Path, record: RunRecord) -> None:
        """Writes the record of a run, run.json; a reader sees the old one or the new one."""
        record.write(run / RUN)

    def log(self, run: Path) -> str:
        """Where the log of a run is when it has ended."""
        return str(run / LOG)

    def runs(self) -> list[Path]:
        """The folders of the runs that left a record, oldest first."""
        return sorted(path.parent for path in (self.root / "runs").glob(f"*/{RUN}"))

    # For `pipeline.gc`. An entry is a name under root: two names deep, three under span_cache/.

    def entries(self) -> dict[str, int]:
        """Every entry -> bytes."""
        sizes = {}
        for path in (*self.root.glob("*/*"), *self.root.glob(f"{SPAN_CACHE}/*/*")):
            name = path.relative_to(self.root).as_posix()
            if not (name.startswith(f"{SPAN_CACHE}/") and name.count("/") == 1):
                sizes[name] = sum(status.st_size for status in files_of(path))
        return sizes

    def shared(self, names: Collection[str], kept: Collection[str]) -> set[str]:
        """Those of the entries that share a file with one of the kept entries."""
        kept_files = {inode(status) for name in kept for status in files_of(self.root / name)}
        return {
            name
            for name in names
            if any(inode(status) in kept_files for status in files_of(self.root / name))
        }

    def freed(self, names: Collection[str]) -> int:
        """Bytes that become free when these entries are deleted.

        A file that is also linked from elsewhere stays on the disk.
        """
        num_links: Counter[tuple[int, int]] = Counter()
        freed = 0
        for name in names:
            for status in files_of(self.root / name):
                num_links[inode(status)] += 1
                if num_links[inode(status)] == status.st_nlink:
                    freed += status.st_size
        return freed

    def discard(self, names: Sequence[str]) -> Callable[[], None]:
        """Removes entries, each by one rename, so that a kill leaves none half. Needs `cleaning`.

        Returns:
            A function that frees their bytes. It does not need `cleaning`.
        """
        for name in names:
            component, _, key = name.partition("/")
            self.verified(component, key).unlink(missing_ok=True)

        discarded = self.root / "partial" / f"{DISCARDED}{uuid.uuid4().hex[:8]}"
        for number, name in enumerate(names):
            try:
                discarded.mkdir(parents=True, exist_ok=True)
                os.rename(self.root / name, discarded / str(number))
            except FileNotFoundError:  # its own run was faster
                pass
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                remove_entry(self.root / name)  # the disk is so full that it takes no other name

        return lambda: shutil.rmtree(discarded, ignore_errors=True)
