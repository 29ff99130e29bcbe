"""A run's configuration as TOML that reproduces it, and the commands that go with a run."""

import json
import math
import os
import platform
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from pydantic_core import to_jsonable_python

from pipeline.config import NULL, Config
from pipeline.report.records import Records
from pipeline.runner.plan import Pipeline
from seqline import __version__

CONFIG = "config.toml"
# A row to ask a model about, by the content of its rows, as a shell takes it.
EXAMPLES = {
    "text": '"Your text"',
    "tokens": '"your tokens"',
    "sequence": "'[[0.1, 0.2], [0.3, 0.4]]'",
}


def example(content: str, dim: int | None = None) -> str:
    """A row to ask a model about, as a shell takes it.

    Args:
        content: What a row holds.
        dim: Numbers of a time step, of sequences.
    """
    if content == "sequence" and dim:
        return f"'{[[0.0] * dim] * 2}'"
    return EXAMPLES.get(content, EXAMPLES["text"])


def about(config: Config, pipe: Pipeline, called: Sequence[str]) -> dict[str, Any]:
    """How a run was started, for its record (`pipeline.runner.Options.about`)."""
    return {
        "command": list(called),
        "folder": os.getcwd(),
        "config": config.model_dump(mode="json"),
        "pipeline": [stage.name for stage in pipe.stages],
        "seqline": __version__,
        "python": platform.python_version(),
    }


def parameters(records: Records) -> list[dict[str, Any]]:
    """The whole configuration, or the parameters of the stages that left a record.

    Returns:
        [{name, value, default}]; default says whether the value is the default.
    """
    rows = []
    for section, values in configuration(records).items():
        defaults = _defaults(section, name_of(records))
        for name, value in values.items():
            is_default = defaults.get(name, ...) == value
            rows.append({"name": f"{section}.{name}", "value": value, "default": is_default})
    return rows


def configuration(records: Records) -> dict[str, dict[str, Any]]:
    """section -> field -> value, as recorded, or put together from the stages' parameters.

    Names that `Config` does not have (any more) are left out.
    """
    sections = records.record.about.get("config")
    if not isinstance(sections, dict):
        sections = {name: execution.params for name, execution in records.executions.items()}

    known: dict[str, dict[str, Any]] = {}
    for section, values in sections.items():
        if isinstance(values, dict):
            fields = _fields(section)
            known[section] = {name: value for name, value in values.items() if name in fields}

    return {section: values for section, values in known.items() if values}


def _fields(section: str) -> dict[str, Any]:
    info = Config.model_fields.get(section)
    return getattr(info.annotation, "model_fields", {}) if info else {}


def name_of(records: Records) -> str:
    """The model's name; "" in a record from before models had names."""
    if records.record.name:
        return records.record.name
    recorded = records.record.about.get("config")
    return str(recorded.get("name") or "") if isinstance(recorded, dict) else ""


@cache
def _defaults(section: str, model: str) -> dict[str, Any]:
    """field -> its default as a JSON value.

    example_gen has no default as a whole, because some of its fields are required. Its other
    fields have defaults.
    """
    info = Config.model_fields[section]
    if info.is_required():
        return {
            name: to_jsonable_python(field.default)
            for name, field in _fields(section).items()
            if not field.is_required()
        }

    default = info.default
    if model and hasattr(default, "with_name"):
        default = default.with_name(model)

    values: dict[str, Any] = default.model_dump(mode="json")
    return values


def config_toml(records: Records, root: str) -> str | None:
    """A file for `seqline run` with every value written out, so that no later default changes it.

    TOML has no null: null is written as the string "null", which a configuration reads as None.

    Returns:
        The file's content; None if no stage left a record.
    """
    sections = configuration(records)
    if "example_gen" not in sections:
        return None

    lines = [f"# The configuration of the run {records.name}."]
    if name := name_of(records):  # otherwise the file's name would become the model's
        lines.append(f"name = {_toml(name)}")
    lines.append(f"root = {_toml(root)}")

    for section, values in sections.items():
        lines += [
            "",
            f"[{section}]",
            *(f"{_key(name)} = {_toml(value)}" for name, value in values.items()),
        ]

    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    is_bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if is_bare else _toml(name)


def _toml(value: Any) -> str:
    if value is None:
        return _toml(NULL)
    if isinstance(value, Mapping):
        pairs = [f"{_key(key)} = {_toml(item)}" for key, item in value.items() if item is not None]
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    # A JSON string is a TOML string, except for one control character that JSON does not escape.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def commands(records: Records, root: str) -> dict[str, str | None]:
    """The commands that go with a run.

    Returns:
        {called, folder, reproduce, rollback, ask, show}: the command that was called and the folder
        that it was called in, and four commands; None for one that does not apply.
    """
    called = records.record.about.get("command")
    pushed = records.figures("pusher")
    serving_dir = pushed.get("serving_dir")
    served = (records.figures("evaluator").get("served") or {}).get("version")

    return {
        "called": shlex.join(called) if called else None,
        "folder": records.record.about.get("folder"),
        "reproduce": _reproduce(records, root),
        "rollback": rollback(serving_dir, served) if serving_dir and pushed.get("pushed") else None,
        "ask": ask(records, serving_dir) if serving_dir else None,
        "show": f"seqline show --root {shlex.quote(root)} {records.name}",
    }


def _reproduce(records: Records, root: str) -> str | None:
    if config_toml(records, root) is None:
        return None
    place = shlex.quote(f"{root}/runs/{records.name}/{CONFIG}")
    if "://" in root:  # `seqline run` reads a local file
        return f"gcloud storage cp {place} {CONFIG} && seqline run {CONFIG}"
    return f"seqline run {place}"


def ask(records: Records, place: str) -> str | None:
    """The command that asks a model; None for a model in a bucket."""
    content = records.params("example_gen").get("content", "text")
    row = example(content, records.figures("transform").get("dim"))
    return None if "://" in place else f"seqline predict --model {shlex.quote(place)} {row}"


def rollback(serving_dir: str, version: int | None) -> str | None:
    """The command that publishes a version again; None if nothing was served before."""
    if version is None:
        return None
    return f"seqline rollback --serving-dir {shlex.quote(serving_dir)} --to {version}"
