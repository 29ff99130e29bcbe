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
    leaderboard: Annotated[
        bool,
        typer.Option(
            "--leaderboard",
            help="write the page of all runs, index.html of the root, and no report",
        ),
    ] = False,
) -> None:
    """Write the report of a run again: report.html, report.md and report.json in its folder.

    Every run ends with a report.
    """
    from pipeline.report import JSON, MARKDOWN, STEP_SUMMARY, records, reference, write_report
    from seqline.errors import UserError

    store = reference.store_of(root)
    if leaderboard:
        from pipeline.report.leaderboard import write_leaderboard

        print(write_leaderboard(store))
        return
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
        typer.Option(
            "-n",
            "--limit",
            min=1,
            help="number of most recent runs to list, or of the first ones"
            " by --sort; all if none is given",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="only the runs of the model with this name")
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            "--sort",
            metavar="COLUMN",
            help="best first by accuracy, macro_f1, cross_entropy, served or took; or by when,"
            " version, run, model or verdict; what has no value comes last",
        ),
    ] = None,
    is_reversed: Annotated[bool, typer.Option("--reverse", help="the other way round")] = False,
    verdicts: Annotated[
        list[str] | None,
        typer.Option(
            "--verdict",
            help="only runs that ended so: pushed, refused, failed, ...; can be repeated",
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="DATE", help="only runs from this date on (UTC)"),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="DATE", help="only runs before this date (UTC)")
    ] = None,
    min_accuracy: Annotated[
        float | None,
        typer.Option("--min-accuracy", min=0, max=1, help="only runs with at least this accuracy"),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            metavar="NAME=VALUE",
            help="only runs with this setting: trainer.rnn_units=128; can be repeated",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the runs, newest last.

    Verdict, accuracy, gain over the served version, the version pushed, and why.
    """
    from pipeline.cli.print_history import print_history
    from pipeline.report import history as listing
    from pipeline.report import reference
    from pipeline.report.listing import make_filter

    wanted = make_filter(verdicts or [], since, until, min_accuracy, where or [])
    entries = listing.history(reference.store_of(root), num, name, wanted, sort, is_reversed)
    if as_json:
        print(json.dumps(entries, indent=2))
    else:
        print_history(Console(), entries, sort)
    _say_once(line for entry in entries for line in entry["damaged"])


def compare(
    runs: Annotated[list[str], typer.Argument(metavar="A B ...", help=f"two or more: {RUN_HELP}")],
    root: RootPlace = "artifacts",
    as_json: AsJson = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="print GitHub's Markdown, for a pull request")
    ] = False,
    page: Annotated[
        str | None, typer.Option("--html", metavar="FILE", help="write a page with charts")
    ] = None,
) -> None:
    """Compare two or more runs.

    Figures with the best of each, classes, learning curves, and what differs in parameters, data,
    code and libraries. Differences are from the first run.
    """
    from pipeline.cli.print_comparison import print_comparison
    from pipeline.report import compare as comparing
    from pipeline.report import comparison_pages, records, reference
    from seqline.errors import UserError

    if len(runs) < 2:
        raise UserError(f"compare needs two runs or more, such as {runs[0]} and latest.")
    if as_json and as_markdown:
        raise UserError("--json and --markdown both print: leave one of them out.")

    store = reference.store_of(root)
    compared = [records.read(store, reference.find(store, run)) for run in runs]
    comparison = comparing.compare(*compared)
    if page:
        comparison_pages.write(comparison, compared, page)

    if as_json:
        print(json.dumps(comparison, indent=2))
    elif as_markdown:
        print(comparison_pages.markdown_of(comparison), end="")
    elif page:
        print(page)
    else:
        print_comparison(Console(), comparison)
    _say_once(sentence for run in compared for sentence in run.damaged)


def _say_once(sentences: Iterable[str]) -> None:
    """Tells of damaged records that were passed over; several runs may have used one."""
    for sentence in dict.fromkeys(sentences):
        typer.echo(f"note: {sentence}", err=True)


app, history_app, compare_app = usage.single(report), usage.single(history), usage.single(compare)
