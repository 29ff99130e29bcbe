"""Guesses how text files are read: their encoding, delimiter and quoting.

What a file says itself (a byte order mark, `sep=;`) the formats know. Here is what nothing tells
before the columns are known.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.init import fast_text, header
from pipeline.init.column import Column, label_score
from seqline.errors import DataError, UserError
from seqline.rows import dialect, encodings, quotes
from seqline.rows.dialect import Dialect
from seqline.rows.row import RowFormat
from seqline.rows.values import short
from seqline.storage import files

# The most frequent encoding of files that are not UTF-8.
OTHER_ENCODING = "cp1252"
# Encodings of other scripts, for a message.
ENCODINGS = {
    "gb18030": "Chinese",
    "big5": "Chinese",
    "shift_jis": "Japanese",
    "euc_jp": "Japanese",
    "euc_kr": "Korean",
    "cp1251": "Cyrillic",
    "koi8_r": "Cyrillic",
    "cp1253": "Greek",
    "cp1255": "Hebrew",
    "cp1256": "Arabic",
    "cp874": "Thai",
}
# Where more of the bytes are not ASCII, most letters are not Latin ones.
NOT_LATIN = 0.4
# Damaged lines among those with other letters, up to which a file still is UTF-8.
MAX_DAMAGED = 0.05
# Delimiters that no comma or tab is mistaken for. The blank separates words.
RARE_DELIMITERS = ("\x01", "^", "~")

# Text that the layout is guessed by: characters, lines, and lines that tell the delimiter.
LAYOUT_CHARS = 4 << 20
NUM_LINES = 2000
NUM_FIRST_LINES = 200


@dataclass(frozen=True)
class Layout:
    """How the lines of a CSV file are cut, see `RowFormat`.

    Attributes:
        delimiter: What separates the columns.
        is_quoted: Whether quotes enclose fields.
        names: The names in the header.
        num_columns: Columns of a file without a header; 0 for one with a header.
        has_comments: Whether a line before the header begins with `#`.
    """

    delimiter: str
    is_quoted: bool = True
    names: tuple[str, ...] = ()
    num_columns: int = 0
    has_comments: bool = False


def mark_of(path: str) -> str | None:
    """The encoding that a file's byte order mark says; None without one."""
    with files.translate_errors(path), files.open_content(path) as file:
        mark = encodings.mark_of(file.read(4))
    return mark[1] if mark else None


