"""The search: from the trials so far to the next one, until the budget is spent.

Every trial asks a new sampler, which is seeded by the trial's number and told of all trials before
it, as they are on disk. So it does not matter whether this process ran these or one that was
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
from optuna.trial import FrozenTrial, TrialState, create_trial

from components.trainer import BEST_FILE, fit
from components.trainer.distributed.strategy import alone
from components.trainer.training import DivergedError
from components.tuner import TuningParams, board
from components.tuner.distributions import distributions
from components.tuner.importances import importances
from components.tuner.trials import State, Trial, best_of, load, save
from seqline.component import Figures
from seqline.data.features import SEQUENCE
from seqline.data.transform_summary import content_of, read_summary
from seqline.errors import UserError
from seqline.host.progress import part_of
from seqline.storage.staging import remove

log = logging.getLogger("seqline.tuner")

# Trials with random parameters before TPE begins to learn; the first one, with the trainer's own
# parameters, is one of these.
NUM_RANDOM = 6
# Successive halving looks after a quarter and after a half of the epochs: a trial ends if it is not
# in the upper half of the trials that got there. The first three are spared: an upper half of fewer
# than four would be the best one alone, however lucky it was.
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
    for trial in trials:
        board.write_trial(trial, params.trainer, output)

    while _has_budget(params, trials):
        # The chief searches alone; the other workers wait for the trainer.
        with _progress_of(trials, params), alone():
            trials.append(_next_trial(features, params, trials, work))
        save(trials, work)
        board.write_trial(trials[-1], params.trainer, output)
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
        "importances": importances(params, trials),
    }


def _has_budget(params: TuningParams, trials: Sequence[Trial]) -> bool:
    if not trials:
        return True
    spent = sum(trial.seconds for trial in trials)
    if params.max_minutes is not None and spent >= 60 * params.max_minutes:
        return False
    return params.num_trials == 0 or len(trials) < params.num_trials


def _progress_of(trials: Sequence[Trial], params: TuningParams) -> AbstractContextManager[None]:
    """Shows which trial runs, of how many, the best so far, and an estimate of the time left."""
    number, best = len(trials), best_of(trials)
    spent = sum(trial.seconds for trial in trials)
    left = None
    if number and params.num_trials:
        left = spent / number * (params.num_trials - number)
    if params.max_minutes is not None:
        left = min(60 * params.max_minutes - spent, left or math.inf)

    label = f"trial {number + 1}"
    if params.num_trials:
        label += f" of {params.num_trials}"
    if best:
        label += f", best {best.eval_accuracy:.3f}"
    return part_of(label, number, params.num_trials or None, left=left)


def _folder(work: Path, number: int) -> Path:
    """The folder of a trial under way."""
    return work / f"trial-{number:05d}"


def _next_trial(features: Path, params: TuningParams, trials: Sequence[Trial], work: Path) -> Trial:
    number = len(trials)
    asked, chosen = ask(params, trials)
    started = time.monotonic()

    try:
        return _train(features, params, asked, chosen, _folder(work, number), started)
    finally:
        # The graphs and variables of a trial refer to each other: without this they would add up
        # over a hundred trials.
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
    # The wide part is the same in every trial. The network is the one that stands beside it.
    has_wide = params.trainer.wide and content_of(read_summary(features)) != SEQUENCE
    beside = {
        "wide": False,
        "recurrent": True,
        "skip_dim": params.trainer.skip_dim_beside(has_wide),
    }
    trainer = params.trainer.with_values({**beside, **chosen})
    scores: list[tuple[float, float]] = []

    def on_epoch(epoch: int, figures: dict[str, float]) -> None:
        scores.append((figures["val_accuracy"], -figures["val_loss"]))
        asked.report(max(scores)[0], epoch)
        # A spared trial asks, too: the others are compared with it.
        is_below = asked.should_prune()
        if is_below and asked.number >= NUM_SPARED and epoch < trainer.num_epochs:
            raise optuna.TrialPruned

    state: State = "finished"
    error = None
    try:
        with tempfile.TemporaryDirectory(prefix="seqline-") as model:  # Not kept.
            checkpoints = folder / "checkpoints"
            fit.fit(features, trainer, Path(model), checkpoints, on_epoch, is_trial=True)
    except optuna.TrialPruned:
        state = "pruned"
    except DivergedError as raised:
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
        own = {name: getattr(params.trainer, name) for name in sorted(params.ranges)}
        return _study(params, trials).ask(), own
    asked = _study(params, trials).ask(distributions(params))
    return asked, asked.params


def _study(params: TuningParams, trials: Sequence[Trial]) -> optuna.Study:
    """A study of all trials so far, with a sampler and a pruner for the next one."""
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
        study.add_trial(_for_study(trial, params))
    return study


def _for_study(trial: Trial, params: TuningParams) -> FrozenTrial:
    """A trial as optuna has it."""
    if not all(params.ranges[name].holds(value) for name, value in trial.params.items()):
        # The trainer's own parameters may be outside the ranges: others are compared with them, but
        # nothing is learned from them.
        return create_trial(state=TrialState.FAIL, system_attrs=trial.rungs)

    known: dict[str, Any] = {
        "params": trial.params,
        "distributions": distributions(params),
        "system_attrs": trial.rungs,
    }
    if trial.state == "failed":
        # Pruned before its first epoch, which is the worst state, so that the sampler avoids such
        # parameters. From a FAIL it would learn nothing.
        return create_trial(state=TrialState.PRUNED, **known)

    reports = {epoch: max(trial.accuracies[:epoch]) for epoch in range(1, trial.epochs + 1)}
    state = TrialState.COMPLETE if trial.state == "finished" else TrialState.PRUNED
    return create_trial(
        state=state, value=trial.eval_accuracy, intermediate_values=reports, **known
    )


def line(trials: Sequence[Trial], params: TuningParams) -> str:
    """The line about the last trial, for the log."""
    trial, best = trials[-1], best_of(trials)
    text = f"trial {trial.number}"
    if params.num_trials:
        text += f" ({len(trials)} of {params.num_trials})"

    text += f" {trial.state}: "
    if trial.eval_accuracy is None:
        text += str(trial.error)
    else:
        text += f"eval accuracy {trial.eval_accuracy:.4f}"

    text += f" ({trial.epochs} epochs, {trial.seconds:.1f} s); "
    if best is None:
        text += "no best trial so far; "
    else:
        text += f"best so far {best.eval_accuracy:.4f} in trial {best.number}; "

    values = [
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in trial.params.items()
    ]
    return text + ", ".join(values)
