"""Publishes a blessed SavedModel as the next version under serving_dir.

serving_dir is TensorFlow Serving's base path. It holds the versions of one model; another model
(seqline.model.identity) does not take its place.

Reads SavedModel, Evaluation and InfraBlessing. Writes
  serving_dir/<version>/       by one rename, so that a reader sees a whole version or none; in
                               a bucket saved_model.pb comes last; README.md is its model card
  serving_dir/models.config    with the version's label
  push.json                    the version, its digest, whether it was pushed by this run
"""

import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from components.pusher import publish, versions
from components.pusher.folder import Folder
from components.pusher.labels import MODELS_CONFIG
from seqline.component import Component, Figures, NotInKey, NotInKeyPath, Params
from seqline.data.answers import read_answers
from seqline.data.blessing import InfraBlessing
from seqline.data.evaluation import Evaluation
from seqline.data.features import ANSWERS, EVALUATION, INFRA_BLESSING, SAVED_MODEL
from seqline.digests import digest
from seqline.errors import NotBlessedError, UserError
from seqline.storage import conditions, records

PUSH = "push.json"
# Settings that the model card shows. The name of the data is not among them: it comes from a place.
CARD_TEXTS = ("license", "language", "intended_use", "limitations", "contact", "tags")


@dataclass(frozen=True, kw_only=True)
class Push:
    """push.json; see `publish.push`."""

    version: int
    digest: str
    pushed: bool
    rolled_back: bool


class PusherParams(Params):
    serving_dir: NotInKeyPath = Field(
        "serving_dir/{name}",
        description=(
            "where versions are published, a folder or a bucket; TensorFlow Serving's base path."
            " {name} is the model's name"
        ),
    )
    label: Literal["stable", "canary"] = Field(
        "stable", description="the label in models.config that moves to the pushed version"
    )
    keep_versions: Annotated[int | None, NotInKey] = Field(
        5,
        ge=1,
        description=(
            "how many of the newest versions are kept; older ones are removed unless they"
            " have a label; null: keep all"
        ),
    )
    verify: Annotated[bool, NotInKey] = Field(
        True, description="load the copy and ask it a row before it becomes a version"
    )
    model_name: str | None = Field(
        None, description="the model's name in models.config; null: `name`"
    )
    served_from: str | None = Field(
        None,
        description=(
            "serving_dir as the server sees it, such as /models/{name}; null: the same path"
        ),
    )
    replaces: Annotated[int | None, NotInKey] = Field(
        None,
        ge=1,
        description=(
            "number of a served version that is another model (other labels, content or"
            " name) and that this one may replace; null: none"
        ),
    )

    license: Annotated[str | None, NotInKey] = Field(
        None,
        min_length=1,
        description=(
            "model card: the license of the model, such as apache-2.0 or cc-by-4.0, or the name of"
            " another one; null: the card names none"
        ),
    )
    language: Annotated[tuple[str, ...], NotInKey] = Field(
        (),
        strict=False,
        description='model card: the languages of the texts, as ISO 639 codes, such as ["en"]',
    )
    intended_use: Annotated[str | None, NotInKey] = Field(
        None,
        min_length=1,
        description="model card: what the model is for, and for whom; Markdown; null: not stated",
    )
    limitations: Annotated[str | None, NotInKey] = Field(
        None,
        min_length=1,
        description=(
            "model card: what the model must not be used for, and what its makers know it gets"
            " wrong; Markdown; null: not stated"
        ),
    )
    contact: Annotated[str | None, NotInKey] = Field(
        None, min_length=1, description="model card: who answers questions; null: not stated"
    )
    dataset: Annotated[str | None, NotInKey] = Field(
        None,
        min_length=1,
        description=(
            "model card: the name of the data; null: the last part of example_gen.source, without"
            " folders"
        ),
    )
    tags: Annotated[tuple[str, ...], NotInKey] = Field(
        (), strict=False, description="model card: words by which a hub finds the model"
    )

    @field_validator("language")
    @classmethod
    def _codes(cls, codes: tuple[str, ...]) -> tuple[str, ...]:
        for code in codes:
            if not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", code):
                raise ValueError(f"{code!r} is no code of a language, such as en or pt-BR")
        return codes

    @field_validator("model_name")
    @classmethod
    def _name(cls, name: str | None) -> str | None:
        if name is not None and not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
            raise ValueError(
                "should consist of letters, digits, '_', '-' and '.', as a part of a URL does"
            )
        return name

    def with_name(self, name: str) -> "PusherParams":
        """The params with the model's name filled in.

        It takes the place of {name}, and is the name in models.config if no other is set.
        """
        places = {
            "serving_dir": named(self.serving_dir, name),
            "served_from": named(self.served_from, name),
        }
        return self.model_copy(update={**places, "model_name": self.model_name or name})

    def with_source(self, source: str | Mapping[str, str]) -> "PusherParams":
        """The params with the name of the data for the model card, if they have none of their own.

        Folders and buckets are no part of it: they would tell strangers about this machine.

        Args:
            source: a source, or the source of each split.
        """
        places = [source] if isinstance(source, str) else list(source.values())
        names = dict.fromkeys(place.rstrip("/").rpartition("/")[2] for place in places)
        return self.model_copy(
            update={"dataset": self.dataset or ", ".join(filter(None, names)) or None}
        )

    def card_texts(self) -> str | None:
        """The digest of what a person wrote for the model card; None for nothing."""
        texts = {name: getattr(self, name) for name in CARD_TEXTS}
        return digest(texts) if any(texts.values()) else None


