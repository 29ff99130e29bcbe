"""The records of runs and of artifacts: run.json and execution.json."""

import json
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Required, Self

from pydantic import AfterValidator, ConfigDict, Field, FiniteFloat, with_config
from typing_extensions import TypedDict

from seqline.digests import digest
from seqline.storage import records
from seqline.storage.integrity import FileDigest

# How a run ended, or that it did not end yet.
RUNNING, FINISHED, FAILED, STOPPED = "running", "finished", "failed", "stopped"
Verdict = Annotated[str, Field(pattern=f"^({RUNNING}|{FINISHED}|{FAILED}|{STOPPED})$")]

# The field of execution.json with the digest of all others.
DIGEST = "digest"
# A TypedDict of which other versions wrote more fields.
MORE = ConfigDict(extra="allow")

# A component or a key: a part of a path.
Name = Annotated[str, Field(pattern=r"^\w[\w.-]*$")]


def _check_time(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("it has no time zone")
    return text


Time = Annotated[str, AfterValidator(_check_time)]


@dataclass(frozen=True)
class Source:
    """The artifact that an execution read as one of its inputs."""

    component: Name
    key: Name


@dataclass(frozen=True, kw_only=True)
class Execution:
    """The record of an artifact: its execution.json, fields in the order of the file.

    The file ends with a digest of the record itself.

    Attributes:
        name: The name of the model that the run was for; empty in a record from before models had
            one.
        files: The digest of each file of the artifact, by its name; None in a record from before
            there were any.
    """

    component: Name
    name: str = ""
    type: str
    key: Name
    key_parts: dict[str, Any]
    params: dict[str, Any]
    inputs: dict[str, Source]
    figures: dict[str, Any]
    started: str
    finished: str
    seconds: FiniteFloat
    files: dict[str, FileDigest] | None = None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads an execution.json.

        Raises:
            FileNotFoundError: There is no such file.
            DamagedRecordError: The file is damaged.
            UserError: The file cannot be read.
        """
        way_out = f"Remove {path.parent}; the next run makes the artifact again."
        content = records.read_object(path, way_out)
        written = content.pop(DIGEST, None)
        record = records.parse(cls, content, path, way_out)
        if written not in (None, digest(content)):
            raise records.damaged(path, "it changed after it was written", way_out)
        return record

    def write(self, path: Path) -> None:
        """Writes an execution.json. A reader sees all of it or nothing."""
        # As a reader will see it: keys of figures may be numbers, and are texts in the file.
        content = json.loads(json.dumps(asdict(self)))
        records.write_object(content | {DIGEST: digest(content)}, path)


@dataclass(frozen=True)
class StageRecord:
    """A stage of a run that has ended."""

    component: Name
    key: Name
    cached: bool
    reason: str
    seconds: FiniteFloat


class GateRecord(TypedDict):
    """The verdict of a gate, as in `seqline.gates.Gate`."""

    name: str
    value: float | None
    threshold: float | None
    passed: bool | None
    reason: str


@with_config(MORE)
class RetrainVerdict(TypedDict, total=False):
    """The field "retrain" of the run.json of a retraining, as far as anything reads it."""

    verdict: Required[str]
    exit_code: int | None
    reason: str
    bootstrap: bool | None
    start: str | None
    changed: list[str]
    pushed: dict[str, Any] | None
    gates: list[GateRecord]


@with_config(MORE)
class About(TypedDict, total=False):
    """The further fields of a run.json, as far as anything reads them."""

    command: list[str]
    folder: str
    config: dict[str, Any]
    pipeline: list[str]
    seqline: str
    python: str
    retrain: RetrainVerdict


@dataclass(kw_only=True)
class RunRecord:
    """The record of a run: its run.json, fields in the order of the file.

    Attributes:
        run: The run's name.
        name: The model's name, empty in a record from before models had one.
        started, finished: ISO 8601 times. A run that is not over has no end.
        verdict: running, finished, failed or stopped.
        uses: Component -> keys of artifacts that must not be deleted while the run is alive.
        stages: The stages that have ended, in that order.
        error: The error that ended a run that failed or was stopped.
        about: The further fields of the file, such as the configuration, which the command adds.
    """

    run: str
    name: str = ""
    started: Time
    verdict: Verdict
    uses: dict[Name, list[Name]] = field(default_factory=dict)
    stages: list[StageRecord]
    error: str | None = None
    finished: Time | None = None
    about: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a run.json.

        Raises:
            FileNotFoundError: There is no such file.
            UserError: The file is damaged.
        """
        way_out = f"Remove {path.parent}; artifacts do not need it."
        content = records.read_object(path, way_out)

        known = {info.name for info in fields(cls)} - {"about"}
        own = {name: value for name, value in content.items() if name in known}
        about = {name: value for name, value in content.items() if name not in known}

        records.parse(About, about, path, way_out)
        return records.parse(cls, {**own, "about": about}, path, way_out)

    def write(self, path: Path) -> None:
        """Writes a run.json. A reader sees the old one or the new one."""
        records.write_object(self.as_json(), path)

    def as_json(self) -> dict[str, Any]:
        """The content of run.json."""
        own = asdict(self)
        about = own.pop("about")
        return {name: value for name, value in own.items() if value is not None} | about
