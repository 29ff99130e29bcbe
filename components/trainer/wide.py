"""Fits the wide part: softmax regression on the n-grams of the whole text.

With W = s V (for each feature and class) and the penalty factors s^2 from `evidence`, it minimises

    sum over the texts of their weight times cross-entropy + |V|^2 / (2 SPREAD)

so that the weights are free where a feature is telling about a class, as the ratios of naive Bayes
say (Wang and Manning, "Baselines and Bigrams", 2012). It is convex: nothing depends on where it
starts. AdaGrad makes a step for a batch of texts, with one rate for each feature, and comes as near
to the minimum as the eval split can tell in five to ten passes. The products of a batch are SciPy's
own compiled loops, in place.

The pool and the cut are judged by the eval split, so a first fit learns from train alone. The one
that is served learns from both: a tenth more of labelled rows, for the features that the cut left.

A checkpoint, wide-<step>.npz in the folder of checkpoints, holds all that changes: a fit that was
killed goes on from it, and ends with the same bytes.
"""

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# SciPy's products for given arrays: its public `@` makes matrices and copies around each.
from scipy.sparse import _sparsetools

from components.trainer import TrainerParams, checkpoint
from components.trainer.wide_batches import Batch, Batches, Texts
from components.trainer.wide_choice import CACHED, TINY, add_by_class, most_telling
from seqline.data import features, ngrams
from seqline.data.ngrams import Table
from seqline.host.progress import tell
from seqline.model.wide import Wide
from seqline.storage.staging import reading, writing

log = logging.getLogger("seqline.trainer")

# Epochs are as many as make this number of rows, between the two bounds.
EPOCH_ROWS = 100_000
FEWEST_EPOCHS, MOST_EPOCHS = 5, 10
# Seconds between two questions whether to stop.
ASK_SECONDS = 1.0
# Of AdaGrad; it falls to 0 over the epochs.
RATE = 1.5
# The penalty of a weight is its square over twice this.
SPREAD = 10.0
# Penalty factor of a feature that tells nothing about a class.
LEAST_EVIDENCE = 0.1
# A step removes no more of a weight, though its penalty be strong.
MOST_DECAY = 0.5
# Bytes of a feature and class while training: a weight and a penalty factor.
WEIGHT_BYTES = 8


@dataclass
class State:
    """All that changes during a fit.

    Attributes:
        step: Batches done, of all epochs.
        weights: W, float32 [F, K]. K is 1 for two classes.
        squares: AdaGrad's sums of squared gradients by feature, float32 [F].
        prior: Scores of a text without features, float32 [K].
        prior_squares: The sum of squared gradients of the prior, float64 [1].
    """

    step: int
    weights: np.ndarray
    squares: np.ndarray
    prior: np.ndarray
    prior_squares: np.ndarray


