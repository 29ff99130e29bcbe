"""Event files for TensorBoard. No stage reads them, and no key follows how they are written."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

# The folder of an artifact that has its event files. Its bytes hold times, so it has no digests.
FOLDER = "tensorboard"


def write(folder: Path, series: Iterable[tuple[int, Iterable[Any]]]) -> None:
    """Writes an event file into a local folder, by which TensorBoard names a run.

    Args:
        folder: the folder; it is made.
        series: (step, Summary messages), in the order of the steps.
    """
    import tensorflow as tf

    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default():
        for step, summaries in series:
            for summary in summaries:
                tf.summary.experimental.write_raw_pb(summary.SerializeToString(), step=step)
    writer.close()


def scalars(values: Mapping[str, float | None]) -> list[Any]:
    """A summary for each number; a value of None has none."""
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb

    return [scalar_pb(tag, value) for tag, value in values.items() if value is not None]


def scores(eval_accuracy: float | None, eval_loss: float | None) -> list[Any]:
    """The summaries of what a training ended with: the scores of the weights that it keeps."""
    return scalars({"accuracy/final_eval": eval_accuracy, "loss/final_eval": eval_loss})


def settings(values: Mapping[str, Any]) -> Any:
    """The summary that makes a folder a row of the HParams table.

    The row has the name of the folder; the scalars in and under the folder are its metrics.

    Args:
        values: name -> value. A value that is no number, text or truth value is written as text;
            one of None is left out.
    """
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb

    shown = {}
    for name, value in values.items():
        if value is not None:
            shown[name] = value if isinstance(value, bool | int | float | str) else str(value)
    return hparams_pb(shown, trial_id="")
