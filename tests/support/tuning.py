"""Tuner parameters, trials by hand, and a search."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from components.trainer import TrainerParams
from components.tuner import TunerParams, TuningParams, run
from components.tuner.search import NUM_RANDOM
from components.tuner.trials import Trial, load
from seqline.component import Figures
from tests.support.corpus import TRAINER_PARAMS

BASE = TRAINER_PARAMS.model_copy(update={"num_epochs": 2})

RANGES = {
    "learning_rate": {"low": 1e-3, "high": 2e-2, "log": True},
    "batch_size": {"choices": [16, 32]},
}


def params_of(base: TrainerParams = BASE, **settings: Any) -> TuningParams:
    return TunerParams(**{"num_trials": 2, "ranges": RANGES, **settings}).with_defaults_from(base)


def tune(
    features: Path, folder: Path, params: TuningParams, work: Path | None = None
) -> tuple[Figures, list[Trial]]:
    """Figures and trials, without their seconds."""
    folder.mkdir(parents=True)
    figures = run(features=features, params=params, output=folder, work=work)
    return figures, [replace(trial, seconds=0) for trial in load(folder)]


def make_trial(number: int, state: Any, accuracy: float | None, loss: float | None = 1.0) -> Trial:
    return Trial(
        number,
        {"dropout": number / 10},
        state,
        accuracy,
        loss,
        1,
        1.5,
        [0.5],
        {"completed_rung_0": 0.5},
        None,
    )


def trials_by_hand() -> list[Trial]:
    """As many trials as TPE needs before it decides.

    The last one is the best, by a loss that no real trial has.
    """
    trials = []
    for number in range(NUM_RANDOM):
        chosen = {"batch_size": (16, 32)[number % 2], "learning_rate": 0.002 + 0.003 * number}
        accuracy = 0.95 + 0.01 * number

        trials.append(
            Trial(
                number,
                chosen,
                "finished",
                accuracy,
                0.0,
                1,
                0,
                [accuracy],
                {"completed_rung_0": 2.0 + number},
                None,
            )
        )

    return trials
