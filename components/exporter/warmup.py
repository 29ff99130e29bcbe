"""Requests that TensorFlow Serving answers before it calls a version available.

So no user waits for the first answers, which are slow.

assets.extra/tf_serving_warmup_requests: a TFRecord file of PredictionLogs. Not of serving_fast: a
server that does not allow XLA would refuse to load the model at all.
"""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

from components.exporter.parity_rows import ParityRows
from seqline.data import features
from seqline.data.examples import raw_features

FILE = "tf_serving_warmup_requests"
# A larger batch is answered no slower after these: nothing is compiled for a size.
BATCH_SIZES = (4, 16)
# A row of more bytes is left out: the file is read at every load.
LONGEST = 1 << 16


def write(rows: ParityRows, output: Path) -> None:
    """Writes requests for serving_default and serving_examples.

    Of the shortest, the median and the longest row alone, then of batches.
    """
    examples = sorted((example for example in rows.examples if len(example) <= LONGEST), key=len)
    if not examples:
        return

    batches = [[examples[place]] for place in (0, len(examples) // 2, len(examples) - 1)]
    for size in BATCH_SIZES:
        batch = rows.examples[:size]
        if all(len(row) <= LONGEST for row in batch):
            batches.append(batch)

    with tf.io.TFRecordWriter(str(output)) as writer:
        for batch in batches:
            for signature, inputs in (
                ("serving_default", raw(rows, batch)),
                ("serving_examples", {"examples": tf.make_tensor_proto(batch)}),
            ):
                request = predict_pb2.PredictRequest(
                    model_spec=model_pb2.ModelSpec(signature_name=signature), inputs=inputs
                )
                log = prediction_log_pb2.PredictionLog(
                    predict_log=prediction_log_pb2.PredictLog(request=request)
                )
                writer.write(log.SerializeToString(deterministic=True))


def raw(rows: ParityRows, batch: list[bytes]) -> dict[str, Any]:
    """The arguments of serving_default."""
    content = tf.io.parse_example(batch, raw_features(rows.content))[rows.content]
    if rows.content == features.TEXT:
        return {rows.content: tf.make_tensor_proto(content.numpy())}

    ragged = tf.RaggedTensor.from_sparse(content)
    padded = ragged.to_tensor().numpy()
    if rows.content == features.TOKENS:
        return {rows.content: tf.make_tensor_proto(padded)}

    return {
        rows.content: tf.make_tensor_proto(padded.reshape(len(padded), -1, rows.dim)),
        features.LENGTH: tf.make_tensor_proto(np.int64(ragged.row_lengths().numpy() // rows.dim)),
    }
