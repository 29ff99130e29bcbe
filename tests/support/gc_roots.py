"""Roots with artifacts, runs and versions for the tests of `seqline gc`."""

import json
import re
from collections.abc import Sequence
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

from pipeline import gc
from pipeline.store import open_store
from pipeline.store.records import Source, StageRecord
from seqline.model.digest import MANIFEST, digest_of
from tests.support.records import execution, run_record

# One of the future is young, whatever the day.
RUN = "20200101T00000{:07d}-abcd"
ARTIFACT = re.compile(r"(\w+)/([0-9a-f]{20})")


def key(number: int) -> str:
    return blake2b(str(number).encode(), digest_size=10).hexdigest()


def files_of(content: str) -> dict[str, str]:
    """The files of a version with this content, as its manifest has them."""
    return {"saved_model.pb": sha256(content.encode()).hexdigest()}


class Root:
    """A root in a folder or under gs://, with artifacts, runs and versions that a test makes.

    Attributes:
        store: of the artifacts and runs.
        serving_dir: of the versions.
    """

    def __init__(self, root: str, serving_dir: Path) -> None:
        self.store = open_store(root)
        self.serving_dir = serving_dir

    def artifact(
        self, component: str, number: int, inputs: Sequence[tuple[str, int]] = (), **figures: Any
    ) -> tuple[str, str]:
        folder = self.store.path(component, key(number))
        if "digest" in figures:
            figures["digest"] = digest_of(files_of(figures["digest"]))
        self.write_file(folder / "Split-train" / "data", b"data")
        record = execution(
            component,
            key(number),
            type="Push" if component == "pusher" else "Value",
            inputs={
                f"input{place}": Source(name, key(other))
                for place, (name, other) in enumerate(inputs)
            },
            figures=figures,
            finished=f"2026-01-01T00:00:{number:02d}",
        )

        record.write(folder / "execution.json")
        return component, key(number)

    def run(
        self,
        number: int,
        stages: list[tuple[str, str]],
        verdict: str = "finished",
        uses: Sequence[tuple[str, str]] = (),
    ) -> str:
        name = RUN.format(number)
        self.write_file(self.store.root / "runs" / name / "log.txt", b"said")
        record = run_record(
            name,
            verdict=verdict,
            uses={component: [used] for component, used in uses},
            stages=[
                StageRecord(component, made, False, "never ran", 1.0) for component, made in stages
            ],
        )
        record.write(self.store.root / "runs" / name / "run.json")
        return name

    def serve(self, version: int, digest: str, **labels: int) -> None:
        folder = self.serving_dir / str(version)
        (folder / MANIFEST).parent.mkdir(parents=True)
        files = files_of(digest)
        manifest = {"digest": digest_of(files), "files": files}
        (folder / MANIFEST).write_text(json.dumps(manifest))
        (folder / "saved_model.pb").write_text(digest)

    def write_file(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def artifacts(self) -> set[tuple[str, str]]:
        entries = map(ARTIFACT.fullmatch, self.store.entries())
        return {(entry[1], entry[2]) for entry in entries if entry}

    def collect(self, keep_runs: int, **more: Any) -> gc.Plan:
        return gc.collect(self.store, str(self.serving_dir), keep_runs, **more)
