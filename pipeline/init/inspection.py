"""Reads the beginning of data: their format, how their rows are read, and the columns' values."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.init import fast_text, header, layout
from pipeline.init.column import Column
from seqline.errors import DataError, UserError
from seqline.rows import unused
from seqline.rows.encodings import check_encoding
from seqline.rows.formats import all_formats, folder, format_of
from seqline.rows.row import RowFormat, partitions_of
from seqline.storage import compression
from seqline.storage.files import File, is_remote

# Of all files together. Files are often sorted by label: a few thousand rows would show two classes
# of twenty.
MAX_ROWS = 100_000
MAX_BYTES = 16 << 20
# Files that are looked into, those of a folder of classes, and those of a bucket.
MAX_FILES = 1000
MAX_TEXTS = 200
MAX_REMOTE_FILES = 50
# Columns that are looked at. Objects may have a name of their own in each row.
MAX_COLUMNS = 1000
# The formats whose files are text.
TEXT_KINDS = ("csv", "jsonl", "folder")
SECTION = "example_gen"


@dataclass
class Inspection:
    """The beginning of a source, and the properties that it shows.

    Attributes:
        source: As `example_gen.source`.
        file: The first of the files that were read.
        kind: The NAME of their format.
        num_files: Files of the whole source.
        num_bytes: Bytes of the whole source.
        columns: The columns of the rows that were read, in the order of their first use.
        num_rows: Rows that were read, or all texts of a folder.
        whole: Whether these are all rows.
        has_splits: Whether the files say the splits of their rows.
        encoding: The encoding that was given or guessed.
        mark: The encoding that the byte order mark of the first file says; None without one.
        delimiter: The delimiter that was given or guessed.
        is_quoted: Whether quotes enclose the fields of a CSV file.
        header: The names of all columns of files without a header.
        counts: Label -> rows, of a folder of classes.
        notes: Sentences about what looks wrong.
    """

    source: str | dict[str, str]
    file: str
    kind: str
    num_files: int
    num_bytes: int
    columns: list[Column] = field(default_factory=list)
    num_rows: int = 0
    whole: bool = True
    has_splits: bool = False
    encoding: str = "utf-8"
    mark: str | None = None
    delimiter: str = ","
    is_quoted: bool = True
    header: tuple[str, ...] = ()
    counts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [column.name for column in self.columns]

    @property
    def has_classes(self) -> bool:
        """Whether the folders are the classes, so that there are no columns to name."""
        return self.kind == folder.NAME

    @property
    def is_text(self) -> bool:
        """Whether its files are text, in some encoding."""
        return self.kind in TEXT_KINDS

    def column(self, name: str) -> Column:
        """The column with this name."""
        return next(column for column in self.columns if column.name == name)

    def joined(self, names: Sequence[str]) -> Column:
        """The contents of some columns, as example_gen joins them. One column is itself."""
        if len(names) == 1:
            return self.column(names[0])

        values = []
        for row in zip(*(self.column(name).values for name in names), strict=True):
            parts = [value for value in row if value not in (None, "")]
            is_text = all(isinstance(value, str) for value in parts)
            values.append(" ".join(parts) if is_text else parts[0])
        return Column(" and ".join(names), values)

    def reading(self) -> dict[str, Any]:
        """How the rows are read, as fields of example_gen, where these are not the defaults."""
        fields: dict[str, Any] = {}
        if self.encoding != "utf-8":
            fields["encoding"] = self.encoding
        if self.delimiter != ",":
            fields["delimiter"] = self.delimiter
        if not self.is_quoted:
            fields["quoting"] = "none"
        if self.header:
            fields["columns"] = list(self.header)
        return fields


def stem(source: str) -> Path:
    """A file name for a source's configuration: `reviews.toml` for data/reviews.csv.gz.

    It is the same for reviews/*.csv.
    """
    literal = [
        part
        for part in source.removeprefix("tfds:").rstrip("/").split("/")
        if part and not re.search(r"[*?\[{:]", part)
    ]
    name = literal[-1] if literal else "model"
    suffixes = "|".join(
        re.escape(suffix) for format_ in all_formats() for suffix in format_.SUFFIXES
    )
    short = re.sub(rf"({suffixes}){compression.SUFFIX}$", "", name, flags=re.IGNORECASE)
    return Path("model.toml" if name in (".", "..") or not short else f"{short}.toml")


def inspect(source: str | dict[str, str], given: Mapping[str, Any] | None = None) -> Inspection:
    """Reads the beginning of a source.

    Args:
        source: As `example_gen.source`.
        given: Fields of example_gen that say how rows are read, as far as they are known:
            encoding, delimiter, quoting, columns. The others are guessed.

    Raises:
        UserError: The source names nothing, or what is given cannot be right.
        DataError: No file has a row.
    """
    from components.example_gen import ExampleGenParams, splits

    given = given or {}
    if isinstance(source, str):
        fast_text.refuse_other_names(source)
    spans = splits.find(ExampleGenParams(source=source))
    all_files = [file for span in spans for part in span.parts for file in part.files]

    # The newest span shows best what is to come. It may have empty files only.
    train = [
        part
        for span in reversed(spans)
        for part in span.parts
        if part.split in (None, "train") and part.files
    ]
    if not train:
        raise DataError(f"{all_files[0].path} has rows, and no file of train has. Add some.")
    kind = train[0].kind
    files = [file for part in train for file in part.files]

    inspected = Inspection(
        source=source,
        file=files[0].path,
        kind=kind,
        num_files=len(all_files),
        num_bytes=sum(file.size for file in all_files),
        has_splits=any(part.split is not None for part in train),
        notes=unused.warnings((record for span in spans for record in span.unused), "the source"),
    )
    some = _sample(files, kind)
    format_ = _format(inspected, given, [file.path for file in some])
    rows = _Rows(kind, format_)
    inspected.whole = rows.read(some) and len(some) == len(files)
    _fill(inspected, rows, files, given.get("columns", ()))
    return inspected


def _sample(files: Sequence[File], kind: str) -> list[File]:
    """Files from all parts of a source: in each there may be another label."""
    limit = MAX_TEXTS if kind == folder.NAME else MAX_FILES
    if is_remote(files[0].path):
        limit = min(limit, MAX_REMOTE_FILES)
    if len(files) <= limit:
        return list(files)
    return [files[place * len(files) // limit] for place in range(limit)]


def _format(inspected: Inspection, given: Mapping[str, Any], paths: Sequence[str]) -> RowFormat:
    """How rows are read. What is guessed is noted in the inspection."""
    format_ = RowFormat(
        SECTION,
        text=(),
        encoding=given.get("encoding", "utf-8"),
        delimiter=given.get("delimiter"),
        quoting=given.get("quoting", "auto"),
        header=tuple(given.get("columns", ())),
    )
    check_encoding(format_)
    if format_.delimiter is not None and len(format_.delimiter) != 1:
        raise UserError(
            f"{SECTION}.delimiter {format_.delimiter!r} is not one character, such as ';'."
        )
    if not inspected.is_text:
        return format_

    if "encoding" not in given:
        format_ = replace(format_, encoding=layout.encoding_of(paths, MAX_BYTES))
    inspected.encoding = format_.encoding
    inspected.mark = layout.mark_of(inspected.file)
    return _csv_format(inspected, format_, paths) if inspected.kind == "csv" else format_


def _csv_format(inspected: Inspection, format_: RowFormat, paths: Sequence[str]) -> RowFormat:
    """How the rows of CSV files are read, by the first of them that has a line."""
    layouts = (layout.layout_of(path, format_) for path in paths)
    found = next((found for found in layouts if found is not None), None)
    if found is None:
        return format_

    inspected.delimiter, inspected.is_quoted = found.delimiter, found.is_quoted
    inspected.header = format_.header or tuple(
        f"column_{place + 1}" for place in range(found.num_columns)
    )
    for name in {name for name in found.names if name and found.names.count(name) > 1}:
        inspected.notes.append(
            f"{found.names.count(name)} columns are called {name!r}, so that none of them can be"
            " read: rename all but one."
        )
    if not inspected.header and found.names and header.looks_odd(found.names):
        inspected.notes.append(
            "The first line looks like a row and was taken for the header. If it is a row, name the"
            f" {len(found.names)} columns: columns = [...]."
        )
    return replace(
        format_,
        # Comments may come before the header, which a name tells.
        text=found.names[:1] if found.has_comments else (),
        delimiter=found.delimiter,
        quoting="double" if found.is_quoted else "none",
        header=inspected.header,
    )


def _fill(
    inspected: Inspection, rows: "_Rows", files: Sequence[File], given_header: Sequence[str]
) -> None:
    """Fills in the columns of the rows that were read."""
    if inspected.kind == "jsonl" and len(rows.rows) == 1:
        _refuse_documents(rows.rows[0], inspected.file)
    if not rows.rows:
        unit = "JSON object" if inspected.kind == "jsonl" else "row"
        raise DataError(f"{inspected.file} holds no {unit} that can be read. Name files with rows.")

    names = list(dict.fromkeys(name for row in rows.rows for name in row))[:MAX_COLUMNS]
    inspected.columns = [Column(name, [row.get(name) for row in rows.rows]) for name in names]
    inspected.num_rows = len(rows.rows)

    if inspected.has_classes:
        inspected.counts = Counter(folder.label_of(file.path, "label") for file in files)
        inspected.num_rows = len(files)
        inspected.whole = True
    elif inspected.header and not given_header:
        _name_columns(inspected)
    elif inspected.kind == "csv":
        _strip_names(inspected)


def _name_columns(inspected: Inspection) -> None:
    """Names the columns of files without a header by their values."""
    own = [column for column in inspected.columns if column.name in inspected.header]
    for column, name in zip(own, header.names_for(own), strict=True):
        column.name = name
    inspected.header = tuple(column.name for column in own)


def _strip_names(inspected: Inspection) -> None:
    """Takes the blanks around names away, as the format does."""
    stripped = [name.strip() for name in inspected.names]
    if len(set(stripped)) == len(stripped):
        for column, name in zip(inspected.columns, stripped, strict=True):
            column.name = name


def _refuse_documents(row: Mapping[str, Any], path: str) -> None:
    """Refuses a file of one JSON object that holds the rows, as its format does.

    Args:
        row: Its fields, see `nested.fields_of`.
        path: The file.
    """
    outer = list(dict.fromkeys(name.split(".")[0] for name in row))
    inner = list(dict.fromkeys(name.split(".")[1] for name in row if "." in name))
    names = outer
    if not set(outer) & set(row) and not all(name.isdecimal() for name in inner):
        names = inner
    in_lists = [name.split(".") for name in row if re.fullmatch(r"[^.]+\.0\.[^.]+", name)]
    if in_lists:
        names = [name for first, _, name in in_lists if first == in_lists[0][0]]
    format_of("jsonl").check(path, RowFormat(SECTION, text=tuple(names)))


@dataclass
class _Rows:
    """Reads rows of files, up to the limits.

    Attributes:
        kind: The NAME of the files' format.
        format_: How they are read.
        rows: What was read: column -> value.
        num_bytes: Bytes of their values, about.
    """

    kind: str
    format_: RowFormat
    rows: list[dict[str, Any]] = field(default_factory=list)
    num_bytes: int = 0

    def read(self, files: Sequence[File]) -> bool:
        """Reads files, about as much of each. Returns whether all of their rows were read."""
        is_whole = True
        by_file = {}
        # What small ones leave, the others may have.
        by_size = sorted(files, key=lambda file: file.size)
        for num_left, file in zip(range(len(files), 0, -1), by_size, strict=True):
            max_rows = -(-(MAX_ROWS - len(self.rows)) // num_left)
            max_bytes = (MAX_BYTES - self.num_bytes) / num_left
            by_file[file.path], is_all = self._of_file(file.path, max_rows, max_bytes)
            self.rows += by_file[file.path]
            is_whole = is_whole and is_all

        self.rows = [row for file in files for row in by_file[file.path]]
        return is_whole

    def _of_file(
        self, path: str, max_rows: int, max_bytes: float
    ) -> tuple[list[dict[str, Any]], bool]:
        """The first rows of a file, one at least, and whether they are all."""
        partitions = partitions_of(path)
        rows: list[dict[str, Any]] = []
        num_bytes = 0
        for row in format_of(self.kind).raw_rows(path, self.format_):
            if rows and (len(rows) >= max_rows or num_bytes >= max_bytes):
                self.num_bytes += num_bytes
                return rows, False
            rows.append({**row, **partitions})
            num_bytes += sum(len(value) for value in row.values() if isinstance(value, str | list))

        self.num_bytes += num_bytes
        return rows, True
