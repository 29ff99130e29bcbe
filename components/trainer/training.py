"""One training: steps, evaluations and checkpoints, until the last epoch or a signal."""

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from components.trainer import TrainerParams, checkpoint
from components.trainer.checkpoint import TrainingProgress
from components.trainer.counting import Counts
from components.trainer.distributed.share import Share
from components.trainer.distributed.strategy import Team
from components.trainer.input import dataset, shuffled
from components.trainer.loop import Loop
from components.trainer.optimizer import learning_rate
from components.trainer.training_log import TrainingLog
from components.trainer.warm import initialize
from seqline.component import Figures
from seqline.data import features
from seqline.data.transform_summary import read_summary
from seqline.errors import StoppedError, UserError
from seqline.model import network

log = logging.getLogger("seqline.trainer")

# Numbers of the data can do what a high learning rate does.
TOO_LARGE = (
    " If it is not the rate, some numbers of the sequences are too large: see value_range of"
    " example_validator."
)

# The most steps that one call of the compiled training function makes. Signals and checkpoints
# wait for its end.
CALL_STEPS = 50
# How long a call may take, about: a machine that is reclaimed gives 30 seconds' notice, for the
# last call and a checkpoint.
CALL_SECONDS = 1.0
# The least steps of an epoch over numeric sequences, unless a number is given: such data sets are
# small. Over the 270 rows of Japanese Vowels eight epochs of five steps gave a cross-validated
# accuracy of .91 in place of .98 (benchmarks/sequences.py).
SEQUENCE_EPOCH_STEPS = 32


# (number of the epoch, from 1; its figures) after its evaluation.
OnEpoch = Callable[[int, dict[str, float]], None]


class DivergedError(UserError):
    """The loss is no longer a number: these parameters do not train these data."""


