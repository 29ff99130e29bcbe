"""One SavedModel, loaded as TensorFlow Serving does it: a graph in a session of its own.

A session is called faster than what tf.saved_model.load gives, and closing it frees its memory.
"""

import gc
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.protobuf import config_pb2

from serving.errors import short
from serving.tensors import Tensor, Tensors

log = logging.getLogger("seqline.serve")

DEFAULT_SIGNATURE = "serving_default"
CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
# TensorFlow's errors that are about what was sent.
ABOUT_INPUT = (
    tf.errors.InvalidArgumentError,
    tf.errors.OutOfRangeError,
    tf.errors.FailedPreconditionError,
    tf.errors.UnimplementedError,
    tf.errors.NotFoundError,
    tf.errors.DataLossError,
    tf.errors.ResourceExhaustedError,
)
WARMUP = Path("assets.extra", "tf_serving_warmup_requests")
# Input -> the value that the exporter's signatures take as padding after a row.
PADDED = ({"tokens": b""}, {"sequence": 0.0})
LENGTH = "length"
# The input of the exporter's signatures that takes serialized tf.Examples.
EXAMPLES = "examples"
# The names of the signatures that were asked in this process, of any model. A new version must not
# keep their clients waiting.
ASKED: set[str] = set()


@dataclass(frozen=True)
class Signature:
    """A function of the SavedModel.

    Attributes:
        name: Its name.
        method: Its purpose, such as tensorflow/serving/predict.
        inputs: Name -> tensor.
        outputs: Name -> tensor.
        batchable: Whether rows of several requests may be joined along the first dimension of every
            input.
        padding: Inputs that may be padded along their second dimension -> the value.
    """

    name: str
    method: str
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    batchable: bool
    padding: dict[str, Any]

    @property
    def takes_examples(self) -> bool:
        """Whether its only input is serialized tf.Examples [batch]."""
        inputs = list(self.inputs.items())
        if len(inputs) != 1 or inputs[0][1].dtype.kind != "O":
            return False
        is_list = inputs[0][1].shape in (None, (-1,))
        return is_list and (self.method in (CLASSIFY, REGRESS) or inputs[0][0] == EXAMPLES)


class LoadedModel:
    """A SavedModel that can be called.

    Raises:
        ValueError: The folder holds nothing to serve. The message has no absolute path.
    """

    def __init__(self, folder: Path, intra_op: int = 0, inter_op: int = 0) -> None:
        tf.get_logger().setLevel(logging.ERROR)
        config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=intra_op, inter_op_parallelism_threads=inter_op
        )
        config.gpu_options.allow_growth = True  # The next version is loaded while this one serves.

        self.folder = folder
        self.session = tf.compat.v1.Session(graph=tf.Graph(), config=config)

        try:
            with self.session.graph.as_default():
                meta_graph = tf.compat.v1.saved_model.loader.load(
                    self.session, [tf.saved_model.SERVING], str(folder)
                )

            self.signatures = _signatures(meta_graph, folder)

            # signature_def as TensorFlow Serving prints it.
            self.metadata: dict[str, Any] = {
                name: json_format.MessageToDict(
                    definition,
                    preserving_proto_field_name=True,
                    always_print_fields_with_no_presence=True,
                )
                for name, definition in sorted(meta_graph.signature_def.items())
            }

            self.calls: dict[str, Any] = {}
            self.labels = _labels(folder)
        except Exception as error:
            self.session.close()
            raise ValueError(short(getattr(error, "message", None) or str(error))) from error

    def _call_of(self, name: str) -> Any:
        """The callable of a signature. Threads that ask at once may each make one.

        TensorFlow optimizes the graph for each, which takes half a second, and a model has many
        signatures that nobody asks.
        """
        if name not in self.calls:
            self.calls[name] = self._callable(self.signatures[name])
            ASKED.add(name)
        return self.calls[name]

    def _callable(self, signature: Signature) -> Any:
        fetched = [tensor.node for tensor in signature.outputs.values()]
        fed = [tensor.node for tensor in signature.inputs.values()]
        if len({*fetched, *fed}) < len(fetched) + len(fed):
            return self.session.make_callable(fetched, fed)  # The other takes no tensor twice.

        # make_callable explains an error by the lines of Python that built the graph. For the first
        # bad request it reads their files, for seconds, while nothing else of Python runs.
        options = config_pb2.CallableOptions(feed=fed, fetch=fetched)
        return self.session._make_callable_from_options(options)

    def run(self, signature: str, inputs: Tensors) -> Tensors:
        """Calls a signature, from any thread.

        Raises:
            tf.errors.OpError: TensorFlow refuses the inputs.
        """
        wanted = self.signatures[signature]
        try:
            values = self._call_of(signature)(*(inputs[name] for name in wanted.inputs))
        except UnicodeDecodeError:
            # TensorFlow's message quotes the bytes, and Python cannot read it.
            raise tf.errors.InvalidArgumentError(
                None, None, "the model cannot read its bytes"
            ) from None
        return {name: np.asarray(value) for name, value in zip(wanted.outputs, values, strict=True)}

    def warm_up(self) -> int:
        """Sends the model's warm-up requests and returns how many there are.

        If there are none, each signature gets a row of "" or zeros. Signatures that were asked of
        other versions are optimized, too.

        Raises:
            tf.errors.OpError: A warm-up request fails.
            ValueError: A warm-up request does not fit its signature.
        """
        for name in ASKED & self.signatures.keys():
            self._call_of(name)

        path = self.folder / WARMUP
        if path.is_file():
            return _replay(self, path)

        for name, signature in self.signatures.items():
            if signature.batchable:
                try:
                    self.run(name, {key: _blank(spec) for key, spec in signature.inputs.items()})
                except tf.errors.OpError:
                    continue  # This signature may not take an empty row.
        return 0

    def close(self) -> None:
        """Frees what the model holds. No call may be running."""
        self.calls.clear()
        self.session.close()
        del self.session
        gc.collect()  # A graph is full of cycles.


