"""A run makes, keeps and records artifacts, on small components."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.runner.execute import execute
from pipeline.runner.plan import Pipeline
from pipeline.runner.run import Options, StageResult
from pipeline.runner.worker import StageError
from pipeline.store.folder import Store
from pipeline.store.records import RunRecord, Source
from seqline.errors import DataError, UserError
from tests.support.small_stages import (
    NumberParams,
    SourceParams,
    adder,
    chain,
    ran,
    run,
    source,
)


def test_a_run_makes_every_artifact_and_the_second_one_none(data: Path, store: Store) -> None:
    results = run(chain(data), store)
    assert ran(results) == ["source", "first", "second"]
    assert (results[-1].artifact.uri / "value").read_text() == "42"
    # One worker process, so that TensorFlow would be imported once.
    assert len({result.figures["pid"] for result in results[1:]}) == 1
    again = run(chain(data), store)
    assert ran(again) == []
    assert [result.artifact for result in again] == [result.artifact for result in results]


@pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked elsewhere")
def test_one_worker_imports_tensorflow_at_once_where_a_stage_needs_it(
    data: Path, store: Store
) -> None:
    def has_template(jobs: int, *libraries: str) -> bool:
        asked = NumberParams(behaviour="tell of the template")
        pipe = chain(data, second=asked, libraries=libraries)
        return run(pipe, store, jobs=jobs, force=["second"])[-1].figures["has_template"]

    assert has_template(1, "tensorflow", "numpy")
    assert not has_template(1, "numpy")
    assert not has_template(2, "tensorflow")


def test_force_runs_what_is_finished(data: Path, store: Store) -> None:
    before = run(chain(data), store)
    results = run(chain(data), store, force=["first"])
    assert ran(results) == ["first"]
    assert results[1].artifact == before[1].artifact
    assert list((store.root / "partial").iterdir()) == []


def test_stages_that_are_not_selected_must_be_finished(data: Path, store: Store) -> None:
    message = r"source is not among the selected stages and would have to run \(never ran\)"
    with pytest.raises(UserError, match=message):
        run(chain(data), store, selected=["second"])
    run(chain(data), store)
    pipe = chain(data, second=NumberParams(number=9))
    assert ran(run(pipe, store, selected=["second"])) == ["second"]


@pytest.mark.parametrize(
    ("behaviour", "error", "message"),
    [
        ("user error", DataError, "row 3 is bad"),
        ("bug", StageError, "KeyError: 'no such thing'"),
        ("die", UserError, "The process of second died"),
    ],
)
def test_a_failing_stage_leaves_what_was_done_and_nothing_half(
    data: Path, store: Store, behaviour: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(chain(data, second=NumberParams(behaviour=behaviour)), store)
    assert not (store.root / "second").exists()
    assert list((store.root / "partial").iterdir()) == []
    record = json.loads((store.runs()[-1] / "run.json").read_text())
    assert record["verdict"] == "failed"
    assert [stage["component"] for stage in record["stages"]] == ["source", "first"]
    assert ran(run(chain(data), store)) == ["second"]


def test_what_stages_print_goes_into_the_log(
    data: Path, store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = store.start_run()
    execute(chain(data), store, folder, Options())
    assert "a library's noise" in (folder / "log.txt").read_text()
    assert capfd.readouterr().out == ""


def test_independent_stages_run_at_once(data: Path, store: Store) -> None:
    pipe = Pipeline()
    value = pipe.add(source(), SourceParams(path=str(data)))
    for name in ("left", "right"):
        pipe.add(adder(name), NumberParams(behaviour="meet"), value=value)
    keys = {result.stage.name: result.artifact.key for result in run(pipe, store, jobs=2)}
    left, right = (store.execution(name, keys[name]) for name in ("left", "right"))
    assert left is not None
    assert right is not None
    assert left.started < right.finished
    assert right.started < left.finished
    assert left.figures["pid"] != right.figures["pid"]


def test_lineage_is_in_the_record(data: Path, store: Store) -> None:
    _, first, second = run(chain(data), store)
    execution = store.execution("second", second.artifact.key)
    assert execution is not None
    assert execution.inputs == {"value": Source("first", first.artifact.key)}


def refuse_odd(output: Path, params: NumberParams) -> None:
    if int((output / "value").read_text()) % 2:
        raise DataError("odd")


def test_a_gate_stops_the_run_each_time_and_leaves_its_artifact(data: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "root")
    for _ in range(2):
        pipe = Pipeline()
        value = pipe.add(source(), SourceParams(path=str(data)))
        pipe.add(adder("gate", gate=refuse_odd), NumberParams(), value=value)
        pipe.add(adder("after"), NumberParams(), value=value)
        finished: list[StageResult] = []
        with pytest.raises(DataError, match="odd"):
            run(pipe, store, jobs=2, on_done=finished.append)
        assert [result.stage.name for result in finished] == ["source", "gate"]

    assert store.latest("gate") is not None
    assert store.latest("after") is None

    pipe.stages[1] = replace(pipe.stages[1], params=NumberParams(number=2))
    assert [result.stage.name for result in run(pipe, store)] == ["source", "gate", "after"]


def test_data_that_changes_while_it_is_read_is_not_kept(data: Path, store: Store) -> None:
    pipe = Pipeline()
    pipe.add(source(), SourceParams(path=str(data), changes=True))
    with pytest.raises(UserError, match="The data of source changed while it was read; nothing wa"):
        run(pipe, store)
    assert store.latest("source") is None
    assert list((store.root / "partial").iterdir()) == []


def refuse(params: NumberParams) -> None:
    raise UserError("number is too odd")


@pytest.mark.parametrize(("about", "num_runs"), [({}, 0), ({"retrain": {"verdict": "failed"}}, 1)])
def test_a_failed_check_leaves_a_record_only_if_there_is_something_to_say(
    data: Path, store: Store, about: dict[str, Any], num_runs: int
) -> None:
    pipe = chain(data, check=refuse)
    with pytest.raises(UserError, match="number is too odd"):
        run(pipe, store, about=lambda results, error: about)
    records = [RunRecord.read(folder / "run.json") for folder in store.runs()]
    assert len(records) == num_runs
    for record in records:
        assert record.verdict == "failed"
        assert record.error == "UserError: number is too odd"
        assert record.about == about
