"""Config: one field per component, read from a TOML file and `--set trainer.rnn_units=128`."""

import difflib
import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from components.bulk_inferrer import BulkInferrerParams
from components.evaluator import EvaluatorParams
from components.example_gen import ExampleGenParams
from components.example_validator import ExampleValidatorParams
from components.exporter import ExporterParams
from components.infra_validator import InfraValidatorParams
from components.pusher import PusherParams
from components.schema_gen import SchemaGenParams
from components.span_validator import SpanValidatorParams
from components.statistics_gen import StatisticsGenParams
from components.trainer import TrainerParams
from components.transform import TransformParams
from components.tuner import TunerParams
from pipeline.retrain import RetrainParams
from seqline.errors import UserError
from seqline.storage.files import is_remote
from seqline.storage.staging import path_of
from seqline.suggest import suggestion

# Configurations that ship: `seqline run bbc_news` is enough.
CONFIGS = Path(__file__).parent / "configs"
# Given for a field that may be null, it is null.
NULL = "null"
# Paths and names, which are strings as they stand.
PLACES = ("name", "root", "pusher.serving_dir", "example_gen.data_dir")
# Of a model whose configuration has none to give.
DEFAULT_NAME = "model"


class Config(BaseModel):
    """Everything that a run needs to know.

    Strict: an unknown name is an error, with the nearest known one.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: str = Field(
        "",
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$",
        description="the model's name; the configuration file's where none is given",
    )
    root: str = Field(
        "artifacts",
        description="where artifacts, records and logs lie: a folder, or gs://bucket/path",
    )
    example_gen: ExampleGenParams
    statistics_gen: StatisticsGenParams = StatisticsGenParams()
    schema_gen: SchemaGenParams = SchemaGenParams()
    example_validator: ExampleValidatorParams = ExampleValidatorParams()
    span_validator: SpanValidatorParams = SpanValidatorParams()
    transform: TransformParams = TransformParams()
    tuner: TunerParams = TunerParams()
    trainer: TrainerParams = TrainerParams()
    exporter: ExporterParams = ExporterParams()
    evaluator: EvaluatorParams = EvaluatorParams()
    infra_validator: InfraValidatorParams = InfraValidatorParams()
    pusher: PusherParams = PusherParams()
    bulk_inferrer: BulkInferrerParams = BulkInferrerParams()
    retrain: RetrainParams = RetrainParams()

    @model_validator(mode="after")
    def _with_name(self) -> Self:
        """The model's name in the places that say {name}.

        All that reads a configuration sees the places themselves.
        """
        name = self.name or DEFAULT_NAME
        for section, params in (
            ("pusher", self.pusher.with_name(name)),
            ("evaluator", self.evaluator.with_name(name)),
        ):
            object.__setattr__(self, section, params)  # frozen for everyone else
        return self

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if is_remote(self.pusher.serving_dir):
            return self
        root, served = (
            Path(os.path.realpath(path)) for path in (self.root, self.pusher.serving_dir)
        )
        if root.is_relative_to(served) or served.is_relative_to(root):
            raise ValueError(
                f"root {self.root!r} and pusher.serving_dir {self.pusher.serving_dir!r} lie in one"
                " another; name two folders apart"
            )
        return self


def load(
    path: str,
    settings: Sequence[str] = (),
    places: Mapping[str, str] | None = None,
    environment: Mapping[str, tuple[str, str]] | None = None,
) -> Config:
    """A TOML file, or the name of one that ships, with `name.field=value` settings laid over it,
    and `places` (name -> path) over those.

    environment: name -> (variable, value), laid over the file and under the settings, as
    `pipeline.environment.settings` gives it. Values are TOML; what is not TOML is a string, so that
    `--set trainer.pooling=mean` needs no quotes. "null" is no value.

    Raises UserError for a file that is missing or not TOML, an unknown name, and a value that is
    not allowed.
    """
    file = find(path)
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is not TOML: {error}") from None
    sections = list(Config.model_fields)
    if content and not any(
        difflib.get_close_matches(name, sections, n=1, cutoff=0.8) for name in content
    ):
        raise UserError(
            f"{file} is no configuration of seqline: it has no [example_gen]. `seqline init DATA -o"
            " my.toml` writes one."
        )
    content.setdefault("name", default_name(file))
    return build(content, str(file), settings, places, environment)


def build(
    content: dict[str, Any],
    where: str,
    settings: Sequence[str] = (),
    places: Mapping[str, str] | None = None,
    environment: Mapping[str, tuple[str, str]] | None = None,
) -> Config:
    """A configuration of what a TOML file would hold, with the rest laid over it as `load` does.
    where: what errors call it.

    Raises UserError for an unknown name and a value that is not allowed.
    """
    given: dict[str, str] = {}
    for name, (variable, value) in (environment or {}).items():
        _set(
            content,
            name.split("."),
            value if name in PLACES else toml_value(value),
            f"{variable}={value}",
        )
        given[name] = variable
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.strip():
            raise UserError(f"--set {setting!r} is not name=value, such as trainer.rnn_units=128.")
        _set(content, name.strip().split("."), toml_value(value), f"--set {setting!r}")
        given[name.strip()] = f"--set {name.strip()}"
    for name, place in (places or {}).items():
        _set(content, name.split("."), place, f"--set {f'{name}={place}'!r}")
        given[name] = f"--set {name}"
    _replace_null(content, Config)
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        raise UserError(
            "; ".join(_sentence(each, where, given) for each in error.errors())
        ) from None


def _replace_null(content: dict[str, Any], model: type[BaseModel]) -> None:
    """TOML has no null: the string "null" is one, in every field that may be null."""
    for name, value in content.items():
        if (field := model.model_fields.get(name)) is None:
            continue
        if value == NULL and type(None) in get_args(field.annotation):
            content[name] = None
        elif (
            isinstance(value, dict)
            and isinstance(field.annotation, type)
            and issubclass(field.annotation, BaseModel)
        ):
            _replace_null(value, field.annotation)


def default_name(file: Path) -> str:
    """The model's name that a file gives where its content names none.

    Its stem, as a part of a URL and of a path may be.
    """
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(file.name).stem).strip(".-") or DEFAULT_NAME


def reference() -> str:
    """Every name, default and meaning, as the table of docs/reference/configuration.md."""
    lines = ["| name | default | meaning |", "|---|---|---|"]
    for section, info in Config.model_fields.items():
        fields = (
            info.annotation.model_fields
            if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)
            else None
        )
        for name, field in ({"": info} if fields is None else fields).items():
            default = "needed" if field.is_required() else f"`{json.dumps(field.default)}`"
            lines.append(
                f"| `{section}{'.' if name else ''}{name}` | {default} | {field.description} |"
            )
    return "\n".join(lines) + "\n"


def shipped() -> list[str]:
    """The names of the configurations that ship."""
    return sorted(file.stem for file in CONFIGS.glob("*.toml"))


def find(path: str) -> Path:
    """The file of a path, also under gs://, or of the name of a configuration that ships."""
    if is_remote(path):
        if not path_of(path).is_file():
            raise UserError(f"There is no configuration {path}.")
        return path_of(path)
    for candidate in (Path(path), CONFIGS / f"{path}.toml"):
        with suppress(OSError):  # a name too long for a file is no file
            if candidate.is_file():
                return candidate
    raise UserError(
        f"There is no configuration {path!r}: no such file, and those that ship are"
        f" {', '.join(shipped())}.{suggestion(path, [*neighbours(path), *shipped()])}"
    )


