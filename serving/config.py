"""Which models to serve: by flags, or by TensorFlow Serving's model config file."""

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from serving.flags import MODEL_NAME
from serving.mirror import Mirrors
from serving.predict import SERVING_DIR, find_models, version_folders
from serving.remote import RemoteError, Store, check_place, is_remote


class ConfigError(ValueError):
    """A wrong flag or file, in one line for the user."""


@dataclass(frozen=True)
class ModelConfig:
    """A model to serve.

    Attributes:
        name: Its name in paths.
        base_path: The folder with its versions.
        place: What base_path is a copy of, "" for nothing: a place in an object store.
        num_versions: How many of the newest versions to serve.
        specific: The versions to serve instead, if there are any.
        labels: Label -> version.
    """

    name: str
    base_path: Path
    num_versions: int = 1
    specific: tuple[int, ...] = ()
    labels: dict[str, int] = field(default_factory=dict)
    place: str = ""

    def wanted(self, usable: list[int]) -> list[int]:
        """The versions to serve: those that the policy asks for, and those that have a label.

        Args:
            usable: The versions that are there, in any order.
        """
        newest = sorted(usable, reverse=True)
        chosen = newest[: self.num_versions]
        if self.specific:
            chosen = [number for number in newest if number in self.specific]

        labelled = set(self.labels.values())
        return chosen + [number for number in newest if number in labelled and number not in chosen]


def check_name(name: str, place: str) -> str:
    """Returns the name. Raises ConfigError if a path cannot hold it."""
    if not name or any(character in name for character in "/:?#%") or not name.isprintable():
        raise ConfigError(
            f"{place}: {name!r} cannot be a model's name in a path; use letters, digits, - and _."
        )
    return name


def models_of(flags: argparse.Namespace, mirrors: Mirrors | None = None) -> list[ModelConfig]:
    """The models that flags name: those of the config file, or those under the base path.

    Args:
        flags: The flags.
        mirrors: Holds the copies of what is in an object store, of which it may have none yet.

    Raises:
        ConfigError: A flag or the config file is wrong.
    """
    mirrors = mirrors or Mirrors()
    if flags.model_config_file:
        return read(flags.model_config_file, mirrors)

    name = flags.model_name
    if name is not None:
        check_name(name, "--model_name")

    base_path = base_folder(flags, mirrors)
    if base_path == flags.model_base_path:
        return _models_under(base_path, name)

    place = flags.model_base_path.rstrip("/")
    there = mirrors.models(place)
    if name is not None and len(there) > 1 and name not in there:
        raise ConfigError(_name_one(name, place, there))
    return [
        replace(model, place=place if model.base_path == base_path else f"{place}/{model.name}")
        for model in _models_under(base_path, name)
    ]


def base_folder(flags: argparse.Namespace, mirrors: Mirrors) -> Path:
    """The folder that --model_base_path names, or the copy of what it names in a store."""
    if not is_remote(flags.model_base_path):
        return Path(flags.model_base_path)
    try:
        return mirrors.folder(flags.model_base_path, "--model_base_path", flags.model_name)
    except RemoteError as error:
        raise ConfigError(str(error)) from None


def _models_under(base_path: Path, name: str | None) -> list[ModelConfig]:
    models = find_models(base_path)
    holds_versions = bool(version_folders(base_path))
    if not models or (holds_versions and base_path != Path(SERVING_DIR)):
        return [ModelConfig(name or MODEL_NAME, base_path)]
    if holds_versions:  # From before models had names.
        models = {MODEL_NAME: base_path, **models}

    if name is None:
        return [
            ModelConfig(check_name(model, "--model_base_path"), folder)
            for model, folder in models.items()
        ]

    if name not in models and len(models) > 1:
        raise ConfigError(_name_one(name, base_path, models))
    return [ModelConfig(name, models.get(name, next(iter(models.values()))))]


def _name_one(name: str, base_path: Path | str, models: Iterable[str]) -> str:
    return (
        f"--model_name {name}: {base_path} holds {', '.join(models)}. Name one of them, or its"
        " folder by --model_base_path."
    )


