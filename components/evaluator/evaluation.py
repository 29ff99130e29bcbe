"""Measures the SavedModel on the test split and writes the evaluation.

The served version and the baselines are measured on the same rows.
"""

import logging
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from components.evaluator import EvaluatorParams, baselines, gates, ranking, served_version, slices
from components.evaluator.answers import write_answers
from components.evaluator.figures import figures_of
from components.evaluator.measure import Measurer, MeasureTask, merge
from components.evaluator.rows import rows, weights
from components.evaluator.served_version import ServedVersion
from seqline.component import Figures
from seqline.data import features, origins
from seqline.data.evaluation import Evaluation
from seqline.data.feature_kinds import kinds_of
from seqline.data.labels import normal
from seqline.data.manifest import MANIFEST, content_of, read_manifest
from seqline.gates import refusals
from seqline.host import packages, progress
from seqline.model import identity
from seqline.model.served import ServedModel, labels_of
from seqline.storage.staging import remove

log = logging.getLogger("seqline.evaluator")

# The trainer learns from the rows of both; so does the linear model.
LEARNED = (features.TRAIN, features.EVAL)
# Fields that only evaluation.json has: they are too long for a run's figures.
TABLES = ("classes", "confusion_matrix", "calibration", "slices", "hardest", "confidently_wrong")


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
    is_shared = not beam_args and not tf.config.list_physical_devices("GPU")
    loaded = ServedModel(model) if is_shared else None
    figures = measure(examples, model, params, served, scores, beam_args, loaded)
    write_answers(examples, model, output.with_name(features.ANSWERS), loaded)

    accuracies = compare(examples, params)
    judged = gates.judge(figures, accuracies, params, not_compared["why"] if not_compared else "")
    reasons = refusals(judged)
    evaluation = Evaluation(
        **figures,
        not_compared=not_compared,
        baselines=accuracies,
        gates=judged,
        blessed=not reasons,
        refusals=reasons,
    )
    evaluation.write(output)

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


def label_counts(examples: Path, split: str) -> Counter[str]:
    """The number of rows of a split by label."""
    if (examples / MANIFEST).is_file():
        spans = read_manifest(examples).spans
        return sum((Counter(span.num_rows.get(split, {})) for span in spans), Counter())
    return Counter(
        label.decode() for _, labels in rows(examples, split) for label in labels.numpy()
    )


def compare(examples: Path, params: EvaluatorParams) -> dict[str, float]:
    """The test accuracy of each baseline by its name."""
    train = label_counts(examples, features.TRAIN)
    test = label_counts(examples, features.TEST)
    accuracies = {baselines.MAJORITY: baselines.majority(train, test)}
    if params.baseline == "none":
        return accuracies
    if not baselines.is_there():
        log.warning(
            "scikit-learn is not installed: no linear baseline. %s",
            packages.command(packages.LINEAR.values()),
        )
        return accuracies

    progress.tell("fitting the linear baseline")
    num_rows = sum(label_counts(examples, split).total() for split in LEARNED)
    every = -(-num_rows // params.max_baseline_rows)
    contents, labels = _every(examples, LEARNED, every)
    row_weights = weights(examples, LEARNED)
    if row_weights is not None:
        contents, labels, row_weights = _weighted(contents, labels, row_weights[::every])

    if isinstance(contents[0], np.ndarray):
        name = baselines.STATISTICS
        answer = baselines.statistics_logistic_regression(contents, labels, row_weights)
    else:
        name = baselines.TFIDF
        answer = baselines.tfidf_logistic_regression(contents, labels, params.baseline, row_weights)

    num_right = 0
    for batch, truth in _contents(examples, features.TEST):
        num_right += int((answer(batch) == np.array(truth, object)).sum())
    return {**accuracies, name: num_right / test.total()}


def _every(examples: Path, splits: Sequence[str], every: int) -> tuple[list[Any], list[str]]:
    """(contents, labels) of every `every`-th row of some splits, in memory."""
    contents: list[Any] = []
    labels: list[str] = []
    num_seen = 0

    for batch, batch_labels in chain.from_iterable(_contents(examples, name) for name in splits):
        first = -num_seen % every
        num_seen += len(batch)
        contents += batch[first::every]
        labels += batch_labels[first::every]
    return contents, labels


def _weighted(
    contents: list[Any], labels: list[str], row_weights: np.ndarray
) -> tuple[list[Any], list[str], np.ndarray | None]:
    """The rows that weigh something, and their weights.

    They are all rows, without weights, where those are of one class: the linear models need two.
    """
    places = np.flatnonzero(row_weights).tolist()
    if len({labels[place] for place in places}) < 2:
        return contents, labels, None
    return (
        [contents[place] for place in places],
        [labels[place] for place in places],
        row_weights[places],
    )


def _contents(examples: Path, split: str) -> Iterable[tuple[list[Any], list[str]]]:
    """(contents, labels) of the rows of a split in order, in batches.

    A content is a text, a list of tokens or an array [time, dim].
    """
    for row, labels in rows(examples, split):
        contents: list[Any]
        if features.TEXT in row:
            contents = [text.decode() for text in row[features.TEXT].numpy()]
        elif features.TOKENS in row:
            contents = [
                [token.decode() for token in tokens if token]
                for tokens in row[features.TOKENS].numpy().tolist()
            ]
        else:
            pairs = zip(row[features.SEQUENCE].numpy(), row[features.LENGTH].numpy(), strict=True)
            contents = [sequence[:length] for sequence, length in pairs]
        yield contents, [label.decode() for label in labels.numpy()]
