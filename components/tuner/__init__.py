"""Looks for better trainer parameters.

Trial after trial is a training of its own, judged by the eval split.

Reads Features: the train split to fit, the eval split to score. Never the test split. Writes
Hyperparameters: best.json (trainer parameter -> value, of the best trial; only what was tuned) and
trials.json (every trial, see `components.tuner.trials.Trial`).

Trial 0 has the trainer's own parameters, so that the best is never below them. A tuner is made of
trainings: it is the one component that imports another one, the trainer.
"""

from pathlib import Path
from shutil import rmtree
from typing import Any, Literal

from pydantic import Field, field_validator

from components.trainer import TrainerParams
from components.trainer import external_digest as trainer_outside
from components.tuner.ranges import DEFAULT_RANGES, Range, complaints
from seqline.component import Component, Figures, Params
from seqline.host import packages


class TunerParams(Params):
    num_trials: int = Field(
        0,
        ge=0,
        description=(
            "trainings to search with, the first one with the trainer's own parameters; 0 and no"
            " max_minutes: no tuning"
        ),
    )
    max_minutes: float | None = Field(
        None,
        gt=0,
        description=(
            "minutes after which no other trial starts; null for no limit; with num_trials 0 the"
            " only one"
        ),
    )
    algorithm: Literal["bayesian", "random"] = Field(
        "bayesian", description="TPE, which learns from the trials so far, or random search"
    )
    halving: bool = Field(
        True,
        description=(
            "end a trial early that is not in the upper half of those before it (successive halving"
            " on eval accuracy)"
        ),
    )
    ranges: dict[str, Range] = Field(
        DEFAULT_RANGES,
        validate_default=True,
        description=(
            "trainer parameter -> {low, high} with log or step, or {choices}: what is tuned, and"
            " only that"
        ),
    )
    seed: int = Field(
        0, ge=0, description="fixes the parameters that trials try; the trainings have trainer.seed"
    )

    @field_validator("ranges")
    @classmethod
    def _ranges_are_of_the_trainer(cls, ranges: dict[str, Range]) -> dict[str, Range]:
        if not ranges:
            raise ValueError(
                "there is nothing to tune; name a trainer parameter, or leave ranges out for the"
                " default ones"
            )
        if found := [complaint for name in ranges for complaint in complaints(name, ranges[name])]:
            raise ValueError("; ".join(found))
        return ranges

    @property
    def is_on(self) -> bool:
        """Whether a pipeline has a tuner."""
        return self.num_trials > 0 or self.max_minutes is not None

    def around(self, trainer: TrainerParams) -> "TuningParams":
        return TuningParams(**dict(self), trainer=trainer)


class TuningParams(TunerParams):
    """With the trainer's own parameters.

    Trial 0, and in every other trial all that is not tuned.
    """

    trainer: TrainerParams

    def key_fields(self) -> dict[str, Any]:
        return {**super().key_fields(), "trainer": self.trainer.key_fields()}


def run(*, features: Path, params: TuningParams, output: Path, work: Path | None = None) -> Figures:
    """Runs the trials that are not done yet, and keeps the parameters of the best one.

    work: where the finished trials lie, and the checkpoints of the one in the making; a run that
    finds some goes on from there, and ends with the trials of a run that was never interrupted
    (`max_minutes` aside: a clock decides there).

    Best is the highest accuracy on the eval split, then the lowest loss, then the first trial. A
    trial that fails (training diverged) is recorded; raises UserError where all of them did.
    """
    check(params)
    from components.tuner import search

    own = output / "work"
    figures = search.search(features, params, output, work or own)
    rmtree(own, ignore_errors=True)
    return figures


def check(params: TunerParams) -> None:
    """Raises UserError where the library is missing."""
    packages.need("The tuner", packages.TUNE, ", or no tuning: tuner.num_trials = 0.")


def external_digest(params: TuningParams, memory: Path | None = None) -> str:
    """The digest of what every trial starts from; empty for random numbers."""
    return trainer_outside(params.trainer, memory)


def describe(figures: Figures) -> str:
    counts = ", ".join(
        f"{figures[f'num_{state}']} {state}"
        for state in ("pruned", "failed")
        if figures[f"num_{state}"]
    )
    text = (
        f"{figures['num_trials']} trials{f' ({counts})' if counts else ''}; eval accuracy"
        f" {figures['eval_accuracy']:.3f} "
    )
    if figures["best_trial"] == 0:
        return text + "with the trainer's own parameters, which nothing was better than"
    own = figures["own_eval_accuracy"]
    return (
        text
        + f"in trial {figures['best_trial']}"
        + ("" if own is None else f", {own:.3f} with the trainer's own parameters")
    )


TUNER = Component(
    name="tuner",
    inputs={"features": "Features"},
    output="Hyperparameters",
    params=TuningParams,
    run=run,
    describe=describe,
    libraries=("tensorflow", "keras", "optuna"),
    check=check,
    external_digest=external_digest,
)
