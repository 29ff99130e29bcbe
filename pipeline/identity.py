"""Whether a run may push what it will make.

Asked before anything is trained, from the configuration and then from the Examples.
"""

import logging
from pathlib import Path

from components.example_gen import EXAMPLE_GEN
from components.pusher import PUSHER, versions
from pipeline.config import Config
from pipeline.runner.plan import Guard
from seqline.data.examples import read_manifest
from seqline.errors import UserError
from seqline.model import identity
from seqline.model.identity import Identity
from seqline.storage.files import is_remote
from seqline.storage.staging import path_of
from serving import predict

log = logging.getLogger("seqline.identity")


def guard(config: Config) -> Guard:
    """Refuses a run that would push a model over another one.

    At once where name or content tell them apart, else by the labels.
    """

    def check_labels(examples: Path) -> None:
        check(config, identity.labels_of([span.num_rows for span in read_manifest(examples).spans]))

    return Guard(
        of=PUSHER.name, before=lambda: check(config), after=EXAMPLE_GEN.name, judge=check_labels
    )


def check(config: Config, labels: tuple[str, ...] | None = None) -> None:
    """Raises OtherModelError where the served version is another model than this configuration's.
    labels: of train, once they are known.
    """
    params = config.pusher
    place = versions.place_of(params.serving_dir)
    version = max(place.versions(), default=None)
    if version is None and labels is None and (earlier := from_before_names(params.serving_dir)):
        log.warning("%s", earlier)
    if version is not None:
        candidate = Identity(params.model_name, config.example_gen.content, labels)
        identity.check(candidate, _served(place, version), version, place.place, params.replaces)


def from_before_names(serving_dir: str) -> str:
    """What to do where the versions of the default place are still those from before models had
    names; empty elsewhere.
    """
    folder = Path(predict.SERVING_DIR)
    if (
        is_remote(serving_dir)
        or Path(serving_dir).parent != folder
        or not versions.place_of(folder).versions()
    ):
        return ""
    return (
        f"{folder} holds versions from before models had names; this model's place is"
        f" {serving_dir}. If they are its own, move them there (mkdir -p {serving_dir} && mv"
        f" {folder}/[0-9]* {folder}/models.config {serving_dir}), or go on in the old place:"
        f" --serving-dir={folder}"
    )


def what_differs(config: Config) -> list[str]:
    """Why the served version is another model, as far as the configuration alone can tell.

    Nothing where it is not.
    """
    place = versions.place_of(config.pusher.serving_dir)
    version = max(place.versions(), default=None)
    candidate = Identity(config.pusher.model_name, config.example_gen.content)
    return [] if version is None else identity.differences(candidate, _served(place, version))


def find_versions(serving_dir: str) -> str:
    """The folder with the versions of the model that a serving_dir stands for.

    See `serving.predict.find_versions`.
    """
    try:
        found = predict.find_versions(path_of(serving_dir), "--serving-dir")
    except predict.InputError as error:
        raise UserError(str(error)) from None
    return serving_dir if found == path_of(serving_dir) else str(found)


def _served(place: versions.Place, version: int) -> Identity:
    return identity.of_version(lambda path: place.read(f"{version}/{path}"))
