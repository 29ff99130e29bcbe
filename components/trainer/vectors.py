"""Reads a file of token vectors, in the text format of GloVe, word2vec and fastText.

    the 0.418 0.24968 -0.41242          a token and its numbers, separated by blanks or tabs
    . . . 0.1 0.2 0.3                   a token may hold blanks: the last numbers are the vector

A first line of two integers says how many vectors there are and how long they are. Imports nothing
heavy: a run checks the first lines before its first stage.
"""

import codecs
import re
from collections.abc import Container, Iterator
from itertools import islice
from typing import NamedTuple

from seqline.errors import UserError
from seqline.rows.values import short
from seqline.storage import files

SETTING = "trainer.embeddings"
FLOAT32_MAX = 3.4028234663852886e38
# Lines that a run checks before its first stage.
CHECKED_LINES = 1000
HEAD_BYTES = 4096
# No file has 10^18 vectors, and Python refuses integers of thousands of digits.
HEADER = re.compile(rb"\s*(\d{1,18})[ \t]+(\d{1,18})\s*")
MARKS = re.compile(rb"\A(?:\xef\xbb\xbf)+")
INTEGER = re.compile(rb"[+-]?\d+")
# First bytes -> a file that is no text, and the way out.
OTHERS = {
    codecs.BOM_UTF16_LE: "is UTF-16. Convert it: iconv -f utf-16 -t utf-8",
    codecs.BOM_UTF16_BE: "is UTF-16. Convert it: iconv -f utf-16 -t utf-8",
    b"\x93NUMPY": "is a NumPy array. Write a text file: a token and its numbers on each line",
    b"\xba\x16\x4f\x2f": "is a fastText model (.bin). Name the .vec file that belongs to it",
    b"\x80": "is a pickle. Write a text file: a token and its numbers on each line",
}
WORD2VEC = (
    "is a binary file of word2vec. Convert it to text with gensim:"
    " KeyedVectors.load_word2vec_format(path, binary=True).save_word2vec_format('vectors.txt')"
)


class Vector(NamedTuple):
    """A line of the file.

    Attributes:
        line: From 1.
        token: Its bytes; b"" where the line begins with a blank and has no token.
        numbers: None for a token that is not wanted.
    """

    line: int
    token: bytes
    numbers: list[float] | None


class _All:
    """Every token."""

    def __contains__(self, token: object) -> bool:
        return True


def check(path: str, dim: int) -> None:
    """Checks the first lines of a file.

    Raises:
        UserError: It cannot be read, or holds something else.
    """
    num_vectors = sum(1 for _ in islice(read(path, dim, _All()), CHECKED_LINES))
    if not num_vectors:
        raise UserError(f"{SETTING} {path} holds no vector.")


def read(path: str, dim: int, wanted: Container[bytes]) -> Iterator[Vector]:
    """Reads the lines of a file.

    Args:
        path: The file, compressed or not.
        dim: How many numbers a vector has.
        wanted: The tokens whose numbers are converted.

    Raises:
        UserError: A line is not a token and `dim` finite numbers. The message has its number.
    """
    try:
        yield from _read(path, dim, wanted)
    except UserError as error:
        if str(error).startswith(SETTING):
            raise
        if isinstance(error.__cause__, FileNotFoundError):
            raise UserError(f"{SETTING} {path} does not exist. Correct the path.") from None
        raise type(error)(f"{SETTING}: {error}") from None


def _read(path: str, dim: int, wanted: Container[bytes]) -> Iterator[Vector]:
    _refuse_others(path)
    number = 0
    with (
        files.translate_errors(path, lambda: f" after line {number}" if number else ""),
        files.open_content(path) as file,
    ):
        for number, line in enumerate(file, start=1):
            if number == 1:
                line = MARKS.sub(b"", line)
                if length := _length_in_header(line, dim):
                    if length != dim:
                        raise _wrong_length(f"{path}:1 says that vectors have", length, dim)
                    continue

            if line.find(b"\r", 0, -2) >= 0:
                raise UserError(
                    f"{SETTING} {path}:{number} holds a carriage return within the line. Lines end"
                    " in \\n or \\r\\n."
                )

            token = _plain_token(line, dim)
            if token is not None and token not in wanted:
                yield Vector(number, token, None)
                continue

            fields = line.split()
            if not fields:
                continue

            token, texts = fields[0], fields[1:]
            if len(texts) != dim or line[:1].isspace():
                token, texts = _split(line, fields, f"{path}:{number}", dim)
            numbers = _numbers(texts, f"{path}:{number}")
            yield Vector(number, token, numbers if token in wanted else None)


