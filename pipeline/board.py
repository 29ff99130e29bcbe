"""A folder that TensorBoard reads: the trainings of a root, under names that a person can read.

    <folder>/<model> <date> <time> <key>/              a training, also one under way:
        events...                                      its settings, its newest Evaluation
        train/  eval/                                  its curves
    <folder>/<model> trial 3 of <date> <time> <key>/   a trial of a search

The files are links into the artifacts, so that TensorBoard sees what a training writes. Those of a
bucket are links to local copies.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pipeline.store.folder import Store
from pipeline.store.layout import RUN
from pipeline.store.records import RUNNING, Execution, RunRecord
from seqline.errors import UserError
from seqline.host.event_files import FOLDER
from seqline.storage.files import is_remote
from seqline.storage.integrity import EXECUTION
from seqline.storage.staging import local_copy

TRAINER, TUNER, EVALUATOR, EXPORTER = "trainer", "tuner", "evaluator", "exporter"
# The folder of an artifact that a run is making.
UNDER_WAY = re.compile(rf"({TRAINER}|{TUNER})-([0-9a-f]{{20}})-[0-9a-f]{{8}}")
# The time in the name of an event file, in seconds.
EVENT_FILE = re.compile(r"events\.out\.tfevents\.(\d+)\.")
# Characters of a key in a name; the last runs among which the one of a training under way is.
KEY_CHARS = 6
NUM_RUNS = 20


@dataclass
class Board:
    """Keeps the folder as the root is.

    Attributes:
        store: the root.
        folder: the folder, which has nothing else.
        copies: place of event files in a bucket -> the local copy. An artifact does not change.
    """

    store: Store
    folder: Path
    copies: dict[Path, Path] = field(default_factory=dict)

    def refresh(self) -> list[str]:
        """Adds what is new and removes what is gone. Returns the names of trainings and trials."""
        wanted = dict(self._entries())
        names = sorted({entry.parts[0] for entry in wanted})
        for path in self.folder.iterdir():
            if path.name not in names:
                path.unlink() if path.is_symlink() else shutil.rmtree(path)
            elif not path.is_symlink():
                for link in path.iterdir():
                    if link.relative_to(self.folder) not in wanted:
                        link.unlink()

        for entry, target in wanted.items():
            link = self.folder / entry
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink() or os.readlink(link) != str(target):
                link.unlink(missing_ok=True)
                link.symlink_to(target)
        return names

    def _entries(self) -> Iterator[tuple[Path, Path]]:
        """(path in the folder, what it links to)."""
        models, searches = (_executions(self.store, name) for name in (TRAINER, TUNER))
        evaluations = _evaluation_of_model(self.store)
        for key, execution in models.items():
            place = self.store.path(TRAINER, key) / FOLDER
            name = _name(execution.name, key, place, execution.started)
            yield from self._links(name, place)
            if evaluation := evaluations.get(key):
                yield from self._links(name, self.store.path(EVALUATOR, evaluation.key) / FOLDER)
        for key, execution in searches.items():
            yield from self._trials(
                execution.name, key, self.store.path(TUNER, key) / FOLDER, execution.started
            )

        for component, key, folder in _under_way(self.store):
            if key in models or key in searches:
                continue
            run = _run_of(self.store, component, key)
            model, place = run.name if run else "", folder / FOLDER
            if component == TUNER:
                yield from self._trials(model, key, place, "")
            else:
                yield from self._links(_name(model, key, place, ""), place)

    def _trials(
        self, model: str, key: str, place: Path, started: str
    ) -> Iterator[tuple[Path, Path]]:
        """The entries of the trials of a search."""
        search = _name("", key, place, started)
        for entry, target in self._links("", place):
            trial = f"trial {entry.name.removeprefix('trial-').lstrip('0') or '0'} of {search}"
            yield Path(f"{model} {trial}".lstrip()), target

    def _links(self, name: str, place: Path) -> Iterator[tuple[Path, Path]]:
        """An entry under a name for each file and folder at a place."""
        local = place
        if is_remote(str(place)):
            if place not in self.copies:
                self.copies[place] = local_copy(place)
            local = self.copies[place]
        with suppress(FileNotFoundError):  # from before there were any, or just committed
            for path in local.iterdir():
                yield Path(name, path.name), path.absolute()


def export(store: Store, folder: Path) -> list[str]:
    """Writes the folder with copies in place of links, so that it can go elsewhere.

    Raises:
        UserError: there is something at its place.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{str(folder)!r} is not an empty folder. Name another one.")
    board = Board(store, folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = board.refresh()
    for link in [path for path in folder.rglob("*") if path.is_symlink()]:
        target = link.resolve()
        link.unlink()
        if target.is_dir():
            shutil.copytree(target, link)
        else:
            shutil.copyfile(target, link)
    return names


def _executions(store: Store, component: str) -> dict[str, Execution]:
    """Key -> record, of the artifacts of a component; not of the damaged ones."""
    executions = {}
    for path in (store.root / component).glob(f"*/{EXECUTION}"):
        with suppress(UserError):
            if execution := store.execution(component, path.parent.name):
                executions[execution.key] = execution
    return executions


def _evaluation_of_model(store: Store) -> dict[str, Execution]:
    """Key of a Model -> the newest Evaluation of the SavedModel that was made of it."""
    exports = _executions(store, EXPORTER)
    evaluations = {}
    for execution in sorted(_executions(store, EVALUATOR).values(), key=lambda each: each.finished):
        if exported := exports.get(execution.inputs["saved_model"].key):
            evaluations[exported.inputs["model"].key] = execution
    return evaluations


def _under_way(store: Store) -> Iterator[tuple[str, str, Path]]:
    """(component, key, folder) of each training and search that a run is at, or that was killed."""
    if is_remote(str(store.root)):
        return  # what is under way is on the machine that trains
    with suppress(FileNotFoundError):
        for path in (store.root / "partial").iterdir():
            if match := UNDER_WAY.fullmatch(path.name):
                yield match[1], match[2], path


def _run_of(store: Store, component: str, key: str) -> RunRecord | None:
    """The run that is making an artifact, if one of the last runs is."""
    for run in store.runs()[-NUM_RUNS:]:
        with suppress(FileNotFoundError, UserError):
            record = RunRecord.read(run / RUN)
            if record.verdict == RUNNING and key in record.uses.get(component, ()):
                return record
    return None


def _name(model: str, key: str, place: Path, started: str) -> str:
    """`bbc_news 2026-11-29 18.03 1f0c2b`: the model, when its training began in UTC, its key.

    It is the same while the training is under way and later.

    Args:
        model: its name, which may be empty.
        key: of the artifact.
        place: of the event files, whose names have the time.
        started: the time if there is none, ISO 8601.
    """
    seconds = []
    with suppress(FileNotFoundError):
        for path in place.rglob("events.*"):
            if match := EVENT_FILE.match(path.name):
                seconds.append(int(match[1]))
    if seconds:
        started = datetime.fromtimestamp(min(seconds), UTC).isoformat()

    time = started[:16].replace("T", " ").replace(":", ".")
    return " ".join(part for part in (model, time, key[:KEY_CHARS]) if part)
