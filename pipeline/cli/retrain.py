"""`seqline retrain`.

What is new, the stages, the gates, the verdict; the exit code says it again.
"""

import importlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from pipeline.cli import chosen, options, usage
from pipeline.cli.options import BeamOptions, Jobs, RetrainOptions, Verbose
from pipeline.cli.terminal import print_hanging
from pipeline.retrain import BUSY, EXIT_CODES, FAILED, NOTHING_NEW, PUSHED, REFUSED, REJECTED

MARKS = {True: "passed", False: "REFUSED", None: "-"}
STYLES = {True: "green", False: "bold red", None: "dim"}
GATE_INDENT = 32


def retrain(
    context: typer.Context,
    common: RetrainOptions,
    beam: BeamOptions,
    bootstrap: Annotated[
        bool,
        typer.Option(
            "--bootstrap", help="make the first model: there is none yet to be no worse than"
        ),
    ] = False,
    jobs: Jobs = 1,
    verbose: Verbose = False,
) -> None:
    """Train on everything not yet trained on, and push it if every gate lets it pass.

    The same by hand and in CI.

    Exit codes: 0 pushed, 10 nothing new, 20 data rejected, 30 a gate refused, 40 busy, 50
    interrupted (run again), 2 bad configuration, 1 a bug.
    """
    from components.trainer.distributed import cluster
    from pipeline import identity
    from pipeline.retrain import decide, lock, state, thresholds
    from pipeline.store import open_store
    from seqline.errors import UserError
    from seqline.host import packages

    out = Console()
    beam_args = options.beam_flags(context, beam)
    loaded = chosen.read(common, "retrain", takes_data=False)
    packages.need_storage(loaded.model_dump())
    thresholds.check(loaded)
    if cluster.read():
        raise UserError(
            "TF_CONFIG is set: seqline retrain trains on one machine, with all its GPUs. Use"
            " seqline run for several."
        )
    store = open_store(loaded.root)
    place = loaded.pusher.serving_dir

    def look() -> tuple[decide.Situation, state.State]:
        identity.check(loaded)
        remembered = state.load(store, loaded.name)
        situation = decide.look(loaded, store, remembered)
        if situation.nothing_new:
            _end(out, situation, NOTHING_NEW, situation.nothing_new)
        decide.check_bootstrap(situation, remembered, bootstrap, place)
        return situation, remembered

    look()
    try:
        with lock.held(store, loaded.name, loaded.retrain.lease_seconds):
            situation, remembered = look()  # another one may have finished meanwhile
            code = _run(out, situation, store, remembered, bootstrap, jobs, verbose, beam_args)
    except lock.BusyError as error:
        say(out, f"{BUSY} ({EXIT_CODES[BUSY]}): {error}")
        raise typer.Exit(EXIT_CODES[BUSY]) from None
    raise typer.Exit(code)


def _run(
    out: Console,
    situation: Any,
    store: Any,
    remembered: Any,
    bootstrap: bool,
    jobs: int,
    verbose: bool,
    beam_args: list[str],
) -> int:
    """Runs the stages, prints gates and verdict; the exit code. Raises what is a bug."""
    from pipeline.cli import console, launch
    from pipeline.dataflow import preflight
    from pipeline.retrain import course as courses
    from seqline.errors import UserError
    from seqline.jobs import dataflow

    print_situation(out, situation)
    course = courses.Course(situation, store, remembered, bootstrap)
    if dataflow.is_used(beam_args):
        preflight.check(course.pipe, situation.config.root, beam_args)
    _compare_starts(out, course, verbose, jobs, beam_args)
    say(out, f"start          {course.attempt['start']}: {course.attempt['why_start']}")
    run = store.start_run()
    course.begin(run)
    told: Sequence[tuple[str, str]] = ()
    try:
        done = launch.execute(
            course.pipe,
            store,
            run,
            courses.options(course, jobs, beam_args),
            out,
            verbose,
            course.watch,
        )
        console.print_warnings(out, done)
    except UserError as error:
        if not course.record:
            raise
        told = error.advice
    finally:
        if course.record:
            print_verdict(out, course.record)
            for label, text in told:
                console.print_advice(out, label, text)
            if path := write_report(store, run):
                say(out, f"report         {path}")
            print_end(out, course.record["verdict"], course.record["reason"])
    return int(course.record["exit_code"])


def _compare_starts(
    out: Console, course: Any, verbose: bool, jobs: int, beam_args: list[str]
) -> None:
    """Warm and cold beside each other, where that is due, each with its lines."""
    from pipeline.cli import launch
    from pipeline.runner.execute import Options

    progress = launch.listen(out, verbose)
    try:
        course.compare_starts(
            Options(jobs=jobs, beam_args=beam_args, on_start=progress.start, on_done=progress.done)
        )
    finally:
        progress.stop()


def write_report(store: Any, run: Path) -> str | None:
    """The report of a run, where this version of seqline writes reports."""
    if find_spec("pipeline.report") is None:
        return None
    found = importlib.import_module("pipeline.report").report_run(store, run, print)
    return str(found) if found else None


def print_situation(out: Console, situation: Any) -> None:
    """What is new, what is served, and what is left out."""
    say(out, f"new            {'; '.join(situation.changed)}")
    served = situation.served
    say(
        out,
        (
            f"served         version {served.version} ({served.digest[:12]})"
            if served
            else "served         nothing yet"
        ),
    )
    _print_left_out(out, situation)


def _print_left_out(out: Console, situation: Any) -> None:
    for number, entry in situation.left_out.items():
        say(out, f"left out       span {number}, since run {entry['run']}: {entry['reason']}")


def print_verdict(out: Console, record: dict[str, Any]) -> None:
    """The gates, in their order."""
    say(out, "")
    for gate in record["gates"]:
        head = Text(f"{MARKS[gate['passed']]:<8} ", STYLES[gate["passed"]]).append(
            f"{gate['name']:<22} ", "default not dim not bold"
        )
        print_hanging(out, head, Text(gate["reason"]), GATE_INDENT)
    say(out, "")


def print_end(out: Console, verdict: str, reason: str) -> None:
    """The last line: the verdict, its exit code and why."""
    style = {
        PUSHED: "bold green",
        NOTHING_NEW: "green",
        REFUSED: "bold red",
        REJECTED: "bold red",
        FAILED: "bold red",
    }
    print_hanging(
        out,
        Text(f"{verdict} ({EXIT_CODES[verdict]}): ", style.get(verdict, "yellow")),
        Text(reason),
        2,
    )


def _end(out: Console, situation: Any, verdict: str, reason: str) -> None:
    _print_left_out(out, situation)
    print_end(out, verdict, reason)
    raise typer.Exit(EXIT_CODES[verdict])


def say(out: Console, line: str) -> None:
    """A line as it is."""
    out.print(line, markup=False, highlight=False, soft_wrap=True)


app = usage.single(retrain, cls=usage.BeamCommand)
