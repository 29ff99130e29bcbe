"""The server's TensorFlow comes without Keras and what Keras imports."""

import subprocess
import sys

SCRIPT = """
import sys
from serving.lean_imports import NOT_NEEDED, tensorflow_alone

with tensorflow_alone():
    import tensorflow as tf

assert not {"sklearn", "pandas", *NOT_NEEDED} & sys.modules.keys()
assert tf.nn.tanh(tf.constant([0.0])).numpy().tolist() == [0.0]

import keras  # the block has ended

print(keras.ops.add(1, 2).numpy())
"""


def test_keras_is_not_imported_by_the_server() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False
    )
    assert done.stdout == "3\n", done.stderr[-2000:]
