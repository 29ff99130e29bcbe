"""What a model is.

Its name, what it reads and what it answers. Whether it may stand in the place of another one.

A new version of a model has its name, reads the same content and shares labels with it; some labels
may be new or gone. Anything else is another model, which is neither compared with the served one
nor put in its place. What is not known of one of them is no difference. Imports nothing heavy.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqline.data import features
from seqline.errors import UserError
from seqline.model.digest import MANIFEST
from seqline.storage.files import is_remote
from seqline.storage.staging import path_of

# The exporter's model card, inside a SavedModel.
CARD = "assets.extra/model.json"
LABELS = "assets/labels"
# Labels that a message names, of each model.
NUM_SHOWN = 5


@dataclass(frozen=True)
class Identity:
    """None for what is not known.

    Versions had no name before, and others' SavedModels have no card.
    """

    name: str | None = None
    content: str | None = None
    labels: tuple[str, ...] | None = None

    def __str__(self) -> str:
        labels = self.labels or ()
        shown = ", ".join(labels[:NUM_SHOWN]) + (
            f", ... {len(labels)} in all" if len(labels) > NUM_SHOWN else ""
        )
        known = [self.content or "", f"labels {shown}" if labels else ""]
        about = "; ".join(each for each in known if each)
        return (repr(self.name) if self.name else "a model without a name") + (
            f" ({about})" if about else ""
        )


class OtherModelError(UserError):
    """A candidate would take the place of another model."""


def differences(candidate: Identity, served: Identity) -> list[str]:
    """Why these are two models; empty for two versions of one."""
    found = []
    if candidate.name and served.name and candidate.name != served.name:
        found.append("they have different names")
    if candidate.content and served.content and candidate.content != served.content:
        found.append(f"one reads {served.content}, the other {candidate.content}")
    if candidate.labels and served.labels and not set(candidate.labels) & set(served.labels):
        found.append("they have no label in common")
    return found


def check(
    candidate: Identity, served: Identity, version: int, place: str, replaces: int | None
) -> None:
    """Raises OtherModelError where the candidate is another model than the version that it would
    follow. replaces: one that it may.
    """
    reasons = differences(candidate, served)
    if not reasons or replaces == version:
        return
    own = f"{place.rpartition('/')[0]}/{{name}}" if is_remote(place) else "serving_dir/{name}"
    raise OtherModelError(
        f"Another model is served: {place}/{version} is {served}, and this one is {candidate}:"
        f" {' and '.join(reasons)}. Nothing was replaced. Give this one a name and a place of its"
        f" own, --set name=... --serving-dir='{own}', or let it replace the other: --set"
        f" pusher.replaces={version}."
    )


def of_version(read: Callable[[str], bytes | None]) -> Identity:
    """The identity that a version, or a SavedModel, gives. read.

    A file's content by its path in there; None where there is none.
    """
    manifest, card = json_object(read(MANIFEST)), json_object(read(CARD))
    labels = card.get("labels")
    if not labels and (content := read(LABELS)):
        labels = content.decode("utf-8", "replace").split("\n")[:-1]
    return Identity(
        _text(manifest.get("name")),
        _text(card.get("content")),
        tuple(labels) if isinstance(labels, list) else None,
    )


def of_folder(folder: str | Path, name: str | None = None) -> Identity:
    """The identity of a version, or of a SavedModel, by its folder, local or under gs://. name.

    Of one that does not say it itself.
    """
    place = path_of(folder)

    def read(path: str) -> bytes | None:
        file = place / path
        return file.read_bytes() if file.is_file() else None

    found = of_version(read)
    return Identity(found.name or name, found.content, found.labels)


def labels_of(num_rows: Sequence[dict[str, dict[str, int]]]) -> tuple[str, ...]:
    """The labels that a model of these spans would have. num_rows.

    Of each span, split -> label -> rows.
    """
    return tuple(
        sorted(
            {
                label
                for each in num_rows
                for label, num in each.get(features.TRAIN, {}).items()
                if num
            }
        )
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def json_object(content: bytes | None) -> dict[str, Any]:
    """The object that a record holds.

    An empty one for a record that is not there, or is no object.
    """
    try:
        found = json.loads(content or b"")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
