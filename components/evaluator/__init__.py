"""Measures the exported SavedModel on the test split, beside the version being served, and decides
whether it may be served.

Reads Examples (test to measure, train for the baselines), SavedModel, through its
`serving_default`: what is measured is what will be served; and the newest version under serving_dir
that has another content. Writes evaluation.json: figures with intervals, overall and by slice, the
served version and the baselines beside them, the gates with their reasons, and the verdict; and
answers.jsonl: the first rows of test with the model's probabilities.

Rows stream through, shard by shard; with flags for Beam the shards are measured by its workers. The
figures do not depend on the order in which shards are put together.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from seqline.component import Component, Figures, NotInKey, Params
from seqline.data.features import EVALUATION, SAVED_MODEL
from seqline.host import packages


class EvaluatorParams(Params):
    min_accuracy: float = Field(
        0.0, ge=0, le=1, description="accuracy that a blessed model reaches at least"
    )
    min_macro_f1: float = Field(
        0.0, ge=0, le=1, description="macro F1 that a blessed model reaches at least"
    )
    max_cross_entropy: float | None = Field(
        None, gt=0, description="cross-entropy (nats) that a blessed model stays under"
    )
    max_ece: float | None = Field(
        None, ge=0, le=1, description="expected calibration error that a blessed model has at most"
    )
    # More than a constant answer, and no guess beyond it: of a set of 99 to 1 the best model there
    # can be gains 0.01.
    min_gain_over_majority: float = Field(
        0.001, ge=-1, le=1, description="accuracy above always answering the most frequent class"
    )
    min_gain_over_linear: float | None = Field(
        None, ge=-1, le=1, description="accuracy above the linear model's, see `baseline`"
    )
    max_loss_of_accuracy: float | None = Field(
        0.0,
        ge=0,
        lt=1,
        description=(
            "accuracy that may be lost against the served version, overall and in each slice; null:"
            " not judged"
        ),
    )
    alpha: float = Field(
        0.05,
        gt=0,
        le=0.5,
        description=(
            "how often, at most, a model as good as max_loss_of_accuracy asks is refused all the"
            " same, by chance"
        ),
    )
    slices: tuple[str, ...] = Field(
        ("label", "length"),
        strict=False,
        description=(
            "what rows are divided by: `label`, `length`, `language` (a guess), `span`, or a"
            " feature of the Examples"
        ),
    )
    min_slice_rows: int = Field(
        50, ge=1, description="rows of a slice, at least, for gates to judge it"
    )
    min_slice_accuracy: float | dict[str, float] | None = Field(
        None,
        description=(
            "accuracy in each slice, at least; or a table by slices, such as {label = 0.7,"
            ' "label=sport" = 0.8}'
        ),
    )
    num_examples: int = Field(
        10,
        ge=0,
        description=(
            "how many of the most confidently wrong and of the least certain rows are listed"
        ),
    )
    redact: bool = Field(False, description="leave the texts of those rows out")
    baseline: Literal["word", "char", "none"] = Field(
        "word",
        description=(
            "the linear model beside it, on tf-idf of words or tokens (1-2) or of characters (1-4),"
            " or none; with sequences, unless none, on summary statistics"
        ),
    )
    max_baseline_rows: int = Field(
        50_000,
        ge=1,
        description="train rows, at most, that the linear model learns from, evenly spread",
    )
    serving_dir: Annotated[str | None, NotInKey] = Field(
        None,
        description=(
            "where the served versions lie that a model is compared with; null for"
            " pusher.serving_dir"
        ),
    )
    model_name: Annotated[str | None, NotInKey] = Field(
        None,
        description=(
            "the model's name: a served version with another one is not compared with; null for"
            " pusher.model_name"
        ),
    )

    @model_validator(mode="after")
    def _thresholds_are_of_slices(self) -> "EvaluatorParams":
        if len(set(self.slices)) < len(self.slices):
            raise ValueError("evaluator.slices names one twice")
        if isinstance(self.min_slice_accuracy, dict):
            for name in self.min_slice_accuracy:
                if name.partition("=")[0] not in self.slices:
                    raise ValueError(
                        f"evaluator.min_slice_accuracy names {name!r}; evaluator.slices are"
                        f" {', '.join(self.slices) or 'none'}"
                    )
        floors = (
            self.min_slice_accuracy.values()
            if isinstance(self.min_slice_accuracy, dict)
            else [self.min_slice_accuracy or 0.0]
        )
        if any(not 0 <= floor <= 1 for floor in floors):
            raise ValueError("evaluator.min_slice_accuracy lies between 0 and 1")
        return self

    def with_name(self, name: str) -> "EvaluatorParams":
        """With the model's name wherever serving_dir says {name}."""
        return (
            self.model_copy(update={"serving_dir": self.serving_dir.replace("{name}", name)})
            if self.serving_dir
            else self
        )

    def with_defaults_from(
        self, serving_dir: str, model_name: str | None = None
    ) -> "EvaluatorParams":
        """With a place where served versions lie and the model's name, unless it names its own."""
        return self.model_copy(
            update={
                "serving_dir": self.serving_dir or serving_dir,
                "model_name": self.model_name or model_name,
            },
        )


