"""Rows on which a converted model is compared with the SavedModel."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline.package.choose import Chosen
from seqline.data import features
from seqline.data.manifest import MANIFEST
from seqline.errors import UserError
from seqline.storage.staging import path_of

# The batches of rows of test that are compared, of 256 rows each.
NUM_BATCHES = 8
WARMUP = "assets.extra/tf_serving_warmup_requests"


@dataclass(frozen=True)
class HeldOut:
    """Rows in batches.

    Attributes:
        batches: The arguments of `serving_default` for each batch.
        origin: Where they are from, as a sentence calls them.
    """

    batches: list[dict[str, Any]]
    origin: str


def held_out(chosen: Chosen, root: str) -> HeldOut:
    """The first rows of test that the model was evaluated on, or else its warm-up requests.

    Raises:
        UserError: The Examples are not under the root, and the model has no warm-up requests.
    """
    key = chosen.card.get("keys", {}).get("examples", "")
    examples = path_of(root) / "example_gen" / key
    if key and (examples / MANIFEST).is_file():
        from components.evaluator.rows import rows

        batches = [arguments for arguments, _ in islice(rows(examples, features.TEST), NUM_BATCHES)]
        return HeldOut(batches, "rows of test")

    batches = list(_warmup(chosen.folder / WARMUP))
    if not batches:
        raise UserError(
            f"{chosen.place} has no warm-up requests to compare answers on, and its Examples are"
            f" not under {root}. Name the root of its run with --root."
        )
    return HeldOut(batches, "rows of the warm-up requests")


def _warmup(path: Path) -> Iterator[dict[str, Any]]:
    """The requests of `serving_default` in a warm-up file."""
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    if not path.is_file():
        return
    for serialized in tf.data.TFRecordDataset(str(path)):
        request = prediction_log_pb2.PredictionLog.FromString(
            serialized.numpy()
        ).predict_log.request
        if request.model_spec.signature_name in ("", "serving_default"):
            yield {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
