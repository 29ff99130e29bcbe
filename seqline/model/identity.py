"""The identity of a model: its name, the content that it reads, and its labels.

A new version of a model has the same name, reads the same content and shares labels with it; some
labels may be new or gone. Anything else is another model: it is neither compared with the served
one nor pushed over it. What is unknown of either is not a difference. Imports nothing heavy.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, FiniteFloat, with_config
from typing_extensions import TypedDict

from seqline.data import features
from seqline.data.examples import Content
from seqline.data.labels import normal
from seqline.errors import UserError
from seqline.model.digest import MANIFEST
from seqline.storage import records
from seqline.storage.files import is_remote
from seqline.storage.records import Count
from seqline.storage.staging import path_of

# The exporter's model card, inside a SavedModel.
CARD = "assets.extra/model.json"
LABELS = "assets/labels"
# The most labels of a model that a message names.
NUM_SHOWN = 5


@dataclass(frozen=True)
class Identity:
    """The known facts about a model. None is unknown.

    Early versions have no name, and SavedModels of other programs have no card.

    Attributes:
        name: Its name.
        content: What a row holds: text, tokens or sequence.
        labels: Its labels in the order of class ids.
    """

    name: str | None = None
    content: str | None = None
    labels: tuple[str, ...] | None = None

    def __str__(self) -> str:
        known = [self.content] if self.content else []
        if self.labels:
            shown = ", ".join(self.labels[:NUM_SHOWN])
            if len(self.labels) > NUM_SHOWN:
                shown += f", ... {len(self.labels)} in all"
            known.append(f"labels {shown}")

        text = repr(self.name) if self.name else "a model without a name"
        return f"{text} ({'; '.join(known)})" if known else text


class Parity(TypedDict):
    """How far another server's answers may differ, in log-odds."""

    tolerance: Annotated[FiniteFloat, Field(gt=0)]


class ReadRows(TypedDict, total=False):
    """The rows that a model was made of.

    Attributes:
        num_read: Rows that were read.
        num_bad: Problem -> rows that could not be used.
        num_left_out: Rows of rare classes that are in no split.
        spans: first, last and count of the spans.
        splits: Split -> num_rows and num_classes.
        classes: Label -> split -> rows, of the classes with the most rows.
    """

    num_read: Count
    num_bad: dict[str, Count]
    num_left_out: Count
    spans: dict[str, int]
    splits: dict[str, dict[str, Count]]
    classes: dict[str, dict[str, Count]]


@with_config(ConfigDict(extra="allow"))
class ModelCard(TypedDict, total=False):
    """The fields of the exporter's model card that are read.

    The tables whose values are Any are shown to people as they are.
    """

    labels: list[str]
    content: Content
    keys: dict[str, str]
    parity: Parity
    sha256: dict[str, str]
    libraries: dict[str, str]
    examples: ReadRows
    data: dict[str, Any]
    network: dict[str, Any]
    exporter: dict[str, Any]
    training: dict[str, Any]
    settings: dict[str, Any]


class OtherModelError(UserError):
    """The push of a model would replace another model."""


def differences(candidate: Identity, served: Identity) -> list[str]:
    """The reasons why these are two models; none for two versions of one model."""
    reasons = []
    if candidate.name and served.name and candidate.name != served.name:
        reasons.append("they have different names")
    if candidate.content and served.content and candidate.content != served.content:
        reasons.append(f"one reads {served.content}, the other {candidate.content}")
    own, theirs = (set(map(normal, labels or ())) for labels in (candidate.labels, served.labels))
    if own and theirs and not own & theirs:
        reasons.append("they have no label in common")
    return reasons


def check(
    candidate: Identity, served: Identity, version: int, place: str, replaces: int | None
) -> None:
    """Checks that a candidate is the same model as the version that it would follow.

    Args:
        candidate: The model to push.
        served: The newest version.
        version: Its number.
        place: The folder with the versions.
        replaces: The number of a version that the candidate may replace in any case.

    Raises:
        OtherModelError: They are two models.
    """
    reasons = differences(candidate, served)
    if not reasons or replaces == version:
        return

    own = f"{place.rpartition('/')[0]}/{{name}}" if is_remote(place) else "serving_dir/{name}"
    raise OtherModelError(
        f"Another model is served: {place}/{version} is {served}, and this one is {candidate}: "
        f"{' and '.join(reasons)}. Nothing was replaced. "
        f"Give this one a name and a place of its own, --set name=... --serving-dir='{own}', "
        f"or let it replace the other: --set pusher.replaces={version}."
    )


def of_version(read: Callable[[str], bytes | None], place: str = "the model") -> Identity:
    """The identity of a version or a SavedModel.

    Args:
        read: Reads a file by its path in the model; None for a file that does not exist.
        place: Its folder, for errors.

    Raises:
        UserError: Its card is damaged.
    """
    manifest, card = json_object(read(MANIFEST)), read_card(read(CARD), f"{place}/{CARD}")

    labels = card.get("labels")
    if not labels and (content := read(LABELS)):
        labels = content.decode("utf-8", "replace").split("\n")[:-1]

    return Identity(
        _text(manifest.get("name")), card.get("content"), None if labels is None else tuple(labels)
    )


def read_card(content: bytes | None, path: str) -> ModelCard:
    """The card of a model, from the content of its file. Empty for a model without.

    Raises:
        UserError: The card is damaged.
    """
    if content is None:
        return ModelCard()
    way_out = _way_out(path.removesuffix(f"/{CARD}"))
    return records.parse(ModelCard, records.parse_object(content, path, way_out), path, way_out)


def of_folder(folder: str | Path, name: str | None = None) -> Identity:
    """The identity of a version or a SavedModel.

    Args:
        folder: Its folder, local or under gs://.
        name: The name of a model that has no name in its own files.
    """
    place = path_of(folder)

    def read(path: str) -> bytes | None:
        file = place / path
        try:
            return file.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise UserError(
                f"{file} cannot be read ({error.strerror or error}). {_way_out(str(folder))}"
            ) from None

    own = of_version(read, str(folder))
    return Identity(own.name or name, own.content, own.labels)


def _way_out(place: str) -> str:
    return f"Remove {place}, and push a model again."


def labels_of(num_rows: Sequence[dict[str, dict[str, int]]]) -> tuple[str, ...]:
    """The labels of a model that is trained on some spans: those that train has a row of.

    Args:
        num_rows: For each span, split -> label -> rows.
    """
    labels: set[str] = set()
    for splits in num_rows:
        train = splits.get(features.TRAIN, {})
        labels |= {label for label, count in train.items() if count}
    return tuple(sorted(labels))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def json_object(content: bytes | None) -> dict[str, Any]:
    """The JSON object of a file; an empty one if the file does not exist or has no object."""
    try:
        value = json.loads(content or b"")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