class Fit:
    """One fit of the wide part to rows of Features.

    Args:
        source: The Features.
        class_weights: float32 [num_classes], factors on the losses of a class's rows.
        work: The folder of checkpoints.
        splits: Those whose rows it learns from.
        kept: Places of the features that it has, ascending; None for as many as params allow.
    """

    def __init__(
        self,
        source: Path,
        params: TrainerParams,
        class_weights: np.ndarray,
        work: Path,
        splits: Sequence[str] = (features.TRAIN,),
        kept: np.ndarray | None = None,
    ) -> None:
        tell("counting n-grams")
        self.table = Table.read(source / ngrams.TABLE)
        self.source = source
        self.params = params
        self.work = work
        num_classes = len(class_weights)
        num_scores = 1 if num_classes == 2 else num_classes

        most = params.wide_megabytes * 2**20 // (WEIGHT_BYTES * num_scores)
        self.kept = kept
        if kept is None and self.table.num_features > most:
            self.kept = most_telling(source, self.table, class_weights, most)

        texts = Texts(source, splits, self.table, self.kept)
        self.batches = Batches(texts, class_weights, params.seed)
        self._count(num_classes)

        num_features = len(self.texts_with)
        self.state = State(
            0,
            np.zeros((num_features, num_scores), np.float32),
            np.full(num_features, 1e-8, np.float32),
            self.prior.copy(),
            np.ones(1),
        )
        if saved := _newest(work, self.state):
            self.state = saved
            log.info("the wide part goes on from step %d of %d", saved.step, self.num_steps)
        self.saved = time.monotonic()

    def _count(self, num_classes: int) -> None:
        """Reads all batches once: what the fit has to know of all rows."""
        num_features = self.table.num_features if self.kept is None else len(self.kept)
        by_class = np.zeros((num_features, num_classes), np.float32)
        self.texts_with = np.zeros(num_features, np.int64)
        self.num_rows = num_batches = 0
        classes = np.zeros(num_classes)
        for batch in self.batches.all():
            self.num_rows += len(batch)
            num_batches += 1
            classes += np.bincount(batch.labels, batch.weights, num_classes)
            self.texts_with[batch.features] += np.diff(batch.starts)
            add_by_class(batch, by_class)

        wanted = EPOCH_ROWS // max(1, self.num_rows)
        self.num_epochs = min(max(wanted, FEWEST_EPOCHS), MOST_EPOCHS)
        self.num_steps = num_batches * self.num_epochs
        self.prior, self.factors = _evidence(by_class, classes)

    def run(self, stop_if_asked: Callable[[], object]) -> Wide:
        """Fits until the last epoch.

        Args:
            stop_if_asked: Called about every second. What it raises ends the fit, after a
                checkpoint.

        Returns:
            The wide part, pooled with nothing.
        """
        state, asked = self.state, time.monotonic()
        num_batches = self.num_steps // self.num_epochs
        for epoch in range(state.step // num_batches, self.num_epochs):
            done = state.step - epoch * num_batches
            for number, batch in enumerate(self.batches.epoch(epoch + 1)):
                if number < done:
                    continue
                self._step(batch)
                state.step += 1
                tell("fitting the wide part", state.step, self.num_steps)
                if time.monotonic() - asked >= ASK_SECONDS:
                    self._stop_if_asked(stop_if_asked)
                    asked = time.monotonic()
            self._save()
            self._stop_if_asked(stop_if_asked)
        return self._wide()

    def _step(self, batch: Batch) -> None:
        """One step of AdaGrad, a few features at a time: their weights stay in the cache."""
        state, num_rows = self.state, len(batch)
        num_scores = len(state.prior)
        size = max(1, CACHED // num_scores)
        parts = [
            slice(first, min(first + size, len(batch.features)))
            for first in range(0, len(batch.features), size)
        ]
        scores = np.tile(state.prior, (num_rows, 1))  # [num_rows, K]
        for part in parts:
            weights = state.weights[batch.features[part]]  # [size, K]
            starts = batch.starts[part.start : part.stop + 1]
            _sparsetools.csc_matvecs(
                *(num_rows, len(weights), num_scores, starts, batch.rows, batch.values),
                *(weights.ravel(), scores.ravel()),
            )

        errors = _errors(scores, batch.labels)
        errors *= batch.weights[:, None]
        rate = np.float32(RATE * (1 - state.step / self.num_steps))
        norms = np.square(errors).sum(axis=1)  # [num_rows]
        state.prior_squares += norms.sum()
        state.prior -= (rate / np.sqrt(state.prior_squares)).astype(np.float32) * errors.sum(axis=0)

        squares = state.squares[batch.features]
        _sparsetools.csr_matvec(
            *(len(squares), num_rows, batch.starts, batch.rows, np.square(batch.values)),
            *(norms, squares),
        )
        state.squares[batch.features] = squares

        # An epoch meets a feature in texts_with texts: each brings its part of the penalty.
        rates = rate / np.sqrt(squares)
        share = (np.diff(batch.starts) / self.texts_with[batch.features]).astype(np.float32)
        kept = 1 - np.minimum(rates * share / np.float32(SPREAD), np.float32(MOST_DECAY))
        for part in parts:
            places = batch.features[part]
            gradient = np.zeros((len(places), num_scores), np.float32)
            starts = batch.starts[part.start : part.stop + 1]
            _sparsetools.csr_matvecs(
                *(len(places), num_rows, num_scores, starts, batch.rows, batch.values),
                *(errors.ravel(), gradient.ravel()),
            )
            gradient *= self.factors[places]
            gradient *= rates[part, None]
            weights = state.weights[places]
            weights *= kept[part, None]
            weights -= gradient
            state.weights[places] = weights

    def _stop_if_asked(self, stop_if_asked: Callable[[], object]) -> None:
        try:
            stop_if_asked()
        except BaseException:
            self._save()
            raise
        if time.monotonic() - self.saved >= self.params.checkpoint_seconds:
            self._save()

    def _save(self) -> None:
        _save(self.work, self.state)
        self.saved = time.monotonic()

    def _wide(self) -> Wide:
        table = self.table
        places = np.arange(table.num_features) if self.kept is None else self.kept
        return wide_of(table, places, self.state.weights, self.state.prior, codes_of(self.source))


def wide_of(
    table: Table, places: np.ndarray, weights: np.ndarray, prior: np.ndarray, codes: np.ndarray
) -> Wide:
    """The wide part with the features at these places of a table, float32 [F, K]."""
    sizes = [len(table.tokens), len(table.sequences), len(table.characters)]
    sequences = places[(places >= sizes[0]) & (places < sum(sizes[:2]))] - sizes[0]
    characters = places[places >= sum(sizes[:2])] - sum(sizes[:2])
    return Wide(
        sizes=np.array(sizes, np.int64),
        orders=table.orders,
        bounded=table.bounded,
        codes=codes,
        features=places.astype(np.int64),
        sequence_keys=table.sequence_keys[sequences],
        character_keys=table.character_keys[characters],
        idf=table.idf()[places],
        weights=weights.ravel(),
        prior=prior,
        pool=np.array([1.0, 0.0]),
    )


def codes_of(source: Path) -> np.ndarray:
    """The codes of the tokens of the vocabulary of Features."""
    content = (source / "vocabularies" / features.TOKENS_VOCABULARY).read_bytes()
    return ngrams.token_codes(content.split(b"\n")[:-1])


def _evidence(by_class: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The prior scores and the penalty factors s^2.

    A factor is |log((observed + 1) / (expected + 1))| + .1 of the texts of the class that hold the
    feature; for two classes, of the difference of these logarithms.

    Args:
        by_class: Weights of the texts with each feature, float32 [F, num_classes]; overwritten.
        classes: Weights of the texts of each class, [num_classes].

    Returns:
        (prior float32 [K], factors float32 [F, K]).
    """
    prior = np.log((classes + 1) / (classes.sum() + len(classes)))
    shares = (classes / max(classes.sum(), TINY)).astype(np.float32)
    size = max(1, CACHED // len(classes))
    for first in range(0, len(by_class), size):
        observed = by_class[first : first + size]
        expected = observed.sum(axis=1, keepdims=True) * shares
        observed += 1
        np.log(observed, out=observed)
        observed -= np.log1p(expected)

    if len(classes) == 2:
        by_class = by_class[:, 1:] - by_class[:, :1]
        prior = prior[1:] - prior[:1]
    np.abs(by_class, out=by_class)
    by_class += np.float32(LEAST_EVIDENCE)
    return prior.astype(np.float32), by_class


def _errors(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Probabilities minus truth, [n, K], in place of the scores."""
    if scores.shape[1] == 1:
        np.clip(scores, -60, 60, out=scores)
        errors = 1 / (1 + np.exp(-scores))
        errors[:, 0] -= labels
        return errors

    scores -= scores.max(axis=1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=1, keepdims=True)
    scores[np.arange(len(labels)), labels] -= 1
    return scores


def _save(work: Path, state: State) -> None:
    """Writes a checkpoint and deletes all others but the one before it."""
    work.mkdir(parents=True, exist_ok=True)
    path = work / f"wide-{state.step:09d}.npz"
    with writing(path) as name, open(name, "wb") as file:
        np.savez(file, **vars(state))
        file.flush()
        os.fsync(file.fileno())
    for old in sorted(work.glob("wide-*.npz"))[: -checkpoint.NUM_KEPT]:
        old.unlink()


def _newest(work: Path, new: State) -> State | None:
    """The newest checkpoint that can be read; None if there is none.

    Args:
        new: A state of the same shapes.
    """
    for path in sorted(work.glob("wide-*.npz"), reverse=True):
        try:
            with (
                reading(path) as local,
                open(local, "rb") as file,
                np.load(file, allow_pickle=False) as arrays,
            ):
                content = {name: arrays[name] for name in vars(new)}
            step = int(content.pop("step"))
            for name, value in content.items():
                expected = getattr(new, name)
                if (value.shape, value.dtype) != (expected.shape, expected.dtype):
                    raise ValueError(f"{name} is {value.dtype} {list(value.shape)}")
            return State(step, **content)
        except checkpoint.UNREADABLE as error:
            log.warning("%s cannot be read (%s): the fit begins earlier", path, error)
    return None
