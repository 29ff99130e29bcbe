"""seqline.load: a model that is loaded once and answers many times."""

import threading
from collections.abc import Iterable
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from seqline.data.features import SAVED_MODEL
from seqline.errors import UserError
from seqline.storage.files import is_remote
from seqline.storage.path import ObjectPath
from seqline.storage.staging import local_copy, path_of
from serving.asking import DEFAULT, AskedModel, WayOut, batches
from serving.errors import InputError
from serving.rows import FLOAT32_MAX, is_unicode

# The places of the model card, in a version and next to an exported model.
CARDS = ("README.md", "assets.extra/README.md", "../README.md")
WAY_OUT = WayOut(
    "Push it again, roll back (seqline rollback), or load another version; unverified=True loads"
    " it as it is.",
    "Load another.",
)
WHAT = {
    "text": "a text",
    "tokens": "a list of tokens, such as ['one', 'two']",
    "sequence": "a list of time steps, such as [[0.1, 0.2], [0.3, 0.4]]",
}
# While TensorFlow loads a model, what it writes to standard error is held back (`serving.asking`).
_loading = threading.Lock()


class Model:
    """A model that answers rows: texts, lists of tokens or sequences of numbers.

    Several threads may ask it at once.

    Attributes:
        place: Where it was loaded from, as it was named.
        labels: Its labels, in the order of the columns of `predict_proba`.
        content: What a row is: "text", "tokens" or "sequence".
        dim: Numbers of a time step of a sequence; 0 for others.
        card: Its model card, a text in Markdown; "" if it has none.
    """

    def __init__(self, place: str, loaded: AskedModel) -> None:
        self.place = place
        self._loaded = loaded
        self._serve = loaded.signatures[DEFAULT]
        self.labels: list[str] = list(loaded.labels)
        self.content: str = loaded.content
        self.dim: int = loaded.dim
        self.card: str = _card(loaded.folder)

    def predict(self, rows: Iterable[Any]) -> list[str]:
        """The likeliest label of each row.

        >>> model.predict(["a good film", "what a bad film"])
        ['pos', 'neg']

        Args:
            rows: Texts; or what else the model reads (`content`): lists of tokens, or sequences
                [time, dim]. A list, a tuple, an array, a pandas Series; any length.

        Raises:
            UserError: A row is none, or it has no class, as its numbers are too large.
        """
        probabilities = self.predict_proba(rows)
        lacking = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
        if lacking.size:
            raise UserError(
                f"Row {lacking[0] + 1} has no class: the model's probabilities for it are not"
                f" finite numbers ({lacking.size} of {len(probabilities)} rows). Its numbers are"
                " too large; leave it out, or scale it as the training data are."
            )
        return [self.labels[index] for index in probabilities.argmax(axis=1)]

    def predict_proba(self, rows: Iterable[Any]) -> np.ndarray:
        """The probability of each label.

        >>> model.predict_proba(["a good film"]).shape
        (1, 2)

        Args:
            rows: As in `predict`.

        Returns:
            float32 [rows, labels], columns in the order of `labels`. NaN in rows whose numbers are
            so large that they have no class.

        Raises:
            UserError: A row is none.
        """
        answers = [np.empty((0, len(self.labels)), np.float32)]
        for batch in batches(_read(rows, self.content, self.dim)):
            answer = self._serve(**self._loaded.request(batch))
            answers.append(answer["probabilities"].numpy())
        return np.concatenate(answers)  # [rows, labels]

    def __repr__(self) -> str:
        labels = ", ".join(self.labels[:5]) + (", ..." if len(self.labels) > 5 else "")
        return (
            f"<Model {self.place}: {WHAT[self.content].partition(',')[0]} -> one of"
            f" {len(self.labels)} labels ({labels})>"
        )


def load(
    place: str | PathLike[str],
    root: str | PathLike[str] | None = None,
    unverified: bool = False,
) -> Model:
    """Loads a model, to be asked many times.

    >>> import seqline
    >>> model = seqline.load(serving_dir)
    >>> model.labels
    ['neg', 'pos']

    Args:
        place: A SavedModel; a version, or a folder of versions (the newest answers), local or under
            gs://, s3:// or az://; or an artifact of the exporter. With `root`, the name of a run
            under it, or "latest".
        root: Where the run is.
        unverified: Load a pushed version even if its files are not those that were pushed.

    Raises:
        UserError: No model is there, several are, or the version is not what was pushed.
    """
    if isinstance(place, ObjectPath):  # of a run in a bucket; it is no PathLike
        place = str(place)
    if not isinstance(place, str | PathLike):
        raise UserError(
            f"place is a {type(place).__name__}; give the path of a model, of a folder with its"
            " versions, or the name of a run and its root."
        )
    if root is not None:
        place = _exported(fspath(place), fspath(root))

    name = fspath(place)
    with _loading:
        try:
            return Model(name, AskedModel(_folder(name), WAY_OUT, unverified))
        except InputError as error:
            raise UserError(_without_flags(str(error))) from None


