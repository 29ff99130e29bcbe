"""`seqline show`."""

import json
from typing import Annotated

import typer

from pipeline.cli import options, usage
from pipeline.cli.options import (
    AsJson,
    RootPlace,
)


def show(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help=options.RUN_HELP)] = "latest",
    root: RootPlace = "artifacts",
    as_json: AsJson = False,
) -> None:
    """Show a run: its stages, figures and lineage."""
    from rich.console import Console

    from pipeline.cli import print_run as showing
    from pipeline.report import reference

    store = reference.store_of(root)
    runs = {path.name: path for path in store.runs()}
    record = json.loads((runs[reference.find(store, run_id)] / "run.json").read_text())
    executions = {
        each["component"]: store.execution(each["component"], each["key"])
        for each in record["stages"]
    }
    if as_json:
        print(json.dumps({**record, "executions": executions}, indent=2))
        return
    showing.print_run(Console(), record, executions, runs[record["run"]])


app = usage.single(show)
