"""The configuration of a call: a path, a name, a table of values, or a Config."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline import config as configuration
from pipeline import environment
from pipeline.api import sources
from pipeline.cli import chosen
from pipeline.config import Config
from seqline.errors import UserError

# What a caller may give as settings: name -> value, or texts of `--set`.
Settings = Mapping[str, Any] | Sequence[str] | None
# What a caller may give as a configuration.
Configured = str | os.PathLike[str] | Mapping[str, Any] | Config

SOURCE = "example_gen.source"
# The names of the parts of a call in errors.
CONFIG, SETTINGS = "config", "settings:"


@dataclass(frozen=True)
class _Given:
    """The values that a call lays over the configuration.

    Attributes:
        values: Name of a setting -> its value.
        texts: `name=value` in TOML, as `--set` takes them.
    """

    values: dict[str, Any] = field(default_factory=dict)
    texts: tuple[str, ...] = ()

    def root(self, content: Mapping[str, Any], variables: Mapping[str, tuple[str, str]]) -> str:
        """Where the run will keep its artifacts, before the configuration is checked."""
        by_text = dict(text.split("=", 1) for text in self.texts if "=" in text)
        variable = variables.get("root", ("", ""))[1]
        default = Config.model_fields["root"].default
        given = self.values.get("root") or by_text.get("root") or variable
        return str(given or content.get("root") or default)


def configure(
    config: Configured,
    root: str | os.PathLike[str] | None = None,
    serving_dir: str | os.PathLike[str] | None = None,
    settings: Settings = None,
) -> Config:
    """Makes the configuration of a call.

    The arguments come before `settings`, these before the environment (SEQLINE_ROOT and the like),
    and the environment before `config`. A Config is complete: the environment adds nothing to it.

    Args:
        config: A TOML file, the name of a configuration that ships, data (a file of rows), a table
            of values, or a Config.
        root: In place of `root`.
        serving_dir: In place of `pusher.serving_dir`.
        settings: Name of a setting -> its value, such as {"trainer.num_epochs": 2}; or texts as
            `--set` takes them.

    Raises:
        UserError: The file is missing, a name is unknown, or a value is not allowed.
    """
    given = _given(root, serving_dir, settings)
    if isinstance(config, Config):
        content = config.model_dump()
        return _build(content, given, {}) if given.values or given.texts else config
    if isinstance(config, Mapping):
        return _build(_plain(config), given, environment.settings())
    if not isinstance(config, str | os.PathLike):
        raise UserError(
            f"{CONFIG} is a {type(config).__name__}; give a path, the name of a configuration that"
            ' ships, a dict of tables such as {"example_gen": {"source": "rows.csv"}}, or a'
            " seqline.Config. Data in memory are its example_gen.source."
        )
    return _of_name(os.fspath(config), given)


def _of_name(name: str, given: _Given) -> Config:
    """The configuration of a file, of a name, or of data."""
    variables = environment.settings()
    if not chosen.is_data(name):
        path = configuration.find(name)
        values = _with_files({}, given, variables)
        texts = list(given.texts)
        return configuration.load(str(path), texts, values, variables, SETTINGS)

    chosen.check_that_it_exists(name)
    from pipeline.init import in_memory

    texts = list(given.texts)
    texts += [
        f"{setting}={value}"
        for setting, value in given.values.items()
        if setting.startswith("example_gen.") and isinstance(value, str | int)
    ]
    content = in_memory(name, texts, None, None, "seqline run")
    return _build(content, given, variables)


def _build(
    content: dict[str, Any], given: _Given, variables: Mapping[str, tuple[str, str]]
) -> Config:
    values = _with_files(content, given, variables)
    return configuration.build(content, CONFIG, given.texts, values, variables, SETTINGS)


def _with_files(
    content: dict[str, Any], given: _Given, variables: Mapping[str, tuple[str, str]]
) -> dict[str, Any]:
    """The values of the call; there and in the content, data in memory are written to files."""
    root = given.root(content, variables)
    section = content.get("example_gen")
    values = dict(given.values)
    if SOURCE in values:
        values[SOURCE] = sources.with_files(values[SOURCE], root)
    elif isinstance(section, dict) and section.get("source") is not None:
        section["source"] = sources.with_files(section["source"], root)
    return values


def _given(root: object, serving_dir: object, settings: Settings) -> _Given:
    """The arguments of a call in one form."""
    values: dict[str, Any] = {}
    texts: tuple[str, ...] = ()
    if isinstance(settings, Mapping):
        for name, value in settings.items():
            values |= _flat(str(name), _plain(value))
    elif isinstance(settings, list | tuple | None):
        texts = tuple(str(text) for text in settings or ())
    else:
        raise UserError(
            f"settings is {settings!r}; give a dict of values, such as"
            ' {"trainer.num_epochs": 2}, or a list of texts.'
        )

    places = {"root": root, "pusher.serving_dir": serving_dir}
    given = {name: _path(name, place) for name, place in places.items() if place is not None}
    return _Given({**values, **given}, texts)


def _path(name: str, place: object) -> str:
    if isinstance(place, str | os.PathLike):
        return str(os.fspath(place))
    raise UserError(f"{name.rpartition('.')[2]} is {place!r}; give a folder or a URL.")


def _flat(name: str, value: Any) -> dict[str, Any]:
    """{"trainer": {"num_epochs": 2}} as {"trainer.num_epochs": 2}: a setting at a time.

    A table that is the value of one setting, such as a source for each split, stays whole.
    """
    is_section = isinstance(value, dict) and "." not in name and name in Config.model_fields
    if not is_section:
        return {name: value}
    return {f"{name}.{key}": item for key, item in value.items()}


def _plain(value: Any) -> Any:
    """A value as TOML would hold it: plain dicts, numbers of Python, paths as texts.

    Data in memory, and what no setting can be, stay as they are.
    """
    if type(value) is dict or (isinstance(value, Mapping) and not hasattr(value, "_fingerprint")):
        is_data_set = type(value).__module__.partition(".")[0] == "datasets"
        return value if is_data_set else {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        return value.item()  # a number from a sweep over a numpy array
    return value
