"""Curves of random rows, and the trials of a search, for the tests of reports."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from components.evaluator.curves import MAX_CURVES, area_and_average, points
from components.evaluator.ranking import encode
from components.tuner.trials import Trial
from seqline.data.evaluation import Curve


def curves_of(
    labels: Sequence[str], num_rows: int = 2000
) -> tuple[dict[str, Curve], dict[str, dict[str, float | None]]]:
    """Curves of random rows, as the evaluator makes them. Later classes are harder to tell.

    Returns:
        (label -> its curve, label -> {roc_auc, pr_auc}).
    """
    random = np.random.default_rng(0)
    truth = np.arange(num_rows) % len(labels)
    scores = random.normal(size=(num_rows, len(labels)))
    scores[np.arange(num_rows), truth] += 3.5 - 2 * truth / len(labels)
    exponents = np.exp(2 * scores)
    codes = encode((exponents / exponents.sum(axis=1, keepdims=True)).astype(np.float32), truth)
    curves, areas = {}, {}
    for number, label in enumerate(labels[:MAX_CURVES]):
        column = np.sort(codes[:, number])
        curves[label] = points(column)
        areas[label] = dict(zip(("roc_auc", "pr_auc"), area_and_average(column), strict=True))
    return curves, areas


def tuner_of(num_trials: int = 24) -> tuple[dict[str, Any], tuple[str, Any]]:
    """(parts of the tuner's record, its file) of a search in which the learning rate decides."""
    trials = []
    for number in range(num_trials):
        rate = 0.001 * 20 ** (number * 7 % num_trials / num_trials)
        accuracy = round(0.9 - 0.2 * abs(math.log10(rate / 0.006)), 4)
        chosen = {
            "dropout": round(0.6 * (number * 5 % num_trials) / num_trials, 3),
            "learning_rate": rate,
            "pooling": ("max", "mean_max")[number % 2],
        }
        is_failed, is_pruned = number == 5, number % 4 == 3
        state: Any = "failed" if is_failed else "pruned" if is_pruned else "finished"
        score = (None, None) if is_failed else (accuracy, 1 - accuracy)
        epochs = 0 if is_failed else 2
        error = "The loss of step 3 is not a number." if is_failed else None
        accuracies = [accuracy] * epochs
        trials.append(
            Trial(number, chosen, state, *score, epochs, 4.5, accuracies, {"rung": 1.0}, error)
        )

    scored = [trial for trial in trials if trial.state == "finished"]
    best = max(scored, key=lambda trial: trial.score)
    figures = {
        "num_trials": num_trials,
        "num_finished": len(scored),
        "num_pruned": sum(trial.state == "pruned" for trial in trials),
        "num_failed": 1,
        "best_trial": best.number,
        "best_params": best.params,
        "eval_accuracy": best.eval_accuracy,
        "eval_loss": best.eval_loss,
        "own_eval_accuracy": trials[0].eval_accuracy,
        "importances": {"learning_rate": 0.875, "dropout": 0.1, "pooling": 0.025},
    }
    ranges = {
        "dropout": {"low": 0.0, "high": 0.6, "log": False, "step": None, "choices": None},
        "learning_rate": {"low": 1e-3, "high": 2e-2, "log": True, "step": None, "choices": None},
        "pooling": {"choices": ["max", "mean_max"], "log": False},
    }
    execution = {"figures": figures, "params": {"num_trials": num_trials, "ranges": ranges}}
    return execution, ("trials.json", [asdict(trial) for trial in trials])
