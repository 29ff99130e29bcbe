"""SavedModels that explain their answers, with so few weights that a test can work them out."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf

from components.exporter import explanation
from components.exporter.wide import FoldedWide
from seqline.data.ngrams import START, token_code, token_codes
from seqline.model.wide import Wide
from tests.support.ngrams import key_of

LABELS = ["cat", "dog", "eel"]
# The recurrent part's logits, of every row.
LOGITS = [0.6, 0.0, -0.6]
POOL = [0.5, 0.5]
PRIOR = [0.4, 0.6, -1.0]
# N-gram -> its weights, which have the mean 0. The idf of each is 1.
MEOW = {"meow": [8, -4, -4], "the": [-1, 0.5, 0.5], "loud": [0, 2, -2]}
THE_MEOW = {("the", "meow"): [2, -1, -1]}
LETTERS = {"a": [4, 0, -4], "b": [-2, 1, 1], " ": [0, 2, -2]}
PAIRS_OF_LETTERS = {("a", "b"): [2, -1, -1], (START, "a"): [0, 3, -3]}

Kind = Literal["words", "characters", "tokens"]


class Row(NamedTuple):
    words: tf.SparseTensor
    unknown: tf.SparseTensor


def explained_model(path: Path, kind: Kind = "words", recurrent: bool = True) -> Path:
    """A SavedModel with a wide part of the weights above, as the exporter serves it.

    The n-grams of words are in lower case, and those of characters are not.
    """
    is_char = kind == "characters"
    weights = dict(LETTERS if is_char else MEOW)
    sequences = PAIRS_OF_LETTERS if is_char else THE_MEOW
    vocabulary = [token.encode() for token in weights]
    wide = _wide(weights, sequences, is_char)

    path.mkdir(parents=True)
    (path / "labels").write_text("".join(f"{label}\n" for label in LABELS))
    module = tf.Module()
    module.wide = FoldedWide(wide, vocabulary)
    module.labels = _lookup(path / "labels")
    tokens = tf.constant([*vocabulary, b""])

    def rows(content: tf.Tensor) -> Row:
        split = _split(content, kind)
        known = tf.equal(split.values[:, None], tokens[None, :-1])  # [num, vocabulary]
        is_known = tf.reduce_any(known, axis=1)
        ids = tf.where(is_known, tf.argmax(tf.cast(known, tf.int64), axis=1), len(vocabulary)) + 1
        unknown = tf.ragged.boolean_mask(split, split.with_values(~is_known))
        return Row(split.with_values(ids).to_sparse(), unknown.to_sparse())

    def logits(row: Row) -> tf.Tensor | None:
        return tf.repeat([LOGITS], row.words.dense_shape[0], axis=0) if recurrent else None

    def answer(content: tf.Tensor) -> dict[str, tf.Tensor]:
        row = rows(content)
        probabilities = tf.nn.softmax(module.wide.pooled(module.wide.scores(*row), logits(row)))
        probabilities = tf.ensure_shape(probabilities, [None, len(LABELS)])
        class_id = tf.argmax(probabilities, axis=1)
        return {
            "class_id": class_id,
            "probabilities": probabilities,
            "label": module.labels.lookup(class_id),
        }

    def explain(content: tf.Tensor) -> dict[str, tf.Tensor]:
        row = rows(content)
        class_ids, outputs = explanation.explain(
            module.wide,
            *row,
            logits(row),
            lambda ranks: tf.gather(tokens, ranks),
            "" if is_char else " ",
            2,
        )
        return {"top_labels": module.labels.lookup(class_ids), **outputs}

    return _saved(module, path / "saved_model", kind, answer, explain)


def _wide(
    weights: dict[str, list[float]],
    sequences: dict[tuple[str, str], list[float]],
    bounded: bool,
) -> Wide:
    def code(token: str | int) -> int:
        return token if isinstance(token, int) else token_code(token.encode())

    keys = {key_of([code(token) for token in names]): names for names in sequences}
    matrix = [*weights.values(), *(sequences[keys[key]] for key in sorted(keys))]
    return Wide(
        sizes=np.array([len(weights), len(keys), 0]),
        orders=np.array([2, 3, 4] if bounded else [2]),
        bounded=np.array([bounded]),
        codes=token_codes([token.encode() for token in weights]),
        features=np.arange(len(matrix)),
        sequence_keys=np.array(sorted(keys), np.uint64),
        character_keys=np.array([], np.uint64),
        idf=np.ones(len(matrix)),
        weights=np.array(matrix, np.float32).reshape(-1),
        prior=np.array(PRIOR, np.float32),
        pool=np.array(POOL),
    )


def _lookup(path: Path) -> tf.lookup.StaticHashTable:
    index = tf.lookup.TextFileIndex
    initializer = tf.lookup.TextFileInitializer(
        str(path), tf.int64, index.LINE_NUMBER, tf.string, index.WHOLE_LINE
    )
    return tf.lookup.StaticHashTable(initializer, "")


def _split(content: tf.Tensor, kind: Kind) -> tf.RaggedTensor:
    if kind == "tokens":
        return tf.RaggedTensor.from_tensor(content, padding="")
    if kind == "characters":
        return tf.strings.unicode_split(content, "UTF-8")
    text = tf.strings.regex_replace(tf.strings.lower(content), "([^a-z ])", r" \1 ")
    return tf.strings.split(text)


def _saved(
    module: tf.Module,
    path: Path,
    kind: Kind,
    answer: Callable[[tf.Tensor], dict[str, tf.Tensor]],
    explain: Callable[[tf.Tensor], dict[str, tf.Tensor]],
) -> Path:
    name = "tokens" if kind == "tokens" else "text"
    spec = tf.TensorSpec([None, None] if kind == "tokens" else [None], tf.string, name)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")], autograph=False)
    def examples(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        feature = tf.io.VarLenFeature(tf.string)
        if kind != "tokens":
            feature = tf.io.FixedLenFeature([], tf.string)
        content = tf.io.parse_example(serialized, {name: feature})[name]
        return answer(tf.sparse.to_dense(content, "") if kind == "tokens" else content)

    module.served = {
        "serving_default": tf.function(answer, [spec], autograph=False),
        "serving_explain": tf.function(explain, [spec], autograph=False),
        "serving_examples": examples,
    }
    tf.saved_model.save(module, str(path), signatures=module.served)
    return path
