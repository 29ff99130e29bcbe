"""`seqline gc` next to real runs: it takes nothing from one that goes on."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline import gc
from pipeline.runner.execute import execute
from pipeline.runner.plan import Pipeline, plan
from pipeline.runner.run import Options
from pipeline.store.folder import Store
from seqline.component import Component, Figures, Params
from tests.support import CHECKOUT


class SourceParams(Params):
    path: str = "data"


class NumberParams(Params):
    number: int = 1
    seconds: float = 0.0


def read(*, params: SourceParams, output: Path) -> Figures:
    (output / "value").write_text(Path(params.path).read_text())
    return {}


def content(params: SourceParams, memory: Path | None = None) -> str:
    return Path(params.path).read_text()


def add(*, value: Path, params: NumberParams, output: Path) -> Figures:
    for _ in range(10):  # reads its input until the end, as a training does
        number = int((value / "value").read_text())
        time.sleep(params.seconds / 10)
    (output / "value").write_text(str(number + params.number))
    return {}


def chain(data: Path, number: int, seconds: float = 0.0) -> Pipeline:
    pipe = Pipeline()
    value = pipe.add(
        Component("source", {}, "Value", SourceParams, read, str, external_digest=content),
        SourceParams(path=str(data)),
    )
    value = pipe.add(
        Component("first", {"value": "Value"}, "Value", NumberParams, add, str),
        NumberParams(number=1),
        value=value,
    )

    pipe.add(
        Component("second", {"value": "Value"}, "Value", NumberParams, add, str),
        NumberParams(number=number, seconds=seconds),
        value=value,
    )

    return pipe


def test_a_run_that_goes_on_loses_nothing_and_one_that_is_kept_has_nothing_to_do(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    data.write_text("40")
    store = Store(tmp_path / "root")
    ended = threading.Event()
    trouble: list[BaseException] = []
    plans: list[gc.Plan] = []

    def clean() -> None:
        try:
            while not ended.is_set():
                plans.append(gc.collect(Store(tmp_path / "root"), str(tmp_path / "serving_dir"), 0))
        except BaseException as error:
            trouble.append(error)

    execute(chain(data, 1), store, store.start_run(), Options())
    cleaner = threading.Thread(target=clean)
    cleaner.start()
    try:
        for number in range(2, 6):
            done = execute(chain(data, number, seconds=0.5), store, store.start_run(), Options())
            assert done[-1].figures == {}
    finally:
        ended.set()
        cleaner.join()

    assert trouble == []
    assert len(plans) > 1, "it was never asked meanwhile"

    # With nothing kept, the end of each run is the end of its artifacts, and no sooner.
    assert {"artifact", "run"} <= {item.kind for collected in plans for item in collected.items}
    for number in (1, 2):
        execute(chain(data, number), store, store.start_run(), Options())
    gc.collect(store, str(tmp_path / "serving_dir"), 1)
    assert [step.runs for step in plan(chain(data, 2), store)] == [False, False, False]
    assert [step.runs for step in plan(chain(data, 1), store)] == [False, False, True]


def test_a_run_says_what_it_relies_on_before_it_does(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    data.write_text("40")
    store = Store(tmp_path / "root")
    execute(chain(data, 1), store, store.start_run(), Options())
    finished = {step.stage.name: step.key for step in plan(chain(data, 1), store)}

    folder = store.start_run()
    with store.cleaning():  # the run below waits before it looks at any artifact
        thread = threading.Thread(target=execute, args=(chain(data, 1), store, folder, Options()))
        thread.start()
        thread.join(1.0)
        assert thread.is_alive()
        store.discard([f"first/{finished['first']}"])()

    thread.join()
    record = json.loads((folder / "run.json").read_text())
    assert record["uses"] == {name: [made] for name, made in finished.items()}
    assert [(stage["component"], stage["cached"]) for stage in record["stages"]] == [
        ("source", True),
        ("first", False),
        ("second", True),
    ]


def seqline(folder: Path, *arguments: str, code: int = 0) -> str:
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        "PYTHONPATH": str(CHECKOUT),
    }
    command = [sys.executable, "-m", "pipeline", *arguments]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )

    assert done.returncode == code, done.stdout + done.stderr

    return done.stdout + done.stderr


@pytest.mark.slow
def test_pieces_of_kept_windows_are_used_again_and_the_others_go(tmp_path: Path) -> None:
    for span in (1, 2, 3):
        (tmp_path / f"span-{span}").mkdir()
        rows = [
            {"text": f"text {number} of {span}", "label": "ab"[number % 2]} for number in range(40)
        ]
        (tmp_path / f"span-{span}" / "rows.jsonl").write_text(
            "".join(json.dumps(row) + "\n" for row in rows)
        )

    (tmp_path / "my.toml").write_text('[example_gen]\nsource = "span-{SPAN}/*.jsonl"\nwindow = 2\n')
    run = ["run", "--config", "my.toml", "--to", "statistics_gen"]
    seqline(tmp_path, *run, "--set", "example_gen.span=2")
    seqline(tmp_path, *run, "--set", "example_gen.span=3")

    def span_cache() -> list[int]:
        return [
            len(
                [
                    path
                    for path in (tmp_path / "artifacts" / "span_cache" / name).iterdir()
                    if path.is_dir()
                ]
            )
            for name in ("example_gen", "statistics_gen")
        ]

    assert span_cache() == [3, 3]
    shown = seqline(tmp_path, "gc", "--config", "my.toml", "--keep-runs", "1")
    assert shown.splitlines()[-1] == "nothing was deleted; --yes deletes"
    assert "2 artifacts, 2 locks, 2 parts of spans, 1 run can be deleted" in shown
    assert span_cache() == [3, 3]
    assert "deleted 7\n" in seqline(
        tmp_path, "gc", "--config", "my.toml", "--keep-runs", "1", "--yes"
    )
    assert span_cache() == [2, 2]
    assert "0 of 2 stages ran" in seqline(tmp_path, *run, "--set", "example_gen.span=3")
    assert json.loads(seqline(tmp_path, "gc", "--config", "my.toml", "--json"))["items"] == []
    assert seqline(tmp_path, "gc", "--root", "nowhere", code=2).startswith(
        "error: No run has been recorded under 'nowhere'"
    )
