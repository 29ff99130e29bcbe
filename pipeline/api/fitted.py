"""What the scikit-learn estimator fits: the stages up to the trainer, in this process.

The components' own `run` functions work in a temporary folder, one fit at a time: seeds and Keras's
state belong to a process. The report, the exporter's proof of parity and the gates are left to
`seqline.run`, which makes a model for serving; a search over many settings needs none of them.
"""

import io
import logging
import os
import random
import tempfile
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.api.errors import stop_as_usual
from pipeline.config import Config
from seqline.data.features import EVAL, SAVED_MODEL, TEST, TRAIN
from seqline.errors import StoppedError, UserError
from serving.asking import standard_error_kept

if TYPE_CHECKING:
    from pipeline.api.model import Model

# The columns of the rows that are fitted.
CONTENT, LABEL, WEIGHT = "content", "label", "weight"
_fitting = threading.Lock()


@dataclass(frozen=True)
class Fitted:
    """A model that was fitted.

    Attributes:
        saved_model: A zip file of the SavedModel; it answers `serving_default` alone.
        figures: Stage -> its figures.
    """

    saved_model: bytes
    figures: dict[str, dict[str, Any]]


def fit(config: Config, rows: Mapping[str, Sequence[Any]], eval_rows: np.ndarray) -> Fitted:
    """Fits a model to rows.

    Args:
        config: Of example_gen, which reads columns named `CONTENT`, `LABEL` and `WEIGHT`, transform
            and trainer.
        rows: Column -> values. The columns are those of `config.example_gen`.
        eval_rows: Whether a row judges the epochs instead of training, bool [rows]. If no row does,
            all rows do both.

    Raises:
        UserError: The rows or the settings cannot be used.
        KeyboardInterrupt: Ctrl-C, or a notebook's stop button.
    """
    with _fitting, tempfile.TemporaryDirectory(prefix="seqline-fit-") as name, _quiet():
        try:
            return _fit(config, rows, eval_rows, Path(name))
        except StoppedError as error:
            stopped = error
    raise stop_as_usual(stopped, "a fit begins anew")


def _fit(
    config: Config, rows: Mapping[str, Sequence[Any]], eval_rows: np.ndarray, folder: Path
) -> Fitted:
    from components.example_gen import run as run_example_gen
    from components.trainer import run as run_trainer
    from components.transform import run as run_transform

    places = {name: folder / name for name in ("examples", "features", "model", SAVED_MODEL)}
    for place in places.values():
        place.mkdir()

    split_rows = {TRAIN: ~eval_rows, EVAL: eval_rows}
    if not eval_rows.any():
        split_rows = dict.fromkeys(split_rows, ~eval_rows)
    # Example_gen needs all three. Nothing reads test.
    split_rows[TEST] = split_rows[EVAL]
    files = {}
    for split, chosen in split_rows.items():
        files[split] = str(folder / f"{split}.parquet")
        _write(rows, chosen, files[split])

    figures = {}
    params = config.example_gen.model_copy(update={"source": files})
    figures["example_gen"] = run_example_gen(params=params, output=places["examples"])
    figures["transform"] = run_transform(
        examples=places["examples"],
        params=config.transform.with_defaults_from(config.trainer.wide),
        output=places["features"],
    )
    figures["trainer"] = run_trainer(
        features=places["features"], params=config.trainer, output=places["model"]
    )
    _save(places["features"], places["model"], places[SAVED_MODEL])
    return Fitted(_packed(places[SAVED_MODEL]), figures)


def _write(rows: Mapping[str, Sequence[Any]], chosen: np.ndarray, file: str) -> None:
    """Writes a file with some of the rows.

    Raises:
        UserError: The rows are of several types.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    indexes: list[int] = np.flatnonzero(chosen).tolist()
    try:
        table = pa.table(
            {name: [values[index] for index in indexes] for name, values in rows.items()}
        )
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise UserError(f"X holds rows of several types: {error.args[0]}") from None
    pq.write_table(table, file)


def _save(features: Path, model: Path, output: Path) -> None:
    """Writes the serving graph with one signature, as the exporter builds it."""
    import tensorflow as tf

    from components.exporter.serving import load_parts, serving_module

    module, signatures = serving_module(load_parts(features, model, "float32"), features, 1)
    chosen = {"serving_default": signatures["serving_default"]}
    tf.saved_model.save(module, str(output), signatures=chosen)


def _packed(folder: Path) -> bytes:
    """A zip file with the files of a folder."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                # With a time of its own, not the file's: equal models have equal bytes.
                info = zipfile.ZipInfo(path.relative_to(folder).as_posix())
                info.compress_type = zipfile.ZIP_DEFLATED
                packed.writestr(info, path.read_bytes())
    return buffer.getvalue()


def unpack(saved_model: bytes, folder: Path) -> None:
    """Writes the files of a `Fitted.saved_model`."""
    with zipfile.ZipFile(io.BytesIO(saved_model)) as packed:
        packed.extractall(folder)


def load(saved_model: bytes) -> "Model":
    """The model of a `Fitted.saved_model`."""
    from pipeline.api.model import from_folder

    with tempfile.TemporaryDirectory(prefix="seqline-model-") as name:
        unpack(saved_model, Path(name))
        return from_folder(Path(name), "SequenceClassifier")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what the caller has set: random states, and how much TensorFlow prints."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.disable(logging.WARNING)  # Beam warns of each part of Google Cloud that it lacks
    try:
        with standard_error_kept():
            import apache_beam  # noqa: F401  # as for TensorFlow
            import tensorflow  # noqa: F401  # its C++ code prints before any log level counts
            import tensorflow_transform  # noqa: F401  # it imports more of Beam
    finally:
        logging.disable(logging.NOTSET)

    python_state, numpy_state = random.getstate(), np.random.get_state()
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it warns of each fit's new graphs
    try:
        yield
    finally:
        logger.setLevel(level)
        random.setstate(python_state)
        np.random.set_state(numpy_state)
