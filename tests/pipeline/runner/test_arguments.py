"""The arguments that a component's `run` gets, as its signature asks for them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.runner.plan import Pipeline
from pipeline.runner.run import StageResult
from pipeline.store.folder import Store
from seqline.component import Component, Figures
from seqline.data.span_cache import SpanCache
from tests.support.small_stages import (
    NumberParams,
    SourceParams,
    adder,
    describe,
    run,
    source,
)


def add_both(
    *, value: Path, params: NumberParams, output: Path, more: Path | None = None
) -> Figures:
    numbers = [int((path / "value").read_text()) for path in (value, more) if path]
    (output / "value").write_text(str(sum(numbers)))
    return {"numbers": numbers}


def test_an_optional_input_may_be_left_out(data: Path, store: Store) -> None:
    inputs = {"value": "Value", "more": "Value"}
    both = Component("both", inputs, "Value", NumberParams, add_both, describe)

    results = []
    for is_given in (True, False):
        pipe = Pipeline()
        value = pipe.add(source(), SourceParams(path=str(data)))
        more = pipe.add(adder(), NumberParams(), value=value)
        pipe.add(both, NumberParams(), value=value, more=more if is_given else None)
        results.append(run(pipe, store)[-1])

    assert [result.figures for result in results] == [{"numbers": [40, 41]}, {"numbers": [40]}]
    assert results[0].artifact.key != results[1].artifact.key
    assert [results[1].cached, results[1].reason] == [False, "its inputs changed"]
    with pytest.raises(ValueError, match="both takes the inputs"):
        pipe.add(both, NumberParams(), value=None, more=value)
    with pytest.raises(ValueError, match="adder takes the inputs"):
        Pipeline().add(adder(), NumberParams(), value=None)


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
    exists = path.exists()
    with span_cache.making({0: path}) as folders:
        for folder in folders.values():
            (folder / "x").write_text("1")
    return {"exists": exists, "previous": previous and previous.name, "beam_args": list(beam_args)}


def test_span_parts_outlive_an_artifact_and_the_previous_one_is_known(
    data: Path, tmp_path: Path
) -> None:
    store = Store(tmp_path / "root")
    component = Component("keeper", {"value": "Value"}, "Kept", NumberParams, remember, describe)

    def keep(number: int, **options: Any) -> StageResult:
        pipe = Pipeline()
        value = pipe.add(source(), SourceParams(path=str(data)))
        pipe.add(component, NumberParams(number=number), value=value)
        return run(pipe, store, **options)[-1]

    first = keep(1, beam_args=["--x"])
    assert first.figures == {"exists": False, "previous": None, "beam_args": ["--x"]}
    second = keep(2)
    assert second.figures == {"exists": True, "previous": first.artifact.key, "beam_args": []}
    assert keep(2).cached
    # The artifact that was made last is the one that is made again.
    assert keep(2, force=["keeper"]).figures["previous"] is None


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
    return {
        name: analysis(spans={0: "k"}, content="text", dim=None)
        for name, analysis in analyses.items()
    }


def test_a_source_gets_what_its_readers_want_to_count(tmp_path: Path) -> None:
    pipe = Pipeline()
    shared = pipe.add(
        Component("source", {}, "Value", SourceParams, share, describe), SourceParams()
    )
    pipe.add(adder("reader", analyze=analyze), NumberParams(number=7), value=shared)
    pipe.add(adder("other"), NumberParams(), value=shared)
    done = run(pipe, Store(tmp_path))
    assert done[0].figures == {"reader": "reader 7 text {0: 'k'}"}