def neighbours(path: str) -> list[str]:
    """The files and folders of a path's folder, as paths that begin like it.

    What may have been meant.
    """
    folder = os.path.dirname(path)
    try:
        return [os.path.join(folder, name) for name in sorted(os.listdir(folder or "."))]
    except (OSError, ValueError):
        return []


def toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _set(content: dict[str, Any], names: list[str], value: Any, setting: str) -> None:
    for name in names[:-1]:
        content = content.setdefault(name, {})
        if not isinstance(content, dict):
            raise UserError(f"{setting}: {name} is a value, not a table.")
    content[names[-1]] = value


def _sentence(error: Any, file: str, given: Mapping[str, str]) -> str:
    place = ".".join(str(part) for part in error["loc"])
    below = (
        next(
            (f"{label}: {place}" for name, label in given.items() if name.startswith(f"{place}.")),
            "",
        )
        if place not in given
        else ""
    )
    where = given.get(place) or (f"{file}: {place}" if place else file)
    if error["type"] == "extra_forbidden":
        *above, name = error["loc"]
        known = list(_model(above).model_fields)
        close = difflib.get_close_matches(str(name), known, n=1)
        return f"{below or where} is not a known name. " + (
            f"Did you mean {close[0]!r}?" if close else f"Known are {', '.join(known)}."
        )
    if error["type"] == "missing":
        return f"{where} is missing."
    message = error["msg"].removeprefix("Value error, ")
    return (
        f"{where}: {message[0].lower()}{message[1:]}"
        + ("" if isinstance(error["input"], dict) else f", not {error['input']!r}")
        + "."
    )


def _model(names: Sequence[Any]) -> type[BaseModel]:
    model: type[BaseModel] = Config
    for name in names:
        field = model.model_fields.get(str(name))
        candidates = [field.annotation, *get_args(field.annotation)] if field else []
        model = next(
            (each for each in candidates if isinstance(each, type) and issubclass(each, BaseModel)),
            model,
        )
    return model