class Training:
    """One training: the data, the loop, and how far it got.

    Args:
        source: the Features.
        counts: of their train split.
        work: the folder of checkpoints.
        share: the rows of train that this worker reads; None for all.
    """

    def __init__(
        self,
        source: Path,
        params: TrainerParams,
        spec: network.Spec,
        counts: Counts,
        team: Team,
        work: Path,
        share: Share | None = None,
    ) -> None:
        self.params = params
        self.team = team
        self.work = work
        self.hint = TOO_LARGE if spec.dim else ""
        summary = read_summary(source)
        num_rows = summary["num_rows"]
        pass_steps = math.ceil(num_rows[features.TRAIN] / params.batch_size)
        self.num_passes = passes_per_epoch(params, pass_steps, spec.dim)  # of an epoch
        self.epoch_steps = pass_steps * self.num_passes
        self.num_eval_steps = math.ceil(num_rows[features.EVAL] / params.batch_size)

        self._build(source, spec, counts)
        if team.step is not None:
            self.progress, state, self.best_weights = checkpoint.load(work, team.step)
            self.loop.restore(state)
            log.info("going on from step %d of %d", self.progress.step, self.loop.num_steps)

        shape: dict[str, Any] = {
            "num_classes": spec.num_classes,
            "pad_to": None if spec.masking else spec.max_length,
            "batch_size": params.batch_size,
            "dim": spec.dim,
        }

        if share is not None:
            share.index(features.EVAL)

        passes_done, batches_done = divmod(self.progress.step, pass_steps)
        batches = shuffled(
            source,
            num_rows[features.TRAIN],
            seed=params.seed,
            first_pass=passes_done,
            num_passes=self.num_passes * params.num_epochs,
            first_batch=batches_done,
            is_weighted=summary.get("weighted", False),
            paths=share.paths(features.TRAIN) if share else None,
            **shape,
        )

        self.train = iter(team.distributed(batches))
        # One iterator for all epochs: a new one would read the split again.
        paths = share.paths(features.EVAL) if share else None
        held_out = dataset(source, features.EVAL, num_rows[features.EVAL], paths=paths, **shape)
        self.held_out = iter(team.distributed(held_out.repeat().prefetch(4)))
        self.saved = time.monotonic()
        self.call_steps = 1

    def _build(self, source: Path, spec: network.Spec, counts: Counts) -> None:
        """Makes the network and its loop, and the progress of a training that begins."""
        params = self.params
        with self.team.strategy.scope():
            model = network.build(spec, implementation=params.implementation)
            if spec.bigram_buckets:
                rows = counts.bigram_rows(params.bigram_min_count)
                model.get_layer("bigrams").set_weights([rows])

            started_from: Figures = {}
            if self.team.step is None:
                started_from = initialize(model, spec, source, params)

            class_weights = counts.class_weights() if params.class_weights == "balanced" else None
            num_steps = self.epoch_steps * params.num_epochs
            self.loop = Loop(model, params, num_steps, self.team.strategy, class_weights)

        self.progress = TrainingProgress(started_from=started_from)
        self.best_weights = self.loop.weights()

    def run(self, output: Path, on_epoch: OnEpoch) -> None:
        """Trains until the last epoch, or until `patience` epochs brought nothing better."""
        params = self.params
        training_log = TrainingLog(
            output,
            self.team.is_chief,
            params.profile_steps,
            params.batch_size,
            self.epoch_steps,
            params.num_epochs,
        )
        for epoch in range(1, self.progress.epoch + 1):
            self._report(epoch, training_log, on_epoch)

        try:
            while self.progress.epoch < params.num_epochs and not self._is_patience_over():
                started, seconds_before = time.monotonic(), self.progress.seconds
                self._train_epoch(training_log)
                training_log.before_evaluation(self.progress)
                figures = self._end_epoch()
                self.progress.seconds = seconds_before + time.monotonic() - started
                training_log.epoch_line(self.progress, figures, self._is_patience_over())
                self._save()
                self._report(self.progress.epoch, training_log, on_epoch)
        finally:
            training_log.close()

    def _report(self, epoch: int, training_log: TrainingLog, on_epoch: OnEpoch) -> None:
        figures = {name: values[epoch - 1] for name, values in self.progress.history.items()}
        training_log.after_epoch(epoch, figures)
        on_epoch(epoch, figures)

    def _is_patience_over(self) -> bool:
        return self.progress.epoch - self.progress.best_epoch >= self.params.patience

    def _train_epoch(self, training_log: TrainingLog) -> None:
        """Makes the steps of the epoch that are left."""
        progress = self.progress
        end = (progress.epoch + 1) * self.epoch_steps
        while progress.step < end:
            count = self._next_steps(end)
            training_log.before_steps(progress)
            called = time.monotonic()

            # The sums go in and come out: added up in another grouping they would not be the same
            # to the last bit.
            sums, norm, bad = self.loop.train(
                self.train,
                tf.constant(progress.step, tf.int64),
                tf.constant(count, tf.int64),
                tf.constant(progress.sums, tf.float64),
            )
            self._refuse_bad(int(bad))

            progress.step += count
            progress.sums = sums.numpy().tolist()
            progress.norm = float(norm)
            seconds = time.monotonic() - called
            training_log.after_steps(progress, count, progress.norm, seconds)
            self._stop_if_asked(self._sync(count, seconds))
            if progress.step < end and self._is_checkpoint_due():
                self._save()

    def _end_epoch(self) -> dict[str, float]:
        """Evaluates, and completes the record of the epoch; returns its figures."""
        progress = self.progress
        loss, right, rows = progress.sums
        with self.loop.averaged():
            (val_loss, val_right, val_rows), stop_reason = self._evaluate()
            weights = self.loop.weights()

        # Not before: a checkpoint holds the weights, not their average in their place.
        self._stop_if_asked(stop_reason)

        rate = learning_rate(self.params, tf.constant(progress.step), self.loop.num_steps)
        figures = {
            "loss": loss / rows,
            "accuracy": right / rows,
            "val_loss": val_loss / val_rows,
            "val_accuracy": val_right / val_rows,
            "learning_rate": float(rate),
            "gradient_norm": progress.norm,
        }
        for name, value in figures.items():
            progress.history.setdefault(name, []).append(value)

        progress.epoch += 1
        progress.sums = [0.0, 0.0, 0.0]
        self._keep_best(figures, weights)
        return figures

    def _next_steps(self, end: int) -> int:
        """Steps of the next call: up to the end of the epoch, or the next checkpoint."""
        step, every = self.progress.step, self.params.checkpoint_steps
        num_steps = min(self.call_steps, CALL_STEPS, end - step)
        return min(num_steps, every - step % every) if every else num_steps

    def _sync(self, count: int, seconds: float) -> str:
        """Decides, after a call of `count` steps, how many steps the next one may make.

        Returns:
            Who asked to stop; "" if no one did.
        """
        stop_reason, mean_seconds = self.team.sync_stop(seconds)
        # At most twice as many: the first call is slow because it compiles, and says little.
        in_time = int(count * CALL_SECONDS / max(mean_seconds, 1e-3))
        self.call_steps = max(1, min(CALL_STEPS, 2 * self.call_steps, in_time))
        return stop_reason

    def _stop_if_asked(self, stop_reason: str) -> None:
        if stop_reason:
            self._save()
            step = f"at step {self.progress.step} of {self.loop.num_steps}"
            raise StoppedError(step, stop_reason)

    def _is_checkpoint_due(self) -> bool:
        if time.monotonic() - self.saved >= self.params.checkpoint_seconds:
            return True
        every = self.params.checkpoint_steps
        return bool(every) and self.progress.step % (every or 1) == 0

    def _evaluate(self) -> tuple[list[float], str]:
        """(losses, right answers and rows of the eval split; who asked to stop before its end)."""
        sums = tf.zeros([3], tf.float64)
        step, stop_reason = 0, ""
        while step < self.num_eval_steps and not stop_reason:
            count = min(self.call_steps, self.num_eval_steps - step)
            called = time.monotonic()
            sums = self.loop.evaluate(self.held_out, tf.constant(count, tf.int64), sums)
            step += count
            stop_reason = self._sync(count, time.monotonic() - called)
        return sums.numpy().tolist(), stop_reason

    def _refuse_bad(self, step: int) -> None:
        """Raises DivergedError for a step with a loss that is not finite; -1 if there is none."""
        if step >= 0:
            rate = float(learning_rate(self.params, tf.constant(step), self.loop.num_steps))
            raise DivergedError(
                f"The loss of step {step + 1} (epoch {step // self.epoch_steps + 1}) is not a"
                f" number: training diverged at trainer.learning_rate {self.params.learning_rate}"
                f" ({rate:.3g} at that step). Lower it, or set trainer.clip_norm.{self.hint}"
            )

    def _keep_best(self, figures: dict[str, float], weights: list[np.ndarray]) -> None:
        progress = self.progress
        if not math.isfinite(figures["val_loss"]):
            raise DivergedError(
                f"The loss of epoch {progress.epoch} on the eval split is {figures['val_loss']}:"
                f" training diverged at trainer.learning_rate {self.params.learning_rate}. Lower"
                f" it, or set trainer.clip_norm.{self.hint}"
            )

        score = (figures["val_accuracy"], -figures["val_loss"])
        if score > progress.best:
            progress.best, progress.best_epoch, self.best_weights = score, progress.epoch, weights

    def _save(self) -> None:
        if self.team.is_chief:
            checkpoint.save(self.work, self.progress, self.loop.state(), self.best_weights)
        self.saved = time.monotonic()


def passes_per_epoch(params: TrainerParams, num_steps: int, dim: int) -> int:
    """How often an epoch reads the train split, which takes num_steps.

    See `TrainerParams.min_epoch_steps`.
    """
    wanted = params.min_epoch_steps or (SEQUENCE_EPOCH_STEPS if dim else 1)
    return math.ceil(wanted / num_steps)
