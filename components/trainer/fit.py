"""Training from the first step to the last, from wherever an earlier run got to."""

import json
import logging
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.trainer import START_FILE, TrainerParams, checkpoint, external_digest
from components.trainer.checkpoint import Progress
from components.trainer.counting import Counts, count
from components.trainer.distributed import cluster, strategy
from components.trainer.distributed.strategy import Team
from components.trainer.input import dataset, shuffled
from components.trainer.interruption import noted
from components.trainer.loop import Loop
from components.trainer.optimizer import learning_rate
from components.trainer.start import carry_over
from components.trainer.watch import Watch
from seqline.component import Figures
from seqline.data import features
from seqline.digests import digest
from seqline.errors import StoppedError, UserError
from seqline.host.progress import tell
from seqline.model import network
from seqline.storage.staging import local_copy

log = logging.getLogger("seqline.trainer")

# Steps that one call of the compiled training function makes, at most: how often training looks up.
CALL_STEPS = 50
# And how long a call may take, about: a machine that is taken away gives 30 seconds' notice, for
# the last call and a checkpoint.
CALL_SECONDS = 1.0
# Steps of an epoch over numeric sequences, at least, unless given: such sets are small. Over the
# 270 rows of Japanese Vowels eight epochs of five steps gave a cross-validated accuracy of .91 in
# place of .98 (benchmarks/sequences.py).
SEQUENCE_EPOCH_STEPS = 32


# (number of the epoch, from 1; its figures) after its evaluation.
OnEpoch = Callable[[int, dict[str, float]], None]


def fit(
    source: Path,
    params: TrainerParams,
    output: Path,
    work: Path,
    on_epoch: OnEpoch = lambda epoch, figures: None,
) -> Figures:
    """Fits the network, writes it to `output` and returns its figures.

    See `components.trainer.run`.

    on_epoch: called for each epoch, in order, also for those that lie before a checkpoint; what it
    raises ends the training.
    """
    # The same seed gives the same weights, bit for bit, on one kind of device. Not 0: with that,
    # Dataset.shuffle takes no tensor.
    keras.utils.set_random_seed(params.seed + 1)
    tf.config.experimental.enable_op_determinism()
    card = {
        **{f"trainer.{name}": value for name, value in params.key_fields().items()},
        "features": digest(_summary(source)),
    }
    if cluster.read():  # alone, one needs what it starts from for the first step only
        card["what trainer.warm_start and trainer.embeddings hold"] = external_digest(params)
    with (
        noted() as notice,
        strategy.team(
            params.devices,
            params.worker_wait_seconds,
            card,
            lambda: checkpoint.newest(work),
            notice,
        ) as team,
    ):
        tell("counting the train split")
        spec, counts = network_spec(source, params)
        tell("building the network")
        training = Training(source, params, spec, counts, team, work)
        training.run(output, on_epoch)
        progress = training.progress
        history = dict(sorted(progress.history.items()))
        if team.is_chief:
            with team.strategy.scope():
                training.loop.restore_weights(training.best_weights)
            network.save(training.loop.model, spec, output)
            shutil.copytree(local_copy(source / "vocabularies"), output / "vocabularies")
            (output / "history.json").write_text(json.dumps(history, indent=2) + "\n")
            if params.warm_start:
                (output / START_FILE).write_text(
                    json.dumps(progress.started_from["warm_start"], indent=2) + "\n"
                )
    return {
        **progress.started_from,
        "num_parameters": training.loop.model.count_params(),
        "num_epochs": len(history["loss"]),
        "best_epoch": progress.best_epoch,
        "train_accuracy": history["accuracy"][progress.best_epoch - 1],
        "eval_accuracy": history["val_accuracy"][progress.best_epoch - 1],
        "eval_loss": history["val_loss"][progress.best_epoch - 1],
    }


