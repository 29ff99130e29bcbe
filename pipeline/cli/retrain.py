"""`seqline retrain`: prints what is new, the stages, the gates and the verdict.

The exit code tells the verdict, too.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from pipeline.cli import chosen, options, usage
from pipeline.cli.options import BeamOptions, Jobs, RetrainOptions, Track, Verbose
from pipeline.cli.terminal import print_hanging
from pipeline.retrain import BUSY, EXIT_CODES, FAILED, NOTHING_NEW, PUSHED, REFUSED, REJECTED

if TYPE_CHECKING:
    from pipeline.retrain.attempt import RetrainAttempt
    from pipeline.retrain.decide import Situation
    from pipeline.retrain.state import State
    from pipeline.store.folder import Store
    from pipeline.trackers import Tracker

MARKS = {True: "passed", False: "REFUSED", None: "-"}
STYLES = {True: "green", False: "bold red", None: "dim"}
VERDICT_STYLES = {
    PUSHED: "bold green",
    NOTHING_NEW: "green",
    REFUSED: "bold red",
    REJECTED: "bold red",
    FAILED: "bold red",
}
GATE_INDENT = 32  # where the reasons begin


def retrain(
    context: typer.Context,
    common: RetrainOptions,
    beam: BeamOptions,
    bootstrap: Annotated[
        bool,
        typer.Option("--bootstrap", help="make the first model, which is compared with no other"),
    ] = False,
    jobs: Jobs = 1,
    verbose: Verbose = False,
    track: Track = None,
) -> None:
    """Train on everything not yet trained on, and push it if every gate lets it pass.

    The same by hand and in CI.

    Exit codes: 0 pushed, 10 nothing new, 20 data rejected, 30 a gate refused, 40 busy, 50
    interrupted (run again), 2 bad configuration, 1 a bug.
    """
    from components.trainer.distributed import cluster
    from pipeline import identity, sizes, trackers
    from pipeline.retrain import decide, lock, state, thresholds
    from pipeline.store import open_store
    from seqline.errors import UserError
    from seqline.host import packages

    out = Console()
    beam_args = options.beam_flags(context, beam)
    loaded = chosen.read(common, "retrain", takes_data=False)
    packages.need_storage(loaded.model_dump())
    thresholds.check(loaded)
    trackers.chosen(track or [])
    sizes.check(loaded)

    if cluster.read():
        raise UserError(
            "TF_CONFIG is set: seqline retrain trains on one machine, with all its GPUs. "
            "Use seqline run for several."
        )

    store = open_store(loaded.root)

    def inspect() -> "tuple[Situation, State]":
        """Ends the command if there is nothing to do."""
        identity.check(loaded)
        remembered = state.load(store, loaded.name)
        situation = decide.inspect(loaded, store, remembered)

        if situation.nothing_new:
            _print_left_out(out, situation)
            print_end(out, NOTHING_NEW, situation.nothing_new)
            raise typer.Exit(EXIT_CODES[NOTHING_NEW])

        decide.check_bootstrap(situation, remembered, bootstrap, loaded.pusher.serving_dir)
        return situation, remembered

    inspect()
    try:
        with lock.held(store, loaded.name, loaded.retrain.lease_seconds):
            from pipeline.retrain.attempt import RetrainAttempt

            # Once more: another retraining may have finished meanwhile.
            situation, remembered = inspect()
            print_situation(out, situation)
            attempt = RetrainAttempt(situation, store, remembered, bootstrap)
            opened = trackers.open_trackers(track or [])
            code = _run(out, attempt, jobs, verbose, beam_args, opened)
    except lock.BusyError as error:
        say(out, f"{BUSY} ({EXIT_CODES[BUSY]}): {error}")
        raise typer.Exit(EXIT_CODES[BUSY]) from None
    raise typer.Exit(code)


def _run(
    out: Console,
    attempt: "RetrainAttempt",
    jobs: int,
    verbose: bool,
    beam_args: list[str],
    opened: list["Tracker"],
) -> int:
    """Runs the stages, prints gates and verdict, and returns the exit code. Raises bugs."""
    from pipeline.cli import console, launch
    from pipeline.dataflow import preflight
    from pipeline.retrain.attempt import options as options_of
    from pipeline.trackers import TrackedRun
    from pipeline.trackers.following import following
    from seqline.errors import UnfinishedError, UserError
    from seqline.jobs import dataflow

    store = attempt.store
    if dataflow.is_used(beam_args):
        preflight.check(attempt.pipe, attempt.config.root, beam_args)

    _compare_starts(out, attempt, verbose, jobs, beam_args)
    say(out, f"start          {attempt.attempt.start}: {attempt.attempt.why_start}")

    run = store.start_run()
    attempt.begin(run)
    how = options_of(attempt, jobs, beam_args)
    tracked = TrackedRun(
        run,
        attempt.pipe,
        store,
        attempt.config.model_dump(mode="json"),
        ["seqline", *sys.argv[1:]],
    )
    advice: Sequence[tuple[str, str]] = ()
    with following(opened, tracked, how, lambda line: say(out, f"tracked        {line}")):
        try:
            results = launch.execute(attempt.pipe, store, run, how, out, verbose, attempt.watch)
            console.print_warnings(out, results)
        except (UserError, UnfinishedError) as error:
            if not attempt.record:
                raise
            advice = getattr(error, "advice", ())
        finally:
            if attempt.record:
                _print_outcome(out, attempt.record, advice, store, run)
    return int(attempt.record["exit_code"])


def _compare_starts(
    out: Console, attempt: "RetrainAttempt", verbose: bool, jobs: int, beam_args: list[str]
) -> None:
    """Trains both warm and cold if that is due, and prints the lines of both."""
    from pipeline.cli import launch
    from pipeline.runner.run import Options

    progress = launch.listen(out, verbose)
    try:
        attempt.compare_starts(
            Options(jobs=jobs, beam_args=beam_args, on_start=progress.start, on_done=progress.done)
        )
    finally:
        progress.stop()


def print_situation(out: Console, situation: "Situation") -> None:
    """Prints what is new, what is served, and which spans are left out."""
    say(out, f"new            {'; '.join(situation.changed)}")
    served = situation.served
    version = f"version {served.version} ({served.digest[:12]})" if served else "nothing yet"
    say(out, f"served         {version}")
    _print_left_out(out, situation)


def _print_left_out(out: Console, situation: "Situation") -> None:
    for number, span in situation.left_out.items():
        say(out, f"left out       span {number}, since run {span.run}: {span.reason}")


def _print_outcome(
    out: Console,
    record: dict[str, Any],
    advice: Sequence[tuple[str, str]],
    store: "Store",
    run: Path,
) -> None:
    from pipeline import report
    from pipeline.cli import console

    print_gates(out, record["gates"])
    for label, text in advice:
        console.print_advice(out, label, text)

    if path := report.report_run(store, run, print):
        say(out, f"report         {path}")
    print_end(out, record["verdict"], record["reason"])


def print_gates(out: Console, gates: Sequence[dict[str, Any]]) -> None:
    """Prints the gates in their order, between two empty lines."""
    say(out, "")
    for gate in gates:
        head = Text(f"{MARKS[gate['passed']]:<8} ", STYLES[gate["passed"]]).append(
            f"{gate['name']:<22} ", "default not dim not bold"
        )
        print_hanging(out, head, Text(gate["reason"]), GATE_INDENT)
    say(out, "")


def print_end(out: Console, verdict: str, reason: str) -> None:
    """Prints the last line: the verdict, its exit code, and the reason."""
    style = VERDICT_STYLES.get(verdict, "yellow")
    head = Text(f"{verdict} ({EXIT_CODES[verdict]}): ", style)
    print_hanging(out, head, Text(reason), 2)


def say(out: Console, line: str) -> None:
    """Prints a line as it is."""
    out.print(line, markup=False, highlight=False, soft_wrap=True)


app = usage.single(retrain, cls=usage.BeamCommand)
