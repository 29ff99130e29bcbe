"""The folder that predictions are written into.

Whose they are, which chunks are there, and what is written last.

<folder>, local or under gs://:
<folder>/task.json                the model, the source and the settings that its predictions come
                                  from
<folder>/chunks/<shard>-<chunk>.json   written when the chunk's predictions are there: what was
                                       counted, and its bad rows
<folder>/chunks/digests.json      digests of files that did not change since
While the job runs; at its end chunks/ goes, and predictions.json says what there is. Imports nothing heavy.
"""

import json
import math
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.bulk_inferrer import BulkInferrerParams, source
from seqline.component import Figures
from seqline.errors import DataError, UserError
from seqline.model import digest
from seqline.rows.shards import Kind
from seqline.storage import gcs, locks
from seqline.storage.files import File, is_remote
from seqline.storage.staging import local_copy, remove, writing

MANIFEST = "predictions.json"
TASK = "task.json"
CHUNKS = "chunks"
BAD_ROWS = "bad_rows.jsonl"
LOCK = ".lock"
# What may lie beside: the lock, and the log of the command line.
OTHERS = {LOCK, "log.txt"}
PREDICTIONS = "predictions-*"
# Notes of chunks in memory at once.
NUM_READ = 256
# Bad rows that an error message quotes.
NUM_QUOTED = 5
# Another one makes earlier folders unusable: it changes with how rows are cut into chunks and
# batches, and with what is written.
LAYOUT = 1


@dataclass(frozen=True)
class Task:
    """What is to be done. identity: what must be equal for predictions to lie in one folder."""

    folder: Path
    model: Path
    kind: Kind
    files: list[File]
    identity: dict[str, Any]

    @property
    def memory(self) -> Path:
        return self.folder / CHUNKS / "digests.json"


@dataclass
class Summary:
    """What was found in all chunks. files: name, rows and place of the first row of each file."""

    num_rows: int = 0
    num_labels: Counter[str] = field(default_factory=Counter)
    num_bad: Counter[str] = field(default_factory=Counter)  # problem -> rows
    quoted: list[str] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def opened(
    folder: Path, model: Path, params: BulkInferrerParams, force: bool = False
) -> Iterator[Task]:
    """The task that goes on in a folder, or begins in a new or an empty one.

    No other run may write there meanwhile.

    force: predictions of another task go. Raises UserError for a folder that holds them otherwise,
    or that holds other files.
    """
    with _locked(folder):
        there = _identity_of(folder)
        kind, found = source.find(params)
        (folder / CHUNKS).mkdir(exist_ok=True)
        task = Task(folder, model, kind, found, {})
        task.identity.update(_identity(task, params))
        if there != task.identity:
            if there is not None and not force:
                raise UserError(_difference(folder, there, task.identity))
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
    """What a killed run or a bundle that failed left half-written.

    The lock is ours, so nobody writes it.
    """
    for left_over in folder.glob("*.part"):
        left_over.unlink(missing_ok=True)


