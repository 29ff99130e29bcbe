"""Reads back the file that W&B writes offline."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

HEADER_BYTES, BLOCK_BYTES = 7, 32768
PART = struct.Struct("<IHB")  # checksum, size, kind
WHOLE, LAST = 1, 4


@dataclass
class OfflineRun:
    """A run as far as tests look at it.

    Attributes:
        project: Its project.
        config: Its configuration.
        summary: The last value of each figure.
        history: The rows of figures.
        artifacts: The names of the artifacts that it logged, but for the run's own.
    """

    project: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    artifacts: list[str] = field(default_factory=list)


def read_offline_run(folder: Path) -> OfflineRun:
    """Reads the run in an `offline-run-*` folder."""
    run = OfflineRun()
    for data in _records(next(folder.glob("run-*.wandb")).read_bytes()):
        record = wandb_internal_pb2.Record.FromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run.project = record.run.project
            run.config |= _values(record.run.config.update)
        elif kind == "summary":
            run.summary |= _values(record.summary.update)
        elif kind == "history":
            run.history.append(_values(record.history.item))
        elif kind == "artifact" and record.artifact.type == "model":
            run.artifacts.append(record.artifact.name)
    return run


def _records(content: bytes) -> Iterator[bytes]:
    """The records of a file: LevelDB's log format after a header, in blocks with parts of them."""
    place, parts = HEADER_BYTES, b""
    while place + PART.size <= len(content):
        if BLOCK_BYTES - place % BLOCK_BYTES < PART.size:  # no room for another part
            place += BLOCK_BYTES - place % BLOCK_BYTES
            continue
        _, size, kind = PART.unpack_from(content, place)
        place += PART.size
        parts += content[place : place + size]
        place += size
        if kind in (WHOLE, LAST):
            yield parts
            parts = b""


def _values(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
