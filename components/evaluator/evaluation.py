"""Measures the SavedModel over the test split, beside the served version and the baselines, and
writes the evaluation.
"""

import logging
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.evaluator import EvaluatorParams, baselines, gates, metrics, paired, ranking, slices
from components.evaluator import served as serving
from components.evaluator.answers import write_answers
from components.evaluator.measure import Measurer, Task, merge
from components.evaluator.rows import content_of, kinds_of, labels_of, rows
from components.evaluator.tally import UNIT, Measured, confusion
from seqline.component import Figures
from seqline.data import features, origins
from seqline.data.evaluation import Evaluation
from seqline.data.examples import MANIFEST, read_manifest
from seqline.gates import refusals
from seqline.host import packages, progress
from seqline.model import identity
from seqline.storage.staging import remove

log = logging.getLogger("seqline.evaluator")

# In evaluation.json only: too long for a run's figures.
TABLES = ("classes", "confusion_matrix", "calibration", "slices", "hardest", "confidently_wrong")


def evaluate(
    examples: Path,
    saved_model: Path,
    params: EvaluatorParams,
    output: Path,
    beam_args: Sequence[str] = (),
) -> Figures:
    """Writes evaluation.json, and answers.jsonl beside it.

    Returns the evaluation's main figures.
    """
    served, other = _compared_with(examples, saved_model / features.SAVED_MODEL, params)
    # Workers elsewhere write where the evaluation will be.
    scores = output.with_name("scores") if beam_args or isinstance(output, Path) else None
    metric = measure(
        examples, saved_model / features.SAVED_MODEL, params, served, scores, beam_args
    )
    write_answers(examples, saved_model / features.SAVED_MODEL, output.with_name(features.ANSWERS))
    compared = compare(examples, params)
    judged = gates.judge(metric, compared, params, other["why"] if other else "")
    refused = refusals(judged)
    evaluation = Evaluation(
        **metric,
        not_compared=other,
        baselines=compared,
        gates=judged,
        blessed=not refused,
        refusals=refused,
    )
    evaluation.write(output)

    figures = {name: value for name, value in evaluation.to_json().items() if name not in TABLES}
    if served:
        # A version's number depends on its place. The artifact names the content instead.
        figures["served"] = {**metric["served"], "version": served.version}
    return figures


def _compared_with(
    examples: Path, saved_model: Path, params: EvaluatorParams
) -> tuple[serving.Served | None, Figures | None]:
    """(the served version that the model is compared with, {version, why} of one that it cannot be
    compared with).
    """
    served = serving.find(params.serving_dir, saved_model)
    if served is None:
        return None, None
    why = serving.another_model(served, saved_model, params.model_name)
    known = identity.of_folder(served.uri).labels
    if not why and known and not set(known) & set(label_counts(examples, features.TEST)):
        why = "it knows no label of the test rows"
    return (
        (
            None,
            {
                "version": served.version,
                "why": f"version {served.version} is not compared with: {why}",
            },
        )
        if why
        else (served, None)
    )


def measure(
    examples: Path,
    saved_model: Path,
    params: EvaluatorParams | None = None,
    served: serving.Served | None = None,
    scores: Path | None = None,
    beam_args: Sequence[str] = (),
) -> Figures:
    """The metrics of a SavedModel on the test split, streamed through its `serving_default`.

    scores: a folder that is there meanwhile, for the probabilities. beam_args: where Beam's workers
    measure; none: this process does.
    """
    if scores is None:
        with tempfile.TemporaryDirectory() as folder:
            return measure(
                examples, saved_model, params, served, Path(folder) / "scores", beam_args
            )
    params = params or EvaluatorParams()
    shards = features.shards(examples, features.TEST)
    task = _task(examples, saved_model, params, served, shards, scores)
    scores.mkdir(parents=True, exist_ok=True)
    progress.begin("asking the model", sum(label_counts(examples, features.TEST).values()), "rows")
    if beam_args:
        from components.evaluator import distributed

        found = distributed.measure(task, [str(path) for path in shards], beam_args)
    else:
        measurer = Measurer(task)
        found = merge((measurer.measure(str(path)) for path in shards), task.num_examples)
    with tempfile.TemporaryDirectory(dir=scores if isinstance(scores, Path) else None) as folder:
        areas = ranking.areas(
            [f"{scores}/{path.name}" for path in shards],
            found.overall.num_rows,
            len(task.labels),
            Path(folder),
        )
    remove(scores)
    figures = _figures(task, found, areas, params, served)
    origins.locate(examples, features.TEST, [*figures["hardest"], *figures["confidently_wrong"]])
    return figures


def _task(
    examples: Path,
    saved_model: Path,
    params: EvaluatorParams,
    served: serving.Served | None,
    shards: Sequence[Path],
    scores: Path,
) -> Task:
    content, dim = content_of(examples)
    own = labels_of(str(saved_model))
    # A label that train did not have: its rows are wrong, and a row of the confusion matrix.
    others = sorted(set(label_counts(examples, features.TEST)) - set(own))
    return Task(
        content=content,
        dim=dim,
        labels=(*own, *others),
        saved_model=str(saved_model),
        served=served.uri if served else None,
        slices=params.slices,
        kinds=kinds_of([name for name in params.slices if name not in slices.DERIVED], shards),
        num_examples=params.num_examples,
        redact=params.redact,
        scores=str(scores),
    )


