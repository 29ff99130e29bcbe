"""The options that commands share, and what becomes of them. Imports nothing heavy.

An option means the same in every command that has it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import beam_flags as beam
from pipeline.cli import usage
from pipeline.cli.chosen import (
    check_that_it_is_there,
    choose,
    is_data,
    optional,
    read,
    read_if_named,
)

if TYPE_CHECKING:
    from pipeline import config as configuration
    from pipeline.runner.plan import Pipeline
    from pipeline.store.folder import Store


__all__ = [
    "beam_flags",
    "check_that_it_is_there",
    "choose",
    "is_data",
    "load",
    "optional",
    "read",
    "read_if_named",
]

ROOT_HELP = "where artifacts, records and logs lie: a folder, or gs://bucket/path"
SERVING_HELP = "where versions are published: a folder, or gs://bucket/path"
RUN_HELP = (
    "a run, by its name or the beginning or end of it; latest, previous, served, or the version"
    " that it pushed"
)
CONFIG_HELP = "a TOML file, or the name of a configuration that ships (bbc_news)"

Config = Annotated[
    str | None,
    typer.Argument(metavar="CONFIG", help=f"{CONFIG_HELP}; seqline.toml if none is given"),
]
ConfigOrData = Annotated[
    str | None,
    typer.Argument(
        metavar="CONFIG",
        help=f"{CONFIG_HELP}, or the data itself: a file, a glob, a folder of classes",
    ),
]
Alias = Annotated[str | None, typer.Option("--config", "-c", help="the same as CONFIG")]
Text = Annotated[
    str | None, typer.Option("--text", help="the column with the content (example_gen.text)")
]
Label = Annotated[
    str | None, typer.Option("--label", help="the column with the label (example_gen.label)")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="NAME=VALUE",
        help="lay one value over the configuration: trainer.rnn_units=128",
    ),
]
Root = Annotated[str | None, typer.Option("--root", help=ROOT_HELP)]
ServingDir = Annotated[str | None, typer.Option("--serving-dir", help=SERVING_HELP)]
DataDir = Annotated[
    str | None, typer.Option("--data-dir", help="where tensorflow-datasets keeps what it prepared")
]
Jobs = Annotated[
    int,
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        envvar="SEQLINE_JOBS",
        help="stages that may run at once, each in a process of its own",
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        envvar="SEQLINE_VERBOSE",
        help="also print what the stages say while they run",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, for machines")]
# Of commands without a configuration.
RootPlace = Annotated[str, typer.Option("--root", envvar="SEQLINE_ROOT", help=ROOT_HELP)]
ServingPlace = Annotated[
    str, typer.Option("--serving-dir", envvar="SEQLINE_SERVING_DIR", help=SERVING_HELP)
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        envvar=["SEQLINE_MODEL", "SEQLINE_SERVING_DIR"],
        help="a SavedModel, or a folder with versions of one; local or under gs://",
    ),
]
BeamRunner = Annotated[
    str | None,
    typer.Option(
        "--runner",
        envvar="SEQLINE_RUNNER",
        help="where Beam runs: FnApiRunner (here), DataflowRunner, ...",
    ),
]
Project = Annotated[
    str | None,
    typer.Option("--project", envvar="SEQLINE_PROJECT", help="Dataflow: the Google Cloud project"),
]
Region = Annotated[
    str | None,
    typer.Option("--region", envvar="SEQLINE_REGION", help="Dataflow: where the workers run"),
]
TempLocation = Annotated[
    str | None,
    typer.Option(
        "--temp_location",
        envvar="SEQLINE_TEMP_LOCATION",
        help="Dataflow: gs://bucket/path for what is staged",
    ),
]
Image = Annotated[
    str | None,
    typer.Option(
        "--sdk_container_image",
        envvar="SEQLINE_SDK_CONTAINER_IMAGE",
        help="Dataflow: the workers' image, with code and dependencies in it",
    ),
]


def load(
    config: str | None,
    settings: Sequence[str] | None,
    root: str | None,
    serving_dir: str | None,
    data_dir: str | None,
    *,
    alias: str | None = None,
    text: str | None = None,
    label: str | None = None,
    command: str = "run",
) -> tuple["configuration.Config", "Pipeline", "Store"]:
    """The configuration, its pipeline and its store."""
    loaded = read(
        config,
        settings,
        root,
        serving_dir,
        data_dir,
        alias=alias,
        text=text,
        label=label,
        command=command,
    )
    from pipeline.definition import define
    from pipeline.runner.plan import Pipeline
    from pipeline.store import open_store
    from seqline.host import packages

    packages.need_storage(loaded.model_dump())
    pipe = Pipeline()
    define(pipe, loaded)
    return loaded, pipe, open_store(loaded.root)


def beam_flags(context: typer.Context, **flags: str | None) -> list[str]:
    """The flags for Beam.

    Those that have an option of their own, and what followed `--`. Raises UserError for one that
    Beam lacks.
    """
    more = usage.beam_args(context)
    beam.check(more, flags.get("runner"))
    beam_args = [
        *(f"--{name}={value}" for name, value in flags.items() if value is not None),
        *more,
    ]
    from seqline.host import packages
    from seqline.jobs import dataflow

    if dataflow.is_used(beam_args):
        packages.need("Dataflow", packages.DATAFLOW)
    return beam_args
