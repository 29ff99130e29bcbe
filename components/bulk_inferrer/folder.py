"""The folder that predictions are written into. Imports nothing heavy.

A task is a model, a source and the settings that shape its predictions. A folder holds the
predictions of one task:

    task.json                       the digests of the model and the source, and the settings
    chunks/<shard>-<chunk>.json     written after the predictions of a chunk: what was counted, and
                                    its bad rows
    chunks/digests.json             the digests of files that have not changed since
    predictions.json                written last: what the folder holds. Then chunks/ is deleted.
"""

import json
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from components.bulk_inferrer import BulkInferrerParams, source
from components.bulk_inferrer.chunks import CHUNK_ROWS, most_rows
from components.bulk_inferrer.files import (
    ChunkNote,
    PredictionsFile,
    PredictionTotals,
    TaskIdentity,
)
from seqline.component import Figures
from seqline.errors import UserError
from seqline.model import digest
from seqline.model.served import labels_of
from seqline.rows import unused
from seqline.rows.bad_rows import NUM_QUOTED, BadRows, quote
from seqline.rows.row import BadRow
from seqline.rows.unused import Unused
from seqline.storage import conditions, locks, objects, records
from seqline.storage.files import File
from seqline.storage.staging import local_copy, remove, writing

MANIFEST = "predictions.json"
TASK = "task.json"
CHUNKS = "chunks"
BAD_ROWS = "bad_rows.jsonl"
LOCK = ".lock"
# Files that are not of the task: the lock, and the log of the command line.
OTHERS = {LOCK, conditions.MARK, "log.txt"}
PREDICTIONS = "predictions-*"
CHUNK = re.compile("[0-9]{5,9}-[0-9]{5,9}[.]json")
# The way out for a damaged predictions.json.
AGAIN = "Remove it; everything is predicted again."
# Notes of chunks in memory at once.
NUM_READ = 256
# Change it with how rows are cut into chunks and batches, and with what is written. It makes
# earlier folders unusable.
LAYOUT = 2


@dataclass(frozen=True)
class InferTask:
    """The predictions to make.

    Attributes:
        folder: Where they are written.
        model: The SavedModel.
        kind: The kind of the source's files.
        files: The files of the source in their order.
        identity: The content of task.json. Predictions in one folder have one identity.
    """

    folder: Path
    model: Path
    kind: str
    files: list[File]
    identity: dict[str, Any]

    @property
    def memory(self) -> Path:
        """The file that remembers the digests of files."""
        return self.folder / CHUNKS / "digests.json"


@contextmanager
def opened(
    folder: Path, model: Path, params: BulkInferrerParams, force: bool = False
) -> Iterator[InferTask]:
    """Continues the task of a folder, or begins it in a new or an empty one.

    No other run can write into the folder meanwhile.

    Args:
        folder: The folder.
        model: The SavedModel.
        params: The source and the settings.
        force: Replaces the predictions of another task.

    Raises:
        UserError: The folder holds predictions of another task, or other files.
    """
    with _locked(folder):
        earlier = _identity_of(folder, force)
        selection = source.find(params)
        (folder / CHUNKS).mkdir(exist_ok=True)
        task = InferTask(folder, model, selection.kind, selection.files, {})
        task.identity.update(_identity(task, params))

        if earlier != task.identity:
            if earlier is not None and not force:
                raise UserError(_difference(folder, earlier, task.identity))
            _clear(folder)
            _write(folder / TASK, task.identity)

        _drop_parts(folder)
        try:
            yield task
        finally:
            if (folder / MANIFEST).exists():
                _drop_parts(folder)
                remove(folder / CHUNKS)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(
                locks.held(folder / LOCK, f"writing predictions into {folder}", waits=False)
            )
        except OSError as error:
            raise UserError(
                f"{folder} cannot be written: {error.strerror}. Name another folder."
            ) from None
        yield


def _drop_parts(folder: Path) -> None:
    """Deletes what a killed run or a failed bundle left half-written.

    This run holds the lock, so no other one is writing it.
    """
    for left_over in folder.glob("*.part"):
        left_over.unlink(missing_ok=True)


