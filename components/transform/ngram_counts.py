"""The first pass over n-grams: in how many texts of the train split is each, and which ones stay.

A table on disk has record batches of buckets (see `seqline.data.buckets`), a record each; for the
keys see `seqline.data.ngrams`. Tables of shards are summed to tables of spans, and tables of spans
to any window, some buckets at a time. A table has every n-gram; what is too rare is left out
only when a window is complete.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_array

from seqline.data import features
from seqline.data.buckets import NUM_BUCKETS, Place, files_of, num_batches, open_table, steps
from seqline.data.ngrams import END, START, Table, characters_of, find, keys, token_codes
from seqline.storage.staging import writing

# An n-gram of a single text says nothing of another one.
MIN_TEXTS = 2

# The bucket of a key is its first bits.
SHIFT = 64 - (NUM_BUCKETS - 1).bit_length()
# The name of a span's table, see `seqline.data.buckets`.
TABLE = "ngram_counts"

# Bytes of the texts that are looked at together, a single longer one aside.
BLOCK_BYTES = 4 << 20

KINDS = ("tokens", "sequences", "characters")
# Kind -> (ascending keys, uint64; texts with each, int64).
Counts = dict[str, tuple[np.ndarray, np.ndarray]]
NO_COUNTS = (np.zeros(0, np.uint64), np.zeros(0, np.int64))


@dataclass(frozen=True)
class NgramKinds:
    """Which n-grams a text has.

    Attributes:
        orders: The sizes of sequences of tokens.
        bounded: Whether the start and the end of a text are in its sequences.
        has_characters: Whether its words have character n-grams.
    """

    orders: tuple[int, ...]
    bounded: bool
    has_characters: bool


def kinds_of(content: str, tokens: Literal["word", "char"]) -> NgramKinds:
    """The n-grams of texts whose tokens are words or characters, or of lists of tokens."""
    if content == features.TEXT and tokens == "char":
        return NgramKinds((2, 3, 4), bounded=True, has_characters=False)
    return NgramKinds((2,), bounded=False, has_characters=content == features.TEXT)


def blocks(sizes: np.ndarray) -> Iterator[slice]:
    """Cuts things of some sizes into runs of at most BLOCK_BYTES together, or of a single one."""
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + BLOCK_BYTES, side="right")))
        yield slice(start, stop)
        start = stop


def text_sizes(tokens: Sequence[bytes], indices: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The bytes of each text, with one more for each token, int64 [num_texts]."""
    size = np.array([len(token) + 1 for token in tokens], np.int64)
    ends = np.concatenate([[0], np.cumsum(size[indices])])
    stops = np.cumsum(lengths, dtype=np.int64)
    return ends[stops] - ends[stops - lengths]


def with_bounds(
    values: np.ndarray, lengths: np.ndarray, start: np.generic, end: np.generic
) -> np.ndarray:
    """Values of texts, with a value for the start and the end of each text."""
    texts = np.repeat(np.arange(len(lengths)), lengths)
    spread = np.empty(len(values) + 2 * len(lengths), values.dtype)
    spread[np.arange(len(values)) + 2 * texts + 1] = values

    stops = np.cumsum(lengths + 2)
    spread[stops - lengths - 2] = start
    spread[stops - 1] = end
    return spread


