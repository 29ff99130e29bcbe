"""seqline.run: the stages of a run for a program or a notebook."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from pipeline.api.config import Configured, Settings, configure
from pipeline.api.errors import explained, stop_as_usual
from pipeline.api.outcome import Run
from pipeline.api.plans import NAMES
from pipeline.api.prepare import Execute, Show, carry_out, prepare
from pipeline.runner.execute import execute as execute_pipeline
from pipeline.runner.plan import Pipeline, Stage
from pipeline.runner.run import Options, StageResult
from pipeline.runner.stopping import stopping
from pipeline.store.folder import Store
from seqline.errors import StoppedError, UserError

log = logging.getLogger("seqline.api")


def run(
    config: Configured,
    root: str | PathLike[str] | None = None,
    to: str | None = None,
    from_: str | None = None,
    serving_dir: str | PathLike[str] | None = None,
    settings: Settings = None,
    force: bool = False,
    jobs: int = 1,
    track: Sequence[str] = (),
    verbose: bool = False,
) -> Run:
    """Runs the stages that are not finished, as `seqline run` does.

    >>> import seqline
    >>> run = seqline.run(
    ...     {"example_gen": {"source": rows}, "trainer": {"num_epochs": 2}},
    ...     root=folder, to="evaluator",
    ... )
    >>> run.verdict
    'finished'
    >>> run.model().predict(["a good film"])
    ['pos']

    Args:
        config: A TOML file, the name of a configuration that ships, data (a file of rows), a dict
            of tables, or a seqline.Config. In a dict, example_gen.source may be a pandas or polars
            DataFrame, an Arrow table, or a Hugging Face dataset.
        root: Where artifacts, records and logs are kept; a folder, or a place in a bucket.
        to: The last stage that may run.
        from_: The first stage that may run; the stages before it must be finished.
        serving_dir: Where versions are published.
        settings: Single values over the configuration: {"trainer.num_epochs": 2}.
        force: Run the selected stages again even if they are finished.
        jobs: The number of stages that may run at once, each in a process of its own.
        track: Tools that are also told of the run: "mlflow", "openlineage", "wandb".
        verbose: Print the lines that the command prints. Otherwise logger `seqline.api` gets a line
            for each stage, and warnings.

    Returns:
        The run.

    Raises:
        UserError: Something that the user can put right: a value, the data (DataError), or a model
            that a gate refused (NotBlessedError). `seqline.open_run(root=...)` is the run so far.
        KeyboardInterrupt: Ctrl-C, or a notebook's stop button. Nothing half-made was kept, and the
            same call goes on from there.
    """
    _check(jobs)
    with explained():
        config = configure(config, root, serving_dir, settings)
        ready = prepare(config, from_, to, force, NAMES)
    options = Options(jobs=jobs, force=ready.forced, selected=ready.selected)

    names = [track] if isinstance(track, str) else list(track)
    execute = _printed(config.pusher.serving_dir) if verbose else _logged
    show = Show(execute, log.warning, on_tracked=lambda line: log.info("tracked by %s", line))
    with _stoppable(), explained():
        folder, _ = carry_out(ready, options, show, names)

    finished = Run(ready.store, folder.name)
    for warning in finished.warnings if not verbose else ():
        log.warning("%s", warning)
    return finished


def _check(jobs: int) -> None:
    """Refuses what only the command can do."""
    from components.trainer.distributed import cluster

    if type(jobs) is not int or jobs < 1:
        raise UserError(f"jobs is {jobs!r}; give a number of stages, 1 or more.")
    if cluster.read():
        raise UserError(
            "TF_CONFIG is set: seqline.run trains on one machine, with all its GPUs. Use the"
            " command seqline run for several."
        )


def _logged(pipe: Pipeline, store: Store, folder: Path, options: Options) -> list[StageResult]:
    """Runs the stages, with a line for each in the log."""
    from pipeline.cli.advice import advise

    ended: list[StageResult] = []
    tell_of_start, tell_of_end = options.on_start, options.on_done

    def start(stage: Stage) -> None:
        log.info("%s started", stage.name)
        tell_of_start(stage)

    def done(result: StageResult) -> None:
        ended.append(result)
        took = "cached" if result.cached else f"{result.seconds:.1f} s"
        line = result.stage.component.describe(result.figures)
        log.info("%s (%s): %s", result.stage.name, took, line)
        tell_of_end(result)

    options.on_start, options.on_done = start, done
    try:
        return execute_pipeline(pipe, store, folder, options)
    except UserError as error:
        error.advice = advise(error, ended)
        raise


def _printed(serving_dir: str) -> Execute:
    """Runs the stages, with the lines that the command prints."""

    def show(pipe: Pipeline, store: Store, folder: Path, options: Options) -> list[StageResult]:
        import sys

        from rich.console import Console

        from pipeline.cli import console, launch

        logger, started = logging.getLogger("seqline"), time.monotonic()
        handlers = list(logger.handlers)
        # Lines, also in a notebook: what rich draws there needs widgets.
        out = Console(file=sys.stdout, force_jupyter=False)
        try:
            results = launch.execute(pipe, store, folder, options, out, verbose=False)
            console.print_summary(out, results, started, serving_dir)
        finally:
            logger.handlers = handlers
        return results

    return show


@contextmanager
def _stoppable() -> Iterator[None]:
    """Ends the work within the block on SIGINT and SIGTERM, and leaves the process to its program.

    The handlers are the program's again when the signal takes its effect there.
    """
    stopped: StoppedError | None = None
    with stopping("between two stages", owns_process=False) as stop:
        try:
            yield
        except StoppedError as error:
            stopped = error
        except Exception:
            if not stop.by:
                raise
            # A library has put its own error in the place of the stop.
            stopped = StoppedError(stop.where, stop.by)
    if stopped:
        raise stop_as_usual(stopped) from None
