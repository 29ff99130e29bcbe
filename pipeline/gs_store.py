"""The store under gs://: the same names as in a folder, and the same promises without a rename.

execution.json comes last and is the commit mark: what lies under a key without it is nothing. Beam's workers write their artifact where
it will be; every other stage writes into a local folder, which is uploaded when it ended well. A lock is an object with a lease
(components.lease). A run's log is written here, and uploaded whenever the run's record is.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components import gcs, lease, staging
from components.base import Artifact, UserError
from components.features import IN_SHARDS
from components.files import explained, is_remote
from components.gs_path import GsPath
from components.lease import Lease
from pipeline.store import EXECUTION, LOG, Store, run_name


class GsStore(Store):
    """The artifacts under one gs:// place. What asks the service raises UserError or DataError (no bucket, no access, no answer)."""

    def __init__(self, root: str) -> None:
        place = GsPath(root)
        if not place.bucket or not place.name:
            raise UserError(f"root {root!r} names no place in a bucket: gs://<bucket>/<path>.")
        self.root = staging.path_of(str(place))
        self.leases: dict[str, Lease] = {}
        self.executions: dict[Path, dict[str, Any]] = {}

    def execution(self, component: str, key: str) -> dict[str, Any] | None:
        """As in a folder; what was read once is remembered: a record never changes, unless this very run replaces it."""
        path = self.path(component, key)
        if path not in self.executions and (found := super().execution(component, key)):
            self.executions[path] = found
        return self.executions.get(path)

    def latest(self, component: str) -> dict[str, Any] | None:
        with explained(str(self.root)):
            newest = gcs.newest(f"{self.root / component}/", f"/{EXECUTION}")
        return json.loads(staging.path_of(newest).read_text()) if newest else None

    @contextmanager
    def lock(self, component: str, key: str) -> Iterator[None]:
        """Waits until no other run, on any machine, makes this artifact. Raises UserError where the bucket cannot be written."""
        name = f"{component}-{key}"
        with lease.held(str(self.root / "locks" / name), f"{component} {key}") as held:
            self.leases[name] = held
            try:
                yield
            finally:
                del self.leases[name]

    def begin(self, component: str, key: str, by_workers: bool = False, keep: bool = False) -> Path:
        if not by_workers:
            return Path(tempfile.mkdtemp(prefix=f"seqline-{component}-"))
        if not keep:
            self._clear(component, key)
        return self.path(component, key)

    def _clear(self, component: str, key: str) -> None:
        """Removes what a killed run left, or an artifact that is made again by force: first its mark, so that nobody takes the rest for it."""
        self.executions.pop(self.path(component, key), None)
        (self.path(component, key) / EXECUTION).unlink(missing_ok=True)
        staging.remove(self.path(component, key))

    def drop(self, partial: Path) -> None:
        if not is_remote(str(partial)):  # what lies under gs:// the next one removes who holds the lock: perhaps this run lost it
            super().drop(partial)

    def commit(self, partial: Path, artifact: Artifact, component: str, record: dict[str, Any]) -> None:
        """Uploads what lies here, and the record at last. Needs the lock. Raises UserError where it was lost meanwhile."""
        held = self.leases[f"{component}-{artifact.key}"]
        held.renew()
        if not is_remote(str(partial)):
            self._clear(component, artifact.key)
            staging.upload(partial, artifact.uri)
            held.renew()
            super().drop(partial)
        (artifact.uri / EXECUTION).write_text(json.dumps(record, indent=2) + "\n")
        staging.remove(self.work(component, artifact.key))

    def at_hand(self, artifact: Artifact, by_workers: bool = False) -> Path:
        is_small = artifact.type not in IN_SHARDS
        return staging.local(artifact.uri) if is_small and not by_workers else artifact.uri

    def start_run(self) -> Path:
        name = run_name()
        try:
            next(GsPath(str(self.root / "runs" / name)).beneath(), None)  # asks the bucket, and does not wait for long
            (self.root / "runs" / name / LOG).write_bytes(b"")
        except UserError as error:
            raise type(error)(f"root {str(self.root)!r} cannot be used: {error} Or name another with --root.") from None
        folder = Path(tempfile.mkdtemp(prefix="seqline-run-")) / name
        folder.mkdir()
        return folder

    def save_run(self, run: Path, record: dict[str, Any]) -> None:
        super().save_run(run, record)
        staging.upload(run, self.root / "runs" / run.name)
        if record["verdict"] != "running":
            shutil.rmtree(run.parent, ignore_errors=True)

    def log(self, run: Path) -> str:
        return str(self.root / "runs" / run.name / LOG)
