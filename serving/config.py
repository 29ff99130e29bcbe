"""Which models to serve: by flags, or by TensorFlow Serving's model config file."""

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serving.flags import MODEL_NAME
from serving.predict import SERVING_DIR, find_models, version_folders


class ConfigError(ValueError):
    """A wrong flag or file, in one line for the user."""


@dataclass(frozen=True)
class ModelConfig:
    """A model to serve.

    Attributes:
        name: Its name in paths.
        base_path: The folder with its versions.
        num_versions: How many of the newest versions to serve.
        specific: The versions to serve instead, if there are any.
        labels: Label -> version.
    """

    name: str
    base_path: Path
    num_versions: int = 1
    specific: tuple[int, ...] = ()
    labels: dict[str, int] = field(default_factory=dict)


def check_name(name: str, place: str) -> str:
    """Returns the name. Raises ConfigError if a path cannot hold it."""
    if not name or any(character in name for character in "/:?#%") or not name.isprintable():
        raise ConfigError(
            f"{place}: {name!r} cannot be a model's name in a path; use letters, digits, - and _."
        )
    return name


def models_of(flags: argparse.Namespace) -> list[ModelConfig]:
    """The models that flags name: those of the config file, or those under the base path.

    Raises:
        ConfigError: A flag or the config file is wrong.
    """
    if flags.model_config_file:
        return read(flags.model_config_file)

    name, base_path = flags.model_name, flags.model_base_path
    if name is not None:
        check_name(name, "--model_name")

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
        raise ConfigError(
            f"--model_name {name}: {base_path} holds {', '.join(models)}. Name one of them, or its"
            " folder by --model_base_path."
        )
    return [ModelConfig(name, models.get(name, next(iter(models.values()))))]


def models_still_served(flags: argparse.Namespace, configs: list[ModelConfig]) -> list[ModelConfig]:
    """The models under the base path now, and those whose folder has gone.

    The last version of such a model stays in service.
    """
    present = models_of(flags)
    names = {model.name for model in present}
    gone = [
        model
        for model in configs
        if model.name not in names and model.base_path != flags.model_base_path
    ]
    return present + gone


def read(path: Path) -> list[ModelConfig]:
    """The models of a ModelServerConfig in text format.

    Relative base paths start at the file's folder.

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
        text_format.Parse(path.read_text(encoding="utf-8"), message)
    except OSError as error:
        raise ConfigError(f"--model_config_file {path}: {error.strerror}.") from None
    except (UnicodeDecodeError, text_format.ParseError) as error:
        raise ConfigError(
            f"--model_config_file {path} is not a ModelServerConfig: {error}"
        ) from None

    if message.WhichOneof("config") != "model_config_list":
        raise ConfigError(f"--model_config_file {path} has no model_config_list.")

    configs = [_config(path, given) for given in message.model_config_list.config]
    names = [config.name for config in configs]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"--model_config_file {path}: two models are named {name!r}.")
    return configs


def _config(path: Path, given: Any) -> ModelConfig:
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

    base_path = path.parent / given.base_path
    return ModelConfig(name, base_path, num_versions, specific, dict(given.version_labels))
