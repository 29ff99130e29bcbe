"""Which configuration a command uses, and what is laid over it.

The environment, `--set`, flags. Imports nothing heavy, and not typer.

The word on the command line (or --config) names it, SEQLINE_CONFIG, or seqline.toml in this folder.
There is no other: the sample has to be named.
"""

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import environment
from seqline.suggest import suggestion

if TYPE_CHECKING:
    from pipeline import config as configuration

# The configuration of this folder.
DEFAULT = "seqline.toml"
# Names that stand for data whatever formats there are: a glob, a span, a data set of
# tensorflow-datasets. Nor is a .txt or a .json file a configuration.
DATA = re.compile(r".*[*?\[{].*|tfds:.*|.*\.(txt|json)(\.gz)?", re.DOTALL)


def choose(config: str | None, alias: str | None = None, command: str = "run") -> str:
    """The configuration's name, or the data's, which a command is to use.

    Raises UserError where none is named, or two are.
    """
    if name := optional(config, alias):
        return name
    from seqline.errors import UserError

    raise UserError(
        f"seqline {command} needs a configuration and there is no {DEFAULT} here: seqline {command}"
        " my.toml. `seqline init DATA -o my.toml` writes one; `seqline run bbc_news` trains on the"
        " sample."
    )


def optional(config: str | None, alias: str | None = None) -> str | None:
    """As `choose`, for commands that need none."""
    if config is not None and alias is not None and config != alias:
        from seqline.errors import UserError

        raise UserError(
            f"Two configurations are named, {config!r} and --config {alias!r}: name one."
        )
    named = next(
        (
            name
            for name in (config, alias, os.environ.get(environment.CONFIG) or None)
            if name is not None
        ),
        None,
    )
    return named if named is not None else DEFAULT if Path(DEFAULT).is_file() else None


def is_data(name: str) -> bool:
    """Whether a name stands for data: a folder, a glob, or a file whose suffix is one of data."""
    if name.endswith(".toml"):
        return False
    if DATA.fullmatch(name) or os.path.isdir(name):
        return True
    from seqline.rows.formats import kind_of_name

    return kind_of_name(name.removesuffix(".gz")) is not None


def read(
    config: str | None,
    settings: Sequence[str] | None = None,
    root: str | None = None,
    serving_dir: str | None = None,
    data_dir: str | None = None,
    *,
    alias: str | None = None,
    text: str | None = None,
    label: str | None = None,
    command: str = "run",
    takes_data: bool = True,
    laid: Mapping[str, Any] | None = None,
) -> "configuration.Config":
    """The configuration, the environment and the flags laid over it.

    Data that are named instead of a file get one in memory.

    laid: setting -> value, of the command's own flags.
    """
    from pipeline import config as configuration
    from seqline.errors import UserError

    name = choose(config, alias, command)
    given = {
        "root": root,
        "pusher.serving_dir": serving_dir,
        "example_gen.data_dir": data_dir,
        "example_gen.text": text,
        "example_gen.label": label,
    }
    places = {
        setting: value for setting, value in {**given, **(laid or {})}.items() if value is not None
    }
    if not is_data(name):
        return configuration.load(name, settings or [], places, environment.settings())
    if not takes_data:
        stem = configuration.default_name(Path(name.removesuffix(".gz")))
        raise UserError(
            f"seqline {command} needs a configuration, and {name} is data: seqline init"
            f" {shlex.quote(name)} -o {stem}.toml, then seqline {command} {stem}.toml."
        )
    check_that_it_is_there(name)
    from pipeline.init import in_memory

    content = in_memory(name, settings or [], text, label, f"seqline {command}")
    return configuration.build(content, name, settings or [], places, environment.settings())


def read_if_named(
    config: str | None,
    alias: str | None,
    settings: Sequence[str] | None,
    laid: Mapping[str, Any],
    command: str,
) -> "configuration.Config":
    """The configuration that is named, and without one the defaults, for commands that need no
    data. laid: setting -> value or None, of flags.
    """
    from pipeline import config as configuration

    if (name := optional(config, alias)) is not None:
        return read(name, settings, command=command, takes_data=False, laid=laid)
    places = {setting: value for setting, value in laid.items() if value is not None}
    content = {"name": "model", "example_gen": {"source": ""}}
    return configuration.build(
        content, "the command line", settings or [], places, environment.settings()
    )


def check_that_it_is_there(name: str) -> None:
    """Raises UserError for a file that is not there, with the one beside it that may be meant.

    Globs and remote names are left to reading.
    """
    from pipeline import config as configuration
    from seqline.errors import UserError

    if (
        "://" in name
        or name.startswith("tfds:")
        or re.search(r"[*?\[{]", name)
        or os.path.lexists(name)
    ):
        return
    near = suggestion(name, [*configuration.neighbours(name), *configuration.shipped()])
    raise UserError(
        f"There is no file {name!r} in {os.path.abspath(os.path.dirname(name) or '.')}.{near}"
    )
