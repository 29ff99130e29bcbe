"""The network: Embedding -> SimpleRNN -> pooling over the states -> Dense(softmax), and a skip branch beside it.

    ids [batch, time] ─┬─ Embedding ── SimpleRNN (one or both directions) ── pooling ── dropout ─┬─ Dense(softmax)
                       └─ skip: Embedding of its own ── mean over the text ── dropout ──────────┘

Numeric sequences, values [batch, time, dim] and length [batch], go into the SimpleRNN as they are; their skip branch is the mean
of a Dense(relu) over the time steps. The trainer fits the network and the exporter serves it; both build it here, from the
same Spec.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
from keras import layers, ops

from components.features import NUM_RESERVED_IDS, PAD_ID, oov_id

SPEC_FILE = "network.json"
WEIGHTS_FILE = "model.weights.h5"

# Added to the states of padding before the maximum: below every tanh.
MASKED = -1e9


@dataclass(frozen=True)
class Spec:
    """All that decides the network's shape and its behaviour while training.

    num_tokens: V of the vocabulary; the embedding has V + 2 rows (PAD, V tokens, OOV). 0 for numeric sequences.
    masking: False reads padding like text (inputs are then padded to max_length), as a plain Keras model without a mask does.
    skip_dim: 0 for no skip branch.
    dim: numbers of a time step; 0 for ids. embedding_dim, embedding_scale and word_dropout are about ids only.
    """

    num_tokens: int
    num_classes: int
    max_length: int
    embedding_dim: int
    rnn_units: int
    bidirectional: bool
    pooling: str
    masking: bool
    recurrent_gain: float
    embedding_scale: float
    word_dropout: float
    dropout: float
    skip_dim: int
    skip_gain: float
    skip_dropout: float
    branch_dropout: float
    seed: int
    dim: int = 0


@keras.saving.register_keras_serializable("seqline")
class WordDropout(layers.Layer):
    """While training, replaces each token by OOV with probability `rate`; padding stays. ids [batch, time] -> the same."""

    def __init__(self, rate: float, oov: int, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = rate
        self.oov = oov
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, ids: Any, training: bool = False) -> Any:
        if not training:
            return ids
        dropped = keras.random.uniform(ops.shape(ids), seed=self.generator) < self.rate
        return ops.where(ops.logical_and(dropped, ids != PAD_ID), ops.cast(self.oov, ids.dtype), ids)


@keras.saving.register_keras_serializable("seqline")
class WithinLength(layers.Layer):
    """Which time steps are no padding. (values [batch, time, dim], length [batch]) -> bool [batch, time]."""

    def call(self, values: Any, length: Any) -> Any:
        return ops.arange(ops.shape(values)[1], dtype=length.dtype)[None, :] < length[:, None]


@keras.saving.register_keras_serializable("seqline")
class ReverseText(layers.Layer):
    """Turns each row around and leaves its padding behind it. (sequence [batch, time, dim], present) -> [batch, time, dim].

    present: bool [batch, time], False for padding; here and in the layers below.
    """

    def call(self, sequence: Any, present: Any) -> Any:
        time = ops.arange(ops.shape(present)[1])[None, :]
        length = ops.sum(ops.cast(present, "int32"), axis=1, keepdims=True)  # [batch, 1]
        source = ops.where(time < length, length - 1 - time, time)  # [batch, time]
        return ops.take_along_axis(sequence, source[:, :, None], axis=1)


@keras.saving.register_keras_serializable("seqline")
class Pooling(layers.Layer):
    """One vector of the states of a row. (states [batch, time, units], present [batch, time]) -> [batch, units or 2 * units].

    kind: "last" state, "mean" or "max" over time, or "mean_max", both side by side. With masking, padding does not count, and
    a row of padding only gives zeros; without, every position counts. (Keras's own GlobalMaxPooling1D ignores masks.)
    """

    def __init__(self, kind: str, masking: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind = kind
        self.masking = masking

    def call(self, states: Any, present: Any) -> Any:
        counted = present if self.masking else ops.ones_like(present)
        weights = ops.cast(counted, states.dtype)[:, :, None]  # [batch, time, 1]
        length = ops.sum(weights, axis=1)  # [batch, 1]
        pooled = []
        if self.kind == "last":
            last = ops.cast(ops.maximum(length - 1, 0), "int32")[:, :, None]
            pooled.append(ops.squeeze(ops.take_along_axis(states * weights, last, axis=1), axis=1))
        if self.kind in ("mean", "mean_max"):
            pooled.append(ops.sum(states * weights, axis=1) / ops.maximum(length, 1))
        if self.kind in ("max", "mean_max"):
            pooled.append(ops.where(length > 0, ops.max(states + MASKED * (1 - weights), axis=1), 0.0))
        return ops.concatenate(pooled, axis=-1)


@keras.saving.register_keras_serializable("seqline")
class MeanEmbedding(layers.Layer):
    """gain * the mean of a row's embeddings. (embedded [batch, time, dim], present [batch, time]) -> [batch, dim].

    A row of padding only gives zeros. Adam moves every weight by about the learning rate, so the gain is how much faster
    this branch learns than the other.
    """

    def __init__(self, gain: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.gain = gain

    def call(self, embedded: Any, present: Any) -> Any:
        weights = ops.cast(present, embedded.dtype)
        weights *= self.gain / ops.maximum(ops.sum(weights, axis=1, keepdims=True), 1)
        return ops.squeeze(ops.matmul(weights[:, None, :], embedded), axis=1)


@keras.saving.register_keras_serializable("seqline")
class BranchDropout(layers.Layer):
    """While training, a row loses one of its two branches with probability `rate`; then they are concatenated.

    Either branch has to classify on its own, so that the quickly learned one does not starve the other.
    """

    def __init__(self, rate: float, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = rate
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, recurrent: Any, skip: Any, training: bool = False) -> Any:
        if training and self.rate:
            draw = keras.random.uniform((ops.shape(recurrent)[0], 1), seed=self.generator)
            recurrent = recurrent * ops.cast(draw >= self.rate / 2, recurrent.dtype)
            skip = skip * ops.cast((draw < self.rate / 2) | (draw >= self.rate), skip.dtype)
        return ops.concatenate([recurrent, skip], axis=-1)


def build(spec: Spec, training: bool = True) -> keras.Model:
    """ids [batch, time] int64 -> probabilities [batch, num_classes]; with spec.dim, (values [batch, time, dim], length [batch]) -> these.

    training=False leaves out what only acts while training (dropout and its random state); the other layers keep their
    names and weights.
    """
    seeds = iter(range(spec.seed * 1000, spec.seed * 1000 + 100))

    def dropout(rate: float, name: str) -> Callable[[Any], Any]:
        return layers.Dropout(rate, seed=next(seeds), name=name) if training and rate else lambda value: value

    inputs, present = _inputs(spec)
    content = inputs[0] if spec.dim else inputs
    if training and spec.word_dropout and not spec.dim:
        content = WordDropout(spec.word_dropout, oov_id(spec.num_tokens), next(seeds), name="word_dropout")(content)
    embedded = content if spec.dim else _embedding(spec, spec.embedding_dim, next(seeds), "embedding")(content)
    states = _simple_rnn(spec, seeds, "rnn")(embedded)  # [batch, time, units]
    if spec.bidirectional:
        backward = _simple_rnn(spec, seeds, "rnn_backward")(ReverseText(name="reverse")(embedded, present))
        states = layers.Concatenate(name="directions")([states, ReverseText(name="restore")(backward, present)])
    pooled = Pooling(spec.pooling, spec.masking, name="pooling")(states, present)
    pooled = dropout(spec.dropout, "dropout")(pooled)
    if spec.skip_dim:
        embed = _projection if spec.dim else _embedding
        skip = embed(spec, spec.skip_dim, next(seeds), "skip_embedding")(content)
        skip = dropout(spec.skip_dropout, "skip_dropout")(MeanEmbedding(spec.skip_gain, name="skip_mean")(skip, present))
        pooled = (
            BranchDropout(spec.branch_dropout, next(seeds), name="branches")(pooled, skip)
            if training
            else layers.Concatenate(name="branches")([pooled, skip])
        )
    output = layers.Dense(
        spec.num_classes, activation="softmax", kernel_initializer=keras.initializers.GlorotUniform(next(seeds)), name="output"
    )
    return keras.Model(inputs, output(pooled), name="seqline")


def _inputs(spec: Spec) -> tuple[Any, Any]:
    """The network's input, or the pair of them, and where it is no padding: bool [batch, time]."""
    time = None if spec.masking else spec.max_length
    if not spec.dim:
        ids = keras.Input((time,), dtype="int64", name="ids")
        return ids, ops.not_equal(ids, PAD_ID)
    values = keras.Input((time, spec.dim), name="values")
    length = keras.Input((), dtype="int64", name="length")
    return (values, length), WithinLength(name="present")(values, length)


def _embedding(spec: Spec, dim: int, seed: int, name: str) -> layers.Embedding:
    initializer = keras.initializers.RandomUniform(-spec.embedding_scale, spec.embedding_scale, seed=seed)
    return layers.Embedding(spec.num_tokens + NUM_RESERVED_IDS, dim, embeddings_initializer=initializer, name=name)


def _projection(spec: Spec, dim: int, seed: int, name: str) -> layers.Dense:
    return layers.Dense(dim, activation="relu", kernel_initializer=keras.initializers.GlorotUniform(seed), name=name)


def _simple_rnn(spec: Spec, seeds: Any, name: str) -> layers.SimpleRNN:
    # No mask: padding is behind the row, so it cannot reach a state that pooling reads.
    return layers.SimpleRNN(
        spec.rnn_units,
        return_sequences=True,
        kernel_initializer=keras.initializers.GlorotUniform(next(seeds)),
        recurrent_initializer=keras.initializers.Orthogonal(spec.recurrent_gain, next(seeds)),
        name=name,
    )


def save(model: keras.Model, spec: Spec, output: Path) -> None:
    """Writes network.json and model.weights.h5, the same bytes for the same weights (a .keras archive holds the time)."""
    (output / SPEC_FILE).write_text(json.dumps(asdict(spec), indent=2) + "\n")
    # By a network of its own: the trained one would add its optimizer's state, under a name that counts the process's optimizers.
    plain = build(spec)
    plain.set_weights(model.get_weights())
    plain.save_weights(output / WEIGHTS_FILE)


def load(path: Path, training: bool = False) -> tuple[keras.Model, Spec]:
    """The network that `save` wrote; for inference only, unless `training`."""
    spec = Spec(**json.loads((path / SPEC_FILE).read_text()))
    trained = build(spec)
    trained.load_weights(path / WEIGHTS_FILE)
    if training:
        return trained, spec
    model = build(spec, training=False)
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(trained.get_layer(layer.name).get_weights())
    return model, spec
