"""What a person sees of a training while it runs: lines, TensorBoard scalars, a profile."""

import logging
import time
from pathlib import Path

import tensorflow as tf

from components.trainer.checkpoint import Progress
from seqline.host.progress import tell

log = logging.getLogger("seqline.trainer")

# How often a line tells how far a long epoch is.
LINE_SECONDS = 15.0


class Watch:
    """Of one training, in the process that writes: the chief's.

    output: the Model; event files and the profile go into its tensorboard/. profile_steps: steps of
    which a profile is written, about; 0 for none. batch_size, epoch_steps, num_epochs: of the
    training.
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
        self.folder = str(output / "tensorboard")
        self.writer = (
            tf.summary.create_file_writer(self.folder)
            if is_chief
            else tf.summary.create_noop_writer()
        )
        self.profile_steps = profile_steps if is_chief else 0
        self.batch_size = batch_size
        self.epoch_steps = epoch_steps
        self.num_epochs = num_epochs
        self.num_calls = self.num_profiled = 0
        self.is_profiling = False
        self.told = time.monotonic()
        # Of calls behind the first one, which compiles: seconds and steps. And of the last
        # evaluation.
        self.step_seconds, self.num_timed, self.evaluation_seconds = 0.0, 0, 0.0
        self.evaluating = time.monotonic()

    def before_steps(self, progress: Progress) -> None:
        """Before a call of the training function."""
        if self.num_calls == 0:
            tell("compiling the network", progress.step, self.epoch_steps * self.num_epochs)
        # Not the first call: it compiles.
        if self.profile_steps and self.num_calls > 0 and not self.is_profiling:
            tf.profiler.experimental.start(self.folder)
            self.is_profiling = True
        self.num_calls += 1

    def after_steps(self, progress: Progress, count: int, norm: float, seconds: float) -> None:
        """After a call of `count` steps that ended with a gradient of this norm and took this long."""
        if self.is_profiling:
            self.num_profiled += count
            if self.num_profiled >= self.profile_steps:
                self.stop_profile()
        rate = count * self.batch_size / seconds
        if self.num_calls > 1:
            self.step_seconds, self.num_timed = self.step_seconds + seconds, self.num_timed + count
        self._tell_epoch(
            progress, progress.epoch + 1, f"loss {progress.sums[0] / progress.sums[2]:.3f}"
        )
        with self.writer.as_default():
            tf.summary.scalar("gradient_norm", norm, step=progress.step)
            tf.summary.scalar("examples_per_second", rate, step=progress.step)
        if time.monotonic() - self.told >= LINE_SECONDS:
            loss, right, rows = progress.sums
            left = (self.epoch_steps * self.num_epochs - progress.step) * seconds / count
            log.info(
                "epoch %d/%d, step %d of %d: loss %.3f, accuracy %.3f, %.0f examples a second, %s"
                " left at most",
                *(
                    progress.epoch + 1,
                    self.num_epochs,
                    progress.step - progress.epoch * self.epoch_steps,
                    self.epoch_steps,
                ),
                *(loss / rows, right / rows, rate, duration(left)),
            )
            self.told = time.monotonic()

    def _tell_epoch(self, progress: Progress, epoch: int, note: str = "") -> None:
        all_steps = self.epoch_steps * self.num_epochs
        left = None
        if self.num_timed:
            left = (all_steps - progress.step) * self.step_seconds / self.num_timed
            left += (self.num_epochs - progress.epoch) * self.evaluation_seconds
        tell(f"epoch {epoch} of {self.num_epochs}", progress.step, all_steps, note=note, left=left)

    def before_evaluation(self, progress: Progress) -> None:
        """After the last step of an epoch."""
        self.evaluating = time.monotonic()
        self._tell_epoch(progress, progress.epoch + 1, "evaluating")

    def stop_profile(self) -> None:
        """Writes the profile, if one is being made; there will be no other."""
        if self.is_profiling:
            tf.profiler.experimental.stop()
            log.info(
                "a profile of %d steps is in the model's tensorboard/plugins/profile",
                self.num_profiled,
            )
        self.is_profiling, self.profile_steps = False, 0

    def after_epoch(self, epoch: int, figures: dict[str, float]) -> None:
        """The figures of a finished epoch, from 1, also of one before a checkpoint."""
        with self.writer.as_default():
            for name, value in figures.items():
                tf.summary.scalar(name, value, step=epoch)

    def epoch_line(self, progress: Progress, figures: dict[str, float], is_last: bool) -> None:
        """The line of an epoch that has just ended."""
        self.evaluation_seconds = time.monotonic() - self.evaluating
        self._tell_epoch(
            progress,
            min(progress.epoch + 1, self.num_epochs),
            f"eval accuracy {figures['val_accuracy']:.3f}",
        )
        left = progress.seconds / progress.epoch * (self.num_epochs - progress.epoch)
        log.info(
            "epoch %d/%d: loss %.3f, accuracy %.3f, eval accuracy %.3f%s",
            *(
                progress.epoch,
                self.num_epochs,
                figures["loss"],
                figures["accuracy"],
                figures["val_accuracy"],
            ),
            "" if is_last or not left else f", {duration(left)} left at most",
        )
        self.told = time.monotonic()


def duration(seconds: float) -> str:
    """12 s, 3 min, 2.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