def _plain_token(line: bytes, dim: int) -> bytes | None:
    """The token of an ordinary line, which is not cut up; None for any other line.

    Most lines of most files are ordinary, and of tokens that are not wanted.
    """
    ends_in_blank = line.endswith((b" \n", b" "))
    if line.count(b" ") != dim + ends_in_blank or b"  " in line or b"\t" in line:
        return None

    end = line.index(b" ")
    # nan and inf, in either case, have one of these letters; no other number has.
    if not end or line.find(b"n", end) >= 0 or line.find(b"N", end) >= 0:
        return None
    return line[:end]


def num_announced(path: str) -> int | None:
    """How many vectors the first line says that there are; None if it does not say it."""
    with files.translate_errors(path), files.open_content(path) as file:
        match = HEADER.fullmatch(MARKS.sub(b"", file.readline(HEAD_BYTES)))
    return int(match[1]) if match else None


def _length_in_header(line: bytes, dim: int) -> int | None:
    """The length of vectors, if this is the line that says it."""
    match = HEADER.fullmatch(line)
    if match is None or (dim == 1 and int(match[2]) != 1):  # "1984 3": a token and its number
        return None
    return int(match[2])


def _refuse_others(path: str) -> None:
    """Raises UserError for a file that is not text."""
    with files.translate_errors(path), files.open_content(path) as file:
        head = file.read(HEAD_BYTES)

    for start, what in OTHERS.items():
        if head.startswith(start):
            raise UserError(f"{SETTING} {path} {what}.")

    first, _, rest = head.partition(b"\n")
    if HEADER.fullmatch(first):
        # In text, a line ends in a number; here, in the bytes of floats.
        last = rest.partition(b"\n")[0].rpartition(b" ")[2]
        if b"\0" in rest or re.search(rb"[^\t\r -~]", last):
            raise UserError(f"{SETTING} {path} {WORD2VEC}.")

    if b"\0" in head:
        raise UserError(
            f"{SETTING} {path} is not text: byte {head.index(0)} is zero. Name a text file, with a"
            " token and its numbers on each line."
        )


def _split(line: bytes, fields: list[bytes], place: str, dim: int) -> tuple[bytes, list[bytes]]:
    """The token and the numbers of a line that has more or fewer fields than most.

    Raises:
        UserError: The line does not end in `dim` numbers, or has more of them.
    """
    num_numbers = 0
    while num_numbers < len(fields) and _is_number(fields[-1 - num_numbers]):
        num_numbers += 1

    begins_with_blank = line[:1].isspace()
    if num_numbers == len(fields) and not (begins_with_blank and num_numbers == dim):
        num_numbers -= 1  # The first one is the token: `1984 0.1 0.2 0.3`.

    texts = fields[len(fields) - dim :]
    if len(fields) == 1:
        raise UserError(
            f"{SETTING} {place} has no blank: {_shown(fields[0])}. A line is a token and its {dim}"
            " numbers, separated by blanks or tabs."
        )
    if num_numbers < dim <= len(fields) - 1:
        wrong = next(text for text in reversed(texts) if not _is_number(text))
        raise _not_a_number(wrong, place)
    if num_numbers < dim and not line.endswith(b"\n"):
        raise UserError(
            f"{SETTING} {place} is cut off: the file ends after {num_numbers} of {dim} numbers."
            " Copy the file again, or remove the line."
        )

    # `film 0.1 0.2 0.3 0.4` has a number too many; `apollo 11 0.1 0.2 0.3` is a phrase.
    extra = fields[len(fields) - num_numbers : len(fields) - dim]
    is_phrase = all(map(INTEGER.fullmatch, extra)) and not all(map(INTEGER.fullmatch, texts))
    if num_numbers != dim and not (extra and is_phrase):
        raise _wrong_length(f"{place} has", num_numbers, dim)

    if num_numbers == len(fields):
        blanks = line[: len(line) - len(line.lstrip())]
        return blanks[:-1], texts  # The last blank separates; those before it are the token.
    return line.rsplit(None, dim)[0].lstrip(), texts


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return b"_" not in text  # Python reads 1_000.


def _numbers(texts: list[bytes], place: str) -> list[float]:
    numbers = []
    for text in texts:
        if not _is_number(text):
            raise _not_a_number(text, place)
        number = float(text)
        if not abs(number) <= FLOAT32_MAX:  # NaN compares as False.
            raise UserError(
                f"{SETTING} {place} holds {_shown(text)}, which is not a finite number in float32."
                " Remove the line or correct it."
            )
        numbers.append(number)
    return numbers


def _not_a_number(text: bytes, place: str) -> UserError:
    return UserError(
        f"{SETTING} {place} holds something that is not a number: {_shown(text)}. A line is a"
        " token and its numbers, separated by blanks or tabs."
    )


def _wrong_length(subject: str, length: int, dim: int) -> UserError:
    return UserError(
        f"{SETTING} {subject} {length} numbers; trainer.embedding_dim is {dim}. Set one of them to"
        " the other."
    )


def _shown(text: bytes) -> str:
    return short(text.decode("utf-8", "surrogateescape"))
