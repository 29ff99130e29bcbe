"""examples.json: what example_gen read, span by span, and what became of it."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from seqline.data import features
from seqline.data.examples import Content
from seqline.errors import DataError
from seqline.storage import records
from seqline.storage.record_stream import Entries, read_by_entry
from seqline.storage.records import Count

MANIFEST = "examples.json"


@dataclass(frozen=True)
class Span:
    """One period of arriving data, as it was ingested.

    Attributes:
        number: The span.
        key: The digest of all that its shards were derived from: equal keys mean equal shards.
        version: The version of the span's files, where the source has versions.
        num_read: All rows that were read.
        num_rows: Split -> label -> rows.
        num_bad: Problem -> rows that could not be used.
        num_left_out: Split -> label -> rows of rare classes that are in no split.
        key_as_read: The key before anything was decided for the window.
        key_as_split: The key before anything was decided about rare classes, where a column of
            splits lacks some; "" elsewhere.
        num_files: Files with rows that were read.
        unused_files: {reason, count, names of the first ones} of the files that were not, for each
            reason.
        num_normalized: Rows whose label was not written in its normal form.
        written: Label as it was written, where that is not its normal form -> rows, for the first
            such forms.
        num_swallowed: Lines in quoted fields of CSV files that look like rows.
        swallowing: The files and lines of the first rows with such lines.
    """

    number: int
    key: str
    version: int | None = None
    num_read: Count = 0
    num_rows: dict[str, dict[str, Count]] = field(default_factory=dict)
    num_bad: dict[str, Count] = field(default_factory=dict)
    num_left_out: dict[str, dict[str, Count]] = field(default_factory=dict)
    key_as_read: str = ""
    key_as_split: str = ""
    num_files: Count = 0
    unused_files: list[dict[str, Any]] = field(default_factory=list)
    num_normalized: Count = 0
    written: dict[str, Count] = field(default_factory=dict)
    num_swallowed: Count = 0
    swallowing: list[str] = field(default_factory=list)


# What was done with the rows of a rare class, as examples.json says it.
LEFT_OUT, GATHERED, KEPT = "left out", "gathered", "kept"


@dataclass(frozen=True)
class RareClass:
    """A class with fewer rows in train than min_class_rows, or a class with a single row.

    Attributes:
        label: The class.
        num_rows: Split -> rows, as they came.
        place: The file and line of the first one.
        done: LEFT_OUT or GATHERED; KEPT for a class with a single row.
        is_unseen: Whether train has no row of it and can have none, because the source has splits
            of its own.
    """

    label: str
    num_rows: dict[str, Count]
    place: str
    done: str
    is_unseen: bool = False

    @property
    def counted(self) -> str:
        """`2 rows in eval and 1 row in test, the first at b.csv:3`."""
        counts = " and ".join(
            f"{count:,} row{'' if count == 1 else 's'} in {split}"
            for split, count in self.num_rows.items()
        )

        is_single = sum(self.num_rows.values()) == 1
        return f"{counts}, {'at' if is_single else 'the first at'} {self.place}"


@dataclass(frozen=True)
class Manifest:
    """examples.json.

    Attributes:
        content: What a row holds.
        dim: Numbers of one time step of a sequence; None for text and tokens.
        spans: The spans of the window, in ascending order.
        rare_classes: The rare classes of the window, in ascending order of their labels.
        is_weighted: Whether each row has a weight.
    """

    content: Content
    dim: Count | None
    spans: tuple[Span, ...]
    rare_classes: tuple[RareClass, ...] = ()
    is_weighted: bool = False

    @property
    def splits(self) -> list[str]:
        """The splits, train first."""
        return [
            split for split in features.SPLITS if any(split in span.num_rows for span in self.spans)
        ]


def write_manifest(manifest: Manifest, root: Path) -> None:
    """Writes examples.json."""
    content = asdict(manifest)
    if not manifest.is_weighted:
        del content["is_weighted"]
    for span in content["spans"]:
        if not span["key_as_split"]:
            del span["key_as_split"]
    (root / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_manifest(root: Path) -> Manifest:
    """Reads examples.json.

    Raises:
        DataError: It is missing.
        UserError: It is damaged.
    """
    try:
        return records.read(Manifest, root / MANIFEST, records.MADE_AGAIN)
    except FileNotFoundError:
        raise _not_examples(root) from None


def read_outline(root: Path) -> Manifest:
    """As `read_manifest`, without the numbers of rows, of which one span's are in memory at a time.

    For each span, split and class there is one: there may be millions.
    """

    def outline(_: str, span: Span) -> Span:
        return replace(span, num_rows={}, num_left_out={})

    try:
        manifest, kept = read_by_entry(Manifest, root / MANIFEST, {"spans": Entries(Span, outline)})
    except FileNotFoundError:
        raise _not_examples(root) from None
    return replace(manifest, spans=tuple(kept["spans"].values()))


def _not_examples(root: Path) -> DataError:
    return DataError(f"{root} has no {MANIFEST}: these are not Examples of example_gen.")


def content_of(root: Path) -> tuple[Content, int | None]:
    """The content of Examples, and the numbers of a time step where it is a sequence.

    Examples without a manifest, which another tool wrote, hold text.
    """
    if not (root / MANIFEST).is_file():
        return "text", None
    manifest = read_manifest(root)
    return manifest.content, manifest.dim