def check(params: EvaluatorParams) -> None:
    """Raises UserError for a gate on the linear model where scikit-learn, which makes that, is
    missing.
    """
    if params.min_gain_over_linear is not None and params.baseline != "none":
        packages.need(
            f"evaluator.min_gain_over_linear {params.min_gain_over_linear}",
            packages.LINEAR,
            ", or no such gate: leave the setting out.",
        )


def external_digest(
    params: EvaluatorParams, memory: Path | None, inputs: Mapping[str, Path]
) -> str:
    """The digest of the served version that the SavedModel is compared with; empty for none."""
    from components.evaluator import served

    found = served.find(params.serving_dir, inputs["saved_model"] / SAVED_MODEL, memory)
    if found is None:
        return ""
    other = served.another_model(found, inputs["saved_model"] / SAVED_MODEL, params.model_name)
    return f"another model: {found.digest}" if other else found.digest


def run(
    *,
    examples: Path,
    saved_model: Path,
    params: EvaluatorParams,
    output: Path,
    beam_args: Sequence[str] = (),
) -> Figures:
    """Writes the evaluation.

    A refused model is a result, not an error: the pusher will not push it.

    Raises UserError for a slice that the Examples do not have, or that has too many values, and for
    a served version that reads something else than this model.
    """
    from components.evaluator import evaluation

    return evaluation.evaluate(examples, saved_model, params, output / EVALUATION, beam_args)


def describe(figures: Figures) -> str:
    low, high = figures["accuracy_interval"]
    text = f"test accuracy {figures['accuracy']:.3f} ({low:.3f} to {high:.3f}); "
    if figures.get("served"):
        text += f"served {figures['served']['accuracy']:.3f}, "
    elif figures.get("not_compared"):
        text += f"not compared with version {figures['not_compared']['version']}, another model; "
    text += ", ".join(f"{name} {value:.3f}" for name, value in figures["baselines"].items())
    better = [name for name, value in figures["baselines"].items() if value > figures["accuracy"]]
    text += "".join(f"; {name} is better" for name in better)
    return text + (
        "; blessed" if figures["blessed"] else "; NOT blessed: " + "; ".join(figures["refusals"])
    )


EVALUATOR = Component(
    name="evaluator",
    inputs={"examples": "Examples", "saved_model": "SavedModel"},
    output="Evaluation",
    params=EvaluatorParams,
    run=run,
    describe=describe,
    libraries=("tensorflow", "scikit-learn", "numpy"),
    beam=True,
    compares=True,
    check=check,
    external_digest=external_digest,
)
