"""The files of a span's part in the span cache: its counts, and those that artifacts take over."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import apache_beam as beam

from components.example_gen.row_counts import RowCounts
from seqline.data.elements import elements
from seqline.data.span_cache import files_of, is_whole, link_all
from seqline.errors import DataError, UserError
from seqline.host import progress
from seqline.jobs.beam import is_elsewhere, job
from seqline.storage import records
from seqline.storage.files import is_remote
from seqline.storage.path import ObjectPath
from seqline.storage.staging import path_of, remove, writing

# The file of a span's part that holds its RowCounts.
SPAN_COUNTS = "span.json"
# Files that the machine of the command copies itself: ten at once, some two minutes. A job on
# Dataflow begins after four.
MOST_COPIES = 10_000
# Copies that a worker makes for one element.
BATCH_COPIES = 100


def read_counts(folder: Path) -> RowCounts:
    """The counts of a part, finished or not. Raises UserError for missing or damaged ones."""
    way_out = f"Remove {folder}; the next run reads its span again."
    path = folder / SPAN_COUNTS
    try:
        return records.read(RowCounts, path, way_out)
    except FileNotFoundError:
        raise UserError(f"{path} is missing. {way_out}") from None


def write_counts(span: int, counts: RowCounts, folders: Mapping[int, str]) -> None:
    """Writes the counts of a span into its folder."""
    with writing(f"{folders[span]}/{SPAN_COUNTS}") as name:
        Path(name).write_text(json.dumps(asdict(counts), indent=2) + "\n")


def check_files(folder: Path, counts: RowCounts) -> None:
    """Checks that a folder in a bucket, in which a part is made, has no other files than the part.

    Two runs may have made the part at once: the same files, unless one of them has just found the
    part damaged and removed it. And a killed run may have left files of a source that changed.

    Raises:
        DataError: It has others, or lacks some. The folder is removed.
    """
    if not is_remote(str(folder)) or is_whole(folder):
        return

    counts_file = str(folder / SPAN_COUNTS)
    num_files = sum(str(path) != counts_file for path, *_ in ObjectPath(str(folder)).beneath())
    if num_files != counts.num_files:
        remove(folder)
        raise DataError(
            f"{folder} holds {num_files:,} files where {counts.num_files:,} were written: another"
            " run has removed some, or has left others. All of them are removed. Run again."
        )


def take_over(
    parts: Iterable[Path], output: Path, beam_args: Sequence[str], list_folder: Path
) -> None:
    """Links the files of the spans' parts into the artifact.

    In a bucket they are copied, each by one request. Beam's workers do that if they are elsewhere
    and the files are many: a job has to begin first.

    Args:
        parts: The parts.
        output: The artifact.
        beam_args: Where jobs run.
        list_folder: See `elements`.
    """
    pairs = [
        (path, output / path.relative_to(part))
        for part in parts
        for path in files_of(part)
        if path.parent != part
    ]
    for folder in {target.parent for _, target in pairs}:
        folder.mkdir(exist_ok=True)

    if len(pairs) <= MOST_COPIES or not is_remote(str(output)) or not is_elsewhere(beam_args):
        link_all(pairs)
        return

    progress.tell(f"copying {len(pairs):,} files into the artifact")
    with elements(_batches(pairs), list_folder) as batches, job(beam_args) as pipeline:
        _ = pipeline | "Batches" >> batches | "Copy" >> beam.Map(_copy)


def _batches(pairs: Sequence[tuple[Path, Path]]) -> Iterator[list[tuple[str, str]]]:
    for start in range(0, len(pairs), BATCH_COPIES):
        batch = pairs[start : start + BATCH_COPIES]
        yield [(str(source), str(target)) for source, target in batch]


def _copy(batch: list[tuple[str, str]]) -> None:
    """On a worker. A second try writes the same bytes."""
    link_all([(path_of(source), path_of(target)) for source, target in batch])
