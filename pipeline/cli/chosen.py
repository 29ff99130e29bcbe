"""Finds the configuration that a command uses, and lays the values of flags over it.

The configuration is named by the word on the command line (or --config), by SEQLINE_CONFIG, or is
seqline.toml in the working directory. There is no other default: the sample has to be named.

Imports nothing heavy, and not typer.
"""

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import environment
from seqline.suggest import neighbours, suggestion

if TYPE_CHECKING:
    from pipeline import config as configuration

# The configuration of the working directory.
DEFAULT = "seqline.toml"
# Names that stand for data of any format: a glob, a span, a data set of tensorflow-datasets, and
# .txt and .json files, which are no configurations.
DATA = re.compile(r".*[*?\[{].*|tfds:.*|.*\.(txt|json)(\.gz)?", re.DOTALL)


@dataclass(frozen=True)
class Common:
    """The flags that all commands that read a configuration share; None for one not given.

    `pipeline.cli.options` says which command has which flags.
    """

    config: str | None = None
    alias: str | None = None  # --config, in place of the word
    settings: list[str] | None = None  # NAME=VALUE, of --set
    root: str | None = None
    serving_dir: str | None = None
    data_dir: str | None = None
    text: list[str] | None = None
    label: str | None = None

    def places(self) -> dict[str, Any]:
        """setting -> value, of the flags that were given."""
        flags = {
            "root": self.root,
            "pusher.serving_dir": self.serving_dir,
            "example_gen.data_dir": self.data_dir,
            "example_gen.text": columns(self.text),
            "example_gen.label": self.label,
        }
        return {setting: value for setting, value in flags.items() if value is not None}


def columns(names: list[str] | None) -> str | list[str] | None:
    """The value of a setting that is one column or several; None for none."""
    if not names:
        return None
    return names[0] if len(names) == 1 else list(names)


def choose(common: Common, command: str = "run") -> str:
    """The name of the configuration, or of the data, that a command uses.

    Raises:
        UserError: none is named, or two are.
    """
    if name := optional(common):
        return name

    from seqline.errors import UserError

    raise UserError(
        f"seqline {command} needs a configuration, and there is no {DEFAULT} here: seqline"
        f" {command} my.toml. `seqline init DATA -o my.toml` writes one; `seqline run bbc_news`"
        " trains on the sample."
    )


def optional(common: Common) -> str | None:
    """The name, as `choose` finds it; None if no configuration is named."""
    config, alias = common.config, common.alias
    if config is not None and alias is not None and config != alias:
        from seqline.errors import UserError

        raise UserError(
            f"Two configurations are named, {config!r} and --config {alias!r}: name one."
        )
    for name in (config, alias, os.environ.get(environment.CONFIG) or None):
        if name is not None:
            return name
    return DEFAULT if Path(DEFAULT).is_file() else None


def is_data(name: str) -> bool:
    """Whether a name stands for data: a folder, a glob, or a file whose suffix is one of data."""
    if name.endswith(".toml"):
        return False
    if DATA.fullmatch(name) or os.path.isdir(name):
        return True

    from pipeline.config import shipped

    if name in shipped():
        return False  # without the formats, which import numpy

    from seqline.rows.formats import kind_of_name

    return kind_of_name(name.removesuffix(".gz")) is not None


def read(
    common: Common,
    command: str = "run",
    takes_data: bool = True,
    more: Mapping[str, Any] | None = None,
) -> "configuration.Config":
    """The configuration, with the values of the environment and of the flags.

    Data that are named in place of a configuration get one in memory.

    Args:
        common: the flags that commands share.
        command: the command's name, for errors.
        takes_data: whether the command takes data in place of a configuration.
        more: setting -> value or None, of flags that only this command has.

    Raises:
        UserError: no configuration is named, it does not exist, or a value is wrong.
    """
    from pipeline import config as configuration
    from seqline.errors import UserError

    name = choose(common, command)
    settings, given = common.settings or [], _given(common, more)

    if not is_data(name):
        return configuration.load(name, settings, given, environment.settings())

    if not takes_data:
        stem = configuration.default_name(Path(name.removesuffix(".gz")))
        raise UserError(
            f"seqline {command} needs a configuration, and {name} is data: seqline init"
            f" {shlex.quote(name)} -o {stem}.toml, then seqline {command} {stem}.toml."
        )

    check_that_it_exists(name)
    from pipeline.init import in_memory

    content = in_memory(name, settings, common.text, common.label, f"seqline {command}")
    return configuration.build(content, name, settings, given, environment.settings())


def read_if_named(
    common: Common, command: str, more: Mapping[str, Any] | None = None
) -> "configuration.Config":
    """As `read`, but without a configuration the defaults, for commands that need no data."""
    from pipeline import config as configuration

    if optional(common) is not None:
        return read(common, command, takes_data=False, more=more)

    content = {"name": "model", "example_gen": {"source": ""}}
    return configuration.build(
        content,
        "the command line",
        common.settings or [],
        _given(common, more),
        environment.settings(),
    )


def _given(common: Common, more: Mapping[str, Any] | None) -> dict[str, Any]:
    others = {setting: value for setting, value in (more or {}).items() if value is not None}
    return {**common.places(), **others}


def check_that_it_exists(name: str) -> None:
    """Raises UserError for a file that does not exist, and suggests one with a similar name.

    Globs and remote names are left to what reads them.
    """
    from pipeline import config as configuration
    from seqline.errors import UserError

    is_local_file = not ("://" in name or name.startswith("tfds:") or re.search(r"[*?\[{]", name))
    if not is_local_file or os.path.lexists(name):
        return

    near = suggestion(name, [*neighbours(name), *configuration.shipped()])
    folder = os.path.abspath(os.path.dirname(name) or ".")
    raise UserError(f"There is no file {name!r} in {folder}.{near}")
