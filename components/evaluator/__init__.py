"""Measures the exported SavedModel on the test split and decides whether it may be served.

Reads Examples (test to measure, train for the baselines) and SavedModel, through its `serving_default`: what is measured
is what will be served. Writes evaluation.json: the metrics, the baselines beside them, and the verdict with its reasons; and
answers.jsonl: the first rows of test with the model's probabilities.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from components.base import Component, Figures, Params
from components.features import EVALUATION


class EvaluatorParams(Params):
    min_accuracy: float = Field(0.0, ge=0, le=1, description="accuracy that a blessed model reaches at least")
    min_macro_f1: float = Field(0.0, ge=0, le=1, description="macro F1 that a blessed model reaches at least")
    max_cross_entropy: float | None = Field(None, gt=0, description="cross-entropy (nats) that a blessed model stays under")
    min_gain_over_majority: float = Field(0.01, ge=-1, le=1, description="accuracy above always answering the most frequent class")
    baseline: Literal["word", "char", "none"] = Field(
        "word",
        description="the linear model beside it, on tf-idf of words or tokens (1-2) or of characters (1-4), or none; "
        "with sequences, unless none, on summary statistics",
    )


def run(*, examples: Path, saved_model: Path, params: EvaluatorParams, output: Path) -> Figures:
    """Writes the evaluation. A refused model is a result, not an error: the pusher will not push it."""
    from components.evaluator import evaluation

    return evaluation.evaluate(examples, saved_model, params, output / EVALUATION)


def describe(figures: Figures) -> str:
    low, high = figures["accuracy_interval"]
    text = f"test accuracy {figures['accuracy']:.3f} ({low:.3f}-{high:.3f}); "
    text += ", ".join(f"{name} {value:.3f}" for name, value in figures["baselines"].items())
    return text + ("; blessed" if figures["blessed"] else "; NOT blessed: " + "; ".join(figures["refusals"]))


EVALUATOR = Component(
    name="evaluator",
    inputs={"examples": "Examples", "saved_model": "SavedModel"},
    output="Evaluation",
    params=EvaluatorParams,
    run=run,
    describe=describe,
    libraries=("tensorflow", "scikit-learn"),
)
