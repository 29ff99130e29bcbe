"""Unicode Normalization Form C as TensorFlow ops.

So a SavedModel normalises exactly as training did, without Python. TensorFlow has no such op of its
own, and tensorflow-text's is a custom op that a plain TensorFlow process cannot load.

The algorithm is Unicode Standard Annex #15: decompose canonically, order the combining marks,
compose. The character data are those of Python's `unicodedata`, written into the graph as a few
thousand constants; Hangul is arithmetic (Unicode Standard, 3.12).
"""

import unicodedata
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

# Hangul syllables (S) are composed of leading (L), vowel (V) and trailing (T) jamo by arithmetic.
S_BASE, L_BASE, V_BASE, T_BASE = 0xAC00, 0x1100, 0x1161, 0x11A7
L_COUNT, V_COUNT, T_COUNT = 19, 21, 28
S_COUNT = L_COUNT * V_COUNT * T_COUNT
# A pair (first, second) is one integer; code points have 21 bits.
SHIFT = 21
MAX_DECOMPOSITION = 4
# Planes 0 to 2 and 14 hold all characters that decompose or combine. (A test checks every code
# point of this Python.)
CODE_POINTS = (*range(0x30000), *range(0xE0000, 0xE1000))


class Tables(NamedTuple):
    """Sorted character data. A lookup is a binary search."""

    decomposable: np.ndarray  # [d] code points
    decompositions: np.ndarray  # [d, 4] full canonical decompositions, filled up with -1
    marks: np.ndarray  # [m] code points with a canonical combining class above 0
    classes: np.ndarray  # [m] their classes
    pairs: np.ndarray  # [p] first << 21 | second
    composites: np.ndarray  # [p]
    suspects: str  # an RE2 character class: no text without one of these changes under NFC


@lru_cache(maxsize=1)
def tables() -> Tables:
    """The character data, read once per process from `unicodedata` (0.1 s)."""
    decompositions: dict[int, list[int]] = {}
    marks: dict[int, int] = {}
    pairs: dict[int, int] = {}
    suspects: set[int] = set()

    for code in CODE_POINTS:
        char = chr(code)
        if combining := unicodedata.combining(char):
            marks[code] = combining
            suspects.add(code)

        mapping = unicodedata.decomposition(char)
        if not mapping or mapping.startswith("<"):
            continue  # a compatibility mapping, which only NFKC uses

        full = [ord(c) for c in unicodedata.normalize("NFD", char)]
        decompositions[code] = full + [-1] * (MAX_DECOMPOSITION - len(full))
        if unicodedata.normalize("NFC", char) == char:
            first, second = (int(part, 16) for part in mapping.split())
            pairs[first << SHIFT | second] = code
            suspects.add(second)
        else:
            suspects.add(code)

    seconds_that_start = {key & ((1 << SHIFT) - 1) for key in pairs} - marks.keys()
    # _compose takes the composable characters of every starter at once. That equals UAX #15's order
    # from left to right, because no character is both the unmarked second of one pair and the first
    # of another.
    assert not seconds_that_start & {key >> SHIFT for key in pairs}
    suspects |= set(range(V_BASE, V_BASE + V_COUNT)) | set(range(T_BASE + 1, T_BASE + T_COUNT))
    return Tables(
        decomposable=np.array(sorted(decompositions), np.int32),
        decompositions=np.array(
            [decompositions[code] for code in sorted(decompositions)], np.int32
        ),
        marks=np.array(sorted(marks), np.int32),
        classes=np.array([marks[code] for code in sorted(marks)], np.int32),
        pairs=np.array(sorted(pairs), np.int64),
        composites=np.array([pairs[key] for key in sorted(pairs)], np.int32),
        suspects=_character_class(sorted(suspects)),
    )


def _character_class(codes: list[int]) -> str:
    """The RE2 character class of some code points, which are in ascending order."""
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "[" + "".join(rf"\x{{{first:x}}}-\x{{{last:x}}}" for first, last in ranges) + "]"


def nfc(text: tf.Tensor) -> tf.Tensor:
    """`unicodedata.normalize("NFC", text)` for valid UTF-8 strings. Text and result are [batch].

    Only rows with a character that normalisation could change cost time.
    """
    suspect = tf.strings.regex_full_match(text, f"(?s).*{tables().suspects}.*")  # [batch]
    rows = tf.where(suspect)  # [num_suspects, 1]
    return tf.cond(
        tf.reduce_any(suspect),
        lambda: tf.tensor_scatter_nd_update(text, rows, _normalizer()(tf.gather_nd(text, rows))),
        lambda: text,
    )


@lru_cache(maxsize=1)
def _normalizer() -> Any:
    """`_normalize` as a function of the graph: its constants are traced once in a process."""
    return tf.function(
        _normalize, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False
    )


def trace() -> None:
    """Traces what a process traces once, so that a graph made next gets the same names always."""
    _normalizer().get_concrete_function()


def _normalize(text: tf.Tensor) -> tf.Tensor:
    decoded = tf.strings.unicode_decode(text, "UTF-8")  # [batch, (num_chars)]
    codes, rows = _decompose(decoded.values, decoded.value_rowids())  # [num_chars of all rows]
    classes = _lookup(codes, tables().marks, tables().classes, default=0)
    codes, classes = _order_marks(codes, classes, rows)
    codes, rows = _compose(codes, classes, rows)
    composed = tf.RaggedTensor.from_value_rowids(codes, rows, nrows=tf.size(text, tf.int64))
    return tf.strings.unicode_encode(composed, "UTF-8")


