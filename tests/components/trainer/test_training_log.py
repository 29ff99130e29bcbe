import json
from pathlib import Path

import numpy as np
import pytest

from components.trainer import fit, run
from tests.support.corpus import TRAINER_PARAMS
from tests.support.event_files import EVAL_TAGS, TRAIN_TAGS, scalars
from tests.support.training import KilledError


def curves(output: Path) -> tuple[dict, dict]:
    return tuple(scalars(output / "tensorboard" / split) for split in ("train", "eval"))


def per_epoch(history: dict[str, list[float]], name: str) -> list[tuple[int, float]]:
    """The points of a figure of history.json, as float32."""
    return [(epoch, float(np.float32(value))) for epoch, value in enumerate(history[name], 1)]


def test_a_profile_and_the_scalars_are_written(features: Path, tmp_path: Path) -> None:
    params = TRAINER_PARAMS.with_values({"num_epochs": 1, "profile_steps": 3})
    run(features=features, params=params, output=tmp_path)
    assert list((tmp_path / "tensorboard" / "plugins" / "profile").rglob("*.xplane.pb"))
    train, of_eval = curves(tmp_path)
    assert (set(train), set(of_eval)) == (TRAIN_TAGS, EVAL_TAGS)


def test_train_and_eval_are_two_runs_of_the_same_tags(model: Path) -> None:
    history = json.loads((model / "history.json").read_text())
    train, of_eval = curves(model)
    assert train["loss/epoch"] == per_epoch(history, "loss")
    assert train["accuracy/epoch"] == per_epoch(history, "accuracy")
    assert train["training/learning_rate"] == per_epoch(history, "learning_rate")
    assert of_eval == {
        "loss/epoch": per_epoch(history, "val_loss"),
        "accuracy/epoch": per_epoch(history, "val_accuracy"),
    }

    steps = [step for step, _ in train["training/gradient_norm"]]
    assert steps == sorted(set(steps)), "a step that comes again makes TensorBoard forget points"


def test_a_kill_doubles_no_point(features: Path, tmp_path: Path) -> None:
    def kill(epoch: int, figures: dict[str, float]) -> None:
        if epoch == 2:
            raise KilledError

    params, work = TRAINER_PARAMS.with_values({"num_epochs": 3}), tmp_path / "work"
    with pytest.raises(KilledError):
        fit.fit(features, params, tmp_path / "killed", work, kill)
    (tmp_path / "model").mkdir()
    run(features=features, params=params, output=tmp_path / "model", work=work)

    history = json.loads((tmp_path / "model" / "history.json").read_text())
    train, of_eval = curves(tmp_path / "model")
    assert train["accuracy/epoch"] == per_epoch(history, "accuracy")
    assert of_eval["accuracy/epoch"] == per_epoch(history, "val_accuracy")
    assert len(of_eval["accuracy/epoch"]) == 3
