"""One SavedModel, loaded as TensorFlow Serving does it: a graph in a session of its own.

A session, not tf.saved_model.load: it calls faster, and closing it frees what the version held.
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

from serving.errors import short
from serving.tensors import Tensor, Tensors

log = logging.getLogger("seqline.serve")

DEFAULT_SIGNATURE = "serving_default"
WARMUP = Path("assets.extra", "tf_serving_warmup_requests")
# What the exporter's signatures take as padding behind a row, input -> value (components/exporter).
PADDED = ({"tokens": b""}, {"sequence": 0.0})
LENGTH = "length"


@dataclass(frozen=True)
class Signature:
    """A function of the SavedModel.

    method: what it is for, such as tensorflow/serving/predict. batchable: rows of several requests
    may be joined along the first dimension of every input. padding: the inputs that may be padded
    along their second one, and with what.
    """

    name: str
    method: str
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    batchable: bool
    padding: dict[str, Any]


class LoadedModel:
    """Raises ValueError (its message names no absolute path) for a folder that holds nothing to
    serve.
    """

    def __init__(self, folder: Path, intra_op: int = 0, inter_op: int = 0) -> None:
        tf.get_logger().setLevel(logging.ERROR)
        config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=intra_op, inter_op_parallelism_threads=inter_op
        )
        config.gpu_options.allow_growth = True  # the next version loads beside this one
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
                    each,
                    preserving_proto_field_name=True,
                    always_print_fields_with_no_presence=True,
                )
                for name, each in sorted(meta_graph.signature_def.items())
            }
            self.calls = {name: self._callable(each) for name, each in self.signatures.items()}
            self.labels = _labels(folder)
        except Exception as error:
            self.session.close()
            raise ValueError(short(getattr(error, "message", None) or str(error))) from error

    def _callable(self, signature: Signature) -> Any:
        return self.session.make_callable(
            [each.node for each in signature.outputs.values()],
            [each.node for each in signature.inputs.values()],
        )

    def run(self, signature: str, inputs: Tensors) -> Tensors:
        """Calls a signature; from any thread. Raises tf.errors.OpError."""
        wanted = self.signatures[signature]
        values = self.calls[signature](*(inputs[name] for name in wanted.inputs))
        return {name: np.asarray(value) for name, value in zip(wanted.outputs, values, strict=True)}

    def warm_up(self) -> int:
        """Sends the requests that the model brings along and returns how many.

        Without any, a row of "" or zeros to each signature.

        Raises tf.errors.OpError or ValueError if one that it brings fails.
        """
        path = self.folder / WARMUP
        if path.is_file():
            return _replay(self, path)
        for name, signature in self.signatures.items():
            if signature.batchable:
                try:
                    self.run(name, {key: _blank(spec) for key, spec in signature.inputs.items()})
                except tf.errors.OpError:  # a row of nothing may well be no row to this signature
                    continue
        return 0

    def close(self) -> None:
        """Frees what the model holds. No call may be running."""
        self.calls.clear()
        self.session.close()
        del self.session
        gc.collect()  # a graph is full of cycles


def _signatures(meta_graph: Any, folder: Path) -> dict[str, Signature]:
    found = {}
    for name, definition in sorted(meta_graph.signature_def.items()):
        if name.startswith("__"):
            continue
        try:
            found[name] = _signature(name, definition)
        except (ValueError, TypeError) as error:
            log.warning(
                "%s/%s: signature %s is not served: %s",
                folder.parent.name,
                folder.name,
                name,
                error,
            )
    if not found:
        raise ValueError("the SavedModel has no signature that can be served")
    return found


def _signature(name: str, definition: Any) -> Signature:
    inputs = {key: _tensor(info) for key, info in sorted(definition.inputs.items())}
    outputs = {key: _tensor(info) for key, info in sorted(definition.outputs.items())}
    batchable = bool(inputs) and all(
        each.shape is not None and each.shape[:1] == (-1,)
        for each in [*inputs.values(), *outputs.values()]
    )
    # What one row's answer looks like must not depend on the others of its batch.
    batchable = batchable and not any(-1 in (each.shape or ())[1:] for each in outputs.values())
    padding: dict[str, Any] = {}
    for each in PADDED:
        if inputs.keys() - {LENGTH} == each.keys() and (LENGTH in inputs) == ("sequence" in inputs):
            padding = each
    return Signature(
        name, definition.method_name, inputs, outputs, batchable, padding if batchable else {}
    )


def _tensor(info: Any) -> Tensor:
    if info.WhichOneof("encoding") != "name":
        raise ValueError("it has a sparse or ragged tensor, which the REST API cannot carry")
    shape = (
        None if info.tensor_shape.unknown_rank else tuple(dim.size for dim in info.tensor_shape.dim)
    )
    return Tensor(info.name, np.dtype(tf.dtypes.as_dtype(info.dtype).as_numpy_dtype), shape)


def _labels(folder: Path) -> list[str]:
    """The classes in order of their ids, as the exporter leaves them.

    None where another made the model.
    """
    path = folder / "assets" / "labels"
    if path.is_file():
        return path.read_bytes().decode("utf-8", "replace").split("\n")[:-1]
    try:
        found = json.loads((folder / "assets.extra" / "model.json").read_text(encoding="utf-8"))[
            "labels"
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return (
        found if isinstance(found, list) and all(isinstance(label, str) for label in found) else []
    )


def _blank(spec: Tensor) -> np.ndarray:
    assert spec.shape is not None
    shape = [1 if size == -1 else size for size in spec.shape]
    return np.full(shape, b"", object) if spec.dtype.kind == "O" else np.zeros(shape, spec.dtype)


def _replay(model: LoadedModel, path: Path) -> int:
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
            examples = [each.SerializeToString() for each in request.input.example_list.examples]
            given = (
                dict.fromkeys(model.signatures[name].inputs, np.array(examples, object))
                if name in model.signatures
                else {}
            )
        else:
            continue
        if name not in model.signatures or given.keys() != model.signatures[name].inputs.keys():
            raise ValueError(f"warm-up request {count + 1} does not fit signature {name!r}")
        model.run(name, given)
        count += 1
    return count
