"""Config: one section per component, read from a TOML file and `--set trainer.rnn_units=128`."""

import difflib
import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, get_args

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
from pipeline import toml_values
from pipeline.toml_values import shown
from seqline.component import Params
from seqline.errors import UserError
from seqline.storage import objects
from seqline.storage.files import is_remote
from seqline.storage.staging import path_of
from seqline.suggest import neighbours, suggestion

# Configurations that ship: `seqline run bbc_news` needs no file.
CONFIGS = Path(__file__).parent / "configs"
# TOML has no null. This string stands for it in every field that may be null.
NULL = "null"
# Settings that are paths and names: their value is a string, also if it could be TOML.
PLACES = ("name", "root", "pusher.serving_dir", "example_gen.data_dir")
# The model's name where neither the configuration nor its file gives one.
DEFAULT_NAME = "model"
# A file's name has 255 bytes; locks and files under way put some of their own before and after it.
MOST_NAME = 200
# Errors of a configuration that one line tells.
MOST_ERRORS = 5


class RetrainParams(Params):
    """How `seqline retrain` decides, trains and locks."""

    without: tuple[str, ...] = Field(
        (), strict=False, description="gates that deliberately have no threshold, by name"
    )
    accept: tuple[int, ...] = Field(
        (),
        strict=False,
        description=("spans that a person has accepted: the served model is not asked about them"),
    )
    cold_every: int = Field(
        1,
        ge=1,
        description=(
            "1: every training starts from random weights. N: from the served model, and"
            " every N-th time from both; the better model is kept"
        ),
    )
    lease_seconds: float = Field(
        60.0,
        gt=0,
        description=("seconds after which a lock that its owner has not renewed is taken over"),
    )


class Config(BaseModel):
    """Everything that a run needs to know. An unknown name is an error."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: str = Field(
        "",
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$",
        max_length=MOST_NAME,
        description="the model's name; by default that of the configuration file",
    )
    root: str = Field(
        "artifacts",
        description="where artifacts, records and logs are: a folder, or gs://, s3:// or az://",
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

    if TYPE_CHECKING:
        # A section may be given as its table, too, which dataclass transforms cannot say.
        def __init__(self, **sections: Any) -> None: ...

    @model_validator(mode="after")
    def _with_name(self) -> Self:
        """Puts the model's name into the paths that say {name}."""
        name = self.name or DEFAULT_NAME
        # The model is frozen for everything that reads it. Only here its sections are replaced.
        object.__setattr__(self, "pusher", self.pusher.with_name(name))
        object.__setattr__(self, "evaluator", self.evaluator.with_name(name))
        return self

    @model_validator(mode="after")
    def _can_be_opened(self) -> Self:
        """Refuses places that TensorFlow would take for globs, before any stage has run."""
        read = {
            "example_gen.data_dir": self.example_gen.data_dir,
            "trainer.warm_start": self.trainer.warm_start or "",
        }
        written = {"root": self.root, "pusher.serving_dir": self.pusher.serving_dir}
        toml_values.check_places(read, written)
        return self

    @model_validator(mode="after")
    def _no_tokens_for_sequences(self) -> Self:
        if self.example_gen.content == "sequence":
            given = {
                "trainer.embeddings": self.trainer.embeddings,
                "transform.vocabulary": self.transform.vocabulary,
            }
            for name, value in given.items():
                if value is not None:
                    raise ValueError(
                        f'{name} {value!r} is about tokens, and example_gen.content = "sequence"'
                        " has none; leave it out"
                    )
        return self

    @model_validator(mode="after")
    def _ngrams_for_wide(self) -> Self:
        """Refuses before any stage what only the trainer would see, when the texts are counted."""
        has_texts = self.example_gen.content != "sequence"
        if has_texts and self.trainer.wide and self.transform.ngrams == 0:
            raise ValueError(
                "transform.ngrams 0 leaves trainer.wide true no n-grams: leave transform.ngrams"
                " out, or set trainer.wide to false"
            )
        return self

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if is_remote(self.pusher.serving_dir):
            return self

        root = Path(os.path.realpath(self.root))
        served = Path(os.path.realpath(self.pusher.serving_dir))
        if root.is_relative_to(served) or served.is_relative_to(root):
            raise ValueError(
                f"root {self.root!r} and pusher.serving_dir {self.pusher.serving_dir!r} "
                "lie in one another; name two folders apart"
            )
        return self


