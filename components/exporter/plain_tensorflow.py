"""A process with TensorFlow and nothing else reads a SavedModel and answers rows, as a server does.

Run by `seqline.host.plain_tensorflow`: it finds no seqline, no Keras and no TFT. One line of JSON
on standard input names what to do: {"saved_model": folder, "examples": TFRecord file of serialized
tf.Examples, "answers": .npz file to write, "signatures": [names]}.
"""

import json
import os
import sys

BATCH_SIZE = 128


def main() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import numpy as np
    import tensorflow as tf

    job = json.loads(sys.stdin.readline() or "null")
    if job is None:
        return  # The process that started this one has given up.

    model = tf.saved_model.load(job["saved_model"])
    answers: dict[str, list] = {}  # "signature.output" -> batches
    for examples in tf.data.TFRecordDataset(job["examples"]).batch(BATCH_SIZE):
        for name in job["signatures"]:
            signature = model.signatures[name]
            specs = signature.structured_input_signature[1]
            given = {"examples": examples} if "examples" in specs else raw(tf, specs, examples)
            for output, value in signature(**given).items():
                answers.setdefault(f"{name}.{output}", []).append(value.numpy())

    joined = {}
    for name, batches in answers.items():
        arrays = [batch.astype("S") if batch.dtype == object else batch for batch in batches]
        if name.endswith((".ids", ".values")):  # Each batch is as wide as its longest row.
            width = max(array.shape[1] for array in arrays)
            arrays = [
                np.pad(array, [(0, 0), (0, width - array.shape[1])] + [(0, 0)] * (array.ndim - 2))
                for array in arrays
            ]

        joined[name] = np.concatenate(arrays)

    np.savez(job["answers"], **joined)  # type: ignore[arg-type]


def raw(tf, specs, examples):  # type: ignore[no-untyped-def]
    """The arguments of a signature that takes raw rows."""
    if "text" in specs:
        return tf.io.parse_example(examples, {"text": tf.io.FixedLenFeature([], tf.string)})
    if "tokens" in specs:
        row = tf.io.parse_example(examples, {"tokens": tf.io.RaggedFeature(tf.string)})
        return {"tokens": row["tokens"].to_tensor()}

    dim = specs["sequence"].shape[2]
    rows = tf.io.parse_example(examples, {"sequence": tf.io.RaggedFeature(tf.float32)})["sequence"]
    padded = rows.to_tensor()  # [batch, time * dim]
    sequence = tf.reshape(padded, [tf.shape(padded)[0], tf.shape(padded)[1] // dim, dim])
    return {"sequence": sequence, "length": tf.cast(rows.row_lengths(), tf.int64) // dim}


if __name__ == "__main__":
    main()
