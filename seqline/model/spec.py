"""The shape of a network and the settings of its training. Imports nothing heavy."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from seqline.errors import DataError
from seqline.storage import records

SPEC_FILE = "network.json"
SETTINGS_FILE = "settings.json"
POOLINGS = ("last", "mean", "max", "mean_max")
# Fields that are 1 or more. Other numbers are 0 or more.
POSITIVE = ("num_classes", "max_length", "rnn_units", "num_layers")
# No number of a network reaches it.
MOST = 2**53


@dataclass(frozen=True)
class Spec:
    """Everything that decides the network's shape and its behaviour while training.

    The fields about embeddings, words and bigrams matter for ids only. The trainer's parameters of
    the same names say what the others mean.

    Attributes:
        num_tokens: V of the vocabulary; the embedding has V + 2 rows (PAD, V tokens, OOV). 0 for
            numeric sequences.
        masking: False reads padding like text (inputs are then padded to max_length), as a plain
            Keras model without a mask does.
        skip_dim: 0 for no skip branch.
        bigram_buckets: buckets of hashed bigrams; 0 for none.
        num_bigrams: buckets with a row in the skip branch's embedding, after the V + 2 of tokens.
        dim: numbers of a time step; 0 for ids.
        wide: whether the Model has a wide part, see `seqline.model.wide`.
        recurrent: whether it has the network that the other fields describe.
    """

    num_tokens: int
    num_classes: int
    max_length: int
    embedding_dim: int
    rnn_units: int
    bidirectional: bool
    pooling: str
    masking: bool
    recurrent_gain: float
    embedding_scale: float
    word_dropout: float
    dropout: float
    skip_dim: int
    skip_gain: float
    skip_dropout: float
    branch_dropout: float
    seed: int
    num_layers: int = 1
    embedding_dropout: float = 0.0
    recurrent_dropout: float = 0.0
    bigram_buckets: int = 0
    num_bigrams: int = 0
    dim: int = 0
    wide: bool = False
    recurrent: bool = True


def write_spec(spec: Spec, folder: Path) -> None:
    """Writes the network.json of a Model."""
    (folder / SPEC_FILE).write_text(json.dumps(asdict(spec), indent=2) + "\n")


def write_settings(settings: Mapping[str, Any], folder: Path) -> None:
    """Writes the settings.json of a Model: the trainer's parameters, tuned ones in their place."""
    (folder / SETTINGS_FILE).write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")


def read_settings(folder: Path) -> dict[str, Any]:
    """Reads the settings.json of a Model; empty for a Model of an earlier seqline.

    Raises:
        UserError: it is damaged.
    """
    try:
        return records.read_object(folder / SETTINGS_FILE, records.MADE_AGAIN)
    except FileNotFoundError:
        return {}


def read_spec(folder: Path) -> Spec:
    """Reads the network.json of a Model.

    Raises:
        DataError: it cannot be read, or does not hold the shape of a network.
    """
    path = folder / SPEC_FILE
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise _damaged(path, f"it cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise _damaged(path, "it is not JSON") from None

    if not isinstance(content, dict):
        raise _damaged(path, f"it holds {_shown(content)}, not the fields of a network")

    known = {field.name: field for field in fields(Spec)}
    for name in content:
        if name not in known:
            raise _damaged(path, f"no network has a field {_shown(name)}")

    for name, field in known.items():
        if name not in content and field.default is MISSING:
            raise _damaged(path, f"it has no {name}")
        if name in content and not _is_value(name, field.type, content[name]):
            raise _damaged(path, f"{name} is {_shown(content[name])}")
    return Spec(**content)


def _is_value(name: str, kind: Any, value: Any) -> bool:
    """Whether a field may have a value. `kind` is the field's type."""
    if kind is str:
        return value in POOLINGS
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if not isinstance(value, int if kind is int else int | float):
        return False
    # Not isfinite first: an integer may be too large to become a float.
    return (1 if name in POSITIVE else 0) <= value < MOST


def _damaged(path: Path, problem: str) -> DataError:
    return DataError(f"{path} is damaged: {problem}. Copy or train the Model again.")


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
