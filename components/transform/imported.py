"""Reads an imported vocabulary: a file with one token a line. Imports nothing heavy."""

import codecs

from seqline.data.labels import CONTROL
from seqline.errors import UserError
from seqline.rows.values import short
from seqline.storage import files

SETTING = "transform.vocabulary"


def read(path: str) -> list[bytes]:
    """The tokens of a vocabulary file, in the order of its lines.

    The file may begin with byte order marks, end its lines in CRLF, and end in blank lines.

    Raises:
        UserError: It cannot be read, is not UTF-8, or a line is not a token. The message has the
            line.
    """
    content = _content(path)
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UserError(f"{SETTING} {path} is UTF-16. Convert it: iconv -f utf-16 -t utf-8")

    while content.startswith(codecs.BOM_UTF8):
        content = content.removeprefix(codecs.BOM_UTF8)
    lines = content.split(b"\n")
    if all(line.endswith(b"\r") for line in lines[:-1]):
        lines = [line.removesuffix(b"\r") for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise UserError(f"{SETTING} {path!r} holds no token.")

    line_of: dict[bytes, int] = {}
    for number, token in enumerate(lines, start=1):
        _check(token, f"{SETTING} {path}:{number}")
        if first := line_of.get(token):
            raise UserError(
                f"{SETTING} {path}:{number} repeats line {first}; every line is one token, once."
            )
        line_of[token] = number

    return lines


def _content(path: str) -> bytes:
    try:
        with files.translate_errors(path), files.open_content(path) as file:
            return file.read()
    except UserError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise UserError(f"{SETTING} {path} does not exist. Correct the path.") from None
        raise UserError(f"{SETTING}: {error}") from None


def _check(token: bytes, place: str) -> None:
    try:
        token.decode()
    except UnicodeDecodeError:
        raise UserError(f"{place} is not UTF-8: {token!r}.") from None

    if token.endswith(b"\r"):  # TensorFlow would drop it, and find another token
        raise UserError(f"{place} ends in a carriage return, and not every line does.")
    if len(token) > 1 and (control := CONTROL.search(token.decode())):
        raise UserError(
            f"{place} holds the control character U+{ord(control[0]):04X}, which no token has:"
            f" {short(token.decode())}. A line is one token, in UTF-8 and without other columns."
        )
    if not token:
        raise UserError(f"{place} is empty; every line is one token, once.")
