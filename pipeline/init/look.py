"""The beginning of the data.

Its format, encoding and delimiter, its columns, and what they hold.
"""

import codecs
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from seqline.errors import DataError, UserError
from seqline.storage import files

# Of all files together. Files are often sorted by label: a few thousand rows would show two classes
# of twenty.
MAX_ROWS = 100_000
MAX_BYTES = 16 << 20
DELIMITERS = ",\t;|"
# What a file that is not UTF-8 most often is.
OTHER_ENCODING = "cp1252"


@dataclass
class Column:
    """A column's values in the first rows, None where a row has none."""

    name: str
    values: list[Any] = field(default_factory=list)

    @property
    def there(self) -> list[Any]:
        return [value for value in self.values if value not in (None, "")]


@dataclass
class Found:
    """What the first rows of a source show.

    source: as `example_gen.source`. file: the one that was looked at. kind: csv, jsonl, tfrecord,
    parquet or folder. num_files, num_bytes: of the whole source. whole: whether all of its rows
    were read. counts: label -> rows, of a folder of classes.
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
        return [column.name for column in self.columns]

    @property
    def has_classes(self) -> bool:
        """Whether the folders are the classes, so that there are no columns to name."""
        return self.kind == "folder"

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    def reading(self) -> dict[str, str]:
        """The settings of example_gen that say how the rows are read, where they are not the
        defaults.
        """
        found = {"encoding": self.encoding} if self.encoding != "utf-8" else {}
        return found | ({"delimiter": self.delimiter} if self.delimiter != "," else {})


def stem(source: str) -> Path:
    """What a source is called, as a path without its suffixes.

    `reviews` for data/reviews.csv.gz and for reviews/*.csv.
    """
    parts = [
        part
        for part in source.removeprefix("tfds:").rstrip("/").split("/")
        if part and not re.search(r"[*?\[{:]", part)
    ]
    name = parts[-1] if parts else "model"
    for suffix in (".gz", ".csv", ".tsv", ".jsonl", ".parquet", ".tfrecord", ".tfrecords", ".txt"):
        name = name.removesuffix(suffix)
    return Path(name or "model").with_suffix("") if name in (".", "..") else Path(f"{name}.toml")


def look(
    source: str | dict[str, str], encoding: str | None = None, delimiter: str | None = None
) -> Found:
    """Raises UserError for a source that names nothing, and DataError for a file without a row."""
    from components.example_gen import ExampleGenParams, splits

    spans = splits.find(ExampleGenParams(source=source))
    everything = [file for span in spans for part in span.parts for file in part.files]
    train = [
        part for span in reversed(spans) for part in span.parts if part.split in (None, "train")
    ]
    paths = [file.path for part in train for file in part.files if file.size]
    if not paths:
        raise DataError(f"{everything[0].path} is empty.")
    about: dict[str, Any] = {
        "source": source,
        "file": paths[0],
        "kind": train[0].kind,
        "num_files": len(everything),
        "num_bytes": sum(file.size for file in everything),
    }
    if train[0].kind == "folder":
        return _folder(about, paths)
    try:
        codecs.lookup(encoding or "utf-8")
    except LookupError:
        raise UserError(
            f"example_gen.encoding {encoding!r} is not an encoding that Python knows, such as utf-8"
            " or latin-1."
        ) from None
    if delimiter is not None and len(delimiter) != 1:
        raise UserError(f"example_gen.delimiter {delimiter!r} is not one character.")
    reader = _Reader(train[0].kind, encoding, delimiter)
    is_whole = reader.read(paths)
    if not reader.rows:
        raise DataError(f"{paths[0]} holds no row that can be read.")
    names = list(dict.fromkeys(name for row in reader.rows for name in row))
    columns = [Column(name, [row.get(name) for row in reader.rows]) for name in names]
    about |= {"encoding": reader.encoding or "utf-8", "delimiter": reader.delimiter or ","}
    return Found(
        **about, columns=columns, num_rows=len(reader.rows), whole=is_whole, notes=reader.notes
    )


@dataclass
class _Reader:
    """The rows of files, up to the limits. encoding, delimiter.

    Of the first file, where they are not given.
    """

    kind: str
    encoding: str | None = None
    delimiter: str | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    num_bytes: int = 0

    def read(self, paths: Sequence[str]) -> bool:
        """Whether it was everything."""
        is_whole = True
        for path in paths:
            if len(self.rows) >= MAX_ROWS or self.num_bytes >= MAX_BYTES:
                return False
            rows, is_all = self._rows(path)
            self.rows += rows
            is_whole = is_whole and is_all
        return is_whole

    def _rows(self, path: str) -> tuple[list[dict[str, Any]], bool]:
        left = MAX_ROWS - len(self.rows)
        if self.kind == "parquet":
            return _parquet_rows(path, left)
        if self.kind == "tfrecord":
            return _tfrecord_rows(path, left)
        beginning, is_whole = _beginning(path, MAX_BYTES - self.num_bytes)
        self.num_bytes += len(beginning)
        self.encoding = self.encoding or _encoding(beginning, path)
        text = beginning.decode(
            "utf-8-sig" if self.encoding == "utf-8" else self.encoding, "replace"
        )
        if self.kind == "jsonl":
            return _jsonl_rows(text, is_whole, left)
        self.delimiter = self.delimiter or _delimiter(text, path)
        return _csv_rows(text, self.delimiter, is_whole, left, self.notes)


def _beginning(path: str, limit: int) -> tuple[bytes, bool]:
    """The first bytes of a file, unzipped, up to the end of a line; and whether they are all."""
    with files.translate_errors(path), files.open_content(path) as file:
        content = file.read(limit)
        if not file.read(1):
            return content, True
    return content[: content.rfind(b"\n") + 1] or content, False


def _encoding(content: bytes, path: str) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UserError(f"{path} is UTF-16: convert it first: iconv -f utf-16 -t utf-8 FILE > NEW")
    try:
        # A character that the end cuts in two is no error.
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
    """The one that gives most rows as many fields as the header, and more than one."""
    tab_first = path.removesuffix(".gz").endswith(".tsv")
    sample = "\n".join(text.splitlines()[:200])

    def regularity(delimiter: str) -> tuple[float, int]:
        try:
            rows = [row for row in csv.reader(io.StringIO(sample), delimiter=delimiter) if row]
        except csv.Error:
            return (0.0, 0)
        if not rows or len(rows[0]) < 2:
            return (0.0, 0)
        return (round(sum(len(row) == len(rows[0]) for row in rows) / len(rows), 2), len(rows[0]))

    best = max(
        DELIMITERS, key=lambda delimiter: (regularity(delimiter), tab_first and delimiter == "\t")
    )
    return best if regularity(best)[0] > 0.5 else ("\t" if tab_first else ",")


def _csv_rows(
    text: str, delimiter: str, is_whole: bool, limit: int, notes: list[str]
) -> tuple[list[dict[str, Any]], bool]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[dict[str, Any]] = []
    try:
        header = next(filter(None, reader), [])
        if len(set(header)) < len(header) or any(
            len(name) > 80 or re.fullmatch(r"-?\d+(\.\d+)?", name) for name in header
        ):
            notes.append(
                "the first line does not look like the names of columns; seqline needs a header:"
                " add one"
            )
        for fields in reader:
            if len(rows) == limit:
                return rows, False
            if len(fields) == len(header):
                rows.append(dict(zip(header, fields, strict=True)))
    except csv.Error as error:
        notes.append(f"line {reader.line_num} is not CSV: {error}")
    return rows, is_whole


def _jsonl_rows(text: str, is_whole: bool, limit: int) -> tuple[list[dict[str, Any]], bool]:
    rows: list[dict[str, Any]] = []
    for line in text.split("\n"):
        if len(rows) == limit:
            return rows, False
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows, is_whole


def _parquet_rows(path: str, limit: int) -> tuple[list[dict[str, Any]], bool]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with files.translate_errors(path), files.open_file(path) as file:
        try:
            with pq.ParquetFile(file, pre_buffer=False) as parquet:
                total = parquet.metadata.num_rows
                batch = next(parquet.iter_batches(limit, use_threads=False), None)
                rows = [] if batch is None else batch.to_pylist()
        except pa.ArrowException as error:
            raise files.damaged(path, "", str(error).splitlines()[0]) from error
    return rows, len(rows) == total


def _tfrecord_rows(path: str, limit: int) -> tuple[list[dict[str, Any]], bool]:
    from seqline.data.tf_example_reader import parse
    from seqline.rows.formats import tfrecord

    records = tfrecord.records(path)
    rows = [dict(_features(parse(record))) for record in islice(records, limit)]
    return rows, next(records, None) is None


def _features(features: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    from seqline.data.tf_example_reader import value

    for name in sorted(features):
        found = value(features[name])
        yield name, [_text(each) for each in found] if isinstance(found, list) else _text(found)


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _folder(about: dict[str, Any], paths: Sequence[str]) -> Found:
    """A folder of <class>/*.txt: the classes are counted whole, some texts of each are read."""
    counts = Counter(path.split("/")[-2] for path in paths)
    texts, labels = [], []
    step = max(1, len(paths) // 200)
    for path in paths[::step][:200]:
        with files.translate_errors(path), files.open_content(path) as file:
            texts.append(file.read(100_000).decode("utf-8", "replace"))
            labels.append(path.split("/")[-2])
    columns = [Column("text", texts), Column("label", labels)]
    return Found(**about, columns=columns, num_rows=len(paths), whole=True, counts=counts)
