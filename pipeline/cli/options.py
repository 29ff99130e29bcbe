"""The options that commands share. An option means the same in every command that has it.

A command takes one of the records below as a parameter: `usage.single` replaces the parameter by
the record's options. Imports nothing heavy.
"""

from dataclasses import dataclass
from typing import Annotated

import typer

from pipeline.cli import beam_flags as beam
from pipeline.cli import usage
from pipeline.cli.chosen import Common

ROOT_HELP = (
    "where artifacts, records and logs are kept: a folder, or gs://, s3:// or az://bucket/path"
)
SERVING_HELP = "where versions are published: a folder, or gs://, s3:// or az://bucket/path"
RUN_HELP = (
    "a run: its name, or the beginning or end of it; latest, previous or served; or the version"
    " that it pushed"
)
CONFIG_HELP = "a TOML file, or the name of a configuration that comes with seqline (bbc_news)"

Config = Annotated[
    str | None,
    typer.Argument(metavar="CONFIG", help=f"{CONFIG_HELP}; seqline.toml if none is given"),
]
ConfigOrData = Annotated[
    str | None,
    typer.Argument(
        metavar="CONFIG",
        help=f"{CONFIG_HELP}; or the data itself: a file, a glob, or a folder of classes",
    ),
]
Alias = Annotated[str | None, typer.Option("--config", "-c", help="the same as CONFIG")]
Text = Annotated[
    list[str] | None,
    typer.Option(
        "--text",
        help="column of the content (example_gen.text); can be repeated: the contents are joined",
    ),
]
Label = Annotated[
    str | None, typer.Option("--label", help="column of the label (example_gen.label)")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="NAME=VALUE",
        help="override one value of the configuration: trainer.rnn_units=128",
    ),
]
Root = Annotated[str | None, typer.Option("--root", help=ROOT_HELP)]
ServingDir = Annotated[str | None, typer.Option("--serving-dir", help=SERVING_HELP)]
DataDir = Annotated[
    str | None,
    typer.Option("--data-dir", help="where tensorflow-datasets keeps the data it has prepared"),
]
Jobs = Annotated[
    int,
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        envvar="SEQLINE_JOBS",
        help="number of stages that may run at once, each in its own process",
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        envvar="SEQLINE_VERBOSE",
        help="also print the stages' messages while they run",
    ),
]
Track = Annotated[
    list[str] | None,
    typer.Option(
        "--track",
        metavar="NAME",
        envvar="SEQLINE_TRACK",
        help="also tell this tool of the run: mlflow, openlineage or wandb; can be repeated",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON, for programs")]
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
        help="a SavedModel, or a folder with versions of one; local or in a bucket",
    ),
]
Unverified = Annotated[
    bool,
    typer.Option(
        "--unverified", help="ask a version whose files are not those that were pushed, too"
    ),
]
BeamRunner = Annotated[
    str | None,
    typer.Option(
        "--runner",
        envvar="SEQLINE_RUNNER",
        help="where Beam runs: FnApiRunner (on this machine), DataflowRunner, ...",
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
        help="Dataflow: gs://bucket/path for staged files",
    ),
]
Image = Annotated[
    str | None,
    typer.Option(
        "--sdk_container_image",
        envvar="SEQLINE_SDK_CONTAINER_IMAGE",
        help="Dataflow: the workers' image, which holds code and dependencies",
    ),
]


@dataclass(frozen=True)
class ConfigOptions(Common):
    """The options that name a configuration and its places."""

    config: Config = None
    alias: Alias = None
    settings: Settings = None
    root: Root = None
    serving_dir: ServingDir = None


@dataclass(frozen=True)
class RetrainOptions(ConfigOptions):
    """The same, and the folder of data sets."""

    data_dir: DataDir = None


@dataclass(frozen=True)
class RunOptions(RetrainOptions):
    """The same. The configuration may also be data, whose columns are then options."""

    config: ConfigOrData = None
    text: Text = None
    label: Label = None


@dataclass(frozen=True)
class BeamOptions:
    """The flags for Beam that have an option of their own. Their names are Beam's."""

    runner: BeamRunner = None
    project: Project = None
    region: Region = None
    temp_location: TempLocation = None
    sdk_container_image: Image = None


def beam_flags(context: typer.Context, options: BeamOptions | None = None) -> list[str]:
    """The flags for Beam: those with an option of their own, and those after `--`.

    Raises:
        UserError: a flag is not one of Beam's, Dataflow's packages are not installed, or the job
            server, the engine or the worker pool that the flags name is not there.
    """
    own = vars(options or BeamOptions())
    others = usage.beam_args(context)
    beam.check(others, own["runner"])

    flags = [f"--{name}={value}" for name, value in own.items() if value is not None]
    flags += others

    from seqline.host import packages
    from seqline.jobs import dataflow, portable

    if dataflow.is_used(flags):
        packages.need("Dataflow", packages.DATAFLOW)
    portable.check(flags)
    return flags
