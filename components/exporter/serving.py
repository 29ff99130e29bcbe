"""The signatures: raw rows through the transform graph and the served parts of the model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from components.exporter import TableDtype, explanation
from components.exporter.folded import FoldedNetwork, fold
from components.exporter.wide import FoldedWide
from seqline.data import features
from seqline.data.examples import Content, raw_features
from seqline.data.transform_summary import content_of, read_summary
from seqline.model import network
from seqline.model.served import NO_CLASS
from seqline.model.spec import Spec, read_spec
from seqline.model.wide import WIDE, Wide
from seqline.storage.staging import local_copy

EXAMPLES = tf.TensorSpec([None], tf.string, name="examples")
# The most tokens and buckets that arithmetic in 32 bits allows.
MOST_NARROW_TOKENS = 2**20 - 2
# The characters that `serving_ascii` reads.
NORMAL = r"[\t\n\r\x20-\x7e]"


@dataclass(frozen=True)
class Parts:
    """What is served.

    Attributes:
        network: None for a model without a recurrent part.
        wide: None for a model without a wide part.
    """

    spec: Spec
    network: FoldedNetwork | None
    wide: FoldedWide | None = None


def load_parts(source: Path, model: Path, table_dtype: TableDtype) -> Parts:
    """The parts of a Model, folded.

    Args:
        source: the Features.

    Raises:
        DataError: a file of the Model is damaged.
    """
    spec, served = read_spec(model), None
    if spec.recurrent:
        served = fold(*network.load(model), table_dtype)
    if not spec.wide:
        return Parts(spec, served)

    vocabulary = (source / "vocabularies" / features.TOKENS_VOCABULARY).read_bytes()
    wide = FoldedWide(Wide.read(model / WIDE), vocabulary.split(b"\n")[:-1], table_dtype)
    return Parts(spec, served, wide)


def serving_module(parts: Parts, source: Path, top_k: int) -> tuple[tf.Module, dict[str, Callable]]:
    """Makes the module to save and its signatures.

    Args:
        source: the Features, whose transform graph and vocabularies become part of the module.

    Returns:
        (a module that holds what the functions use, and nothing else; name -> function).
    """
    summary = read_summary(source)
    content: Content = content_of(summary)
    signatures = _Signatures(parts, source, content, top_k)
    functions = [*signatures.of_rows(), *signatures.of_examples()]
    if parts.wide is not None:
        functions.append(signatures.of_explanations(source))
    elif content != features.SEQUENCE and parts.spec.num_tokens < MOST_NARROW_TOKENS:
        functions += signatures.of_other_runtimes(source)
    return signatures.module, {function.__name__: function for function in functions}


class _Signatures:
    """Makes the signatures. What they share is traced once: the transform graph, the parts."""

    def __init__(self, parts: Parts, source: Path, content: Content, top_k: int) -> None:
        self.spec = spec = parts.spec
        self.content = content
        self.top_k = min(top_k, spec.num_classes)
        self.module = module = tf.Module()
        module.transform = tf.saved_model.load(str(local_copy(source / "transform_fn")))
        module.labels = _lines(source, features.LABELS_VOCABULARY)
        self.wide = parts.wide
        self.network: Callable[..., tf.Tensor] | None = None
        self.compiled: Callable[..., tf.Tensor] | None = None

        if parts.wide is not None:
            module.wide = parts.wide
            self.scores = tf.function(
                parts.wide.scores,
                [
                    tf.SparseTensorSpec([None, None], tf.int64),
                    tf.SparseTensorSpec([None, None], tf.string),
                ],
                autograph=False,
            )
        if parts.network is not None:
            module.served = parts.network
            self._trace(parts.network)

    def _trace(self, served: FoldedNetwork) -> None:
        spec = self.spec
        time = None if spec.masking else spec.max_length
        content_spec = tf.TensorSpec([None, time], tf.int64)
        if spec.dim:
            content_spec = tf.TensorSpec([None, time, spec.dim], tf.float32)
        inputs = [content_spec, tf.TensorSpec([None], tf.int64)]

        @tf.function(input_signature=inputs, autograph=False)
        def logits(content: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
            return served.logits(content, length)

        @tf.function(input_signature=inputs, autograph=False)
        def compiled(content: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
            return served.logits(content, length, fast=True)

        @tf.function(input_signature=inputs, autograph=False)
        def narrow(content: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
            return served.probabilities(content, length, narrow=True)

        self.network, self.compiled, self.narrow = logits, compiled, narrow

    def transform(self, raw: Any, label: tf.Tensor) -> dict[str, tf.Tensor]:
        """Raw rows as the network reads them: feature -> dense values, padded."""
        row = self.module.transform.transform_fn({self.content: raw, features.LABEL: label})
        of_ngrams = (features.WORDS, features.UNKNOWN)
        row = {name: value for name, value in row.items() if name not in of_ngrams}
        return _pad(row, self.spec)

    def logits_of(
        self, raw: Any, network: Callable[..., tf.Tensor] | None
    ) -> tuple[tf.Tensor | None, Sequence[tf.SparseTensor]]:
        """(The network's logits of raw rows, [batch, num_classes]; what the wide part reads.)"""
        label = tf.fill(tf.shape(raw)[:1], "")
        row = self.module.transform.transform_fn({self.content: raw, features.LABEL: label})
        of_wide: Sequence[tf.SparseTensor] = ()
        if self.wide is not None:
            of_wide = row.pop(features.WORDS), row.pop(features.UNKNOWN)
        if network is None:
            return None, of_wide

        row = _pad(row, self.spec)
        content = row[features.VALUES if self.spec.dim else features.IDS]
        logits = network(content, row[features.LENGTH])
        return tf.ensure_shape(logits, [None, self.spec.num_classes]), of_wide

    def probabilities_of(self, raw: Any, network: Callable[..., tf.Tensor] | None) -> tf.Tensor:
        """[batch, num_classes]."""
        logits, of_wide = self.logits_of(raw, network)
        if self.wide is not None:
            scores = tf.ensure_shape(self.scores(*of_wide), [None, self.spec.num_classes])
            logits = self.wide.pooled(scores, logits)
        return tf.nn.softmax(logits)

    def answer(self, raw: Any, network: Callable[..., tf.Tensor] | None) -> dict[str, tf.Tensor]:
        probabilities = self.probabilities_of(raw, network)
        class_id = tf.argmax(probabilities, axis=-1)
        if self.spec.dim:
            # Finite numbers may be too large for the sums of a network. Ids never are.
            finite = tf.reduce_all(tf.math.is_finite(probabilities), axis=-1)
            class_id = tf.where(finite, class_id, NO_CLASS)
        return {
            "probabilities": probabilities,
            "label": self.module.labels.lookup(class_id),
            "class_id": class_id,
        }

    def of_explanations(self, source: Path) -> Callable:
        wide = self.wide
        assert wide is not None
        to_raw, arguments = _request(self.content, self.spec.dim)
        self.module.tokens = tokens = _lines(source, features.TOKENS_VOCABULARY)
        joint = "" if wide.bounded else " "

        @tf.function(input_signature=arguments, autograph=False)
        def serving_explain(*row: tf.Tensor) -> dict[str, tf.Tensor]:
            logits, (words, unknown) = self.logits_of(to_raw(*row), self.network)
            class_ids, outputs = explanation.explain(
                wide, words, unknown, logits, tokens.lookup, joint, self.top_k
            )
            return {"top_labels": self.module.labels.lookup(class_ids), **outputs}

        return serving_explain

    def of_rows(self) -> list[Callable]:
        to_raw, arguments = _request(self.content, self.spec.dim)

        @tf.function(input_signature=arguments, autograph=False)
        def serving_default(*row: tf.Tensor) -> dict[str, tf.Tensor]:
            return self.answer(to_raw(*row), self.network)

        @tf.function(input_signature=arguments, autograph=False)
        def serving_fast(*row: tf.Tensor) -> dict[str, tf.Tensor]:
            return self.answer(to_raw(*row), self.compiled)

        @tf.function(input_signature=arguments, autograph=False)
        def serving_top_k(*row: tf.Tensor) -> dict[str, tf.Tensor]:
            probabilities = self.probabilities_of(to_raw(*row), self.network)
            top = tf.math.top_k(probabilities, self.top_k)
            class_ids = tf.cast(top.indices, tf.int64)
            if self.spec.dim:
                class_ids = tf.where(tf.math.is_finite(top.values), class_ids, NO_CLASS)
            return {
                "top_labels": self.module.labels.lookup(class_ids),
                "top_probabilities": top.values,
            }

        return [serving_default, serving_fast, serving_top_k]

    def of_examples(self) -> list[Callable]:
        @tf.function(input_signature=[EXAMPLES], autograph=False)
        def serving_examples(examples: tf.Tensor) -> dict[str, tf.Tensor]:
            row = _parse(examples, self.content, self.spec.dim)
            return self.answer(row[self.content], self.network)

        @tf.function(
            input_signature=[tf.TensorSpec([None], tf.string, name="inputs")], autograph=False
        )
        def classify(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            row = _parse(inputs, self.content, self.spec.dim)
            scores = self.probabilities_of(row[self.content], self.network)
            classes = self.module.labels.lookup(tf.range(self.spec.num_classes, dtype=tf.int64))
            return {
                "classes": tf.repeat(classes[None, :], tf.shape(scores)[0], axis=0),
                "scores": scores,
            }

        @tf.function(input_signature=[EXAMPLES], autograph=False)
        def transform_features(examples: tf.Tensor) -> dict[str, tf.Tensor]:
            row = _parse(examples, self.content, self.spec.dim)
            return self.transform(row[self.content], row[features.LABEL])

        return [serving_examples, classify, transform_features]

    def of_other_runtimes(self, source: Path) -> list[Callable]:
        """Signatures of few operations, for runtimes that have no more (OpenVINO)."""
        spec = self.spec

        def answer(ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            """(probabilities, class ids) of ids [batch, time]."""
            width = tf.minimum(tf.shape(ids)[1], spec.max_length)
            missing = tf.maximum((1 if spec.masking else spec.max_length) - width, 0)
            ids = tf.ensure_shape(
                tf.pad(ids[:, :width], [[0, 0], [0, missing]]),
                [None, None if spec.masking else spec.max_length],
            )
            probabilities = self.narrow(ids, tf.math.count_nonzero(ids, axis=1))
            probabilities = tf.ensure_shape(probabilities, [None, spec.num_classes])
            return probabilities, tf.argmax(probabilities, axis=-1)

        @tf.function(
            input_signature=[tf.TensorSpec([None, None], tf.int64, name=features.IDS)],
            autograph=False,
        )
        def serving_ids(ids: tf.Tensor) -> dict[str, tf.Tensor]:
            probabilities, class_id = answer(ids)
            return {"probabilities": probabilities, "class_id": class_id}

        summary = read_summary(source)
        # Other runtimes lack the operations that split characters. A transform of an older version
        # does not say what it did.
        if summary.get("tokens") != "word":
            return [serving_ids]

        vocabulary = (source / "vocabularies" / features.TOKENS_VOCABULARY).read_bytes()
        lines = vocabulary.split(b"\n")[:-1]

        # Written into the graph: OpenVINO reads no table from a file.
        self.module.tokens = tokens = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant(lines), tf.range(len(lines), dtype=tf.int64)
            ),
            default_value=len(lines),
        )

        @tf.function(
            input_signature=[tf.TensorSpec([None], tf.string, name=features.TEXT)], autograph=False
        )
        def serving_ascii(text: tf.Tensor) -> dict[str, tf.Tensor]:
            readable = tf.equal(tf.strings.regex_replace(text, rf"{NORMAL}+", ""), "")
            folded = tf.strings.lower(text) if summary["lowercase"] else text
            spaced = tf.strings.regex_replace(folded, r"([^a-zA-Z0-9 \t\n\r])", r" \1 ")
            words = tf.strings.split(spaced)
            ids = words.with_flat_values(tokens.lookup(words.flat_values) + 1).to_tensor()
            probabilities, class_id = answer(ids)
            return {
                "probabilities": tf.where(readable[:, None], probabilities, float("nan")),
                "class_id": tf.where(readable, class_id, -1),
            }

        return [serving_ids, serving_ascii]


def _lines(source: Path, vocabulary: str) -> tf.lookup.StaticHashTable:
    """Number of a line, from 0 -> the line; "" for none."""
    return tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(
            str(local_copy(source / "vocabularies") / vocabulary),
            key_dtype=tf.int64,
            key_index=tf.lookup.TextFileIndex.LINE_NUMBER,
            value_dtype=tf.string,
            value_index=tf.lookup.TextFileIndex.WHOLE_LINE,
        ),
        default_value="",
    )


