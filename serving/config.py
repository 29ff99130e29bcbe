"""Which models to serve: by flags, or by TensorFlow Serving's model config file."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class ConfigError(ValueError):
    """A wrong flag or file: one line for the user."""


@dataclass(frozen=True)
class ModelConfig:
    """num_versions.

    How many of the newest to serve; specific: serve these instead; labels: label -> version.
    """

    name: str
    base_path: Path
    num_versions: int = 1
    specific: tuple[int, ...] = ()
    labels: dict[str, int] = field(default_factory=dict)


def check_name(name: str, place: str) -> str:
    """Raises ConfigError for a name that no path can hold."""
    if not name or any(character in name for character in "/:?#%") or not name.isprintable():
        raise ConfigError(
            f"{place}: {name!r} cannot be a model's name in a path; use letters, digits, - and _."
        )
    return name


def read(path: Path) -> list[ModelConfig]:
    """The models of a ModelServerConfig in text format.

    Relative base paths start where the file is. Raises ConfigError.
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
        raise ConfigError(f"--model_config_file {path} is no ModelServerConfig: {error}") from None
    if message.WhichOneof("config") != "model_config_list":
        raise ConfigError(f"--model_config_file {path}: there is no model_config_list.")
    configs = [_config(path, each) for each in message.model_config_list.config]
    names = [config.name for config in configs]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"--model_config_file {path}: the model {name!r} is there twice.")
    return configs


def _config(path: Path, given: Any) -> ModelConfig:
    place = f"--model_config_file {path}"
    name, base_path = check_name(given.name, place), given.base_path
    if not base_path:
        raise ConfigError(f"{place}: the model {name!r} has no base_path.")
    if given.model_platform not in ("", "tensorflow"):
        raise ConfigError(
            f"{place}: the model {name!r} has model_platform {given.model_platform!r}; only tensorflow is served."
        )
    policy, num_versions, specific = given.model_version_policy, 1, tuple[int, ...]()
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
    return ModelConfig(
        name, path.parent / base_path, num_versions, specific, dict(given.version_labels)
    )
