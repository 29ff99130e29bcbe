"""Which parameters decide whether a trial is a good one.

By PED-ANOVA (S. Watanabe, A. Bansal and F. Hutter, IJCAI 2023), as optuna has it: how differently
the best quarter of the trials is distributed over a parameter's values than all trials are. It asks
only for the order of the trials. So those that were pruned or failed count, too, below every
finished one: without them the others would look alike.
"""

from collections.abc import Sequence

import optuna
from optuna.trial import create_trial

from components.tuner import TuningParams
from components.tuner.distributions import distributions
from components.tuner.trials import Trial

# The importances of fewer trials are noise.
MIN_TRIALS = 12
# The share of the trials that are good ones.
BEST = 0.25
NUM_DIGITS = 6


def importances(params: TuningParams, trials: Sequence[Trial]) -> dict[str, float]:
    """Parameter -> its importance, from the greatest; they sum up to 1.

    Args:
        params: Of the search.
        trials: All trials. The trainer's own parameters do not count if they are outside the
            ranges.

    Returns:
        {} for fewer than MIN_TRIALS trials, or if no parameter tells good trials from others.
    """
    within = [
        trial
        for trial in trials
        if all(params.ranges[name].holds(value) for name, value in trial.params.items())
    ]
    if len(within) < MIN_TRIALS:
        return {}

    failed = [trial for trial in within if trial.state == "failed"]
    others = [trial for trial in within if trial.state != "failed"]
    study = optuna.create_study(direction="maximize")
    for rank, trial in enumerate([*failed, *sorted(others, key=lambda trial: trial.score)]):
        study.add_trial(
            create_trial(
                value=float(rank), params=trial.params, distributions=distributions(params)
            )
        )

    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=BEST)
    shares = evaluator.evaluate(study)
    total = sum(shares.values())
    if not total:
        return {}
    rounded = {name: round(float(share) / total, NUM_DIGITS) for name, share in shares.items()}
    return dict(sorted(rounded.items(), key=lambda item: (-item[1], item[0])))