def load(
    path: str,
    settings: Sequence[str] = (),
    places: Mapping[str, Any] | None = None,
    environment: Mapping[str, tuple[str, str]] | None = None,
    set_by: str = "--set",
) -> Config:
    """Reads a configuration.

    Values in settings and in the environment are TOML. What is not TOML is a string, so that
    `--set trainer.pooling=mean` needs no quotes. "null" is null.

    Args:
        path: A TOML file, or the name of a configuration that ships.
        settings: `name.field=value`. They replace values of the file and of the environment.
        places: Name -> value, as it is. They replace settings.
        environment: Name -> (variable, value), see `pipeline.environment.settings`. They replace
            values of the file.
        set_by: What gives the settings and places, for errors.

    Raises:
        UserError: The file is missing or not TOML, a name is unknown, or a value is not allowed.
    """
    file = find(path)
    content = toml_values.read(file)
    sections = list(Config.model_fields)
    if content and not any(
        difflib.get_close_matches(name, sections, n=1, cutoff=0.8) for name in content
    ):
        raise UserError(
            f"{file} is no configuration of seqline: it has no [example_gen]. `seqline init DATA -o"
            " my.toml` writes one."
        )

    content.setdefault("name", default_name(file))
    return build(content, str(file), settings, places, environment, set_by)


def build(
    content: dict[str, Any],
    where: str,
    settings: Sequence[str] = (),
    places: Mapping[str, Any] | None = None,
    environment: Mapping[str, tuple[str, str]] | None = None,
    set_by: str = "--set",
) -> Config:
    """Makes a configuration of the content of a TOML file.

    Args:
        content: The content. It is changed.
        where: The name of the file in errors.
        settings, places, environment, set_by: As in `load`.

    Raises:
        UserError: A name is unknown, or a value is not allowed.
    """
    given: dict[str, str] = {}  # name -> the name of the place that set it, for errors
    for name, (variable, text) in (environment or {}).items():
        value = text if name in PLACES else toml_values.value_of(text, variable)
        _set(content, name.split("."), value, shown_as(f"{variable}={text}"))
        given[name] = variable

    for setting in settings:
        name, equals, text = setting.partition("=")
        name = name.strip()
        if not equals or not name:
            raise UserError(
                f"{set_by} {shown(setting)} is not name=value, such as trainer.rnn_units=128."
            )
        given[name] = f"{set_by} {shown_as(name)}"
        value = toml_values.value_of(text, given[name])
        _set(content, name.split("."), value, f"{set_by} {shown(setting)}")

    for name, place in (places or {}).items():
        _set(content, name.split("."), place, f"{set_by} {shown(f'{name}={place}')}")
        given[name] = f"{set_by} {name}"

    for name, problem in toml_values.problems(content):
        raise UserError(f"{given.get(name) or f'{where}: {shown_as(name)}'} {problem}.")

    _replace_null(content, Config)
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        sentences = [_sentence(problem, where, given) for problem in error.errors()[:MOST_ERRORS]]
        if num_more := error.error_count() - len(sentences):
            sentences.append(f"and {num_more:,} more")
        raise UserError("; ".join(sentences)) from None


def _replace_null(content: dict[str, Any], model: type[BaseModel]) -> None:
    """Replaces the string "null" by null, in every field that may be null."""
    for name, value in content.items():
        field = model.model_fields.get(name)
        if field is None:
            continue
        if value == NULL and type(None) in get_args(field.annotation):
            content[name] = None
        elif isinstance(value, dict) and (section := _section(field.annotation)):
            _replace_null(value, section)


def _section(annotation: Any) -> type[BaseModel] | None:
    """The type of a field that is a section; None for a field that holds a value."""
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return annotation if is_model else None


