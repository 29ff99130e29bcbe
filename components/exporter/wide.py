"""The wide part as it is served: a row of class scores for each word, others only for sequences.

The formulas are those of `seqline.data.ngrams`. All weights are known when a model is exported, so
a word of the vocabulary is one row, its characters included; its part of N^2 is one number:

    words        R_w = idf_w W_w + 0.3 sum over g in w of n_g idf_g W_g    squares: q_w
    sequences    idf_s W_s                                                squares: idf_s^2
    characters   0.3 idf_g W_g                                            squares: (0.3 idf_g)^2

    scores = prior + 1/N (sum over words sqrt(c) R_w + sum over sequences sqrt(c) idf_s W_s)

Each row of scores has the mean 0 over the classes, which changes no probability. Only for the
words outside the vocabulary the characters' rows are added up, by integer hashes of
their code points: no string is built for an n-gram. Products of weights are in float64, rounded
once, when they are stored.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import tensorflow as tf

from components.exporter.hashed import LOW, KeyTable
from components.exporter.tables import WIDE_ROW, Table, TableDtype, constant
from seqline.data import ngrams
from seqline.data.features import NUM_RESERVED_IDS, oov_id
from seqline.data.ngrams import CHARACTERS, END, FACTOR, SIZES, START
from seqline.model.wide import Wide

# Words of the vocabulary whose characters are taken apart at once.
CHUNK = 1 << 16


class Found(NamedTuple):
    """The distinct features of one kind in texts.

    Attributes:
        text, place, count: the text of each, its place in the table, and how often the text has it;
            int64 [num], int64 [num], float32 [num].
        table: rows of class scores: a Table, or float32 [places, K].
        squares: float32 [places].
        number: which of the distinct features each occurrence is, int32 [occurrences].
        start: the place of each occurrence's first token among all tokens, int64 [occurrences].
        size: tokens of a feature.
    """

    text: tf.Tensor
    place: tf.Tensor
    count: tf.Tensor
    table: Any
    squares: Any
    number: tf.Tensor
    start: tf.Tensor
    size: int


class FoldedWide(tf.Module):
    """The variables of a served wide part, and `scores` over them.

    Args:
        tokens: the vocabulary, in the order of ids.
        table_dtype: of the tables of class scores; other numbers are float32.
    """

    def __init__(
        self, wide: Wide, tokens: Sequence[bytes], table_dtype: TableDtype = "float32"
    ) -> None:
        super().__init__(name="wide")
        self.num_tokens, num_sequences, _ = wide.sizes.tolist()
        self.orders = wide.orders.tolist()
        self.bounded = bool(wide.bounded[0])

        # The features of each kind that stay.
        ends = np.searchsorted(wide.features, [self.num_tokens, self.num_tokens + num_sequences])
        of_tokens, _, of_characters = np.split(wide.features, ends)
        weights = _centred(wide.matrix)
        weights *= wide.idf[:, None]
        token_rows, sequence_rows, character_rows = np.split(weights, ends)
        token_idf, sequence_idf, character_idf = np.split(wide.idf, ends)
        self.has_characters = bool(len(of_characters))

        rows = np.zeros((self.num_tokens + NUM_RESERVED_IDS, weights.shape[1]))
        squares = np.zeros(len(rows))
        ids = of_tokens + NUM_RESERVED_IDS - 1
        rows[ids], squares[ids] = token_rows, token_idf**2
        if self.has_characters:
            character_rows = CHARACTERS * character_rows
            character_squares = (CHARACTERS * character_idf) ** 2
            for first in range(0, self.num_tokens, CHUNK):
                counts = _character_counts(tokens[first : first + CHUNK], wide.character_keys)
                ids = np.arange(first, first + counts.shape[0]) + NUM_RESERVED_IDS - 1
                rows[ids] += counts @ character_rows
                squares[ids] += counts.multiply(counts) @ character_squares

            self.character_keys = KeyTable(wide.character_keys, "characters")
            self.characters, self.character_squares = _by_slots(
                self.character_keys, character_rows, character_squares, table_dtype, "characters"
            )

        self.words = Table(rows, table_dtype, "words", alike=True)
        self.word_squares = constant(squares, "word_squares")
        self.sequence_keys = KeyTable(wide.sequence_keys, "sequences")
        self.sequences, self.sequence_squares = _by_slots(
            self.sequence_keys, sequence_rows, sequence_idf**2, table_dtype, "sequences"
        )

        # PAD and words outside the vocabulary have no code: those that have one are odd.
        codes = np.concatenate([np.zeros(1, np.uint64), wide.codes, np.zeros(1, np.uint64)])
        self.codes = constant(codes.view(np.int64), "codes", "int64")
        self.prior = constant(_centred(wide.prior), "prior")
        self.pool = constant(wide.pool, "pool")

    def scores(self, words: tf.SparseTensor, unknown: tf.SparseTensor) -> tf.Tensor:
        """The scores of texts, whose softmax is p_wide.

        Args:
            words: ids of whole texts, int64 [batch, time]. What is not 0 comes first in a text.
            unknown: their words outside the vocabulary in the order of the text, string
                [batch, num].

        Returns:
            float32 [batch, num_classes].
        """
        batch = words.dense_shape[0]
        found = self.features(words, unknown)
        length = self.lengths(found, batch)
        total = tf.add_n(
            [weighted_sum(kind.table, kind, tf.sqrt(kind.count), batch) for kind in found]
        )
        return self.of_classes(self.prior + total / length[:, None])

    def of_classes(self, scores: tf.Tensor) -> tf.Tensor:
        """Numbers for each class [..., num_classes] of numbers [..., K]; K is 1 for two classes."""
        if self.prior.shape[0] > 1:
            return scores
        return tf.concat([-scores / 2, scores / 2], axis=-1)

    def pooled(self, scores: tf.Tensor, logits: tf.Tensor | None) -> tf.Tensor:
        """The logits of the whole: a scores + b logits, [batch, num_classes].

        Args:
            logits: of the recurrent part; None without one.
        """
        if logits is None:
            return self.pool[0] * scores
        return self.pool[0] * scores + self.pool[1] * logits

    def lengths(self, found: Sequence[Found], batch: tf.Tensor) -> tf.Tensor:
        """N of texts, float32 [batch]."""
        squares = tf.concat([tf.gather(kind.squares, kind.place) for kind in found], axis=0)
        parts = squares * tf.concat([kind.count for kind in found], axis=0)
        text = tf.concat([kind.text for kind in found], axis=0)
        return tf.sqrt(tf.maximum(tf.math.unsorted_segment_sum(parts, text, batch), 1e-12))

    def features(self, words: tf.SparseTensor, unknown: tf.SparseTensor) -> list[Found]:
        """The features of texts, see `scores`."""
        ids, text = words.values, words.indices[:, 0]
        place = tf.range(tf.size(ids, out_type=tf.int64))
        found = [_distinct(text, ids, self.words, self.word_squares, place, 1)]
        if self.has_characters:
            found.append(self._unknown(ids, unknown))
        return found + self._sequences(ids, text, words.dense_shape[0])

    def _unknown(self, ids: tf.Tensor, unknown: tf.SparseTensor) -> Found:
        types, number = tf.unique(unknown.values, tf.int64)
        padded = tf.strings.join([" ", types, " "])
        decoded = tf.strings.unicode_decode(padded, "UTF-8")
        word, codes = decoded.value_rowids(), tf.cast(decoded.values, tf.int64)
        keys, starts = _keys(codes, word, SIZES)
        has, slot = self.character_keys(keys)
        has = tf.where(has)[:, 0]
        word, slot = tf.gather(tf.gather(word, starts), has), tf.gather(slot, has)

        num_types = tf.size(types, out_type=tf.int64)
        grams = _distinct(word, slot, self.characters, self.character_squares, word, 1)
        rows = weighted_sum(self.characters, grams, grams.count, num_types)
        squared = tf.gather(self.character_squares, grams.place) * grams.count**2
        squares = tf.math.unsorted_segment_sum(squared, grams.text, num_types)
        start = tf.where(tf.equal(ids, oov_id(self.num_tokens)))[:, 0]
        return _distinct(unknown.indices[:, 0], number, rows, squares, start, 1)

    def _sequences(self, ids: tf.Tensor, text: tf.Tensor, batch: tf.Tensor) -> list[Found]:
        codes = tf.gather(self.codes, ids)
        if self.bounded:
            codes = with_ends(codes, text, batch, START, END)
            text, codes = codes.value_rowids(), codes.values

        found = []
        for size in self.orders:
            # All tokens are known where every code is odd.
            keys, starts = _keys(codes, text, [size], known=tf.not_equal(codes, 0))
            has, slot = self.sequence_keys(keys)
            has = tf.where(has)[:, 0]
            start = tf.gather(starts, has)
            found.append(
                _distinct(
                    tf.gather(text, start),
                    tf.gather(slot, has),
                    self.sequences,
                    self.sequence_squares,
                    start,
                    size,
                )
            )
        return found


def _centred(scores: np.ndarray) -> np.ndarray:
    """Scores [..., K] that have the mean 0 over the classes, float64.

    The softmax stays, and a feature's numbers say what speaks for a class and what against it.
    """
    scores = scores.astype(np.float64)
    if scores.shape[-1] > 1:
        scores -= scores.mean(axis=-1, keepdims=True)
    return scores


def with_ends(
    values: tf.Tensor, text: tf.Tensor, batch: tf.Tensor, first: Any, last: Any
) -> tf.RaggedTensor:
    """The tokens of texts between a first and a last one, [batch, (tokens + 2)]."""
    tokens = tf.RaggedTensor.from_value_rowids(values, text, batch, validate=False)
    ends = [tf.fill(tf.stack([batch, 1]), tf.constant(end, values.dtype)) for end in (first, last)]
    return tf.concat([ends[0], tokens, ends[1]], axis=1)


def weighted_sum(table: Any, found: Found, factor: tf.Tensor, num_texts: tf.Tensor) -> tf.Tensor:
    """The sum of the rows of each text's features, each times its factor; [num_texts, K]."""
    rows, place = (table.rows if isinstance(table, Table) else table), found.place
    if rows.dtype != tf.float32:
        if rows.shape[1] < WIDE_ROW:
            rows = table(place) * factor[:, None]
            return tf.math.unsorted_segment_sum(rows, found.text, num_texts)
        distinct, place = tf.unique(place, tf.int64)
        rows = table(distinct)

    # Makes no copy of the rows for each text, which matters with many classes.
    indices = tf.stack([found.text, place], axis=1)
    size = tf.stack([num_texts, tf.shape(rows, out_type=tf.int64)[0]])
    return tf.sparse.sparse_dense_matmul(tf.SparseTensor(indices, factor, size), rows)


