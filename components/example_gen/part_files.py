"""The files of a span's part in the span cache: its counts, and those that artifacts take over."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from components.example_gen.row_counts import RowCounts
from seqline.data.span_cache import files_of, is_whole, link_all
from seqline.errors import DataError, UserError
from seqline.storage import records
from seqline.storage.files import is_remote
from seqline.storage.path import ObjectPath
from seqline.storage.staging import remove, writing

# The file of a span's part that holds its RowCounts.
SPAN_COUNTS = "span.json"


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


def take_over(parts: Iterable[Path], output: Path) -> None:
    """Links the files of the spans' parts into the artifact."""
    pairs = [
        (path, output / path.relative_to(part))
        for part in parts
        for path in files_of(part)
        if path.parent != part
    ]
    for folder in {target.parent for _, target in pairs}:
        folder.mkdir(exist_ok=True)
    link_all(pairs)