def _lookup(
    keys: tf.Tensor, sorted_keys: np.ndarray, values: np.ndarray, default: int
) -> tf.Tensor:
    """values[i] for a key that equals sorted_keys[i], otherwise the default.

    Keys and result are [n].
    """
    position = tf.minimum(tf.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    is_listed = tf.gather(sorted_keys, position) == keys
    return tf.where(is_listed, tf.gather(values, position), default)


def _decompose(codes: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Replaces characters by their full canonical decompositions.

    Args:
        codes: code points [n].
        rows: the row of each code point [n].

    Returns:
        The code points and their rows, both [m].
    """
    table = tables()
    position = tf.minimum(tf.searchsorted(table.decomposable, codes), len(table.decomposable) - 1)
    listed = tf.gather(table.decomposable, position) == codes
    nothing = tf.fill(tf.shape(codes), -1)
    parts = tf.where(
        listed[:, None],
        tf.gather(table.decompositions, position),
        tf.stack([codes] + [nothing] * 3, axis=1),
    )  # [n, 4]

    syllable = codes - S_BASE
    is_hangul = (syllable >= 0) & (syllable < S_COUNT)
    trailing = syllable % T_COUNT
    jamo = tf.stack(
        [
            L_BASE + syllable // (V_COUNT * T_COUNT),
            V_BASE + syllable % (V_COUNT * T_COUNT) // T_COUNT,
            tf.where(trailing > 0, T_BASE + trailing, -1),
            nothing,
        ],
        axis=1,
    )  # [n, 4]

    parts = tf.where(is_hangul[:, None], jamo, parts)
    kept = parts >= 0
    kept_codes = tf.boolean_mask(parts, kept)
    rows_of_parts = tf.repeat(rows[:, None], MAX_DECOMPOSITION, axis=1)  # [n, 4]
    return kept_codes, tf.boolean_mask(rows_of_parts, kept)


def _order_marks(
    codes: tf.Tensor, classes: tf.Tensor, rows: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Orders the marks after each starter by combining class. Equal classes keep their order.

    All are [n].
    """
    starts = (classes == 0) | _first_of_row(rows)
    segment = tf.cumsum(tf.cast(starts, tf.int64))
    order = tf.argsort(segment * 256 + tf.cast(classes, tf.int64), stable=True)
    return tf.gather(codes, order), tf.gather(classes, order)


def _first_of_row(rows: tf.Tensor) -> tf.Tensor:
    """Whether a character is the first one of its row: bool [n]."""
    return tf.concat([tf.ones([1], tf.bool), rows[1:] != rows[:-1]], axis=0)[: tf.size(rows)]


def _compose(codes: tf.Tensor, classes: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Joins each starter with its first unblocked partner, until none is left. All are [n]."""

    def join(
        codes: tf.Tensor, classes: tf.Tensor, rows: tf.Tensor, _: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        size = tf.size(codes)
        index = tf.range(size)
        is_starter = classes == 0
        starters = tf.boolean_mask(index, is_starter)

        # For a mark: the nearest starter before it. For a starter: the character before it, which
        # must then be a starter.
        num_starters = tf.cumsum(tf.cast(is_starter, tf.int32))
        nearest = tf.gather(tf.concat([[-1], starters], axis=0), num_starters)
        partner = tf.where(is_starter, index - 1, nearest)
        at = tf.maximum(partner, 0)

        previous_class = tf.gather(classes, tf.maximum(index - 1, 0))
        unblocked = (
            (partner >= 0)
            & (tf.gather(rows, at) == rows)
            & (tf.gather(classes, at) == 0)
            & ((partner == index - 1) | (previous_class < classes))
        )

        composite = _pair(tf.gather(codes, at), codes)
        candidate = unblocked & (composite >= 0)

        # Of several candidates for one starter, the first is joined. The others have their turn in
        # the next round.
        first = tf.math.unsorted_segment_min(tf.where(candidate, index, size), at, size)
        joined = candidate & (tf.gather(first, at) == index)
        codes = tf.tensor_scatter_nd_update(
            codes, tf.boolean_mask(at, joined)[:, None], tf.boolean_mask(composite, joined)
        )
        kept = ~joined
        return (
            tf.boolean_mask(codes, kept),
            tf.boolean_mask(classes, kept),
            tf.boolean_mask(rows, kept),
            tf.reduce_any(joined),
        )

    any_length = tf.TensorShape([None])
    codes, _, rows, _ = tf.while_loop(
        lambda codes, classes, rows, again: again,
        join,
        (codes, classes, rows, tf.constant(True)),
        shape_invariants=(any_length, any_length, any_length, tf.TensorShape([])),
    )
    return codes, rows


def _pair(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """The primary composite of two characters, or -1 if they have none. All are [n]."""
    key = tf.bitwise.bitwise_or(
        tf.bitwise.left_shift(tf.cast(first, tf.int64), SHIFT), tf.cast(second, tf.int64)
    )
    listed = _lookup(key, tables().pairs, tables().composites, default=-1)

    leading = first - L_BASE
    vowel = second - V_BASE
    trailing = second - T_BASE
    syllable = first - S_BASE
    is_lv = (leading >= 0) & (leading < L_COUNT) & (vowel >= 0) & (vowel < V_COUNT)
    is_lvt = (
        (syllable >= 0)
        & (syllable < S_COUNT)
        & (syllable % T_COUNT == 0)
        & (trailing > 0)
        & (trailing < T_COUNT)
    )
    return tf.where(
        is_lv,
        S_BASE + (leading * V_COUNT + vowel) * T_COUNT,
        tf.where(is_lvt, first + trailing, listed),
    )
