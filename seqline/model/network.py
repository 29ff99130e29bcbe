"""The network: Embedding, SimpleRNN, pooling over the states, Dense(softmax), and a skip branch.

    ids [batch, time]
     +-- Embedding -- SimpleRNN, one or both directions -- pooling -- dropout --+-- Dense(softmax)
     |                                                                          |
     +-- skip branch: Embedding of tokens and bigrams -- mean -- dropout -------+

Numeric sequences, values [batch, time, dim] and length [batch], go into the SimpleRNN unchanged;
their skip branch is the mean of a Dense(relu) over the time steps. The trainer fits the network and
the exporter serves it; both build it here, from the same Spec.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import keras
from keras import layers, ops

from seqline.data.features import MODEL, NUM_RESERVED_IDS, PAD_ID, oov_id
from seqline.errors import DataError
from seqline.model.fast_rnn import DistinctEmbedding, FastSimpleRNN
from seqline.model.layers import (
    Bigrams,
    BranchDropout,
    MeanEmbedding,
    MeanOfDistinct,
    Pooling,
    ReverseText,
    WithinLength,
    WordDropout,
)
from seqline.model.spec import Spec, read_spec, write_spec
from seqline.model.time_loops import PARTS

Implementation = Literal["fast", "keras"]
# What Keras and h5py raise for a file of weights that is damaged, or is of another network.
DAMAGE = (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError, IndexError)


def build(
    spec: Spec, training: bool = True, implementation: Implementation = "keras"
) -> keras.Model:
    """Builds the network of a Spec.

    Args:
        training: False leaves out what only acts while training (dropout and its random state);
            the other layers keep their names and weights.
        implementation: "fast" is for training steps only (`seqline.model.fast_rnn`): the same
            weights under the same names, the same probabilities and gradients.

    Returns:
        A model from ids [batch, time] int64, or with spec.dim from (values [batch, time, dim],
        length [batch]), to probabilities [batch, num_classes].
    """
    return _Builder(spec, training, implementation).model()


def logits(model: keras.Model) -> Callable[..., Any]:
    """A function like the model, whose result is what the softmax of its last layer reads.

    A loss is computed from these, so training needs no softmax: on a CPU it costs more than a
    product of matrices, for a few numbers.

    Args:
        model: ends with a Dense layer with softmax.

    Returns:
        (inputs, training) -> [batch, num_classes].
    """
    output = model.layers[-1]
    # Of a single input callers give no list. (`model.input` is not there before the first call.)
    inputs = model.inputs if len(model.inputs) > 1 else model.inputs[0]
    before = keras.Model(inputs, output.input)

    def call(inputs: Any, training: bool) -> Any:
        scores = ops.matmul(before(inputs, training=training), output.kernel)
        return ops.add(scores, output.bias) if output.use_bias else scores

    return call


class _Builder:
    """Builds one network. Every random layer takes the next seed, so the order of calls matters."""

    def __init__(self, spec: Spec, training: bool, implementation: Implementation) -> None:
        self.spec = spec
        self.training = training
        self.fast = implementation == "fast"
        self.seeds: Iterator[int] = iter(range(spec.seed * 1000, spec.seed * 1000 + 100))

        time = None if spec.masking else spec.max_length
        if spec.dim:
            self.inputs: Any = (
                keras.Input((time, spec.dim), name="values"),
                keras.Input((), dtype="int64", name="length"),
            )
            self.content = self.inputs[0]
            self.present = WithinLength(name="present")(*self.inputs)
        else:
            self.inputs = self.content = keras.Input((time,), dtype="int64", name="ids")
            self.present = ops.not_equal(self.content, PAD_ID)

    def model(self) -> keras.Model:
        spec = self.spec
        if self.training and spec.word_dropout and not spec.dim:
            self.content = WordDropout(
                spec.word_dropout, oov_id(spec.num_tokens), next(self.seeds), name="word_dropout"
            )(self.content)

        dropout = self._dropout(spec.dropout, "dropout")  # Takes its seed before the branch does.
        branch = dropout(self._recurrent_branch())

        if spec.skip_dim:
            skip_dropout = self._dropout(spec.skip_dropout, "skip_dropout")
            skip = skip_dropout(self._skip_branch())
            if self.training:
                join = BranchDropout(spec.branch_dropout, next(self.seeds), name="branches")
                branch = join(branch, skip)
            else:
                branch = layers.Concatenate(name="branches")([branch, skip])

        kernel = keras.initializers.GlorotUniform(next(self.seeds))
        output = layers.Dense(
            spec.num_classes, activation="softmax", kernel_initializer=kernel, name="output"
        )(branch)
        return keras.Model(self.inputs, output, name="seqline")

    def _dropout(self, rate: float, name: str) -> Callable[[Any], Any]:
        """A dropout layer, or a function that changes nothing."""
        if self.training and rate:
            return layers.Dropout(rate, seed=next(self.seeds), name=name)
        return lambda value: value

    def _recurrent_branch(self) -> Any:
        """[batch, rnn_units], twice that for both directions, twice again for both poolings."""
        spec = self.spec
        states, positions = self.content, None
        if not spec.dim:
            arguments = {"embeddings_initializer": self._uniform(), "name": "embedding"}
            num_ids = spec.num_tokens + NUM_RESERVED_IDS
            if self.fast:  # rows [distinct, embedding_dim], positions [batch, time]
                embedding = DistinctEmbedding(num_ids, spec.embedding_dim, **arguments)
                states, positions = embedding(self.content)
            else:  # [batch, time, embedding_dim]
                states = layers.Embedding(num_ids, spec.embedding_dim, **arguments)(self.content)

            states = self._dropout(spec.embedding_dropout, "embedding_dropout")(states)

        for number in range(1, spec.num_layers):
            states = self._rnn_layer(states, positions, f"rnn_{number}", pooled=False)
            positions = None  # [batch, time, units] from here on
        return self._rnn_layer(states, positions, "rnn", pooled=True)

    def _uniform(self) -> keras.initializers.Initializer:
        scale = self.spec.embedding_scale
        return keras.initializers.RandomUniform(-scale, scale, seed=next(self.seeds))

    def _rnn_layer(self, sequence: Any, positions: Any, name: str, pooled: bool) -> Any:
        """The states [batch, time, units], or with `pooled` one vector of them [batch, units].

        Both directions are concatenated along the last axis.
        """
        outputs = [self._simple_rnn(name, sequence, positions, pooled)]
        if not self.spec.bidirectional:
            return outputs[0]

        turn = ReverseText(name=f"{name}_reverse")
        if positions is None:
            sequence = turn(sequence, self.present)
        else:
            positions = turn(positions, self.present)

        backward = self._simple_rnn(f"{name}_backward", sequence, positions, pooled)
        if not pooled:
            backward = ReverseText(name=f"{name}_restore")(backward, self.present)
        outputs.append(backward)
        return layers.Concatenate(name=f"{name}_directions")(outputs)

    def _simple_rnn(self, name: str, sequence: Any, positions: Any, pooled: bool) -> Any:
        # No mask: padding follows the row, so it cannot reach a state that pooling reads.
        spec = self.spec
        arguments: dict[str, Any] = {
            "return_sequences": True,
            "kernel_initializer": keras.initializers.GlorotUniform(next(self.seeds)),
            "recurrent_initializer": keras.initializers.Orthogonal(
                spec.recurrent_gain, next(self.seeds)
            ),
            "name": name,
        }
        if self.training and spec.recurrent_dropout:
            arguments |= {"recurrent_dropout": spec.recurrent_dropout, "seed": next(self.seeds)}

        if not self.fast:
            states = layers.SimpleRNN(spec.rnn_units, **arguments)(sequence)  # [batch, time, units]
            if not pooled:
                return states
            pooling = Pooling(spec.pooling, spec.masking, name=f"{name}_pooling")
            return pooling(states, self.present)

        # The two directions run at the same time, on two cores: each takes its batch as a whole.
        rnn = FastSimpleRNN(
            spec.rnn_units,
            pooling=spec.pooling if pooled else None,
            num_parts=1 if spec.bidirectional else PARTS,
            **arguments,
        )
        if not pooled:
            return rnn(sequence, positions=positions)

        counted = self.present if spec.masking else ops.ones_like(self.present)
        length = ops.sum(ops.cast(counted, "int32"), axis=1)  # [batch]
        return rnn(sequence, positions=positions, length=length)

    def _skip_branch(self) -> Any:
        """[batch, skip_dim]."""
        spec = self.spec
        if spec.dim:
            kernel = keras.initializers.GlorotUniform(next(self.seeds))
            dense = layers.Dense(
                spec.skip_dim, activation="relu", kernel_initializer=kernel, name="skip_embedding"
            )
            projected = dense(self.content)  # [batch, time, skip_dim]
            return MeanEmbedding(spec.skip_gain, name="skip_mean")(projected, self.present)

        ids, present = self.content, self.present
        num_ids = spec.num_tokens + NUM_RESERVED_IDS
        initializer = self._uniform()
        if spec.bigram_buckets:
            oov = oov_id(spec.num_tokens)
            bigrams = Bigrams(spec.bigram_buckets, oov, first_id=num_ids, name="bigrams")
            ids = bigrams(ids)  # [batch, 2 * time - 1]
            present = ops.not_equal(ids, PAD_ID)
            initializer = _ZerosAfter(num_ids, initializer)

        num_rows = num_ids + spec.num_bigrams
        arguments = {"embeddings_initializer": initializer, "name": "skip_embedding"}
        if self.fast:
            rows, positions = DistinctEmbedding(num_rows, spec.skip_dim, **arguments)(ids)
            return MeanOfDistinct(spec.skip_gain, name="skip_mean")(rows, positions, present)

        embedded = layers.Embedding(num_rows, spec.skip_dim, **arguments)(ids)
        return MeanEmbedding(spec.skip_gain, name="skip_mean")(embedded, present)


class _ZerosAfter(keras.initializers.Initializer):
    """The first rows as another initializer makes them, then zeros.

    So a bigram changes nothing until it has learned something.
    """

    def __init__(self, num_rows: int, initializer: keras.initializers.Initializer) -> None:
        self.num_rows = num_rows
        self.initializer = initializer

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        first = self.initializer((self.num_rows, *shape[1:]), dtype=dtype)
        zeros = ops.zeros((shape[0] - self.num_rows, *shape[1:]), dtype=first.dtype)
        return ops.concatenate([first, zeros], axis=0)


def save(model: keras.Model, spec: Spec, output: Path) -> None:
    """Writes network.json and model.weights.h5.

    The same weights give the same bytes. (A .keras archive would hold the time.)
    """
    write_spec(spec, output)
    # By a network of stock layers: a weights file names layers by their class.
    plain = build(spec)
    copy_weights(model, plain)
    plain.save_weights(output / MODEL)


def load(path: Path, training: bool = False, dtype: str = "float32") -> tuple[keras.Model, Spec]:
    """Reads the network that `save` wrote.

    Args:
        training: whether it can be trained; otherwise it is for inference only.
        dtype: what an inference network computes in.

    Raises:
        DataError: a file is damaged.
    """
    spec = read_spec(path)
    trained = build(spec)
    try:
        trained.load_weights(path / MODEL)
    except DAMAGE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise DataError(
            f"{path / MODEL} cannot be read: {reason}. Copy or train the Model again."
        ) from None

    if training:
        return trained, spec

    with _computing_in(dtype):
        model = build(spec, training=False)
    copy_weights(trained, model)
    return model, spec


@contextmanager
def _computing_in(dtype: str) -> Iterator[None]:
    """Layers made within the block compute in `dtype`, inputs included."""
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Copies the weights of one implementation of a Spec into another.

    By layer: their names are the same, the order of all weights may differ.
    """
    for layer in target.layers:
        if layer.weights:
            layer.set_weights(source.get_layer(layer.name).get_weights())