def encoded(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values, in the order in which they first occur, and the place of each there.

    Arrow's hash table takes a tenth of the time of a sort.
    """
    encoding = pa.array(values).dictionary_encode()
    return encoding.dictionary.to_numpy(), encoding.indices.to_numpy()


def pairs_of(groups: np.ndarray, items: np.ndarray, num_items: int) -> tuple[np.ndarray, int]:
    """Pairs as numbers of 64 bits: uint64, and the bits of the item in each."""
    bits = max(1, int(num_items - 1).bit_length())
    return (groups.astype(np.uint64) << np.uint64(bits)) | items.astype(np.uint64), bits


def distinct(groups: np.ndarray, items: np.ndarray, num_items: int) -> tuple[np.ndarray, ...]:
    """The distinct items of each group.

    Args:
        groups: the number of the group of each item. It is fast if they ascend.
        items: 0 to num_items - 1.
        num_items: how many different ones there can be.

    Returns:
        (group, item, count), int64, in ascending order of groups, then of items.
    """
    pairs, bits = pairs_of(groups, items, num_items)
    pairs.sort(kind="stable")
    starts = _starts(pairs)

    pairs = pairs[starts]
    count = np.diff(starts, append=len(groups))
    item = pairs & np.uint64((1 << bits) - 1)
    return (pairs >> np.uint64(bits)).astype(np.int64), item.astype(np.int64), count


def _starts(ascending: np.ndarray) -> np.ndarray:
    """The places at which a value differs from that before it; the first one does."""
    is_new = np.ones(len(ascending), bool)
    is_new[1:] = ascending[1:] != ascending[:-1]
    return np.flatnonzero(is_new)


def count(
    tokens: Sequence[bytes], indices: np.ndarray, lengths: np.ndarray, kinds: NgramKinds
) -> Counts:
    """Counts in how many texts each token and n-gram is.

    Args:
        tokens: the distinct tokens of the texts.
        indices: into tokens, text after text [sum(lengths)].
        lengths: tokens of each text [n].
        kinds: of n-grams.
    """
    code = token_codes(tokens)
    lengths = lengths.astype(np.int64)
    stops = np.cumsum(lengths)
    counted: list[Counts] = []

    for texts in blocks(text_sizes(tokens, indices, lengths)):
        size = lengths[texts]
        token = indices[stops[texts.start] - size[0] : stops[texts.stop - 1]]
        of_block = {"sequences": _sequences(code[token], size, kinds)}

        text = np.repeat(np.arange(len(size)), size)
        in_text = distinct(text, token, len(tokens))[:2]
        of_block["tokens"] = _by_key(code, in_text[1])
        of_block["characters"] = NO_COUNTS
        if kinds.has_characters:
            of_block["characters"] = _characters(tokens, *in_text)
        counted.append(of_block)

    return {kind: _sum([of_block[kind] for of_block in counted]) for kind in KINDS}


def _by_key(code: np.ndarray, token: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    texts = np.bincount(token, minlength=len(code))
    return _ascending(code[texts > 0], texts[texts > 0])


def _sequences(
    code: np.ndarray, lengths: np.ndarray, kinds: NgramKinds
) -> tuple[np.ndarray, np.ndarray]:
    """The sequences of texts by key, and the texts with each."""
    if kinds.bounded:
        code = with_bounds(code, lengths, np.uint64(START), np.uint64(END))
        lengths = lengths + 2

    text = np.repeat(np.arange(len(lengths)), lengths)
    ngrams = [keys(code, text, size) for size in kinds.orders]
    first = np.concatenate([place for _, place in ngrams])
    table, place = encoded(np.concatenate([key for key, _ in ngrams]))

    pairs, bits = pairs_of(place, text[first], len(lengths))
    of_pairs = encoded(pairs)[0] >> np.uint64(bits)
    return _ascending(table, np.bincount(of_pairs.astype(np.int64), minlength=len(table)))


def _characters(
    tokens: Sequence[bytes], text: np.ndarray, token: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The character n-grams of texts by key, and the texts with each.

    Args:
        tokens: words.
        text, token: every word of every text once, in the order of texts.
    """
    is_there = np.zeros(len(tokens), bool)
    is_there[token] = True
    words = np.flatnonzero(is_there)
    word = (np.cumsum(is_there) - 1)[token]

    of_word, key = characters_of([tokens[place] for place in words.tolist()])
    table, place = encoded(key)

    # In a product of matrices of ones and zeros, an n-gram of two words of a text is there once.
    num_texts = int(text[-1]) + 1 if len(text) else 0
    words_of_texts = _matrix(text, word, (num_texts, len(words)))
    ngrams_of_words = _matrix(of_word, place, (len(words), len(table)))
    product = words_of_texts @ ngrams_of_words
    return _ascending(table, np.bincount(product.indices, minlength=len(table)))


def _ascending(key: np.ndarray, texts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(key)
    return key[order], texts[order]


def _matrix(row: np.ndarray, column: np.ndarray, shape: tuple[int, int]) -> csr_array:
    """A matrix with ones at some places, whose rows are ascending."""
    starts = np.zeros(shape[0] + 1, np.int32)
    np.cumsum(np.bincount(row, minlength=shape[0]), out=starts[1:])
    return csr_array((np.ones(len(row), bool), column.astype(np.int32), starts), shape=shape)


def _sum(tables: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """The sum of tables with ascending keys."""
    if len(tables) == 1:
        return tables[0]
    if not tables:
        return NO_COUNTS

    key = np.concatenate([key for key, _ in tables])
    order = np.argsort(key)
    key = key[order]
    if not len(key):
        return NO_COUNTS

    starts = _starts(key)
    texts = np.concatenate([texts for _, texts in tables])
    return key[starts], np.add.reduceat(texts[order], starts)


def write(path: str | Path, batches: Iterable[Counts]) -> None:
    """Writes a table from its record batches, in their order. It appears whole."""
    schema = pa.schema(
        [
            field
            for kind in KINDS
            for field in (
                pa.field(f"{kind}_keys", pa.list_(pa.uint64())),
                pa.field(kind, pa.list_(pa.int64())),
            )
        ]
    )
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with (
        writing(path) as name,
        pa.OSFile(name, "wb") as file,
        pa.ipc.new_file(file, schema, options=options) as writer,
    ):
        for counts in batches:
            arrays = [pa.array(array) for kind in KINDS for array in counts[kind]]
            lists = [pa.ListArray.from_arrays([0, len(array)], array) for array in arrays]
            writer.write_batch(pa.record_batch(lists, schema=schema))


def split(counts: Counts) -> Iterator[Counts]:
    """Counts in memory, as the record batches of a table."""
    num = num_batches(max(len(key) for key, _ in counts.values()))
    width = NUM_BUCKETS // num
    firsts = np.arange(width, NUM_BUCKETS, width, dtype=np.uint64)  # the first buckets but of one
    bounds = firsts << np.uint64(SHIFT)
    cuts = {
        kind: [0, *np.searchsorted(key, bounds).tolist(), len(key)]
        for kind, (key, _) in counts.items()
    }
    for batch in range(num):
        part = {kind: slice(cut[batch], cut[batch + 1]) for kind, cut in cuts.items()}
        yield {kind: (key[part[kind]], num[part[kind]]) for kind, (key, num) in counts.items()}


def _read(place: Place) -> Iterator[Counts]:
    """Some buckets of a file."""
    with open_table(place.path) as file:
        reader = pa.ipc.open_file(file)
        for number in place.batches(reader.num_record_batches):
            batch = reader.get_batch(number)
            counts: Counts = {}
            for kind in KINDS:
                key = batch[f"{kind}_keys"].values.to_numpy()
                chosen = place.slice_of((key >> np.uint64(SHIFT)).astype(np.int64))
                counts[kind] = (key[chosen], batch[kind].values.to_numpy()[chosen])
            yield counts


def total(places: Sequence[Place]) -> Counts:
    """The sum of some buckets of files."""
    tables = [counts for place in places for counts in _read(place)]
    return {kind: _sum([table[kind] for table in tables]) for kind in KINDS}


def buckets_of(parts: Iterable[Path]) -> Iterator[Counts]:
    """The counts of a window, some buckets at a time: the sum of its spans' tables."""
    tables = [files_of(part, TABLE) for part in parts]
    for step in steps({TABLE: tables}):
        yield total(step[TABLE])


def choose(
    buckets: Iterable[Counts],
    vocabulary: Sequence[bytes],
    num_texts: int,
    kinds: NgramKinds,
    limit: int,
) -> Table:
    """Chooses the n-grams that a model may use: those of most texts, of equal ones by key.

    Args:
        buckets: the counts of the window. One bucket is in memory at a time.
        vocabulary: the tokens, in rank order.
        num_texts: texts of the train split.
        kinds: of n-grams.
        limit: the most sequences, and the most character n-grams.
    """
    codes = token_codes(vocabulary)
    order = np.argsort(codes)
    texts = np.zeros(len(codes), np.int64)
    best = {"sequences": [NO_COUNTS], "characters": [NO_COUNTS]}

    for counts in buckets:
        key, num = counts["tokens"]
        place = find(codes[order], key)
        texts[order[place[place >= 0]]] = num[place >= 0]

        for kind, kept in best.items():
            key, num = counts[kind]
            kept.append((key[num >= MIN_TEXTS], num[num >= MIN_TEXTS]))
            if sum(len(key) for key, _ in kept) > 2 * limit:
                best[kind] = [_most(kept, limit)]

    return Table(
        np.array([num_texts], np.int64),
        np.array(kinds.orders, np.int64),
        np.array([kinds.bounded]),
        texts,
        *_most(best["sequences"], limit),
        *_most(best["characters"], limit),
    )


def _most(
    tables: Sequence[tuple[np.ndarray, np.ndarray]], limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """At most `limit` entries of tables without common keys, in ascending order of the keys."""
    key = np.concatenate([key for key, _ in tables])
    texts = np.concatenate([texts for _, texts in tables])
    chosen = np.lexsort((key, -texts))[:limit]
    chosen = chosen[np.argsort(key[chosen])]
    return key[chosen], texts[chosen]
