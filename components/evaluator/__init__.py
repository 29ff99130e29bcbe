"""Measures the exported SavedModel on the test split and decides whether it may be served.

Reads:
    Examples: test to measure the model, train for the baselines.
    SavedModel: through its `serving_default`, so what is measured is what will be served.
    The newest version under serving_dir that has another content.

Writes:
    evaluation.json: figures with intervals, of all rows and of slices, those of the served version
        and of the baselines, the gates with their reasons, and the verdict.
    answers.jsonl: the first rows of test with the model's probabilities.

The rows stream through, shard by shard. With flags for Beam, its workers measure the shards. The
figures do not depend on the order of the shards.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from seqline.component import Component, Figures, NotInKey, Params
from seqline.data.features import EVALUATION, SAVED_MODEL
from seqline.data.labels import normal
from seqline.host import packages
from seqline.suggest import suggestion


class EvaluatorParams(Params):
    min_accuracy: float = Field(
        0.0, ge=0, le=1, description="the lowest accuracy of a blessed model"
    )
    min_macro_f1: float = Field(
        0.0, ge=0, le=1, description="the lowest macro F1 of a blessed model"
    )
    max_cross_entropy: float | None = Field(
        None, gt=0, description="the highest cross-entropy (nats) of a blessed model"
    )
    max_ece: float | None = Field(
        None, ge=0, le=1, description="the highest expected calibration error of a blessed model"
    )
    # A model has to be better than a constant answer, by however little: on classes of 99 to 1 the
    # best possible model gains 0.01.
    min_gain_over_majority: float = Field(
        0.001,
        ge=-1,
        le=1,
        description="the lowest gain of accuracy over always answering the most frequent class",
    )
    min_gain_over_linear: float | None = Field(
        None,
        ge=-1,
        le=1,
        description=(
            "the lowest gain of accuracy over the linear model (see `baseline`); null: not judged"
        ),
    )
    max_loss_of_accuracy: float | None = Field(
        0.0,
        ge=0,
        lt=1,
        description=(
            "the greatest loss of accuracy against the served version, overall and in each"
            " slice; null: not judged"
        ),
    )
    alpha: float = Field(
        0.05,
        gt=0,
        le=0.5,
        description=(
            "significance level: the highest rate at which a model that loses no more than "
            "max_loss_of_accuracy is refused by chance"
        ),
    )
    slices: tuple[str, ...] = Field(
        ("label", "length"),
        strict=False,
        description=(
            "features that divide the rows: `label`, `length`, `script` (of most letters),"
            " `span`, or a feature of the Examples"
        ),
    )
    min_slice_rows: int = Field(
        50, ge=1, description="the fewest rows of a slice that the gates judge"
    )
    min_slice_accuracy: float | dict[str, float] | None = Field(
        None,
        description=(
            "the lowest accuracy of each slice, or a table by slice, such as {label = 0.7,"
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
            "the linear model to compare with: tf-idf of `word` 1- and 2-grams (words or"
            " tokens), of `char` 1- to 4-grams, or `none`; for sequences it uses summary"
            " statistics"
        ),
    )
    max_baseline_rows: int = Field(
        50_000,
        ge=1,
        description=(
            "the most rows of train and eval that the linear model learns from, spread evenly over"
            " them"
        ),
    )
    serving_dir: Annotated[str | None, NotInKey] = Field(
        None,
        description=("the folder of the served versions to compare with; null: pusher.serving_dir"),
    )
    model_name: Annotated[str | None, NotInKey] = Field(
        None,
        description=(
            "the model's name; a served version of another name is not compared with; null: "
            "pusher.model_name"
        ),
    )

    @field_validator("min_slice_accuracy")
    @classmethod
    def _normalise_labels(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given

        floors: dict[str, float] = {}
        for name, floor in given.items():
            feature, is_single, value = name.partition("=")
            if is_single and feature == "label":
                name = f"label={normal(value)}"
            if name in floors:
                raise ValueError(f"evaluator.min_slice_accuracy names {name!r} twice")
            floors[name] = floor
        return floors

    @model_validator(mode="after")
    def _check_slices(self) -> "EvaluatorParams":
        if len(set(self.slices)) < len(self.slices):
            raise ValueError("evaluator.slices names one twice")

        if self.min_slice_accuracy not in (None, {}) and not self.slices:
            raise ValueError(
                "evaluator.min_slice_accuracy is set, and evaluator.slices is empty: no slice would"
                " be judged. Name slices, or remove it"
            )

        floors: list[float] = []
        if isinstance(self.min_slice_accuracy, dict):
            floors += self.min_slice_accuracy.values()
            for name in self.min_slice_accuracy:
                feature = name.partition("=")[0]
                if feature not in self.slices:
                    raise ValueError(
                        f"evaluator.min_slice_accuracy names {name!r}; evaluator.slices are"
                        f" {', '.join(self.slices) or 'none'}.{suggestion(feature, self.slices)}"
                    )
        elif self.min_slice_accuracy is not None:
            floors.append(self.min_slice_accuracy)

        if any(not 0 <= floor <= 1 for floor in floors):
            raise ValueError("evaluator.min_slice_accuracy must be between 0 and 1")
        return self

    def with_name(self, name: str) -> "EvaluatorParams":
        """These params with the model's name in place of {name} in serving_dir."""
        if not self.serving_dir:
            return self
        return self.model_copy(update={"serving_dir": self.serving_dir.replace("{name}", name)})

    def with_defaults_from(
        self, serving_dir: str, model_name: str | None = None
    ) -> "EvaluatorParams":
        """These params, with another serving_dir and model_name if they have none of their own."""
        return self.model_copy(
            update={
                "serving_dir": self.serving_dir or serving_dir,
                "model_name": self.model_name or model_name,
            },
        )