def _distinct(
    text: tf.Tensor, place: tf.Tensor, table: Any, squares: Any, start: tf.Tensor, size: int
) -> Found:
    """The distinct features of texts, of their occurrences; all of these are int64."""
    pairs = tf.bitwise.bitwise_or(tf.bitwise.left_shift(text, 32), place)
    distinct, number, count = tf.unique_with_counts(pairs)
    return Found(
        tf.bitwise.right_shift(distinct, 32),
        tf.bitwise.bitwise_and(distinct, LOW),
        tf.cast(count, tf.float32),
        table,
        squares,
        number,
        start,
        size,
    )


def _keys(
    codes: tf.Tensor, group: tf.Tensor, sizes: Sequence[int], known: tf.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """`ngrams.keys` of several sizes, (keys; places of their first codes), int64 [num] both.

    Args:
        known: an n-gram of a code that is not known is left out.
    """
    keys, places = [], []
    key = codes
    whole = tf.ones_like(codes, tf.bool) if known is None else known
    all_known = whole
    for size in range(2, max(sizes) + 1):
        key = key[:-1] * FACTOR + codes[size - 1 :]
        whole = whole[:-1] & all_known[size - 1 :]
        if size in sizes:
            is_one = tf.equal(group[: tf.size(key)], group[size - 1 :])
            place = tf.where(is_one & whole)[:, 0]
            keys.append(tf.gather(key, place))
            places.append(place)
    return tf.concat(keys, axis=0), tf.concat(places, axis=0)


def _character_counts(words: Sequence[bytes], table: np.ndarray) -> sp.csr_matrix:
    """How often each word has each character n-gram of a table, float64 [words, table]."""
    word, key = ngrams.characters_of(words)
    place = ngrams.find(table, key)
    has = place >= 0
    counts = sp.coo_matrix((np.ones(has.sum()), (word[has], place[has])), (len(words), len(table)))
    return counts.tocsr()


def _by_slots(
    keys: KeyTable, rows: np.ndarray, squares: np.ndarray, dtype: TableDtype, name: str
) -> tuple[Table, tf.Variable]:
    """Rows and squares in the order of a table's slots."""
    by_slot = np.zeros((keys.num_slots, rows.shape[1]))
    by_slot[keys.slots_of_keys] = rows
    squares_by_slot = np.zeros(keys.num_slots)
    squares_by_slot[keys.slots_of_keys] = squares
    return Table(by_slot, dtype, name, alike=True), constant(squares_by_slot, f"{name}_squares")
