"""The options that commands share, and what becomes of them. Imports nothing heavy."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from components import dataflow, packages

if TYPE_CHECKING:
    from pipeline import config as configuration
    from pipeline.runner import Pipeline
    from pipeline.store import Store

DEFAULT = "bbc_news"

Config = Annotated[str, typer.Option("--config", "-c", help="a TOML file, or the name of one that ships")]
Settings = Annotated[list[str] | None, typer.Option("--set", "-s", help="lay one value over the configuration: trainer.rnn_units=128")]
Root = Annotated[str | None, typer.Option("--root", help="where artifacts, records and logs lie: a folder, or gs://bucket/path")]
ServingDir = Annotated[str | None, typer.Option("--serving-dir", help="where versions are published")]
DataDir = Annotated[str | None, typer.Option("--data-dir", help="where tensorflow-datasets keeps what it prepared")]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, help="stages that may run at once, each in a process of its own")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="also print what the stages say while they run")]
BeamRunner = Annotated[str | None, typer.Option("--runner", help="where Beam runs: FnApiRunner (here), DataflowRunner, ...")]
Project = Annotated[str | None, typer.Option("--project", help="Dataflow: the Google Cloud project")]
Region = Annotated[str | None, typer.Option("--region", help="Dataflow: where the workers run")]
TempLocation = Annotated[str | None, typer.Option("--temp_location", help="Dataflow: gs://bucket/path for what is staged")]
Image = Annotated[str | None, typer.Option("--sdk_container_image", help="Dataflow: the workers' image, with code and dependencies in it")]


def read(
    config: str, settings: Sequence[str] | None, root: str | None, serving_dir: str | None, data_dir: str | None
) -> "configuration.Config":
    """The configuration with the flags of places laid over it."""
    from pipeline import config as configuration

    places = {"root": root, "pusher.serving_dir": serving_dir, "example_gen.data_dir": data_dir}
    loaded = configuration.load(config, settings or [], {name: place for name, place in places.items() if place is not None})
    packages.need_storage(loaded.model_dump())
    return loaded


def load(
    config: str, settings: Sequence[str] | None, root: str | None, serving_dir: str | None, data_dir: str | None
) -> tuple["configuration.Config", "Pipeline", "Store"]:
    """The configuration, its pipeline and its store."""
    from pipeline.definition import define
    from pipeline.runner import Pipeline
    from pipeline.store import open_store

    loaded = read(config, settings, root, serving_dir, data_dir)
    pipe = Pipeline()
    define(pipe, loaded)
    return loaded, pipe, open_store(loaded.root)


def beam_flags(more: Sequence[str], **flags: str | None) -> list[str]:
    """The flags for Beam: those that have an option of their own, and what followed `--`."""
    beam_args = [*(f"--{name}={value}" for name, value in flags.items() if value is not None), *more]
    if dataflow.is_used(beam_args):
        packages.need("Dataflow", packages.DATAFLOW)
    return beam_args