def _signatures(meta_graph: Any, folder: Path) -> dict[str, Signature]:
    """The signatures that can be served. A warning names the others."""
    signatures = {}
    for name, definition in sorted(meta_graph.signature_def.items()):
        if name.startswith("__"):
            continue
        try:
            signatures[name] = _signature(name, definition)
        except (ValueError, TypeError) as error:
            version = f"{folder.parent.name}/{folder.name}"
            log.warning("%s: signature %s is not served: %s", version, name, error)

    if not signatures:
        raise ValueError("the SavedModel has no signature that can be served")
    return signatures


def _signature(name: str, definition: Any) -> Signature:
    inputs = {key: _tensor(info) for key, info in sorted(definition.inputs.items())}
    outputs = {key: _tensor(info) for key, info in sorted(definition.outputs.items())}
    batchable = bool(inputs) and all(
        tensor.shape is not None and tensor.shape[:1] == (-1,)
        for tensor in [*inputs.values(), *outputs.values()]
    )

    # The shape of a row's answer must not depend on the other rows of its batch.
    batchable = batchable and not any(-1 in (tensor.shape or ())[1:] for tensor in outputs.values())

    padding: dict[str, Any] = {}
    has_length = (LENGTH in inputs) == ("sequence" in inputs)
    for values in PADDED:
        if batchable and has_length and inputs.keys() - {LENGTH} == values.keys():
            padding = values
    return Signature(name, definition.method_name, inputs, outputs, batchable, padding)


def _tensor(info: Any) -> Tensor:
    if info.WhichOneof("encoding") != "name":
        raise ValueError("it has a sparse or ragged tensor, which the REST API cannot carry")
    shape = (
        None if info.tensor_shape.unknown_rank else tuple(dim.size for dim in info.tensor_shape.dim)
    )
    return Tensor(info.name, np.dtype(tf.dtypes.as_dtype(info.dtype).as_numpy_dtype), shape)


def _labels(folder: Path) -> list[str]:
    """The classes in order of their ids. Empty for a model that the exporter did not make."""
    path = folder / "assets" / "labels"
    if path.is_file():
        return path.read_bytes().decode("utf-8", "replace").split("\n")[:-1]

    card = folder / "assets.extra" / "model.json"
    try:
        labels = json.loads(card.read_text(encoding="utf-8"))["labels"]
    except (OSError, ValueError, KeyError, TypeError):
        return []

    is_list = isinstance(labels, list) and all(isinstance(label, str) for label in labels)
    return labels if is_list else []


def _blank(spec: Tensor) -> np.ndarray:
    """One row of "" or zeros."""
    assert spec.shape is not None
    shape = [1 if size == -1 else size for size in spec.shape]
    return np.full(shape, b"", object) if spec.dtype.kind == "O" else np.zeros(shape, spec.dtype)


def _replay(model: LoadedModel, path: Path) -> int:
    """Sends the recorded predict and classify requests of a file, and returns how many."""
    try:
        from tensorflow_serving.apis import prediction_log_pb2
    except ModuleNotFoundError:
        log.warning(
            "%s: not warmed up: its requests need the package tensorflow-serving-api",
            model.folder.name,
        )
        return 0

    count = 0
    for record in tf.compat.v1.io.tf_record_iterator(str(path)):
        entry = prediction_log_pb2.PredictionLog.FromString(record)
        if entry.WhichOneof("log_type") == "predict_log":
            request = entry.predict_log.request
            name = request.model_spec.signature_name or DEFAULT_SIGNATURE
            given = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
        elif entry.WhichOneof("log_type") == "classify_log":
            request = entry.classify_log.request
            name = request.model_spec.signature_name or DEFAULT_SIGNATURE
            examples = [row.SerializeToString() for row in request.input.example_list.examples]
            inputs = model.signatures[name].inputs if name in model.signatures else ()
            given = dict.fromkeys(inputs, np.array(examples, object))
        else:
            continue

        if name not in model.signatures or given.keys() != model.signatures[name].inputs.keys():
            raise ValueError(f"warm-up request {count + 1} does not fit signature {name!r}")

        model.run(name, given)
        count += 1

    return count
