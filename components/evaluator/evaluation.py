"""Measures the SavedModel on the test split and writes the evaluation.

The served version and the baselines are measured on the same rows.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from components.evaluator import (
    EvaluatorParams,
    board,
    curves,
    gates,
    linear,
    ranking,
    served_version,
    slices,
)
from components.evaluator.answers import write_answers
from components.evaluator.figures import figures_of
from components.evaluator.measure import Measurer, MeasureTask, merge
from components.evaluator.rows import label_counts
from components.evaluator.served_version import ServedVersion
from seqline.component import Figures
from seqline.data import features, origins
from seqline.data.evaluation import Evaluation
from seqline.data.feature_kinds import kinds_of
from seqline.data.labels import normal
from seqline.data.manifest import content_of
from seqline.gates import refusals
from seqline.host import progress
from seqline.model import identity
from seqline.model.served import ServedModel, labels_of
from seqline.storage.staging import remove

# Fields that only evaluation.json has: they are too long for a run's figures.
TABLES = (
    "classes",
    "confusion_matrix",
    "confusion_cells",
    "calibration",
    "curves",
    "slices",
    "hardest",
    "confidently_wrong",
)


def evaluate(
    examples: Path,
    saved_model: Path,
    params: EvaluatorParams,
    output: Path,
    beam_args: Sequence[str] = (),
) -> Figures:
    """Writes evaluation.json to `output`, and answers.jsonl into the same folder.

    Returns:
        The evaluation without its tables.
    """
    model = saved_model / features.SAVED_MODEL
    served, not_compared = _compared_with(examples, model, params)

    # Workers elsewhere write their scores where the evaluation will be.
    scores = output.with_name("scores") if beam_args or isinstance(output, Path) else None
    # Loading takes as long as asking. With a GPU it is loaded once for each device.
    is_shared = not beam_args and not tf.config.get_visible_devices("GPU")
    loaded = ServedModel(model) if is_shared else None
    figures = measure(examples, model, params, served, scores, beam_args, loaded)
    write_answers(examples, model, output.with_name(features.ANSWERS), loaded)

    accuracies, linear_sample = linear.compare(examples, params)
    judged = gates.judge(figures, accuracies, params, not_compared["why"] if not_compared else "")
    del figures["other_slices"]
    reasons = refusals(judged)
    evaluation = Evaluation(
        **figures,
        not_compared=not_compared,
        baselines=accuracies,
        linear_sample=linear_sample,
        gates=judged,
        blessed=not reasons,
        refusals=reasons,
    )
    evaluation.write(output)
    board.write(evaluation, output.parent)

    shown = {name: value for name, value in evaluation.to_json().items() if name not in TABLES}
    if served:
        # A version's number depends on its place. The artifact has the digest of the content only.
        shown["served"] = {**figures["served"], "version": served.version}
    return shown


def _compared_with(
    examples: Path, saved_model: Path, params: EvaluatorParams
) -> tuple[ServedVersion | None, Figures | None]:
    """The served version that the model is compared with, or why there is no comparison.

    Returns:
        (the version, None), or (None, {version, why}) for a version of another model, or
        (None, None) if none is served.
    """
    served = served_version.find(params.serving_dir, saved_model)
    if served is None:
        return None, None

    why = served_version.differences(served, saved_model, params.model_name)
    known_labels = identity.of_folder(served.uri).labels
    if not why and known_labels:
        test_labels = set(label_counts(examples, features.TEST))
        if not set(map(normal, known_labels)) & test_labels:
            why = "it knows no label of the test rows"

    if not why:
        return served, None

    reason = f"version {served.version} is not compared with: {why}"
    return None, {"version": served.version, "why": reason}


def measure(
    examples: Path,
    saved_model: Path,
    params: EvaluatorParams | None = None,
    served: ServedVersion | None = None,
    scores: Path | None = None,
    beam_args: Sequence[str] = (),
    loaded: ServedModel | None = None,
) -> Figures:
    """Measures a SavedModel on the test split, streamed through its `serving_default`.

    Args:
        examples: The Examples.
        saved_model: The folder of the SavedModel.
        params: Slices, thresholds and lists; None for the defaults.
        served: The version to compare with, if there is one.
        scores: The folder of the probabilities while it measures, or None for a temporary one.
        beam_args: Where Beam's workers measure. Without any, this process does.
        loaded: The SavedModel, if this process has loaded it already.

    Returns:
        See `components.evaluator.figures.figures_of`.
    """
    if scores is None:
        with tempfile.TemporaryDirectory() as folder:
            return measure(
                examples, saved_model, params, served, Path(folder) / "scores", beam_args, loaded
            )

    params = params or EvaluatorParams()
    shards = features.shards(examples, features.TEST)
    task = _task(examples, saved_model, params, served, shards, scores)
    scores.mkdir(parents=True, exist_ok=True)
    progress.begin("asking the model", sum(label_counts(examples, features.TEST).values()), "rows")

    if beam_args:
        from components.evaluator import distributed

        measured = distributed.measure(task, [str(path) for path in shards], beam_args)
    else:
        measurer = Measurer(task, loaded)
        measured = merge((measurer.measure(str(path)) for path in shards), task.num_examples)

    with tempfile.TemporaryDirectory(dir=scores if isinstance(scores, Path) else None) as folder:
        areas = ranking.areas(
            [f"{scores}/{path.name}" for path in shards],
            measured.overall.num_rows,
            len(task.labels),
            Path(folder),
            curves.classes_drawn(measured.overall.cells),
        )
    remove(scores)

    figures = figures_of(task, measured, areas, params, served)
    origins.locate(examples, features.TEST, [*figures["hardest"], *figures["confidently_wrong"]])
    return figures


def _task(
    examples: Path,
    saved_model: Path,
    params: EvaluatorParams,
    served: ServedVersion | None,
    shards: Sequence[Path],
    scores: Path,
) -> MeasureTask:
    content, dim = content_of(examples)
    own_labels = labels_of(saved_model)

    # The model is wrong on every row with a label that train did not have. Such a label is a row
    # of the confusion matrix, too.
    unknown_labels = sorted(set(label_counts(examples, features.TEST)) - set(own_labels))
    from_examples = [name for name in params.slices if name not in slices.DERIVED]

    return MeasureTask(
        content=content,
        dim=dim,
        labels=(*own_labels, *unknown_labels),
        saved_model=str(saved_model),
        served=served.uri if served else None,
        slices=params.slices,
        kinds=kinds_of(from_examples, shards),
        num_examples=params.num_examples,
        redact=params.redact,
        scores=str(scores),
    )
