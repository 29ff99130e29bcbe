"""Which parameters the trials of a search show to matter."""

from dataclasses import replace

import pytest

from components.tuner.importances import MIN_TRIALS, importances
from components.tuner.trials import Trial
from tests.support.tuning import make_trial, params_of

PARAMS = params_of(
    ranges={
        "dropout": {"low": 0.0, "high": 0.5},
        "learning_rate": {"low": 1e-3, "high": 2e-2, "log": True},
        "batch_size": {"choices": [16, 32]},
    }
)


def searched(num: int) -> list[Trial]:
    """Trials that are good by a low dropout alone; the others change by turns."""
    trials = []
    for number in range(num):
        dropout = 0.5 * (number * 7 % num) / num
        chosen = {
            "dropout": dropout,
            "learning_rate": 0.001 + 0.001 * (number * 5 % 19),
            "batch_size": (16, 32)[number % 2],
        }
        trials.append(replace(make_trial(number, "finished", 0.9 - dropout), params=chosen))
    return trials


def test_the_parameter_that_decides_is_the_first() -> None:
    shares = importances(PARAMS, searched(24))
    assert next(iter(shares)) == "dropout"
    assert shares["dropout"] > 0.7
    assert set(shares) == {"dropout", "learning_rate", "batch_size"}
    assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
    assert importances(PARAMS, searched(24)) == shares


def test_pruned_and_failed_trials_count_as_bad_ones() -> None:
    def ended(trial: Trial) -> Trial:
        if trial.params["dropout"] < 0.2:
            return trial
        if trial.number % 2:
            return replace(trial, state="failed", eval_accuracy=None, eval_loss=None)
        return replace(trial, state="pruned", eval_accuracy=0.99)  # before it got worse

    assert importances(PARAMS, [ended(trial) for trial in searched(24)])["dropout"] > 0.7


def test_few_trials_tell_nothing() -> None:
    assert importances(PARAMS, searched(MIN_TRIALS - 1)) == {}
    assert importances(PARAMS, searched(MIN_TRIALS)) != {}

    # The trainer's own parameters are not in the ranges: they are left out.
    outside = [replace(trial, params={**trial.params, "dropout": 0.9}) for trial in searched(1)]
    assert importances(PARAMS, [*outside, *searched(MIN_TRIALS)[1:]]) == {}