def models_still_served(
    flags: argparse.Namespace, configs: list[ModelConfig], mirrors: Mirrors | None = None
) -> list[ModelConfig]:
    """The models under the base path now, and those whose folder has gone.

    The last version of such a model stays in service.
    """
    mirrors = mirrors or Mirrors()
    present = models_of(flags, mirrors)
    base_path = base_folder(flags, mirrors)
    names = {model.name for model in present}
    gone = [model for model in configs if model.name not in names and model.base_path != base_path]
    return present + gone


def read(path: Path | str, mirrors: Mirrors | None = None) -> list[ModelConfig]:
    """The models of a ModelServerConfig in text format.

    Relative base paths start at the file's folder.

    Args:
        path: The file, or a URL of it in an object store.
        mirrors: Holds the copies of what is in an object store.

    Raises:
        ConfigError: The file cannot be read, or says something that cannot be served.
    """
    try:
        from google.protobuf import text_format
        from tensorflow_serving.config import model_server_config_pb2
    except ModuleNotFoundError:
        raise ConfigError(
            "--model_config_file needs the package tensorflow-serving-api: pip install"
            " tensorflow-serving-api"
        ) from None

    message = model_server_config_pb2.ModelServerConfig()
    try:
        text_format.Parse(_content(path).decode("utf-8"), message)
    except RemoteError as error:
        raise ConfigError(str(error)) from None
    except OSError as error:
        raise ConfigError(f"--model_config_file {path}: {error.strerror}.") from None
    except (UnicodeDecodeError, text_format.ParseError) as error:
        raise ConfigError(
            f"--model_config_file {path} is not a ModelServerConfig: {error}"
        ) from None

    if message.WhichOneof("config") != "model_config_list":
        raise ConfigError(f"--model_config_file {path} has no model_config_list.")

    mirrors = mirrors or Mirrors()
    configs = [_config(path, given, mirrors) for given in message.model_config_list.config]
    names = [config.name for config in configs]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"--model_config_file {path}: two models are named {name!r}.")
    return configs


def _content(path: Path | str) -> bytes:
    if not is_remote(path):
        return Path(path).read_bytes()

    folder, _, name = check_place(str(path), "--model_config_file").rpartition("/")
    content = Store(folder).read(name) if is_remote(folder) else None
    if content is None:
        raise RemoteError(f"--model_config_file {path}: there is no such object.")
    return content


def _config(path: Path | str, given: Any, mirrors: Mirrors) -> ModelConfig:
    place = f"--model_config_file {path}"
    name = check_name(given.name, place)
    if not given.base_path:
        raise ConfigError(f"{place}: the model {name!r} has no base_path.")
    if given.model_platform not in ("", "tensorflow"):
        raise ConfigError(
            f"{place}: the model {name!r} has model_platform {given.model_platform!r}; only"
            " tensorflow is served."
        )

    policy = given.model_version_policy
    num_versions = 1
    specific: tuple[int, ...] = ()
    kind = policy.WhichOneof("policy_choice")
    if kind == "latest":
        num_versions = policy.latest.num_versions or 1
    elif kind == "all":
        num_versions = sys.maxsize
    elif kind == "specific":
        specific = tuple(policy.specific.versions)
        if not specific:
            raise ConfigError(
                f"{place}: the model {name!r} has the policy specific without versions."
            )

    base_path, source = _base_path(path, given.base_path), ""
    if is_remote(base_path):
        source = str(base_path)
        try:
            base_path = mirrors.folder(source, f"{place}: the model {name!r} has base_path")
        except RemoteError as error:
            raise ConfigError(str(error)) from None
    return ModelConfig(
        name, Path(base_path), num_versions, specific, dict(given.version_labels), source
    )


def _base_path(path: Path | str, given: str) -> Path | str:
    """A base path as a config file has it, seen from the file."""
    if is_remote(given):
        return given
    if not is_remote(path):
        return Path(path).parent / given
    folder = str(path).rpartition("/")[0]
    return Path(given) if given.startswith("/") else f"{folder}/{given}"
