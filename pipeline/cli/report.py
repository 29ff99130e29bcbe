"""`seqline report`, `seqline history` and `seqline compare`."""

import json
import os
from collections.abc import Iterable
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
                "OWNER/REPO#NUMBER: post the summary as a comment there, or update it; needs"
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
    """Write the report of a run again: report.html, report.md and report.json in its folder.

    Every run ends with a report.
    """
    from pipeline.report import JSON, MARKDOWN, STEP_SUMMARY, records, reference, write_report
    from seqline.errors import UserError

    store = reference.store_of(root)
    if summary and not os.environ.get(STEP_SUMMARY):
        raise UserError(
            f"--summary needs {STEP_SUMMARY} in the environment: the file to append to."
        )

    name = reference.find(store, run)
    page = write_report(store, name, summary)
    _say_once(records.read(store, name).damaged)
    if as_json:
        print((page.parent / JSON).read_text(), end="")
    else:
        print(page)

    if comment:
        from pipeline.report.comment import comment as publish

        url, is_new = publish(comment, (page.parent / MARKDOWN).read_text(encoding="utf-8"))
        typer.echo(f"{'new comment' if is_new else 'updated'}: {url}", err=as_json)


def history(
    root: RootPlace = "artifacts",
    num: Annotated[
        int | None,
        typer.Option("-n", min=1, help="number of most recent runs to list; all if none is given"),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="only the runs of the model with this name")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the runs, newest last.

    Verdict, accuracy, gain over the served version, the version pushed, and why.
    """
    from pipeline.cli.print_history import print_history
    from pipeline.report import history as listing
    from pipeline.report import reference

    entries = listing.history(reference.store_of(root), num, name)
    if as_json:
        print(json.dumps(entries, indent=2))
    else:
        print_history(Console(), entries)
    _say_once(line for entry in entries for line in entry["damaged"])


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help=RUN_HELP)],
    second: Annotated[str, typer.Argument(metavar="B", help="another run")],
    root: RootPlace = "artifacts",
    as_json: AsJson = False,
) -> None:
    """Compare two runs.

    Figures, classes, learning curves, and what differs in parameters, data, code and libraries.
    """
    from pipeline.cli.print_comparison import print_comparison
    from pipeline.report import compare as comparing
    from pipeline.report import records, reference

    store = reference.store_of(root)
    one, other = (records.read(store, reference.find(store, run)) for run in (first, second))
    comparison = comparing.compare(one, other)
    if as_json:
        print(json.dumps(comparison, indent=2))
    else:
        print_comparison(Console(), comparison)
    _say_once([*one.damaged, *other.damaged])


def _say_once(sentences: Iterable[str]) -> None:
    """Tells of damaged records that were passed over; several runs may have used one."""
    for sentence in dict.fromkeys(sentences):
        typer.echo(f"note: {sentence}", err=True)


app, history_app, compare_app = usage.single(report), usage.single(history), usage.single(compare)
