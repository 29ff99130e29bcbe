"""What TensorBoard shows of a search."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from components.tuner import board
from components.tuner.trials import save
from tests.support.event_files import scalars, settings
from tests.support.tuning import BASE, make_trial, params_of, trials_by_hand, tune


def test_a_trial_has_its_settings_scores_and_curve(tmp_path: Path) -> None:
    trial = replace(make_trial(2, "pruned", 0.75, 0.5), epochs=2, accuracies=[0.25, 0.75])
    board.write_trial(trial, BASE, tmp_path)

    folder = tmp_path / "tensorboard" / "trial-002"
    assert scalars(folder) == {
        "accuracy/final_eval": [(0, 0.75)],
        "loss/final_eval": [(0, 0.5)],
        "accuracy/epoch": [(1, 0.25), (2, 0.75)],
    }
    shown = settings(folder)
    assert shown["dropout"] == pytest.approx(0.2)  # the trial's
    assert shown["num_epochs"] == 2  # the trainer's own


def test_a_failed_trial_has_no_scores(tmp_path: Path) -> None:
    trial = replace(make_trial(0, "failed", None, None), epochs=0, accuracies=[])
    board.write_trial(trial, BASE, tmp_path)
    folder = tmp_path / "tensorboard" / "trial-000"
    assert scalars(folder) == {}
    assert settings(folder)["dropout"] == 0


def test_a_search_that_goes_on_shows_the_earlier_trials_once(
    features: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    save(trials_by_hand()[:2], work)
    _, trials = tune(features, tmp_path / "found", params_of(num_trials=3), work)

    for trial in trials:
        folder = tmp_path / "found" / "tensorboard" / f"trial-{trial.number:03d}"
        assert len(list(folder.iterdir())) == 1
        curve = [float(np.float32(value)) for value in trial.accuracies]
        assert scalars(folder)["accuracy/epoch"] == list(enumerate(curve, start=1))
    assert len(list((tmp_path / "found" / "tensorboard").iterdir())) == 3