def _request(content: Content, dim: int) -> tuple[Callable[..., Any], list[tf.TensorSpec]]:
    """How `serving_default` is called.

    Returns:
        (a function from its arguments to the input of the transform graph; their specs).
    """
    if content == features.TEXT:
        return lambda text: text, [tf.TensorSpec([None], tf.string, name=content)]
    if content == features.TOKENS:
        return (
            lambda tokens: tf.RaggedTensor.from_tensor(tokens, padding="").to_sparse(),
            [tf.TensorSpec([None, None], tf.string, name=content)],
        )

    def to_sparse(sequence: tf.Tensor, length: tf.Tensor) -> tf.SparseTensor:
        batch, time = tf.unstack(tf.shape(sequence, out_type=tf.int64)[:2])
        checks = [
            tf.debugging.assert_equal(
                tf.size(length, out_type=tf.int64),
                batch,
                "length needs one entry for each row of sequence",
            ),
            tf.debugging.assert_non_negative(length, "length is negative"),
            tf.debugging.assert_less_equal(
                length, time, "length is greater than the time of sequence"
            ),
        ]
        with tf.control_dependencies(checks):
            flat = tf.reshape(sequence, [batch, time * dim])
        return tf.RaggedTensor.from_tensor(flat, lengths=length * dim).to_sparse()

    return to_sparse, [
        tf.TensorSpec([None, None, dim], tf.float32, name=content),
        tf.TensorSpec([None], tf.int64, name=features.LENGTH),
    ]