class Training:
    """One run: the data, the loop, and how far it got."""

    def __init__(
        self,
        source: Path,
        params: TrainerParams,
        spec: network.Spec,
        counts: Counts,
        team: Team,
        work: Path,
    ) -> None:
        self.params = params
        self.team = team
        self.work = work
        num_rows = _summary(source)["num_rows"]
        pass_steps = math.ceil(num_rows[features.TRAIN] / params.batch_size)
        self.num_passes = passes_per_epoch(params, pass_steps, spec.dim)  # of an epoch
        self.epoch_steps = pass_steps * self.num_passes
        self.num_eval_steps = math.ceil(num_rows[features.EVAL] / params.batch_size)
        with team.strategy.scope():
            model = network.build(spec, implementation=params.implementation)
            if spec.bigram_buckets:
                model.get_layer("bigrams").set_weights(
                    [counts.bigram_rows(params.bigram_min_count)]
                )
            started_from = carry_over(model, spec, source, params) if team.step is None else {}
            class_weights = counts.class_weights() if params.class_weights == "balanced" else None
            self.loop = Loop(
                model, params, self.epoch_steps * params.num_epochs, team.strategy, class_weights
            )
        self.progress, self.best_weights = Progress(started_from=started_from), self.loop.weights()
        if team.step is not None:
            self.progress, state, self.best_weights = checkpoint.load(work, team.step)
            self.loop.restore(state)
            log.info("going on from step %d of %d", self.progress.step, self.loop.num_steps)
        shape: dict[str, Any] = {
            "num_classes": spec.num_classes,
            "pad_to": None if spec.masking else spec.max_length,
        }
        shape |= {"batch_size": params.batch_size, "dim": spec.dim}
        passes_done, batches_done = divmod(self.progress.step, pass_steps)
        num_passes = self.num_passes * params.num_epochs
        position = {
            "first_pass": passes_done,
            "num_passes": num_passes,
            "first_batch": batches_done,
        }
        self.train = iter(
            team.distributed(
                shuffled(source, num_rows[features.TRAIN], seed=params.seed, **position, **shape)
            )
        )
        self.held_out = team.distributed(
            dataset(source, features.EVAL, num_rows[features.EVAL], **shape)
        )
        self.saved = time.monotonic()
        self.call_steps = 1

    def run(self, output: Path, on_epoch: OnEpoch) -> None:
        """Trains until the last epoch, or until `patience` epochs brought nothing better."""
        params = self.params
        watch = Watch(
            output,
            self.team.is_chief,
            params.profile_steps,
            params.batch_size,
            self.epoch_steps,
            params.num_epochs,
        )
        for epoch in range(1, self.progress.epoch + 1):
            self._tell(epoch, watch, on_epoch)
        try:
            while self.progress.epoch < params.num_epochs and not self._is_patience_over():
                started, before = time.monotonic(), self.progress.seconds
                self._train_epoch(watch)
                watch.before_evaluation(self.progress)
                figures = self._end_epoch()
                self.progress.seconds = before + time.monotonic() - started
                watch.epoch_line(self.progress, figures, self._is_patience_over())
                self._save()
                self._tell(self.progress.epoch, watch, on_epoch)
        finally:
            watch.stop_profile()
            watch.writer.close()

    def _tell(self, epoch: int, watch: Watch, on_epoch: OnEpoch) -> None:
        figures = {name: values[epoch - 1] for name, values in self.progress.history.items()}
        watch.after_epoch(epoch, figures)
        on_epoch(epoch, figures)

    def _is_patience_over(self) -> bool:
        return self.progress.epoch - self.progress.best_epoch >= self.params.patience

    def _train_epoch(self, watch: Watch) -> None:
        """What is left of the steps of an epoch."""
        progress = self.progress
        end = (progress.epoch + 1) * self.epoch_steps
        while progress.step < end:
            count = self._next_steps(end)
            watch.before_steps(progress)
            called = time.monotonic()
            # The sums go in and come out: added up in another grouping they would not be the same
            # to the last bit.
            at = (
                tf.constant(progress.step, tf.int64),
                tf.constant(count, tf.int64),
                tf.constant(progress.sums, tf.float64),
            )
            sums, norm, bad = self.loop.train(self.train, *at)
            self._refuse_bad(int(bad))
            progress.step += count
            progress.sums, progress.norm = sums.numpy().tolist(), float(norm)
            seconds = time.monotonic() - called
            watch.after_steps(progress, count, progress.norm, seconds)
            self._stop_if_asked(self._look_up(count, seconds))
            if progress.step < end and self._is_checkpoint_due():
                self._save()

    def _end_epoch(self) -> dict[str, float]:
        """Evaluates, and closes the epoch's books; returns its figures."""
        progress = self.progress
        loss, right, rows = progress.sums
        with self.loop.averaged():
            (val_loss, val_right, val_rows), asked = self._evaluate()
            weights = self.loop.weights()
        self._stop_if_asked(
            asked
        )  # not before: a checkpoint holds the weights, not their average in their place
        found = {
            "loss": loss / rows,
            "accuracy": right / rows,
            "val_loss": val_loss / val_rows,
            "val_accuracy": val_right / val_rows,
        }
        found["learning_rate"] = float(
            learning_rate(self.params, tf.constant(progress.step), self.loop.num_steps)
        )
        found["gradient_norm"] = progress.norm
        for name, value in found.items():
            progress.history.setdefault(name, []).append(value)
        progress.epoch, progress.sums = progress.epoch + 1, [0.0, 0.0, 0.0]
        self._judge(found, weights)
        return found

    def _next_steps(self, end: int) -> int:
        """Steps of the next call: up to the end of the epoch, or the next checkpoint."""
        step, every = self.progress.step, self.params.checkpoint_steps
        return min(
            self.call_steps, CALL_STEPS, end - step, every - step % every if every else CALL_STEPS
        )

    def _look_up(self, count: int, seconds: float) -> str:
        """After a call of `count` steps.

        How many the next one may make. Returns who asked to stop, "" for nobody.
        """
        by, mean_seconds = self.team.consult(seconds)
        # At most twice as many: the first call is slow because it compiles, and says little.
        self.call_steps = max(
            1,
            min(
                CALL_STEPS, 2 * self.call_steps, int(count * CALL_SECONDS / max(mean_seconds, 1e-3))
            ),
        )
        return by

    def _stop_if_asked(self, by: str) -> None:
        if by:
            self._save()
            raise StoppedError(f"at step {self.progress.step} of {self.loop.num_steps}", by)

    def _is_checkpoint_due(self) -> bool:
        every = self.params.checkpoint_steps
        return time.monotonic() - self.saved >= self.params.checkpoint_seconds or bool(
            every and self.progress.step % every == 0
        )

    def _evaluate(self) -> tuple[list[float], str]:
        """(losses, right answers and rows of the eval split, who asked to stop before its end)."""
        iterator, sums, step, asked = iter(self.held_out), tf.zeros([3], tf.float64), 0, ""
        while step < self.num_eval_steps and not asked:
            count = min(self.call_steps, self.num_eval_steps - step)
            called = time.monotonic()
            sums = self.loop.evaluate(iterator, tf.constant(count, tf.int64), sums)
            step += count
            asked = self._look_up(count, time.monotonic() - called)
        return sums.numpy().tolist(), asked

    def _refuse_bad(self, step: int) -> None:
        if step >= 0:
            rate = float(learning_rate(self.params, tf.constant(step), self.loop.num_steps))
            raise UserError(
                f"The loss of step {step + 1} (epoch {step // self.epoch_steps + 1}) is not a"
                f" number: training diverged at trainer.learning_rate {self.params.learning_rate}"
                f" ({rate:.3g} at that step). Lower it, or set trainer.clip_norm."
            )

    def _judge(self, found: dict[str, float], weights: list[np.ndarray]) -> None:
        progress = self.progress
        if not math.isfinite(found["val_loss"]):
            raise UserError(
                f"The loss of epoch {progress.epoch} on the eval split is {found['val_loss']}:"
                f" training diverged at trainer.learning_rate {self.params.learning_rate}. Lower"
                " it, or set trainer.clip_norm."
            )
        score = (found["val_accuracy"], -found["val_loss"])
        if score > progress.best:
            progress.best, progress.best_epoch, self.best_weights = score, progress.epoch, weights

    def _save(self) -> None:
        if self.team.is_chief:
            checkpoint.save(self.work, self.progress, self.loop.state(), self.best_weights)
        self.saved = time.monotonic()


