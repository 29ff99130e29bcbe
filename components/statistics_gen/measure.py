"""From a shard of rows to its measures: pure functions of arrays, the only code to see every row.

Tokens are here what white space separates after lower-casing, a plain measure of any text. The
transform has its own tokeniser, so its vocabulary and OOV rate differ.
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

# Code points of a text that an example shows.
SHOWN_CHARS = 60
# Numbers of a sequence's first step that an example shows.
SHOWN_NUMBERS = 3
# Texts are processed in blocks of this size, which stay in a processor's cache from step to step.
BLOCK_BYTES = 1 << 18

# Unicode's White_Space, in UTF-8.
SPACES = b"\t\n\x0b\x0c\r "
WIDE_SPACES = [
    char.encode()
    for char in (
        "\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
        "\u2028\u2029\u202f\u205f\u3000"
    )
]

TokenCounts = dict[bytes, int]


@dataclass(frozen=True)
class Columns:
    """The measures of the contents of n rows."""

    lengths: dict[str, np.ndarray]  # name of the length -> int [n]
    digests: np.ndarray  # uint64 [n]
    num_bytes: int  # of all contents together
    shown: pa.Array  # the contents as an example shows them: large_string [n]
    tokens: TokenCounts = field(default_factory=dict)
    chars: Histogram | None = None  # of code points; None for sequences
    numbers: Numbers | None = None  # None for texts and tokens, and without any time step


def measure(
    shard: ExampleShard, content: Content, dim: int | None
) -> tuple[Totals, TokenCounts, Rows]:
    """Measures a shard.

    Args:
        shard: the rows.
        content: what they hold.
        dim: numbers of a time step; None for texts and tokens.

    Returns:
        Its Totals, how often each token occurs (empty for sequences), and its row table.
    """
    if content == features.SEQUENCE:
        columns = of_sequences(shard.contents, dim or 1)
        main_length = columns.lengths["num_steps"]
    else:
        columns = (of_texts if content == features.TEXT else of_tokens)(shard.contents)
        main_length = columns.lengths["num_tokens"]

    # A text of white space alone has characters, but nothing to learn from.
    missing = main_length == 0

    encoded = pa.array(shard.labels, pa.large_binary()).dictionary_encode()
    labels = encoded.dictionary.to_pylist()
    codes = encoded.indices.to_numpy()
    num_rows = np.bincount(codes, minlength=len(labels))  # [num_labels]

    totals = Totals(
        num_rows=len(shard.labels),
        num_missing={
            "content": int(missing.sum()),
            "label": sum(not label for label in shard.labels),
        },
        num_bytes=columns.num_bytes,
        labels={
            label.decode(): int(num) for label, num in zip(labels, num_rows, strict=True) if label
        },
        lengths={name: Histogram.of(length[~missing]) for name, length in columns.lengths.items()},
        chars=columns.chars,
        numbers=columns.numbers,
        weights=_weights(shard),
        examples={
            **_examples_of_labels([label.decode() for label in labels], codes, columns),
            **_examples_of_lengths(columns, ~missing),
        },
    )

    ones = np.ones(len(shard.labels), np.int64)
    rows = Rows(columns.digests, row_tables.digests(labels)[codes], ones, columns.shown)
    return totals, columns.tokens, row_tables.total([rows])


def _weights(shard: ExampleShard) -> Numbers | None:
    if not shard.weights:
        return None
    return of_numbers(np.array(shard.weights, np.float32)[:, np.newaxis])


def of_texts(contents: Sequence[bytes]) -> Columns:
    """Measures texts, which are UTF-8."""
    texts = pa.array(contents, pa.large_string())
    tokens, num_tokens = split(texts)
    return Columns(
        lengths={"num_chars": pc.utf8_length(texts).to_numpy(), "num_tokens": num_tokens},
        digests=row_tables.digests(contents),
        num_bytes=sum(map(len, contents)),
        shown=shorten(texts),
        tokens=count(tokens),
        chars=count_chars(texts),
    )


def of_tokens(contents: Sequence[Sequence[bytes]]) -> Columns:
    """Measures lists of tokens, which are UTF-8."""
    tokens = [token for row in contents for token in row]
    # A token may hold any character, so each is written with its length before it.
    digests = row_tables.digests(
        b"".join([b"%d:%b" % (len(token), token) for token in row]) for row in contents
    )
    starts = pa.array([b" ".join(row[:SHOWN_CHARS]) for row in contents], pa.large_string())
    return Columns(
        lengths={"num_tokens": np.array([len(row) for row in contents], np.int64)},
        digests=digests,
        num_bytes=sum(map(len, tokens)),
        shown=shorten(starts),
        tokens=count(pa.array(tokens, pa.large_binary())),
        chars=count_chars(pa.array(tokens, pa.large_string())),
    )


def of_sequences(contents: Sequence[np.ndarray], dim: int) -> Columns:
    """Measures sequences, float32 [time, dim] each."""
    steps = np.concatenate([np.zeros((0, dim), np.float32), *contents])  # [time of all rows, dim]
    return Columns(
        lengths={"num_steps": np.array([len(row) for row in contents], np.int64)},
        digests=row_tables.digests(np.ascontiguousarray(row, "<f4").tobytes() for row in contents),
        num_bytes=steps.nbytes,
        shown=pa.array([_show_steps(row) for row in contents], pa.large_string()),
        numbers=of_numbers(steps) if len(steps) else None,
    )


def split(texts: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Splits texts at white space after lower-casing.

    Args:
        texts: large_string [n].

    Returns:
        The tokens of all texts in no particular order (large_binary), and how many each text has
        (int64 [n]).
    """
    num_tokens = np.zeros(len(texts), np.int64)
    tokens_of_blocks = []
    for block in _blocks(texts):
        if block.is_ascii:
            content, offsets = _buffers(pc.ascii_lower(block.texts))
        else:
            content, offsets = _buffers(pc.utf8_lower(block.texts))
            for wide in WIDE_SPACES:
                content = content.replace(wide, b" " * len(wide))

        tokens, num_tokens[block.rows] = split_bytes(content, offsets)
        tokens_of_blocks.append(tokens)
    return pa.chunked_array(tokens_of_blocks, pa.large_binary()), num_tokens


