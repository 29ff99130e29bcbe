"""A run's configuration, as TOML that gives it again, and the commands that go with a run."""

import json
import math
import os
import platform
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import to_jsonable_python

from pipeline.config import NULL, Config
from pipeline.report.records import Records
from pipeline.runner.plan import Pipeline
from seqline import __version__

CONFIG = "config.toml"


def about(config: Config, pipe: Pipeline, called: Sequence[str]) -> dict[str, Any]:
    """What a run's record says of how it came to be: for `pipeline.runner.Options.about`."""
    return {
        "command": list(called),
        "folder": os.getcwd(),
        "config": config.model_dump(mode="json"),
        "pipeline": [stage.name for stage in pipe.stages],
        "seqline": __version__,
        "python": platform.python_version(),
    }


def parameters(records: Records) -> list[dict[str, Any]]:
    """[{name, value, default.

    Whether it is the default}] of the whole configuration, or of the stages that left a record.
    """
    found = []
    for section, values in configuration(records).items():
        if not isinstance(values, Mapping):
            continue
        defaults = _defaults(section, name_of(records))
        found += [
            {
                "name": f"{section}.{name}",
                "value": value,
                "default": defaults.get(name, ...) == value,
            }
            for name, value in values.items()
        ]
    return found


def configuration(records: Records) -> dict[str, Any]:
    """The configuration that the record has.

    Otherwise put together from the stages' params, with what `Config` has a name for.
    """
    recorded = records.record.about.get("config")
    sections = (
        recorded
        if isinstance(recorded, dict)
        else {name: each.params for name, each in records.executions.items()}
    )
    found: dict[str, Any] = {}
    for section, values in sections.items():
        if isinstance(values, dict):
            found[section] = {
                name: value for name, value in values.items() if name in _fields(section)
            }
    return {section: values for section, values in found.items() if values}


def _fields(section: str) -> dict[str, Any]:
    info = Config.model_fields.get(section)
    return getattr(info.annotation, "model_fields", {}) if info else {}


def name_of(records: Records) -> str:
    """The model's name; "" in a record from before models had one."""
    recorded = records.record.about.get("config")
    return str(
        records.record.name or (recorded.get("name") if isinstance(recorded, dict) else None) or ""
    )


def _defaults(section: str, name: str) -> dict[str, Any]:
    """As JSON values. example_gen, of which a part is needed, has no default as a whole.

    Its fields have.
    """
    info = Config.model_fields[section]
    if info.is_required():
        return {
            name: to_jsonable_python(field.default)
            for name, field in _fields(section).items()
            if not field.is_required()
        }
    default = (
        info.default.with_name(name)
        if name and hasattr(info.default, "with_name")
        else info.default
    )
    found: dict[str, Any] = default.model_dump(mode="json")
    return found


def config_toml(records: Records, root: str) -> str | None:
    """A file for `seqline run` with every value written out, so that no later default changes it.

    None where no stage left a record.

    TOML has no null: what is null is written as the string "null", which a configuration reads as
    none.
    """
    sections = configuration(records)
    if "example_gen" not in sections:
        return None
    lines = [f"# The configuration of the run {records.name}."]
    if name := name_of(records):  # or it would be called as this file is
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
    return (
        name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else _toml(name)
    )


def _toml(value: Any) -> str:
    if value is None:
        return _toml(NULL)
    if isinstance(value, Mapping):
        return (
            "{"
            + ", ".join(
                f"{_key(name)} = {_toml(each)}" for name, each in value.items() if each is not None
            )
            + "}"
        )
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    # JSON's strings are TOML's, but for the one control character that JSON lets stand.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def commands(records: Records, root: str) -> dict[str, str | None]:
    """What to type.

    {called: as it was, folder: where, reproduce, rollback, ask}; None for what does not apply.
    """
    called = records.record.about.get("command")
    pushed = records.figures("pusher")
    serving_dir = pushed.get("serving_dir")
    served = (records.figures("evaluator").get("served") or {}).get("version")
    place = f"{root}/runs/{records.name}/{CONFIG}"
    # `seqline run` reads a local file.
    fetch = f"gcloud storage cp {shlex.quote(place)} {CONFIG} && " if "://" in root else ""
    has_config = config_toml(records, root) is not None
    return {
        "called": shlex.join(called) if called else None,
        "folder": records.record.about.get("folder"),
        "reproduce": (
            f"{fetch}seqline run {CONFIG if fetch else shlex.quote(place)}" if has_config else None
        ),
        "rollback": rollback(serving_dir, served) if serving_dir and pushed.get("pushed") else None,
        "ask": ask(records, serving_dir) if serving_dir else None,
        "show": f"seqline show --root {shlex.quote(root)} {records.name}",
    }


def ask(records: Records, place: str) -> str | None:
    """The command that asks a model; None for one in a bucket, which `predict` does not read."""
    content = records.params("example_gen").get("content", "text")
    example = {"tokens": "'your tokens'", "sequence": "'[[0.1, 0.2], [0.3, 0.4]]'"}.get(
        content, "'Your text'"
    )
    return None if "://" in place else f"seqline predict --model {shlex.quote(place)} {example}"


def rollback(serving_dir: str, version: int | None) -> str | None:
    """None where nothing was served before."""
    return (
        None
        if version is None
        else f"seqline rollback --serving-dir {shlex.quote(serving_dir)} --to {version}"
    )
