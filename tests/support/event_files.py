"""Event files as TensorBoard itself reads them."""

from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata as hparams
from tensorboard.util import tensor_util

# A training from one step to the next, and the one chart of both splits.
TRAIN_TAGS = {
    "loss/epoch",
    "accuracy/epoch",
    "training/learning_rate",
    "training/gradient_norm",
    "training/examples_per_second",
}
EVAL_TAGS = {"loss/epoch", "accuracy/epoch"}


def read(folder: Path) -> EventAccumulator:
    """What TensorBoard keeps of a folder."""
    return EventAccumulator(str(folder), {"tensors": 0}).Reload()


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Tag -> (step, value) of each point, without other tensors."""
    read_folder, points = read(folder), {}
    for tag in read_folder.Tags()["tensors"]:
        if read_folder.SummaryMetadata(tag).plugin_data.plugin_name == "scalars":
            points[tag] = [
                (event.step, float(tensor_util.make_ndarray(event.tensor_proto)))
                for event in read_folder.Tensors(tag)
            ]
    return points


def settings(folder: Path) -> dict[str, Any]:
    """The settings of a row of the HParams table."""
    tag = hparams.SESSION_START_INFO_TAG
    content = read(folder).SummaryMetadata(tag).plugin_data.content
    info = hparams.parse_session_start_info_plugin_data(content)
    return {
        name: getattr(value, str(value.WhichOneof("kind"))) for name, value in info.hparams.items()
    }


def tensors(folder: Path, tag: str) -> list[Any]:
    """The values of a tag, as arrays."""
    return [tensor_util.make_ndarray(event.tensor_proto) for event in read(folder).Tensors(tag)]