def named(place: str | None, name: str) -> str | None:
    """A place with the model's name instead of {name}."""
    return None if place is None else place.replace("{name}", name)


def check(params: PusherParams) -> None:
    """Checks serving_dir before the run.

    Raises:
        UserError: it cannot be written, it is a symlink or has '..' in it, or a record in it is
            damaged.
    """
    place = versions.place_of(params.serving_dir)
    if not isinstance(place, Folder):
        versions.check_records(place)
        conditions.check(place.place)
        return

    existing = next(path for path in (place.path, *place.path.parents) if path.exists())
    if not existing.is_dir():
        raise UserError(f"pusher.serving_dir {params.serving_dir!r}: {existing} is not a folder.")

    try:
        probe = existing / f".writable-{uuid.uuid4().hex}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"pusher.serving_dir {params.serving_dir!r} cannot be written "
            f"({error.strerror}: {existing}). "
            "Change its permissions, or name another with --set pusher.serving_dir=..."
        ) from None
    versions.check_records(place)


def run(
    *, saved_model: Path, evaluation: Path, infra_blessing: Path, params: PusherParams, output: Path
) -> Figures:
    """Pushes the model, unless the newest version already has its content.

    Returns:
        {version, digest, pushed, rolled_back, serving_dir}; see `publish.push`.

    Raises:
        NotBlessedError: the evaluator or the infra_validator refused the model. serving_dir stays
            as it is.
        OtherModelError: another model is served.
        UserError: serving_dir cannot be written.
    """
    model = saved_model / SAVED_MODEL
    verdict = Evaluation.read(evaluation / EVALUATION)
    _need_blessing(verdict.blessed, verdict.refusals)
    infra = InfraBlessing.read(infra_blessing / INFRA_BLESSING)
    _need_blessing(infra.blessed, infra.refusals)

    from components.pusher import card

    try:
        figures = publish.push(
            model,
            params.serving_dir,
            blessed=infra.digest,
            evaluation=(evaluation / EVALUATION).read_bytes(),
            card=card.write(model, verdict, infra, params).encode(),
            card_texts=params.card_texts(),
            verify=_verification(evaluation) if params.verify else None,
            label=params.label,
            keep_versions=params.keep_versions,
            model_name=params.model_name or versions.MODEL_NAME,
            name=params.model_name,
            replaces=params.replaces,
            served_from=params.served_from,
        )
    except OSError as error:
        raise UserError(
            f"The model was not pushed: {error.filename or params.serving_dir}:"
            f" {error.strerror or error}."
        ) from error

    (output / PUSH).write_text(json.dumps(figures, indent=2) + "\n")
    return {**figures, "serving_dir": versions.place_of(params.serving_dir).place}


def _need_blessing(blessed: bool, refusals: Sequence[str]) -> None:
    if not blessed:
        raise NotBlessedError(
            f"The model is not blessed and was not pushed: {'; '.join(refusals)}."
        )


def _verification(evaluation: Path) -> Callable[[Path], None]:
    """A function that loads the copy and asks it the first row that the evaluator recorded."""

    def verify(folder: Path) -> None:
        from components.pusher import verify as loading

        loading.load_and_ask(folder, read_answers(evaluation / ANSWERS)[0])

    return verify


def stale(output: Path, params: PusherParams) -> str | None:
    """Why an earlier push must be done again; None if it holds.

    It does not hold if its version is no longer the newest, if that is damaged, or if models.config
    is missing. It holds after a rollback from it, which a person asked for.
    """
    try:
        push = records.read(Push, output / PUSH, "")
    except FileNotFoundError:
        return f"{output / PUSH} is missing"
    except UserError as error:
        return str(error).rstrip(" .")

    place = versions.place_of(params.serving_dir)
    newest = max(place.versions(), default=None)
    if newest is None:
        return f"{place.place} holds no version"

    manifest = versions.read_manifest(place, newest)
    if manifest is None or push.digest not in (manifest.digest, manifest.instead_of):
        return f"the newest version in {place.place}, {newest}, is another model"
    if manifest.digest == push.digest and (damage := versions.damage_of(place, newest)):
        return f"the newest version in {place.place}, {newest}, is damaged: {damage}"
    if manifest.digest == push.digest and manifest.card_texts != params.card_texts():
        return f"the model card of {place.place}/{newest} has other texts"
    if place.read(MODELS_CONFIG) is None:
        return f"{place.place} has no {MODELS_CONFIG}"
    return None


def describe(figures: Figures) -> str:
    version = f"{figures['serving_dir']}/{figures['version']}"
    if figures.get("rolled_back"):
        return (
            f"not pushed: {version} is a rollback from this model; seqline rollback --to brings an"
            " earlier version back"
        )
    return version + ("" if figures["pushed"] else " (already there)")


PUSHER = Component(
    name="pusher",
    inputs={
        "saved_model": "SavedModel",
        "evaluation": "Evaluation",
        "infra_blessing": "InfraBlessing",
    },
    output="Push",
    params=PusherParams,
    run=run,
    describe=describe,
    check=check,
    stale=stale,
)
