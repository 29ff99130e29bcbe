from pathlib import Path

import pytest
import tensorflow as tf
from pydantic import ValidationError

from components.trainer import TrainerParams, run
from components.trainer.distributed.strategy import chosen, sliced
from seqline.errors import UserError


def test_slices_are_as_even_as_can_be() -> None:
    batches = tf.data.Dataset.range(11).batch(8).map(lambda rows: ((rows, rows + 100), rows))
    slices = list(sliced(batches, 4).as_numpy_iterator())
    assert [rows.tolist() for _, rows in slices] == [
        *([0, 1], [2, 3], [4, 5], [6, 7]),
        *([], [8], [9], [10]),
    ]
    assert slices[1][0][1].tolist() == [102, 103]


def test_devices() -> None:
    existing = ["CPU:0", "GPU:0", "GPU:1"]
    assert chosen(None, existing) == ["GPU:0", "GPU:1"]
    assert chosen(None, ["CPU:0"]) == ["CPU:0"]
    assert chosen(1, existing) == ["GPU:0"]
    assert chosen(["gpu:1"], existing) == ["GPU:1"]

    with pytest.raises(
        UserError, match=r"trainer\.devices names GPU:2; here are CPU:0, GPU:0, GPU:1\. "
    ):
        chosen(["GPU:0", "GPU:2"], existing)
    with pytest.raises(
        UserError, match=r"trainer\.devices = 3 means as many GPUs; here are CPU:0, GPU:0, GPU:1\. "
    ):
        chosen(3, existing)

    assert (
        TrainerParams(devices=2).key_fields()
        == TrainerParams(checkpoint_steps=7).key_fields()
        == TrainerParams().key_fields()
    )


@pytest.mark.parametrize(
    "devices", [0, [], ["TPU:0"], ["CPU:0", "cpu:0"], ["CPU:0", "GPU:0"], "GPU:0"]
)
def test_devices_that_can_be_none_are_refused_at_once(devices: object) -> None:
    with pytest.raises(ValidationError, match="devices"):
        TrainerParams(devices=devices)  # type: ignore[arg-type]


def test_a_device_that_is_not_there_ends_the_trainer(features: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"trainer\.devices names CPU:7; here are CPU:0"):
        run(features=features, params=TrainerParams(devices=["CPU:7"]), output=tmp_path)
