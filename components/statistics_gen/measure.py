"""One shard of rows to what is known of it.

Pure functions of arrays, the only code that sees every row.

Tokens here are what white space separates after lower-casing: a plain measure of any text. The
transform has a tokeniser of its own, so its vocabulary and OOV rate are others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.statistics_gen import row_tables
from components.statistics_gen.histogram import Histogram
from components.statistics_gen.row_tables import Rows
from components.statistics_gen.totals import Example, Numbers, Totals, of_numbers
from seqline.data import features
from seqline.data.examples import Content, ExampleShard

# Code points of a text that are shown in an example.
SHOWN_CHARS = 60
# Numbers of a sequence's first step that are shown.
SHOWN_NUMBERS = 3
# Text that is worked on at once: more would go through memory again for every step.
BLOCK_BYTES = 1 << 18

# Unicode's White_Space, in UTF-8.
SPACES = b"\t\n\x0b\x0c\r "
WIDE_SPACES = [
    char.encode()
    for char in "\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
]

TokenCounts = dict[bytes, int]


@dataclass(frozen=True)
class Columns:
    """What is known of the contents of n rows.

    lengths: name -> int [n]. digests: uint64 [n]. num_bytes: of all contents. shown: large_string
    [n]. tokens: counts. numbers: None where there is no step.
    """

    lengths: dict[str, np.ndarray]
    digests: np.ndarray
    num_bytes: int
    shown: pa.Array
    tokens: TokenCounts = field(default_factory=dict)
    chars: Histogram | None = None
    numbers: Numbers | None = None


def measure(
    shard: ExampleShard, content: Content, dim: int | None
) -> tuple[Totals, TokenCounts, Rows]:
    """The Totals of a shard, how often each token occurs (none in sequences), and its row table."""
    if content == features.SEQUENCE:
        columns, missing_where = of_sequences(shard.contents, dim or 1), "num_steps"
    else:
        columns, missing_where = (
            (of_texts if content == features.TEXT else of_tokens)(shard.contents),
            "num_tokens",
        )
    # A text of white space alone has characters, but nothing to learn from.
    missing = columns.lengths[missing_where] == 0
    encoded = pa.array(shard.labels, pa.large_binary()).dictionary_encode()
    names, codes = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
    totals = Totals(
        len(shard.labels),
        {"content": int(missing.sum()), "label": sum(not label for label in shard.labels)},
        columns.num_bytes,
        {
            name.decode(): int(num)
            for name, num in zip(names, np.bincount(codes, minlength=len(names)), strict=True)
            if name
        },
        {name: Histogram.of(length[~missing]) for name, length in columns.lengths.items()},
        columns.chars,
        columns.numbers,
        _examples_of_labels([name.decode() for name in names], codes, columns)
        | _examples_of_lengths(columns, ~missing),
    )
    ones = np.ones(len(shard.labels), np.int64)
    table = row_tables.total(
        [Rows(columns.digests, row_tables.digests(names)[codes], ones, columns.shown)]
    )
    return totals, columns.tokens, table


def of_texts(contents: Sequence[bytes]) -> Columns:
    """contents: UTF-8."""
    texts = pa.array(contents, pa.large_string())
    found, num_tokens = split(texts)
    lengths = {"num_chars": pc.utf8_length(texts).to_numpy(), "num_tokens": num_tokens}
    num_bytes = sum(map(len, contents))
    return Columns(
        lengths,
        row_tables.digests(contents),
        num_bytes,
        shorten(texts),
        count(found),
        count_chars(texts),
    )


def of_tokens(contents: Sequence[Sequence[bytes]]) -> Columns:
    """contents: lists of tokens in UTF-8."""
    flat = [token for row in contents for token in row]
    lengths = {"num_tokens": np.array([len(row) for row in contents], np.int64)}
    # A token may hold any character, so each is written with its length before it.
    digests = row_tables.digests(
        b"".join([b"%d:%b" % (len(token), token) for token in row]) for row in contents
    )
    shown = shorten(pa.array([b" ".join(row[:SHOWN_CHARS]) for row in contents], pa.large_string()))
    found, chars = (
        count(pa.array(flat, pa.large_binary())),
        count_chars(pa.array(flat, pa.large_string())),
    )
    return Columns(lengths, digests, sum(map(len, flat)), shown, found, chars)


def of_sequences(contents: Sequence[np.ndarray], dim: int) -> Columns:
    """contents: float32 arrays [time, dim]."""
    steps = np.concatenate([np.zeros((0, dim), np.float32), *contents])
    lengths = {"num_steps": np.array([len(row) for row in contents], np.int64)}
    digests = row_tables.digests(np.ascontiguousarray(row, "<f4").tobytes() for row in contents)
    shown = pa.array([_show_steps(row) for row in contents], pa.large_string())
    return Columns(
        lengths, digests, steps.nbytes, shown, numbers=of_numbers(steps) if len(steps) else None
    )


def split(texts: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """The tokens of all texts, in no order (binary), and how many each text has.

    Int64 [n]. texts: large_string.
    """
    num_tokens = np.zeros(len(texts), np.int64)
    found = []
    for block in _blocks(texts):
        content, offsets = _buffers(
            pc.ascii_lower(block.texts) if block.is_ascii else pc.utf8_lower(block.texts)
        )
        if not block.is_ascii:
            for wide in WIDE_SPACES:
                content = content.replace(wide, b" " * len(wide))
        tokens, num_tokens[block.rows] = split_bytes(content, offsets)
        found.append(tokens)
    return pa.chunked_array(found, pa.large_binary()), num_tokens


def split_bytes(content: bytes, offsets: np.ndarray) -> tuple[pa.Array, np.ndarray]:
    """The tokens of rows and how many each row has.

    Int64 [n]. content: all rows' bytes; offsets: int64 [n + 1], from 0.
    """
    codes = np.frombuffer(content, np.uint8)
    inside = (codes != 32) & (
        codes - np.uint8(9) > 4
    )  # all but the blank and the five from tab to carriage return
    starts = inside.copy()
    starts[1:] &= ~inside[:-1]
    # A row begins a token, whatever the row before it ends with. (An empty row begins where the
    # next one does.)
    row_starts = offsets[:-1][offsets[:-1] < len(codes)]
    starts[row_starts] = inside[row_starts]
    last = inside.copy()
    last[:-1] &= ~inside[1:] | starts[1:]
    places = np.flatnonzero(starts)
    # With the white space taken out, a token ends where the next one starts: Arrow's layout of
    # strings.
    ends = np.zeros(len(places) + 1, np.int64)
    np.cumsum(np.flatnonzero(last) - places + 1, out=ends[1:])
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(content.translate(None, SPACES))]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(places), buffers), np.diff(
        np.searchsorted(places, offsets)
    )


def count(tokens: pa.Array) -> TokenCounts:
    """How often each token occurs."""
    values, counts = pc.value_counts(tokens).flatten()
    return dict(zip(values.to_pylist(), counts.to_pylist(), strict=True))


def count_chars(texts: pa.Array) -> Histogram:
    """How often each code point occurs. texts: large_string."""
    counts = np.zeros(128, np.int64)
    for block in _blocks(texts):
        content, _ = _buffers(block.texts)
        points = np.frombuffer(
            content if block.is_ascii else content.decode().encode("utf-32-le"),
            np.uint8 if block.is_ascii else "<u4",
        )
        found = np.bincount(points, minlength=len(counts))
        found[: len(counts)] += counts
        counts = found
    points = np.flatnonzero(counts)
    return Histogram(points, counts[points])


class _Block(NamedTuple):
    """Some texts of one kind. rows: their places among all, int64 [n]."""

    is_ascii: bool
    rows: np.ndarray
    texts: pa.Array


def _blocks(texts: pa.Array) -> Iterator[_Block]:
    """The texts in blocks that fit into a processor's cache.

    Those in ASCII, which cost a third of the others, and the others.
    """
    step = max(1, BLOCK_BYTES * len(texts) // max(1, texts.nbytes))
    for start in range(0, len(texts), step):
        block = texts.slice(start, step)
        is_ascii = pc.string_is_ascii(block).to_numpy(zero_copy_only=False)
        for kind in (True, False):
            places = np.flatnonzero(is_ascii == kind)
            if len(places):
                yield _Block(
                    kind,
                    places + start,
                    block if len(places) == len(block) else block.take(pa.array(places)),
                )


def _buffers(texts: pa.Array) -> tuple[bytes, np.ndarray]:
    """All bytes of an array of strings, and its offsets in them: int64 [n + 1], from 0."""
    _, offsets_buffer, data = texts.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    content = data.slice(offsets[0], offsets[-1] - offsets[0]).to_pybytes() if data else b""
    return content, offsets - offsets[0]


def shorten(texts: pa.Array) -> pa.Array:
    """Texts to be shown: the first characters. texts, result: large_string [n]."""
    return pc.utf8_slice_codeunits(texts, 0, SHOWN_CHARS)


def _show_steps(row: np.ndarray) -> str:
    first = (
        ", ".join(f"{number:g}" for number in row[0, :SHOWN_NUMBERS].tolist()) if len(row) else ""
    )
    return f"{len(row)} steps from [{first}{', ...' if row.shape[1] > SHOWN_NUMBERS else ''}]"


def _examples_of_labels(
    labels: Sequence[str], codes: np.ndarray, columns: Columns
) -> dict[str, Example]:
    """A row of each label.

    Of all that there are, the one with the smallest digest. codes: places in `labels` [n].
    """
    order = np.lexsort((columns.digests, codes))
    found, starts = np.unique(codes[order], return_index=True)
    return {
        f"label {labels[code]}": _example(columns, 0, int(order[start]))
        for code, start in zip(found, starts, strict=True)
    }


def _examples_of_lengths(columns: Columns, counted: np.ndarray) -> dict[str, Example]:
    """The shortest and the longest rows, ties as before. counted: whether a row counts [n]."""
    examples: dict[str, Example] = {}
    for name, length in columns.lengths.items() if counted.any() else ():
        for which, sign in (("shortest", 1), ("longest", -1)):
            order = np.where(counted, sign * length.astype(np.int64), np.iinfo(np.int64).max)
            ties = np.flatnonzero(order == order.min())
            place = int(ties[np.argmin(columns.digests[ties])])
            examples[f"{which} {name}"] = _example(columns, int(order[place]), place)
    return examples


def _example(columns: Columns, order: int, place: int) -> Example:
    return order, int(columns.digests[place]), columns.shown[place].as_py()
