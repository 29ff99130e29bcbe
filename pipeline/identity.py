"""Checks that a run will not push its model over another model.

It checks before anything is trained, first by the configuration and then by the Examples.
"""

import logging
from pathlib import Path

from components.example_gen import EXAMPLE_GEN
from components.pusher import PUSHER, versions
from pipeline.config import Config
from pipeline.runner.plan import Guard
from seqline.data.manifest import read_manifest
from seqline.errors import UserError
from seqline.model import identity
from seqline.model.identity import Identity
from seqline.storage.files import is_remote
from seqline.storage.staging import path_of
from serving import predict

log = logging.getLogger("seqline.identity")


def guard(config: Config) -> Guard:
    """Refuses a run that would push a model over another one.

    If the name or the content tells them apart, it refuses at once; otherwise it compares the
    labels when the Examples are complete.
    """

    def check_labels(examples: Path) -> None:
        num_rows = [span.num_rows for span in read_manifest(examples).spans]
        check(config, identity.labels_of(num_rows))

    return Guard(
        of=PUSHER.name, after=EXAMPLE_GEN.name, judge=check_labels, before=lambda: check(config)
    )


def check(config: Config, labels: tuple[str, ...] | None = None) -> None:
    """Compares the model that a configuration makes with the served version.

    Args:
        config: The configuration.
        labels: The labels of train, or None as long as they are unknown.

    Raises:
        OtherModelError: They are two models.
    """
    params = config.pusher
    place = versions.place_of(params.serving_dir)
    version = max(place.versions(), default=None)
    if version is None:
        advice = from_before_names(params.serving_dir) if labels is None else ""
        if advice:
            log.warning("%s", advice)
    else:
        candidate = Identity(params.model_name, config.example_gen.content, labels)
        served = versions.identity_of(place, version)
        identity.check(candidate, served, version, place.place, params.replaces)


def from_before_names(serving_dir: str) -> str:
    """Advice on versions in the default place that are older than the names of models.

    It is empty if serving_dir is elsewhere, or has no such versions above it.
    """
    folder = Path(predict.SERVING_DIR)
    if (
        is_remote(serving_dir)
        or Path(serving_dir).parent != folder
        or not versions.place_of(folder).versions()
    ):
        return ""
    return (
        f"{folder} holds versions from before models had names; this model's place is "
        f"{serving_dir}. If they are its own, move them there (mkdir -p {serving_dir} && "
        f"mv {folder}/[0-9]* {folder}/models.config {serving_dir}), or go on in the old place: "
        f"--serving-dir={folder}"
    )


def what_differs(config: Config) -> list[str]:
    """The reasons why the served version is another model, as far as the configuration tells."""
    place = versions.place_of(config.pusher.serving_dir)
    version = max(place.versions(), default=None)
    if version is None:
        return []
    candidate = Identity(config.pusher.model_name, config.example_gen.content)
    return identity.differences(candidate, versions.identity_of(place, version))


def find_versions(serving_dir: str) -> str:
    """The folder with the versions of a model, see `serving.predict.find_versions`."""
    try:
        folder = predict.find_versions(path_of(serving_dir), "--serving-dir")
    except predict.InputError as error:
        raise UserError(str(error)) from None
    return serving_dir if folder == path_of(serving_dir) else str(folder)
