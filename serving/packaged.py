"""The model of a package that `seqline package` wrote: the package has a copy of this module.

The package holds the SavedModel in `model/`, next to this file, and needs TensorFlow alone.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from serving.asking import AskedModel, WayOut, as_line
from serving.errors import InputError

FOLDER = Path(__file__).parent / "model"
INSTALL = "Install the package again."
WAY_OUT = WayOut(INSTALL, INSTALL)


class Model:
    """The packaged model.

    A row is a text; or a list of tokens; or a list of time steps, each a list of numbers; whichever
    the model reads (`content`). Tokens and time steps may be given as their JSON, too.

    Args:
        folder: The SavedModel.

    Raises:
        InputError: Its files are not those that were packed.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self._asked = AskedModel(folder, WAY_OUT)

    @property
    def labels(self) -> list[str]:
        """The labels, in the order of the probabilities."""
        return self._asked.labels

    @property
    def content(self) -> str:
        """What a row holds: text, tokens or sequence."""
        return self._asked.content

    @cached_property
    def card(self) -> str:
        """The model card, in Markdown; "" for a model without one."""
        path = self._asked.folder / "README.md"
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    def predict(self, rows: Sequence[Any]) -> list[str]:
        """The likeliest label of each row; "" for a row that has no class.

        Raises:
            InputError: A row is not what the model reads.
        """
        return [label for labels, _ in self._batches(rows) for label in labels]

    def predict_proba(self, rows: Sequence[Any]) -> Any:
        """The probabilities of each row, float32 [rows, num_classes].

        Raises:
            InputError: A row is not what the model reads.
        """
        import numpy as np

        empty = np.zeros([0, len(self.labels)], np.float32)
        return np.concatenate([empty, *(answers for _, answers in self._batches(rows))])

    def answers(self, texts: Iterable[str]) -> Iterator[dict[str, Any]]:
        """What `python -m` prints of each text, see `serving.asking.AskedModel.answer`."""
        number = 0
        for rows in self._asked.batches(texts):
            labels, probabilities = self._asked.ask(self._asked.request(rows))
            for row, label, of_row in zip(rows, labels, probabilities.tolist(), strict=True):
                number += 1
                yield self._asked.answer(row, number, label, of_row)

    def _batches(self, rows: Sequence[Any]) -> Iterator[tuple[list[str], Any]]:
        if isinstance(rows, str | bytes) or not hasattr(rows, "__iter__"):
            raise InputError(f"Give a list of rows, such as ['a text'], not {rows!r}.")
        texts = (
            _text(row, f"Row {number}", self.content) for number, row in enumerate(rows, start=1)
        )
        for batch in self._asked.batches(texts):
            yield self._asked.ask(self._asked.request(batch))


def _text(row: Any, what: str, content: str) -> str:
    """A row as it is written in a line: itself if it is a text, or else its JSON.

    Raises:
        InputError: It is none of the model's rows.
    """
    if isinstance(row, str):
        return row
    if content == "text" or not hasattr(row, "__iter__"):
        wanted = "text" if content == "text" else "list"
        raise InputError(f"{what} is {row!r}; this model reads a {wanted}.")
    try:
        return json.dumps(row.tolist() if hasattr(row, "tolist") else row)
    except (TypeError, ValueError):
        raise InputError(f"{what}, a {type(row).__name__}, cannot be written as JSON.") from None


@cache
def load() -> Model:
    """The packaged model, loaded once."""
    return Model()


def predict(rows: Sequence[Any]) -> list[str]:
    """The likeliest label of each row, see `Model.predict`."""
    return load().predict(rows)


def predict_proba(rows: Sequence[Any]) -> Any:
    """The probabilities of each row, see `Model.predict_proba`."""
    return load().predict_proba(rows)


def main() -> None:
    """`python -m NAME [TEXT ...]`: one JSON line each.

    Without a TEXT it reads texts from standard input, one a line.
    """
    # Bytes, because a row ends in \n only, and may be anything but UTF-8.
    lines = (line.rstrip(b"\n").decode("utf-8", "surrogateescape") for line in sys.stdin.buffer)
    errors = []
    try:
        for answer in load().answers(sys.argv[1:] or lines):
            print(as_line(answer), flush=True)
            errors += [answer["error"]] if "error" in answer else []
    except InputError as error:
        sys.exit(f"error: {error}")
    if errors:
        sys.exit(f"error: {errors[0]}")
