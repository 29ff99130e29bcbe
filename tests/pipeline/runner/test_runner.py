"""The runner on small components of its own.

They run in real worker processes, as every stage does.
"""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.runner.execute import Done, Options, execute
from pipeline.runner.plan import Pipeline, plan
from pipeline.runner.worker import StageError
from pipeline.store import layout
from pipeline.store.folder import Store
from seqline.component import Component, Figures, Params
from seqline.data.span_cache import SpanCache
from seqline.errors import DataError, UserError


class SourceParams(Params):
    path: str = "data"


class NumberParams(Params):
    number: int = 1
    behaviour: str = "add"


def read(*, params: SourceParams, output: Path) -> Figures:
    (output / "value").write_text(Path(params.path).read_text())
    return {"value": int(Path(params.path).read_text())}


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
    return {"pid": os.getpid()}


def wait_for_another(place: Path) -> None:
    """Until a second process has come."""
    place.mkdir(exist_ok=True)
    (place / str(os.getpid())).touch()
    deadline = time.monotonic() + 120
    while len(list(place.iterdir())) < 2:
        if time.monotonic() > deadline:
            raise DataError("no other stage runs meanwhile")
        time.sleep(0.01)


def describe(figures: Figures) -> str:
    return str(figures)


def gone(output: Path, params: NumberParams) -> str | None:
    return "its effect is gone" if params.behaviour == "stale" else None


@pytest.fixture(autouse=True)
def _code_of_a_test_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "code_digest", lambda module: "code")


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


def adder(name: str = "adder", **kwargs: Any) -> Component:
    return Component(name, {"value": "Value"}, "Value", NumberParams, add, describe, **kwargs)


def chain(
    data: Path,
    first: NumberParams = NumberParams(),  # noqa: B008 - frozen
    second: NumberParams = NumberParams(),  # noqa: B008 - frozen
    **kwargs: Any,
) -> Pipeline:
    pipe = Pipeline()
    value = pipe.add(source(), SourceParams(path=str(data)))
    value = pipe.add(adder("first"), first, value=value)
    pipe.add(adder("second", **kwargs), second, value=value)
    return pipe


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.write_text("40")
    return path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "root")


def run(pipe: Pipeline, store: Store, **options: Any) -> list[Done]:
    return execute(pipe, store, store.start_run(), Options(**options))


def ran(done: list[Done]) -> list[str]:
    return [each.stage.name for each in done if not each.cached]


def test_a_run_makes_every_artifact_and_the_second_one_none(data: Path, store: Store) -> None:
    done = run(chain(data), store)
    assert ran(done) == ["source", "first", "second"]
    assert (done[-1].artifact.uri / "value").read_text() == "42"
    assert (
        len({each.figures["pid"] for each in done[1:]}) == 1
    )  # one worker, so that TensorFlow would be imported once
    again = run(chain(data), store)
    assert ran(again) == []
    assert [each.artifact for each in again] == [each.artifact for each in done]


def test_a_changed_param_reruns_its_stage_and_those_behind_it(data: Path, store: Store) -> None:
    run(chain(data), store)
    assert ran(run(chain(data, second=NumberParams(number=5)), store)) == ["second"]
    assert ran(run(chain(data, first=NumberParams(number=5)), store)) == ["first", "second"]
    assert ran(run(chain(data), store)) == []  # the first artifacts are still there


def test_data_counts_by_content(data: Path, store: Store) -> None:
    run(chain(data), store)
    os.utime(data, (1, 1))
    assert ran(run(chain(data), store)) == []
    data.write_text("41")
    assert ran(run(chain(data), store)) == ["source", "first", "second"]


def test_plan_changes_nothing_and_gives_reasons(data: Path, store: Store) -> None:
    reasons = [(each.stage.name, each.runs, each.reason) for each in plan(chain(data), store)]
    assert reasons == [
        ("source", True, "never ran"),
        ("first", True, "never ran"),
        ("second", True, "never ran"),
    ]
    assert not store.root.exists()
    run(chain(data), store)
    planned = plan(chain(data, first=NumberParams(number=5)), store)
    assert [(each.runs, each.reason) for each in planned] == [
        (False, "finished"),
        (True, "number is 5, was 1"),
        (True, "its inputs changed"),
    ]


