"""Text in any encoding that Python knows. A byte order mark wins over what is configured.

Bytes that cannot be decoded become lone surrogates, which `judge` reports: they cost one row.
"""

import codecs
import io
from collections.abc import Iterator
from typing import Any, BinaryIO

from seqline.errors import UserError
from seqline.rows.row import RowFormat

# UTF-32's mark of little-endian files begins with UTF-16's.
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# surrogateescape cannot stand for bytes below 0x80, which two-byte encodings may fail to decode.
ESCAPE = "seqline-escape"


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udcff", error.end


codecs.register_error(ESCAPE, _escape)


def check_encoding(format_: RowFormat) -> None:
    """Checks that Python knows the encoding.

    Raises:
        UserError: It does not.
    """
    try:
        "\n".encode(format_.encoding)
        # Some cannot pass over what they cannot decode.
        encoding = _encoding_of(b"", format_.encoding)
        codecs.getincrementaldecoder(encoding)(ESCAPE).decode(b"text")
    except (LookupError, ValueError):
        raise UserError(
            f"{format_.section}.encoding {format_.encoding!r} is not an encoding that Python knows,"
            " such as utf-8, utf-16 or latin-1."
        ) from None


def ends_lines_as_ascii(encoding: str) -> bool:
    """Whether a line feed is the byte that it is in ASCII, so that bytes can be cut into lines."""
    return "\n".encode(encoding) == b"\n"


def mark_of(head: bytes) -> tuple[bytes, str] | None:
    """The byte order mark at the beginning of a file, and the encoding that it says."""
    return next(((mark, name) for mark, name in MARKS if head.startswith(mark)), None)


def _encoding_of(head: bytes, encoding: str) -> str:
    """The encoding of a file that begins so: what its mark says, or what is configured.

    UTF-16 and UTF-32 without a mark are in the order that the zero byte of a first ASCII character
    tells, in the little-endian one without such.
    """
    if mark := mark_of(head):
        return mark[1]
    name = codecs.lookup(encoding).name
    if name in ("utf-16", "utf-32"):
        return f"{name}-be" if head.startswith(b"\0") else f"{name}-le"
    return encoding


def open_text(file: Any, encoding: str, newline: str = "") -> io.TextIOWrapper:
    """The text of a file at its start, without its byte order mark. Line ends are kept.

    Args:
        file: A buffered reader, as `files.open_content` gives it.
        encoding: The encoding, if no mark says another.
        newline: Where lines end, as in `open`.
    """
    head = file.peek(4)
    encoding = _encoding_of(head, encoding)
    if mark := mark_of(head):
        file.read(len(mark[0]))
    errors = "surrogateescape" if ends_lines_as_ascii(encoding) else ESCAPE
    return io.TextIOWrapper(file, encoding, errors, newline=newline)


def lines(file: Any, encoding: str) -> tuple[Iterator[bytes], str]:
    """The lines of a file at its start, which end in a line feed, and their encoding.

    What does not end lines as ASCII does comes as UTF-8, with invalid bytes for those that cannot
    be decoded.
    """
    mark = mark_of(file.peek(4))
    real = mark[1] if mark else encoding
    if ends_lines_as_ascii(real):
        if mark:
            file.read(len(mark[0]))
        return file, real
    return _transcoded(open_text(file, encoding, "\n")), "utf-8"


def _transcoded(text: io.TextIOWrapper) -> Iterator[bytes]:
    with text:
        for line in text:
            yield line.encode("utf-8", "surrogateescape")


def decode(content: bytes, encoding: str) -> str:
    """The text of a whole file, without its byte order mark.

    Raises:
        UnicodeDecodeError: A byte cannot be decoded.
    """
    mark, _ = mark_of(content) or (b"", encoding)
    return content[len(mark) :].decode(_encoding_of(content, encoding))


def head_of(file: BinaryIO, encoding: str) -> str:
    """The beginning of a file's text as far as its buffer holds it, without moving in it."""
    head: bytes = file.peek(4)  # type: ignore[attr-defined]  # BinaryIO has no peek.
    encoding = _encoding_of(head, encoding)
    if mark := mark_of(head):
        head = head[len(mark[0]) :]
    return codecs.getincrementaldecoder(encoding)("replace").decode(head)