def encoding_of(paths: Sequence[str], limit: int) -> str:
    """The encoding of the beginnings of files, if no byte order mark says it: UTF-8 unless one is
    not.

    Args:
        paths: The files.
        limit: Bytes of all together that are looked at.

    Raises:
        UserError: It is one of many, and has to be named.
        DataError: A file is not a text.
    """
    for path in paths:
        with files.translate_errors(path), files.open_content(path) as file:
            content = file.read(max(10_000, limit // len(paths)))
        if encodings.mark_of(content) is None and not _is_utf_8(content):
            return _other_encoding(content, path)
    return "utf-8"


def _is_utf_8(content: bytes) -> bool:
    """Whether text is UTF-8, but for a few lines. Its end may cut a character in two."""
    if b"\0" in content[:10_000]:
        return False
    lines = [line for line in content.split(b"\n") if not line.isascii()]
    num_damaged = sum(not _decodes(line, "utf-8") for line in lines[:-1])
    if lines and len(lines) < 20 and not num_damaged:
        end = lines[-1]
        return any(_decodes(end[: len(end) - cut], "utf-8") for cut in range(min(4, len(end))))
    return num_damaged <= MAX_DAMAGED * len(lines)


def _decodes(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _other_encoding(content: bytes, path: str) -> str:
    start = content[:10_000]
    if b"\0" in start:
        order = "be" if start[:1] == b"\0" else "le"
        size = 32 if start.count(b"\0") * 2 > len(start) else 16
        if start.count(b"\0") * 4 > len(start):
            return f"utf-{size}-{order}"
        raise DataError(f"{path} is not a text file: it holds zero bytes. Name a file of text.")

    num_others = sum(byte > 127 for byte in start)
    if num_others > NOT_LATIN * len(start):
        known = [name for name in ENCODINGS if _decodes(content[: content.rfind(b"\n")], name)]
        raise UserError(
            f"{path} is not UTF-8, and its encoding cannot be told. Name it (seqline init"
            " --encoding NAME, seqline run --set example_gen.encoding=NAME):"
            f" {', '.join(f'{name} ({ENCODINGS[name]})' for name in known or ENCODINGS)}."
        )
    return OTHER_ENCODING if _decodes(content, OTHER_ENCODING) else "latin-1"


def layout_of(path: str, format_: RowFormat) -> Layout | None:
    """The layout of a CSV file. None for one without a line.

    Args:
        path: The file.
        format_: Its encoding, and delimiter, quoting and header where they are known.

    Raises:
        UserError: It holds lines of fastText, or begins with a title.
    """
    lines = _lines(path, format_.encoding)
    delimiters = dialect.DELIMITERS if format_.delimiter is None else (format_.delimiter,)
    if lines and (sep := dialect.SEP.fullmatch(lines[0])):
        delimiters, lines = (sep[1],), lines[1:]
    while lines and not lines[0].strip():
        lines = lines[1:]
    if not lines:
        return None
    fast_text.refuse(lines, path)

    delimiter = _delimiter(lines[:NUM_FIRST_LINES], delimiters, path)
    is_quoted = format_.quoting == "double" or (
        format_.quoting == "auto" and _is_quoted(lines, delimiter)
    )
    rows = _rows(Dialect(delimiter, quotes=is_quoted), lines[:NUM_LINES])
    if not rows:
        return Layout(delimiter, is_quoted)

    first, others = rows[0], rows[1:]
    has_comments = lines[0].startswith("#") and len(first) == 1 and len(rows) > 1
    if has_comments:
        lines = lines[:1] + [line for line in lines if not line.startswith("#")]
        rows = [fields for fields in rows if not fields[0].startswith("#")]
        first, others = rows[0], rows[1:]
    _refuse_title(first, others, path)
    if not format_.header and header.is_row(first, others):
        return Layout(delimiter, is_quoted, num_columns=len(first))
    return Layout(delimiter, is_quoted, names=tuple(first), has_comments=has_comments)


def _lines(path: str, encoding: str) -> list[str]:
    """The first lines of a file, up to LAYOUT_CHARS."""
    lines = []
    num_chars = 0
    with (
        files.translate_errors(path),
        encodings.open_text(files.open_content(path), encoding) as text,
    ):
        for line in text:
            lines.append(line)
            num_chars += len(line)
            if num_chars >= LAYOUT_CHARS:
                break
    return lines


def _delimiter(lines: Sequence[str], delimiters: Sequence[str], path: str) -> str:
    """The delimiter by which most rows have as many fields as the first, and more than one."""
    by_name = "\t" if ".tsv" in path.lower() or ".tab" in path.lower() else delimiters[0]

    def regularity(delimiter: str) -> float:
        """The share of rows with as many fields as the first one; 0 where that has one."""
        shares = [0.0]
        for is_quoted in (True, False):
            rows = _rows(Dialect(delimiter, quotes=is_quoted), lines)
            if rows and len(rows[0]) > 1:
                num_regular = sum(len(row) == len(rows[0]) for row in rows)
                shares.append(round(num_regular / len(rows if is_quoted else lines), 2))
        return max(shares)

    best = max(delimiters, key=lambda delimiter: (regularity(delimiter), delimiter == by_name))
    if regularity(best) > 0.5 or len(delimiters) == 1:
        return best
    rare = [delimiter for delimiter in RARE_DELIMITERS if regularity(delimiter) > 0.9]
    return (rare or [best if regularity(best) > 0 else by_name])[0]


def _rows(layout: Dialect, lines: Sequence[str]) -> list[list[str]]:
    return [fields for fields in dialect.rows_of(layout, lines) if fields]


def _is_quoted(lines: Sequence[str], delimiter: str) -> bool:
    """Whether quotes enclose fields. It is in question where `auto` asks, in files with tabs."""
    if delimiter != "\t" or not any('"' in line for line in lines):
        return True

    head = lines[:NUM_LINES]
    rows = _rows(Dialect(delimiter), head) or _rows(Dialect(delimiter, quotes=False), head)
    if not rows:
        return True
    width = Counter(map(len, rows)).most_common(1)[0][0]
    values = zip(*(row for row in rows[1:] if len(row) == width), strict=True)
    columns = [Column(str(place), list(column)) for place, column in enumerate(values)]
    label = max(columns, key=label_score, default=None)
    name = label.name if label is not None and label_score(label) > 0 else None
    names = tuple(str(place) for place in range(width))
    return quotes.pair(iter(lines), Dialect(delimiter, header=names), name)


def _refuse_title(first: Sequence[str], others: Sequence[Sequence[str]], path: str) -> None:
    """Refuses a line before the header, such as the title of a report."""
    widths = {len(row) for row in others}
    if len(first) == 1 and len(others) > 2 and len(widths) == 1 and 1 not in widths:
        raise UserError(
            f"{path} begins with {short(first[0])}, which is neither a header nor a row: those have"
            f" {widths.pop()} columns. Remove what comes before them."
        )
