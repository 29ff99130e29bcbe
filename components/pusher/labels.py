"""serving_dir/models.config: TensorFlow Serving's ModelServerConfig, in which labels name versions.

    tensorflow_model_server --model_config_file=.../models.config \\
        --model_config_file_poll_wait_seconds=5 \\
        --allow_version_labels_for_unavailable_models=true

A label can only move to a version that the server has loaded. Until then the server keeps the old
configuration and tries again. So the policy must load a new version before its label moves: it is
`latest`, and has room for one version more than the labels need.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seqline.errors import UserError

MODELS_CONFIG = "models.config"
STABLE, CANARY = "stable", "canary"
# Characters of a parser's complaint that are shown.
MAX_PROBLEM = 200


@dataclass(frozen=True)
class Served:
    """One model of the configuration."""

    name: str
    base_path: str  # serving_dir, as the server sees it
    labels: Mapping[str, int]  # label -> version


def read(config: bytes | None, name: str, place: str) -> Served | None:
    """The entry of a model; None where it has none.

    Args:
        config: the file's content, None where it does not exist.
        name: the model's.
        place: the file, for an error.

    Raises:
        UserError: the file is not a ModelServerConfig.
    """
    for entry in _parse(config, place).model_config_list.config:
        if entry.name == name:
            return Served(entry.name, entry.base_path, dict(entry.version_labels))
    return None


def labelled(config: bytes | None, place: str) -> set[int]:
    """The versions that a label of any model names; see `read`."""
    return set(by_version(config, place))


def by_version(config: bytes | None, place: str) -> dict[int, list[tuple[str, str]]]:
    """Version -> (model, label) of each label that names it; see `read`."""
    named: dict[int, list[tuple[str, str]]] = {}
    for entry in _parse(config, place).model_config_list.config:
        for label, number in sorted(entry.version_labels.items()):
            named.setdefault(number, []).append((entry.name, label))
    return named


def write(
    config: bytes | None,
    served: Served,
    versions: Sequence[int],
    place: str,
    without: str | None = None,
) -> bytes:
    """The configuration with a model's entry added or replaced.

    The entries of other models stay, and so do other fields of this one's entry.

    Args:
        config: the file's content, None where it does not exist.
        served: the entry.
        versions: those that serving_dir holds.
        place: the file, for an error.
        without: the name of another model, whose entry is removed.

    Raises:
        UserError: the file is not a ModelServerConfig.
    """
    from google.protobuf import text_format

    parsed = _parse(config, place)
    for number, other in enumerate(parsed.model_config_list.config):
        if other.name == without != served.name:
            del parsed.model_config_list.config[number]
            break

    entries = [entry for entry in parsed.model_config_list.config if entry.name == served.name]
    entry = entries[0] if entries else parsed.model_config_list.config.add(name=served.name)
    entry.base_path, entry.model_platform = served.base_path, "tensorflow"
    entry.version_labels.clear()
    entry.version_labels.update(served.labels)
    oldest = min(served.labels.values(), default=0)
    entry.model_version_policy.latest.num_versions = (
        sum(version >= oldest for version in versions) + 1
    )
    return text_format.MessageToString(parsed).encode()


def moved(labels: Mapping[str, int], label: str, version: int) -> dict[str, int]:
    """The labels after one was set to a version.

    A canary that is no longer newer than stable loses its label.
    """
    after = {**labels, label: version}
    if after.get(CANARY, 0) <= after.get(STABLE, 0):
        after.pop(CANARY, None)
    return dict(sorted(after.items()))


def _parse(config: bytes | None, place: str):  # type: ignore[no-untyped-def]
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    way_out = "Correct it, or remove it and push again (seqline run), which writes it anew."
    message = model_server_config_pb2.ModelServerConfig()
    try:
        text_format.Parse(config or b"", message)
    except (text_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        problem = " ".join(str(error).split()) or "it is not text"
        raise UserError(
            f"{place} is not a ModelServerConfig of TensorFlow Serving ({problem[:MAX_PROBLEM]}). "
            f"{way_out}"
        ) from None

    # What is left of a file that was cut names no model, and so protects no version.
    if config is not None and not message.model_config_list.config:
        raise UserError(f"{place} is damaged: it names no model. {way_out}")
    return message