def _pad(row: dict[str, Any], spec: Spec) -> dict[str, tf.Tensor]:
    """The transform graph's sparse ids or values as dense ones.

    [batch, time], or [batch, time, dim].
    """
    name, width = (features.VALUES, spec.dim) if spec.dim else (features.IDS, 1)
    pad_to = None if spec.masking else spec.max_length
    dense = tf.sparse.to_dense(row[name], default_value=features.PAD_ID)
    missing = tf.maximum((pad_to or 1) * width - tf.shape(dense)[1], 0)
    padded = tf.pad(dense, [[0, 0], [0, missing]], constant_values=features.PAD_ID)
    if spec.dim:
        # Not -1 for the time: a request without a row has no size to infer it from.
        padded = tf.reshape(
            padded, [tf.shape(padded)[0], tf.shape(padded)[1] // spec.dim, spec.dim]
        )

    shape = [None, pad_to, spec.dim] if spec.dim else [None, pad_to]
    return {**row, name: tf.ensure_shape(padded, shape)}


def _parse(examples: tf.Tensor, content: Content, dim: int) -> dict[str, Any]:
    """The content of serialized tf.Examples, sparse unless text, and their label, "" for none."""
    optional = tf.io.FixedLenFeature([], tf.string, default_value="")
    row = tf.io.parse_example(examples, {**raw_features(content), features.LABEL: optional})
    if dim:
        sizes = tf.RaggedTensor.from_sparse(row[content]).row_lengths()
        whole = tf.debugging.assert_equal(
            sizes % dim, tf.zeros_like(sizes), f"`{content}` holds no multiple of {dim} numbers"
        )
        with tf.control_dependencies([whole]):
            row[content] = tf.sparse.map_values(tf.identity, row[content])
    return row
