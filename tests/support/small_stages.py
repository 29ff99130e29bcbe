"""Light components that add numbers, for tests of the runner.

They run in real worker processes, as every stage does, so this module must be importable there.
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.runner.execute import execute
from pipeline.runner.plan import Pipeline
from pipeline.runner.run import Options, StageResult
from pipeline.store.folder import Store
from seqline.component import Component, Figures, Params
from seqline.errors import DataError
from seqline.host import plain_tensorflow


class SourceParams(Params):
    path: str = "data"
    changes: bool = False  # while it is read


class NumberParams(Params):
    number: int = 1
    behaviour: str = "add"


def read(*, params: SourceParams, output: Path) -> Figures:
    value = Path(params.path).read_text()
    (output / "value").write_text(value)
    if params.changes:
        Path(params.path).write_text(value + "0")
    return {"value": int(value)}


def content(params: SourceParams, memory: Path | None = None) -> str | None:
    path = Path(params.path)
    return path.read_text() if path.exists() else None


def write_one(params: SourceParams) -> None:
    Path(params.path).write_text("1")


def add(*, value: Path, params: NumberParams, output: Path) -> Figures:
    (output / "value").write_text(str(int((value / "value").read_text()) + params.number))
    print("a library's noise")
    if params.behaviour == "user error":
        raise DataError("row 3 is bad")
    if params.behaviour == "bug":
        raise KeyError("no such thing")
    if params.behaviour == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if params.behaviour == "meet":
        wait_for_another(value.parents[1] / "meeting")
    if params.behaviour == "tell of the template":
        return {"has_template": plain_tensorflow.template() is not None}
    return {"pid": os.getpid()}


def wait_for_another(place: Path) -> None:
    """Waits until a second process has come to a place."""
    place.mkdir(exist_ok=True)
    (place / str(os.getpid())).touch()
    deadline = time.monotonic() + 120
    while len(list(place.iterdir())) < 2:
        if time.monotonic() > deadline:
            raise DataError("no other stage runs meanwhile")
        time.sleep(0.01)


def describe(figures: Figures) -> str:
    return str(figures)


def source(external_digest: Callable[..., str | None] = content) -> Component:
    return Component(
        "source",
        {},
        "Value",
        SourceParams,
        read,
        describe,
        external_digest=external_digest,
        prepare=write_one,
    )


def adder(name: str = "adder", **fields: Any) -> Component:
    return Component(name, {"value": "Value"}, "Value", NumberParams, add, describe, **fields)


def chain(
    data: Path,
    first: NumberParams = NumberParams(),  # noqa: B008 - frozen
    second: NumberParams = NumberParams(),  # noqa: B008 - frozen
    **fields: Any,
) -> Pipeline:
    """The pipeline source -> first -> second; `fields` are of the component of `second`."""
    pipe = Pipeline()
    value = pipe.add(source(), SourceParams(path=str(data)))
    value = pipe.add(adder("first"), first, value=value)
    pipe.add(adder("second", **fields), second, value=value)
    return pipe


def run(pipe: Pipeline, store: Store, **options: Any) -> list[StageResult]:
    return execute(pipe, store, store.start_run(), Options(**options))


def ran(results: list[StageResult]) -> list[str]:
    """The names of the stages that were not cached."""
    return [result.stage.name for result in results if not result.cached]
