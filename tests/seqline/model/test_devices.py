"""Which device a recurrence is built for."""

import pytest
import tensorflow as tf

from seqline.model import time_loops


def test_the_devices_in_use_decide_and_not_those_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not time_loops._has_gpu()

    gpu = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [gpu])
    assert time_loops._has_gpu()

    strategy = tf.distribute.MirroredStrategy(["/CPU:0"])
    with strategy.scope():
        assert not time_loops._has_gpu()

    @tf.function
    def replica() -> tf.Tensor:
        return tf.constant(time_loops._has_gpu())

    assert not tf.function(lambda: strategy.run(replica))().numpy()
