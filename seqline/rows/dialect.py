"""The dialect of a CSV file: delimiter, header and quoting, as far as its own lines tell.

What is certain is taken. For the rest the errors name what would help.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from seqline.errors import DataError, UserError
from seqline.rows.encodings import ends_lines_as_ascii
from seqline.rows.judge import lack, refuse_doubled, require
from seqline.rows.row import RowFormat
from seqline.rows.values import short

# Tried in this order where the configuration names none.
DELIMITERS = (",", "\t", ";", "|")
# Named in messages if they would do; \x01 is Hive's.
RARE_DELIMITERS = ("\x01", "^", "~", ":", " ")
SHOWN = {",": "the comma", "\t": "the tab", ";": "the semicolon", "|": "the bar", " ": "the blank"}
# Lines that are looked at.
HEAD_LINES = 50
# Excel's first line, which names the delimiter.
SEP = re.compile(r'\s*"?sep=([^\r\n"])"?\s*', re.IGNORECASE)
# Characters that no text holds; \x01 may be a delimiter.
BINARY = re.compile("[\x00\x02-\x08\x0e-\x1a]")
WHOLE_LINES = (
    "each line is in quotes as a whole, so it is one field. Remove the first and the last quote of"
    " each line, and write those between that are doubled once"
)
NUMBER = re.compile(r"[-+]?\d+([.,]\d+)?([eE][-+]?\d+)?")
# So many rows with another number of fields than the header are no chance.
MANY_ROWS = 5
# No name of a column is so long, or has so many words.
LONG_NAME = 60
MANY_WORDS = 6


@dataclass(frozen=True)
class Dialect:
    """How the lines of a file are cut into fields.

    Attributes:
        delimiter: What separates fields.
        header: The names of the columns.
        start: Lines before the first row.
        num_unnamed: Columns at the end that have no name. A value there may be the end of a text
            with a delimiter that is not quoted.
        quotes: Whether quotes enclose fields; otherwise they are text.
        blanks: Whether blanks after a delimiter belong to it.
    """

    delimiter: str
    header: tuple[str, ...] = ()
    start: int = 0
    num_unnamed: int = 0
    quotes: bool = True
    blanks: bool = False

    @property
    def width(self) -> int:
        """Fields of a row."""
        return len(self.header)

    def reader(self, lines: Iterator[str] | Sequence[str]) -> Any:
        """A `csv.reader` of lines."""
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quoting=csv.QUOTE_MINIMAL if self.quotes else csv.QUOTE_NONE,
            skipinitialspace=self.blanks,
            strict=True,
        )


def head_of(text: Iterator[str]) -> list[str]:
    """The first lines, up to HEAD_LINES after the first one that is not blank."""
    head = []
    for line in text:
        head.append(line)
        if line.strip():
            break
    return head + list(islice(text, HEAD_LINES))


def find(head: Sequence[str], path: str, format_: RowFormat) -> Dialect | None:
    """The dialect of a file; None for one that has no header, and so no row.

    Args:
        head: The first lines of the file.
        path: Its path, for messages.
        format_: How its rows are read.

    Raises:
        UserError: The file lacks a column, or has another number of columns than are named.
        DataError: Its header is not CSV.
    """
    start = 0
    delimiters = DELIMITERS if format_.delimiter is None else (format_.delimiter,)
    if head and (sep := SEP.fullmatch(head[0])) and (sep[1] in delimiters or len(delimiters) > 1):
        start, delimiters = 1, (sep[1],)

    quotes = format_.quoting != "none"
    dialects = [Dialect(delimiter, quotes=quotes) for delimiter in delimiters]
    if format_.header:
        has_row = any(line.strip("\r\n") for line in head[start:])
        return _headerless(head, start, dialects, path, format_) if has_row else None

    while start < len(head) and not head[start].strip():
        start += 1
    # pandas writes `""` as the header of a frame without columns.
    if start == len(head) or [line.strip() for line in head[start:]] == ['""']:
        return None

    starts = [start]
    if head[start].startswith("#"):  # Comments may come first.
        starts += [
            number for number in range(start, len(head)) if head[number].strip("\r\n")[:1] != "#"
        ][:1]
    found = _with_header(head, starts, dialects, format_)
    if found is None:
        raise _no_header(head, start, dialects, path, format_)

    _refuse_duplicates(found, path, format_)
    return _with_width(head, found, path, format_)


def _with_header(
    head: Sequence[str], starts: Sequence[int], dialects: Sequence[Dialect], format_: RowFormat
) -> Dialect | None:
    """The first dialect by which one of these lines holds all columns that are read."""
    wanted = set(format_.columns)
    for start in starts:
        for dialect in dialects:
            fields, num_lines = _first(dialect, head[start:])
            # Blanks around a name are no part of it, unless they are asked for.
            for names in (fields, [name.strip() for name in fields]):
                if wanted <= set(names):
                    blanks = len(fields) > 1 and all(name[:1] == " " for name in fields[1:])
                    end = start + num_lines
                    return replace(dialect, header=tuple(names), start=end, blanks=blanks)
    return None


def _first(dialect: Dialect, lines: Sequence[str]) -> tuple[list[str], int]:
    """The fields of the first row, and its lines; no fields where it is not CSV."""
    reader = dialect.reader(lines)
    try:
        return next(filter(None, reader), []), reader.line_num
    except csv.Error:
        return [], reader.line_num


def rows_of(dialect: Dialect, lines: Sequence[str]) -> list[list[str]]:
    """The rows of the head that are CSV. Its last one may be cut off, so it does not count."""
    rows: list[list[str]] = []
    reader = dialect.reader(lines)
    while reader.line_num < len(lines):
        try:
            fields: list[str] = next(reader, [])
        except csv.Error:
            continue
        if fields:
            rows.append(fields)
    return rows


def _headerless(
    head: Sequence[str], start: int, dialects: Sequence[Dialect], path: str, format_: RowFormat
) -> Dialect:
    """The dialect by which most of the first rows have as many fields as columns are named."""
    section, names = format_.section, format_.header
    rows = [rows_of(dialect, head[start:]) for dialect in dialects]
    fitting = [sum(len(fields) == len(names) for fields in found) for found in rows]
    best = max(range(len(dialects)), key=lambda number: fitting[number])

    if not fitting[best]:
        most = max(range(len(dialects)), key=lambda number: len((rows[number] or [[]])[0]))
        num_fields = len((rows[most] or [[]])[0])
        raise UserError(
            f"{path}:{start + 1} has {num_fields} columns by {shown(dialects[most].delimiter)};"
            f" {section}.columns names {len(names)}: {list(names)}. Name the columns of the file,"
            f" or set {section}.delimiter."
        )

    def same(name: str) -> str:
        return name.strip().casefold()

    if [*map(same, rows[best][0])] == [*map(same, names)]:
        raise UserError(
            f"{path}:{start + 1} is a header, {', '.join(map(repr, rows[best][0]))}, and"
            f" {section}.columns is for files without one. Remove {section}.columns."
        )

    require(names, path, format_)
    found = replace(dialects[best], header=tuple(names), start=start)
    _refuse_duplicates(found, path, format_)
    return found


def _refuse_duplicates(dialect: Dialect, path: str, format_: RowFormat) -> None:
    refuse_doubled(dialect.header, path, format_)
    for name in format_.columns:
        if dialect.header.count(name) > 1:
            raise UserError(
                f"{path} has {dialect.header.count(name)} columns {name!r}; rename all but the one"
                " that is meant."
            )


def _with_width(head: Sequence[str], dialect: Dialect, path: str, format_: RowFormat) -> Dialect:
    """The dialect with empty last columns more or less, if all of the first rows say so.

    Raises:
        UserError: All of the first rows have another number of fields than the header.
    """
    rows = rows_of(dialect, head[dialect.start :])
    widths = {len(fields) for fields in rows}
    width = widths.pop() if len(widths) == 1 else dialect.width
    if width == dialect.width or len(rows) < 2:
        return _with_unnamed(dialect)

    num_more = width - dialect.width
    if num_more > 0 and not any(any(fields[dialect.width :]) for fields in rows):
        return _with_unnamed(replace(dialect, header=dialect.header + ("",) * num_more))
    if num_more < 0 and not any(dialect.header[width:]):
        return _with_unnamed(replace(dialect, header=dialect.header[:width]))
    if len(rows) < MANY_ROWS:
        return dialect

    if width == 1 and all(
        fields[0].count(dialect.delimiter) == dialect.width - 1 for fields in rows
    ):
        raise UserError(f"{path}:{dialect.start + 1}: {WHOLE_LINES}.")
    names_of_rows = " R does not name a first column of row names: row.names = FALSE."
    raise UserError(
        f"{path} has {dialect.width} columns in its header and {width} in each of its first"
        f" {len(rows)} rows. Name all of them in the header, or correct the rows: a field with"
        f" {shown(dialect.delimiter)} in it is in quotes."
        f"{names_of_rows if num_more == 1 else ''}"
    )


def _with_unnamed(dialect: Dialect) -> Dialect:
    names = dialect.header
    num_unnamed = next((n for n, name in enumerate(reversed(names)) if name), len(names))
    return replace(dialect, num_unnamed=num_unnamed)


def holds_columns(line: str, format_: RowFormat) -> bool:
    """Whether a line is the header of a CSV file with the columns that are read."""
    dialects = [Dialect(delimiter) for delimiter in DELIMITERS]
    return _with_header([line], [0], dialects, format_) is not None


# Errors


def shown(delimiter: str) -> str:
    """A delimiter as a message names it."""
    return f"{SHOWN[delimiter]} {delimiter!r}" if delimiter in SHOWN else repr(delimiter)


def _no_header(
    head: Sequence[str], start: int, dialects: Sequence[Dialect], path: str, format_: RowFormat
) -> UserError:
    """The error for a file whose first line does not hold the columns, and what may be wrong."""
    wanted = set(format_.columns)
    by_dialect = [[name.strip() for name in _first(each, head[start:])[0]] for each in dialects]
    best = max(
        range(len(dialects)),
        key=lambda number: (len(wanted & set(by_dialect[number])), len(by_dialect[number])),
    )
    dialect, names = dialects[best], by_dialect[best]

    advice = _advice(head, start, dialect, names, format_)
    if not names and not advice:
        reader = dialect.reader(head[start:])
        try:
            next(reader)
        except csv.Error as error:
            return DataError(f"{path}:{start + 1}: the header is not CSV: {error}. Correct it.")

    if len(names) > 1:
        otherwise = (
            f" If this is a row and no header, name the {len(names)} columns in"
            f" {format_.section}.columns."
        )
    else:
        separators = " or ".join(shown(each.delimiter) for each in dialects)
        otherwise = (
            f" It is one column: it is not separated by {separators}; if it is by another"
            f" character, set {format_.section}.delimiter to it."
        )
    return lack(names, path, format_, advice=advice, otherwise=otherwise)


def _advice(
    head: Sequence[str], start: int, best: Dialect, names: Sequence[str], format_: RowFormat
) -> str:
    """What may be wrong with a header, and what helps; empty where nothing is known."""
    section, line, wanted = format_.section, head[start], set(format_.columns)
    if line.count("\0") * 4 > len(line):
        return _wide(line, section)
    if not ends_lines_as_ascii(format_.encoding) and not re.search("[\t -~]", line):
        return (
            f"it is not {format_.encoding}, in which its header is {short(line)}. Remove"
            f" {section}.encoding, or set it to the file's"
        )
    if any("\udc80" <= char <= "\udcff" for char in line):
        return (
            f"it is not {format_.encoding}: its header is {short(line.strip())}. Set"
            f" {section}.encoding to the file's, such as 'cp1252' (Windows) or 'gb18030' (Chinese)"
        )
    if kind := _other_kind(line):
        return kind

    for delimiter in (*DELIMITERS, *RARE_DELIMITERS):
        fields = _first(replace(best, delimiter=delimiter), head[start:])[0]
        if wanted <= {name.strip() for name in fields}:
            return (
                f"its columns are separated by {shown(delimiter)}, not by {shown(best.delimiter)}."
                f" Set {section}.delimiter to {delimiter!r}"
            )

    for delimiter in DELIMITERS:
        if len(names) == 1 and wanted <= set(names[0].split(delimiter)):
            return WHOLE_LINES

    for number in range(start + 1, len(head)):
        if not head[number].strip():
            continue
        if wanted <= {name.strip() for name in _first(best, head[number:])[0]}:
            return f"line {number + 1} is the header. Remove what precedes it from the file"

    quoted = {name.strip("'\"") for name in names}
    if wanted <= quoted and format_.quoting != "none":
        return "its columns are in single quotes. Write double quotes, as CSV has them"
    if wanted <= quoted:
        return f"its columns are in quotes. Set {section}.quoting to 'double'"
    if looks_like_row(names):
        return (
            f"its first line looks like a row, {short(names[0])}, ..., so it has no header. Name"
            f" its {len(names)} columns in their order: {section}.columns = [...]"
        )
    return ""


def _other_kind(line: str) -> str:
    """What a file holds that is not CSV, by its first line, and what to do; or an empty string."""
    if line.lstrip().startswith(("{", "[{")):
        return "it holds JSON. Name it .jsonl"
    if line.startswith("__label__"):
        return "it holds fastText's lines, `__label__x text`. Write them as CSV with two columns"
    if "\x85" in line:
        return (
            "its lines end in U+0085, as on mainframes. Convert it to UTF-8 with iconv, and U+0085"
            " to line feeds"
        )
    if BINARY.search(line):
        return "it holds control characters, so it is not a text file. Name one in the source"
    return ""


def _wide(line: str, section: str) -> str:
    """The advice for UTF-16 or UTF-32 without a byte order mark."""
    size = 4 if line.count("\0") * 2 > len(line) else 2
    order = "be" if line[0] == "\0" else "le"
    return (
        f"it is UTF-{size * 8} without a byte order mark. Set {section}.encoding to"
        f" 'utf-{size * 8}-{order}'"
    )


def looks_like_row(names: Sequence[str]) -> bool:
    """Whether fields look like values, not like names: numbers or long texts."""
    return any(
        len(name) > LONG_NAME or len(name.split()) >= MANY_WORDS or NUMBER.fullmatch(name)
        for name in names
    )