def split_bytes(content: bytes, offsets: np.ndarray) -> tuple[pa.Array, np.ndarray]:
    """Splits the bytes of rows at ASCII white space.

    Args:
        content: all rows' bytes.
        offsets: where the rows start and the last one ends, int64 [n + 1], from 0.

    Returns:
        The tokens (large_binary), and how many each row has (int64 [n]).
    """
    codes = np.frombuffer(content, np.uint8)
    # All but the blank (32) and the five codes from tab (9) to carriage return (13).
    inside = (codes != 32) & (codes - np.uint8(9) > 4)

    starts = inside.copy()
    starts[1:] &= ~inside[:-1]

    # A row begins a token, whatever the row before it ends with. (An empty row begins where the
    # next one does.)
    row_starts = offsets[:-1][offsets[:-1] < len(codes)]
    starts[row_starts] = inside[row_starts]

    last = inside.copy()
    last[:-1] &= ~inside[1:] | starts[1:]
    token_starts = np.flatnonzero(starts)

    # Without the white space, a token ends where the next one starts: Arrow's layout of strings.
    ends = np.zeros(len(token_starts) + 1, np.int64)
    np.cumsum(np.flatnonzero(last) - token_starts + 1, out=ends[1:])

    buffers = [None, pa.py_buffer(ends), pa.py_buffer(content.translate(None, SPACES))]
    tokens = pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(token_starts), buffers)
    return tokens, np.diff(np.searchsorted(token_starts, offsets))


def count(tokens: pa.Array) -> TokenCounts:
    """How often each token occurs."""
    values, counts = pc.value_counts(tokens).flatten()
    return dict(zip(values.to_pylist(), counts.to_pylist(), strict=True))