def _identity_of(folder: Path, force: bool) -> dict[str, Any] | None:
    """The identity of the task whose predictions a folder holds, or None.

    Args:
        folder: The folder.
        force: Takes a damaged identity for that of another task.

    Raises:
        UserError: The folder holds other files, or its identity is damaged.
    """
    try:
        way_out = "Name another folder, or replace its predictions with --force."
        return dict(records.read(TaskIdentity, folder / TASK, way_out))
    except UserError:
        if force:
            return {}
        raise
    except FileNotFoundError:
        names = {path.name for path in folder.iterdir()}
        others = sorted(names - OTHERS - {TASK, CHUNKS})
        if others:
            raise UserError(
                f"{folder} is not empty ({others[0]}) and holds no predictions. "
                "Name a new or an empty folder."
            ) from None
        return None


def _identity(task: InferTask, params: BulkInferrerParams) -> dict[str, Any]:
    settings = {**params.key_fields(), "layout": LAYOUT}
    try:
        chunk_rows = most_rows(len(labels_of(task.model)))
    except FileNotFoundError:  # not a model of ours; the job says so
        chunk_rows = CHUNK_ROWS
    if chunk_rows < CHUNK_ROWS:
        settings["chunk_rows"] = chunk_rows  # an earlier seqline had chunks of CHUNK_ROWS
    return {
        "model": model_digest(task.model),
        "source": source.digest(task.files, params, task.memory),
        "settings": settings,
    }


