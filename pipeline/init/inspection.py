"""Reads the beginning of data: their format, encoding, delimiter, and the values of the columns."""

import codecs
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seqline.errors import DataError, UserError
from seqline.rows import encodings, json_stream
from seqline.rows.formats import all_formats, format_of
from seqline.storage import files

# Of all files together. Files are often sorted by label: a few thousand rows would show two classes
# of twenty.
MAX_ROWS = 100_000
MAX_BYTES = 16 << 20
# Files of a folder of classes whose texts are read, and bytes of each.
MAX_TEXTS = 200
MAX_TEXT_BYTES = 100_000
DELIMITERS = ",\t;|"
# The most frequent encoding of files that are not UTF-8.
OTHER_ENCODING = "cp1252"


@dataclass
class Column:
    """A column's values in the first rows, None where a row has none."""

    name: str
    values: list[Any] = field(default_factory=list)

    @property
    def filled(self) -> list[Any]:
        """The values that are neither None nor empty."""
        return [value for value in self.values if value not in (None, "")]


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
        encoding: The encoding that was given or guessed.
        delimiter: The delimiter that was given or guessed.
        counts: Label -> rows, of a folder of classes.
        notes: Sentences about what looks wrong.
    """

    source: str | dict[str, str]
    file: str
    kind: str
    num_files: int
    num_bytes: int
    columns: list[Column]
    num_rows: int
    whole: bool
    encoding: str = "utf-8"
    delimiter: str = ","
    counts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [column.name for column in self.columns]

    @property
    def has_classes(self) -> bool:
        """Whether the folders are the classes, so that there are no columns to name."""
        return self.kind == "folder"

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

    def reading(self) -> dict[str, str]:
        """How the rows are read, as fields of example_gen, where these are not the defaults."""
        fields = {}
        if self.encoding != "utf-8":
            fields["encoding"] = self.encoding
        if self.delimiter != ",":
            fields["delimiter"] = self.delimiter
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
    for suffix in (".gz", *_suffixes()):
        name = name.removesuffix(suffix)
    return Path(name or "model").with_suffix("") if name in (".", "..") else Path(f"{name}.toml")


def _suffixes() -> list[str]:
    return [suffix for format_ in all_formats() for suffix in format_.SUFFIXES]


def inspect(
    source: str | dict[str, str], encoding: str | None = None, delimiter: str | None = None
) -> Inspection:
    """Reads the beginning of a source. Encoding and delimiter are guessed where none is given.

    Raises:
        UserError: The source names nothing, or the encoding or the delimiter cannot be right.
        DataError: A file has no row.
    """
    from components.example_gen import ExampleGenParams, splits

    spans = splits.find(ExampleGenParams(source=source))
    all_files = [file for span in spans for part in span.parts for file in part.files]

    # The newest span shows best what is to come.
    train = [
        part for span in reversed(spans) for part in span.parts if part.split in (None, "train")
    ]
    paths = [file.path for part in train for file in part.files if file.size]
    if not paths:
        raise DataError(f"{all_files[0].path} is empty.")

    kind = train[0].kind
    about: dict[str, Any] = {
        "source": source,
        "file": paths[0],
        "kind": kind,
        "num_files": len(all_files),
        "num_bytes": sum(file.size for file in all_files),
    }

    if kind == "folder":
        return _folder(about, paths)

    _check_reading(encoding, delimiter)
    reader = _Reader(kind, encoding, delimiter)
    is_whole = reader.read(paths)
    if not reader.rows:
        raise DataError(f"{paths[0]} holds no row that can be read.")

    names = list(dict.fromkeys(name for row in reader.rows for name in row))
    return Inspection(
        **about,
        columns=[Column(name, [row.get(name) for row in reader.rows]) for name in names],
        num_rows=len(reader.rows),
        whole=is_whole,
        encoding=reader.encoding or "utf-8",
        delimiter=reader.delimiter or ",",
        notes=reader.notes,
    )


def _check_reading(encoding: str | None, delimiter: str | None) -> None:
    try:
        codecs.lookup(encoding or "utf-8")
    except LookupError:
        raise UserError(
            f"example_gen.encoding {encoding!r} is not an encoding that Python knows, such as utf-8"
            " or latin-1."
        ) from None
    if delimiter is not None and len(delimiter) != 1:
        raise UserError(f"example_gen.delimiter {delimiter!r} is not one character.")


@dataclass
class _Reader:
    """Reads rows of files, up to the limits.

    Attributes:
        kind: The NAME of the files' format.
        encoding: If it is not given, that of the first file.
        delimiter: If it is not given, that of the first file.
        rows: What was read: column -> value.
        notes: Sentences about what looks wrong.
        num_bytes: Bytes of text that were read.
    """

    kind: str
    encoding: str | None = None
    delimiter: str | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    num_bytes: int = 0

    def read(self, paths: Sequence[str]) -> bool:
        """Reads files. Returns whether all of their rows were read."""
        is_whole = True
        for path in paths:
            if len(self.rows) >= MAX_ROWS or self.num_bytes >= MAX_BYTES:
                return False
            rows, is_all = self._rows(path)
            self.rows += rows
            is_whole = is_whole and is_all
        return is_whole

    def _rows(self, path: str) -> tuple[list[dict[str, Any]], bool]:
        """The first rows of a file, and whether they are all."""
        limit = MAX_ROWS - len(self.rows)
        first_rows = format_of(self.kind).first_rows(path, limit)
        if first_rows is not None:
            return first_rows

        beginning, is_whole = _beginning(path, MAX_BYTES - self.num_bytes)
        self.num_bytes += len(beginning)
        mark = encodings.mark_of(beginning)
        if mark is None:
            self.encoding = self.encoding or _encoding(beginning, path)
            text = beginning.decode(self.encoding, "replace")
        else:
            text = beginning[len(mark[0]) :].decode(mark[1], "replace")
        if self.kind == "jsonl":
            return _jsonl_rows(text, is_whole, limit)

        self.delimiter = self.delimiter or _delimiter(text, path)
        return _csv_rows(text, self.delimiter, is_whole, limit, self.notes)


def _beginning(path: str, limit: int) -> tuple[bytes, bool]:
    """The first bytes of a file, unzipped, up to the end of a line, and whether they are all."""
    with files.translate_errors(path), files.open_content(path) as file:
        content = file.read(limit)
        if not file.read(1):
            return content, True
    return content[: content.rfind(b"\n") + 1] or content, False


def _encoding(content: bytes, path: str) -> str:
    """The encoding of the beginning of a file without a byte order mark."""
    try:
        # The end may cut a character in two.
        codecs.getincrementaldecoder("utf-8")().decode(content)
        return "utf-8"
    except UnicodeDecodeError as error:
        if b"\0" in content[:1000]:
            raise DataError(f"{path} is not a text file: it holds zero bytes.") from error

    try:
        content.decode(OTHER_ENCODING)
        return OTHER_ENCODING
    except UnicodeDecodeError:
        return "latin-1"


def _delimiter(text: str, path: str) -> str:
    """The delimiter that gives most rows as many fields as the header, and more than one."""
    tab_first = path.lower().removesuffix(".gz").endswith(".tsv")
    sample = "\n".join(text.splitlines()[:200])

    def regularity(delimiter: str) -> tuple[float, int]:
        """(share of rows with as many fields as the header, fields of the header)."""
        try:
            rows = [row for row in csv.reader(io.StringIO(sample), delimiter=delimiter) if row]
        except csv.Error:
            return (0.0, 0)
        if not rows or len(rows[0]) < 2:
            return (0.0, 0)
        return (round(sum(len(row) == len(rows[0]) for row in rows) / len(rows), 2), len(rows[0]))

    by_name = "\t" if tab_first else ","
    best = max(DELIMITERS, key=lambda delimiter: (regularity(delimiter), delimiter == by_name))
    return best if regularity(best)[0] > 0.5 else by_name


def _csv_rows(
    text: str, delimiter: str, is_whole: bool, limit: int, notes: list[str]
) -> tuple[list[dict[str, Any]], bool]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[dict[str, Any]] = []

    try:
        header = next(filter(None, reader), [])
        if not _looks_like_names(header):
            notes.append(
                "the first line does not look like the names of columns; if it is a row, name them"
                " in example_gen.columns"
            )

        for fields in reader:
            if len(rows) == limit:
                return rows, False
            if len(fields) == len(header):
                rows.append(dict(zip(header, fields, strict=True)))
    except csv.Error as error:
        notes.append(f"line {reader.line_num} is not CSV: {error}")
    return rows, is_whole


def _looks_like_names(header: list[str]) -> bool:
    """Whether fields are different from each other, short, and not numbers."""
    is_number = re.compile(r"-?\d+(\.\d+)?").fullmatch
    has_others = any(len(name) > 80 or is_number(name) for name in header)
    return len(set(header)) == len(header) and not has_others


def _jsonl_rows(text: str, is_whole: bool, limit: int) -> tuple[list[dict[str, Any]], bool]:
    rows: list[dict[str, Any]] = []
    for value in _json_values(text):
        if len(rows) == limit:
            return rows, False
        if isinstance(value, dict):
            rows.append(value)
    return rows, is_whole


def _json_values(text: str) -> Iterator[Any]:
    """The values of a file's beginning, whose last one may be cut off."""
    if json_stream.is_stream(text):
        with suppress(json_stream.UnclosedError):
            for value in json_stream.values(io.StringIO(text)):
                yield value.value
        return

    for line in text.split("\n"):
        with suppress(ValueError, RecursionError):
            yield json.loads(line)


def _folder(about: dict[str, Any], paths: Sequence[str]) -> Inspection:
    """A folder of <class>/*.txt: all of its files are counted, and some of them are read."""
    counts = Counter(path.split("/")[-2] for path in paths)
    texts = []
    labels = []

    step = max(1, len(paths) // MAX_TEXTS)
    for path in paths[::step][:MAX_TEXTS]:
        with files.translate_errors(path), files.open_content(path) as file:
            texts.append(file.read(MAX_TEXT_BYTES).decode("utf-8", "replace"))
            labels.append(path.split("/")[-2])

    columns = [Column("text", texts), Column("label", labels)]
    return Inspection(**about, columns=columns, num_rows=len(paths), whole=True, counts=counts)
