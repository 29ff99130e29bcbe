"""Why a text got its likeliest labels: what each n-gram and each part of the model adds.

The logits of the whole are sums: a times the wide part's scores, which are a sum over n-grams, and
b times the recurrent part's logits. Each summand, less its mean over the classes, is what it adds
to a label's log-odds against the average label.
"""

from collections.abc import Callable

import tensorflow as tf

from components.exporter.tables import Table, at
from components.exporter.wide import FoldedWide, Found, weighted_sum, with_ends
from seqline.data.features import NUM_RESERVED_IDS, oov_id

# The n-grams of a text that are named.
MOST = 50
# The start and the end of a text whose tokens are characters.
FIRST, LAST = "\u2402", "\u2403"


def explain(
    wide: FoldedWide,
    words: tf.SparseTensor,
    unknown: tf.SparseTensor,
    logits: tf.Tensor | None,
    token_of: Callable[[tf.Tensor], tf.Tensor],
    joint: str,
    top_k: int,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Explains texts.

    Args:
        words, unknown: see `FoldedWide.scores`.
        logits: of the recurrent part, [batch, num_classes]; None without one.
        token_of: the tokens of their ranks, from 0.
        joint: what joins the tokens of a sequence.
        top_k: how many of the likeliest labels are explained.

    Returns:
        (class ids of the likeliest labels, int64 [batch, k]; the other outputs of serving_explain,
        see `components.exporter`).
    """
    batch = words.dense_shape[0]
    found = wide.features(words, unknown)
    length = wide.lengths(found, batch)
    total = tf.add_n([weighted_sum(kind.table, kind, tf.sqrt(kind.count), batch) for kind in found])
    scores = wide.of_classes(wide.prior + total / length[:, None])

    top = tf.math.top_k(tf.nn.softmax(wide.pooled(scores, logits)), top_k)
    class_ids = top.indices  # [batch, k]
    prior = tf.gather(wide.pool[0] * wide.of_classes(wide.prior), class_ids)
    outputs = {
        "top_probabilities": top.values,
        "prior": prior,
        "wide_probabilities": _at(tf.nn.softmax(scores), class_ids),
    }
    if logits is not None:
        centred = logits - tf.reduce_mean(logits, axis=1, keepdims=True)
        outputs["recurrent"] = wide.pool[1] * _at(centred, class_ids)
        outputs["recurrent_probabilities"] = _at(tf.nn.softmax(logits), class_ids)

    tokens, extended = _tokens(wide, words, unknown, token_of)
    text, names, counts, added = [], [], [], []
    for kind in found:
        factor = wide.pool[0] * tf.sqrt(kind.count) / tf.gather(length, kind.text)
        text.append(kind.text)
        counts.append(tf.cast(kind.count, tf.int64))
        added.append(factor[:, None] * _of_labels(wide, kind, tf.gather(class_ids, kind.text)))
        names.append(_names(kind, extended if kind.size > 1 else tokens, joint))

    ranked = _ranked(
        tf.concat(text, 0), tf.concat(names, 0), tf.concat(counts, 0), tf.concat(added, 0), batch
    )
    # Rows of few bits have a mean over the classes: less of it, the sums are those of log p.
    ranked["others"] -= wide.pool[0] * tf.reduce_mean(scores, axis=1, keepdims=True)
    return tf.cast(class_ids, tf.int64), {**outputs, **ranked}


def _at(numbers: tf.Tensor, class_ids: tf.Tensor) -> tf.Tensor:
    return tf.gather(numbers, class_ids, axis=1, batch_dims=1)


def _of_labels(wide: FoldedWide, kind: Found, class_ids: tf.Tensor) -> tf.Tensor:
    """The table's numbers of features for some classes, class_ids [num, k]; float32 [num, k]."""
    class_ids, is_table = tf.cast(class_ids, tf.int64), isinstance(kind.table, Table)
    if wide.prior.shape[0] == 1:
        rows = kind.table(kind.place) if is_table else tf.gather(kind.table, kind.place)
        return _at(wide.of_classes(rows), class_ids)
    if is_table:
        return kind.table.at(kind.place, class_ids)
    return at(kind.table, kind.place, class_ids)


def _tokens(
    wide: FoldedWide,
    words: tf.SparseTensor,
    unknown: tf.SparseTensor,
    token_of: Callable[[tf.Tensor], tf.Tensor],
) -> tuple[tf.Tensor, tf.Tensor]:
    """The tokens of all texts, string [num], and those with the ends that sequences have."""
    ids = words.values
    tokens = tf.tensor_scatter_nd_update(
        token_of(ids - (NUM_RESERVED_IDS - 1)),
        tf.where(tf.equal(ids, oov_id(wide.num_tokens))),
        unknown.values,
    )
    if not wide.bounded:
        return tokens, tokens
    text, batch = words.indices[:, 0], words.dense_shape[0]
    return tokens, with_ends(tokens, text, batch, FIRST, LAST).values


def _names(kind: Found, tokens: tf.Tensor, joint: str) -> tf.Tensor:
    """Features in words, string [num]."""
    num = tf.size(kind.text)
    first = tf.math.unsorted_segment_min(kind.start, kind.number, num)
    return tf.strings.join(
        [tf.gather(tokens, first + place) for place in range(kind.size)], separator=joint
    )


def _ranked(
    text: tf.Tensor, names: tf.Tensor, counts: tf.Tensor, added: tf.Tensor, batch: tf.Tensor
) -> dict[str, tf.Tensor]:
    """The n-grams of each text, those that count most for or against its first label in front."""
    # What has no row in any table adds nothing.
    order = tf.where(tf.reduce_any(tf.not_equal(added, 0), axis=1))[:, 0]
    order = tf.gather(order, tf.argsort(tf.gather(text, order), stable=True))
    text = tf.gather(text, order)

    def dense(values: tf.Tensor, ranks: tf.Tensor | None = None) -> tf.Tensor:
        values = tf.gather(values, order)
        ragged = tf.RaggedTensor.from_value_rowids(values, text, batch, validate=False)
        padded = ragged.to_tensor()  # [batch, most n-grams of a text, ...]
        return padded if ranks is None else tf.gather(padded, ranks, axis=1, batch_dims=1)

    # Padding is 0, and so comes last.
    size = tf.abs(dense(added[:, 0]))
    ranks = tf.math.top_k(size, tf.shape(size)[1]).indices
    by_rank = dense(added, ranks)
    return {
        "ngrams": dense(names, ranks[:, :MOST]),
        "counts": dense(counts, ranks[:, :MOST]),
        "scores": by_rank[:, :MOST],
        "others": tf.reduce_sum(by_rank[:, MOST:], axis=1),
    }
