"""The stages that will run, and the reason for each."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.runner import plan as planning
from pipeline.runner.plan import Pipeline, difference, plan
from pipeline.store.folder import Store
from tests.support.small_stages import (
    NumberParams,
    SourceParams,
    adder,
    chain,
    ran,
    run,
    source,
)


def gone(output: Path, params: NumberParams) -> str | None:
    return "its effect is gone" if params.behaviour == "stale" else None


def size_of(
    params: NumberParams, inputs: Mapping[str, Any], figures: dict[str, Any] | None
) -> dict[str, str]:
    return {"size": f"{len(figures)} figure" if figures else "from the data"}


def test_a_changed_param_reruns_its_stage_and_those_after_it(data: Path, store: Store) -> None:
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
    reasons = [(step.stage.name, step.runs, step.reason) for step in plan(chain(data), store)]
    assert reasons == [
        ("source", True, "never ran"),
        ("first", True, "never ran"),
        ("second", True, "never ran"),
    ]
    assert not store.root.exists()

    run(chain(data), store)
    planned = plan(chain(data, first=NumberParams(number=5)), store)
    assert [(step.runs, step.reason) for step in planned] == [
        (False, "finished"),
        (True, "number is 5, was 1"),
        (True, "its inputs changed"),
    ]


def test_data_that_is_not_prepared_has_no_key_until_a_run_prepares_it(
    tmp_path: Path, store: Store
) -> None:
    pipe = chain(tmp_path / "absent")
    assert [(step.key, step.reason) for step in plan(pipe, store)] == [
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


def test_inputs_are_checked_by_name_and_type() -> None:
    pipe = Pipeline()
    value = pipe.add(source(), SourceParams())
    with pytest.raises(ValueError, match="adder takes the inputs"):
        pipe.add(adder(), NumberParams(), other=value)
    with pytest.raises(ValueError, match="source is already in the pipeline"):
        pipe.add(source(), SourceParams())


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


def test_only_what_differs_is_named() -> None:
    before = {
        "params": {"rnn_units": 64, "seed": 0},
        "data": "d",
        "code": "c",
        "libraries": {"tensorflow": "2.19.0", "keras": "3.13.2"},
    }

    after = {
        "params": {"rnn_units": 64, "seed": 1},
        "data": "e",
        "code": "f",
        "libraries": {"tensorflow": "2.19.1", "keras": "3.13.2"},
    }

    assert difference(after, before, "the data") == (
        "seed is 1, was 0; the data changed; its code changed; tensorflow is 2.19.1, was 2.19.0"
    )
    assert difference(before, before, "the data") == "its artifact is gone"


def test_a_plan_knows_a_setting_from_the_data_once_its_stage_is_finished(
    data: Path, store: Store
) -> None:
    pipe = chain(data, from_data=size_of)
    planned = plan(pipe, store)
    assert planning.from_data(planned, store) == {"second.size": "from the data"}

    run(pipe, store)
    planned = plan(pipe, store)
    assert planning.from_data(planned, store) == {"second.size": "1 figure"}
