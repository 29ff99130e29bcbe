"""`seqline show`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.cli import options, usage
from pipeline.cli.options import AsJson, RootPlace


def show(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help=options.RUN_HELP)] = "latest",
    root: RootPlace = "artifacts",
    as_json: AsJson = False,
) -> None:
    """Show a run: its stages, figures and lineage."""
    from rich.console import Console

    from pipeline.cli.print_run import print_run
    from pipeline.report import records, reference

    store = reference.store_of(root)
    run = records.read(store, reference.find(store, run_id), files=False)
    if as_json:
        # A stage whose artifact was deleted has no execution, nor has one whose record is damaged.
        executions = {
            stage.component: asdict(run.executions[stage.component])
            if stage.component in run.executions
            else None
            for stage in run.record.stages
        }
        print(json.dumps({**run.record.as_json(), "executions": executions}, indent=2))
        for sentence in run.damaged:
            typer.echo(f"note: {sentence}", err=True)
        return
    print_run(Console(), run, records.folder_of(store, run.name))


app = usage.single(show)
