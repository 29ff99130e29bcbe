"""`seqline report`, `seqline history`, `seqline compare`."""

import json
import os
from typing import Annotated

import typer
from rich.console import Console

from pipeline.cli import usage
from pipeline.cli.options import RUN_HELP, AsJson, RootPlace


def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)] = "latest",
    root: RootPlace = "artifacts",
    as_json: AsJson = False,
    comment: Annotated[
        str | None,
        typer.Option(
            "--comment",
            help=(
                "OWNER/REPO#NUMBER: make the summary a comment there, or update it; needs"
                " GITHUB_TOKEN"
            ),
        ),
    ] = None,
    summary: Annotated[
        bool,
        typer.Option(
            "--summary", help="append the summary to the file that GITHUB_STEP_SUMMARY names"
        ),
    ] = False,
) -> None:
    """Write a run's report anew.

    Report.html, report.md and report.json in its folder. Every run ends with it.
    """
    from pipeline.report import JSON, MARKDOWN, STEP_SUMMARY, reference, write_report
    from seqline.errors import UserError

    store = reference.store_of(root)
    if summary and not os.environ.get(STEP_SUMMARY):
        raise UserError(
            f"--summary needs {STEP_SUMMARY} in the environment: the file to append to."
        )
    written = write_report(store, reference.find(store, run), summary)
    if as_json:
        print((written.parent / JSON).read_text(), end="")
    else:
        print(written)
    if comment:
        from pipeline.report.comment import comment as publish

        url, is_new = publish(comment, (written.parent / MARKDOWN).read_text(encoding="utf-8"))
        typer.echo(f"{'new comment' if is_new else 'updated'}: {url}", err=as_json)


def history(
    root: RootPlace = "artifacts",
    num: Annotated[
        int | None, typer.Option("-n", min=1, help="the last so many; all if none is given")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="only the runs of the model with this name")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the runs, the newest last.

    Verdict, accuracy, against the served version, the version pushed, why.
    """
    from pipeline.report import history as listing
    from pipeline.report import reference

    found = listing.history(reference.store_of(root), num, name)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        listing.show(Console(), found)


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help=RUN_HELP)],
    second: Annotated[str, typer.Argument(metavar="B", help="another one")],
    root: RootPlace = "artifacts",
    as_json: AsJson = False,
) -> None:
    """Compare two runs.

    Figures, classes, what differs in parameters, data, code and libraries, learning curves.
    """
    from pipeline.report import compare as comparing
    from pipeline.report import records, reference

    store = reference.store_of(root)
    found = comparing.compare(
        *(records.read(store, reference.find(store, each)) for each in (first, second))
    )
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        comparing.show(Console(), found)


app, history_app, compare_app = usage.single(report), usage.single(history), usage.single(compare)