def default_name(file: Path) -> str:
    """The name of a model whose configuration names none: its file's, made fit for a URL."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(file.name).stem).strip(".-")
    return name[:MOST_NAME] or DEFAULT_NAME


def reference() -> str:
    """Every name, default and meaning, as the table of docs/reference/configuration.md."""
    lines = ["| name | default | meaning |", "|---|---|---|"]
    for name, info in Config.model_fields.items():
        section = _section(info.annotation)
        fields = {name: info}
        if section:
            fields = {f"{name}.{key}": field for key, field in section.model_fields.items()}
        for full_name, field in fields.items():
            default = "needed" if field.is_required() else f"`{json.dumps(field.default)}`"
            lines.append(f"| `{full_name}` | {default} | {field.description} |")
    return "\n".join(lines) + "\n"


def shipped() -> list[str]:
    """The names of the configurations that ship."""
    return sorted(file.stem for file in CONFIGS.glob("*.toml"))


def find(path: str) -> Path:
    """The file of a path, which may be in a bucket, or of a configuration that ships.

    Raises:
        UserError: There is no such file.
    """
    if is_remote(path):
        if not path_of(path).is_file():
            raise UserError(f"There is no configuration {path}.")
        return path_of(path)

    if problem := objects.problem_of(path):
        raise UserError(f"{path!r} {problem}.")
    if kind := toml_values.kind_of_path(path):
        raise UserError(f"{path!r} is {kind}, and no configuration: name a file.")

    for candidate in (Path(path), CONFIGS / f"{path}.toml"):
        with suppress(OSError, ValueError):  # the name may be too long for a file
            if candidate.is_file():
                return candidate

    raise UserError(
        f"There is no configuration {shown(path)}: no such file, and those that ship are"
        f" {', '.join(shipped())}.{suggestion(path, [*neighbours(path), *shipped()])}"
    )


def _set(content: dict[str, Any], names: list[str], value: Any, setting: str) -> None:
    """Sets a value in nested tables. Raises UserError where a table is expected, but a value is."""
    for name in names[:-1]:
        content = content.setdefault(name, {})
        if not isinstance(content, dict):
            raise UserError(f"{setting}: {name} is a value, not a table.")
    content[names[-1]] = value


def _sentence(error: Any, file: str, given: Mapping[str, str]) -> str:
    """A sentence for an error: the place that set the value, and the fault.

    Args:
        error: One of pydantic's errors.
        file: The name of the configuration file.
        given: Name -> the name of the place that set it, if that is not the file.
    """
    name = ".".join(str(part) for part in error["loc"])
    where = given.get(name) or (f"{file}: {shown_as(name)}" if name else file)

    if error["type"] == "extra_forbidden":
        known = list(_model(error["loc"][:-1]).model_fields)
        within = [f"{each}.{name}" for each in known if name in _model([each]).model_fields]
        close = within or difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
        way_out = f"Did you mean {close[0]!r}?" if close else f"Known are {', '.join(known)}."
        return f"{_setter_within(name, given) or where} is not a known name. {way_out}"

    if error["type"] == "missing":
        return f"{where} is missing."

    message = error["msg"].removeprefix("Value error, ")
    sentence = f"{where}: {message[0].lower()}{message[1:]}"

    # A whole table would be too long to show.
    return (
        f"{sentence}."
        if isinstance(error["input"], dict)
        else f"{sentence}, not {shown(error['input'])}."
    )


def shown_as(name: str) -> str:
    """A name as an error shows it; one of another kind of characters is quoted."""
    is_plain = name.isprintable() and len(name) <= toml_values.NUM_SHOWN
    return name if is_plain else shown(name)


def _setter_within(name: str, given: Mapping[str, str]) -> str | None:
    """The place that set a name within a table, if the table is not set as a whole."""
    if name in given:
        return None
    for other, label in given.items():
        if other.startswith(f"{name}."):
            return f"{label}: {shown_as(name)}"
    return None


def _model(names: Sequence[Any]) -> type[BaseModel]:
    """The model of the section at a place, or of the section around a place that is a value."""
    model: type[BaseModel] = Config
    for name in names:
        field = model.model_fields.get(str(name))
        candidates = [field.annotation, *get_args(field.annotation)] if field else []
        sections = [section for section in map(_section, candidates) if section]
        model = sections[0] if sections else model
    return model
