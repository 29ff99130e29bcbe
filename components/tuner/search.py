"""The search: from the trials so far to the next one, until the budget is spent.

Every trial asks a sampler that is made anew, seeded by its number, and told of all trials before it
as they lie on disk. So it does not matter whether these were run by this process or by one that was
killed.
"""

import gc
import json
import logging
import math
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from components.trainer import BEST_FILE, fit
from components.trainer.distributed.strategy import alone
from components.tuner import TuningParams
from components.tuner.ranges import Range, kind, typed
from components.tuner.trials import State, Trial, best_of, load, save
from seqline.component import Figures
from seqline.errors import UserError
from seqline.host.progress import part_of
from seqline.storage.staging import remove

log = logging.getLogger("seqline.tuner")

# Trials with random parameters (the first one, with the trainer's own, counts) before TPE has
# something to learn from.
NUM_RANDOM = 6
# Successive halving looks after a quarter and after a half of the epochs: a trial ends that is not
# in the upper half of those that came so far. The first three are spared: an upper half of fewer
# than four would be the best one alone, whatever luck it had.
FIRST_RUNG = 1 / 4
REDUCTION = 2
NUM_SPARED = 2 * REDUCTION - 1


def search(features: Path, params: TuningParams, output: Path, work: Path) -> Figures:
    """Runs the trials and writes the best parameters. See `components.tuner.run`."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    work.mkdir(parents=True, exist_ok=True)
    trials = load(work)
    if trials:
        log.info("going on at trial %d", len(trials))
    while _has_budget(params, trials):
        with (
            _told_of(trials, params),
            alone(),
        ):  # the chief searches by itself; the other workers wait for the trainer
            trials.append(_next_trial(features, params, trials, work))
        save(trials, work)
        remove(_folder(work, trials[-1].number))
        log.info("%s", line(trials, params))
    best = best_of(trials)
    if best is None:
        raise UserError(
            f"All {len(trials)} trials of the tuner failed. The first one: {trials[0].error}"
        )
    save(trials, output)
    (output / BEST_FILE).write_text(json.dumps(best.params, indent=2) + "\n")
    states = Counter(trial.state for trial in trials)
    return {
        "num_trials": len(trials),
        "num_finished": states["finished"],
        "num_pruned": states["pruned"],
        "num_failed": states["failed"],
        "best_trial": best.number,
        "best_params": best.params,
        "eval_accuracy": best.eval_accuracy,
        "eval_loss": best.eval_loss,
        "own_eval_accuracy": trials[0].eval_accuracy,
    }


def _has_budget(params: TuningParams, trials: Sequence[Trial]) -> bool:
    if not trials:
        return True
    if (
        params.max_minutes is not None
        and sum(trial.seconds for trial in trials) >= 60 * params.max_minutes
    ):
        return False
    return params.num_trials == 0 or len(trials) < params.num_trials


def _told_of(trials: Sequence[Trial], params: TuningParams) -> AbstractContextManager[None]:
    """Tells which trial runs, how many there will be, the best so far, and how long the rest takes
    by those that were.
    """
    number, best, spent = len(trials), best_of(trials), sum(trial.seconds for trial in trials)
    left = spent / number * (params.num_trials - number) if number and params.num_trials else None
    if params.max_minutes is not None:
        left = min(60 * params.max_minutes - spent, left or math.inf)
    what = (
        f"trial {number + 1} of {params.num_trials}" if params.num_trials else f"trial {number + 1}"
    )
    what += f", best {best.eval_accuracy:.3f}" if best else ""
    return part_of(what, number, params.num_trials or None, left=left)


def _folder(work: Path, number: int) -> Path:
    """Of a trial in the making."""
    return work / f"trial-{number:05d}"


def _next_trial(features: Path, params: TuningParams, trials: Sequence[Trial], work: Path) -> Trial:
    number = len(trials)
    asked, chosen = ask(params, trials)
    started = time.monotonic()
    try:
        return _train(features, params, asked, chosen, _folder(work, number), started)
    finally:
        # Graphs and variables of a trial hold each other; nothing of it may add up over a hundred
        # of them.
        keras.utils.clear_session(free_memory=False)
        gc.collect()


def _train(
    features: Path,
    params: TuningParams,
    asked: optuna.Trial,
    chosen: dict[str, Any],
    folder: Path,
    started: float,
) -> Trial:
    trainer = params.trainer.with_values(chosen)
    scores: list[tuple[float, float]] = []

    def on_epoch(epoch: int, figures: dict[str, float]) -> None:
        scores.append((figures["val_accuracy"], -figures["val_loss"]))
        asked.report(max(scores)[0], epoch)
        is_below = (
            asked.should_prune()
        )  # asked of a spared one, too: the others are compared with it
        if is_below and asked.number >= NUM_SPARED and epoch < trainer.num_epochs:
            raise optuna.TrialPruned

    state: State = "finished"
    error = None
    try:
        with tempfile.TemporaryDirectory(prefix="seqline-") as model:  # nobody wants it
            fit.fit(features, trainer, Path(model), folder / "checkpoints", on_epoch)
    except optuna.TrialPruned:
        state = "pruned"
    except UserError as raised:
        state, error = "failed", str(raised)
    accuracy, loss = max(scores) if scores and state != "failed" else (None, None)
    rungs = {
        name: value
        for name, value in asked.study.trials[-1].system_attrs.items()
        if name.startswith("completed_rung_")
    }
    return Trial(
        number=asked.number,
        params=chosen,
        state=state,
        eval_accuracy=accuracy,
        eval_loss=None if loss is None else -loss,
        epochs=len(scores),
        seconds=round(time.monotonic() - started, 3),
        accuracies=[accuracy for accuracy, _ in scores],
        rungs=rungs,
        error=error,
    )


def ask(params: TuningParams, trials: Sequence[Trial]) -> tuple[optuna.Trial, dict[str, Any]]:
    """The next trial and its parameters.

    They follow from the params and the trials so far, and from nothing else.
    """
    if not trials:
        return _study(params, trials).ask(), {
            name: getattr(params.trainer, name) for name in sorted(params.ranges)
        }
    asked = _study(params, trials).ask(distributions(params))
    return asked, asked.params


def _study(params: TuningParams, trials: Sequence[Trial]) -> optuna.Study:
    """With all trials so far, and what it takes for the next one."""
    seed = int(np.random.SeedSequence([params.seed, len(trials)]).generate_state(1)[0])
    sampler: optuna.samplers.BaseSampler = optuna.samplers.RandomSampler(seed)
    if params.algorithm == "bayesian":
        sampler = optuna.samplers.TPESampler(n_startup_trials=NUM_RANDOM, seed=seed)
    pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
    if params.halving:
        first = math.ceil(params.trainer.num_epochs * FIRST_RUNG)
        pruner = optuna.pruners.SuccessiveHalvingPruner(
            min_resource=first, reduction_factor=REDUCTION
        )
    study = optuna.create_study(sampler=sampler, pruner=pruner, direction="maximize")
    for trial in trials:
        study.add_trial(_told(trial, params))
    return study


def _told(trial: Trial, params: TuningParams) -> FrozenTrial:
    """A trial as the study learns of it."""
    if not all(params.ranges[name].holds(value) for name, value in trial.params.items()):
        # The trainer's own parameters may lie outside of the ranges: others are compared with them,
        # but nothing is learned from them.
        return create_trial(state=TrialState.FAIL, system_attrs=trial.rungs)
    known: dict[str, Any] = {
        "params": trial.params,
        "distributions": distributions(params),
        "system_attrs": trial.rungs,
    }
    if trial.state == "failed":
        # Pruned before its first epoch, the worst there is: the sampler is to stay away from there.
        # Of a FAIL it would learn nothing.
        return create_trial(state=TrialState.PRUNED, **known)
    reports = {epoch: max(trial.accuracies[:epoch]) for epoch in range(1, trial.epochs + 1)}
    state = TrialState.COMPLETE if trial.state == "finished" else TrialState.PRUNED
    return create_trial(
        state=state, value=trial.eval_accuracy, intermediate_values=reports, **known
    )


def distributions(params: TuningParams) -> dict[str, BaseDistribution]:
    """The ranges as optuna has them, by name.

    The order in which a configuration has them must not show.
    """
    return {name: _distribution(name, params.ranges[name]) for name in sorted(params.ranges)}


def _distribution(name: str, tried: Range) -> BaseDistribution:
    values = [typed(name, value) for value in tried.values()]
    if tried.choices is not None:
        return CategoricalDistribution(values)
    low, high = values
    if kind(name) is int:
        return IntDistribution(low, high, log=tried.log, step=int(tried.step or 1))
    return FloatDistribution(low, high, log=tried.log, step=tried.step)


def line(trials: Sequence[Trial], params: TuningParams) -> str:
    """What a person reads of the last trial."""
    trial, best = trials[-1], best_of(trials)
    text = (
        "trial"
        f" {trial.number}{f' ({len(trials)} of {params.num_trials})' if params.num_trials else ''}"
        f" {trial.state}: "
    )
    text += (
        str(trial.error)
        if trial.eval_accuracy is None
        else f"eval accuracy {trial.eval_accuracy:.4f}"
    )
    text += f" ({trial.epochs} epochs, {trial.seconds:.1f} s); "
    text += (
        "none is the best so far; "
        if best is None
        else f"best so far {best.eval_accuracy:.4f} in trial {best.number}; "
    )
    return text + ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in trial.params.items()
    )
