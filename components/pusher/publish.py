"""Changes the versions under serving_dir: push, roll back, promote, remove.

It works the same way in a local folder and in a bucket.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from components.pusher.folder import Folder
from components.pusher.labels import CANARY, MODELS_CONFIG, STABLE
from components.pusher.versions import (
    MODEL_NAME,
    Place,
    check_records,
    damage_of,
    identity_of,
    need_manifest,
    need_versions,
    old_versions,
    place_of,
    read_manifest,
    read_served,
)
from components.pusher.writing import (
    errors_of,
    moved_label,
    noted,
    publish_files,
    replacing,
)
from seqline.component import Figures
from seqline.errors import DataError, NotBlessedError, UserError
from seqline.host.clock import now
from seqline.model import identity, pushed
from seqline.model.digest import CARD, EVALUATION, digest_of, sha256_of_files
from seqline.model.pushed import Manifest

log = logging.getLogger("seqline.pusher")


def push(
    model: Path,
    serving_dir: str | Path,
    *,
    blessed: str | None = None,
    evaluation: bytes | None = None,
    card: bytes | None = None,
    card_texts: str | None = None,
    verify: Callable[[Path], None] | None = None,
    label: str = STABLE,
    keep_versions: int | None = None,
    model_name: str = MODEL_NAME,
    served_from: str | None = None,
    name: str | None = None,
    replaces: int | None = None,
) -> Figures:
    """Publishes the files of a model as the next version, with a label.

    Args:
        model: a SavedModel's folder.
        serving_dir: a folder, or a place in a bucket.
        blessed: the digest that the model must have, None for any.
        evaluation: the content of assets.extra/evaluation.json.
        card: the content of README.md, the model card.
        card_texts: the digest of what a person wrote for the model card, None for nothing. The same
            model with other texts is another version.
        verify: is called with the copy before it becomes a version, and raises what is wrong with
            it.
        label: the label that moves to the version.
        keep_versions: how many of the newest versions stay, None for all.
        model_name: the model's name in models.config.
        served_from: serving_dir as the server sees it, None for the same path.
        name: the model's name.
        replaces: the newest version, if it may be another model.

    Returns:
        {version, digest, pushed, rolled_back}. `pushed` is False where the newest version has this
        content already, or is the rollback from it (`rolled_back`): then it stays as it is.

    Raises:
        NotBlessedError: the model is not the one that was blessed.
        OtherModelError: the newest version is another model, and not `replaces`.
        UserError: serving_dir cannot be written, or a record in it is damaged. Nothing is pushed.
    """
    place = place_of(serving_dir)
    served_from = served_from or place.place
    _refuse_overlap(model, place)
    files = sha256_of_files(model)
    digest = digest_of(files)
    if blessed not in (None, digest):
        raise NotBlessedError(
            f"The model was not pushed: {model} is not the one that was validated. Run again."
        )

    with errors_of(place), place.lock():
        check_records(place)
        newest = max(place.versions(), default=None)
        before = read_manifest(place, newest)
        done = _pushed_before(place, newest, before, digest, card_texts)
        if done and not done["rolled_back"]:
            _label(place, label, done["version"], model_name, served_from)
        if done:
            return done

        replaced_name = None
        if newest is not None:
            served = identity_of(place, newest)
            candidate = identity.of_folder(model, name)
            identity.check(candidate, served, newest, place.place, replaces)
            if name and served.name and served.name != name and label == STABLE:
                replaced_name = before.model_name if before else None

        version = _next_number(place)
        about = {"pushed": now("seconds"), "model_name": model_name, "card_texts": card_texts}
        if name:
            about["name"] = name
        added = _known({EVALUATION: evaluation, CARD: card})
        moved = moved_label(place, label, version, model_name, served_from, replaced_name)
        publish_files(place, version, model, files, added, about, verify, moved)
        _remove_old(place, keep_versions)

    return {"version": version, "digest": digest, "pushed": True, "rolled_back": False}


def _pushed_before(
    place: Place,
    newest: int | None,
    before: Manifest | None,
    digest: str,
    card_texts: str | None,
) -> Figures | None:
    """What a push returns if the newest version is this model, or the rollback from it."""
    if newest is None or before is None or digest not in (before.digest, before.instead_of):
        return None

    is_rolled_back = before.digest != digest
    if not is_rolled_back and (damage := damage_of(place, newest)):
        log.warning("%s/%d is damaged: %s. It is pushed again", place.place, newest, damage)
        return None
    if not is_rolled_back and card_texts != before.card_texts:
        log.info("%s/%d has another model card: the model is pushed again", place.place, newest)
        return None
    return {"version": newest, "digest": digest, "pushed": False, "rolled_back": is_rolled_back}


def rollback(
    serving_dir: str | Path, to: int | None = None, by: Mapping[str, Any] | None = None
) -> Figures:
    """Publishes the files of an earlier version again, as the next version and as stable.

    Args:
        serving_dir: a folder, or a place in a bucket.
        to: that version; None for the last one before the newest that has other content.
        by: who asked for it, for the history.

    Returns:
        {version, rollback_of}.

    Raises:
        UserError: no such version exists.
        DataError: its files are not those that were pushed.
    """
    place = place_of(serving_dir)
    need_versions(place)
    with errors_of(place), place.lock():
        versions = place.versions()
        newest = _newest(place, versions[-1])
        if to is None:
            to = _unfinished(place, versions[-1], newest) or _earlier(place, versions, newest)
        if to not in versions:
            raise UserError(
                f"{place.place} holds no version {to}. It holds {', '.join(map(str, versions))}."
            )

        manifest = need_manifest(place, to)
        model_name = manifest.model_name or MODEL_NAME
        event: dict[str, Any] = {"what": "rollback", "rollback_of": to}

        if newest and manifest.digest == newest.digest and not damage_of(place, versions[-1]):
            if to != _unfinished(place, versions[-1], newest):
                raise UserError(
                    f"The newest version in {place.place}, {versions[-1]}, has the content of "
                    f"version {to}: nothing to do."
                )
            # A rollback that was killed between its two renames.
            version = versions[-1]
            moved = moved_label(place, STABLE, version, model_name, None)
            records = {**noted(place, {**event, "version": version}, by), **moved}
            with replacing(place, records):
                pass
            return {"version": version, "rollback_of": to}

        version = _next_number(place)
        about = {
            "pushed": now("seconds"),
            "model_name": model_name,
            "rollback_of": to,
            "instead_of": newest.digest if newest else None,
            "card_texts": manifest.card_texts,
        }
        if manifest.name:
            about["name"] = manifest.name

        replaced_name = newest.model_name if newest else None
        moved = moved_label(place, STABLE, version, model_name, None, replaced_name)
        event = {**event, "version": version, "instead_of": versions[-1]}
        records = {**noted(place, event, by), **moved}

        with place.files(to) as folder:
            if damage := pushed.damage_of(folder):
                raise DataError(
                    f"Version {to} in {place.place} cannot come back: {damage}. "
                    "Name another with --to."
                )
            added = _known({name: place.read(f"{to}/{name}") for name in (EVALUATION, CARD)})
            publish_files(place, version, folder, manifest.files, added, about, None, records)

    return {"version": version, "rollback_of": to}


def _known(files: Mapping[str, bytes | None]) -> dict[str, bytes]:
    """The files that there are."""
    return {name: content for name, content in files.items() if content is not None}


def _newest(place: Place, version: int) -> Manifest | None:
    """The manifest of the newest version. A damaged one is no reason not to roll back from it."""
    try:
        return read_manifest(place, version)
    except UserError as error:
        log.warning("%s", error)
        return None


def _unfinished(place: Place, version: int, newest: Manifest | None) -> int | None:
    """The version that the newest one brought back, if its label has not moved to it yet."""
    if newest is None or newest.rollback_of is None:
        return None
    served = read_served(place, newest.model_name or MODEL_NAME)
    is_stable = served is not None and served.labels.get(STABLE) == version
    return None if is_stable else newest.rollback_of


def _earlier(place: Place, versions: list[int], newest: Manifest | None) -> int:
    """The version to roll back to: the last one before the newest with other content.

    After a rollback it goes on from the version that was rolled back to, so that it does not return
    to the one that was rolled back from. If the newest is damaged, its own content may return.
    """
    is_whole = newest is not None and not damage_of(place, versions[-1])
    before = (newest.rollback_of if newest and is_whole else None) or versions[-1]
    for version in reversed([version for version in versions if version < before]):
        manifest = read_manifest(place, version)
        if manifest and not (is_whole and newest and manifest.digest == newest.digest):
            return version

    raise UserError(
        f"{place.place} holds no earlier version with other content than the newest, "
        f"{versions[-1]}: nothing to roll back to."
    )


def promote(
    serving_dir: str | Path, model_name: str | None = None, by: Mapping[str, Any] | None = None
) -> int:
    """Makes the canary stable.

    Args:
        serving_dir: a folder, or a place in a bucket.
        model_name: the model's name in models.config, None for that of the newest version.
        by: who asked for it, for the history.

    Returns:
        The canary's version.

    Raises:
        UserError: the model has no canary, or there is no such version.
        DataError: the version is not what was pushed.
    """
    place = place_of(serving_dir)
    need_versions(place)
    with errors_of(place), place.lock():
        newest = read_manifest(place, max(place.versions(), default=None))
        name = model_name or (newest.model_name if newest else None) or MODEL_NAME
        served = read_served(place, name)
        version = served.labels.get(CANARY) if served else None
        if version is None:
            raise UserError(
                f"{place.place} has no canary to promote. Push one with --set pusher.label=canary."
            )

        versions = place.versions()
        if version not in versions:
            raise UserError(
                f"{place.place}/{MODELS_CONFIG} gives the label {CANARY} to version {version}, but"
                f" there is no such version: it holds {', '.join(map(str, versions))}."
                " Push one with --set pusher.label=canary."
            )
        if damage := damage_of(place, version):
            raise DataError(
                f"Version {version} in {place.place} was not promoted: {damage}. "
                "Push it again: seqline run with --set pusher.label=canary."
            )

        instead_of = served.labels.get(STABLE) if served else None
        event = {"what": "promote", "version": version, "instead_of": instead_of}
        moved = moved_label(place, STABLE, version, name, None)
        with replacing(place, {**noted(place, event, by), **moved}):
            pass

    return version


def _next_number(place: Place) -> int:
    """The number of the next version. Raises UserError if no server takes it. Needs the lock."""
    version = place.highest_number() + 1
    if version >= 1 << 63:
        raise UserError(
            f"{place.place} holds version {version - 1}, the highest that a server takes. "
            "Rename or remove it, or push to another place: --set pusher.serving_dir=..."
        )
    return version


def _label(place: Place, label: str, version: int, model_name: str, served_from: str) -> None:
    """Moves a label in models.config. Needs the lock."""
    with replacing(place, moved_label(place, label, version, model_name, served_from)):
        pass


def remove_versions(
    serving_dir: str | Path, keep_versions: int, chosen: Collection[int]
) -> list[int]:
    """Removes those of the chosen versions that are still old ones, and returns them."""
    place = place_of(serving_dir)
    with errors_of(place), place.lock():
        removed = [version for version in old_versions(place, keep_versions) if version in chosen]
        for version in removed:
            place.remove(version)
    return removed


def _remove_old(place: Place, keep_versions: int | None) -> None:
    """Removes versions beyond the limit. Needs the lock."""
    if keep_versions is None:
        return
    for version in old_versions(place, keep_versions):
        try:
            place.remove(version)
        except OSError as error:  # the new one is pushed all the same
            reason = error.strerror or error
            log.warning("%s/%d cannot be removed (%s)", place.place, version, reason)
            return
        log.info("removed version %d: the last %d are kept", version, keep_versions)


def _refuse_overlap(model: Path, place: Place) -> None:
    if isinstance(place, Folder):
        source, target = model.resolve(), place.path.resolve()
        if source.is_relative_to(target) or target.is_relative_to(source):
            raise UserError(
                f"pusher.serving_dir {place.place!r} and the model {str(model)!r} lie in one "
                "another. Name another folder."
            )