def _identity_of(folder: Path) -> dict[str, Any] | None:
    """Whose predictions a folder holds.

    None for none. Raises UserError for a folder with other things.
    """
    try:
        return dict(json.loads((folder / TASK).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        found = folder.glob("**/*") if is_remote(str(folder)) else folder.iterdir()
        others = sorted(
            {path.relative_to(folder).parts[0] for path in found} - OTHERS - {TASK, CHUNKS}
        )
        if others:
            raise UserError(
                f"{folder} is not empty ({others[0]}) and holds no predictions. Name a new or an"
                " empty folder."
            ) from None
        return None


def _identity(task: Task, params: BulkInferrerParams) -> dict[str, Any]:
    return {
        "model": model_digest(task.model),
        "source": source.digest(task.files, task.memory),
        "settings": {**params.key_fields(), "layout": LAYOUT},
    }


def _difference(folder: Path, there: dict[str, Any], wanted: dict[str, Any]) -> str:
    whats = []
    for name in ("model", "source"):
        if there.get(name) != wanted[name]:
            whats.append(f"another {name} ({str(there.get(name))[:8]}, not {wanted[name][:8]})")
    before = there.get("settings", {})
    fields = [
        f"{name} {before.get(name)!r}, not {value!r}"
        for name, value in wanted["settings"].items()
        if before.get(name) != value
    ]
    whats += ["other settings (" + "; ".join(fields) + ")"] if fields else []
    return (
        f"{folder} holds predictions of {' and '.join(whats)}. Name another folder, or replace them"
        " with --force."
    )


def model_digest(model: Path) -> str:
    """Of a SavedModel's files: the same before and after it is pushed."""
    return digest.digest_of(digest.sha256_of_files(local_copy(model)))


def _clear(folder: Path) -> None:
    """Takes away what an earlier task left.

    First what says that something is there, and its identity not at all.
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
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    names = [*(file["name"] for file in manifest["files"]), BAD_ROWS, TASK, MANIFEST]
    return [folder / name for name in names if (folder / name).exists()]


# Chunks


def chunk_path(folder: Path, shard: int, number: int) -> Path:
    """Where it is noted that a chunk's predictions are there."""
    return folder / CHUNKS / f"{shard:05d}-{number:05d}.json"


def done(folder: Path) -> dict[int, tuple[frozenset[int], bool]]:
    """shard -> (the chunks of it that are there, whether these are all of them).

    Shards of which nothing is there are left out.
    """
    found: dict[int, set[int]] = {}
    for path in (folder / CHUNKS).glob("*-*.json"):
        shard, _, number = path.name.removesuffix(".json").partition("-")
        found.setdefault(int(shard), set()).add(int(number))
    # Without a gap; whether it is the last one, its note says.
    ends = {shard: max(chunks) for shard, chunks in found.items() if max(chunks) == len(chunks) - 1}
    notes = dict(
        zip(ends, _read_all([chunk_path(folder, *each) for each in ends.items()]), strict=True)
    )
    return {
        shard: (frozenset(chunks), shard in ends and bool(notes[shard]["last"]))
        for shard, chunks in found.items()
    }


def _read_all(paths: list[Path]) -> list[dict[str, Any]]:
    """The contents of JSON files, in order; of objects several at once."""
    if not paths or not is_remote(str(paths[0])):
        return [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    found: dict[int, dict[str, Any]] = {}
    gcs.at_once(
        lambda number: found.update(
            {number: json.loads(paths[number].read_text(encoding="utf-8"))}
        ),
        [(n,) for n in range(len(paths))],
    )
    return [found[number] for number in range(len(paths))]


def finished(folder: Path) -> Figures | None:
    """The figures of a finished task, None for one that is not."""
    try:
        return figures(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def finish(task: Task, params: BulkInferrerParams, labels: list[str]) -> Figures:
    """Writes bad_rows.jsonl and predictions.json.

    Raises DataError for more bad rows than max_bad_fraction, and for files that changed.
    """
    total = Summary()
    paths = sorted((task.folder / CHUNKS).glob("*-*.json"))
    with tempfile.TemporaryFile("w+b") as bad_rows:
        for chunk in (
            chunk
            for first in range(0, len(paths), NUM_READ)
            for chunk in _read_all(paths[first : first + NUM_READ])
        ):
            total.num_rows += chunk["num_rows"]
            total.num_labels.update(chunk["num_labels"])
            if chunk["num_rows"]:
                total.files.append({name: chunk[name] for name in ("name", "num_rows", "first")})
            for row in chunk["bad_rows"]:
                bad_rows.write(json.dumps(row).encode() + b"\n")
                total.num_bad[row["problem"]] += 1
                if len(total.quoted) < NUM_QUOTED:
                    total.quoted.append(f"{row['file']}:{row['line']}: {row['reason']}")
        validate(total, params)
        if source.digest(source.find(params)[1], task.memory) != task.identity["source"]:
            raise source.changed(params.source)
        if total.num_bad:
            bad_rows.seek(0)
            with writing(task.folder / BAD_ROWS) as name, open(name, "wb") as file:
                shutil.copyfileobj(bad_rows, file)
    manifest = {
        "model": {
            "digest": task.identity["model"],
            "version": int(task.model.name) if task.model.name.isdigit() else None,
        },
        "source": {
            "digest": task.identity["source"],
            "num_files": len(task.files),
            "num_bytes": sum(file.size for file in task.files),
        },
        "settings": task.identity["settings"],
        "labels": labels,
        "num_rows": total.num_rows,
        "num_labels": {label: total.num_labels[label] for label in labels},
        "num_bad_rows": sum(total.num_bad.values()),
        "bad_rows": dict(sorted(total.num_bad.items())),
        "quoted": total.quoted,
        "files": total.files,
    }
    _write(task.folder / MANIFEST, manifest)
    return figures(manifest)


def figures(manifest: dict[str, Any]) -> Figures:
    return {name: manifest[name] for name in ("num_rows", "num_labels", "num_bad_rows")} | {
        "model": manifest["model"]["digest"]
    }


def summary(folder: Path) -> Summary:
    """What a finished task counted."""
    found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return Summary(
        found["num_rows"],
        Counter(found["num_labels"]),
        Counter(found["bad_rows"]),
        found["quoted"],
        found["files"],
    )


def validate(found: Summary, params: BulkInferrerParams) -> None:
    """Raises DataError for more bad rows than max_bad_fraction."""
    num_bad = sum(found.num_bad.values())
    num_read = found.num_rows + num_bad
    allowed = math.floor(params.max_bad_fraction * num_read + 1e-9)  # 0.29 * 100 is 28.999...
    if num_bad > allowed:
        more = f" ... and {num_bad - len(found.quoted)} more" if num_bad > len(found.quoted) else ""
        raise DataError(
            f"{num_bad} of {num_read} rows cannot be used; bulk_inferrer.max_bad_fraction"
            f" {params.max_bad_fraction} allows {allowed}: {'; '.join(found.quoted)}{more}. Correct"
            " them, or raise bulk_inferrer.max_bad_fraction to list them: what was computed is"
            " kept."
        )


def _write(path: Path, content: dict[str, Any]) -> None:
    with writing(path) as name:
        Path(name).write_text(
            json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