def network_spec(source: Path, params: TrainerParams) -> tuple[network.Spec, Counts]:
    """The network for a transform's content, vocabularies and max_length, and what was counted for
    it in the train split.
    """
    summary, vocabularies = _summary(source), source / "vocabularies"
    dim = summary.get("dim") or 0
    num_tokens = 0 if dim else _num_lines(vocabularies / features.TOKENS_VOCABULARY)
    num_classes = _num_lines(vocabularies / features.LABELS_VOCABULARY)
    num_buckets = params.bigram_buckets if params.skip_dim and not dim else 0
    counts = count(source, num_classes, num_buckets, num_tokens, dim)
    found: dict[str, Any] = params.model_dump(include=set(network.Spec.__dataclass_fields__))
    found |= {
        "num_tokens": num_tokens,
        "num_classes": num_classes,
        "max_length": summary["max_length"],
        "dim": dim,
    }
    found |= {
        "bigram_buckets": num_buckets,
        "num_bigrams": int(counts.bigram_rows(params.bigram_min_count).max(initial=0)),
    }
    return network.Spec(**found), counts


def _num_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def _summary(source: Path) -> Any:
    return json.loads((source / "transform.json").read_text())


def passes_per_epoch(params: TrainerParams, num_steps: int, dim: int) -> int:
    """How often an epoch goes over the train split, which takes num_steps.

    See `TrainerParams.min_epoch_steps`.
    """
    wanted = params.min_epoch_steps or (SEQUENCE_EPOCH_STEPS if dim else 1)
    return math.ceil(wanted / num_steps)
