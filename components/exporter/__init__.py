"""The trained network and the transform graph as one SavedModel: raw rows in, probabilities and label out.

Reads Features (the transform graph and the vocabularies) and Model. Writes saved_model/, which a plain TensorFlow process
or TensorFlow Serving loads from anywhere: no seqline, Keras or TFT there. Signatures, `batch` rows each:
  serving_default     what a row holds -> probabilities: float32 [batch, num_classes], label: string [batch],
                      class_id: int64 [batch]. It is called with
                        text: string [batch], or
                        tokens: string [batch, time], "" behind a row's last token, or
                        sequence: float32 [batch, time, dim] and length: int64 [batch], the time steps of each row; what is
                        behind them is not read
  serving_examples    examples: serialized tf.Examples with `text`, `tokens` (any number) or `sequence` (time * dim numbers, step
                      by step) -> the same
  transform_features  examples: the same tf.Examples, `label` optional -> ids: int64 [batch, time] with PAD behind the row, or
                      values: float32 [batch, time, dim] with zeros behind it; length: int64 [batch]; label: int64 [batch], the
                      class id, -1 for none
"""

from pathlib import Path

from components.base import Component, Figures, Params
from components.features import SAVED_MODEL


class ExporterParams(Params):
    """Nothing to choose."""


def run(*, features: Path, model: Path, params: ExporterParams, output: Path) -> Figures:
    """Builds the serving graph and writes the SavedModel."""
    from components.exporter import serving

    return serving.export(features, model, output / SAVED_MODEL)


def describe(figures: Figures) -> str:
    return f"SavedModel of {figures['num_bytes'] / 1e6:.1f} MB"


EXPORTER = Component(
    name="exporter",
    inputs={"features": "Features", "model": "Model"},
    output="SavedModel",
    params=ExporterParams,
    run=run,
    describe=describe,
    libraries=("tensorflow", "keras", "tensorflow-transform"),
)