def test_data_that_is_not_prepared_has_no_key_until_a_run_prepares_it(
    tmp_path: Path, store: Store
) -> None:
    pipe = chain(tmp_path / "absent")
    assert [(each.key, each.reason) for each in plan(pipe, store)] == [
        (None, "its data is not prepared yet"),
        (None, "source runs first"),
        (None, "first runs first"),
    ]
    done = run(pipe, store)
    assert (done[-1].artifact.uri / "value").read_text() == "3"


def test_a_stale_output_runs_again(data: Path, store: Store) -> None:
    pipe = chain(data, second=NumberParams(behaviour="stale"), stale=gone)
    run(pipe, store)
    assert plan(pipe, store)[-1].reason == "its effect is gone"
    assert ran(run(pipe, store)) == ["second"]


def test_force_runs_what_is_finished(data: Path, store: Store) -> None:
    before = run(chain(data), store)
    done = run(chain(data), store, force=["first"])
    assert ran(done) == ["first"]
    assert done[1].artifact == before[1].artifact
    assert list((store.root / "partial").iterdir()) == []


def test_stages_that_are_not_selected_must_be_finished(data: Path, store: Store) -> None:
    with pytest.raises(
        UserError,
        match=(
            r"source is not among the selected stages and its artifact is not there \(never ran\)"
        ),
    ):
        run(chain(data), store, selected=["second"])
    run(chain(data), store)
    assert ran(run(chain(data, second=NumberParams(number=9)), store, selected=["second"])) == [
        "second"
    ]


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
    done = run(pipe, store, jobs=2)
    left, right = (
        store.execution(each.stage.name, each.artifact.key)
        for each in sorted(done[1:], key=lambda each: each.stage.name)
    )
    assert left is not None
    assert right is not None
    assert left["started"] < right["finished"]
    assert right["started"] < left["finished"]
    assert left["figures"]["pid"] != right["figures"]["pid"]


def test_inputs_are_checked_by_name_and_type() -> None:
    pipe = Pipeline()
    value = pipe.add(source(), SourceParams())
    with pytest.raises(ValueError, match="adder takes the inputs"):
        pipe.add(adder(), NumberParams(), other=value)
    with pytest.raises(ValueError, match="source is already in the pipeline"):
        pipe.add(source(), SourceParams())


def add_both(
    *, value: Path, params: NumberParams, output: Path, more: Path | None = None
) -> Figures:
    numbers = [int((path / "value").read_text()) for path in (value, more) if path]
    (output / "value").write_text(str(sum(numbers)))
    return {"numbers": numbers}


def test_an_optional_input_may_be_left_out(data: Path, store: Store) -> None:
    both = Component(
        "both",
        {"value": "Value", "more": "Value"},
        "Value",
        NumberParams,
        add_both,
        describe,
    )
    found = []
    for there in (True, False):
        pipe = Pipeline()
        value = pipe.add(source(), SourceParams(path=str(data)))
        more = pipe.add(adder(), NumberParams(), value=value)
        pipe.add(both, NumberParams(), value=value, more=more if there else None)
        found.append(run(pipe, store)[-1])
    assert [done.figures for done in found] == [{"numbers": [40, 41]}, {"numbers": [40]}]
    assert found[0].artifact.key != found[1].artifact.key
    assert [found[1].cached, found[1].reason] == [False, "its inputs changed"]
    with pytest.raises(ValueError, match="both takes the inputs"):
        pipe.add(both, NumberParams(), value=None, more=value)
    with pytest.raises(ValueError, match="adder takes the inputs"):
        Pipeline().add(adder(), NumberParams(), value=None)


def test_lineage_is_in_the_record(data: Path, store: Store) -> None:
    done = run(chain(data), store)
    record = store.execution("second", done[2].artifact.key)
    assert record is not None
    assert record["inputs"] == {"value": {"component": "first", "key": done[1].artifact.key}}


def refuse_odd(output: Path, params: NumberParams) -> None:
    if int((output / "value").read_text()) % 2:
        raise DataError("odd")


