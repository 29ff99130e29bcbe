from pathlib import Path

import tensorflow as tf

from components.trainer import run
from tests.support.corpus import TRAINER_PARAMS


def test_a_profile_and_the_scalars_are_written(features: Path, tmp_path: Path) -> None:
    params = TRAINER_PARAMS.with_values({"num_epochs": 1, "profile_steps": 3})
    run(features=features, params=params, output=tmp_path)
    assert list((tmp_path / "tensorboard" / "plugins" / "profile").rglob("*.xplane.pb"))

    tags = set()
    for path in (tmp_path / "tensorboard").glob("events*"):
        for record in tf.compat.v1.train.summary_iterator(str(path)):
            tags |= {value.tag for value in record.summary.value}

    assert tags >= {
        "loss",
        "accuracy",
        "val_loss",
        "val_accuracy",
        "learning_rate",
        "gradient_norm",
        "examples_per_second",
    }