def _figures(
    task: Task,
    found: Measured,
    areas: tuple[list[float | None], list[float | None]],
    params: EvaluatorParams,
    served: serving.Served | None,
) -> Figures:
    overall, num_classes = found.overall, len(task.labels)
    metric = metrics.classification(
        list(task.labels),
        confusion(overall.cells, num_classes),
        overall.loss * UNIT / overall.num_rows,
    )
    curve = metrics.calibration(found.calibration)
    classes, matrix = metric.pop("classes"), metric.pop("confusion_matrix")
    for name, values in zip(("roc_auc", "pr_auc"), areas, strict=True):
        for label, value in zip(task.labels, values, strict=True):
            classes[label][name] = value
    judged = [
        _slice(feature, value, found, params)
        for feature in task.slices
        for value in _values(feature, found)
    ]
    metric |= {
        "cross_entropy_interval": metrics.mean_interval(
            overall.loss, overall.loss_squared, overall.num_rows
        ),
        "macro_f1_interval": metrics.macro_f1_interval(overall.cells),
        "roc_auc": _mean(areas[0]),
        "pr_auc": _mean(areas[1]),
        "top_k_accuracy": metrics.top_k(found.ranks, num_classes),
        "ece": curve["ece"],
        "num_not_finite": found.num_not_finite,
        "served": _served(task, found, params, served, sum(each["judged"] for each in judged)),
        "classes": classes,
        "confusion_matrix": matrix,
        "calibration": curve["curve"],
        "slices": judged,
        **found.listed(),
    }
    return metric


def _mean(values: Sequence[float | None]) -> float | None:
    """Over the classes that have one."""
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there else None


def _values(feature: str, found: Measured) -> list[str]:
    return slices.in_order(feature, [value for name, value in found.slices if name == feature])


def _slice(feature: str, value: str, found: Measured, params: EvaluatorParams) -> Figures:
    tally = found.slices[feature, value]
    against = (
        paired.compare_with_served(tally, params.max_loss_of_accuracy or 0.0)
        if tally.served_cells
        else None
    )
    return {
        "feature": feature,
        "value": value,
        **metrics.of_slice(tally, params.min_slice_rows),
        "served": against,
    }


def _served(
    task: Task,
    found: Measured,
    params: EvaluatorParams,
    served: serving.Served | None,
    num_judged: int,
) -> Figures | None:
    if served is None:
        return None
    known = labels_of(served.uri)
    level, slice_level = gates.levels(num_judged, params.alpha)
    return {
        "digest": served.digest,
        **paired.compare_with_served(found.overall, params.max_loss_of_accuracy or 0.0),
        "level": level,
        "slice_level": slice_level,
        "new_labels": [label for label in task.labels if label not in known],
        "lost_labels": [label for label in known if label not in task.labels],
    }


def label_counts(examples: Path, split: str) -> Counter[str]:
    """label -> rows of a split."""
    if (examples / MANIFEST).is_file():
        spans = read_manifest(examples).spans
        return sum((Counter(span.num_rows.get(split, {})) for span in spans), Counter())
    return Counter(each.decode() for _, label in rows(examples, split) for each in label.numpy())


def compare(examples: Path, params: EvaluatorParams) -> dict[str, float]:
    """The baselines' test accuracies."""
    train, test = (label_counts(examples, split) for split in (features.TRAIN, features.TEST))
    found = {baselines.MAJORITY: baselines.majority(train, test)}
    if params.baseline == "none":
        return found
    if not baselines.is_there():
        log.warning(
            "scikit-learn is not installed: no linear baseline. %s",
            packages.command(packages.LINEAR.values()),
        )
        return found
    progress.tell("fitting the linear baseline")
    every = -(-train.total() // params.max_baseline_rows)
    learned = _in_memory(examples, features.TRAIN, every)
    if isinstance(learned[0][0], np.ndarray):
        name, answer = baselines.STATISTICS, baselines.statistics_logistic_regression(*learned)
    else:
        name, answer = (
            baselines.TFIDF,
            baselines.tfidf_logistic_regression(*learned, params.baseline),
        )
    hits = sum(
        int((answer(contents) == np.array(labels, object)).sum())
        for contents, labels in _contents(examples, features.TEST)
    )
    return {**found, name: hits / test.total()}


def _in_memory(examples: Path, split: str, every: int) -> tuple[list[Any], list[str]]:
    """(contents, labels) of every so-many-th row of a split."""
    contents: list[Any] = []
    labels: list[str] = []
    seen = 0
    for block, block_labels in _contents(examples, split):
        first = -seen % every
        seen += len(block)
        contents += block[first::every]
        labels += block_labels[first::every]
    return contents, labels


def _contents(examples: Path, split: str) -> Iterable[tuple[list[Any], list[str]]]:
    """(contents, labels) of some rows after the other.

    A content is a text, a list of tokens or an array [time, dim].
    """
    for row, label in rows(examples, split):
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
        yield contents, [each.decode() for each in label.numpy()]
