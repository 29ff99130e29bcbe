"""A configuration's pipeline and store, and the stages that a call or a command selects."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import Config
from pipeline.definition import define
from pipeline.runner.plan import Pipeline
from pipeline.runner.run import Options, StageResult
from pipeline.store import open_store
from pipeline.store.folder import Store
from seqline.errors import UserError
from seqline.suggest import suggestion

# Runs the stages of a pipeline and returns them in the order in which they ended.
Execute = Callable[[Pipeline, Store, Path, Options], list[StageResult]]


@dataclass(frozen=True)
class Show:
    """Shows a run to its user.

    Attributes:
        execute: Runs the stages, and says what they do.
        warn: Gets a sentence if the report cannot be written.
        on_report: Gets the path of the report, once it is written.
        on_tracked: Gets the name of each tracker, and where it shows the run.
    """

    execute: Execute
    warn: Callable[[str], None]
    on_report: Callable[[Path], None] = lambda page: None
    on_tracked: Callable[[str], None] = lambda line: None


@dataclass(frozen=True)
class Prepared:
    """A pipeline of which some stages may run.

    Attributes:
        config: The configuration.
        pipe: The stages up to the last selected one.
        store: Where their artifacts are.
        selected: The names of the stages that may run. Those before them must be finished.
        forced: The names of the stages that run even if they are finished.
    """

    config: Config
    pipe: Pipeline
    store: Store
    selected: list[str]
    forced: list[str]


def prepare(
    config: Config,
    first: str | None = None,
    last: str | None = None,
    force: bool = False,
    names: tuple[str, str] = ("--from", "--to"),
) -> Prepared:
    """Makes the pipeline of a configuration and selects its stages. Reads no data.

    Args:
        config: The configuration.
        first: The name of the first stage that may run; None for the first of all.
        last: The name of the last one; None for the last of all.
        force: Whether the selected stages run even if they are finished.
        names: What the user calls `first` and `last`, for errors.

    Raises:
        UserError: A stage does not exist, a package is missing, or the network is too large.
    """
    from pipeline import sizes
    from seqline.host import packages

    packages.need_storage(config.model_dump())
    sizes.check(config)
    pipe = Pipeline()
    define(pipe, config)

    selected = select([stage.name for stage in pipe.stages], first, last, names)
    last_place = [stage.name for stage in pipe.stages].index(selected[-1])
    pipe.stages = pipe.stages[: last_place + 1]
    return Prepared(config, pipe, open_store(config.root), selected, selected if force else [])


def select(
    stages: list[str], first: str | None, last: str | None, names: tuple[str, str]
) -> list[str]:
    """The names of the stages from the first to the last, which may be None.

    Raises:
        UserError: One is no stage, or there is none from the first to the last.
    """
    for given, name in zip(names, (first, last), strict=True):
        if name is not None and name not in stages:
            raise UserError(
                f"{given} {name!r} is not a stage; the stages are"
                f" {', '.join(stages)}.{suggestion(name, stages)}"
            )

    start = stages.index(first) if first else 0
    end = stages.index(last) + 1 if last else None
    selected = stages[start:end]
    if not selected:
        raise UserError(
            f"{names[0]} {first} {names[1]} {last} selects no stage; their order is"
            f" {', '.join(stages)}."
        )
    return selected


def carry_out(
    prepared: Prepared,
    options: Options,
    show: Show,
    track: Sequence[str] = (),
    called: Sequence[str] = (),
) -> tuple[Path, list[StageResult]]:
    """Starts a run, executes its stages and writes its report, whether they succeed or not.

    Args:
        prepared: The pipeline.
        options: Where and how to run. What the run is called with is added here.
        show: Shows the run to its user.
        track: The names of trackers, which are told of the run.
        called: The command that the user typed; none for a call of the API.

    Returns:
        (the folder of the run, the results of its stages).

    Raises:
        UserError: A tracker is unknown, its package is missing, or its server does not answer.
    """
    from pipeline import report, trackers
    from pipeline.report.reproduce import about
    from pipeline.trackers.following import following

    pipe, store, config = prepared.pipe, prepared.store, prepared.config
    options.about = lambda results, error: about(config, pipe, called)

    opened = trackers.open_trackers(track)
    folder = store.start_run()
    tracked = trackers.TrackedRun(folder, pipe, store, config.model_dump(mode="json"), called)
    with following(opened, tracked, options, show.on_tracked):
        try:
            return folder, show.execute(pipe, store, folder, options)
        finally:
            if page := report.report_run(store, folder, show.warn):
                show.on_report(page)
