"""The log of a training while it runs: lines, TensorBoard scalars, a profile."""

import logging
import time
from pathlib import Path

import tensorflow as tf

from components.trainer.checkpoint import TrainingProgress
from seqline.data import features
from seqline.host import event_files
from seqline.host.progress import tell

log = logging.getLogger("seqline.trainer")

# Seconds between two lines about a long epoch.
LINE_SECONDS = 15.0
# Milliseconds until TensorBoard sees what was written.
FLUSH_MILLIS = 10_000


class TrainingLog:
    """The log of one training. Only the chief's is written.

    Args:
        output: the Model; event files and the profile are written into its tensorboard/, those of
            the two splits into folders of their own, so that TensorBoard draws both in one chart.
        profile_steps: how many steps, about, a profile covers; 0 for no profile.
        batch_size, epoch_steps, num_epochs: of the training.
    """

    def __init__(
        self,
        output: Path,
        is_chief: bool,
        profile_steps: int,
        batch_size: int,
        epoch_steps: int,
        num_epochs: int,
    ) -> None:
        folder = output / event_files.FOLDER
        self.folder = str(folder)
        self.train = _writer(folder / features.TRAIN, is_chief)
        self.eval = _writer(folder / features.EVAL, is_chief)

        self.profile_steps = profile_steps if is_chief else 0
        self.batch_size = batch_size
        self.epoch_steps = epoch_steps
        self.num_epochs = num_epochs
        self.all_steps = epoch_steps * num_epochs
        self.num_calls = 0
        self.num_profiled = 0
        self.is_profiling = False

        # Seconds and steps of all calls but the first one, which compiles.
        self.step_seconds = 0.0
        self.num_timed = 0
        self.evaluation_seconds = 0.0  # of the last evaluation
        self.evaluation_started = time.monotonic()
        self.line_written = time.monotonic()

    def before_steps(self, progress: TrainingProgress) -> None:
        """Comes before a call of the training function."""
        if self.num_calls == 0:
            tell("compiling the network", progress.step, self.all_steps)
        # Not the first call: it compiles.
        if self.profile_steps and self.num_calls > 0 and not self.is_profiling:
            tf.profiler.experimental.start(self.folder)
            self.is_profiling = True
        self.num_calls += 1

    def after_steps(
        self, progress: TrainingProgress, count: int, norm: float, seconds: float
    ) -> None:
        """Comes after a call of the training function.

        Args:
            count: the steps of the call.
            norm: the global norm of its last gradient.
            seconds: how long it took.
        """
        if self.is_profiling:
            self.num_profiled += count
            if self.num_profiled >= self.profile_steps:
                self.stop_profile()

        if self.num_calls > 1:
            self.step_seconds += seconds
            self.num_timed += count

        loss, right, rows = progress.sums
        rate = count * self.batch_size / seconds
        self._tell_epoch(progress, progress.epoch + 1, f"loss {loss / rows:.3f}")

        with self.train.as_default():
            tf.summary.scalar("training/gradient_norm", norm, step=progress.step)
            tf.summary.scalar("training/examples_per_second", rate, step=progress.step)

        if time.monotonic() - self.line_written >= LINE_SECONDS:
            log.info(
                "epoch %d/%d, step %d of %d: loss %.3f, accuracy %.3f, %.0f examples a second, %s"
                " left at most",
                progress.epoch + 1,
                self.num_epochs,
                progress.step - progress.epoch * self.epoch_steps,
                self.epoch_steps,
                loss / rows,
                right / rows,
                rate,
                duration((self.all_steps - progress.step) * seconds / count),
            )
            self.line_written = time.monotonic()

    def _tell_epoch(self, progress: TrainingProgress, epoch: int, note: str = "") -> None:
        left = None
        if self.num_timed:
            left = (self.all_steps - progress.step) * self.step_seconds / self.num_timed
            left += (self.num_epochs - progress.epoch) * self.evaluation_seconds
        message = f"epoch {epoch} of {self.num_epochs}"
        tell(message, progress.step, self.all_steps, note=note, left=left)

    def before_evaluation(self, progress: TrainingProgress) -> None:
        """Comes after the last step of an epoch."""
        self.evaluation_started = time.monotonic()
        self._tell_epoch(progress, progress.epoch + 1, "evaluating")

    def stop_profile(self) -> None:
        """Writes the profile, if one is under way; no other will follow."""
        if self.is_profiling:
            tf.profiler.experimental.stop()
            log.info(
                "a profile of %d steps is in the model's tensorboard/plugins/profile",
                self.num_profiled,
            )
        self.is_profiling, self.profile_steps = False, 0

    def after_epoch(self, epoch: int, figures: dict[str, float]) -> None:
        """Writes the scalars of a finished epoch (from 1), also of one before a checkpoint."""
        for writer, tag, name in (
            (self.train, "loss/epoch", "loss"),
            (self.train, "accuracy/epoch", "accuracy"),
            (self.train, "training/learning_rate", "learning_rate"),
            (self.eval, "loss/epoch", "val_loss"),
            (self.eval, "accuracy/epoch", "val_accuracy"),
        ):
            with writer.as_default():
                tf.summary.scalar(tag, figures[name], step=epoch)
        self.train.flush()
        self.eval.flush()

    def close(self) -> None:
        """Ends the profile and the event files."""
        self.stop_profile()
        self.train.close()
        self.eval.close()

    def epoch_line(
        self, progress: TrainingProgress, figures: dict[str, float], is_last: bool
    ) -> None:
        """Writes the line of an epoch that has just ended."""
        self.evaluation_seconds = time.monotonic() - self.evaluation_started
        note = f"eval accuracy {figures['val_accuracy']:.3f}"
        self._tell_epoch(progress, min(progress.epoch + 1, self.num_epochs), note)

        left = progress.seconds / progress.epoch * (self.num_epochs - progress.epoch)
        log.info(
            "epoch %d/%d: loss %.3f, accuracy %.3f, eval accuracy %.3f%s",
            progress.epoch,
            self.num_epochs,
            figures["loss"],
            figures["accuracy"],
            figures["val_accuracy"],
            "" if is_last or not left else f", {duration(left)} left at most",
        )
        self.line_written = time.monotonic()


def _writer(folder: Path, is_chief: bool) -> tf.summary.SummaryWriter:
    if not is_chief:
        return tf.summary.create_noop_writer()
    return tf.summary.create_file_writer(str(folder), flush_millis=FLUSH_MILLIS)


def duration(seconds: float) -> str:
    """12 s, 3 min, 2.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