def _difference(folder: Path, earlier: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Tells how two identities differ."""
    differences = []
    for name in ("model", "source"):
        if earlier.get(name) != wanted[name]:
            digests = f"{str(earlier.get(name))[:8]}, not {wanted[name][:8]}"
            differences.append(f"another {name} ({digests})")

    settings = earlier.get("settings", {})
    fields = [
        f"{name} {settings.get(name)!r}, not {value!r}"
        for name, value in wanted["settings"].items()
        if settings.get(name) != value
    ]
    if fields:
        differences.append(f"other settings ({'; '.join(fields)})")

    return (
        f"{folder} holds predictions of {' and '.join(differences)}. "
        "Name another folder, or replace them with --force."
    )


def model_digest(model: Path) -> str:
    """The digest of a SavedModel's files, which a push does not change."""
    return digest.digest_of(digest.sha256_of_files(local_copy(model)))


def _clear(folder: Path) -> None:
    """Deletes what an earlier task left, except for its identity.

    The manifest and the notes are deleted first: they say that something is complete.
    """
    for path in (
        folder / MANIFEST,
        *(folder / CHUNKS).glob("*-*.json"),
        folder / BAD_ROWS,
        *folder.glob(PREDICTIONS),
    ):
        path.unlink(missing_ok=True)


def results(folder: Path) -> list[Path]:
    """The files of a finished task."""
    manifest = records.read(PredictionsFile, folder / MANIFEST, AGAIN)
    names = [*(file["name"] for file in manifest["files"]), BAD_ROWS, TASK, MANIFEST]
    return [folder / name for name in names if (folder / name).exists()]


# Chunks


def chunk_path(folder: Path, shard: int, number: int) -> Path:
    """The path of the note that a chunk's predictions are complete."""
    return folder / CHUNKS / f"{shard:05d}-{number:05d}.json"


def done(folder: Path) -> dict[int, tuple[frozenset[int], bool]]:
    """The chunks that are complete, by shard.

    Returns:
        shard -> (the numbers of its complete chunks, whether these are all of them). A shard
        without a complete chunk is left out.
    """
    chunks_of: dict[int, set[int]] = {}
    for path in (folder / CHUNKS).glob("*-*.json"):
        if not CHUNK.fullmatch(path.name):
            continue
        shard, _, number = path.name.removesuffix(".json").partition("-")
        chunks_of.setdefault(int(shard), set()).add(int(number))

    # Only the last chunk's note says that it is the last. Read that of shards without a gap.
    ends = {
        shard: max(chunks) for shard, chunks in chunks_of.items() if max(chunks) == len(chunks) - 1
    }
    notes = _read_all([chunk_path(folder, shard, number) for shard, number in ends.items()])
    whole = {shard for shard, note in zip(ends, notes, strict=True) if note["last"]}
    return {shard: (frozenset(chunks), shard in whole) for shard, chunks in chunks_of.items()}


def _read_note(path: Path) -> ChunkNote:
    return records.read(ChunkNote, path, "Remove it; its chunk is predicted again.")


def _read_all(paths: list[Path]) -> list[ChunkNote]:
    """The notes of chunks, in order, read several at once."""
    contents: dict[int, ChunkNote] = {}

    def read(number: int) -> None:
        contents[number] = _read_note(paths[number])

    objects.at_once(read, [(number,) for number in range(len(paths))])
    return [contents[number] for number in range(len(paths))]


def finished(folder: Path) -> Figures | None:
    """The figures of a finished task, or None."""
    try:
        return figures(records.read(PredictionsFile, folder / MANIFEST, AGAIN))
    except FileNotFoundError:
        return None


def finish(task: InferTask, params: BulkInferrerParams, labels: list[str]) -> Figures:
    """Writes bad_rows.jsonl and predictions.json.

    Raises:
        DataError: There are more bad rows than max_bad_fraction allows, or the source changed.
    """
    with tempfile.TemporaryFile("w+b") as bad_rows:
        totals = _add_up(task.folder, bad_rows)
        validate(totals, params)
        selection = source.find(params)
        if source.digest(selection.files, params, task.memory) != task.identity["source"]:
            raise source.changed(params.source)
        if totals.num_bad:
            bad_rows.seek(0)
            with writing(task.folder / BAD_ROWS) as name, open(name, "wb") as file:
                shutil.copyfileobj(bad_rows, file)

    manifest: Any = {
        "model": {
            "digest": task.identity["model"],
            "version": int(task.model.name) if task.model.name.isdecimal() else None,
        },
        "source": {
            "digest": task.identity["source"],
            "num_files": len(task.files),
            "num_bytes": sum(file.size for file in task.files),
            "unused_files": [asdict(record) for record in selection.unused],
        },
        "settings": task.identity["settings"],
        "labels": labels,
        "num_rows": totals.num_rows,
        "num_labels": {label: totals.num_labels[label] for label in labels},
        "num_bad_rows": sum(totals.num_bad.values()),
        "bad_rows": dict(sorted(totals.num_bad.items())),
        "quoted": totals.quoted,
        "files": totals.files,
    }
    _write(task.folder / MANIFEST, manifest)
    return figures(manifest)


def _add_up(folder: Path, bad_rows: IO[bytes]) -> PredictionTotals:
    """Adds up the notes of all chunks, and writes their bad rows into a file."""
    totals = PredictionTotals()
    paths = sorted((folder / CHUNKS).glob("*-*.json"))
    for first in range(0, len(paths), NUM_READ):
        for note in _read_all(paths[first : first + NUM_READ]):
            totals.num_rows += note["num_rows"]
            totals.num_labels.update(note["num_labels"])
            if note["num_rows"]:
                totals.files.append(
                    {"name": note["name"], "num_rows": note["num_rows"], "first": note["first"]}
                )

            for row in note["bad_rows"]:
                bad_rows.write(json.dumps(row).encode() + b"\n")
                totals.num_bad[row["problem"]] += 1
                if len(totals.quoted) < NUM_QUOTED:
                    totals.quoted.append(quote(BadRow(**row)))

    return totals


def figures(manifest: PredictionsFile) -> Figures:
    """The figures of a run from its predictions.json."""
    unused_files = manifest["source"].get("unused_files", [])
    not_read = [
        Unused(found["reason"], found["count"], tuple(found["names"])) for found in unused_files
    ]
    return {
        "num_rows": manifest["num_rows"],
        "num_labels": manifest["num_labels"],
        "num_bad_rows": manifest["num_bad_rows"],
        "model": manifest["model"]["digest"],
        "unused_files": unused_files,
        "warnings": unused.warnings(not_read, f"{source.SECTION}.source"),
    }


def totals_of(folder: Path, way_out: str = AGAIN) -> PredictionTotals:
    """The sums of a finished task.

    Args:
        folder: Its folder.
        way_out: What helps against a damaged predictions.json.
    """
    manifest = records.read(PredictionsFile, folder / MANIFEST, way_out)
    return PredictionTotals(
        manifest["num_rows"],
        Counter(manifest["num_labels"]),
        Counter(manifest["bad_rows"]),
        manifest["quoted"],
        manifest["files"],
    )


def validate(totals: PredictionTotals, params: BulkInferrerParams) -> None:
    """Raises DataError for more bad rows than max_bad_fraction."""
    num_bad = sum(totals.num_bad.values())
    bad_rows = BadRows(num_bad, totals.num_rows + num_bad, totals.quoted)
    bad_rows.check(source.SECTION, params.max_bad_fraction, "What was computed is kept.")


def _write(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False)
    with writing(path) as name:
        Path(name).write_text(f"{text}\n", encoding="utf-8")