def count_chars(texts: pa.Array) -> Histogram:
    """How often each code point occurs in an array of large_string."""
    counts = np.zeros(128, np.int64)  # of each code point so far
    for block in _blocks(texts):
        content, _ = _buffers(block.texts)
        if not block.is_ascii:
            content = content.decode().encode("utf-32-le")

        points = np.frombuffer(content, np.uint8 if block.is_ascii else "<u4")
        longer = np.bincount(points, minlength=len(counts))
        longer[: len(counts)] += counts
        counts = longer

    used = np.flatnonzero(counts)
    return Histogram(used, counts[used])


class _Block(NamedTuple):
    """Some texts, all of them ASCII or none."""

    is_ascii: bool
    rows: np.ndarray  # the texts' places among all, int64 [n]
    texts: pa.Array  # [n]


def _blocks(texts: pa.Array) -> Iterator[_Block]:
    """The texts in blocks that fit into a processor's cache.

    ASCII texts have blocks of their own: they cost a third of the others.
    """
    step = max(1, BLOCK_BYTES * len(texts) // max(1, texts.nbytes))
    for start in range(0, len(texts), step):
        block = texts.slice(start, step)
        is_ascii = pc.string_is_ascii(block).to_numpy(zero_copy_only=False)
        for kind in (True, False):
            places = np.flatnonzero(is_ascii == kind)
            if len(places) == len(block):
                yield _Block(kind, places + start, block)
            elif len(places):
                yield _Block(kind, places + start, block.take(pa.array(places)))


def _buffers(texts: pa.Array) -> tuple[bytes, np.ndarray]:
    """All bytes of an array of strings, and its offsets into them: int64 [n + 1], from 0."""
    _, offsets_buffer, data = texts.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    content = data.slice(offsets[0], offsets[-1] - offsets[0]).to_pybytes() if data else b""
    return content, offsets - offsets[0]


def shorten(texts: pa.Array) -> pa.Array:
    """The first characters of texts, for examples. Texts and result are large_string [n]."""
    return pc.utf8_slice_codeunits(texts, 0, SHOWN_CHARS)


def _show_steps(row: np.ndarray) -> str:
    numbers = row[0, :SHOWN_NUMBERS].tolist() if len(row) else []
    first = ", ".join(f"{number:g}" for number in numbers)
    more = ", ..." if row.shape[1] > SHOWN_NUMBERS else ""
    return f"{len(row)} steps from [{first}{more}]"


def _examples_of_labels(
    labels: Sequence[str], codes: np.ndarray, columns: Columns
) -> dict[str, Example]:
    """One row of each label: the row with the smallest digest.

    Args:
        labels: the distinct labels.
        codes: each row's place in `labels` [n].
        columns: the measures of the rows.
    """
    order = np.lexsort((columns.digests, codes))
    codes_in_use, starts = np.unique(codes[order], return_index=True)
    return {
        f"label {labels[code]}": _example(columns, 0, int(order[start]))
        for code, start in zip(codes_in_use, starts, strict=True)
    }


def _examples_of_lengths(columns: Columns, counted: np.ndarray) -> dict[str, Example]:
    """The shortest and the longest row by each length; of equal ones, that of the smallest digest.

    Args:
        columns: the measures of the rows.
        counted: whether a row counts, bool [n].
    """
    examples: dict[str, Example] = {}
    if not counted.any():
        return examples

    for name, length in columns.lengths.items():
        for which, sign in (("shortest", 1), ("longest", -1)):
            order = np.where(counted, sign * length.astype(np.int64), np.iinfo(np.int64).max)
            ties = np.flatnonzero(order == order.min())
            place = int(ties[np.argmin(columns.digests[ties])])
            examples[f"{which} {name}"] = _example(columns, int(order[place]), place)
    return examples


def _example(columns: Columns, order: int, place: int) -> Example:
    return order, int(columns.digests[place]), columns.shown[place].as_py()
