from pathlib import Path

import pytest
import tensorflow as tf


@pytest.fixture(scope="module")
def serve(saved_model: Path) -> tf.types.experimental.GenericFunction:
    loaded = tf.saved_model.load(str(saved_model / "saved_model"))
    signature = loaded.signatures["serving_default"]
    signature.model = loaded  # the signature alone does not keep its tables
    return signature
