"""The store in a local folder."""

import errno
import fcntl
import os
import shutil
import stat
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.store.layout import (
    CLEANING,
    DISCARDED,
    EXECUTION,
    LOG,
    RUN,
    RUN_LOCK,
    cache_salt,
    run_name,
)
from pipeline.store.records import Execution, RunRecord
from seqline.component import Artifact, Component
from seqline.data.span_cache import SpanCache
from seqline.errors import UserError


class Store:
    """The artifacts under one root folder."""

    def __init__(self, root: str | Path) -> None:
        if "://" in str(root):
            raise UserError(
                f"root {str(root)!r}: only a local folder or a place under gs:// can hold"
                " artifacts."
            )
        self.root: Path = Path(root).absolute()
        self.used: dict[str, dict[str, str]] = {}

    def path(self, component: str, key: str) -> Path:
        """Where the artifact of a key lies, finished or not yet there."""
        return self.root / component / key

    def span_cache(self, component: Component) -> SpanCache:
        """Where a component keeps parts of its work.

        Another code, version or library has parts of its own.
        """
        return SpanCache(self.root / "span_cache" / component.name, cache_salt(component))

    def memory(self, component: str) -> Path:
        """The file in which a component remembers the digests of files that it read."""
        return self.root / "span_cache" / component / "digests.json"

    def work(self, component: str, key: str) -> Path:
        """Where unfinished work on an artifact lies that the next run can go on from.

        It goes when the artifact is there.
        """
        return self.root / "work" / f"{component}-{key}"

    def execution(self, component: str, key: str) -> Execution | None:
        """The record of a finished artifact, None if there is none."""
        try:
            return Execution.read(self.path(component, key) / EXECUTION)
        except FileNotFoundError:
            return None

    def latest(self, component: str, name: str = "") -> Execution | None:
        """The record of a component's artifact that was made last.

        name: of a model: then of what its last run made or used, wherever else that was made.
        Records without a name may be anyone's.
        """
        if (
            name
            and (key := self._used(name).get(component))
            and (record := self.execution(component, key))
        ):
            return record
        return max(
            (
                record
                for record in self._records(component)
                if not name or record.name in ("", name)
            ),
            key=lambda record: record.finished,
            default=None,
        )

    def _records(self, component: str) -> Iterator[Execution]:
        """The records among which the last one is looked for."""
        for path in (self.root / component).glob(f"*/{EXECUTION}"):
            if record := self.execution(component, path.parent.name):
                yield record

    def _used(self, name: str) -> dict[str, str]:
        """component -> key, of each the one in the last run of a model that came so far.

        Read once, and again when a run begins.
        """
        if name not in self.used:
            found: dict[str, str] = {}
            for run in self.runs():
                with suppress(FileNotFoundError, UserError):
                    record = RunRecord.read(run / RUN)
                    if record.name == name:
                        found |= {stage.component: stage.key for stage in record.stages}
            self.used[name] = found
        return self.used[name]

    @contextmanager
    def lock(self, component: str, key: str) -> Iterator[None]:
        """Waits until no other run makes this artifact.

        The system frees the lock of a process that dies.
        """
        with _flocked(self.root / "locks" / f"{component}-{key}", fcntl.LOCK_EX):
            yield

    # What `pipeline.gc` must not take away: a run is alive as long as it holds its lock, and says
    # what it uses before it relies on it.

    @contextmanager
    def running(self, run: str) -> Iterator[None]:
        """Holds the lock that says that a run is alive."""
        path = self.root / "locks" / f"{RUN_LOCK}{run}"
        with _flocked(path, fcntl.LOCK_EX):
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def announce(self, run: Path, record: RunRecord) -> None:
        """Saves the record of a living run, whose `uses` name what it relies on from now on.

        Waits for a clean-up that may not have read it.

        What was read of the store before may be gone: look again.
        """
        with _flocked(self.root / "locks" / CLEANING, fcntl.LOCK_SH):
            self.save_run(run, record)

    @contextmanager
    def cleaning(self) -> Iterator[None]:
        """Within the block every living run's record names all that it relies on, and no run relies
        on anything else.
        """
        with _flocked(self.root / "locks" / CLEANING, fcntl.LOCK_EX):
            yield

    def is_held(self, lock: str) -> bool:
        """Whether a living process holds a lock, by its name under locks/. Needs `cleaning`."""
        with suppress(FileNotFoundError), (self.root / "locks" / lock).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def entries(self) -> dict[str, int]:
        """What lies under root, two names deep, under span_cache/ three -> bytes."""
        found = {}
        for path in (*self.root.glob("*/*"), *self.root.glob("span_cache/*/*")):
            name = path.relative_to(self.root).as_posix()
            if not (name.startswith("span_cache/") and name.count("/") == 1):
                found[name] = sum(status.st_size for status in _files(path))
        return found

    def shared(self, names: Collection[str], kept: Collection[str]) -> set[str]:
        """Those of the entries of which a file lies in one of the kept ones, too."""
        links = {
            (status.st_dev, status.st_ino) for name in kept for status in _files(self.root / name)
        }
        return {
            name
            for name in names
            if any((status.st_dev, status.st_ino) in links for status in _files(self.root / name))
        }

    def freed(self, names: Collection[str]) -> int:
        """Bytes that come free when these entries go.

        A file that is linked from elsewhere stays on the disk.
        """
        seen: Counter[tuple[int, int]] = Counter()
        freed = 0
        for status in (status for name in names for status in _files(self.root / name)):
            seen[status.st_dev, status.st_ino] += 1
            freed += status.st_size * (seen[status.st_dev, status.st_ino] == status.st_nlink)
        return freed

    def discard(self, names: Sequence[str]) -> Callable[[], None]:
        """Takes entries away, each by one rename, so that one killed in between leaves nothing
        half. Needs `cleaning`.

        Returns what frees their bytes, and needs it no more.
        """
        aside = self.root / "partial" / f"{DISCARDED}{uuid.uuid4().hex[:8]}"
        for number, name in enumerate(names):
            try:
                aside.mkdir(parents=True, exist_ok=True)
                os.rename(self.root / name, aside / str(number))
            except FileNotFoundError:  # its own run was faster
                pass
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                _remove(self.root / name)  # a disk so full that it takes no other name
        return lambda: shutil.rmtree(aside, ignore_errors=True)

    def begin(self, component: str, key: str, by_workers: bool = False, keep: bool = False) -> Path:
        """An empty folder to write an artifact into.

        What a killed run left of the same one goes. Needs the lock.

        by_workers: Beam's workers write it, too, who may be on other machines. keep: they are still
        at it, for an earlier run.
        """
        for left_over in (self.root / "partial").glob(f"{component}-{key}-*"):
            shutil.rmtree(left_over, ignore_errors=True)
        path = self.root / "partial" / f"{component}-{key}-{uuid.uuid4().hex[:8]}"
        path.mkdir(parents=True)
        return path

    def drop(self, partial: Path) -> None:
        """Removes what `begin` gave, after a failure."""
        shutil.rmtree(partial, ignore_errors=True)

    def local_folder(self, artifact: Artifact, by_workers: bool = False) -> Path:
        """Where a stage reads an artifact.

        A local folder, or a GsPath for what lies in shards and for what workers read.
        """
        return artifact.uri

    def commit(self, partial: Path, artifact: Artifact, component: str, record: Execution) -> None:
        """Writes the record and makes the artifact visible by one rename. Needs the lock."""
        record.write(partial / EXECUTION)
        artifact.uri.parent.mkdir(parents=True, exist_ok=True)
        if (
            artifact.uri.exists()
        ):  # made again by force: for a moment there is neither, never a mixture
            old = self.begin(component, artifact.key + "-old")
            os.rename(artifact.uri, old / "artifact")
            shutil.rmtree(old)
        os.rename(partial, artifact.uri)
        shutil.rmtree(self.work(component, artifact.key), ignore_errors=True)

    def start_run(self) -> Path:
        """The folder of a new run, named by the time and in its order.

        Raises UserError where it cannot be made.
        """
        self.used.clear()
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
        """Where the log of a run is found when it has ended."""
        return str(run / LOG)

    def runs(self) -> list[Path]:
        """The folders of the runs that left a record, oldest first."""
        return sorted(path.parent for path in (self.root / "runs").glob(f"*/{RUN}"))


@contextmanager
def _flocked(path: Path, how: int) -> Iterator[None]:
    """Holds the lock of a file, which `pipeline.gc` may take away while one waits for it.

    Then it is another file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("a") as file:
            fcntl.flock(file, how)
            if _is_still(path, file.fileno()):
                yield
                return


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _remove(path: Path) -> None:
    """Removes an entry, first what makes it one."""
    for mark in (EXECUTION, RUN) if path.is_dir() else ("",):
        (path / mark).unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)


def _files(path: Path) -> Iterator[os.stat_result]:
    """The files of an entry, or the one that it is.

    One that goes meanwhile is none, and so is a folder that goes.
    """
    if path.is_dir():  # not rglob, which raises where a folder goes while it is read
        names: Iterator[str] = (
            os.path.join(folder, name)
            for folder, folders, files in os.walk(path)
            for name in (*folders, *files)
        )
    else:
        names = iter([str(path)])
    for name in names:
        with suppress(FileNotFoundError):
            status = os.lstat(name)
            if not stat.S_ISDIR(status.st_mode):
                yield status