def check(params: EvaluatorParams) -> None:
    """Checks the thresholds.

    Raises:
        UserError: There is one on the linear model, and scikit-learn is not installed. Or there is
            one on a slice that cannot exist.
    """
    from components.evaluator import thresholds

    thresholds.check(params)
    if params.min_gain_over_linear is not None and params.baseline != "none":
        packages.need(
            f"evaluator.min_gain_over_linear {params.min_gain_over_linear}",
            packages.LINEAR,
            ", or no such gate: leave the setting out.",
        )


def check_examples(params: EvaluatorParams, examples: Path) -> None:
    """Checks slices and their thresholds by the Examples, before a model is trained on them.

    Raises:
        UserError: They have no such feature, or no row of a label or a span that has a threshold.
    """
    from components.evaluator import thresholds

    thresholds.check_examples(params, examples)


def external_digest(
    params: EvaluatorParams, memory: Path | None, inputs: Mapping[str, Path]
) -> str:
    """The digest of the served version that the SavedModel is compared with, or ""."""
    from components.evaluator import served_version

    saved_model = inputs["saved_model"] / SAVED_MODEL
    served = served_version.find(params.serving_dir, saved_model, memory)
    if served is None:
        return ""
    is_other = served_version.differences(served, saved_model, params.model_name)
    return f"another model: {served.digest}" if is_other else served.digest


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

    Raises:
        UserError: The Examples do not have a sliced feature, it has too many values, or the served
            version reads something else than this model.
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

    baselines = figures["baselines"]
    text += ", ".join(f"{name} {accuracy:.3f}" for name, accuracy in baselines.items())
    for name, accuracy in baselines.items():
        if accuracy > figures["accuracy"]:
            text += f"; {name} is better"

    if figures["blessed"]:
        return f"{text}; blessed"
    return f"{text}; NOT blessed: {'; '.join(figures['refusals'])}"


EVALUATOR = Component(
    name="evaluator",
    inputs={"examples": "Examples", "saved_model": "SavedModel"},
    output="Evaluation",
    params=EvaluatorParams,
    run=run,
    describe=describe,
    libraries=("tensorflow", "scikit-learn", "numpy"),
    check=check,
    external_digest=external_digest,
)