def from_folder(folder: Path, place: str) -> Model:
    """A model of this process's own making."""
    with _loading:
        return Model(place, AskedModel(folder, WAY_OUT))


def _exported(run: str, root: str) -> str:
    """The place of the model that a run exported."""
    from pipeline.report import records, reference

    store = reference.store_of(root)
    found = records.read(store, reference.find(store, run), files=False)
    if "exporter" not in found.executions:
        raise UserError(
            f"The run {found.name} exported no model, or it was deleted since. Load another run's."
        )
    key = next(stage.key for stage in found.record.stages if stage.component == "exporter")
    return str(store.path("exporter", key))


def _folder(place: str) -> Path:
    """The local folder of the SavedModel that a place names."""
    from serving.predict import find_model

    path = path_of(place)
    if (path / SAVED_MODEL / f"{SAVED_MODEL}.pb").is_file():
        path = path / SAVED_MODEL  # an artifact of the exporter
    elif not is_remote(place) and not path.exists():
        raise InputError(
            f"There is no folder {place!r}. Give the path of a model, or of a folder with its"
            " versions; load(name, root=...) loads the model of a run."
        )
    return local_copy(find_model(path))


def _without_flags(sentence: str) -> str:
    """A sentence for the command line, for a call."""
    return sentence.replace("Name one: --model ", "Load one: ").replace(
        "To ask it: --model ", "To ask it, load "
    )


def _card(folder: Path) -> str:
    for name in CARDS:
        file = Path(folder, name)
        if file.is_file():
            return file.read_text(encoding="utf-8", errors="replace")
    return ""


def _read(rows: Any, content: str, dim: int) -> Iterable[Any]:
    """The rows as the model's signature takes them, one by one.

    Raises:
        UserError: They are a single row, or one of them is none.
    """
    if isinstance(rows, str | bytes):
        raise UserError(
            f"The rows are one text, {_short(rows)}; give a list of rows, such as [text]."
        )
    if isinstance(rows, dict) or not hasattr(rows, "__iter__"):
        raise UserError(f"The rows are a {type(rows).__name__}; give a list of rows.")
    if getattr(rows, "ndim", 1) == 2 and content == "text" and rows.shape[1] == 1:
        rows = np.asarray(rows)[:, 0]  # a column of a table, as a ColumnTransformer gives it
    elif type(rows).__name__ == "DataFrame":
        raise UserError(
            f"The rows are a table with the columns {', '.join(map(str, rows.columns))}; give one"
            " of them, such as table['text']."
        )

    for number, row in enumerate(rows, start=1):
        read = _READERS[content](row, dim)
        if read is None:
            numbers = f" of {dim} finite number(s) each" if content == "sequence" else ""
            raise UserError(
                f"Row {number} is {_short(row)}; this model reads {WHAT[content]}{numbers}."
            )
        yield read


def _text(row: Any, dim: int) -> str | None:
    return str(row) if isinstance(row, str) and is_unicode(row) else None


def _tokens(row: Any, dim: int) -> list[str] | None:
    if isinstance(row, str | bytes) or not hasattr(row, "__iter__"):
        return None
    tokens = list(row)
    return tokens if tokens and all(map(_is_token, tokens)) else None


def _is_token(token: Any) -> bool:
    return isinstance(token, str) and bool(token) and is_unicode(token)


def _sequence(row: Any, dim: int) -> list[list[float]] | None:
    try:
        steps = np.asarray(row, np.float64)
    except (TypeError, ValueError):
        return None
    if steps.ndim == 1 and dim == 1:
        steps = steps[:, None]
    if steps.ndim != 2 or not len(steps) or steps.shape[1] != dim:
        return None
    is_finite = bool((np.abs(steps) <= FLOAT32_MAX).all())  # not where one is NaN
    return steps.tolist() if is_finite else None


# What reads a row of each content; None for what is none.
_READERS = {"text": _text, "tokens": _tokens, "sequence": _sequence}


def _short(row: Any) -> str:
    shown = " ".join(repr(row).split())
    return shown if len(shown) <= 60 else f"{shown[:60]}..."
