"""Searches for better trainer parameters. A trial is a training, scored by the eval split.

Reads Features: the train split to fit, the eval split to score, never the test split. Writes
Hyperparameters:

    best.json      trainer parameter -> value of the best trial, for the tuned parameters only
    trials.json    every trial, see `components.tuner.trials.Trial`

Trial 0 has the trainer's own parameters, so the best trial is never worse. A tuner consists of
trainings: it is the only component that imports another one, the trainer.
"""

from pathlib import Path
from shutil import rmtree
from typing import Any, Literal

from pydantic import Field, field_validator

from components.trainer import TrainerParams
from components.trainer import external_digest as trainer_digest
from components.tuner.ranges import DEFAULT_RANGES, Range, complaints
from seqline.component import Component, Figures, Params
from seqline.host import packages


class TunerParams(Params):
    num_trials: int = Field(
        0,
        ge=0,
        description=(
            "number of trainings in the search, the first with the trainer's own"
            " parameters; 0 without max_minutes: no tuning"
        ),
    )
    max_minutes: float | None = Field(
        None,
        gt=0,
        description=(
            "minutes after which no new trial starts; null: no limit; with num_trials 0 it"
            " is the only limit"
        ),
    )
    algorithm: Literal["bayesian", "random"] = Field(
        "bayesian",
        description=("`bayesian`: TPE, which learns from earlier trials; `random`: random search"),
    )
    halving: bool = Field(
        True,
        description=(
            "end a trial early if it is not in the upper half of earlier ones (successive halving"
            " by eval accuracy)"
        ),
    )
    ranges: dict[str, Range] = Field(
        DEFAULT_RANGES,
        validate_default=True,
        description=(
            "trainer parameter -> {low, high} with log or step, or {choices}; other"
            " parameters are not tuned"
        ),
    )
    seed: int = Field(
        0, ge=0, description="seed of the trials' parameters; the trainings use trainer.seed"
    )

    @field_validator("ranges")
    @classmethod
    def _ranges_are_of_the_trainer(cls, ranges: dict[str, Range]) -> dict[str, Range]:
        if not ranges:
            raise ValueError(
                "there is nothing to tune; name a trainer parameter, or leave ranges out for the"
                " default ones"
            )

        wrong = [complaint for name in ranges for complaint in complaints(name, ranges[name])]
        if wrong:
            raise ValueError("; ".join(wrong))
        return ranges

    @property
    def is_on(self) -> bool:
        """Whether a pipeline has a tuner."""
        return self.num_trials > 0 or self.max_minutes is not None

    def with_defaults_from(self, trainer: TrainerParams) -> "TuningParams":
        """These parameters with the trainer's own, but for the wide part, which no trial has."""
        alone = {"wide": False, "recurrent": True, "wide_megabytes": 256}
        return TuningParams(**dict(self), trainer=trainer.with_values(alone))


class TuningParams(TunerParams):
    """Tuner parameters with the trainer's own.

    Attributes:
        trainer: the parameters of trial 0; in every other trial, those that are not tuned.
    """

    trainer: TrainerParams

    def key_fields(self) -> dict[str, Any]:
        return {**super().key_fields(), "trainer": self.trainer.key_fields()}


def run(*, features: Path, params: TuningParams, output: Path, work: Path | None = None) -> Figures:
    """Runs the trials that are not done yet, and keeps the parameters of the best one.

    Best is the highest accuracy on the eval split, then the lowest loss, then the first trial. A
    trial whose training diverges is recorded as failed.

    Args:
        work: the folder of the finished trials, and of the checkpoints of the one under way. A run
            that finds some continues from there, and ends with the trials of a run that was never
            interrupted. With `max_minutes`, the clock may decide otherwise.

    Raises:
        UserError: all trials failed; or what a training raised for any reason but that it diverged.
        StoppedError: a signal ended a trial. It goes on from its checkpoint the next time.
    """
    check(params)
    from components.tuner import search

    own = output / "work"
    figures = search.search(features, params, output, work or own)
    rmtree(own, ignore_errors=True)
    return figures


def check(params: TunerParams) -> None:
    """Raises UserError if the library is missing."""
    packages.need("The tuner", packages.TUNE, ", or no tuning: tuner.num_trials = 0.")


def external_digest(params: TuningParams, memory: Path | None = None) -> str:
    """The digest of what every trial starts from; empty for random weights."""
    return trainer_digest(params.trainer, memory)


def describe(figures: Figures) -> str:
    ended_early = [
        f"{figures[f'num_{state}']} {state}"
        for state in ("pruned", "failed")
        if figures[f"num_{state}"]
    ]

    text = f"{figures['num_trials']} trials"
    if ended_early:
        text += f" ({', '.join(ended_early)})"

    text += f"; eval accuracy {figures['eval_accuracy']:.3f} "
    if figures["best_trial"] == 0:
        return text + "with the trainer's own parameters; no trial was better"

    text += f"in trial {figures['best_trial']}"
    own = figures["own_eval_accuracy"]
    return text if own is None else f"{text}, {own:.3f} with the trainer's own parameters"


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
