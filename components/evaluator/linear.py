"""Trains the linear baseline on rows of train and eval, and asks it about test.

This process does both. Above a size it reads a sample of the shards, so that its time and its
traffic do not follow the data.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from components.evaluator import EvaluatorParams, baselines
from components.evaluator.rows import BATCH_SIZE, label_counts
from seqline.data import features
from seqline.data.examples import Content, blocks, span_of
from seqline.data.manifest import MANIFEST, content_of, read_manifest
from seqline.host import packages, progress
from seqline.model.served import arguments

log = logging.getLogger("seqline.evaluator")

# The trainer learns from the rows of both; so does the linear model.
LEARNED = (features.TRAIN, features.EVAL)
# From more rows than so many times max_baseline_rows, only the first rows of some shards are read;
# from fewer, all are read, and of train and eval evenly spread ones are used.
SAMPLED_ABOVE = 10
# Shards that a sample comes from, unless so many have too few rows.
NUM_SHARDS = 256


@dataclass(frozen=True)
class Sample:
    """What is read of some splits.

    Attributes:
        paths: The shards.
        num_first: How many of their first rows, for each of them; None for all.
    """

    paths: Sequence[Path]
    num_first: Sequence[int] | None = None


@dataclass
class Rows:
    """Rows in memory, with `weights` only where the Examples have them.

    A content is a text, a list of tokens or an array [time, dim].
    """

    contents: list[Any] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)


def compare(
    examples: Path, params: EvaluatorParams
) -> tuple[dict[str, float], dict[str, int] | None]:
    """The test accuracy of each baseline by its name.

    Returns:
        (name -> accuracy, `linear_sample` of `seqline.data.evaluation.Evaluation`).
    """
    test = label_counts(examples, features.TEST)
    accuracies = {
        baselines.MAJORITY: baselines.majority(label_counts(examples, features.TRAIN), test)
    }
    if params.baseline == "none":
        return accuracies, None
    if not baselines.is_there():
        log.warning(
            "scikit-learn is not installed: no linear baseline. %s",
            packages.command(packages.LINEAR.values()),
        )
        return accuracies, None

    progress.tell("fitting the linear baseline")
    num_train = sum(label_counts(examples, split).total() for split in LEARNED)
    learned = learn(examples, num_train, params.max_baseline_rows)
    name, answer = _fit(learned, params)

    num_right = num_asked = 0
    most_asked = SAMPLED_ABOVE * params.max_baseline_rows
    for batch, truth, _ in _contents(examples, asked(examples, test.total(), most_asked)):
        num_right += int((answer(batch) == np.array(truth, object)).sum())
        num_asked += len(truth)

    numbers = {
        "num_learned": len(learned.labels),
        "num_train": num_train,
        "num_asked": num_asked,
        "num_test": test.total(),
    }
    is_sample = numbers["num_learned"] < num_train or num_asked < test.total()
    return {**accuracies, name: num_right / num_asked}, numbers if is_sample else None


def learn(examples: Path, num_rows: int, most: int) -> Rows:
    """The rows of LEARNED that the linear model learns from: `most` of all `num_rows` at most."""
    if num_rows > SAMPLED_ABOVE * most and (examples / MANIFEST).is_file():
        return _read(examples, sample(examples, LEARNED, num_rows, most), 1)

    paths = [path for split in LEARNED for path in features.shards(examples, split)]
    return _read(examples, Sample(paths), -(-num_rows // most))


def asked(examples: Path, num_rows: int, most: int) -> Sample:
    """The rows of test that the linear model answers: all, or `most` of more."""
    if num_rows > most and (examples / MANIFEST).is_file():
        return sample(examples, (features.TEST,), num_rows, most)
    return Sample(features.shards(examples, features.TEST))


def sample(examples: Path, splits: Sequence[str], num_rows: int, most: int) -> Sample:
    """Chooses `most` of more rows of some splits.

    The shards are spread evenly over the splits and their spans, and the rows are divided among
    them by the sizes of these.

    Args:
        examples: The Examples.
        splits: The splits.
        num_rows: All of their rows.
        most: How many rows are wanted at most.
    """
    paths = [path for split in splits for path in features.shards(examples, split)]
    sizes = _expected_rows(examples, paths)
    # Twice the shards that hold so many rows on average: their sizes differ.
    num = min(len(paths), max(NUM_SHARDS, 2 * most * len(paths) // num_rows))
    chosen = [index * len(paths) // num for index in range(num)]
    total = sum(sizes[index] for index in chosen)
    num_first = [int(most * sizes[index] / total) for index in chosen]
    return Sample([paths[index] for index in chosen], [max(1, rows) for rows in num_first])


def _expected_rows(examples: Path, paths: Sequence[Path]) -> list[float]:
    """The rows that a shard of its span and split has on average, for each shard."""
    held = {
        (span.number, split): sum(labels.values())
        for span in read_manifest(examples).spans
        for split, labels in span.num_rows.items()
    }
    places = [(span_of(path), path.parent.name.removeprefix("Split-")) for path in paths]
    shards: dict[tuple[int, str], int] = {}
    for place in places:
        shards[place] = shards.get(place, 0) + 1
    return [held.get(place, 0) / shards[place] for place in places]


def _read(examples: Path, chosen: Sample, every: int) -> Rows:
    """Every `every`-th of the chosen rows, in memory."""
    read = Rows()
    num_seen = 0
    for contents, labels, weights in _contents(examples, chosen):
        first = -num_seen % every
        num_seen += len(labels)
        read.contents += contents[first::every]
        read.labels += labels[first::every]
        if weights is not None:
            read.weights.extend(weights[first::every].tolist())
    return read


def _fit(learned: Rows, params: EvaluatorParams) -> tuple[str, baselines.Answer]:
    """The name of the linear model for such rows, and the trained model."""
    contents, labels, weights = _weighted(learned)
    if isinstance(contents[0], np.ndarray):
        answer = baselines.statistics_logistic_regression(contents, labels, weights)
        return baselines.STATISTICS, answer

    answer = baselines.tfidf_logistic_regression(contents, labels, params.baseline, weights)
    return baselines.TFIDF, answer


def _weighted(rows: Rows) -> tuple[list[Any], list[str], np.ndarray | None]:
    """The rows that weigh something, and their weights.

    They are all rows, without weights, where those are of one class: the linear models need two.
    """
    if not rows.weights:
        return rows.contents, rows.labels, None

    weights = np.array(rows.weights, np.float32)
    places = np.flatnonzero(weights).tolist()
    if len({rows.labels[place] for place in places}) < 2:
        return rows.contents, rows.labels, None
    return (
        [rows.contents[place] for place in places],
        [rows.labels[place] for place in places],
        weights[places],
    )


def _contents(
    examples: Path, chosen: Sample
) -> Iterator[tuple[list[Any], list[str], np.ndarray | None]]:
    """(contents, labels, weights) of the chosen shards' rows in order, in batches."""
    content, dim = content_of(examples)
    is_weighted = (examples / MANIFEST).is_file() and read_manifest(examples).is_weighted
    num_first: Iterable[int | None] = chosen.num_first or [None] * len(chosen.paths)

    for path, most in zip(chosen.paths, num_first, strict=True):
        left = most
        for block in blocks(path, content, size=BATCH_SIZE, is_weighted=is_weighted):
            contents = _decoded(content, dim, block.content)[:left]
            labels = [label.decode() for label in block.labels[:left]]
            yield contents, labels, block.weights[:left] if is_weighted else None

            if left is not None and (left := left - len(labels)) <= 0:
                break


def _decoded(content: Content, dim: int | None, rows: Any) -> list[Any]:
    """The contents of a block's rows, as `Rows` holds them."""
    row = arguments(content, dim, rows)
    if features.TEXT in row:
        return [text.decode() for text in row[features.TEXT].numpy()]
    if features.TOKENS in row:
        return [
            [token.decode() for token in tokens if token]
            for tokens in row[features.TOKENS].numpy().tolist()
        ]

    pairs = zip(row[features.SEQUENCE].numpy(), row[features.LENGTH].numpy(), strict=True)
    return [sequence[:length] for sequence, length in pairs]
