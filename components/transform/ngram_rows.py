"""The second pass over n-grams: the rows of a shard, from its tokens and the chosen n-grams."""

from collections.abc import Sequence

import numpy as np

from components.transform.ngram_counts import (
    blocks,
    distinct,
    encoded,
    text_sizes,
    with_bounds,
)
from seqline.data import features
from seqline.data.ngrams import END, START, Rows, Table, characters_of, find, keys, token_codes

# (item, count, how many of each group), uint32.
Lists = tuple[np.ndarray, np.ndarray, np.ndarray]


def rows_of(
    tokens: Sequence[bytes],
    indices: np.ndarray,
    lengths: np.ndarray,
    ids: np.ndarray,
    table: Table,
    labels: np.ndarray,
    weights: np.ndarray | None,
) -> Rows:
    """The n-grams of texts.

    Args:
        tokens: the distinct tokens of the texts.
        indices: into tokens, text after text [sum(lengths)].
        lengths: tokens of each text [n].
        ids: the id of each token.
        table: the n-grams that a model may use.
        labels: int64 [n].
        weights: float32 [n]; None where rows have none.
    """
    code = token_codes(tokens)
    lengths = lengths.astype(np.int64)
    stops = np.cumsum(lengths)
    words: list[Lists] = []
    sequences: list[Lists] = []

    for texts in blocks(text_sizes(tokens, indices, lengths)):
        size = lengths[texts]
        token = indices[stops[texts.start] - size[0] : stops[texts.stop - 1]]
        text = np.repeat(np.arange(len(size)), size)
        words.append(_lists(text, token, len(size), len(tokens)))
        is_known = ids[token] < features.oov_id(len(table.tokens))
        sequences.append(_sequences(code[token], is_known, size, table))

    return Rows(
        *_joined(words),
        *_joined(sequences),
        ids.astype(np.uint32),
        *_characters(tokens, table),
        labels,
        np.zeros(0, np.float32) if weights is None else weights,
    )


def _sequences(code: np.ndarray, is_known: np.ndarray, lengths: np.ndarray, table: Table) -> Lists:
    num_texts = len(lengths)
    if table.bounded[0]:
        code = with_bounds(code, lengths, np.uint64(START), np.uint64(END))
        is_known = with_bounds(is_known, lengths, np.True_, np.True_)
        lengths = lengths + 2

    # A text is cut before and after every unknown token.
    text = np.repeat(np.arange(num_texts), lengths)
    is_cut = np.zeros(len(code), bool)
    is_cut[1:] = (text[1:] != text[:-1]) | ~is_known[1:] | ~is_known[:-1]
    group = np.cumsum(is_cut)

    ngrams = [keys(code, group, size) for size in table.orders.tolist()]
    first = np.concatenate([place for _, place in ngrams])
    place = _places(table.sequence_keys, np.concatenate([key for key, _ in ngrams]))
    is_kept = place >= 0
    return _lists(text[first[is_kept]], place[is_kept], num_texts, len(table.sequence_keys))


def _places(table: np.ndarray, key: np.ndarray) -> np.ndarray:
    """As `find`, which looks for each distinct key once."""
    distinct_keys, number = encoded(key)
    return find(table, distinct_keys)[number]


def _characters(tokens: Sequence[bytes], table: Table) -> Lists:
    if not len(table.character_keys):
        return _lists(np.zeros(0), np.zeros(0), len(tokens), 0)

    found = []
    for words in blocks(np.array([len(token) + 1 for token in tokens], np.int64)):
        word, key = characters_of(tokens[words])
        place = _places(table.character_keys, key)
        is_kept = place >= 0
        found.append(
            _lists(
                word[is_kept],
                place[is_kept],
                words.stop - words.start,
                len(table.character_keys),
            )
        )
    return _joined(found)


def _lists(groups: np.ndarray, items: np.ndarray, num_groups: int, num_items: int) -> Lists:
    """The distinct items of each group, in ascending order."""
    group, item, count = distinct(groups, items, num_items)
    lengths = np.bincount(group, minlength=num_groups)
    return item.astype(np.uint32), count.astype(np.uint32), lengths.astype(np.uint32)


def _joined(parts: Sequence[Lists]) -> Lists:
    """Lists of groups, one after the other."""
    if not parts:
        return (np.zeros(0, np.uint32),) * 3
    item, count, length = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return item, count, length
