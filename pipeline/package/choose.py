"""Finds the model to pack: a version by its number or label, the version of a run, or a path."""

import os
from dataclasses import dataclass
from pathlib import Path

from components.pusher import labels, versions
from components.pusher.labels import CANARY, MODELS_CONFIG, STABLE
from pipeline import identity
from pipeline.report import records, reference
from seqline.errors import UserError
from seqline.model import pushed
from seqline.model.digest import MANIFEST, digest_of, sha256, sha256_of_files
from seqline.model.identity import CARD, ModelCard, read_card
from seqline.model.pushed import Manifest
from seqline.storage.files import is_remote
from seqline.storage.staging import local_copy, path_of
from serving.predict import InputError, find_model
from serving.version_numbers import version_number

NAMELESS = "model"


@dataclass(frozen=True)
class Chosen:
    """A model that was found whole.

    Attributes:
        place: Where it is, for messages.
        folder: A local folder with its files.
        name: The model's name.
        version: Its number; None for a SavedModel that is no version.
        digest: The digest of the model.
        files: Relative path -> SHA-256 of every file to pack.
        card: model.json.
    """

    place: str
    folder: Path
    name: str
    version: int | None
    digest: str
    files: dict[str, str]
    card: ModelCard


def choose(wanted: str, serving_dir: str, root: str) -> Chosen:
    """Finds a model and verifies it.

    Args:
        wanted: A version's number or label, a run (see `pipeline.report.reference`), or the path of
            a version, of a folder with versions, or of a SavedModel.
        serving_dir: Where versions are looked for by number and label.
        root: Where runs are looked for.

    Raises:
        UserError: There is no such model, or it was not made by seqline.
        DataError: Its files are not those that were pushed.
    """
    place = str(_place(wanted, serving_dir, root))
    folder = local_copy(path_of(place))
    pushed.check(folder, place)

    path = folder / CARD
    if not path.is_file():
        raise UserError(
            f"{place} cannot be packed: it has no {CARD}, so that another program made it."
            " Name a version that seqline pushed."
        )
    card = read_card(path.read_bytes(), f"{place}/{CARD}")
    if not card.get("labels") or not card.get("libraries", {}).get("tensorflow"):
        raise UserError(
            f"{place} cannot be packed: {CARD} does not say which TensorFlow wrote the model. Run"
            " the configuration again, and pack what it pushes."
        )

    if not (folder / MANIFEST).is_file():
        files = sha256_of_files(folder)
        return Chosen(place, folder, NAMELESS, None, digest_of(files), files, card)

    manifest = Manifest.parse((folder / MANIFEST).read_bytes(), place)
    files = {**manifest.files, **manifest.beside, MANIFEST: sha256(folder / MANIFEST)}
    name = manifest.name or manifest.model_name or NAMELESS
    number = version_number(path_of(place).name)
    return Chosen(place, folder, name, number, manifest.digest, files, card)


def _place(wanted: str, serving_dir: str, root: str) -> str | Path:
    if wanted.isdecimal() or wanted in (STABLE, CANARY):
        return _version(wanted, serving_dir)
    if is_remote(wanted) or os.sep in wanted or os.path.isdir(wanted):
        try:
            return find_model(path_of(wanted))
        except InputError as error:
            raise UserError(str(error).replace("--model ", "")) from None
    return _of_run(wanted, root)


def _version(wanted: str, serving_dir: str) -> str:
    """The path of a version by its number or label."""
    place = versions.place_of(identity.find_versions(serving_dir))
    versions.need_versions(place)
    existing = place.versions()
    if wanted.isdecimal():
        number = int(wanted)
    else:
        by_version = labels.by_version(place.read(MODELS_CONFIG), f"{place.place}/{MODELS_CONFIG}")
        labelled = [
            number
            for number, names in by_version.items()
            if wanted in [label for _, label in names]
        ]
        if not labelled:
            raise UserError(
                f"No version in {place.place} has the label {wanted}. It holds"
                f" {', '.join(map(str, existing))}: name one of them."
            )
        number = max(labelled)

    if number not in existing:
        raise UserError(
            f"{place.place} holds no version {number}. It holds {', '.join(map(str, existing))}."
        )
    return place.path_of(number)


def _of_run(wanted: str, root: str) -> str:
    """The path of the version that a run pushed."""
    try:
        store = reference.store_of(root)
        name = reference.find(store, wanted)
    except UserError as error:
        message = f"{wanted!r} is no version, label or path, and names no run: {error}"
        raise UserError(message) from None
    run = records.read(store, name, files=False)
    figures = run.figures("pusher")
    if not figures.get("version"):
        raise UserError(
            f"The run {run.name} pushed no version (seqline report {run.name} says why). Name a"
            " version, or the path of its SavedModel under"
            f" {os.path.join(root, 'exporter')}."
        )
    place = versions.place_of(str(figures["serving_dir"]))
    if figures["version"] not in place.versions():
        raise UserError(
            f"Version {figures['version']}, which the run {run.name} pushed, is no longer in"
            f" {place.place}. Name another one."
        )
    return place.path_of(figures["version"])