def test_a_gate_stops_the_run_each_time_and_leaves_its_artifact(data: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "root")
    for _ in range(2):
        pipe = Pipeline()
        value = pipe.add(source(), SourceParams(path=str(data)))
        pipe.add(adder("gate", gate=refuse_odd), NumberParams(), value=value)
        pipe.add(adder("behind"), NumberParams(), value=value)
        finished: list[str] = []
        with pytest.raises(DataError, match="odd"):
            run(
                pipe,
                store,
                jobs=2,
                on_done=lambda done, finished=finished: finished.append(done.stage.name),
            )
        assert finished == ["source", "gate"]
    assert store.latest("gate") is not None
    assert store.latest("behind") is None
    pipe.stages[1] = replace(pipe.stages[1], params=NumberParams(number=2))
    assert [done.stage.name for done in run(pipe, store)] == ["source", "gate", "behind"]


def remember(
    *,
    value: Path,
    params: NumberParams,
    output: Path,
    span_cache: SpanCache,
    previous: Path | None,
    beam_args: tuple[str, ...],
) -> Figures:
    path = span_cache.path(value=(value / "value").read_text())
    found = path.exists()
    with span_cache.making({0: path}) as folders:
        for folder in folders.values():
            (folder / "x").write_text("1")
    return {"found": found, "previous": previous and previous.name, "beam_args": list(beam_args)}


def test_pieces_outlive_an_artifact_and_the_one_before_is_known(data: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "root")
    component = Component(
        "keeper",
        {"value": "Value"},
        "Kept",
        NumberParams,
        remember,
        describe,
    )

    def figures(number: int, **options: Any) -> Done:
        pipe = Pipeline()
        pipe.add(
            component,
            NumberParams(number=number),
            value=pipe.add(source(), SourceParams(path=str(data))),
        )
        return run(pipe, store, **options)[-1]

    first = figures(1, beam_args=["--x"])
    assert first.figures == {"found": False, "previous": None, "beam_args": ["--x"]}
    second = figures(2)
    assert second.figures == {"found": True, "previous": first.artifact.key, "beam_args": []}
    assert figures(2).cached
    assert figures(2, force=["keeper"]).figures["previous"] is None  # the last one made is this one


def analyze(
    *,
    spans: dict[int, str],
    content: str,
    dim: int | None,
    params: NumberParams,
    span_cache: SpanCache,
) -> str:
    return f"{span_cache.root.name} {params.number} {content} {spans}"


def share(
    *, params: SourceParams, output: Path, analyses: dict[str, Callable[..., str]]
) -> Figures:
    (output / "value").write_text("1")
    return {name: each(spans={0: "k"}, content="text", dim=None) for name, each in analyses.items()}


def test_a_source_gets_what_its_readers_want_to_count(tmp_path: Path) -> None:
    pipe = Pipeline()
    shared = pipe.add(
        Component("source", {}, "Value", SourceParams, share, describe), SourceParams()
    )
    pipe.add(adder("reader", analyze=analyze), NumberParams(number=7), value=shared)
    pipe.add(adder("other"), NumberParams(), value=shared)
    done = run(pipe, Store(tmp_path))
    assert done[0].figures == {"reader": "reader 7 text {0: 'k'}"}


def test_a_stage_that_compares_an_input_gets_its_folder_and_has_no_key_before(
    data: Path, store: Store, tmp_path: Path
) -> None:
    served = tmp_path / "served"
    served.write_text("7")

    def compared(params: NumberParams, memory: Path, inputs: dict[str, Path]) -> str:
        return f"{(inputs['value'] / 'value').read_text()} against {served.read_text()}"

    pipe = chain(data, external_digest=compared)
    planned = plan(pipe, store)[-1]
    assert (planned.key, planned.runs, planned.reason) == (None, True, "first runs first")
    assert ran(run(pipe, store)) == ["source", "first", "second"]
    assert ran(run(pipe, store)) == []
    assert plan(pipe, store)[-1].runs is False
    served.write_text("8")
    assert plan(pipe, store)[-1].reason == "what it compares with changed"
    assert ran(run(pipe, store)) == ["second"]
    before = plan(pipe, store, force=["first"])[-1]
    assert (before.key, before.reason) == (None, "first runs first")
